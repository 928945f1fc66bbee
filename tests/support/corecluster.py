"""A cluster in memory for the core: an API server's truth, what kubelets and the scheduler would do, and operators.

`Api` holds the objects and a history of every write. What happens by itself in a cluster (bind, run, stop, collect) are
its `moves`: possible at any time, made by a driver: `Cluster` gives each a delay on a virtual clock, the laws pick them
at random, the exploration tries them all. An `Operator` is a World with a feed per object, whose requests may be
delivered, lost or answered late; several may run at once on one Api.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.builders import START, priority_class

from muster.core.duties import duties, orphans
from muster.core.eligibility import unfit
from muster.core.model import (
    Admission,
    Admit,
    Change,
    Child,
    Committed,
    CreatePod,
    DeleteJob,
    DeletePod,
    DropChild,
    Duty,
    Elapsed,
    EnsureChild,
    Failure,
    Gone,
    Job,
    Kind,
    Leading,
    Lost,
    Node,
    Nominate,
    Plan,
    Pod,
    PriorityClass,
    Quota,
    ReadView,
    Record,
    Refused,
    Resources,
    Stage,
    Synced,
    TopologySpec,
    Transition,
    Ungate,
    Upsert,
    Viewed,
)
from muster.core.plan import plan
from muster.core.world import World

Key = tuple[Kind, str]
REAP_AFTER = 10_000
"""The reaper leaves what the garbage collector may still be about to take away this long (ms)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the history. `verb`: create, status, spec, patch, delete (asked for; by grace), gone, view. `known`
    holds, for a commit that places a job, the nodes as its author knew them."""

    rv: int
    at: int
    by: str
    verb: str
    kind: Kind
    id: str
    record: Record | None = None
    force: bool = False
    known: Mapping[str, Node] | None = None


@dataclass(frozen=True, slots=True, order=True)
class Move:
    """Something that a kubelet, the scheduler or a controller may do now."""

    what: str
    id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said: an error class (empty: done), words, and what the answer shows."""

    error: str = ""
    message: str = ""
    changes: tuple[Change, ...] = ()


