"""All that the loop knows: records by kind, the claims that follow from them, and what has to be looked at again.

Only `apply` (a Change came in), `assume` (a transition was decided) and `settle` (it was planned) move a World; reading
never does. Everything in it can be rebuilt from `records()`, at the cost of planning everything once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from muster.core.admissions import Admissions, about, template_key
from muster.core.agenda import Agenda
from muster.core.claims import Claims
from muster.core.freed import FreedNodes
from muster.core.ghosts import Ghosts
from muster.core.inventory import Epoch, Inventory
from muster.core.line import Line, order_of
from muster.core.model import (
    ACTIVE,
    ActionKind,
    Admission,
    Change,
    Child,
    ClockSet,
    Elapsed,
    Freed,
    Ghost,
    Gone,
    Job,
    Kind,
    Leading,
    Lost,
    Node,
    Phase,
    Placement,
    Plan,
    Pod,
    PriorityClass,
    Quota,
    Readmit,
    Record,
    Refused,
    Rejected,
    Remedy,
    Remembered,
    Reservation,
    Shape,
    Synced,
    TopologySpec,
    TopologyStatus,
    Transition,
    Upsert,
    Verdict,
    Viewed,
)
from muster.core.pasts import Pasts
from muster.core.placement import Solver
from muster.core.pods import Pods, SeenPod
from muster.core.topology import survey

AUTO = TopologySpec(name="", uid="", rv=0, generation=0, preset="Auto")
"""What holds while no ClusterTopology is applied."""


@dataclass(slots=True)
class _Entry:
    """A job as acknowledged by the API server, and what has been decided since."""

    record: Job | Rejected
    since: int
    assumed: Transition | None = None
    _made: tuple[Job | Rejected, Transition, Job | Rejected] | None = None
    """What `now` was last made of, and what it was."""
    cleared: int | None = None
    """When (ms) a pod of the job last vanished."""

    @property
    def now(self) -> Job | Rejected:
        if self.assumed is None:
            return self.record
        made = self._made
        if made is None or made[0] is not self.record or made[1] is not self.assumed:
            made = self._made = self.record, self.assumed, replace(self.record, status=self.assumed.status)
        return made[2]


class World:
    """See the module. `jobs` and all that is read of a job show what was assumed; `acknowledged` does not."""

    def __init__(self, *, nominate: bool = True, served: frozenset[str] = frozenset()) -> None:
        self.nominate = nominate
        """Gated pods are to be nominated for their nodes."""
        self.served = served
        """The namespaces whose jobs are decided about; empty: all of them. The claims of the others count."""
        self.nodes: dict[str, Node] = {}
        self.inventory = Inventory()
        self.solver = Solver()
        self.agenda = Agenda()
        self.topology: TopologySpec = AUTO
        self.priority_classes: dict[str, PriorityClass] = {}
        self.term: str | None = None
        self.line = Line()
        """The jobs that wait, as assumed."""
        self.verdict_counter = 0
        """Grows with every change, beside those of the inventory, that can matter to a waiting job."""
        self._jobs: dict[str, _Entry] = {}
        self._pods = Pods()
        self._ghosts = Ghosts()
        self._children: dict[str, Child] = {}
        self._quotas: dict[str, dict[str, Quota]] = {}
        self._admissions = Admissions()
        self._refusals: dict[str, Refused] = {}
        self.freed = FreedNodes()
        """The nodes that gained room lately."""
        self._viewed: set[tuple[str, int]] = set()
        self._synced: set[Kind] = set()
        self._claims = Claims(self.inventory)
        self.pasts = Pasts(self.inventory)
        """What is remembered of nodes beyond their records."""
        self._planned_capacity = -1
        self._queue_at: int | None = None
        """When the queue is to be walked even if nothing happens."""
        self._active: set[str] = set()
        """The jobs served with an attempt under way, as assumed,"""
        self._placed: set[str] = set()
        """and those of them that are Placed."""
        self._relabelled = False
        """Labels changed since the last plan: whether hard constraints hold is to be judged again."""
        self._by_labels: dict[str, tuple[Epoch, Placement, Verdict | None]] = {}
        self.inventory.set_topology(self.topology)

    # --- reading ----------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """All kinds have been listed at least once."""
        return len(self._synced) == len(Kind)

    @property
    def leading(self) -> bool:
        """This process may decide."""
        return self.term is not None

    @property
    def capacity(self) -> int:
        """Grows with everything that can change the verdict on a waiting job."""
        return self.inventory.version + self.verdict_counter

    @property
    def waiting_stale(self) -> bool:
        """Something happened since the last plan that can matter to jobs that wait."""
        return self.capacity != self._planned_capacity

    def serves(self, namespace: str) -> bool:
        """Jobs of this namespace are decided about, and something may be written there."""
        return not self.served or namespace in self.served

    def queue_due(self, now: int) -> bool:
        """The moment has come for which the last walk of the queue asked."""
        return self._queue_at is not None and self._queue_at <= now

    @property
    def queue_at(self) -> int | None:
        """When the queue is to be walked again even if nothing happens (ms, wall clock)."""
        return self._queue_at

    def placed(self) -> Iterator[Job]:
        """The jobs served that are Placed, as assumed, in no particular order."""
        for uid in self._placed:
            job = self._jobs[uid].now
            if isinstance(job, Job):
                yield job

    def jobs(self) -> Iterator[Job | Rejected]:
        """Every job, in no particular order, as assumed."""
        return (entry.now for entry in self._jobs.values())

    def job(self, uid: str) -> Job | Rejected | None:
        """The job with the status assumed of it, if any; else as acknowledged."""
        entry = self._jobs.get(uid)
        return entry.now if entry else None

    def acknowledged(self, uid: str) -> Job | Rejected | None:
        """The job as the API server last showed it."""
        entry = self._jobs.get(uid)
        return entry.record if entry else None

    def assumed(self, uid: str) -> Transition | None:
        """The transition that was decided and is not yet known to be committed."""
        entry = self._jobs.get(uid)
        return entry.assumed if entry else None

    def written_at(self, uid: str) -> int:
        """When (ms) the job's status last changed, as seen by us."""
        return self._jobs[uid].since

    def pods_of(self, uid: str) -> list[Pod]:
        """The pods whose controller owner is this job."""
        return [seen.pod for seen in self._pods.of(uid)]

    def seen_pods_of(self, uid: str) -> Iterable[SeenPod]:
        """The same with the time of each one's last change of stage."""
        return self._pods.of(uid)

    def cleared(self, uid: str) -> int | None:
        """When (ms) a pod of the job last vanished from the API, as far as was seen."""
        return self._jobs[uid].cleared

    def ghosts_of(self, uid: str) -> Iterable[Ghost]:
        """Pods of this job that were taken out of the API while their machine did not answer: what they started may
        still run (`stopped.ghost_until`)."""
        return self._ghosts.of(uid)

    def silent_since(self, node: Node | None) -> int | None:
        """Since when (ms) this process has seen the machine not answer; None: it answers, or is not there."""
        return self.pasts.silent_since(node.name) if node is not None and node.unready_since is not None else None

    def pods_without_job(self) -> Iterator[SeenPod]:
        """Pods that name a job as owner which is not here."""
        return self._pods.without(self._jobs)

    def children(self) -> Iterable[Child]:
        """All Services that name a job as owner."""
        return self._children.values()

    def children_of(self, uid: str) -> list[Child]:
        """The Services of this job, all in its namespace."""
        entry = self._jobs.get(uid)
        here = entry.record.namespace if entry is not None else None
        return [child for child in self._children.values() if child.job == uid and here in (None, child.namespace)]

    def quotas(self, namespace: str) -> Iterable[Quota]:
        """The namespace's ResourceQuotas."""
        return self._quotas.get(namespace, {}).values()

    def admission(self, namespace: str, template: str) -> Admission | None:
        """What the dry run of this template (see `template_key`) answered here, if it was asked."""
        return self._admissions.get(namespace, template)

    def unasked(self, job: Job) -> bool:
        """What the pods of some role really request is not known yet: its dry run has not answered."""
        return self._admissions.unasked(job, self.topology.pod_defaults)

    def refusal(self, uid: str, attempt: int) -> Refused | None:
        """What the API server refused to this attempt, if anything."""
        refused = self._refusals.get(uid)
        return refused if refused is not None and refused.attempt == attempt and not refused.commit else None

    def refused_commit(self, uid: str) -> Refused | None:
        """The refusal of the last decision about this job, if nothing of it has been written since."""
        refused = self._refusals.get(uid)
        return refused if refused is not None and refused.commit else None

    def viewed(self, uid: str, attempt: int) -> bool:
        """A consistent view that contains this claim has been applied (S2)."""
        return (uid, attempt) in self._viewed

    def template_key(self, job: Job, role: int) -> str:
        """The key of the admission of one role's pods."""
        return template_key(job, role, self.topology.pod_defaults)

    def roles_hash(self, job: Job) -> str:
        """What a placement made now records as what its pods are rendered from."""
        return f"{job.roles_hash}+{self.topology.pod_defaults}"

    def shape(self, job: Job) -> Shape:
        """What the solver is asked: the job's roles with what their pods request as admitted."""
        return self._admissions.shape(job, self.topology.pod_defaults, keep=job.id in self._jobs)

    def remedy(self, inventory: Inventory, shape: Shape, verdict: Verdict) -> Remedy | None:
        """The smallest change that would place a shape that this inventory (ours, or a fork) refused with this verdict;
        None for reasons that are not the solver's. Jobs are named as people name them."""
        self.inventory.index_pods()  # once, for every fork from now on
        found = self.solver.remedy(inventory, shape, verdict)
        if found is None or all(action.kind is not ActionKind.END for action in found.actions):
            return found
        named = [
            replace(action, target=self._job_name(action.target)) if action.kind is ActionKind.END else action
            for action in found.actions
        ]
        return replace(found, actions=tuple(named))

    def _job_name(self, uid: str) -> str:
        entry = self._jobs.get(uid)
        if entry is not None:
            return entry.record.key
        return f"a job that is gone ({uid})" if uid.isprintable() else "a gang ahead of it in the queue"

    def broken_by_labels(self, job: Job, placement: Placement) -> Verdict | None:
        """The hard constraint that this placement breaks by today's labels, if any; judged once an epoch."""
        known = self._by_labels.get(job.id)
        if known is None or known[0] is not self.inventory.epoch or known[1] is not placement:
            problem = self.solver.keeps(self.inventory, self.shape(job), placement.nodes)
            known = self._by_labels[job.id] = (self.inventory.epoch, placement, problem)
        return known[2]

    def domains_of(self, node: str) -> dict[str, str]:
        """Level -> the value that names this node's domain there; levels it has no label for are left out."""
        known = self.nodes.get(node)
        if known is None:
            return {}
        levels = self.inventory.levels
        path = levels.path(known.labels)
        return {level.name: value for level, value in zip(levels.levels, path, strict=True) if value is not None}

    def topology_status(self) -> TopologyStatus:
        """What ClusterTopology.status should say now."""
        levels = self.inventory.levels
        excluded: dict[str, int] = {}
        eligible = 0
        for node in self.nodes.values():
            cause = self.inventory.cause(node.name)
            if not cause:
                eligible += 1
            else:
                excluded[cause] = excluded.get(cause, 0) + 1
        return TopologyStatus(
            levels=survey(levels, self.nodes.values()),
            total=len(self.nodes),
            eligible=eligible,
            excluded=tuple(sorted(excluded.items(), key=lambda item: (-item[1], item[0]))),
            detected_preset=levels.preset,
            invalid=self.topology.invalid or levels.invalid,
            observed_generation=self.topology.generation,
            avoided=self.pasts.avoided(),
        )

    @property
    def next_expiry(self) -> int | None:
        """When (ms) something ends by time alone: `Elapsed` is to be applied then."""
        return self.pasts.next_expiry

    # --- the agenda -------------------------------------------------------------------------------------------------

    def due(self, now: int) -> set[str]:
        """The jobs to look at: touched since they last were, past their deadline, or under way when labels changed."""
        return self.agenda.due(now) | (self._active if self._relabelled else set())

    def settle(self, plan: Plan) -> None:
        """Note that `plan` was made and its transitions assumed: what it looked at is off the agenda until its deadline
        or its next change."""
        assumed = frozenset(t.job for t in plan.transitions if self.assumed(t.job) is not None)
        known = [(uid, at) for uid, at in plan.wakes if uid in self._jobs]
        self.agenda.settle(known, keep=assumed)
        if plan.queued:
            self._planned_capacity = plan.capacity
            self._queue_at = plan.queue_at
        if self.ready and self.leading:
            self._relabelled = False

    def _touch_all(self) -> None:
        for uid in self._jobs:
            self.agenda.touch(uid)
        self.verdict_counter += 1

    def take_touched(self) -> set[str]:
        """The jobs whose duties may have changed since this was last called."""
        return self.agenda.take_touched()

    # --- changing ---------------------------------------------------------------------------------------------------

    def assume(self, transition: Transition) -> None:
        """Take a decision as made until its outcome is known; its claim counts at once, and what it gives up goes on
        counting until the API server has acknowledged that."""
        entry = self._jobs.get(transition.job)
        if entry is None:
            return
        if entry.record.status.phase != transition.status.phase:
            self.verdict_counter += 1
        entry.assumed = transition
        self._reclaim(transition.job)
        self.agenda.touch(transition.job)

    def apply(self, change: Change) -> None:
        """Take in one change. Records older than what is held have been dropped at the door."""
        match change:
            case Upsert(record, at):
                self._upsert(record, at)
            case Gone(kind, id_, at, owner):
                self._gone(kind, id_, at, owner)
            case Synced(kind):
                self._synced.add(kind)
                if self.ready:
                    self._touch_all()
            case Lost(uid, base_rv):
                entry = self._jobs.get(uid)
                if entry and entry.assumed and entry.assumed.base_rv == base_rv:
                    entry.assumed = None
                    self._reclaim(uid)
                    self.agenda.touch(uid)
                    self.verdict_counter += 1
            case Refused():
                self._refused(change)
            case Viewed(claims):
                for uid, attempt in claims:
                    if uid in self._jobs:
                        self._viewed.add((uid, attempt))
                        self.agenda.touch(uid)
            case Readmit():
                self._readmit(change)
            case Leading(term):
                self.term = term
                self._viewed.clear()
                self._touch_all()
                if self.ready and self.leading:
                    # What vanished before this process watched.
                    for job in [entry.record for entry in self._jobs.values()]:
                        if isinstance(job, Job) and job.status.live:
                            self._ghosts.look(job, self.pods_of(job.id), self._silent)
            case Remembered(past):
                self._touch_nodes(self.pasts.put(past))
            case Elapsed(at):
                changed = self.pasts.elapse(at)
                self._touch_nodes(changed)
                self.freed.note((name for name in sorted(changed) if not self.inventory.cause(name)), at)
            case Freed(node, at):
                self.freed.note([node], at)
            case Ghost():
                self._ghosts.put(change)
            case ClockSet(by):
                self._shift(by)

    def _shift(self, by: int) -> None:
        """Whatever was measured goes on as long as it would have; what is written in a status is left as it is, and so
        is what was freed when, which is only held against that."""
        self.pasts.shift(by)
        self._pods.shift(by)
        self._ghosts.shift(by)
        for entry in self._jobs.values():
            entry.since += by
            entry.cleared = entry.cleared + by if entry.cleared is not None else None
        self._admissions.shift(by)
        for uid, refused in self._refusals.items():
            self._refusals[uid] = replace(refused, at=refused.at + by)
        self._line_up_all()
        self._touch_all()

    def _refused(self, change: Refused) -> None:
        entry = self._jobs.get(change.job)
        if entry is None:
            return
        if change.commit:  # the decision did not happen
            entry.assumed = None
            self._reclaim(change.job)
            self.verdict_counter += 1
        self._refusals[change.job] = change
        self._line_up(change.job)
        self.agenda.touch(change.job)

    def _ask_refused_again(self) -> None:
        self._admissions.forget_refused()
        self._touch_all()

    def _readmit(self, change: Readmit) -> None:
        namespace = change.namespace
        if not self._admissions.forget(namespace, change.claim) and change.claim is not None:
            return
        for uid, entry in self._jobs.items():
            if namespace is None or entry.record.namespace == namespace:
                self.agenda.touch(uid)
        self.verdict_counter += 1

    def _upsert(self, record: Record, at: int) -> None:
        match record:
            case Pod():
                self._upsert_pod(record, at)
            case Job() | Rejected():
                self._upsert_job(record, at)
            case Node():
                known = self.nodes.get(record.name)
                barred = known is None or self.inventory.cause(record.name) != "" or known.taints != record.taints
                barred |= known is not None and known.allocatable != record.allocatable
                self.nodes[record.name] = record
                self.inventory.put_node(record)
                if known is None or replace(known, rv=0) != replace(record, rv=0):
                    self._touch_node(record.name)
                    self._touch_jobs(self._ghosts.listen(known, record, at))
                    self._touch_nodes(self.pasts.see(known, record, at))
                if barred and not self.inventory.cause(record.name):
                    self.freed.note([record.name], at)
                if known is None or known.labels != record.labels:
                    self._relabelled = True
            case TopologySpec():
                changed = replace(record, rv=0) != replace(self.topology, rv=0)
                self.topology = record
                if changed:
                    self.inventory.set_topology(record)
                self._touch_nodes(self.pasts.read(record, self.nodes.values(), at, rules=changed))
                if changed:
                    self._admissions.anew()
                    self._touch_all()
                    for uid in self._jobs:  # admissions are by pod defaults too
                        self._reclaim(uid)
            case PriorityClass():
                self.priority_classes[record.name] = record
                self._line_up_all()
                self._ask_refused_again()
            case Quota():
                self._quotas.setdefault(record.namespace, {})[record.uid] = record
                self.verdict_counter += 1
            case Child():
                self._children[record.id] = record
                self.agenda.touch(record.job)
            case Admission():
                self._admissions.put(record)
                for uid, entry in self._jobs.items():
                    if about(entry.record, record, self.topology.pod_defaults):
                        self._reclaim(uid)
                        self.agenda.touch(uid)
                self.verdict_counter += 1

    def _upsert_pod(self, pod: Pod, at: int) -> None:
        owner = self._jobs.get(pod.job) if pod.job is not None else None
        if owner is not None and owner.record.namespace != pod.namespace:
            # Who knows a job's uid can name it as an owner from anywhere. To Kubernetes such an owner is none either.
            pod = replace(pod, job=None)
        known = self._pods.put(pod, at)
        if known is not None and known.job != pod.job:
            self._pods_changed(known.job)
        self._pods_changed(pod.job)
        self.inventory.use(pod)
        where = pod.node or pod.pinned
        if where is not None and pod.terminal and known is not None and not known.terminal:
            self.freed.note([where], at)
        held = None if known is None else (known.node or known.pinned, known.requests)
        if where is not None and held != (where, pod.requests):
            self._touch_node(where, but=pod.job)

    def _silent(self, name: str) -> int | None:
        """Since when this process has seen a machine not answer; None also for one that is switched off."""
        node = self.nodes.get(name)
        return None if node is None or node.out_of_service else self.silent_since(node)

    def _pods_changed(self, uid: str | None) -> None:
        if uid is not None:
            self.agenda.touch(uid)
            self._reclaim_deleted(uid)
            self._line_up(uid)

    def _reclaim_deleted(self, uid: str) -> None:
        entry = self._jobs.get(uid)
        if entry is not None and entry.record.deleting:
            self._reclaim(uid)

    def _touch_jobs(self, uids: Iterable[str]) -> None:
        for uid in uids:
            self.agenda.touch(uid)

    def _touch_nodes(self, names: Iterable[str]) -> None:
        for name in names:
            self._touch_node(name)

    def _touch_node(self, name: str, but: str | None = None) -> None:
        for uid in self._claims.jobs_on(name):
            if uid != but:
                self.agenda.touch(uid)

    def _upsert_job(self, job: Job | Rejected, at: int) -> None:
        entry = self._jobs.get(job.id)
        if entry is None:
            self._jobs[job.id] = entry = _Entry(job, at)
            self.verdict_counter += 1
            for seen in [s for s in self.seen_pods_of(job.id) if s.pod.namespace != job.namespace]:
                self._upsert_pod(seen.pod, at)
        else:
            if _matters_to_the_waiting(entry.record, job):
                self.verdict_counter += 1
            if entry.assumed is not None and self._outcome_known(entry.assumed, job):
                entry.assumed = None
            if entry.record.status != job.status:
                entry.since = at
                if self.refused_commit(job.id) is not None:
                    del self._refusals[job.id]
            entry.record = job
        self._touch_nodes(self.pasts.blame(job))
        attempt = job.status.attempt
        self._viewed -= {(job.id, old) for old in range(max(0, attempt - 2), attempt)}
        self._reclaim(job.id, at)
        self.agenda.touch(job.id)

    @staticmethod
    def _outcome_known(assumed: Transition, job: Job | Rejected) -> bool:
        """A record later than the one the decision was based on: either it carries the decision, or it makes the
        compare-and-set fail."""
        return job.rv > assumed.base_rv

    def _gone(self, kind: Kind, id_: str, at: int, owner: str) -> None:
        match kind:
            case Kind.POD:
                known = self._pods.pop(id_)
                if known is not None:
                    node = self.nodes.get(known.node or "")
                    job = self.acknowledged(known.job or "")
                    self._ghosts.vanished(known, node, job, self.silent_since(node), at)
                    self._pods_changed(known.job)
                    self.inventory.free(id_)
                    where = known.node or known.pinned
                    if where is not None and not known.terminal:
                        self.freed.note([where], at)
                entry = self._jobs.get((known.job if known is not None else "") or owner)
                if entry is not None:
                    entry.cleared = max(at, entry.cleared or 0)
            case Kind.JOB:
                if self._jobs.pop(id_, None) is not None:
                    self._reclaim(id_, at)
                    self._admissions.drop_job(id_)
                    self._refusals.pop(id_, None)
                    self._by_labels.pop(id_, None)
                    self._ghosts.drop_job(id_)
                    self._viewed = {v for v in self._viewed if v[0] != id_}
                    self.agenda.forget(id_)
                    self.verdict_counter += 1
            case Kind.NODE:
                for node in [n for n in self.nodes.values() if n.uid == id_]:
                    del self.nodes[node.name]
                    self.inventory.drop_node(node.name)
                    self.pasts.gone(node.name, at)
                    self._touch_node(node.name)
                    self._touch_jobs(self._ghosts.drop_node(node.name))
                    self._relabelled = True
            case Kind.TOPOLOGY:
                if self.topology.uid == id_:
                    self.topology = AUTO
                    self.inventory.set_topology(AUTO)
                    self._admissions.anew()
                    self.pasts.read(AUTO, self.nodes.values(), at, rules=True)
                    self._touch_all()
                    for uid in self._jobs:
                        self._reclaim(uid)
            case Kind.PRIORITY_CLASS:
                self.priority_classes.pop(id_, None)
                self._line_up_all()
                self.verdict_counter += 1
            case Kind.QUOTA:
                for quotas in self._quotas.values():
                    quotas.pop(id_, None)
                self.verdict_counter += 1
            case Kind.CHILD:
                child = self._children.pop(id_, None)
                if child is not None:
                    self.agenda.touch(child.job)

    # --- claims -----------------------------------------------------------------------------------------------------

    def _reclaim(self, uid: str, at: int | None = None) -> None:
        """Make the job's claim what its acknowledged and its assumed status hold together. Called whenever either
        changes; `at` is when the API server's word of it came."""
        entry = self._jobs.get(uid)
        served = entry is not None and self.serves(entry.record.namespace)
        phase = entry.now.status.phase if entry is not None and served else None
        (self._active.add if phase in ACTIVE else self._active.discard)(uid)
        (self._placed.add if phase is Phase.PLACED else self._placed.discard)(uid)
        self._line_up(uid)
        placements, requests = [], []
        if entry is not None and isinstance(entry.record, Job):
            statuses = [entry.record.status] + ([entry.assumed.status] if entry.assumed else [])
            if entry.record.deleting and all(s.pod.terminal for s in self.seen_pods_of(uid)):
                statuses = []  # its claim ended with its last pod, whatever finalizer keeps the object
            placements = [s.placement.nodes for s in statuses if s.live and s.placement is not None]
            placements += [_kept(s.reservation) for s in statuses if s.reservation is not None]
            requests = [role.requests for role in self.shape(entry.record).roles] if placements else []
        before = self._claims.nodes_of(uid)
        for node in self._claims.put(uid, placements, requests):
            self._touch_node(node, but=uid)
        if at is not None and before:
            self.freed.note(sorted(before - self._claims.nodes_of(uid)), at)

    def _line_up(self, uid: str) -> None:
        """Give the job its place among those who wait, or take it away. Called whenever what it depends on changes."""
        entry = self._jobs.get(uid)
        job = None if entry is None else entry.now
        waits = isinstance(job, Job) and job.status.phase is Phase.PENDING and not job.deleting and not job.suspend
        if not isinstance(job, Job) or not waits or not self.serves(job.namespace):
            self.line.drop(uid)
            return
        assert entry is not None
        status = job.status
        alone = (
            status.not_before is not None
            or status.reservation is not None
            or any(blame.until is not None for blame in status.blamed)
            or any(not s.pod.terminal for s in self.seen_pods_of(uid))
            or self.refused_commit(uid) is not None
        )
        order = order_of(job, self.priority_classes)
        self.line.put(job, order, entry.since, alone=alone, flying=entry.assumed is not None)

    def _line_up_all(self) -> None:
        for uid in list(self.line.uids()):
            self._line_up(uid)

    # --- the laws ---------------------------------------------------------------------------------------------------

    def records(self) -> list[Change]:
        """The changes that, applied to an empty World, make an equal one (assumptions apart, see `assume`)."""
        changes: list[Change] = [Leading(self.term)]  # first: what a new leader looks for has been found
        if self.topology is not AUTO:
            changes.append(Upsert(self.topology, 0))
        changes += [Upsert(node, 0) for node in self.nodes.values()]
        changes += [Upsert(pc, 0) for pc in self.priority_classes.values()]
        changes += [Upsert(q, 0) for quotas in self._quotas.values() for q in quotas.values()]
        changes += [Upsert(a, 0) for a in self._admissions]
        changes += [Upsert(entry.record, entry.since) for entry in self._jobs.values()]
        changes += [Upsert(seen.pod, seen.since) for seen in self._pods]
        changes += list(self._ghosts)
        for uid, entry in self._jobs.items():
            if entry.cleared is not None:
                changes.append(Gone(Kind.POD, "", entry.cleared, uid))
        changes += [Upsert(child, 0) for child in self._children.values()]
        changes += [Remembered(past) for past in self.pasts.records()]
        changes += [Freed(node, at) for node, at in self.freed.items()]
        changes += list(self._refusals.values())
        changes += [Synced(kind) for kind in Kind if kind in self._synced]
        changes.append(Viewed(frozenset(self._viewed)))
        return changes

    def assumptions(self) -> list[Transition]:
        """The transitions whose outcome is not known yet."""
        return [entry.assumed for entry in self._jobs.values() if entry.assumed is not None]

    @classmethod
    def of(cls, changes: Iterable[Change], assumptions: Iterable[Transition] = ()) -> World:
        """A World built afresh."""
        world = cls()
        for change in changes:
            world.apply(change)
        for transition in assumptions:
            world.assume(transition)
        return world

    def fingerprint(self) -> object:
        """Equal before and after anything that only reads."""
        return (
            self.inventory.fingerprint(),
            self.pasts.fingerprint(),
            self.term,
            {uid: (e.record, e.since, e.assumed, e.cleared) for uid, e in self._jobs.items()},
            {seen.pod.id: seen for seen in self._pods},
            tuple(self._ghosts),
            dict(self._children),
            self._admissions.fingerprint(),
            dict(self._refusals),
            frozenset(self._viewed),
            frozenset(self._synced),
            self.agenda.fingerprint(),
            self._relabelled,
            self._planned_capacity,
            self._queue_at,
            dict(self.freed.items()),
        )


def _kept(reservation: Reservation) -> tuple[tuple[str, ...], ...]:
    """The nodes that are kept, role by role, without those of lost ranks."""
    lost = frozenset(reservation.lost)
    return tuple(
        tuple(node for rank, node in enumerate(nodes) if (role, rank) not in lost)
        for role, nodes in enumerate(reservation.nodes)
    )


def _matters_to_the_waiting(old: Job | Rejected, new: Job | Rejected) -> bool:
    """A change of this job that the verdict on it or on others can depend on, its claim apart."""
    return (
        old.generation != new.generation
        or old.status.phase != new.status.phase
        or (new.status.phase is Phase.PENDING and old.status != new.status)
    )
