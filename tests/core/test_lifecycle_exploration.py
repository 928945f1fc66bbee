"""The table explored to the end on a small model: two nodes, gangs of two pods, every order of events.

States are told apart by what matters to decisions (`_key`); of each the first one met stands for all. Counters are kept
finite by small limits, time moves only to the next moment for which the operator asked to be woken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.support import builders
from tests.support.builders import asks, role
from tests.support.checker import Checker
from tests.support.corecluster import Api

from muster.core.duties import duties
from muster.core.lifecycle import Row
from muster.core.model import (
    FINISHED,
    ContainerEnd,
    Failure,
    FailureAction,
    FailureRule,
    Job,
    Kind,
    Leading,
    Phase,
    Plan,
    Reason,
    Restart,
    Stage,
    Synced,
    Upsert,
    Viewed,
)
from muster.core.plan import plan
from muster.core.world import World

ROOM = {Reason.INSUFFICIENT_CAPACITY, Reason.UNSATISFIABLE, Reason.FRAGMENTED}
SLOW = "slow"
"""Time passes while somebody has something to do: a fault."""
NODES = ("r0-n0", "r0-n1")
RACK = builders.label("nvlink")


@dataclass(slots=True)
class State:
    """A moment: the truth, what the operator has viewed, what happened so far as the checker saw it."""

    api: Api
    viewed: frozenset[tuple[str, int]] = frozenset()
    checker: Checker = field(default_factory=Checker)
    faults: int = 0
    """Faults and changes of mind so far."""
    aged: bool = False
    """Nothing but time has passed since."""

    def after(self, act: Callable[[Api], object], *, viewed: frozenset[tuple[str, int]] | None = None) -> State:
        """The state after something happened."""
        api = self.api.clone()
        act(api)
        checker = self.checker.cloned().feed(api.history)
        return State(api, self.viewed if viewed is None else viewed, checker, self.faults)

    def world(self) -> World:
        """What an operator that has been told everything knows."""
        world = World(nominate=False)
        for _, change in self.api.everything():
            world.apply(change)
        for job in self.api.jobs.values():
            for admission in builders.admissions(job):
                world.apply(Upsert(admission, self.api.now))
        for kind in Kind:
            world.apply(Synced(kind))
        world.apply(Leading("1"))
        world.apply(Viewed(self.viewed))
        return world


def _key(state: State) -> Hashable:
    api, now = state.api, state.api.now

    def of(job: Job) -> Hashable:
        s = job.status
        return (
            job.name,
            (s.phase, s.live, job.suspend, job.deleting, s.observed_generation == job.generation),
            (s.restarts_in_row, s.disruptions, s.start_failures.count > 0, s.attempt > 0),
            s.stopping.reason if s.stopping else None,
            s.waiting.verdict.reason if s.waiting else None,
            s.not_before is not None and s.not_before > now,
            s.placement.nodes if s.placement else None,
            s.placement.born if s.placement and job.policy.restart is Restart.FAILED_PODS else None,
            s.repairs,
            s.reservation is not None,
            s.counts,
            bool(s.relabelled),
            (job.id, s.attempt) in state.viewed,
        )

    pods = frozenset(
        (
            (p.job, p.role, p.rank, p.stage, p.node, p.pinned, p.terminating, p.our_gate, p.unschedulable is None),
            (p.born or 0) - (api.jobs[p.job].status.attempt if p.job in api.jobs else 0),
            p.failure.refused if p.failure else None,
        )
        for p in api.pods.values()
    )
    nodes = frozenset(
        (n.name, n.labels[RACK], n.cordoned, n.out_of_service, n.unready_since is not None) for n in api.nodes.values()
    )
    return (
        frozenset(of(job) for job in api.jobs.values()),
        pods,
        nodes,
        len(api.services),
        frozenset(api.rejecting),
        state.aged,
    )


def _operator(state: State) -> Iterator[tuple[str, State]]:
    """What the operator may do: commit any one of its decisions, or a worker's next duty."""
    world = state.world()
    made = plan(world, state.api.now, everything=True)
    assert not made.errors, made.errors
    for transition in made.transitions:

        def act(api: Api, transition: object = transition) -> None:
            api.commit("operator-1", transition, dict(world.nodes))  # type: ignore[arg-type]

        yield transition.cause, state.after(act)
    for job in list(state.api.jobs.values()):
        due = duties(world, job.id, state.api.now)
        if due:
            viewed: list[frozenset[tuple[str, int]]] = []

            def carry(api: Api, job: Job = job, duty: object = due[0], viewed: list = viewed) -> None:  # type: ignore[type-arg]
                answer = api.do("operator-1", job, duty)  # type: ignore[arg-type]
                viewed += [change.claims for change in answer.changes if isinstance(change, Viewed)]

            after = state.after(carry)
            if viewed:
                after.viewed = viewed[0]
            yield type(due[0]).__name__, after
    if not made.transitions:
        later = _later(state, made)
        if later is not None:
            waits = state.api.moves() or any(duties(world, uid, state.api.now) for uid in state.api.jobs)
            yield SLOW if waits else "time passes", later


