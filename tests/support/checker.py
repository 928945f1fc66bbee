"""The invariants S1-S7 of architecture.md over a history of writes, judged independently of the operator's own code.

A `Checker` is fed the history in order and collects `violations`, each with the name of its invariant. It reads records
only; what it thinks of them it works out by itself. `cloned` lets an exploration branch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tests.support.corecluster import Entry

from muster.core.model import ACTIVE, FINISHED, Job, Kind, Node, Phase, Placement, Pod, Resources, Stage, TopologySpec

LEGAL = {
    Phase.PENDING: {Phase.PENDING, Phase.PLACED, Phase.SUSPENDED},
    Phase.PLACED: {Phase.PLACED, Phase.STARTING, Phase.STOPPING, Phase.SUCCEEDED, Phase.FAILED},
    Phase.STARTING: {Phase.STARTING, Phase.RUNNING, Phase.REPAIRING, Phase.STOPPING, Phase.SUCCEEDED, Phase.FAILED},
    Phase.RUNNING: {Phase.RUNNING, Phase.REPAIRING, Phase.STOPPING, Phase.SUCCEEDED, Phase.FAILED},
    Phase.REPAIRING: {Phase.REPAIRING, Phase.STARTING, Phase.STOPPING, Phase.SUCCEEDED, Phase.FAILED},
    Phase.STOPPING: {Phase.STOPPING, Phase.PENDING, Phase.SUSPENDED},
    Phase.SUSPENDED: {Phase.SUSPENDED, Phase.PENDING},
    Phase.SUCCEEDED: {Phase.SUCCEEDED},
    Phase.FAILED: {Phase.FAILED},
}
ENDING = {Phase.STOPPING, Phase.PENDING, Phase.SUSPENDED, Phase.SUCCEEDED, Phase.FAILED}
"""Phases in which the pods of the attempt are to go."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant, where in the history, and what happened."""

    law: str
    rv: int
    said: str

    def __str__(self) -> str:
        return f"{self.law} at rv {self.rv}: {self.said}"


@dataclass(slots=True)
class _Attempt:
    """What has happened to one attempt of a job. `made` holds the ranks whose pod was created, `checked` the writers
    that read a consistent view since the claim was committed."""

    placement: Placement
    by: str
    made: set[tuple[str, int]] = field(default_factory=set)
    viewed: set[str] = field(default_factory=set)
    started: bool = False
    ended: bool = False