class Api:
    """The truth. Records are frozen and replaced, so a `clone` is cheap."""

    def __init__(self) -> None:
        self.now = START
        self.rv = 100
        self.serial = 0
        self.jobs: dict[str, Job] = {}
        self.pods: dict[str, Pod] = {}
        self.nodes: dict[str, Node] = {}
        self.services: dict[str, Child] = {}
        self.quotas: dict[str, Quota] = {}
        self.classes: dict[str, PriorityClass] = {}
        self.topology: TopologySpec | None = None
        self.refusing: dict[str, tuple[str, str]] = {}
        """Creates and dry runs of pods of jobs with this name are refused: (class, words)."""
        self.trouble: dict[str, tuple[str, str]] = {}
        """Containers of jobs with this name cannot start: (reason, message)."""
        self.rejecting: set[str] = set()
        """Kubelets that refuse the next pods bound to them."""
        self.unbindable: dict[str, str] = {}
        """The scheduler does not bind pods of jobs with this name, and says why."""
        self.foreign_gates: dict[str, tuple[str, ...]] = {}
        self.touched: dict[Key, int] = {}
        self.history: list[Entry] = []
        self.watchers: list[Callable[[Key, Change], None]] = []

    def clone(self) -> Api:
        """An independent copy without history and watchers."""
        other = Api.__new__(Api)
        other.__dict__.update(self.__dict__)
        for name in (
            "jobs",
            "pods",
            "nodes",
            "services",
            "quotas",
            "classes",
            "touched",
            "trouble",
            "unbindable",
            "refusing",
        ):
            setattr(other, name, dict(getattr(self, name)))
        other.rejecting = set(self.rejecting)
        other.history, other.watchers = [], []
        return other

    # --- writing ----------------------------------------------------------------------------------------------------

    def _table(self, kind: Kind) -> dict[str, Any]:
        tables: dict[Kind, dict[str, Any]] = {
            Kind.JOB: self.jobs,
            Kind.POD: self.pods,
            Kind.NODE: self.nodes,
            Kind.CHILD: self.services,
            Kind.QUOTA: self.quotas,
            Kind.PRIORITY_CLASS: self.classes,
        }
        return tables[kind]

    def put(self, kind: Kind, record: Any, by: str, verb: str, **more: Any) -> Any:
        """Write a record under the next resourceVersion and tell everybody."""
        self.rv += 1
        record = replace(record, rv=self.rv)
        key = record.name if kind in (Kind.NODE, Kind.PRIORITY_CLASS) else record.uid if kind is Kind.QUOTA else ""
        if kind is Kind.TOPOLOGY:
            self.topology, key = record, record.uid
        else:
            key = key or record.id
            self._table(kind)[key] = record
        self._tell((kind, key), Upsert(record, self.now), Entry(self.rv, self.now, by, verb, kind, key, record, **more))
        return record

    def drop(self, kind: Kind, key: str, by: str, *, force: bool = False) -> None:
        """Remove a record."""
        self.rv += 1
        record = self._table(kind).pop(key)
        id_ = record.uid if kind is Kind.NODE else key
        self._tell(
            (kind, key), Gone(kind, id_, self.now), Entry(self.rv, self.now, by, "gone", kind, key, record, force=force)
        )
        if kind is Kind.POD:
            self._count_quota(record.namespace)

    def _tell(self, key: Key, change: Change, entry: Entry) -> None:
        self.touched[key] = self.now
        self.history.append(entry)
        for watcher in self.watchers:
            watcher(key, change)

    def everything(self) -> Iterator[tuple[Key, Upsert]]:
        """A consistent list of all objects."""
        if self.topology is not None:
            yield (Kind.TOPOLOGY, self.topology.uid), Upsert(self.topology, START)
        for kind in (Kind.NODE, Kind.PRIORITY_CLASS, Kind.QUOTA, Kind.JOB, Kind.POD, Kind.CHILD):
            for key, record in self._table(kind).items():
                yield (kind, key), Upsert(record, self.touched.get((kind, key), START))

    # --- users and administrators -------------------------------------------------------------------------------------

    def apply(self, job: Job) -> Job:
        """Create a TrainingJob."""
        assert job.id not in self.jobs, f"{job.name} is there already"
        return self.put(Kind.JOB, replace(job, created=self.now), "user", "create")

    def edit(self, uid: str, **changes: Any) -> Job:
        """Change a job's spec."""
        job = self.jobs[uid]
        return self.put(Kind.JOB, replace(job, generation=job.generation + 1, **changes), "user", "spec")

    def delete_job(self, uid: str, propagation: str = "background", by: str = "user") -> None:
        """Delete a job as kubectl does: background, foreground or orphan."""
        if propagation == "background":
            self.drop(Kind.JOB, uid, by)
        else:
            gone = replace(self.jobs[uid], deleting=True, orphaning=propagation == "orphan")
            self.put(Kind.JOB, gone, by, "delete")

    def set_node(self, name: str, **changes: Any) -> None:
        """Change a node's record."""
        self.put(Kind.NODE, replace(self.nodes[name], **changes), "admin", "patch")

    def foreign(self, name: str, node: str, requests: Resources) -> None:
        """Somebody else's pod, running."""
        self.serial += 1
        pod = Pod(f"foreign-{self.serial}", "other", name, 0, Stage.RUNNING, requests, node=node)
        self.put(Kind.POD, pod, "user", "create")

    def fail(self, pod: str, failure: Failure) -> None:
        """A pod's container ends badly."""
        self._end(pod, Stage.FAILED, failure)

    def finish(self, pod: str) -> None:
        """A pod's containers end well."""
        self._end(pod, Stage.SUCCEEDED, None)

    def _end(self, pod: str, stage: Stage, failure: Failure | None) -> None:
        ended = replace(self.pods[pod], stage=stage, failure=failure, finished_at=self.now - self.now % 1000)
        self._put_pod(ended, "kubelet", "patch")

    def delete_pod(self, uid: str, by: str, *, grace: int | None = None, force: bool = False) -> None:
        """What the API server does: pods that are not bound, are terminal or are forced go at once."""
        pod = self.pods[uid]
        if pod.node is None or pod.terminal or force or grace == 0:
            self.history.append(Entry(self.rv, self.now, by, "delete", Kind.POD, uid, pod, force=force))
            self.drop(Kind.POD, uid, by, force=force)
        elif not pod.terminating:
            self._put_pod(replace(pod, terminating=True), by, "delete")

    def _put_pod(self, pod: Pod, by: str, verb: str) -> Pod:
        written: Pod = self.put(Kind.POD, pod, by, verb)
        self._count_quota(pod.namespace)
        return written

    def _count_quota(self, namespace: str) -> None:
        for quota in [q for q in self.quotas.values() if q.namespace == namespace]:
            used: dict[str, int] = {}
            for pod in self.pods.values():
                if pod.namespace == namespace and not pod.terminal:
                    for name, amount in pod.requests:
                        used[name] = used.get(name, 0) + amount
            counted = tuple((name, used.get(name, 0)) for name, _ in quota.hard)
            if counted != quota.used:
                self.put(Kind.QUOTA, replace(quota, used=counted), "quota", "patch")

    # --- the operator's requests --------------------------------------------------------------------------------------

    def commit(self, by: str, transition: Transition, known: Mapping[str, Node] | None) -> Answer:
        """Compare-and-set of a job's status."""
        job = self.jobs.get(transition.job)
        if job is None:
            return Answer("gone", changes=(Gone(Kind.JOB, transition.job, self.now),))
        if job.rv != transition.base_rv:
            return Answer("conflict", changes=(Upsert(job, self.now),))
        written = self.put(Kind.JOB, replace(job, status=transition.status), by, "status", known=known)
        return Answer(changes=(Upsert(written, self.now),))

    def do(self, by: str, job: Job, duty: Duty) -> Answer:
        """Carry out one duty; `job` as its author knows it."""
        match duty:
            case Admit(role, template):
                return self._admit(job, role, template)
            case EnsureChild():
                return self._ensure_child(by, job)
            case DropChild(id_, _):
                if id_ in self.services:
                    self.drop(Kind.CHILD, id_, by)
                return Answer(changes=(Gone(Kind.CHILD, id_, self.now),))
            case CreatePod():
                return self._create_pod(by, job, duty)
            case Nominate(uid, _, node):
                return self._patch(uid, by, nominated=node)
            case Ungate(uid, _):
                if uid not in self.pods:
                    return Answer(changes=(Gone(Kind.POD, uid, self.now),))
                left = self.pods[uid].foreign_gates
                return self._patch(uid, by, our_gate=False, stage=Stage.GATED if left else Stage.UNBOUND)
            case DeletePod(uid, _, grace, force):
                if uid in self.pods:
                    self.delete_pod(uid, by, grace=grace, force=force)
                if uid in self.pods:
                    return Answer(changes=(Upsert(self.pods[uid], self.now),))
                return Answer(changes=(Gone(Kind.POD, uid, self.now),))
            case ReadView():
                return self._view(by)
            case DeleteJob(rv):
                if job.id in self.jobs and self.jobs[job.id].rv == rv:
                    self.delete_job(job.id, by=by)
                return Answer()

    def _admit(self, job: Job, role: int, template: str) -> Answer:
        spec = job.roles[role]
        error, message = self.refusing.get(job.name, ("", ""))
        asked = Admission(job.namespace, template, spec.requests, spec.filter, error, message, self.now)
        return Answer(changes=(Upsert(asked, self.now),))

    def _ensure_child(self, by: str, job: Job) -> Answer:
        for child in self.services.values():
            if child.job == job.id:
                return Answer(changes=(Upsert(child, self.now),))
        self.serial += 1
        child = Child(f"service-{self.serial}", job.namespace, job.name, 0, job.id)
        return Answer(changes=(Upsert(self.put(Kind.CHILD, child, by, "create"), self.now),))

    def _create_pod(self, by: str, job: Job, duty: CreatePod) -> Answer:
        role = job.roles[duty.role]
        name = f"{job.name}-{role.name}-{duty.rank}-{duty.born}"
        for pod in self.pods.values():
            if pod.name == name and pod.job == job.id:
                return Answer(changes=(Upsert(pod, self.now),))
        if job.name in self.refusing:
            return Answer(*self.refusing[job.name])
        for quota in self.quotas.values():
            used, asked = dict(quota.used), dict(role.requests)
            over = [n for n, hard in quota.hard if asked.get(n) and used.get(n, 0) + asked[n] > hard]
            if quota.namespace == job.namespace and over:
                return Answer("quota", f"exceeded quota: {quota.name}, {over[0]}")
        self.serial += 1
        pod = Pod(
            id=f"pod-{self.serial}",
            namespace=job.namespace,
            name=name,
            rv=0,
            stage=Stage.GATED,
            requests=role.requests,
            pinned=duty.node,
            our_gate=True,
            foreign_gates=self.foreign_gates.get(job.name, ()),
            job=job.id,
            role=role.name,
            rank=duty.rank,
            born=duty.born,
        )
        return Answer(changes=(Upsert(self._put_pod(pod, by, "create"), self.now),))

    def _patch(self, uid: str, by: str, **changes: Any) -> Answer:
        pod = self.pods.get(uid)
        if pod is None:
            return Answer(changes=(Gone(Kind.POD, uid, self.now),))
        if replace(pod, **changes) != pod and (pod.our_gate or "nominated" in changes):
            pod = self._put_pod(replace(pod, **changes), by, "patch")
        return Answer(changes=(Upsert(pod, self.now),))

    def _view(self, by: str) -> Answer:
        live = [job for job in self.jobs.values() if job.status.live]
        self.history.append(Entry(self.rv, self.now, by, "view", Kind.JOB, ""))
        seen = [Upsert(r, self.now) for r in (*live, *(p for p in self.pods.values() if p.job is not None))]
        return Answer(changes=(*seen, Viewed(frozenset((job.id, job.status.attempt) for job in live))))

    # --- what happens by itself ---------------------------------------------------------------------------------------

    def moves(self) -> list[Move]:
        """All that kubelets, the scheduler and the controllers could do now."""
        found = [Move(what, pod.id) for pod in self.pods.values() for what in self._pod_moves(pod)]
        found += [Move("collect service", c.id) for c in self.services.values() if c.job not in self.jobs]
        for job in self.jobs.values():
            if job.deleting and (job.orphaning or not any(p.job == job.id for p in self.pods.values())):
                found.append(Move("remove job", job.id))
        return sorted(found)

    def _pod_moves(self, pod: Pod) -> Iterator[str]:
        node = self.nodes.get(pod.node or pod.pinned or "")
        owner = self.jobs.get(pod.job or "")
        if pod.job is not None and not pod.terminating and (owner is None or (owner.deleting and not owner.orphaning)):
            yield "collect"
        if pod.node is not None and node is None:
            yield "bury"
        alive = node is not None and node.unready_since is None and not node.out_of_service
        if pod.terminating and alive:
            yield "stop"
        if pod.terminal:
            return
        name = owner.name if owner else ""
        if pod.stage is Stage.UNBOUND and not pod.terminating:
            why = self._unbindable(pod, node, name)
            if why is None:
                yield "bind"
            elif pod.unschedulable != why:
                yield "cannot bind"
        if node is None or not alive or pod.stage is not Stage.BOUND or pod.terminating:
            return
        if node.name in self.rejecting:
            yield "refuse"
        elif name not in self.trouble:
            yield "run"
        elif pod.trouble is None:
            yield "trouble"

    def _unbindable(self, pod: Pod, node: Node | None, job_name: str) -> str | None:
        if job_name in self.unbindable:
            return self.unbindable[job_name]
        owner = self.jobs.get(pod.job or "")
        wanted = next((r.filter for r in owner.roles if r.name == pod.role), None) if owner else None
        if node is None or (wanted is not None and unfit(node, wanted) is not None):
            return f"0/{len(self.nodes)} nodes are available: node(s) didn't match"
        has = dict(node.allocatable)
        for other in self.pods.values():
            if other.node == node.name and not other.terminal:
                for name, amount in other.requests:
                    has[name] = has.get(name, 0) - amount
        if any(has.get(name, 0) < amount for name, amount in pod.requests):
            return f"0/{len(self.nodes)} nodes are available: Insufficient resources"
        return None

    def make(self, move: Move) -> None:
        """Let it happen."""
        if move.what == "remove job":
            for pod in [p for p in self.pods.values() if p.job == move.id]:
                self._put_pod(replace(pod, job=None), "gc", "patch")
            self.drop(Kind.JOB, move.id, "gc")
            return
        if move.what == "collect service":
            self.drop(Kind.CHILD, move.id, "gc")
            return
        pod = self.pods[move.id]
        match move.what:
            case "bind":
                self._put_pod(
                    replace(pod, stage=Stage.BOUND, node=pod.pinned, pinned=None, unschedulable=None),
                    "scheduler",
                    "patch",
                )
            case "cannot bind":
                owner = self.jobs.get(pod.job or "")
                why = self._unbindable(pod, self.nodes.get(pod.pinned or ""), owner.name if owner else "")
                self._put_pod(replace(pod, unschedulable=why), "scheduler", "patch")
            case "run":
                self._put_pod(replace(pod, stage=Stage.RUNNING, trouble=None), "kubelet", "patch")
            case "trouble":
                owner = self.jobs[pod.job or ""]
                self._put_pod(replace(pod, trouble=self.trouble[owner.name]), "kubelet", "patch")
            case "refuse":
                self.fail(pod.id, Failure(reason="UnexpectedAdmissionError", message="no device", refused=True))
            case "stop":
                self.drop(Kind.POD, pod.id, "kubelet")
            case "bury":
                self.drop(Kind.POD, pod.id, "podgc", force=True)
            case "collect":
                self.delete_pod(pod.id, "gc")
            case what:
                raise AssertionError(what)


