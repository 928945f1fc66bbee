"""The vocabulary of the core: frozen records, without behaviour beyond what follows from their own fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Resources = tuple[tuple[str, int], ...]
"""Amounts by resource name, sorted by name, no zero entries. cpu in thousandths, all others in base units (memory in
bytes). A pod's requests contain `pods: 1`, and `hostport/<protocol>/<port>: 1` for each host port it opens; every node
offers one of each host port."""


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


# --- Nodes and pods -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Taint:
    """A node's taint."""

    key: str
    value: str
    effect: str
    """NoSchedule | PreferNoSchedule | NoExecute."""
    since: int | None = field(default=None, compare=False)
    """When (ms) it was put on, where the API says so; taints that differ in this alone are the same."""


@dataclass(frozen=True, slots=True)
class Toleration:
    """A pod's toleration; an empty key with Exists tolerates everything, an empty effect matches every effect."""

    key: str
    operator: str
    """Exists | Equal | Lt | Gt."""
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """One node selector requirement: In, NotIn, Exists, DoesNotExist, Gt, Lt on a label. The pseudo key
    `metadata.name` names the node itself (matchFields)."""

    key: str
    operator: str
    values: tuple[str, ...]


Term = tuple[Requirement, ...]
"""Requirements that must all hold; a term without any matches nothing (Kubernetes: NodeSelectorTerm)."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which nodes a pod may use: every selector pair holds; of every group in `affinity` at least one term holds (the
    pod's own required node affinity, then one group per bound volume); untolerated NoSchedule and NoExecute taints
    exclude."""

    selector: tuple[tuple[str, str], ...] = ()
    affinity: tuple[tuple[Term, ...], ...] = ()
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the API shows it. `unready_since` is the time (ms) of the last change of its Ready condition to False
    or Unknown, None while Ready is True; a node without a Ready condition counts as unready since its creation."""

    name: str
    uid: str
    rv: int
    labels: Mapping[str, str]
    allocatable: Resources
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    unready_since: int | None = None
    out_of_service: bool = False
    """It carries the taint node.kubernetes.io/out-of-service: the administrator's word that the machine is off."""
    conditions: tuple[tuple[str, str, int], ...] = ()
    """(type, status, since in ms) of what health rules may name: all but the kubelet's own while those are well."""
    cleared: int | None = None
    """The time (ms) in its annotation muster.dev/clear-blame: what it was blamed for before counts no more."""


class HealthAction(Enum):
    """What a health rule that matches orders."""

    AVOID = "Avoid"
    """No new pods."""
    DRAIN = "Drain"
    """Nor may those stay that run there."""


@dataclass(frozen=True, slots=True)
class HealthRule:
    """A sign by which a node counts as unfit. `kind`: condition | label | taint; `key`: its type or key; `bad`: the
    status or value that is bad, None for any. `after`: how long (ms) pods may stay when the action is Drain."""

    kind: str
    key: str
    bad: str | None
    action: HealthAction
    after: int = 0

    @property
    def cause(self) -> str:
        """As exclusions count it: `condition GPUMissing=True`, `label example.com/state`."""
        return f"{self.kind} {self.key}" + ("" if self.bad is None else f"={self.bad}")


@dataclass(frozen=True, slots=True)
class Avoided:
    """A node that no job is placed on, because so many jobs blamed it within a day; `since` when (ms) the last of them
    did."""

    node: str
    jobs: int
    since: int


@dataclass(frozen=True, slots=True)
class NodePast:
    """What is remembered of a node, by name, beyond its record; see `pasts`. Times in ms.

    `returns`: when it came back from being unready, the latest ones; `held_until`: for that it gets no new pods before
    then. `silent`: while it is unready, the time of that by its record, and when that was first seen. `noticed`: by
    cause of a Drain rule since when a label or taint that carries no time has been seen. `blames`: of the jobs (uid)
    that blamed it last, when each did. `cleared`: the latest annotation seen on it.
    """

    name: str
    returns: tuple[int, ...] = ()
    held_until: int | None = None
    silent: tuple[int, int] | None = None
    noticed: tuple[tuple[str, int], ...] = ()
    blames: tuple[tuple[str, int], ...] = ()
    avoided: Avoided | None = None
    cleared: int | None = None


class Stage(Enum):
    """How far a pod has come; each pod only moves forward."""

    GATED = 0
    """A scheduling gate is left on it."""
    UNBOUND = 1
    BOUND = 2
    RUNNING = 3
    """Phase Running: every container has been started."""
    SUCCEEDED = 4
    FAILED = 5