@dataclass(slots=True)
class Checker:
    """See the module."""

    violations: list[Violation] = field(default_factory=list)
    strict: bool = False
    """The operator knew everything at once: what it acted on is what was."""
    jobs: dict[str, Job] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    attempts: dict[tuple[str, int], _Attempt] = field(default_factory=dict)
    live: dict[str, Job] = field(default_factory=dict)
    orphaned: set[str] = field(default_factory=set)
    unfit_since: dict[str, int] = field(default_factory=dict)
    """Nodes that have ever been deleted or out of service (0), or unready, and since when first."""
    at_large: dict[str, Pod] = field(default_factory=dict)
    """Pods whose object is gone while their containers may still run."""
    owners: dict[str, str] = field(default_factory=dict)
    """Pod to job, also when the pod has been orphaned since."""
    topology: TopologySpec | None = None
    _last: Entry | None = None

    def cloned(self) -> Checker:
        """An independent copy, which shares what is never written."""
        other = replace(self)
        for name in ("jobs", "pods", "nodes", "live", "unfit_since", "at_large", "owners"):
            setattr(other, name, dict(getattr(self, name)))
        other.violations, other.orphaned = list(self.violations), set(self.orphaned)
        other.attempts = {key: replace(a, made=set(a.made), viewed=set(a.viewed)) for key, a in self.attempts.items()}
        return other

    def feed(self, history: Iterable[Entry]) -> Checker:
        """Read on in the history."""
        for entry in history:
            self._last = entry
            self._give_up(entry.at)
            match entry.kind:
                case Kind.JOB:
                    self._job(entry)
                case Kind.POD:
                    self._pod(entry)
                case Kind.NODE:
                    self._node(entry)
                case Kind.TOPOLOGY:
                    self.topology = entry.record if isinstance(entry.record, TopologySpec) else None
                case _:
                    pass
        return self

    def _broken(self, law: str, said: str) -> None:
        assert self._last is not None
        self.violations.append(Violation(law, self._last.rv, said))

    # --- jobs -------------------------------------------------------------------------------------------------------

    def _job(self, entry: Entry) -> None:
        if entry.verb == "view":
            for job in self.live.values():
                self.attempts[job.id, job.status.attempt].viewed.add(entry.by)
            return
        job = entry.record
        assert isinstance(job, Job)
        if entry.verb == "gone":
            self.jobs.pop(job.id, None)
            self.live.pop(job.id, None)
            return
        before, self.jobs[job.id] = self.jobs.get(job.id), job
        if job.orphaning:
            self.orphaned.add(job.id)
        if job.status.live:
            self.live[job.id] = job
        else:
            self.live.pop(job.id, None)
        if before is None:
            self._adopt(entry, job)
        elif entry.verb == "status":
            self._status(entry, before, job)

    def _adopt(self, entry: Entry, job: Job) -> None:
        """A job that the history begins with."""
        placement = job.status.placement
        if placement is not None:
            started = job.status.phase is not Phase.PLACED
            self.attempts[job.id, job.status.attempt] = _Attempt(placement, entry.by, started=started)

    def _status(self, entry: Entry, before: Job, job: Job) -> None:
        old, new = before.status, job.status
        if new.phase not in LEGAL[old.phase]:
            law = "S7" if old.phase in FINISHED else "table"
            self._broken(law, f"{job.name}: {old.phase.value} -> {new.phase.value}")
        for name in ("attempt", "restarts", "disruptions", "running_ms"):
            if getattr(new, name) < getattr(old, name):
                self._broken("S7", f"{job.name}: {name} went from {getattr(old, name)} to {getattr(new, name)}")
        if new.restarts_in_row > job.policy.max_restarts:
            self._broken("S7", f"{job.name}: {new.restarts_in_row} restarts in a row")
        placed = new.phase is Phase.PLACED and old.phase is Phase.PENDING
        repaired = new.phase is Phase.REPAIRING and new.placement != old.placement
        if new.attempt != old.attempt + (placed or repaired):
            self._broken("S7", f"{job.name}: attempt {old.attempt} -> {new.attempt} at {new.phase.value}")
        self._consistent(job)
        if (placed or repaired) and new.placement is not None:
            self.attempts[job.id, new.attempt] = _Attempt(new.placement, entry.by)
            self._constraints(job, new.placement, entry)
            if repaired and old.placement is not None:
                self._kept(job, old.placement, new.placement)
        attempt = self.attempts.get((job.id, new.attempt))
        if attempt is not None and new.phase is Phase.STARTING and old.phase in (Phase.PLACED, Phase.REPAIRING):
            self._starting(job, attempt, entry.by)
        if attempt is not None and new.phase in ENDING:
            attempt.ended = True
        if old.live and not new.live:
            self._released(job)

    def _kept(self, job: Job, before: Placement, after: Placement) -> None:
        """A repair: a rank whose pod stays keeps its node; one whose pod is made anew is born in this attempt."""
        for role, (olds, news) in enumerate(zip(before.nodes, after.nodes, strict=True)):
            for rank, (old, new) in enumerate(zip(olds, news, strict=True)):
                born, was = after.born[role][rank], before.born[role][rank]
                if born not in (was, after.attempt):
                    self._broken("S7", f"{job.name}: rank {rank} born {was} is now born {born}")
                if born != after.attempt and old != new:
                    self._broken("S3", f"{job.name}: rank {rank} moved from {old} to {new} with its old pod")

    def _consistent(self, job: Job) -> None:
        status = job.status
        placed = status.placement is not None
        match status.phase:
            case Phase.PENDING | Phase.SUSPENDED:
                if status.live or placed:
                    self._broken("S5", f"{job.name}: {status.phase.value} with a claim")
            case Phase.SUCCEEDED | Phase.FAILED:
                pass
            case _:
                if not (status.live and status.placement is not None and status.placement.attempt == status.attempt):
                    self._broken("S5", f"{job.name}: {status.phase.value} without the attempt it speaks of")

    def _released(self, job: Job) -> None:
        holding = [p.name for p in self._held(job) if p.stage is not Stage.GATED]
        if holding:
            self._broken("S2", f"{job.name}: the claim was released while {holding[0]} may run")

    def _held(self, job: Job) -> list[Pod]:
        mine = [p for p in self.pods.values() if p.job == job.id and not p.terminal]
        return mine + [p for p in self.at_large.values() if p.job == job.id]

    # --- S1, S2: the start ------------------------------------------------------------------------------------------

    def _starting(self, job: Job, attempt: _Attempt, by: str) -> None:
        attempt.started = True
        births = {
            (name, rank): born
            for name, mine in zip(attempt.placement.roles, attempt.placement.born, strict=True)
            for rank, born in enumerate(mine)
        }
        wanted = {rank for rank, born in births.items() if born == attempt.placement.attempt}
        if attempt.made != wanted:
            self._broken("S1", f"{job.name}: started with {len(attempt.made)} of {len(wanted)} pods made")
        if by not in attempt.viewed:
            self._broken("S2", f"{job.name}: {by} started it without a consistent view since its claim")
        here = {
            (p.role or "", -1 if p.rank is None else p.rank)
            for p in self.pods.values()
            if p.job == job.id and births.get((p.role or "", p.rank or 0)) == p.born and not p.terminating
        }
        if self.strict and here != set(births):
            self._broken("S1", f"{job.name}: started while {len(here)} of {len(births)} pods are there")
        for name in self._overfull(job):
            self._broken("S2", f"{job.name}: with gangs whose gates are open it claims more than {name} has")

    def _overfull(self, job: Job) -> list[str]:
        """Nodes of this gang on which the gangs whose gates are open (strictly: all live ones) claim more than there
        is."""
        taken: dict[str, dict[str, int]] = {}
        mine = _load(job)
        for other in self.live.values():
            attempt = self.attempts[other.id, other.status.attempt]
            if not attempt.started and not self.strict:
                continue
            if other.deleting and not self._held(other):
                continue  # whatever finalizer keeps the object: its claim ended with its last pod
            for name, amounts in _load(other).items():
                if name in mine:
                    sums = taken.setdefault(name, {})
                    for resource, amount in amounts.items():
                        sums[resource] = sums.get(resource, 0) + amount
        return [
            name
            for name, sums in taken.items()
            if name in self.nodes
            and any(amount > dict(self.nodes[name].allocatable).get(r, 0) for r, amount in sums.items())
        ]

    # --- S4: hard constraints ----------------------------------------------------------------------------------------

    def _constraints(self, job: Job, placement: Placement, entry: Entry) -> None:
        nodes = entry.known if entry.known is not None else self.nodes
        everyone = [name for names in placement.nodes for name in names]
        fresh = {
            name
            for names, births in zip(placement.nodes, placement.born, strict=True)
            for name, born in zip(names, births, strict=True)
            if born == placement.attempt
        }
        for name in fresh:
            if name not in nodes:
                self._broken("S4", f"{job.name}: {name} does not exist")
                return
        for spec, names in zip(job.roles, placement.nodes, strict=True):
            if len(names) != spec.count:
                self._broken("S4", f"{job.name}: {len(names)} of {spec.count} pods of {spec.name} have a node")
            births = placement.born[placement.roles.index(spec.name)]
            for name, born in zip(names, births, strict=False):
                if born != placement.attempt:
                    continue  # what runs there goes on, whatever its node takes
                why = _unfit(nodes[name], dict(spec.filter.selector), {t.key for t in spec.filter.tolerations})
                if why:
                    self._broken("S4", f"{job.name}: {name} is {why}")
            self._together(job, spec.required, [names], nodes)
            for segments in spec.segments:
                self._together(job, segments.level, _cut(names, segments.size, segments.sizes), nodes)
        self._together(job, job.required, [everyone], nodes)
        for level in self.topology.levels if self.topology else ():
            if level.boundary:
                self._together(job, level.name, [everyone], nodes)
        for name, amounts in _load(job).items():
            has = dict(nodes[name].allocatable)
            if any(amount > has.get(resource, 0) for resource, amount in amounts.items()):
                self._broken("S4", f"{job.name}: {name} has not got what its pods ask")

    def _together(self, job: Job, level: str | None, groups: Iterable[Iterable[str]], nodes: object) -> None:
        if level is None or level == "node" or self.topology is None or not isinstance(nodes, dict):
            return
        names = [known.name for known in self.topology.levels]
        if level not in names:
            return
        upto = self.topology.levels[: names.index(level) + 1]
        for group in groups:
            domains = {tuple(nodes[n].labels.get(known.labels[0], f"alone {n}") for known in upto) for n in group}
            if len(domains) > 1:
                self._broken("S4", f"{job.name}: {sorted(group)} lie in {len(domains)} domains of {level}")

    # --- pods: S1, S3, S6 ---------------------------------------------------------------------------------------------

    def _pod(self, entry: Entry) -> None:
        pod = entry.record
        assert isinstance(pod, Pod)
        mine = entry.by.startswith("operator")
        before = self.pods.get(pod.id)
        if pod.job is not None:
            self.owners[pod.id] = pod.job
        match entry.verb:
            case "create":
                self.pods[pod.id] = pod
                if mine:
                    self._created(pod)
            case "patch":
                self.pods[pod.id] = pod
                if mine and before is not None and before.our_gate and not pod.our_gate:
                    self._ungated(pod)
            case "delete":
                if mine:
                    self._deleted(pod, entry)
                if not entry.force and pod.node is not None and not pod.terminal:
                    self.pods[pod.id] = pod
            case "gone":
                self.pods.pop(pod.id, None)
                operators = entry.by.startswith("operator")  # theirs was judged when they asked for it
                if entry.force and not operators and pod.node in self.nodes and not pod.terminal:
                    self.at_large[pod.id] = pod

    def _created(self, pod: Pod) -> None:
        attempt = self.attempts.get((pod.job or "", pod.born or -1))
        rank = (pod.role or "", pod.rank if pod.rank is not None else -1)
        if attempt is None:
            self._broken("S6", f"{pod.name} was made for an attempt that was never committed")
            return
        attempt.made.add(rank)
        node = attempt.placement.nodes[attempt.placement.roles.index(rank[0])][rank[1]]
        if pod.pinned != node:
            self._broken("S4", f"{pod.name} was pinned to {pod.pinned}, not to {node}")
        for other in self._twins(pod):
            if other.node is not None and (other.born or 0) < (pod.born or 0):
                self._broken("S3", f"{pod.name} was made while {other.name} may still run on {other.node}")

    def _twins(self, pod: Pod) -> list[Pod]:
        """Other pods of the same rank that have not ended."""
        return [
            other
            for other in (*self.pods.values(), *self.at_large.values())
            if (self.owners.get(other.id), other.role, other.rank) == (self.owners.get(pod.id), pod.role, pod.rank)
            and other.id != pod.id
            and not other.terminal
        ]

    def _ungated(self, pod: Pod) -> None:
        attempt = self.attempts.get((self.owners.get(pod.id, ""), pod.born or -1))
        if attempt is None or not attempt.started:
            self._broken("S1", f"{pod.name} left its gate before Starting was committed")
        for other in self._twins(pod):
            if not other.our_gate:
                self._broken("S3", f"{pod.name} left its gate while {other.name} has left its own")

    def _deleted(self, pod: Pod, entry: Entry) -> None:
        owner = self.owners.get(pod.id)
        if owner is None:
            self._broken("S6", f"{pod.name} was deleted and is not ours")
            return
        job = self.jobs.get(owner)
        if entry.force and not self._may_force(pod, job, entry):
            self._broken("S3", f"{pod.name} was deleted by force while its node {pod.node} was well")
        if pod.terminal or ((job is None or job.deleting) and owner not in self.orphaned):
            return
        attempt = self.attempts.get((owner, pod.born or -1))
        if attempt is not None and (attempt.ended or self._replaced(owner, pod)):
            return
        if owner in self.orphaned:
            self._broken("S6", f"{pod.name} was deleted, its job having been deleted with --cascade=orphan")
        else:
            self._broken("S1", f"{pod.name} was deleted while its attempt went on")

    def _replaced(self, owner: str, pod: Pod) -> bool:
        """A later attempt has been committed in which this rank's pod is another, or which has ended."""
        for (uid, number), attempt in self.attempts.items():
            if uid != owner or number <= (pod.born or 0):
                continue
            births = attempt.placement.born[attempt.placement.roles.index(pod.role or "")]
            if attempt.ended or births[pod.rank or 0] != pod.born:
                return True
        return False

    def _give_up(self, at: int) -> None:
        """What is at large on a machine that has been silent for as long as its job's policy says, or answers again,
        is waited for no longer."""
        for pod in list(self.at_large.values()):
            job, node = self.jobs.get(pod.job or ""), self.nodes.get(pod.node or "")
            if job is None or node is None:
                continue
            over = job.policy.replaces_unreachable and at >= (node.unready_since or 0) + job.policy.unreachable_after
            if node.unready_since is None or over:
                del self.at_large[pod.id]

    def _may_force(self, pod: Pod, job: Job | None, entry: Entry) -> bool:
        if pod.node not in self.nodes:
            return True
        since = self.unfit_since.get(pod.node or "")
        patience = job.policy.unreachable_after if job is not None else 0
        return since is not None and (since == 0 or entry.at >= since + patience)

    def _node(self, entry: Entry) -> None:
        node = entry.record
        assert isinstance(node, Node)
        if entry.verb == "gone":
            self.nodes.pop(node.name, None)
            self.unfit_since[node.name] = 0
        else:
            self.nodes[node.name] = node
            if node.out_of_service:
                self.unfit_since[node.name] = 0
            elif node.unready_since is not None:
                self.unfit_since.setdefault(node.name, node.unready_since)
        if entry.verb == "gone" or node.out_of_service:  # the administrator's word that the machine is off
            for uid in [p.id for p in self.at_large.values() if p.node == node.name]:
                del self.at_large[uid]

    # --- S5, S6 at rest -----------------------------------------------------------------------------------------------

    def at_rest(self) -> Checker:
        """What must hold when nothing happens any more: nothing leaks, no attempt is without its pods."""
        for pod in self.pods.values():
            job = self.jobs.get(pod.job or "")
            if pod.job is None or pod.terminal:
                continue
            if job is None:
                self._broken("S6", f"{pod.name} is left of a job that is gone")
            elif job.status.phase not in ACTIVE:
                self._broken("S6", f"{pod.name} is left of a job that is {job.status.phase.value}")
            elif job.status.placement is not None and not _has_place(job.status.placement, pod):
                self._broken("S6", f"{pod.name} is left of attempt {pod.born}")
        for job in self.jobs.values():
            if job.status.phase is Phase.STOPPING and not job.deleting and not self._held(job):
                self._broken("S5", f"{job.name} is stopping and has nothing to wait for")
        return self


