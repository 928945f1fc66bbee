"""What the solver answers: a placement, a repair, or why there is none and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """Why a job waits; api.md and placement.md define them. One of them at a time, the first that applies."""

    INVALID = "Invalid"
    SUSPENDED = "Suspended"
    PRIORITY_CLASS_MISSING = "PriorityClassMissing"
    PRIORITY_CLASS_PREEMPTS = "PriorityClassPreempts"
    ADMISSION = "AskingAdmission"
    """The dry run that tells what its pods will really request has not answered yet."""
    START_FAILED = "StartFailed"
    SCHEDULER_REFUSED = "SchedulerRefused"
    BACKING_OFF = "BackingOff"
    NAMESPACE_QUOTA = "NamespaceQuota"
    POLICY_REFUSED = "PolicyRefused"
    IMAGE_PULL = "ImagePull"
    UNSATISFIABLE = "Unsatisfiable"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"
    FRAGMENTED = "Fragmented"
    WAITING_FOR_PREFERRED = "WaitingForPreferred"
    SEARCH_LIMIT = "SearchLimit"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a gang is not placed, in numbers a person can check. `explain.sentence` turns it into words.

    `numbers` holds named facts (see placement.verdicts for the names each reason carries); `exclusions` how many nodes
    each cause takes away, largest first; `largest` the pods of the largest gang of this shape (its longest prefix) that
    fits now within one domain of each named level, broadest first, where that has a closed form.
    """

    reason: Reason
    numbers: tuple[tuple[str, int | str], ...] = ()
    exclusions: tuple[tuple[str, int], ...] = ()
    largest: tuple[tuple[str, int], ...] = ()

    def number(self, name: str) -> int | str | None:
        """The value of one named fact, or None."""
        return dict(self.numbers).get(name)


class ActionKind(Enum):
    """What somebody would do to make a node usable for a waiting gang."""

    UNCORDON = "uncordon"
    HEAL = "heal"
    """The node is NotReady, out of service, or carries one of Kubernetes' own health taints."""
    END = "end"
    """End or move a job of ours that holds the node."""
    FREE = "free"
    """End or move the pods there that belong to no job of ours, those of DaemonSets apart."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do. `target`: the node, for `end` the job (its uid from the solver, namespace/name from the world).
    `nodes`: those of the change that it frees; `level` and `domain`: the narrowest domain that holds them all, empty
    where that is the whole cluster. `pods`: how many pods are meant by `free`."""

    kind: ActionKind
    target: str
    level: str
    domain: str
    nodes: tuple[str, ...]
    pods: int = 0


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One constraint that the gang would fit without, or with another value: `segments` of a level (sizes), `required`
    (levels), `fillLimit` of a level. `after` is empty where the constraint has to go."""

    constraint: str
    level: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """The smallest change that would start a gang which does not fit.

    `count`: the fewest nodes that have to be made usable as on the empty healthy cluster (DaemonSet pods stay), None
    where that does not help or is not known; `nodes` names them, in natural order, `level` and `domain` the narrowest
    domain that holds them all. `proven`: no set of fewer nodes does it. `largest`: pods of the largest gang of this
    shape that fits now (for Unsatisfiable: on the empty cluster), None if not known. `add`: nodes like the best there
    are that would have to be added to an empty cluster, 0 where that does not help or is not known. `relax`: what fits
    now instead (for Unsatisfiable: on the empty cluster).
    """

    count: int | None = None
    nodes: tuple[str, ...] = ()
    level: str = ""
    domain: str = ""
    actions: tuple[Action, ...] = ()
    proven: bool = False
    largest: int | None = None
    add: int = 0
    relax: tuple[Relaxation, ...] = ()


@dataclass(frozen=True, slots=True)
class Objective:
    """What a placement costs, in the order of comparison (placement.md); smaller is better."""

    preferred: int
    cost: int
    nodes: int
    intact: tuple[tuple[str, int], ...]
    """Intact domains opened, per level, broadest first, then `node`."""
    leftover: int

    @property
    def vector(self) -> tuple[int, ...]:
        """The numbers alone, for comparison."""
        return (self.preferred, self.cost, self.nodes, *(n for _, n in self.intact), self.leftover)


@dataclass(frozen=True, slots=True)
class Found:
    """A placement the solver proposes. `nodes[role][rank]` names nodes; `domains` the number of domains touched per
    level, `least` the fewest that any placement on the empty healthy cluster would touch; both broadest first, without
    `node`."""

    nodes: tuple[tuple[str, ...], ...]
    objective: Objective
    proven: bool
    domains: tuple[tuple[str, int], ...]
    least: tuple[tuple[str, int], ...]
    preferred_least: int
    """The P-domains that a placement on the empty healthy cluster would touch at least (Objective.preferred's twin)."""
    bound: tuple[int, ...] | None = None
    """What no placement's vector is less than; the vector itself where that is proven."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A committed placement mended. `nodes`, `proven`, `domains` and `least` as in `Found`; the objective is that of
    the whole new placement. Every rank that is not in `moved` keeps its node."""

    nodes: tuple[tuple[str, ...], ...]
    moved: tuple[tuple[int, int], ...]
    """(role, rank), in order, of every rank that needs a new pod: the lost ones and those whose node changed."""
    objective: Objective
    proven: bool
    domains: tuple[tuple[str, int], ...]
    least: tuple[tuple[str, int], ...]
    how: str
    """domain: every lost rank is replaced inside the domain of its innermost segment (without segments: of what is
    required); segment: a segment moved as a whole, or none of its ranks was left; gang: placed anew as a whole."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A committed placement. `born[role][rank]` is the attempt in which that rank's pod was made."""

    attempt: int
    gang_attempt: int
    term: str
    generation: int
    roles_hash: str
    roles: tuple[str, ...]
    nodes: tuple[tuple[str, ...], ...]
    born: tuple[tuple[int, ...], ...]
    objective: Objective
    proven: bool
    domains: tuple[tuple[str, int], ...]
    least: tuple[tuple[str, int], ...]
