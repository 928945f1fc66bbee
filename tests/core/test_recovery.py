"""What a repair tells of itself: its times, its count of ranks, and which failures it names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import START, admissions, changes, committed, job, node, placement, pod, role, topology

from muster.core import failures, recovery
from muster.core.breaks import Break, Fault
from muster.core.model import Committed, Failure, Gone, Kind, LastFailure, LastRepair, Phase, Pod, Stage, Upsert
from muster.core.observe import Seen, observe
from muster.core.world import World

LLM = job("llm", role(count=2))
ON = committed(LLM, Phase.RUNNING, [("a", "b")], attempt=3).status
AFTER = placement(LLM, [("a", "c")], attempt=4)
LOST = Break(0, 1, "b", Fault.NODE, "worker 1 lost its node b: the node was deleted", name="worker")
FAILED = Break(0, 0, "a", Fault.OWN, "worker 0 failed", name="worker", at=START - 5000, noticed=START - 4000)


def began(*breaks: Break, status: Committed = ON, now: int = START) -> LastRepair:
    return recovery.began(status, breaks, AFTER, 2, "domain", now)


def test_what_vanished_tells_no_time_of_its_own() -> None:
    told = began(LOST)
    assert (told.failed, told.detected, told.decided) == (START, START, START)
    assert (told.attempt, told.cause, told.how) == (4, "node", "domain")
    assert (told.moved, told.kept, told.renewed) == (1, 1, 2)


def test_a_failure_is_timed_from_its_own_record() -> None:
    told = began(FAILED)
    assert (told.cause, told.failed, told.detected, told.decided) == ("failure", START - 5000, START - 4000, START)
    first = replace(FAILED, at=START - 9000, noticed=START - 8000)
    assert (began(FAILED, first).failed, began(FAILED, first).detected) == (START - 9000, START - 8000)


@pytest.mark.parametrize(
    ("faults", "cause"),
    [
        ((Fault.OWN, Fault.NODE), "node"),
        ((Fault.OWN, Fault.DISRUPTED), "disruption"),
        ((Fault.OWN,), "failure"),
        ((), "failure"),
    ],
)
def test_the_cause_is_the_gravest(faults: tuple[Fault, ...], cause: str) -> None:
    assert began(*(replace(LOST, fault=fault) for fault in faults)).cause == cause


def test_a_clock_that_is_ahead_makes_no_time_negative() -> None:
    told = began(replace(FAILED, at=START + 60_000, noticed=START + 1))
    assert told.failed <= told.detected <= told.decided


def test_a_repair_of_a_repair_is_timed_from_the_first_failure() -> None:
    first = replace(began(LOST, now=START - 7000), attempt=3)
    assert began(LOST, status=replace(ON, last_repair=first)).failed == START - 7000
    through = replace(first, running=START - 1)
    assert began(LOST, status=replace(ON, last_repair=through)).failed == START


def test_the_stages_follow_each_other() -> None:
    under_way = replace(ON, attempt=4, last_repair=began(LOST))
    made = recovery.made(under_way, Seen(stopped_at=START + 2000, made_at=START + 2500))
    assert made is not None
    assert (made.deleted, made.created, made.running) == (START + 2000, START + 2500, None)
    early = recovery.made(under_way, Seen(stopped_at=START - 60_000, made_at=None))
    assert early is not None
    assert (early.deleted, early.created) == (START, START)
    ran = recovery.ran(replace(under_way, last_repair=made), START + 4000)
    assert ran == replace(made, running=START + 4000)


def test_other_attempts_leave_the_last_repair_as_it_is() -> None:
    past = replace(ON, attempt=7, last_repair=began(LOST))
    assert recovery.made(past, Seen(made_at=START)) == past.last_repair
    assert recovery.ran(past, START) == past.last_repair
    assert recovery.ran(ON, START) is None


def repairing(*pods: tuple[Pod, int], gone: int | None = None) -> Seen:
    """The job in Repairing, rank 1 made anew; pods with the time at which they came into their stage."""
    of = committed(LLM, Phase.REPAIRING, [("a", "c")], attempt=4)
    of = replace(of, status=replace(of.status, placement=replace(AFTER, born=((3, 4),))))
    world = World.of(changes(topology(), node("a"), node("b"), node("c"), of, *admissions(of)))
    for one, at in pods:
        world.apply(Upsert(one, at))
    if gone is not None:
        world.apply(Gone(Kind.POD, pods[-1][0].id, gone))
    assert World.of(world.records()).fingerprint() == world.fingerprint()
    return observe(world, of, START + 9000)


def of_rank(rank: int, stage: Stage, where: str, born: int) -> Pod:
    return pod(LLM, rank, stage, where, born=born)


def test_when_the_old_pods_were_gone_and_the_new_ones_made() -> None:
    old, new = of_rank(1, Stage.RUNNING, "b", 3), of_rank(1, Stage.GATED, "c", 4)
    seen = repairing((new, START + 1500), (old, START), gone=START + 1200)
    assert (seen.stopped_at, seen.made_at) == (START + 1200, START + 1500)
    ended = of_rank(1, Stage.FAILED, "b", 3)
    seen = repairing((new, START + 1500), (ended, START + 700))
    assert (seen.stopped_at, seen.made_at) == (START + 700, START + 1500)


def failed(rank: int, at: int | None, *, terminating: bool = False) -> Pod:
    return pod(LLM, rank, Stage.FAILED, "a", failure=Failure(exit_code=1, finished_at=at), terminating=terminating)


def test_a_rank_that_was_lost_without_a_word_is_named_with_the_reason() -> None:
    told = failures.told(START, "Disrupted", "words", [LOST], [failed(0, START - 3000)])
    assert [(f.rank, f.node, f.exit_code) for f in told.failures] == [(0, "a", 1), (1, "b", None)]
    assert told.failures[1].message == LOST.why


def test_failures_that_are_told_late_are_gathered() -> None:
    last = failures.told(START, "Disrupted", "words", [LOST], [failed(0, START - 3000)])
    more = failures.gathered(last, [failed(1, START - 4000), failed(3, START + 30_000)], START)
    assert more is not None
    assert [(f.rank, f.exit_code) for f in more.failures] == [(1, 1), (0, 1)]
    assert failures.gathered(last, [], START) is last
    assert failures.gathered(None, [failed(1, START)], START) is None


def test_what_muster_ended_itself_and_kept_pods_of_earlier_attempts_are_no_failures() -> None:
    last = LastFailure(START, "OwnFailure", "words", failures.told(START, "", "", [], [failed(0, START)]).failures)
    ours, kept = failed(1, START + 1000, terminating=True), failed(2, START - 60_000)
    assert failures.gathered(last, [ours, kept], START) is last
    before = failed(1, START - 1000, terminating=True)
    gathered = failures.gathered(last, [before], START)
    assert gathered is not None
    assert [f.rank for f in gathered.failures] == [1, 0]
