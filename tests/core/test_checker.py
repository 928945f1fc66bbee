"""The checker of the invariants is itself checked: a history that keeps them passes, each doctored one is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support import builders
from tests.support.builders import SECOND, role
from tests.support.checker import Checker
from tests.support.corecluster import Cluster, Entry

from muster.core.model import Job, Kind, Phase, Pod, Stage

History = list[Entry]


def _run(*, end: Phase = Phase.RUNNING, suspend: bool = False) -> Cluster:
    cluster = Cluster()
    cluster.api.put(Kind.TOPOLOGY, builders.topology(), "admin", "create")
    for node in builders.racks(2, 2, gpus=1):
        cluster.api.put(Kind.NODE, node, "admin", "create")
    cluster.start()
    cluster.api.apply(builders.job("llm", role(count=2, gpus=1, required="nvlink")))
    status = cluster.api.jobs
    assert cluster.run(until=lambda: status["uid-llm"].status.phase is Phase.RUNNING, within=60 * SECOND)
    if suspend:
        cluster.api.edit("uid-llm", suspend=True)
        assert cluster.run(until=lambda: status["uid-llm"].status.phase is Phase.SUSPENDED, within=60 * SECOND)
        cluster.api.edit("uid-llm", suspend=False)
    if end is Phase.SUCCEEDED:
        cluster.lasts["llm"] = SECOND

    def ended() -> bool:
        now = status["uid-llm"].status
        return now.phase is end and (end is Phase.RUNNING or not now.live)

    assert cluster.run(until=ended, within=60 * SECOND)
    return cluster


@pytest.fixture(scope="module")
def history() -> History:
    """Started, suspended, started again, ended well."""
    return _run(end=Phase.SUCCEEDED, suspend=True).api.history


def laws(history: History) -> set[str]:
    return {violation.law for violation in Checker().feed(history).violations}


def statuses(history: History, phase: Phase) -> list[int]:
    """Where a status of this phase was written."""
    return [
        i
        for i, entry in enumerate(history)
        if entry.verb == "status" and isinstance(entry.record, Job) and entry.record.status.phase is phase
    ]


def pods(history: History, verb: str, wanted: Callable[[Pod], bool] = lambda _: True) -> list[int]:
    return [i for i, e in enumerate(history) if e.verb == verb and isinstance(e.record, Pod) and wanted(e.record)]


def with_status(entry: Entry, **edits: object) -> Entry:
    assert isinstance(entry.record, Job)
    return replace(entry, record=replace(entry.record, status=replace(entry.record.status, **edits)))  # type: ignore[arg-type]


def with_record(entry: Entry, **edits: object) -> Entry:
    return replace(entry, record=replace(entry.record, **edits))  # type: ignore[type-var,arg-type]


def test_a_history_that_keeps_the_invariants_passes(history: History) -> None:
    assert Checker().feed(history).at_rest().violations == []
    assert len(statuses(history, Phase.PLACED)) == 2


def test_s1_a_gang_started_before_all_its_pods_are_made_is_caught(history: History) -> None:
    missing = pods(history, "create")[1]
    assert "S1" in laws(history[:missing] + history[missing + 1 :])


def test_s1_a_gang_started_while_a_pod_is_gone_again_is_caught_strictly(history: History) -> None:
    starting, made = statuses(history, Phase.STARTING)[0], history[pods(history, "create")[0]]
    gone = replace(made, verb="gone", by="user")
    doctored = [*history[:starting], gone, history[starting]]
    assert {v.law for v in Checker(strict=True).feed(doctored).violations} == {"S1"}
    assert Checker(strict=True).feed(history).violations == []


def test_s1_a_gate_opened_before_starting_is_caught(history: History) -> None:
    opened = pods(history, "patch", lambda p: p.stage is Stage.UNBOUND)[0]
    starting = statuses(history, Phase.STARTING)[0]
    assert starting < opened
    early = [*history[:starting], history[opened], *history[starting:opened], *history[opened + 1 :]]
    assert "S1" in laws(early)


def test_s1_a_pod_deleted_while_its_attempt_goes_on_is_caught(history: History) -> None:
    runs = statuses(history, Phase.RUNNING)[0]
    victim = history[pods(history, "patch", lambda p: p.stage is Stage.RUNNING)[0]]
    assert "S1" in laws([*history[: runs + 1], replace(victim, verb="delete", by="operator-1")])


def test_s2_a_start_without_a_view_is_caught(history: History) -> None:
    assert "S2" in laws([entry for entry in history if entry.verb != "view"])


def test_s2_a_view_of_the_former_leader_is_none(history: History) -> None:
    assert "S2" in laws([replace(e, by="operator-0") if e.verb == "view" else e for e in history])


def test_s2_two_overlapping_gangs_with_open_gates_are_caught(history: History) -> None:
    end = statuses(history, Phase.RUNNING)[0] + 1

    def twin(entry: Entry) -> Entry:
        record = entry.record
        if isinstance(record, Job):
            return replace(entry, id="uid-twin", record=replace(record, id="uid-twin", name="twin"))
        if isinstance(record, Pod):
            return replace(
                entry, id=f"twin-{record.id}", record=replace(record, id=f"twin-{record.id}", job="uid-twin")
            )
        return entry

    others = [twin(e) for e in history[:end] if e.kind in (Kind.JOB, Kind.POD)]
    assert "S2" in laws(history[:end] + others)


def test_s2_a_claim_released_while_a_pod_runs_is_caught(history: History) -> None:
    gone = pods(history, "gone")[0]
    assert gone < statuses(history, Phase.SUSPENDED)[0]
    assert "S2" in laws(history[:gone] + history[gone + 1 :])


def test_s3_a_pod_made_while_the_former_one_of_its_rank_runs_is_caught(history: History) -> None:
    gone = pods(history, "gone")[0]
    assert "S3" in laws(history[:gone] + history[gone + 1 :])


def test_s3_a_pod_forced_away_from_a_well_node_is_caught(history: History) -> None:
    asked = pods(history, "delete")[0]
    doctored = [*history[:asked], replace(history[asked], force=True), *history[asked + 1 :]]
    assert "S3" in laws(doctored)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"cordoned": True}, id="cordoned"),
        pytest.param({"labels": {"test/leaf": "l0", "test/nvlink": "elsewhere"}}, id="in another domain"),
        pytest.param({"allocatable": (("pods", 110),)}, id="without GPUs"),
    ],
)
def test_s4_a_placement_on_a_node_that_does_not_qualify_is_caught(history: History, edit: dict[str, object]) -> None:
    at = statuses(history, Phase.PLACED)[0]
    known = dict(history[at].known or {})
    known["r0-n0"] = replace(known["r0-n0"], **edit)  # type: ignore[arg-type]
    assert "S4" in laws([*history[:at], replace(history[at], known=known), *history[at + 1 :]])


def test_s4_a_pod_pinned_elsewhere_is_caught(history: History) -> None:
    at = pods(history, "create")[0]
    assert "S4" in laws([*history[:at], with_record(history[at], pinned="r1-n1"), *history[at + 1 :]])


@pytest.mark.parametrize(
    ("phase", "edit"),
    [(Phase.SUSPENDED, {"live": True}), (Phase.STARTING, {"placement": None}), (Phase.RUNNING, {"live": False})],
    ids=["a claim of a suspended job", "an attempt without a placement", "a running gang without a claim"],
)
def test_s5_a_job_between_the_queue_and_its_attempt_is_caught(
    history: History, phase: Phase, edit: dict[str, object]
) -> None:
    at = statuses(history, phase)[0]
    assert "S5" in laws([*history[:at], with_status(history[at], **edit), *history[at + 1 :]])


def test_s6_a_foreign_pod_deleted_is_caught(history: History) -> None:
    cluster = Cluster()
    cluster.api.foreign("other", "n", ())
    (uid,) = cluster.api.pods
    cluster.api.delete_pod(uid, "operator-1", grace=0)
    assert laws(cluster.api.history) == {"S6"}


def test_s6_a_pod_left_behind_is_caught(history: History) -> None:
    last = len(history)
    gone = pods(history, "gone")[0]
    left = history[:gone] + history[gone + 1 : last]
    assert "S6" in {v.law for v in Checker().feed(left).at_rest().violations}


def test_s6_a_pod_of_an_orphaned_job_deleted_is_caught(history: History) -> None:
    cluster = _run()
    cluster.api.delete_job("uid-llm", "orphan")
    victim = next(iter(cluster.api.pods))
    cluster.api.delete_pod(victim, "operator-1")
    assert laws(cluster.api.history) == {"S6"}


@pytest.mark.parametrize(
    ("phase", "edit"),
    [
        (Phase.STARTING, {"attempt": 0}),
        (Phase.SUSPENDED, {"attempt": 7}),
        (Phase.STARTING, {"restarts_in_row": 11}),
        (Phase.SUCCEEDED, {"running_ms": -1}),
    ],
    ids=["the attempt shrinks", "an attempt from nowhere", "too many restarts in a row", "running time shrinks"],
)
def test_s7_counters_that_go_wrong_are_caught(history: History, phase: Phase, edit: dict[str, object]) -> None:
    at = statuses(history, phase)[0]
    assert "S7" in laws([*history[:at], with_status(history[at], **edit), *history[at + 1 :]])


def test_s7_a_finished_job_that_goes_on_is_caught(history: History) -> None:
    again = with_status(history[statuses(history, Phase.SUCCEEDED)[-1]], phase=Phase.PENDING, placement=None)
    assert laws([*history, again]) == {"S7"}


def test_a_step_that_is_not_in_the_table_is_caught(history: History) -> None:
    at = statuses(history, Phase.STARTING)[0]
    assert "table" in laws(history[:at] + history[at + 1 :])