def _later(state: State, made: Plan) -> State | None:
    """The next moment at which something differs."""
    for _ in range(8):
        wake = made.wake_at
        if wake is None:
            return None
        state = state.after(lambda api, wake=wake: setattr(api, "now", wake))
        world = state.world()
        made = plan(world, state.api.now, everything=True)
        if made.transitions or any(duties(world, uid, state.api.now) for uid in state.api.jobs):
            state.aged = True
            return state
    return None


def _cluster(state: State) -> Iterator[tuple[str, State]]:
    for move in state.api.moves():
        yield move.what, state.after(lambda api, move=move: api.make(move))
    for pod in state.api.pods.values():
        owner = state.api.jobs.get(pod.job or "")
        if pod.stage is Stage.RUNNING and owner is not None and owner.status.phase is Phase.RUNNING:
            yield "finish", state.after(lambda api, pod=pod: api.finish(pod.id))


def _faults(state: State) -> Iterator[tuple[str, State]]:
    """What goes wrong, and changes of mind."""
    api = state.api
    for pod in api.pods.values():
        if pod.job is None:
            yield "leaves", state.after(lambda api, pod=pod: api.drop(Kind.POD, pod.id, "user"))
            continue
        if pod.stage is Stage.RUNNING:
            yield (
                "fail",
                state.after(lambda api, pod=pod: api.fail(pod.id, ERROR)),
            )
        if pod.rank == 0 and not pod.terminating and not pod.terminal:
            yield "user deletes", state.after(lambda api, pod=pod: api.delete_pod(pod.id, "user"))
    for name in NODES[1:]:
        if name not in api.nodes:
            back = builders.racks(1, 2, gpus=1)[1]
            back = replace(back, uid=f"node-{api.rv}")
            yield "node comes", state.after(lambda api, back=back: api.put(Kind.NODE, back, "admin", "create"))
            continue
        yield "node goes", state.after(lambda api, name=name: api.drop(Kind.NODE, name, "admin"))
        well = api.nodes[name].unready_since is not None
        since = None if well else api.now
        yield "node state", state.after(lambda api, name=name, since=since: api.set_node(name, unready_since=since))
        rack = "r9" if api.nodes[name].labels[RACK] == "r0" else "r0"
        labels = {**api.nodes[name].labels, RACK: rack}
        yield "relabel", state.after(lambda api, name=name, labels=labels: api.set_node(name, labels=labels))
        if not any(p.job is None for p in api.pods.values()):
            yield "squatter", state.after(lambda api, name=name: api.foreign("squatter", name, asks(1)))
        if name not in api.rejecting:
            yield "refuses", state.after(lambda api, name=name: api.rejecting.add(name))
    for job in api.jobs.values():
        if job.status.phase not in FINISHED and not job.deleting:
            yield "suspend", state.after(lambda api, job=job: api.edit(job.id, suspend=not job.suspend))
            yield "delete", state.after(lambda api, job=job: api.delete_job(job.id))


@dataclass(slots=True)
class Explored:
    """All states reached, by key, with the steps that need no fault, and the decisions met."""

    states: dict[Hashable, State] = field(default_factory=dict)
    onward: dict[Hashable, set[Hashable]] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)


