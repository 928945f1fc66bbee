"""Random orders of events: a list of numbers becomes deliveries, plans, requests that arrive, are lost or come late,
crashes, faults of nodes and pods, and users who change their minds.

A crash is at once a change of leader: what the former leader had sent may still arrive at any time (`late`); new
requests it may not make, since it checks its lease before each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tests.support import builders
from tests.support.builders import asks, role
from tests.support.corecluster import Api, Cluster, Operator, Request

from muster.core.model import FINISHED, Failure, Job, Kind, Phase, Pod, Segments, Stage, SuccessWhen

MENU = (
    lambda n: builders.job(n, role(count=2, gpus=2)),
    lambda n: builders.job(n, role(count=4, gpus=1, segments=[Segments("nvlink", 2)]), linger=20_000),
    lambda n: builders.job(
        n, role(count=2, gpus=2, required="nvlink"), success_when=SuccessWhen.ANY_POD, max_restarts=1
    ),
    lambda n: builders.job(n, role("a", 1), role("b", 2, gpus=2), success_when=SuccessWhen.FIRST_RANK, ttl=30_000),
    lambda n: builders.job(n, role(count=3, preferred="nvlink"), prefer_wait=60_000, active_deadline=45_000),
)
"""The jobs of a storm; each fits the healthy empty cluster alone."""

DRAINING = "dgxc.nvidia.com/nvsentinel-state"
"""A label of a health rule that every preset has."""
T = TypeVar("T")
MACHINES = {node.name: node for node in builders.racks(2, 2, per_leaf=2, gpus=2)}
Action = Callable[[], object]


def nothing(_: Operator) -> None:
    """Look at nothing before a plan."""


@dataclass(slots=True)
class Storm:
    """See the module. `before_plan` is called with the operator each time it is about to plan."""

    before_plan: Callable[[Operator], object] = nothing
    api: Api = field(default_factory=Api)
    operator: Operator = field(init=False)
    late: list[tuple[Operator, Request]] = field(default_factory=list)
    made: int = 0
    lives: int = 1

    def __post_init__(self) -> None:
        api = self.api
        api.put(Kind.TOPOLOGY, builders.topology(), "admin", "create")
        api.put(Kind.PRIORITY_CLASS, builders.priority_class(), "admin", "create")
        for node in MACHINES.values():
            api.put(Kind.NODE, node, "admin", "create")
        self.operator = Operator(api, "operator-1")
        self.operator.start()
        for choice in (0, 1):
            self._job(choice)

    # --- the numbers ------------------------------------------------------------------------------------------------

    def play(self, numbers: Sequence[int]) -> Storm:
        """One event for each number: its low part chooses the kind, its high part which."""
        for number in numbers:
            kinds = list(self._kinds())
            weight = sum(w for w, _ in kinds)
            low, high = number % weight, number // weight
            for w, actions in kinds:
                if low < w:
                    actions[high % len(actions)]()
                    break
                low -= w
        return self

    def _kinds(self) -> Iterator[tuple[int, list[Action]]]:
        """(weight, possible events) of each kind that has any."""
        op, api = self.operator, self.api
        asked = [r for r in op.requests() if r.answer is None]
        told = [r for r in op.requests() if r.answer is not None]
        moves = api.moves()
        yield 14, [self._round]
        yield 4, [self._decide]
        yield 4, [op.serve]
        if op.feed:
            yield 4, [self._bind(op.deliver, key) for key in op.feed]
            yield 2, [op.deliver_all]
        if asked:
            yield 6, [self._bind(op.arrive, request) for request in asked]
            yield 4, [self._everything_arrives]
            yield 1, [self._bind(self._lose, request) for request in asked]
        if told:
            yield 6, [self._bind(op.answered, request) for request in told]
            yield 1, [self._bind(op.unanswered, request) for request in told]
        if moves:
            yield 8, [self._bind(api.make, move) for move in moves]
            yield 3, [self._make_all]
        yield 3, [self._bind(self._pass, ms) for ms in (1_000, 1_000, 2_000, 6_000, 15_000, 31_000, 70_000)]
        yield 2, list(self._pod_faults()) or [self._decide]
        yield 1, list(self._node_faults())
        yield 1, list(self._healings()) or [self._decide]
        yield 1, list(self._users())
        yield 1, [self._crash]
        if self.late:
            yield 1, [self._bind(self._arrives_late, i) for i in range(len(self.late))]

    @staticmethod
    def _bind(act: Callable[[T], object], what: T) -> Action:
        return lambda: act(what)

    # --- events -----------------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        self.before_plan(self.operator)
        self.operator.decide()

    def _everything_arrives(self) -> None:
        for request in self.operator.requests():
            if request.answer is None:
                self.operator.arrive(request)
            self.operator.answered(request)

    def _lose(self, request: Request) -> None:
        self.late.append((self.operator, Request(request.job, request.what, request.known)))
        self.operator.unanswered(request)

    def _arrives_late(self, which: int) -> None:
        operator, request = self.late.pop(which)
        operator.arrive(request)

    def _crash(self) -> None:
        for request in self.operator.requests():
            if request.answer is None:
                self.late.append((self.operator, request))
        self.api.watchers.remove(self.operator.watch)
        self.lives += 1
        self.operator = Operator(self.api, f"operator-{self.lives}")
        self.operator.start()

    def _pass(self, ms: int) -> None:
        self.api.now += ms

    def _make_all(self) -> None:
        for move in self.api.moves():
            if move in self.api.moves():
                self.api.make(move)

    def _pod_faults(self) -> Iterator[Action]:
        for pod in list(self.api.pods.values()):
            if pod.stage is Stage.RUNNING and pod.job is not None:
                yield self._bind(self.api.finish, pod.id)
                yield self._bind(self._fails, pod)
            if not pod.terminating:
                yield self._bind(self._user_deletes, pod)

    def _fails(self, pod: Pod) -> None:
        self.api.fail(pod.id, Failure(exit_code=1, reason="Error", finished_at=self.api.now))

    def _user_deletes(self, pod: Pod) -> None:
        self.api.delete_pod(pod.id, "user")

    def _node_faults(self) -> Iterator[Action]:
        api = self.api
        for name, known in list(api.nodes.items()):
            yield lambda name=name: api.drop(Kind.NODE, name, "admin")
            yield lambda name=name: api.foreign("squatter", name, asks(1))
            if known.unready_since is None:
                yield lambda name=name: api.set_node(name, unready_since=api.now)
            if not known.out_of_service:
                yield lambda name=name: api.set_node(name, out_of_service=True)
            if not known.cordoned:
                yield lambda name=name: api.set_node(name, cordoned=True)
            if name not in api.rejecting:
                yield self._bind(api.rejecting.add, name)
            yield lambda name=name: api.set_node(name, labels=MACHINES["r1-n0"].labels)
            yield lambda name=name: api.set_node(name, taints=(builders.taint("maintenance", "NoExecute"),))
            yield lambda name=name: api.set_node(name, conditions=(("GPUMissing", "True", api.now),))
            yield lambda name=name: api.set_node(name, conditions=(("XIDErrors", "True", api.now),))
            yield lambda name=name, old=known.labels: api.set_node(name, labels={**old, DRAINING: "draining"})
        if not api.nodes:
            yield self._decide

    def _healings(self) -> Iterator[Action]:
        api = self.api
        for name in MACHINES:
            known = api.nodes.get(name)
            if known is None:
                yield self._bind(self._comes_back, name)
            elif replace(known, rv=0, uid="", cleared=None) != replace(MACHINES[name], rv=0, uid=""):
                yield self._bind(self._is_well, name)
        for pod in [p for p in api.pods.values() if p.job is None]:
            yield lambda pod=pod: api.drop(Kind.POD, pod.id, "user")
        for words in (api.refusing, api.unbindable, api.rejecting):
            if words:
                yield words.clear

    def _is_well(self, name: str) -> None:
        self.api.set_node(
            name,
            unready_since=None,
            cordoned=False,
            out_of_service=False,
            labels=MACHINES[name].labels,
            taints=(),
            conditions=(),
            cleared=self.api.now + 1,
        )

    def _round(self) -> None:
        """All that can be done now, in order."""
        self.operator.deliver_all()
        self._decide()
        self._everything_arrives()
        self.operator.serve()
        self._everything_arrives()
        self._make_all()

    def _comes_back(self, name: str) -> None:
        machine = MACHINES[name]
        self.api.put(Kind.NODE, replace(machine, uid=f"{machine.uid}-{self.api.rv}"), "admin", "create")

    def _users(self) -> Iterator[Action]:
        for choice in range(len(MENU)):
            yield self._bind(self._job, choice)
        api = self.api
        for job in list(self.api.jobs.values()):
            if job.deleting:
                continue
            if job.status.phase not in FINISHED:
                yield lambda job=job: self.api.edit(job.id, suspend=not job.suspend)
            yield lambda job=job: api.refusing.update({job.name: ("policy", "not like this")})
            yield lambda job=job: api.unbindable.update({job.name: "too many volumes"})
            for propagation in ("background", "foreground", "orphan"):
                yield lambda job=job, how=propagation: self.api.delete_job(job.id, how)

    def _job(self, choice: int) -> None:
        if len(self.api.jobs) < 4:
            self.made += 1
            self.api.apply(MENU[choice](f"job{self.made}"))

    # --- the end ----------------------------------------------------------------------------------------------------

    def calm(self) -> Cluster:
        """The faults stop: nodes are well, strangers leave, what was sent arrives, pods end after half a minute; the
        operator goes on with what it knows."""
        api, operator = self.api, self.operator
        while self.late:
            self._arrives_late(0)
        for words in (api.refusing, api.unbindable, api.rejecting):
            words.clear()
        for name in MACHINES:
            if name not in api.nodes:
                self._comes_back(name)
            self._is_well(name)
        for pod in [p for p in api.pods.values() if p.job is None]:
            api.drop(Kind.POD, pod.id, "user")
        for request in operator.requests():
            if request.answer is None:
                operator.arrive(request)
            operator.answered(request)
        for job in list(api.jobs.values()):
            if job.suspend and not job.deleting and job.status.phase not in FINISHED:
                api.edit(job.id, suspend=False)
        cluster = Cluster(operator)
        cluster.lasts = {f"job{i}": 30_000 for i in range(self.made + 1)}
        return cluster


def unfinished(api: Api) -> list[Job]:
    """Jobs that have still something before them."""
    done = (Phase.SUCCEEDED, Phase.FAILED)
    return [job for job in api.jobs.values() if job.status.phase not in done or job.status.live]