@dataclass(frozen=True, slots=True)
class ContainerEnd:
    """How one container of a failed pod ended; `message` is the end of its termination message."""

    name: str
    exit_code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pod failed. `refused`: by kubelet or a device plugin, before any container ran (OutOf*,
    UnexpectedAdmissionError, ...). `disrupted`: the pod carries the condition DisruptionTarget or was evicted. `ends`
    and `conditions` (type, status) are what the rules of a failure policy look at."""

    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    message: str = ""
    """The end of the termination message, at most 1,024 characters."""
    finished_at: int | None = None
    refused: bool = False
    disrupted: bool = False
    ends: tuple[ContainerEnd, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as the API shows it; ours (`job` set) or foreign.

    `node` is the node it is bound to; `pinned` the node it is nominated or pinned to by its node affinity while
    unbound. `job` is the uid of the TrainingJob that is its controller owner. `role`, `rank` and `born` come from our
    labels and are None where absent or not readable.
    """

    id: str
    namespace: str
    name: str
    rv: int
    stage: Stage
    requests: Resources
    node: str | None = None
    pinned: str | None = None
    terminating: bool = False
    daemon: bool = False
    """Of a DaemonSet, or a mirror pod: does not make a domain less intact."""
    our_gate: bool = False
    """The gate muster.dev/gang is on it."""
    foreign_gates: tuple[str, ...] = ()
    nominated: str | None = None
    """status.nominatedNodeName."""
    collected: bool = False
    """Ended by the pod garbage collector, which says nothing about its containers."""
    job: str | None = None
    role: str | None = None
    rank: int | None = None
    born: int | None = None
    failure: Failure | None = None
    finished_at: int | None = None
    """When its last container ended (ms), if it is terminal and says so."""
    trouble: tuple[str, str] | None = None
    """(reason, message) of a container that cannot start: ImagePullBackOff, CreateContainerConfigError, ..."""
    unschedulable: str | None = None
    """The message of condition PodScheduled=False with reason Unschedulable."""

    @property
    def terminal(self) -> bool:
        """Succeeded or failed: it holds no resources any more."""
        return self.stage in (Stage.SUCCEEDED, Stage.FAILED)


# --- What a gang asks for -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Segments:
    """Consecutive ranks that must share a domain of `level`: either equal (`size`, the last may be shorter) or by
    `sizes`, in rank order. `sizes` is empty for equal segments; a list of equal sizes is parsed as `size`."""

    level: str
    size: int
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleShape:
    """One role of a gang as the solver sees it. `requests` and `filter` are those of the pod as admitted."""

    name: str
    count: int
    requests: Resources
    filter: Filter
    required: str | None = None
    preferred: str | None = None
    segments: tuple[Segments, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """A whole gang as the solver sees it; equal shapes share one verdict."""

    roles: tuple[RoleShape, ...]
    required: str | None = None
    preferred: str | None = None


class OnFailure(Enum):
    """How far an own failure of a role's pod reaches, after the rules."""

    RESTART_JOB = "RestartJob"
    RESTART_ROLE = "RestartRole"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One role of a job's spec. `template` is the hash of its pod template and launcher (together with the hash of the
    pod defaults the key of its admission). `requests` and `filter` are read from the template as written."""

    name: str
    count: int
    template: str
    requests: Resources
    filter: Filter
    required: str | None = None
    preferred: str | None = None
    segments: tuple[Segments, ...] = ()
    on_failure: OnFailure = OnFailure.RESTART_JOB


class SuccessWhen(Enum):
    """When the success policy is met."""

    ALL_PODS = "AllPods"
    ANY_POD = "AnyPod"
    FIRST_RANK = "FirstRank"


class Restart(Enum):
    """Which pods are made anew when a gang is restarted or repaired."""

    GANG = "Gang"
    FAILED_PODS = "FailedPods"


class FailureAction(Enum):
    """What a rule of the failure policy orders."""

    FAIL_JOB = "FailJob"
    RESTART = "Restart"
    REPLACE_NODE = "ReplaceNode"
    REQUEUE = "Requeue"


@dataclass(frozen=True, slots=True)
class FailureRule:
    """One rule of the failure policy; it matches a failed pod by the one of its three parts that is given.

    `codes` with `operator` In | NotIn: the exit code of a container that failed (of `container`, or of any if that is
    empty). `contains`: part of a container's termination message. `conditions`: (type, status), one of which the pod
    carries.
    """

    action: FailureAction
    counted: bool = True
    """A Restart that counts against maxRestarts."""
    container: str = ""
    operator: str = ""
    codes: tuple[int, ...] = ()
    contains: str = ""
    conditions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """How a job wants to be treated; all times in ms. The defaults are the API's, not the core's."""

    success_roles: tuple[str, ...]
    """Empty: all roles."""
    success_when: SuccessWhen
    linger: int
    backoff_base: int
    backoff_max: int
    bind_timeout: int
    start_timeout: int
    active_deadline: int | None
    ttl: int | None
    retain_attempts: int
    retain_pods: int
    max_restarts: int
    reset_after: int
    max_disruptions: int
    failure_grace: int
    """Grace for the survivors of a broken gang."""
    unreachable_after: int
    """An unready node counts as lost this long after it became unready."""
    image_pull_after: int
    """A container that cannot start (image, config) fails the start after this long."""
    prefer_wait: int
    """How long to wait for the preferred level, from when the gang first became placeable."""
    restart: Restart = Restart.GANG
    repairs: bool = True
    """Replace what broke; if not, every disruption requeues."""
    wait_for_repair: int = 0
    """No replacement to be had: keep the healthy nodes reserved this long."""
    replaces_unreachable: bool = True
    """Pods on unreachable nodes are given up after `unreachable_after`; if not, muster waits for the node."""
    quarantine: int = 3_600_000
    """A node blamed twice by the job is avoided by it this long."""
    rules: tuple[FailureRule, ...] = ()
    """The first that matches a failed pod wins."""


# --- Verdicts and placements ----------------------------------------------------------------------------------------


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


# --- What is committed of a job -------------------------------------------------------------------------------------


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
    last_repair: LastRepair | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A TrainingJob. `manifest` is the adapter's own handle on the whole object (for rendering pods); the core never
    looks into it. `roles_hash` covers roles, topology, launcher and priorityClassName; what a placement records is this
    and the hash of the pod defaults, joined by `+`."""

    id: str
    namespace: str
    name: str
    rv: int
    generation: int
    created: int
    deleting: bool
    orphaning: bool
    """Carries the finalizer `orphan`: its pods are to be left as they are."""
    suspend: bool
    priority_class: str
    roles: tuple[RoleSpec, ...]
    required: str | None
    preferred: str | None
    policy: Policy
    roles_hash: str
    status: Committed
    gitops: bool = False
    """Carries an Argo CD or Flux tracking label or annotation."""
    manifest: Any = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """namespace/name, for people."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A TrainingJob that the parser could not take: it stays Pending with this field and sentence. `status` is what it
    had. What its pods hold still counts; it makes no more of them, so nothing else of its claim is needed."""

    id: str
    namespace: str
    name: str
    rv: int
    generation: int
    path: str
    """The field at fault, as a person would write it: spec.roles[0].replicas."""
    message: str
    status: Committed
    deleting: bool = False
    manifest: Any = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """namespace/name, for people."""
        return f"{self.namespace}/{self.name}"


