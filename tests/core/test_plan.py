"""plan(): the order of the waiting, what they share, and what one defect or refusal must not stop."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import START, admissions, asks, changes, committed, job, node, pod, priority_class, role

from muster.core import plan as planning
from muster.core import telling
from muster.core.model import (
    Admission,
    Committed,
    Gone,
    Job,
    Kind,
    Level,
    Phase,
    Plan,
    Quota,
    Reason,
    Record,
    Refused,
    Rejected,
    RoleSpec,
    Stage,
    TopologySpec,
    Upsert,
    Verdict,
    Waiting,
)
from muster.core.plan import plan
from muster.core.world import World

NODES = [node("a"), node("b")]


def world_of(*records: Record) -> World:
    world = World()
    jobs = [record for record in records if isinstance(record, Job)]
    for change in changes(*NODES, *records, *(a for of in jobs for a in admissions(of))):
        world.apply(change)
    return world


def gang(name: str, count: int = 1, **fields: object) -> Job:
    return job(name, role(count=count, gpus=4), **fields)


def causes(made: Plan) -> dict[str, str]:
    assert not made.errors
    return {t.job.removeprefix("uid-"): t.cause for t in made.transitions}


def reason(made: Plan, of: str) -> Reason | None:
    return verdict(made, of).reason


def verdict(made: Plan, of: str) -> Verdict:
    (told,) = [t.status.waiting for t in made.transitions if t.job == f"uid-{of}"]
    assert told is not None
    return told.verdict


def test_priority_comes_before_age_and_age_before_the_uid() -> None:
    high = priority_class("high", 10)
    waiting = [
        gang("young-and-high", created=START + 9, priority_class="high"),
        gang("z-old", created=START),
        gang("b-young", created=START + 1),
        gang("a-young", created=START + 1),
    ]
    world = world_of(high, *waiting)
    assert causes(plan(world, START)) == {
        "young-and-high": "Placed",
        "z-old": "Placed",
        "b-young": "Waiting",
        "a-young": "Waiting",
    }
    world.apply(Upsert(replace(NODES[0], name="c", uid="c"), START))
    assert "a-young" in [n for n, cause in causes(plan(world, START)).items() if cause == "Placed"]


def test_a_job_that_does_not_fit_blocks_nobody_and_room_is_not_given_twice() -> None:
    world = world_of(gang("huge", 3, created=START), gang("two", 2, created=START + 1), gang("one", created=START + 2))
    made = plan(world, START)
    assert causes(made) == {"huge": "Waiting", "two": "Placed", "one": "Waiting"}
    assert (reason(made, "huge"), reason(made, "one")) == (Reason.UNSATISFIABLE, Reason.INSUFFICIENT_CAPACITY)


def test_equal_shapes_share_one_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(gang("first", 3), gang("second", 3), pod(None, 0, Stage.RUNNING, "a", requests=asks(4)))
    asked = []
    place = world.solver.place
    monkeypatch.setattr(world.solver, "place", lambda *args: asked.append(args) or place(*args))
    assert causes(plan(world, START)) == {"first": "Waiting", "second": "Waiting"}
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(Gone(Kind.PRIORITY_CLASS, "muster-default", START), Reason.PRIORITY_CLASS_MISSING, id="class"),
        pytest.param(
            Upsert(priority_class("muster-default", preempts=True), START),
            Reason.PRIORITY_CLASS_PREEMPTS,
            id="a class that preempts",
        ),
        pytest.param(
            Upsert(TopologySpec("default", "t", 9, 1, "Custom", invalid="spec.levels: no"), START),
            Reason.INVALID,
            id="topology",
        ),
        pytest.param(
            Upsert(Quota("default", "q", "q", 1, (("pods", 1),), (("pods", 1),)), START),
            Reason.NAMESPACE_QUOTA,
            id="quota",
        ),
    ],
)
def test_what_holds_a_job_before_the_solver_is_asked(spoil: Upsert | Gone, expected: Reason) -> None:
    world = world_of(gang("llm"))
    world.apply(spoil)
    made = plan(world, START)
    assert (causes(made), reason(made, "llm")) == ({"llm": "Waiting"}, expected)


def test_one_attempt_at_a_time_creates_under_a_quota() -> None:
    roomy = Quota("default", "q", "q", 1, (("pods", 9),), (("pods", 0),))
    world = world_of(gang("first", created=START), gang("second", created=START + 1), roomy)
    assert causes(plan(world, START)) == {"first": "Placed"}


def test_a_job_without_admission_or_with_pods_of_an_earlier_attempt_is_not_placed_yet() -> None:
    late = committed(gang("late"), Phase.PENDING, attempt=1)
    unasked = gang("unasked")
    world = World()
    left = pod(late, 0, Stage.GATED, "a")
    for change in changes(*NODES, late, unasked, *admissions(late), left):
        world.apply(change)
    world.apply(Upsert(replace(unasked, rv=2, roles=(replace(unasked.roles[0], template="never asked"),)), START))
    assert causes(plan(world, START)) == {}
    world.apply(Gone(Kind.POD, left.id, START))
    assert causes(plan(world, START)) == {"late": "Placed"}


def test_a_placed_job_that_is_being_deleted_holds_up_no_quota() -> None:
    roomy = Quota("default", "q", "q", 1, (("pods", 9),), (("pods", 0),))
    leaving = replace(committed(gang("leaving"), Phase.PLACED, [("a",)]), deleting=True)
    assert causes(plan(world_of(roomy, leaving, gang("next")), START)) == {"next": "Placed"}


def test_nobody_takes_the_room_of_an_older_job_whose_dry_run_is_asked_anew() -> None:
    old, young = gang("old", 2, created=START), gang("young", created=START + 1)
    old = replace(old, roles=(replace(old.roles[0], template="asked anew"),))
    world = World()
    for change in changes(*NODES, old, young, *admissions(young)):
        world.apply(change)
    # Nothing but the room kept for the older one is in its way: there is nothing to tell yet.
    assert causes(plan(world, START)) == {}
    for admission in admissions(old):
        world.apply(Upsert(admission, START))
    assert causes(plan(world, START)) == {"old": "Placed", "young": "Waiting"}


def test_numbers_do_not_count_room_that_is_kept_for_a_moment() -> None:
    old = gang("old", 1, created=START)
    old = replace(old, roles=(replace(old.roles[0], template="asked anew"),))
    two, huge = gang("two", 2, created=START + 1), gang("huge", 3, created=START + 2)
    world = World()
    for change in changes(*NODES, node("c", cordoned=True), old, two, huge, *admissions(two), *admissions(huge)):
        world.apply(change)
    made = plan(world, START)
    assert causes(made) == {"huge": "Waiting"}
    told = verdict(made, "huge")
    assert (told.number("pods"), told.number("free")) == (3, 2)


def test_a_job_that_is_not_understood_says_why() -> None:
    bad = Rejected("uid-bad", "default", "bad", 1, 1, "spec.roles[0].replicas", "must be positive", Committed())
    (told,) = plan(world_of(bad), START).transitions
    assert told.status.waiting is not None
    assert told.status.waiting.message == "spec.roles[0].replicas: must be positive"
    running = replace(bad, status=committed(gang("bad"), Phase.RUNNING, [("a",)]).status)
    assert plan(world_of(running), START).transitions == ()


def test_a_defect_in_one_job_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(gang("good"), gang("bad", suspend=True), committed(gang("ugly"), Phase.STOPPING))
    true_step = planning.lifecycle.step

    def step(of: Job, *others: object) -> object:
        if of.name == "bad":
            raise ZeroDivisionError("a bug")
        return true_step(of, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(planning.lifecycle, "step", step)
    made = plan(world, START)
    assert made.errors == (("uid-bad", "ZeroDivisionError: a bug"),)
    assert {t.job: t.cause for t in made.transitions} == {"uid-good": "Placed", "uid-ugly": "Requeued"}
    assert dict(made.wakes)["uid-bad"] == START + 60_000


def test_a_commit_refused_for_good_is_tried_again_after_half_a_minute() -> None:
    of = gang("llm")
    world = world_of(of)
    (placing,) = plan(world, START).transitions
    world.assume(placing)
    world.apply(Refused(of.id, 0, "rbac", "forbidden", START, commit=True))
    made = plan(world, START + 29_999)
    assert causes(made) == {}
    assert made.wake_at == START + 30_000
    assert causes(plan(world, START + 30_000)) == {"llm": "Placed"}


def test_a_job_under_decision_is_not_decided_upon() -> None:
    of = gang("llm")
    world = world_of(of)
    (placing,) = plan(world, START).transitions
    world.assume(placing)
    assert plan(world, START, everything=True).transitions == ()


def test_a_plan_wakes_at_the_end_of_a_back_off_and_not_before() -> None:
    held = committed(gang("llm"), Phase.PENDING, attempt=1, not_before=START + 7_000)
    world = world_of(held)
    made = plan(world, START)
    assert (causes(made), made.wake_at) == ({}, START + 7_000)
    world.settle(made)
    assert causes(plan(world, START + 6_999)) == {}
    assert causes(plan(world, START + 7_000)) == {"llm": "Placed"}


def test_a_refused_shape_is_looked_at_again_when_room_may_have_come() -> None:
    of = gang("llm", 3)
    world = world_of(of)
    (told,) = plan(world, START).transitions
    world.apply(Upsert(replace(of, rv=2, status=told.status), START))
    world.settle(plan(world, START))
    assert plan(world, START + 1).transitions == ()
    world.apply(Upsert(node("c"), START))
    assert causes(plan(world, START + 1)) == {"llm": "Placed"}


def test_the_preference_is_waited_for_from_the_first_time_it_could_have_been_placed() -> None:
    spread = [node("x", labels={"leaf": "l", "nvlink": "r0"}), node("y", labels={"leaf": "l", "nvlink": "r1"})]
    picky = job("picky", role(count=2, gpus=4, preferred="nvlink"), prefer_wait=60_000)
    spare = node("z", labels={"leaf": "l", "nvlink": "r1"}, cordoned=True)
    levels = TopologySpec(
        "default", "t", 1, 1, "Custom", (Level("leaf", ("test/leaf",)), Level("nvlink", ("test/nvlink",)))
    )
    world = World()
    for change in changes(levels, *spread, spare, picky, *admissions(picky)):
        world.apply(change)
    made = plan(world, START)
    (told,) = made.transitions
    assert told.status.waiting is not None
    assert told.status.waiting.verdict.reason is Reason.WAITING_FOR_PREFERRED
    assert (told.status.placeable_since, made.wake_at) == (START, START + 60_000)
    world.apply(Upsert(replace(picky, rv=2, status=told.status), START))
    world.settle(plan(world, START))
    assert causes(plan(world, START + 59_999)) == {}
    assert causes(plan(world, START + 60_000)) == {"picky": "Placed"}


def test_a_deleted_job_that_a_finalizer_keeps_holds_nothing_without_pods() -> None:
    kept = replace(committed(gang("kept"), Phase.RUNNING, [("a",)]), deleting=True)
    assert causes(plan(world_of(kept, gang("next", 2)), START)) == {"next": "Placed"}


def test_a_node_that_changes_the_levels_puts_placed_gangs_on_the_agenda() -> None:
    of = job("llm", role(count=1, gpus=4, required="leaf"))
    on = committed(of, Phase.PLACED, [("old",)])
    older = node("old", labels={"network.topology.nvidia.com/leaf": "l"})
    world = World()
    for change in changes(older, on, *admissions(of)):
        world.apply(change)
    world.settle(plan(world, START))
    world.apply(Upsert(node("new", labels={"fabric.topograph.run/tier-0": "l"}), START))
    assert causes(plan(world, START)) == causes(plan(world, START, everything=True))


def test_a_waiting_reason_that_is_told_stays_told() -> None:
    of = gang("llm", 3)
    world = world_of(of)
    (told,) = plan(world, START).transitions
    assert isinstance(told.status.waiting, Waiting)
    world.apply(Upsert(replace(of, rv=2, status=told.status), START))
    assert plan(world, START + 10**6, everything=True).transitions == ()
    world.apply(Upsert(Admission("default", "of another template"), START))
    assert plan(world, START + 10**6).transitions == ()


def test_what_would_start_a_job_is_told_with_the_reason_and_names_the_jobs_in_its_way() -> None:
    running = committed(gang("first", count=2), Phase.RUNNING, [("a", "b")])
    world = world_of(running, *(pod(running, i, Stage.RUNNING, name) for i, name in enumerate("ab")), gang("second"))
    (told,) = [t.status.waiting for t in plan(world, START).transitions if t.job == "uid-second"]
    assert told is not None
    assert told.message.endswith("; it would start if 1 node were free: end or move default/first (1 node)")


def test_a_pass_looks_for_few_changes_and_the_others_are_told_later() -> None:
    many = telling.REMEDIES + 3
    busy = [pod(None, i, node=name, id=f"busy-{name}", requests=asks(4)) for i, name in enumerate("ab")]
    world = world_of(*busy, *(gang(f"g{i}", count=1, created=START + i, roles=ranked(i)) for i in range(many)))

    def messages(now: int) -> list[str]:
        made = plan(world, now)
        assert not made.errors
        for t in made.transitions:
            was = world.acknowledged(t.job)
            assert isinstance(was, Job)
            world.apply(Upsert(replace(was, rv=was.rv + 1, status=t.status), now))
        world.settle(made)
        return [t.status.waiting.message for t in made.transitions if t.status.waiting is not None]

    first = messages(START)
    assert len(first) == many
    assert sum("it would start if" in message for message in first) == telling.REMEDIES
    assert messages(START + 1_000) == []
    later = messages(START + 60_000)
    assert len(later) == 3
    assert all("it would start if" in message for message in later)
    assert messages(START + 200_000) == []


def ranked(i: int) -> tuple[RoleSpec, ...]:
    """One role that no other job has just so."""
    return (role(count=1, gpus=1 + i % 4, template=f"t{i}", requests=asks(1 + i % 4, cpu=1_000 * (i + 1))),)