def check(history: Iterable[Entry]) -> list[Violation]:
    """All that is broken in a history."""
    return Checker().feed(history).violations


def _has_place(placement: Placement, pod: Pod) -> bool:
    births = dict(zip(placement.roles, placement.born, strict=True)).get(pod.role or "", ())
    return pod.rank is not None and pod.rank < len(births) and births[pod.rank] == pod.born


def _load(job: Job) -> dict[str, dict[str, int]]:
    placement = job.status.placement
    load: dict[str, dict[str, int]] = {}
    for spec, names in zip(job.roles, placement.nodes if placement else (), strict=False):
        wanted: Resources = spec.requests
        for name in names:
            sums = load.setdefault(name, {})
            for resource, amount in wanted:
                sums[resource] = sums.get(resource, 0) + amount
    return load


def _cut(names: tuple[str, ...], size: int, sizes: tuple[int, ...]) -> list[tuple[str, ...]]:
    pieces, first = [], 0
    for piece in sizes or [size] * (-(-len(names) // size)):
        pieces.append(names[first : first + piece])
        first += piece
    return [piece for piece in pieces if piece]


def _unfit(node: Node, selector: dict[str, str], tolerated: set[str]) -> str:
    if node.cordoned:
        return "cordoned"
    if node.unready_since is not None or node.out_of_service:
        return "not ready"
    if any(node.labels.get(key) != value for key, value in selector.items()):
        return "not selected"
    if any(t.effect in ("NoSchedule", "NoExecute") and t.key not in tolerated for t in node.taints):
        return "tainted"
    return ""