# --- Operators --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Request:
    """A request of an operator. It is `sent`, then it `arrived` (once), then its answer is taken in, or lost."""

    job: Job
    what: Transition | Duty
    known: Mapping[str, Node] | None = None
    answer: Answer | None = None


@dataclass(slots=True)
class Operator:
    """A World, its feeds, and one worker a job."""

    api: Api
    name: str
    world: World = field(default_factory=World)
    feed: dict[Key, deque[Change]] = field(default_factory=dict)
    busy: dict[str, list[Request]] = field(default_factory=dict)
    """By job: the requests under way; a worker takes nothing new until they are answered."""
    newest: dict[Key, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    last: Plan = field(default_factory=Plan)
    served: set[str] = field(default_factory=set)
    """Jobs whose duties have still to be looked at."""
    stuck: set[str] = field(default_factory=set)
    """Jobs whose worker gets through to no duty but dry runs."""
    namespaces: frozenset[str] = frozenset()
    """Those it serves; empty: all."""

    def start(self) -> None:
        """List everything consistently, then lead; what a former life of this process knew is forgotten."""
        self.world = World(served=self.namespaces)
        self.feed, self.busy, self.newest, self.gone = {}, {}, {}, set()
        for key, change in self.api.everything():
            self.take(key, change)
        for kind in Kind:
            self.world.apply(Synced(kind))
        self.world.apply(Leading(str(self.api.rv)))
        if self.watch not in self.api.watchers:
            self.api.watchers.append(self.watch)

    def watch(self, key: Key, change: Change) -> None:
        """An event of the watch, to be delivered when the driver says so."""
        self.feed.setdefault(key, deque()).append(change)

    def deliver(self, key: Key) -> None:
        """Deliver the next event of one object."""
        waiting = self.feed[key]
        self.take(key, waiting.popleft())
        if not waiting:
            del self.feed[key]

    def deliver_all(self) -> None:
        """Deliver everything, each object in its order."""
        while self.feed:
            for key in list(self.feed):
                self.deliver(key)

    def take(self, key: Key, change: Change) -> None:
        """The door: what is not newer than what is held, or is of a uid that is gone, is dropped."""
        if isinstance(change, Upsert):
            record = change.record
            uid = getattr(record, "uid", None) or getattr(record, "id", None) or getattr(record, "name", "")
            if not isinstance(record, Admission):
                if uid in self.gone or self.newest.get(key, -1) >= record.rv:
                    return
                self.newest[key] = record.rv
        elif isinstance(change, Gone):
            if change.id in self.gone:
                return
            if change.kind not in (Kind.PRIORITY_CLASS,):
                self.gone.add(change.id)
            self.newest.pop(key, None)
        self.world.apply(change)

    def learn(self, answer: Answer) -> None:
        """Take in what an answer shows."""
        for change in answer.changes:
            match change:
                case Upsert(Job() as job, _):
                    self.take((Kind.JOB, job.id), change)
                case Upsert(Pod() as pod, _):
                    self.take((Kind.POD, pod.id), change)
                case Upsert(Child() as child, _):
                    self.take((Kind.CHILD, child.id), change)
                case Gone(kind, id_, _):
                    self.take((kind, id_), change)
                case _:
                    self.world.apply(change)

    def decide(self) -> Plan:
        """Plan, assume, and hand over to the workers."""
        if self.world.next_expiry is not None and self.world.next_expiry <= self.api.now:
            self.world.apply(Elapsed(self.api.now))
        made = plan(self.world, self.api.now)
        assert not made.errors, made.errors
        for transition in made.transitions:
            job = self.world.acknowledged(transition.job)
            assert isinstance(job, Job)
            self.world.assume(transition)
            placed = transition.cause in ("Placed", "Repairing", "Restarting")
            request = Request(job, transition, dict(self.world.nodes) if placed else None)
            self.busy.setdefault(transition.job, []).append(request)
        self.world.settle(made)
        self.served |= self.world.take_touched() | {uid for uid, _ in made.wakes}
        self.last = made
        return made

    def serve(self) -> bool:
        """Let every idle worker take up its job's duties; says whether there were any."""
        self.served |= self.world.take_touched()
        some = False
        for uid in sorted(self.served):
            job = self.world.acknowledged(uid)
            if self.busy.get(uid) or not isinstance(job, Job):
                continue
            due = duties(self.world, uid, self.api.now)
            if uid in self.stuck:
                due = tuple(duty for duty in due if isinstance(duty, Admit))
            if due:
                self.busy[uid] = [Request(job, duty) for duty in due]
                some = True
            else:
                self.served.discard(uid)
        return some

    def arrive(self, request: Request) -> None:
        """The API server takes a request."""
        if isinstance(request.what, Transition):
            request.answer = self.api.commit(self.name, request.what, request.known)
        else:
            request.answer = self.api.do(self.name, request.job, request.what)

    def answered(self, request: Request) -> None:
        """The answer has come back."""
        answer, what = request.answer, request.what
        assert answer is not None
        self._done(request)
        self.learn(answer)
        if isinstance(what, Transition):
            if answer.error:
                self.world.apply(Lost(what.job, what.base_rv))
        elif answer.error:
            self.world.apply(
                Refused(request.job.id, request.job.status.attempt, answer.error, answer.message, self.api.now)
            )

    def unanswered(self, request: Request) -> None:
        """No answer came. A duty follows again from what is observed; of a commit, a GET tells what became of it."""
        what = request.what
        if not isinstance(what, Transition):
            self._done(request)
            return
        now = self.api.jobs.get(what.job)
        if now is None:
            self._done(request)
            self.learn(Answer(changes=(Gone(Kind.JOB, what.job, self.api.now),)))
            self.world.apply(Lost(what.job, what.base_rv))
        elif now.rv != what.base_rv:
            self._done(request)
            self.learn(Answer(changes=(Upsert(now, self.api.now),)))
            if not same_decision(now.status, what.status):
                self.world.apply(Lost(what.job, what.base_rv))
        else:
            request.answer = None  # it may still be in flight: the same compare-and-set once more

    def _done(self, request: Request) -> None:
        mine = self.busy[request.job.id]
        mine.remove(request)
        self.served.add(request.job.id)
        if not mine:
            del self.busy[request.job.id]

    def requests(self) -> list[Request]:
        """The requests under way, in order."""
        return [request for uid in sorted(self.busy) for request in self.busy[uid]]

    def reap(self) -> bool:
        """What belongs to jobs that are gone is deleted, after asking for the owner and the object itself."""
        some = False
        for left in orphans(self.world, self.api.now):
            if left.job in self.api.jobs or self.api.now < max(left.since, START) + REAP_AFTER:
                continue
            table = self.api.pods if left.kind is Kind.POD else self.api.services
            mine = table.get(left.id)
            if mine is None or mine.job != left.job:
                continue
            some = True
            if left.kind is Kind.POD:
                self.api.delete_pod(left.id, self.name)
            else:
                self.api.drop(Kind.CHILD, left.id, self.name)
        return some

    def report(self) -> None:
        """The ClusterTopology's status says which nodes are avoided; nothing else of it matters to the core."""
        known, avoided = self.api.topology, self.world.pasts.avoided()
        if known is not None and self.world.ready and self.world.leading and known.avoided != avoided:
            self.api.put(Kind.TOPOLOGY, replace(known, avoided=avoided), self.name, "status")

    def wake_at(self) -> int | None:
        """When this operator wants to be woken."""
        times = [max(o.since, START) + REAP_AFTER for o in orphans(self.world, self.api.now)]
        if self.last.wake_at is not None:
            times.append(self.last.wake_at)
        return min((t for t in times if t > self.api.now), default=None)


def same_decision(found: Committed, sent: Committed) -> bool:
    """The status shows what was sent (architecture.md, Answers)."""
    return (found.phase, found.attempt, found.placement) == (sent.phase, sent.attempt, sent.placement)


# --- A quiet cluster on a virtual clock -------------------------------------------------------------------------------

DELAYS = {"bind": 50, "run": 1_000, "stop": 1_000, "collect": 1_000, "collect service": 1_000, "bury": 40_000}
"""How long (ms) each move takes from when it became possible; 100 for the others."""


class HotLoopError(AssertionError):
    """Something goes on for ever without the clock moving."""


class Cluster:
    """One operator on an Api whose moves happen by the clock, everything delivered in order and at once."""

    def __init__(self, operator: Operator | None = None) -> None:
        """On an Api of its own, or going on with an operator that runs already."""
        self.api = operator.api if operator is not None else Api()
        if operator is None:
            self.api.put(Kind.PRIORITY_CLASS, priority_class(), "admin", "create")
        self.operator = operator if operator is not None else Operator(self.api, "operator-1")
        self.delays = dict(DELAYS)
        self.lasts: dict[str, int] = {}
        """How long (ms) the pods of a job run before they end well; for ever if it is not here."""
        self.due: dict[Move, int] = {}
        self.started = operator is not None

    def start(self) -> None:
        """Start the operator."""
        self.operator.start()
        self.started = True
        self.settle()

    def restart(self) -> None:
        """The operator crashes, and another process takes over."""
        if self.started:
            self.api.watchers.remove(self.operator.watch)
        self.operator = Operator(self.api, f"operator-{self.api.rv}")
        self.start()

    def settle(self) -> None:
        """Let the operator do all that it can do now."""
        operator = self.operator
        for _ in range(300):
            operator.deliver_all()
            made = operator.decide()
            for request in operator.requests():
                operator.arrive(request)
                operator.answered(request)
            served = operator.serve()
            for request in operator.requests():
                operator.arrive(request)
                operator.answered(request)
            reaped = operator.reap()
            operator.report()
            if not (made.transitions or served or reaped or operator.feed):
                return
        raise HotLoopError(f"{[t.cause for t in made.transitions]} {operator.requests()}")

    def moves(self) -> dict[Move, int]:
        """When each possible move is due."""
        api = self.api
        possible = api.moves()
        for pod in api.pods.values():
            owner = api.jobs.get(pod.job or "")
            if owner and owner.name in self.lasts and pod.stage is Stage.RUNNING and not pod.terminating:
                possible.append(Move("finish", pod.id))
        self.due = {
            m: self.due[m]
            if m in self.due
            else api.now + (self._lasts(m) if m.what == "finish" else self.delays.get(m.what, 100))
            for m in possible
        }
        return self.due

    def _lasts(self, move: Move) -> int:
        owner = self.api.jobs[self.api.pods[move.id].job or ""]
        return self.lasts[owner.name]

    def step(self, until: int) -> bool:
        """Go to the next thing that happens, at most to `until`; False when nothing happens before."""
        times = [*self.moves().values()]
        wake = self.operator.wake_at() if self.started else None
        if wake is not None:
            times.append(wake)
        at = min((t for t in times if t <= until), default=None)
        if at is None:
            self.api.now = until
            return False
        self.api.now = max(at, self.api.now)
        for move in [
            m for m, due in sorted(self.due.items(), key=lambda item: (item[1], item[0])) if due <= self.api.now
        ]:
            del self.due[move]
            if move.what == "finish":
                self.api.finish(move.id)
            elif move in self.api.moves():
                self.api.make(move)
        if self.started:
            self.settle()
        return True

    def run(self, *, until: Callable[[], bool] | None = None, within: int) -> bool:
        """Let time pass, until this holds or for so long (ms); says whether it held."""
        if self.started:
            self.settle()
        end = self.api.now + within
        for _ in range(20_000):
            if until is not None and until():
                return True
            if not self.step(end):
                return until is None or until()
        raise HotLoopError("20,000 steps")