def explore(jobs: list[Job], faults: int, only: str = "") -> Explored:
    """Every state that these jobs come to with so many faults (of one kind) at most."""
    api = Api()
    api.put(Kind.TOPOLOGY, builders.topology(), "admin", "create")
    api.put(Kind.PRIORITY_CLASS, builders.priority_class(), "admin", "create")
    for node in builders.racks(1, 2, gpus=1):
        api.put(Kind.NODE, node, "admin", "create")
    for job in jobs:
        api.apply(job)
    first = State(api, checker=Checker(strict=True))
    first.checker.feed(api.history)
    out = Explored()
    start = _key(first)
    out.states[start] = first
    queue = deque([start])
    while queue:
        key = queue.popleft()
        state = out.states[key]
        onward = out.onward.setdefault(key, set())
        steps = [(what, after, what == SLOW) for what, after in (*_operator(state), *_cluster(state))]
        if state.faults >= faults or only not in ("", SLOW):
            steps = [step for step in steps if not step[2]]
        if state.faults < faults:
            steps += [(what, after, True) for what, after in _faults(state) if only in ("", what)]
        for what, after, fault in steps:
            assert not after.checker.violations, f"{what}: {after.checker.violations[0]}"
            after.faults += fault
            reached = _key(after)
            out.met.add(what)
            if not fault:
                onward.add(reached)
            if reached not in out.states:
                out.states[reached] = after
                queue.append(reached)
    return out


def at_an_end(state: State) -> bool:
    """Every job has ended, is suspended, or waits for room that is not there."""
    return all(
        (job.status.phase in FINISHED and not job.status.live)
        or job.status.phase is Phase.SUSPENDED
        or (
            job.status.phase is Phase.PENDING
            and job.status.waiting is not None
            and job.status.waiting.verdict.reason in ROOM
        )
        for job in state.api.jobs.values()
    )


def dead_ends(explored: Explored) -> list[State]:
    """States from which no way without further faults leads to an end."""
    back: dict[Hashable, set[Hashable]] = {}
    for key, reached in explored.onward.items():
        for other in reached:
            back.setdefault(other, set()).add(key)
    good = {key for key, state in explored.states.items() if at_an_end(state)}
    stack = list(good)
    while stack:
        for key in back.get(stack.pop(), ()):
            if key not in good:
                good.add(key)
                stack.append(key)
    return [state for key, state in explored.states.items() if key not in good]


ENDS = (ContainerEnd("trainer", 1),)
ERROR = Failure(exit_code=1, reason="Error", ends=ENDS)
FAILS = FailureRule(FailureAction.FAIL_JOB, operator="In", codes=(1,))


def small(name: str, *, required: str | None = None, **wishes: Any) -> Job:
    return builders.job(
        name,
        role(count=2, gpus=1, required=required),
        **({"max_restarts": 1, "max_disruptions": 1, "retain_attempts": 0} | wishes),
    )


RUNS: dict[str, Callable[[], Explored]] = {
    "one gang, any one fault": lambda: explore([small("llm")], 1),
    "one gang, its user of many minds": lambda: explore([small("llm")], 2, "suspend"),
    "one gang that fails twice": lambda: explore([small("llm")], 2, "fail"),
    "one gang with a deadline": lambda: explore([small("llm", active_deadline=100_000)], 0),
    "one gang that is relabelled and back": lambda: explore([small("llm", required="nvlink")], 2, "relabel"),
    "one gang that a rule fails": lambda: explore([small("llm", rules=(FAILS,))], 1, "fail"),
    "one gang that fails pod by pod": lambda: explore([small("llm", restart=Restart.FAILED_PODS)], 2, "fail"),
    "one gang that waits for a replacement": lambda: explore([small("llm", wait_for_repair=60_000)], 2, "node goes"),
    "two gangs, room for one": lambda: explore([small("a"), small("b")], 0),
}


@pytest.fixture(scope="module")
def explored() -> dict[str, Explored]:
    return {name: run() for name, run in RUNS.items()}


def test_every_row_of_the_table_is_reached(explored: dict[str, Explored]) -> None:
    met = {what for run in explored.values() for what in run.met}
    assert {row.value for row in Row} - met == set()


def test_from_every_state_a_way_leads_to_an_end_once_the_faults_stop(
    explored: dict[str, Explored], capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        for name, run in explored.items():
            print(f"\n{name}: {len(run.states)} states, {sum(map(len, run.onward.values()))} steps without faults")
    for name, run in explored.items():
        stuck = dead_ends(run)
        assert not stuck, (name, [job.status for job in stuck[0].api.jobs.values()])
