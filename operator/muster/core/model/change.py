"""Changes: all that the world is ever told."""

from __future__ import annotations

from dataclasses import dataclass

from muster.core.model.cluster import Kind, Record
from muster.core.model.nodes import NodePast


@dataclass(frozen=True, slots=True)
class Upsert:
    """A record as it is now. `at` is when (ms, wall clock) the door took it in."""

    record: Record
    at: int


@dataclass(frozen=True, slots=True)
class Gone:
    """An object is gone for good: `id` is its uid (PriorityClass: its name)."""

    kind: Kind
    id: str
    at: int
    owner: str = ""
    """The job whose pod it was, for a pod that is not known itself."""


@dataclass(frozen=True, slots=True)
class Synced:
    """The first full list of this kind has been handed over."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class Lost:
    """A transition did not happen (conflict, gone): drop what was assumed; what a GET showed came as Upsert or Gone."""

    job: str
    base_rv: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A commit or a duty was refused for good for now: `error` is the adapter's class (quota, policy, invalid, rbac,
    namespace-terminating, too-large). `attempt` is that of the job when it happened."""

    job: str
    attempt: int
    error: str
    message: str
    at: int
    commit: bool = False


@dataclass(frozen=True, slots=True)
class Viewed:
    """A consistent view (S2) has been applied that contains these claims: (job uid, attempt) committed before it."""

    claims: frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Readmit:
    """What admission depends on has changed (LimitRange, RuntimeClass, a volume claim): ask again. namespace None: all;
    `claim`: only for pods that mount this PersistentVolumeClaim of it."""

    namespace: str | None
    claim: str | None = None


@dataclass(frozen=True, slots=True)
class Leading:
    """This process leads from now on (`term`: the Lease's resourceVersion at acquisition), or no longer (None)."""

    term: str | None


@dataclass(frozen=True, slots=True)
class Remembered:
    """This and nothing else is remembered of a node; for a World that is rebuilt, and for a `what if`."""

    past: NodePast


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The clock has come to `at` (ms): what was to last until then is over. The loop says so before it plans, when
    `World.next_expiry` has come."""

    at: int


@dataclass(frozen=True, slots=True)
class Freed:
    """A node gained room, or came back, at this time (ms). A World notes it itself as it takes in other changes; told
    in so many words only to a World that is made of the records of another."""

    node: str
    at: int


@dataclass(frozen=True, slots=True)
class Ghost:
    """What a pod of a job (uid) started on a node may run there still, though the API does not show the pod any more:
    the machine did not answer when it vanished, which was at `since` (ms); it answers since `heard`. `sure`: if not,
    the machine did answer, as far as was known then. A World finds these out itself; told in so many words only to a
    World that is made of the records of another."""

    job: str
    role: str
    rank: int
    node: str
    since: int
    sure: bool = True
    heard: int | None = None


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The clock by which the other changes carry their times was set forward by so much (ms; less than 0: back)."""

    by: int


Change = (
    Upsert
    | Gone
    | Synced
    | Lost
    | Refused
    | Viewed
    | Readmit
    | Leading
    | Remembered
    | Elapsed
    | Freed
    | Ghost
    | ClockSet
)