# --- The cluster's other records ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Level:
    """A level of the topology as resolved: domains are told apart by the value of the first of `labels` that nodes
    carry. `weight` None: the default."""

    name: str
    labels: tuple[str, ...]
    boundary: bool = False
    placeholders: tuple[str, ...] = ()
    fill_limit: int | None = None
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class TopologySpec:
    """The ClusterTopology named `default` (or, with none applied, `Auto`). `levels` only for preset Custom; a level
    named `node` may end the list and carries only a weight."""

    name: str
    uid: str
    rv: int
    generation: int
    preset: str
    levels: tuple[Level, ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    accelerators: tuple[str, ...] = ("nvidia.com/gpu", "amd.com/gpu")
    invalid: str = ""
    """Field and sentence, if it cannot be used: nothing new is placed then."""
    pod_defaults: str = ""
    """Hash of spec.podDefaults."""
    manifest: Any = field(default=None, compare=False, repr=False)
    health_rules: tuple[HealthRule, ...] | None = None
    """None: those of the preset."""
    avoided: tuple[Avoided, ...] = field(default=(), compare=False)
    """As last written into its status."""


@dataclass(frozen=True, slots=True)
class PriorityClass:
    """A PriorityClass; `preempts` unless its preemptionPolicy is Never."""

    name: str
    rv: int
    value: int
    preempts: bool


@dataclass(frozen=True, slots=True)
class Quota:
    """A ResourceQuota without scopes: `hard` and `used` in the names of pod requests (`pods`, `cpu`, ...)."""

    namespace: str
    name: str
    uid: str
    rv: int
    hard: Resources
    used: Resources


@dataclass(frozen=True, slots=True)
class Child:
    """A Service that a job owns."""

    id: str
    namespace: str
    name: str
    rv: int
    job: str
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """What the dry run of a role's pod answered: what a pod of `template` in `namespace` really requests and where it
    may run, or the refusal (an error class of the adapter and the server's words). `template` is the role's template
    hash and the hash of the pod defaults, joined by `+`."""

    namespace: str
    template: str
    requests: Resources = ()
    filter: Filter = Filter()
    refused: str = ""
    """Class of the refusal: quota, policy, invalid, rbac, namespace-terminating, too-large; empty when admitted."""
    message: str = ""
    at: int = 0
    claims: tuple[str, ...] = ()
    """The PersistentVolumeClaims that the pod mounts: the node affinity of the bound ones is part of `filter`."""


Record = Node | Pod | Job | Rejected | TopologySpec | PriorityClass | Quota | Child | Admission


class Kind(Enum):
    """The kinds that are watched; `Synced` names each."""

    NODE = "nodes"
    POD = "pods"
    JOB = "trainingjobs"
    TOPOLOGY = "clustertopologies"
    PRIORITY_CLASS = "priorityclasses"
    QUOTA = "resourcequotas"
    CHILD = "services"


# --- Changes: all that the world is ever told -----------------------------------------------------------------------


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
class ClockSet:
    """The clock by which the other changes carry their times was set forward by so much (ms; less than 0: back)."""

    by: int


Change = Upsert | Gone | Synced | Lost | Refused | Viewed | Readmit | Leading | Remembered | Elapsed | Freed | ClockSet


# --- Decisions and duties -------------------------------------------------------------------------------------------


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
