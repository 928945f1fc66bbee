"""Whose fault it is that a rank does not run on, and whether its node is blamed: every way in which that is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import START, changes, committed, gang, job, node, role, taint, topology

from muster.core.breaks import Fault
from muster.core.model import (
    Failure,
    HealthAction,
    HealthRule,
    Job,
    Node,
    Phase,
    Pod,
    Stage,
    SuccessWhen,
    Taint,
    Upsert,
)
from muster.core.observe import Seen, observe
from muster.core.world import World

RULES = (
    HealthRule("condition", "GPUMissing", "True", HealthAction.DRAIN, 60_000),
    HealthRule("condition", "XIDErrors", "True", HealthAction.AVOID),
    HealthRule("taint", "example.com/doomed", None, HealthAction.DRAIN, 60_000),
    HealthRule("label", "example.com/state", None, HealthAction.DRAIN, 60_000),
)
LLM = committed(job("llm", role(count=2)), Phase.RUNNING, [["a", "b"]])
FINE = {"a": node("a"), "b": node("b")}
NOW = START + 30_000
LATER = START + 60_000
ENDED = Failure(1, None, "Error", "Traceback ...")


def look(of: Job = LLM, nodes: dict[str, Node | None] | None = None, now: int = NOW, first: Pod | None = None) -> Seen:
    """The gang as observed, with another first pod or other nodes (None: deleted)."""
    world = World()
    here = [n for n in {**FINE, **(nodes or {})}.values() if n is not None]
    mine = gang(of)
    for change in changes(topology(health_rules=RULES), of, *here, *([mine[0] if first is None else first, mine[1]])):
        world.apply(change)
    return observe(world, of, now)


def failed(failure: Failure) -> Pod:
    return replace(gang(LLM)[0], stage=Stage.FAILED, failure=failure)


def a(**state: Any) -> dict[str, Node | None]:
    return {"a": node("a", **state)}


def test_nothing_is_broken_of_a_gang_that_runs() -> None:
    assert look().breaks == []


@pytest.mark.parametrize(
    ("failure", "fault", "blames", "said"),
    [
        pytest.param(ENDED, Fault.OWN, False, "exit code 1", id="exit code"),
        pytest.param(Failure(139, 11, "Error"), Fault.OWN, False, "signal 11", id="signal"),
        pytest.param(Failure(137, 9, "OOMKilled"), Fault.OWN, False, "OOMKilled", id="out of memory"),
        pytest.param(Failure(reason="Evicted", disrupted=True), Fault.DISRUPTED, False, "Evicted", id="evicted"),
        pytest.param(Failure(1, disrupted=True), Fault.DISRUPTED, False, "disrupted", id="DisruptionTarget"),
        pytest.param(Failure(reason="OutOfcpu", refused=True), Fault.NODE, True, "OutOfcpu", id="refused by kubelet"),
    ],
)
def test_a_pod_that_failed(failure: Failure, fault: Fault, blames: bool, said: str) -> None:
    (found,) = look(first=failed(failure)).breaks
    assert (found.rank, found.fault, found.blames) == (0, fault, blames)
    assert said in found.why


def test_a_pod_that_ends_because_it_is_deleted_is_no_failure_of_the_job() -> None:
    """Seen only at its end: told to end, it ended with an exit code of its own."""
    (found,) = look(first=replace(failed(Failure(143, None, "Error")), terminating=True, cut_short=True)).breaks
    assert (found.rank, found.fault, found.blames) == (0, Fault.DISRUPTED, False)
    assert "was deleted: exit code 143" in found.why


def test_one_that_had_failed_before_it_was_deleted_did_so_by_itself() -> None:
    (found,) = look(first=replace(failed(ENDED), terminating=True)).breaks
    assert found.fault is Fault.OWN


@pytest.mark.parametrize("cut_short", [True, False])
def test_a_pod_that_ends_well_because_it_is_deleted_has_not_succeeded(cut_short: bool) -> None:
    ended = replace(gang(LLM)[0], stage=Stage.SUCCEEDED, terminating=True, cut_short=cut_short)
    of = replace(LLM, policy=replace(LLM.policy, success_when=SuccessWhen.FIRST_RANK))
    seen = look(of, first=ended)
    assert [(b.rank, b.fault, b.blames) for b in seen.breaks] == ([(0, Fault.DISRUPTED, False)] if cut_short else [])
    assert (seen.succeeded, seen.all_ran) == (not cut_short, not cut_short)


@pytest.mark.parametrize(
    ("nodes", "when", "blames", "silent"),
    [
        pytest.param({"a": None}, NOW, False, False, id="deleted"),
        pytest.param(a(unready_since=START, out_of_service=True), NOW, False, False, id="out of service"),
        pytest.param(a(unready_since=START - 300_000), LATER, True, True, id="seen not ready for long"),
        pytest.param(a(taints=(taint("x", "NoExecute"),)), NOW, False, False, id="NoExecute taint"),
        pytest.param(a(conditions=(("GPUMissing", "True", START),)), LATER, True, False, id="condition"),
        pytest.param(a(labels={"example.com/state": "x"}), LATER, True, False, id="label"),
        pytest.param(
            a(taints=(Taint("example.com/doomed", "", "NoSchedule", START),)), LATER, True, False, id="health taint"
        ),
    ],
)
def test_a_node_that_is_lost(nodes: dict[str, Node | None], when: int, blames: bool, silent: bool) -> None:
    (found,) = look(nodes=nodes, now=when).breaks
    assert (found.rank, found.node, found.fault) == (0, "a", Fault.NODE)
    assert (found.blames, found.silent) == (blames, silent)
    if when == LATER:
        before = look(nodes=nodes, now=LATER - 1)
        assert (before.breaks, before.wake) == ([], LATER)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param(a(cordoned=True), id="cordoned"),
        pytest.param(a(taints=(taint("x", "NoSchedule"),)), id="NoSchedule taint"),
        pytest.param(a(conditions=(("XIDErrors", "True", START),)), id="a rule that says Avoid"),
        pytest.param(a(conditions=(("GPUMissing", "Unknown", START),)), id="a condition that is not known"),
        pytest.param(a(unready_since=START - 300_000), id="seen not ready for a moment"),
    ],
)
def test_what_runs_stays(nodes: dict[str, Node | None]) -> None:
    assert look(nodes=nodes).breaks == []


def test_a_process_that_fails_on_a_node_to_be_drained_is_the_nodes_fault_at_once() -> None:
    (found,) = look(nodes=a(conditions=(("GPUMissing", "True", NOW),)), first=failed(ENDED)).breaks
    assert (found.fault, found.blames) == (Fault.NODE, True)
    (found,) = look(nodes=a(conditions=(("XIDErrors", "True", NOW),)), first=failed(ENDED)).breaks
    assert (found.fault, found.blames) == (Fault.OWN, False)


def test_a_pod_that_somebody_deletes_is_a_disruption_that_blames_nobody() -> None:
    (found,) = look(first=replace(gang(LLM)[0], terminating=True)).breaks
    assert (found.fault, found.blames) == (Fault.DISRUPTED, False)
    world = World()
    for change in changes(topology(), LLM, *FINE.values(), gang(LLM)[1]):
        world.apply(change)
    (found,) = observe(world, LLM, NOW).breaks
    assert (found.fault, found.blames, "was deleted" in found.why) == (Fault.DISRUPTED, False, True)


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [("ImagePullBackOff", "ImagePull"), ("ErrImagePull", "ImagePull"), ("CreateContainerConfigError", "StartFailed")],
)
def test_a_container_that_cannot_start_ends_the_start_after_a_bound_time_and_blames_nobody(
    trouble: str, kind: str
) -> None:
    starting = replace(LLM, status=replace(LLM.status, phase=Phase.STARTING, phase_since=START))
    first = replace(gang(starting, Stage.BOUND)[0], trouble=(trouble, "no such image"))
    due = START + starting.policy.image_pull_after
    before = look(starting, now=due - 1, first=first)
    assert (before.breaks, before.start_failure, before.wake) == ([], None, due)
    seen = look(starting, now=due, first=first)
    assert seen.breaks == []
    assert seen.start_failure is not None
    assert seen.start_failure[0] == kind
    assert "no such image" in seen.start_failure[1]


def test_a_pod_that_is_not_bound_yet_does_not_wait_for_a_node_that_became_unfit() -> None:
    starting = replace(LLM, status=replace(LLM.status, phase=Phase.STARTING, phase_since=START))
    first = replace(gang(starting, Stage.UNBOUND)[0], node=None, pinned="a")
    (found,) = look(starting, nodes=a(conditions=(("XIDErrors", "True", NOW),)), first=first).breaks
    assert (found.fault, found.blames) == (Fault.NODE, False)
    assert "condition XIDErrors=True" in found.why


def test_two_signs_are_counted_each_from_its_own_time() -> None:
    world = World()
    for change in changes(topology(health_rules=RULES), LLM, *FINE.values(), *gang(LLM)):
        world.apply(change)
    world.apply(Upsert(node("a", labels={"example.com/state": "x"}), START + 10_000))
    both = node("a", labels={"example.com/state": "y"}, conditions=(("GPUMissing", "True", START + 20_000),))
    world.apply(Upsert(both, START + 20_000))
    assert observe(world, LLM, NOW).wake == START + 70_000
