"""Single rows of the table: what each writes. That each is reached, and that none is a dead end, is explored in
test_lifecycle_exploration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import (
    START,
    admissions,
    changes,
    committed,
    gang,
    job,
    node,
    pod,
    priority_class,
    role,
    topology,
)

from muster.core.breaks import Break, Fault
from muster.core.lifecycle import Hold, Mend, Row, backoff, jitter, last_failure, placed, step, waits, whole_seconds
from muster.core.model import (
    FINISHED,
    Committed,
    Failure,
    Found,
    Job,
    Objective,
    Phase,
    Pod,
    Reason,
    Stage,
    StartFailures,
    Stopping,
    Verdict,
    Waiting,
)
from muster.core.observe import Seen, observe
from muster.core.world import World

LLM = job("llm", role(count=2))
ON = [("a", "b")]


LOST = Break(0, 0, "a", Fault.NODE, "worker 0 lost its node a: the node was deleted")
FAILED = Break(0, 1, "b", Fault.OWN, "worker 1 on b failed: exit code 1")


AGAIN = Mend((("a", "b"),), frozenset({(0, 0), (0, 1)}), (), True, None)
"""Everything is made anew where it was."""


def taken(of: Job, seen: Seen, now: int = START, mend: Mend | Verdict | Hold | None = None) -> tuple[Row, Committed]:
    stepped = step(of, seen, now, mend, "7")
    assert stepped is not None
    return stepped


@pytest.mark.parametrize(
    ("failures", "low", "high"), [(0, 0, 0), (1, 5, 6.25), (2, 10, 12.5), (4, 40, 50), (99, 300, 375)]
)
def test_back_off_doubles_from_the_base_to_the_maximum_with_a_quarter_of_jitter(
    failures: int, low: float, high: float
) -> None:
    assert low * 1000 <= backoff(LLM, failures) <= high * 1000


def test_jitter_differs_by_job_and_attempt_and_never_by_time() -> None:
    drawn = {jitter(uid, attempt) for uid in ("a", "b", "c") for attempt in range(5)}
    assert len(drawn) == 15
    assert all(0 <= x < 1 for x in drawn)
    assert jitter("a", 1) == jitter("a", 1)


def test_a_job_that_is_being_deleted_is_not_moved_any_more() -> None:
    for phase in Phase:
        of = replace(committed(LLM, phase, ON), suspend=True, deleting=True)
        assert step(of, Seen(succeeded=True, void="x", breaks=[LOST, FAILED]), START) is None


@pytest.mark.parametrize("phase", sorted(FINISHED, key=lambda phase: phase.value))
def test_finished_is_final_whatever_is_seen(phase: Phase) -> None:
    of = replace(committed(LLM, phase, ON), suspend=True)
    storm = Seen(holding=1, succeeded=True, void="x", breaks=[LOST, FAILED], start_failure=("x", "y"), all_ran=True)
    assert step(of, storm, START + 10**9) is None
    row, status = taken(of, replace(storm, holding=0))
    assert (row, status.phase, status.live) == (Row.RELEASED, phase, False)


def test_success_comes_before_suspension_failure_and_loss() -> None:
    of = replace(committed(LLM, Phase.RUNNING, ON), suspend=True)
    assert taken(of, Seen(succeeded=True, breaks=[LOST, FAILED]))[0] is Row.SUCCEEDED


def test_a_disruption_is_not_counted_as_the_jobs_own_failure() -> None:
    row, status = taken(committed(LLM, Phase.RUNNING, ON, restarts=3), Seen(breaks=[LOST, FAILED]))
    assert (row, status.disruptions, status.restarts, status.restarts_in_row) == (Row.LOST, 1, 3, 0)


@pytest.mark.parametrize(
    ("ran", "row", "in_row"),
    [(0, Row.EXHAUSTED, 2), (3_599_000, Row.EXHAUSTED, 2), (3_600_000, Row.RESTART, 1)],
    ids=["at once", "just not long enough", "long enough to start the row anew"],
)
def test_restarts_in_a_row_end_the_job_unless_it_ran_long_between(ran: int, row: Row, in_row: int) -> None:
    of = replace(LLM, policy=replace(LLM.policy, max_restarts=2))
    found, status = taken(
        committed(of, Phase.RUNNING, ON, restarts=5, restarts_in_row=2), Seen(breaks=[FAILED]), START + ran, AGAIN
    )
    assert (found, status.restarts_in_row) == (row, in_row)


@pytest.mark.parametrize(
    ("seen", "starts"),
    [
        (Seen(complete=True, viewed=True), True),
        (Seen(complete=False, viewed=True), False),
        (Seen(complete=True, viewed=False), False),
        (Seen(complete=True, viewed=True, stale=True), False),
        (Seen(complete=True, viewed=True, terminating=True), False),
    ],
    ids=["ready", "a pod is missing", "not viewed (S2)", "an earlier attempt's pod holds on", "a pod is being deleted"],
)
def test_a_placed_gang_starts_only_when_complete_viewed_and_alone(seen: Seen, starts: bool) -> None:
    stepped = step(committed(LLM, Phase.PLACED, ON), seen, START)
    assert (stepped is not None and stepped[0] is Row.START) is starts


def test_a_void_claim_does_not_start_even_when_all_else_is_ready() -> None:
    ready = Seen(complete=True, viewed=True, void="others took the room")
    row, status = taken(committed(LLM, Phase.PLACED, ON), ready)
    assert (row, status.phase, status.start_failures.count) == (Row.VOID, Phase.STOPPING, 1)


def test_running_time_adds_up_over_attempts_and_is_not_counted_between() -> None:
    of = committed(LLM, Phase.RUNNING, ON, running_ms=5_000)
    _, status = taken(replace(of, suspend=True), Seen(), START + 7_000)
    assert (status.running_ms, status.running_since, status.phase) == (12_000, None, Phase.STOPPING)


@pytest.mark.parametrize(
    ("stopping", "start_failures", "reason", "backs_off"),
    [
        ("Disrupted", StartFailures(), None, False),
        ("Disrupted", StartFailures(1), Reason.BACKING_OFF, True),
        ("OwnFailure", StartFailures(), Reason.BACKING_OFF, True),
        ("StartFailed", StartFailures(1), Reason.START_FAILED, True),
        ("ImagePull", StartFailures(1), Reason.IMAGE_PULL, True),
        ("NamespaceQuota", StartFailures(1), Reason.NAMESPACE_QUOTA, True),
        ("PolicyRefused", StartFailures(1), Reason.POLICY_REFUSED, True),
        ("SchedulerRefused", StartFailures(2, "x", 2), Reason.START_FAILED, True),
        ("SchedulerRefused", StartFailures(3, "x", 3), Reason.SCHEDULER_REFUSED, True),
    ],
)
def test_what_a_job_waits_for_after_an_attempt(
    stopping: str, start_failures: StartFailures, reason: Reason | None, backs_off: bool
) -> None:
    of = committed(
        LLM, Phase.STOPPING, ON, stopping=Stopping(stopping, "words"), start_failures=start_failures, restarts_in_row=1
    )
    row, status = taken(of, Seen(holding=0))
    assert (row, status.phase, status.live, status.placement) == (Row.REQUEUED, Phase.PENDING, False, None)
    assert (status.waiting.verdict.reason if status.waiting else None) is reason
    assert (status.not_before is not None) is backs_off
    if status.waiting and status.not_before:
        assert status.waiting.message == "attempt 1: words"
        assert status.not_before > START
        assert status.not_before % 1000 == 0


def test_stopping_ends_only_when_no_pod_holds_anything() -> None:
    of = committed(LLM, Phase.STOPPING, ON, stopping=Stopping("Disrupted", ""))
    assert step(of, Seen(holding=1), START) is None
    assert taken(replace(of, suspend=True), Seen(holding=0))[1].phase is Phase.SUSPENDED


@pytest.mark.parametrize(
    ("phase", "pods", "after"),
    [(Phase.RUNNING, 2, 1_000), (Phase.RUNNING, 1001, 5_000), (Phase.STARTING, 2, 5_000), (Phase.PLACED, 2, None)],
)
def test_counts_are_written_once_a_second_the_large_and_the_starting_ones_every_five(
    phase: Phase, pods: int, after: int | None
) -> None:
    nodes = [tuple(f"n{i}" for i in range(pods))]
    of = committed(job("llm", role(count=pods, gpus=4)), phase, nodes)
    made = gang(of, Stage.RUNNING if phase is Phase.RUNNING else Stage.GATED)
    records = (topology(), *(node(name) for name in nodes[0]), of, *made, *admissions(of), priority_class())
    world = World.of(changes(*records))
    for later in (0, 999, 1_000, 4_999, 5_000):
        seen = observe(world, of, START + later)
        assert seen.count_due is (after is not None and later >= after), later
        if seen.count_due:
            row, status = taken(of, seen, START + later)
            assert (row, status.counts) == (Row.COUNTED, seen.counts)
        elif after is not None:
            assert seen.wake is not None
            assert seen.wake <= START + after


def test_a_pod_that_was_collected_holds_its_machine_until_that_is_off_or_had_its_time() -> None:
    of = committed(LLM, Phase.STOPPING, [("a", "b")], stopping=Stopping("Disrupted", ""))
    after = of.policy.unreachable_after

    def holding(at: int, *, collected: bool = True, **state: Any) -> int:
        ended = pod(of, 0, Stage.FAILED, "a", collected=collected)
        world = World.of(changes(topology(), node("a", **state), node("b"), of, ended, *admissions(of)))
        return observe(world, of, START + at).holding

    assert holding(0, unready_since=START) == 1
    assert holding(after - 1, unready_since=START) == 1
    assert holding(after, unready_since=START) == 0
    assert holding(0, unready_since=START, collected=False) == 0
    assert holding(0, unready_since=START, out_of_service=True) == 0
    assert holding(0) == 0


def test_suspending_a_waiting_job_ends_its_back_off() -> None:
    of = committed(LLM, Phase.PENDING, not_before=START + 60_000)
    row, status = taken(replace(of, suspend=True), Seen())
    assert (row, status.phase, status.not_before) == (Row.SUSPENDED, Phase.SUSPENDED, None)


def test_failures_are_told_earliest_first_those_within_ten_seconds_and_eight_at_most() -> None:
    def failed(rank: int, at: int | None) -> Pod:
        return pod(LLM, rank, Stage.FAILED, "a", failure=Failure(exit_code=rank, finished_at=at))

    seen = Seen(failed_pods=[failed(3, START + 3), failed(1, START + 1), failed(9, START + 10_002), failed(0, None)])
    situation = type("S", (), {"seen": seen, "now": START + 500})()
    told = last_failure(situation, "OwnFailure", "words")
    assert [failure.rank for failure in told.failures] == [1, 3, 0]
    assert told.time == whole_seconds(START + 500)
    seen.failed_pods = [failed(rank, START + rank) for rank in range(20)]
    assert [failure.rank for failure in last_failure(situation, "", "").failures] == list(range(8))


# --- Waiting ----------------------------------------------------------------------------------------------------------

OLD, NEW = (Verdict(Reason.INSUFFICIENT_CAPACITY, (("free", n),)) for n in (1, 2))
OTHER = Verdict(Reason.FRAGMENTED)


@pytest.mark.parametrize(
    ("verdict", "age", "written"),
    [
        pytest.param(OLD, 10**9, False, id="nothing new"),
        pytest.param(NEW, 59_999, False, id="other numbers, within a minute"),
        pytest.param(NEW, 60_000, True, id="other numbers, a minute later"),
        pytest.param(OTHER, 1, True, id="another reason, at once"),
    ],
)
def test_why_a_job_waits_is_rewritten_when_the_reason_changes_else_once_a_minute(
    verdict: Verdict, age: int, written: bool
) -> None:
    said = Waiting(OLD, "words", START)
    of = committed(LLM, Phase.PENDING, attempt=0, waiting=said)
    message = "words" if verdict is OLD else "new words"
    status = waits(of, verdict, message, START + age, START)
    assert (status is not None) is written
    if status is not None and status.waiting is not None:
        assert status.waiting.since == (START if verdict.reason is OLD.reason else whole_seconds(START + age))


def test_a_new_generation_is_judged_and_said_so_at_once() -> None:
    of = committed(LLM, Phase.PENDING, attempt=0, waiting=Waiting(OLD, "words", START), observed_generation=0)
    status = waits(of, OLD, "words", START + 1, START)
    assert status is not None
    assert status.observed_generation == 1


def test_a_placement_is_a_new_attempt_in_which_every_pod_is_made_anew() -> None:
    found = Found((("a", "b"),), Objective(0, 1, 2, (), 0), True, (("nvlink", 1),), (("nvlink", 1),), 0)
    waiting = committed(LLM, Phase.PENDING, attempt=4, waiting=Waiting(OLD, "x", START), not_before=START)
    status = placed(waiting, found, "term", "hash", START + 1_234)
    assert status.placement is not None
    assert (status.phase, status.attempt, status.live, status.phase_since) == (Phase.PLACED, 5, True, START + 1_000)
    assert (status.waiting, status.not_before) == (None, None)
    assert (status.placement.attempt, status.placement.gang_attempt) == (5, 5)
    assert (status.placement.born, status.placement.nodes) == (((5, 5),), (("a", "b"),))
    assert (status.placement.term, status.placement.roles_hash) == ("term", "hash")
