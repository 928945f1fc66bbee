"""Decisions of one pass, and the duties that follow from what is committed."""

from __future__ import annotations

from dataclasses import dataclass

from muster.core.model.nodes import Avoided
from muster.core.model.status import Committed


@dataclass(frozen=True, slots=True)
class Transition:
    """A decision about one job: one compare-and-set of its status against `base_rv`. `cause` is the row of the table.
    `after` names jobs whose transitions must be committed first."""

    job: str
    base_rv: int
    cause: str
    status: Committed
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TopologyStatus:
    """What ClusterTopology.status should say: levels as (name, domains, nodes, unlabelled nodes), exclusions as
    (cause, nodes)."""

    levels: tuple[tuple[str, int, int, int], ...]
    total: int
    eligible: int
    excluded: tuple[tuple[str, int], ...]
    detected_preset: str
    invalid: str
    observed_generation: int
    avoided: tuple[Avoided, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from the world now.

    `wakes` holds for each job that was looked at when to look again even if nothing changes (ms, wall clock; None:
    never); `queued` says that the queue was walked, and `queue_at` when to walk it again even if nothing changes;
    `wake_at` is the soonest of all and of what ends by time (`Elapsed`). `capacity` is the world's capacity counter as
    planned on. `errors` are programming errors, by job: that job is left as it is, the others go on.
    """

    transitions: tuple[Transition, ...] = ()
    wake_at: int | None = None
    wakes: tuple[tuple[str, int | None], ...] = ()
    capacity: int = 0
    errors: tuple[tuple[str, str], ...] = ()
    queued: bool = False
    queue_at: int | None = None


@dataclass(frozen=True, slots=True)
class Admit:
    """Ask by dry run what a pod of this role will be; the answer is an Admission of this `template`."""

    role: int
    template: str


@dataclass(frozen=True, slots=True)
class EnsureChild:
    """Create the job's headless Service."""


@dataclass(frozen=True, slots=True)
class DropChild:
    """Delete a Service of the job."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create the gated, pinned pod of a rank."""

    role: int
    rank: int
    node: str
    born: int


@dataclass(frozen=True, slots=True)
class Nominate:
    """Set status.nominatedNodeName on a gated pod."""

    pod: str
    name: str
    node: str


@dataclass(frozen=True, slots=True)
class ReadView:
    """Read S2's consistent view, which must contain this attempt's claim."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Ungate:
    """Remove our gate from a pod."""

    pod: str
    name: str


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod by uid. `grace` in seconds; None: the pod's own. `force`: its machine is known or deemed to be off;
    grace 0."""

    pod: str
    name: str
    grace: int | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete the TrainingJob itself (ttl), by uid and resourceVersion."""

    rv: int


Duty = Admit | EnsureChild | DropChild | CreatePod | Nominate | ReadView | Ungate | DeletePod | DeleteJob
