"""The queue at scale: what a pass asks the solver, whom it tells what, and that nobody overtakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.builders import (
    GPU,
    START,
    admissions,
    asks,
    changes,
    committed,
    job,
    node,
    pod,
    priority_class,
    role,
)

from muster.core import telling
from muster.core.line import order_of
from muster.core.model import (
    Change,
    Gone,
    Job,
    Kind,
    LastFailure,
    Phase,
    Plan,
    Reason,
    Record,
    Refused,
    Stage,
    StartFailures,
    Upsert,
    Verdict,
    Waiting,
)
from muster.core.plan import plan
from muster.core.world import World

NAMES = [f"n{i}" for i in range(8)]
SHAPES, EACH = 12, 5


def kind(i: int) -> tuple[int, int]:
    """(pods, cpu) of the i-th shape: every third fits one node."""
    return (1 if i % 3 == 2 else 9 - i % 3), 1_000 * (i + 1)


def gang(name: str, shape: int, **fields: Any) -> Job:
    count, cpu = kind(shape)
    return job(name, role(count=count, requests=asks(4, cpu), template=f"t{shape}"), **fields)


def held(name: str) -> Record:
    return pod(None, 0, Stage.RUNNING, name, id=f"busy-{name}", requests=asks(4))


class Driven:
    """A world whose decisions are acknowledged at once."""

    def __init__(self, *records: Record) -> None:
        self.now = START
        self.world = World()
        jobs = [record for record in records if isinstance(record, Job)]
        dry = {a.template: a for of in jobs for a in admissions(of)}
        for change in changes(*(node(name) for name in NAMES), *records, *dry.values()):
            self.world.apply(change)

    def once(self) -> Plan:
        made = plan(self.world, self.now)
        assert not made.errors
        for transition in made.transitions:
            self.world.assume(transition)
        self.world.settle(made)
        for transition in made.transitions:
            was = self.world.acknowledged(transition.job)
            assert isinstance(was, Job)
            self.world.apply(Upsert(replace(was, rv=was.rv + 1, status=transition.status), self.now))
        return made

    def rest(self) -> Counter[str]:
        """Until nothing is left to do now; what was done."""
        done: Counter[str] = Counter()
        while (made := self.once()).transitions:
            done.update(t.cause for t in made.transitions)
        return done

    def apply(self, *these: Change) -> None:
        for change in these:
            self.world.apply(change)

    @property
    def asked(self) -> int:
        return self.world.solver.asked


def full_house() -> Driven:
    waiting = [gang(f"j{i:03}", i % SHAPES, created=START + i) for i in range(SHAPES * EACH)]
    out = Driven(*(held(name) for name in NAMES), *waiting)
    assert out.rest() == {"Waiting": SHAPES * EACH}
    return out


def test_a_freed_node_costs_at_most_one_decision_of_the_solver_for_each_shape() -> None:
    house = full_house()
    for name in NAMES:
        before = house.asked
        house.apply(Gone(Kind.POD, f"busy-{name}", house.now))
        assert house.rest()["Placed"] == 1
        assert house.asked - before <= SHAPES


@pytest.mark.parametrize("last", [False, True], ids=["stands first", "stands last"])
def test_nor_does_the_one_with_which_a_gang_of_many_starts(last: bool) -> None:
    """What stood before it was refused with more room, and the next of its shape finds too little: neither is asked."""
    sizes = [8, 7, 6, 5, 4] if last else [4, 5, 6, 7, 8]
    waiting = [
        job(f"j{each}-{size}", role(count=size, requests=asks(4), template=f"t{size}"))
        for each in range(3)
        for size in sizes
    ]
    waiting = [replace(of, created=START + at) for at, of in enumerate(waiting)]
    house = Driven(*(held(name) for name in NAMES), *waiting)
    house.rest()
    for nth, name in enumerate(NAMES[:4], 1):
        before = house.asked
        house.apply(Gone(Kind.POD, f"busy-{name}", house.now))
        assert house.rest()["Placed"] == (nth == 4)
        assert house.asked - before <= len(sizes)


def test_nothing_is_asked_again_while_nothing_is_different() -> None:
    house = full_house()
    before = house.asked
    house.apply(Upsert(node(NAMES[0], rv=7), house.now), Upsert(priority_class("other"), house.now))
    house.rest()
    house.apply(Gone(Kind.POD, f"busy-{NAMES[0]}", house.now), Upsert(held(NAMES[0]), house.now))
    house.rest()
    assert house.asked == before


def test_a_node_that_is_as_it_was_does_not_walk_the_queue() -> None:
    house = full_house()
    house.apply(Upsert(node(NAMES[0], rv=7), house.now))
    assert not house.world.waiting_stale
    assert not plan(house.world, house.now).queued


def test_numbers_are_rewritten_a_few_a_second_and_at_most_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "A_SECOND", 3)
    big = [job(f"j{i:02}", role(count=8, requests=asks(4), template="t"), created=START + i) for i in range(10)]
    house = Driven(*(held(name) for name in NAMES), *big)
    assert house.rest() == {"Waiting": 10}
    house.apply(Gone(Kind.POD, f"busy-{NAMES[0]}", house.now))
    assert house.rest() == {}, "told a moment ago"
    written: list[int] = []
    while (made := plan(house.world, house.now)).wake_at is not None:
        house.now = max(made.wake_at, house.now)
        done = house.rest()
        written += [house.now] * done["Waiting"]
        if len(written) == 10:
            break
    assert Counter(at - START for at in written) == {60_000: 3, 61_000: 3, 62_000: 3, 63_000: 1}
    messages = {of.status.waiting.message for of in house.world.jobs() if of.status.waiting is not None}
    assert len(messages) == 1
    house.now += 600_000
    assert house.rest() == {}


def test_a_new_reason_is_told_to_so_many_a_pass_and_the_next_pass_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "AT_ONCE", 4)
    big = [job(f"j{i}", role(count=9, requests=asks(4), template="t"), created=START + i) for i in range(10)]
    house = Driven(*big)
    passes = []
    while (made := house.once()).transitions:
        passes.append(len(made.transitions))
        assert made.wake_at == (house.now if sum(passes) < 10 else None)
    assert passes == [4, 4, 2]


def test_nobody_takes_the_room_of_a_job_whose_message_is_on_its_way() -> None:
    old, young = gang("old", 2, created=START), gang("young", 5, created=START + 1)
    house = Driven(*(held(name) for name in NAMES), old, young)
    told = house.world
    for transition in plan(told, house.now).transitions:
        if transition.job == old.id:
            told.assume(transition)
    house.apply(Gone(Kind.POD, f"busy-{NAMES[0]}", house.now))
    assert [t for t in plan(told, house.now).transitions if t.cause == "Placed"] == []
    house.apply(Upsert(replace(old, rv=2), house.now))
    assert [t.job for t in plan(told, house.now).transitions if t.cause == "Placed"] == [old.id]


def test_the_others_are_told_although_the_commit_of_one_was_refused() -> None:
    house = full_house()
    house.apply(Gone(Kind.POD, f"busy-{NAMES[0]}", house.now))
    (placing,) = [t for t in plan(house.world, house.now).transitions if t.cause == "Placed"]
    house.world.assume(placing)
    house.world.settle(plan(house.world, house.now))
    house.apply(Refused(placing.job, 0, "rbac", "no", house.now, commit=True))
    again = [t for t in plan(house.world, house.now).transitions if t.cause == "Placed"]
    assert len(again) == 1
    assert again[0].job != placing.job


def test_a_changed_spec_ends_a_back_off() -> None:
    waiting = committed(gang("llm", 2), Phase.PENDING, attempt=1, not_before=START + 60_000)
    house = Driven(waiting)
    assert house.rest() == {}
    house.apply(Upsert(replace(waiting, rv=3, generation=waiting.generation + 1), house.now))
    assert house.rest() == {"Placed": 1}


@pytest.mark.parametrize(
    ("why", "reason", "last", "ends"),
    [
        ("ClaimVoid", Reason.START_FAILED, "", True),
        ("Disrupted", Reason.BACKING_OFF, "Disrupted", True),
        ("Disrupted", Reason.BACKING_OFF, "OwnFailure", False),
        ("ImagePull", Reason.IMAGE_PULL, "", False),
        ("PolicyRefused", Reason.POLICY_REFUSED, "", False),
        ("", Reason.BACKING_OFF, "OwnFailure", False),
    ],
)
def test_room_that_comes_free_ends_a_back_off_for_lost_room_alone(
    why: str, reason: Reason, last: str, ends: bool
) -> None:
    waiting = committed(
        gang("llm", 2),
        Phase.PENDING,
        attempt=1,
        not_before=START + 60_000,
        start_failures=StartFailures(1, "m", 1, why),
        waiting=Waiting(Verdict(reason, (("attempt", 1),)), "attempt 1: m", START),
        last_failure=LastFailure(START, last, "m") if last else None,
    )
    house = Driven(*(held(name) for name in NAMES[1:]), waiting)
    house.now += 1_000
    assert house.rest() == {}, "the node that is free was free when the pause began"
    house.apply(Upsert(node("other", gpus=1), house.now))
    assert house.rest() == {}, "a node came that cannot take its pod"
    house.apply(Gone(Kind.POD, f"busy-{NAMES[1]}", house.now))
    fresh = World.of(house.world.records())
    for world in (house.world, fresh):
        causes = [t.cause for t in plan(world, house.now, everything=True).transitions]
        assert causes == (["Placed"] if ends else [])


MOVES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7), st.integers(0, 11)), min_size=5, max_size=40)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(MOVES)
def test_no_job_takes_room_that_an_earlier_one_could_use(moves: Sequence[tuple[int, int, int]]) -> None:
    """Whatever happens: when a pass has placed what it placed, none that stands earlier than one of those would have
    fitted in its stead."""
    house = Driven(priority_class("high", 10), *(held(name) for name in NAMES))
    made, free = 0, set[str]()
    for what, which, shape in moves:
        name = NAMES[which]
        match what:
            case 0 | 1:
                priority = "high" if shape % 4 == 0 else "muster-default"
                of = gang(f"j{made}", shape, created=START + made, priority_class=priority)
                house.apply(Upsert(of, house.now), *(Upsert(a, house.now) for a in admissions(of)))
                made += 1
            case 2 | 3 if name not in free:
                house.apply(Gone(Kind.POD, f"busy-{name}", house.now))
                free.add(name)
            case 4 if name in free and dict(house.world.inventory.free_on(name)).get(GPU) == 4:
                house.apply(Upsert(held(name), house.now))
                free.discard(name)
            case _:
                house.now += 31_000
        world = house.world
        before = world.inventory.fork()
        waiting = sorted(
            (of for of in world.jobs() if isinstance(of, Job) and of.status.phase is Phase.PENDING),
            key=lambda of: order_of(of, world.priority_classes),
        )
        placed = {t.job for t in house.once().transitions if t.cause == "Placed"}
        for of in waiting:
            shape_of = world.shape(of)
            fits = not hasattr(answer := World().solver.place(before, shape_of), "reason")
            assert fits == (of.id in placed), of.name
            if fits:
                load = dict.fromkeys(answer.nodes[0], shape_of.roles[0].requests)  # type: ignore[union-attr]
                before.claim(of.id, load)


def test_each_shape_is_told_its_reason() -> None:
    house = full_house()
    reasons = {of.status.waiting.verdict.reason for of in house.world.jobs() if of.status.waiting is not None}
    assert reasons == {Reason.INSUFFICIENT_CAPACITY, Reason.UNSATISFIABLE}
