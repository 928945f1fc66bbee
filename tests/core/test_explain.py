"""Sentences for every reason, and an announcement for every row of the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import START, committed, job, placement, role

from muster.core.explain import Announcement, announce, placement_words, sentence
from muster.core.lifecycle import Row
from muster.core.model import (
    Action,
    ActionKind,
    Blame,
    Committed,
    LastFailure,
    LastRepair,
    Phase,
    Reason,
    Relaxation,
    Remedy,
    Reservation,
    Stopping,
    Transition,
    Verdict,
    Waiting,
)

SENTENCES: dict[Reason, tuple[dict[str, Any], str]] = {
    Reason.INVALID: ({"field": "spec.roles[0]", "message": "is empty"}, "spec.roles[0]: is empty"),
    Reason.SUSPENDED: ({}, "spec.suspend is true"),
    Reason.PRIORITY_CLASS_MISSING: ({"class": "high"}, "PriorityClass high does not exist"),
    Reason.PRIORITY_CLASS_PREEMPTS: ({"class": "high"}, "PriorityClass high may preempt other people's pods"),
    Reason.ADMISSION: ({}, "asking the API server"),
    Reason.START_FAILED: ({"message": "attempt 3: no room"}, "attempt 3: no room"),
    Reason.SCHEDULER_REFUSED: ({"message": "too many volumes"}, "too many volumes"),
    Reason.BACKING_OFF: ({"attempt": 4}, "attempt 4 ended; waiting before the next"),
    Reason.NAMESPACE_QUOTA: (
        {"quota": "team", "resource": "pods", "needs": 8, "left": 3},
        "ResourceQuota team leaves 3 of pods, the gang needs 8",
    ),
    Reason.POLICY_REFUSED: (
        {"role": "worker", "message": "no privileged pods"},
        "role worker: the API server refuses its pods: no privileged pods",
    ),
    Reason.IMAGE_PULL: ({"message": "no such tag"}, "no such tag"),
    Reason.UNSATISFIABLE: (
        {"pods": 20, "constraint": "required", "level": "nvlink", "largest": 18},
        "even the empty cluster could not hold it: no nvlink holds all 20 pods (required of it); the largest that one",
    ),
    Reason.INSUFFICIENT_CAPACITY: (
        {"pods": 8, "free": 5, "missing": 3},
        "needs 8 free slots, 5 are free: 3 missing",
    ),
    Reason.FRAGMENTED: (
        {"pods": 16, "free": 40, "level": "nvlink", "domain": "r7", "lacks": 2, "largest": 14},
        (
            "40 slots are free for 16 pods, but not in the required shape; nvlink r7 comes nearest and lacks 2; "
            "the largest gang of this shape that fits now has 14 pods"
        ),
    ),
    Reason.WAITING_FOR_PREFERRED: (
        {"domains": 3, "least": 2, "until": 1},
        "it fits in 3 domains of the preferred level; waiting for 2 as on the empty cluster",
    ),
    Reason.SEARCH_LIMIT: ({"pods": 9, "steps": 400}, "the search for a placement ended without one"),
}


def test_every_reason_has_its_sentence_here() -> None:
    assert set(SENTENCES) == set(Reason)


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.value)
def test_a_sentence_carries_the_numbers_of_its_verdict(reason: Reason) -> None:
    facts, said = SENTENCES[reason]
    assert sentence(Verdict(reason, tuple(facts.items()))).startswith(said)


@pytest.mark.parametrize(
    ("constraint", "said"),
    [
        ("nodes", "no node matches its selector"),
        ("capacity", "the nodes that match have room for 18 of 20 pods"),
        ("required", "no nvlink holds all 20 pods (required of it)"),
        ("boundary", "no nvlink holds all 20 pods (no gang spans two)"),
        ("segments", "its segments at nvlink leave room for a gang of 18 pods, not 20"),
        ("fillLimit", "its fillLimit at nvlink leave room for a gang of 18 pods, not 20"),
        ("roles", "its roles do not fit together"),
    ],
)
def test_what_the_empty_cluster_cannot_hold_is_told_by_constraint(constraint: str, said: str) -> None:
    facts = (("pods", 20), ("constraint", constraint), ("level", "nvlink"), ("largest", 18))
    assert said in sentence(Verdict(Reason.UNSATISFIABLE, facts))


def action(kind: ActionKind, target: str, nodes: int = 1, pods: int = 0) -> Action:
    return Action(kind, target, "nvlink", "r7", tuple(f"n{i}" for i in range(nodes)), pods)


THREE = Remedy(
    3,
    ("a-03", "a-04", "a-05"),
    "nvlink",
    "rack-07",
    (action(ActionKind.UNCORDON, "a-03"), action(ActionKind.END, "research/llm-2", 2)),
    proven=True,
    largest=96,
)


@pytest.mark.parametrize(
    ("reason", "remedy", "said"),
    [
        pytest.param(
            Reason.FRAGMENTED,
            THREE,
            "it would start if 3 nodes of nvlink rack-07 were free: "
            "uncordon a-03, end or move research/llm-2 (2 nodes)",
            id="the nodes to free",
        ),
        pytest.param(
            Reason.INSUFFICIENT_CAPACITY,
            replace(THREE, count=1, proven=False, actions=(action(ActionKind.FREE, "a-03", 1, 2),)),
            "it would start if at most 1 node of nvlink rack-07 were free: end or move 2 other pods on a-03; "
            "it would fit now with 96 pods",
            id="not proven, and fewer pods",
        ),
        pytest.param(
            Reason.FRAGMENTED,
            replace(THREE, level="", domain="", actions=tuple(action(ActionKind.HEAL, f"n{i}") for i in range(5))),
            "it would start if 3 nodes were free: bring n0 back to health, bring n1 back to health, "
            "bring n2 back to health, and 2 more",
            id="many actions",
        ),
        pytest.param(
            Reason.FRAGMENTED,
            Remedy(
                proven=True,
                largest=14,
                relax=(
                    Relaxation("segments", "nvlink", "16", "14"),
                    Relaxation("required", "leaf", "leaf", "spine"),
                    Relaxation("required", "leaf", "leaf", ""),
                    Relaxation("fillLimit", "nvlink", "16", ""),
                ),
            ),
            "freeing nodes would not do: pods of DaemonSets take the room; "
            "it would fit now with segments of 14 instead of 16 at nvlink or with spine required instead of leaf "
            "or with no level required instead of leaf or without the fillLimit of nvlink",
            id="relaxations",
        ),
        pytest.param(
            Reason.UNSATISFIABLE,
            Remedy(level="leaf", domain="l1", proven=True, add=2),
            "2 nodes like the best there are would have to be added in leaf l1",
            id="more nodes",
        ),
        pytest.param(
            Reason.UNSATISFIABLE,
            Remedy(proven=True, relax=(Relaxation("segments", "nvlink", "16", "9"),)),
            "the empty cluster could hold it with segments of 9 instead of 16 at nvlink",
            id="never, but for a segment",
        ),
        pytest.param(
            Reason.FRAGMENTED, Remedy(), "the smallest change that would start it is not known", id="not known"
        ),
    ],
)
def test_what_would_start_it_follows_the_reason(reason: Reason, remedy: Remedy, said: str) -> None:
    verdict = Verdict(reason, tuple(SENTENCES[reason][0].items()))
    assert sentence(verdict, remedy) == f"{sentence(verdict)}; {said}"


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.value)
def test_a_sentence_without_numbers_is_still_one(reason: Reason) -> None:
    assert sentence(Verdict(reason)).strip()


def test_exclusions_are_told_by_cause_and_the_many_are_summed_up() -> None:
    causes = (("cordoned", 9), ("gpu", 7), ("taint x", 3), ("cpu", 2), ("NotReady", 1), ("absent", 1))
    told = sentence(Verdict(Reason.INSUFFICIENT_CAPACITY, (("pods", 2), ("free", 1), ("missing", 1)), causes))
    assert told.endswith("(nodes without room by cause: cordoned: 9, gpu: 7, taint x: 3, cpu: 2, 2 more causes)")


def test_where_a_gang_is_is_told_nearest_level_first_against_the_least() -> None:
    of = job("llm", role(count=3))
    where = placement(of, [("a", "a", "b")], domains=(("leaf", 2), ("nvlink", 2)), least=(("leaf", 1), ("nvlink", 2)))
    status = Committed(phase=Phase.PLACED, placement=where)
    words = placement_words(Transition(of.id, 1, Row.PLACED.value, status))
    assert words == "3 pods on 2 nodes (2/2 nvlink, 2/1 leaf)"
    assert placement_words(Transition(of.id, 1, Row.WAITS.value, Committed())) == ""


LLM = job("llm", role(count=2))
ON = committed(LLM, Phase.PLACED, [("a", "b")], attempt=3).status
STOPPED = replace(ON, phase=Phase.STOPPING, stopping=Stopping("OwnFailure", "worker 1 failed: exit code 3"))
FAILED = replace(ON, phase=Phase.FAILED, last_failure=LastFailure(START, "MaxRestarts", "failed 11 times in a row"))
MENDED = replace(ON, phase=Phase.REPAIRING, attempt=4, placement=placement(LLM, [("a", "c")], attempt=4))
WAITING = Waiting(Verdict(Reason.FRAGMENTED), "not in the required shape", START)

SAID: dict[Row, tuple[Committed, Announcement | None]] = {
    Row.RELEASED: (replace(ON, phase=Phase.SUCCEEDED), None),
    Row.COUNTED: (replace(ON, phase=Phase.RUNNING), None),
    Row.RELABELLED: (
        replace(ON, phase=Phase.RUNNING, relabelled="the ranks are spread"),
        Announcement("TopologyChanged", "the ranks are spread", warning=True),
    ),
    Row.DEADLINE: (FAILED, Announcement("Failed", "failed 11 times in a row", warning=True)),
    Row.EXHAUSTED: (FAILED, Announcement("Failed", "failed 11 times in a row", warning=True)),
    Row.SUCCEEDED: (
        replace(ON, phase=Phase.SUCCEEDED),
        Announcement("Succeeded", "attempt 3: the success policy is met"),
    ),
    Row.SUSPENDING: (
        replace(STOPPED, stopping=Stopping("Suspended", "spec.suspend is true")),
        Announcement("Suspended", "attempt 3 is ended: spec.suspend is true"),
    ),
    Row.START: (
        replace(ON, phase=Phase.STARTING),
        Announcement("Starting", "attempt 3: all pods exist, their gates are being removed"),
    ),
    Row.RUNS: (replace(ON, phase=Phase.RUNNING), Announcement("Running", "attempt 3: all pods run")),
    Row.REQUEUED: (
        replace(ON, phase=Phase.PENDING, placement=None),
        Announcement("Requeued", "attempt 3 has ended; back in the queue"),
    ),
    Row.RESUMED: (Committed(), Announcement("Resumed", "back in the queue")),
    Row.SUSPENDED: (Committed(phase=Phase.SUSPENDED), Announcement("Suspended", "spec.suspend is true")),
    Row.PLACED: (ON, Announcement("Placed", "attempt 3: 2 pods on 2 nodes")),
    Row.WAITS: (
        Committed(waiting=WAITING),
        Announcement("Fragmented", "not in the required shape", warning=True),
    ),
    Row.FAIL_JOB: (FAILED, Announcement("Failed", "failed 11 times in a row", warning=True)),
    Row.RESERVATION_ENDED: (
        Committed(),
        Announcement("ReservationEnded", "no replacement came in time; the healthy nodes are given up"),
    ),
    Row.REPAIR: (
        replace(MENDED, last_failure=LastFailure(START, "Disrupted", "worker 1 lost its node b")),
        Announcement(
            "Repairing",
            "attempt 4: 2 of 2 pods are made anew, 1 of 2 ranks keep their nodes (worker 1: b -> c); "
            "worker 1 lost its node b",
            warning=True,
        ),
    ),
    Row.RESTART: (
        replace(MENDED, placement=placement(LLM, [("a", "b")], attempt=4), last_failure=FAILED.last_failure),
        Announcement(
            "Restarting",
            "attempt 4: 2 of 2 pods are made anew, 2 of 2 ranks keep their nodes; failed 11 times in a row",
            warning=True,
        ),
    ),
    **{
        row: (STOPPED, Announcement("OwnFailure", "attempt 3 is ended: worker 1 failed: exit code 3", warning=True))
        for row in (Row.VOID, Row.START_FAILED, Row.LOST, Row.OWN_FAILURE)
    },
}


def test_every_row_is_announced_or_kept_quiet_here() -> None:
    assert set(SAID) == set(Row)


@pytest.mark.parametrize("row", list(Row), ids=lambda row: row.value)
def test_a_row_is_announced_in_these_words(row: Row) -> None:
    status, said = SAID[row]
    assert announce(replace(LLM, status=ON), Transition(LLM.id, 1, row.value, status)) == said


def test_the_same_reason_to_wait_is_announced_once() -> None:
    waits = replace(LLM, status=Committed(waiting=replace(WAITING, message="other numbers")))
    again = Transition(LLM.id, 1, Row.WAITS.value, Committed(waiting=WAITING))
    assert announce(waits, again) is None
    other = replace(WAITING, verdict=Verdict(Reason.INSUFFICIENT_CAPACITY))
    assert announce(waits, replace(again, status=Committed(waiting=other))) is not None


def test_a_suspended_job_that_has_let_go_says_so() -> None:
    status = replace(ON, phase=Phase.SUSPENDED, placement=None)
    said = announce(LLM, Transition(LLM.id, 1, Row.REQUEUED.value, status))
    assert said == Announcement("Suspended", "attempt 3 has ended; no pod holds anything")


def test_the_event_that_ends_a_repair_says_how_long_each_stage_took() -> None:
    at = {"failed": 0, "detected": 100, "decided": 250, "deleted": 1000, "created": 1200, "running": 4000}
    repair = LastRepair(4, "node", "domain", 1, 255, 256, **{name: START + ms for name, ms in at.items()})
    status = replace(ON, phase=Phase.RUNNING, attempt=4, last_repair=repair)
    said = announce(LLM, Transition(LLM.id, 1, Row.RUNS.value, status))
    assert said == Announcement(
        "Running",
        "attempt 4: all pods run again 4.0 s after the failure (seen 0.1, decided 0.2, old pods gone 1.0, new pods "
        "made 1.2); 1 rank moved, 255 kept their nodes",
    )
    later = announce(LLM, Transition(LLM.id, 1, Row.RUNS.value, replace(status, attempt=5)))
    assert later == Announcement("Running", "attempt 5: all pods run")


def test_a_node_that_is_avoided_from_now_on_is_named() -> None:
    known, new = Blame("a", 2, START, START + 900_000), Blame("c", 2, START, START + 600_000)
    before = replace(LLM, status=replace(ON, blamed=(known,)))
    lost = LastFailure(START, "Disrupted", "worker 1 lost its node c")
    status = replace(MENDED, blamed=(known, new, Blame("d", 1, START)), last_failure=lost)
    said = announce(before, Transition(LLM.id, 1, Row.REPAIR.value, status))
    assert said is not None
    assert said.message.endswith("worker 1 lost its node c; blamed 2 times, avoided by this job for 600 s: c")


def test_nodes_that_are_kept_are_counted() -> None:
    kept = Reservation((("a", "b", "c"),), ((0, 1),), START + 300_000)
    status = replace(STOPPED, stopping=Stopping("Disrupted", "worker 1 lost its node b"), reservation=kept)
    said = announce(LLM, Transition(LLM.id, 1, Row.LOST.value, replace(status, phase_since=START)))
    assert said is not None
    assert said.message == (
        "attempt 3 is ended: worker 1 lost its node b; 2 healthy nodes kept for it for 300 s, in wait of a replacement"
    )
