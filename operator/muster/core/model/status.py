"""What is committed of a job: its status, which is all that survives a restart."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from muster.core.model.verdict import Placement, Verdict


class Phase(Enum):
    """Where a job is in its life; the table in `lifecycle` is the only thing that moves it."""

    PENDING = "Pending"
    PLACED = "Placed"
    STARTING = "Starting"
    RUNNING = "Running"
    REPAIRING = "Repairing"
    STOPPING = "Stopping"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


ACTIVE = frozenset({Phase.PLACED, Phase.STARTING, Phase.RUNNING, Phase.REPAIRING})
"""The phases with an attempt under way."""

FINISHED = frozenset({Phase.SUCCEEDED, Phase.FAILED})


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why the job waits, since when (ms), in words and numbers."""

    verdict: Verdict
    message: str
    since: int


@dataclass(frozen=True, slots=True)
class Stopping:
    """Why an attempt is being ended; `reason` is a short CamelCase word, `by` who asked for it, if anybody."""

    reason: str
    message: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Blame:
    """A node that the job blames: how often, when last (ms), and until when the job avoids it (None: not yet)."""

    node: str
    count: int
    at: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """The healthy nodes of a gang that waits for a replacement, kept for it until a time (ms): `nodes[role][rank]` as
    last placed, `lost` the ranks (role, rank) whose node is not kept."""

    nodes: tuple[tuple[str, ...], ...]
    lost: tuple[tuple[int, int], ...]
    until: int


@dataclass(frozen=True, slots=True)
class RankFailure:
    """One entry of status.lastFailure.failures."""

    role: str
    rank: int
    node: str
    exit_code: int | None
    signal: int | None
    finished_at: int | None
    message: str


@dataclass(frozen=True, slots=True)
class LastFailure:
    """What last ended an attempt: up to 8 failures, earliest first."""

    time: int
    reason: str
    message: str
    failures: tuple[RankFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class LastRepair:
    """The last time that a broken gang went on where it is, and how long that took. Times in ms on the wall clock; a
    stage that has not come yet is None."""

    attempt: int
    """The attempt that the repair began."""
    cause: str
    """node | disruption | failure: what broke, the first that applies."""
    how: str
    """place: every rank keeps its node; domain, segment, gang: as `Repaired.how`."""
    moved: int
    """Ranks that change their node,"""
    kept: int
    """and that do not."""
    renewed: int
    """Pods made anew."""
    failed: int
    """When the failure happened by its own record (a container's end, a node's condition), else when it was seen."""
    detected: int
    """When it was seen to be one: for a node that does not answer, when its time was up."""
    decided: int
    deleted: int | None = None
    """The last pod of a rank that is made anew had stopped."""
    created: int | None = None
    """The last new pod existed."""
    running: int | None = None
    """All pods ran again."""


@dataclass(frozen=True, slots=True)
class StartFailures:
    """Starts that failed one after the other; `same` of them with this message, up to now."""

    count: int = 0
    message: str = ""
    same: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RoleCount:
    """Pods of one role: made, running now, ended well, ended badly."""

    name: str
    pods: int
    running: int
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class Committed:
    """A job's status as written by one compare-and-set. Times in ms on the wall clock, on whole seconds (the API keeps
    no finer ones)."""

    phase: Phase = Phase.PENDING
    observed_generation: int = -1
    live: bool = False
    """Holds a claim: from the commit that names its nodes until no pod of it holds anything."""
    attempt: int = 0
    restarts: int = 0
    restarts_in_row: int = 0
    disruptions: int = 0
    start_failures: StartFailures = StartFailures()
    running_ms: int = 0
    """Running time of ended attempts."""
    phase_since: int | None = None
    running_since: int | None = None
    """When the current attempt became Running, while it lasts."""
    placeable_since: int | None = None
    placement: Placement | None = None
    stopping: Stopping | None = None
    waiting: Waiting | None = None
    not_before: int | None = None
    """The earliest next attempt (status.waiting.nextAttemptTime)."""
    last_failure: LastFailure | None = None
    counts: tuple[RoleCount, ...] = ()
    relabelled: str = ""
    """Which hard constraint of the running gang today's labels break, in words; empty: none (S4)."""
    started: int | None = None
    finished: int | None = None
    blamed: tuple[Blame, ...] = ()
    reservation: Reservation | None = None
    repairs: int = 0
    """Repairs since all pods last ran."""
    opened: int = 0
    """The last attempt that was let start: a pod born in it or before may have run, one born later never left its
    gate."""
    leaving: tuple[tuple[str, int, str], ...] = ()
    """(role, rank, node) of ranks that moved since the gang last started: where earlier pods of theirs ran."""
    last_repair: LastRepair | None = None
