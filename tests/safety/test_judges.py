"""Each invariant is caught when broken, and a history by the book breaks none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.safety.histories import Story, pod_name

from muster.safety import Event, History, judge, report
from muster.safety.record import GAP

TWO = ["r0-n0", "r0-n1"]
Spoil = Callable[[Story], None]


@pytest.fixture
def story() -> Story:
    """Two racks of four nodes and one job that waits."""
    made = Story()
    made.nodes()
    made.job()
    return made


def check(story: Story, invariant: str, words: str) -> None:
    """Assert that exactly one invariant is broken, with these words in its sentence."""
    found = story.judged()
    assert {each.invariant for each in found} == {invariant}, found
    assert words in found[0].sentence


# By the book.


def test_a_whole_life_breaks_nothing(story: Story) -> None:
    story.start(TWO)
    story.repair("r0-n0,r0-n2", "1x1,2x1")
    story.end_pod(1)
    story.pod("r0-n2", 1, born=2)
    story.status(phase="Starting")
    story.run_pod("r0-n2", 1, born=2)
    story.status(phase="Running")
    story.quiet()
    story.change_pod(0, phase="Succeeded")
    story.change_pod(1, born=2, phase="Succeeded")
    story.status(phase="Succeeded")
    story.quiet()
    assert not story.judged()


def test_a_gang_that_is_made_anew_twice_breaks_nothing(story: Story) -> None:
    story.start(TWO)
    story.end_pod(1)
    whole_repair(story)
    story.change_pod(1, born=2, phase="Failed")
    story.repair("r0-n0,r0-n2", "3x2", attempt=3, restarts=1, restartsInRow=1)
    story.end_pod(0, born=2)
    story.pod("r0-n0", 0, born=3)
    story.pod("r0-n2", 1, born=3)
    story.status(phase="Starting")
    story.run_pod("r0-n0", 0, born=3)
    story.run_pod("r0-n2", 1, born=3)
    story.status(phase="Running")
    story.quiet()
    assert not story.judged()


def test_a_node_lost_while_another_is_repaired_breaks_nothing(story: Story) -> None:
    story.start(TWO)
    story.repair("r0-n0,r0-n2", "1x1,2x1")
    story.end_pod(1)
    story.pod("r0-n2", 1, born=2)
    story.drop("Node", "r0-n2")
    story.repair("r0-n0,r0-n3", "1x1,3x1", attempt=3)
    story.drop("Pod", pod_name(1, born=2))
    story.pod("r0-n3", 1, born=3)
    story.status(phase="Starting")
    story.run_pod("r0-n3", 1, born=3)
    story.status(phase="Running")
    story.quiet()
    assert not story.judged()


def test_two_gangs_that_follow_each_other_on_a_node_break_nothing(story: Story) -> None:
    story.start(TWO)
    story.status(phase="Stopping")
    story.job("b")
    story.place("r0-n[0-1]", "b")
    story.pod("r0-n0", 0, "b")
    story.pod("r0-n1", 1, "b")
    story.end_pod(0)
    story.end_pod(1)
    story.status("b", phase="Starting")
    story.status(phase="Pending")
    story.quiet()
    assert not story.judged()


# S1


def test_s1_a_pod_that_is_made_without_a_gate(story: Story) -> None:
    story.place(",".join(TWO))
    story.pod("r0-n0", gated=False)
    check(story, "S1", "created without its gate")


def test_s1_a_gate_opened_before_all_pods_exist(story: Story) -> None:
    story.place(",".join(TWO))
    story.pod("r0-n0", 0)
    story.status(phase="Starting")
    story.change_pod(0, gated=False)
    check(story, "S1", "w/1")


def test_s1_a_gate_opened_before_starting_is_written(story: Story) -> None:
    story.place(",".join(TWO))
    for rank, node in enumerate(TWO):
        story.pod(node, rank)
    story.change_pod(0, gated=False)
    check(story, "S1", "before Starting of attempt 1")


def test_s1_a_repair_opened_on_the_strength_of_the_attempt_before(story: Story) -> None:
    story.start(TWO)
    story.repair("r0-n0,r0-n2", "1x1,2x1")
    story.end_pod(1)
    story.pod("r0-n2", 1, born=2)
    story.change_pod(1, born=2, gated=False)
    check(story, "S1", "before Starting of attempt 2")


def test_s1_a_pod_that_no_placement_names(story: Story) -> None:
    story.start(TWO)
    story.end_pod(1)
    story.pod("r0-n1", 1, born=7)
    story.change_pod(1, born=7, gated=False)
    check(story, "S1", "no committed placement")


def test_s1_is_not_judged_where_the_watch_was_blind(story: Story) -> None:
    story.place(",".join(TWO))
    story.pod("r0-n0")
    story.change_pod(0, gated=False)
    assert story.broken() == {"S1"}
    last = story.events[-1].rv
    story.events.append(Event(last, "TrainingJob", GAP, {"from": last - 1}, story.now))
    assert not story.judged()


def test_s1_a_repair_is_opened_before_all_its_new_pods_exist(story: Story) -> None:
    story.start(TWO)
    story.repair("r0-n2,r0-n3", "2x2")
    story.end_pod(0)
    story.end_pod(1)
    story.pod("r0-n2", 0, born=2)
    story.status(phase="Starting")
    story.change_pod(0, born=2, gated=False)
    check(story, "S1", "1 of the 2 pods of attempt 2 had never been made: w/1")


# S2


def test_s2_survivors_of_a_repair_hold_their_nodes(story: Story) -> None:
    """Pods restarted one by one: rank 1 runs on with its gate open while rank 0 is replaced."""
    story.start(TWO)
    story.repair("r0-n2,r0-n1", "2x1,1x1")
    start_over(story)
    check(story, "S2", "ns/a and ns/b overlap on r0-n1")


def test_s2_what_a_repair_leaves_is_free_when_its_pod_has_ended(story: Story) -> None:
    story.start(TWO)
    story.repair("r0-n0,r0-n2", "1x1,2x1")
    story.job("b", replicas=1)
    story.place("r0-n1", "b")
    story.pod("r0-n1", 0, "b")
    story.end_pod(1)
    story.status("b", phase="Starting")
    assert not story.judged()


def test_s2_what_a_repair_leaves_is_held_until_its_pod_has_ended(story: Story) -> None:
    story.start(TWO)
    story.repair("r0-n0,r0-n2", "1x1,2x1")
    start_over(story)
    check(story, "S2", "ns/a and ns/b overlap on r0-n1")


def test_s2_two_repairs_take_one_node(story: Story) -> None:
    story.start(TWO)
    story.job("b", replicas=1)
    story.start(["r0-n2"], "b")
    story.repair("r0-n0,r0-n3", "1x1,2x1")
    story.place("r0-n3", "b", attempt=2, born="2x1", phase="Repairing")
    story.end_pod(1)
    story.end_pod(0, "b")
    story.pod("r0-n3", 1, born=2)
    story.pod("r0-n3", 0, "b", born=2)
    story.status(phase="Starting")
    story.status("b", phase="Starting")
    check(story, "S2", "ns/a and ns/b overlap on r0-n3")


def start_over(story: Story) -> None:
    """Start a second gang, b, on a node of the first."""
    story.job("b", replicas=1)
    story.place("r0-n1", "b")
    story.pod("r0-n1", 0, "b")
    story.status("b", phase="Starting")


def test_s2_two_gangs_on_one_node(story: Story) -> None:
    story.start(TWO)
    start_over(story)
    check(story, "S2", "ns/a and ns/b overlap on r0-n1: nvidia.com/gpu 8 of 4")


def test_s2_the_pods_of_a_job_that_is_gone_still_hold(story: Story) -> None:
    story.start(TWO)
    story.drop("TrainingJob", "a")
    start_over(story)
    check(story, "S2", "a job that is gone")


def test_s2_ended_pods_hold_nothing(story: Story) -> None:
    story.start(TWO)
    story.drop("TrainingJob", "a")
    story.end_pod(0)
    story.end_pod(1)
    start_over(story)
    assert not story.judged()


def test_s2_a_claim_with_its_gate_shut_overlaps_nobody(story: Story) -> None:
    story.start(TWO)
    story.job("b", replicas=1)
    story.place("r0-n1", "b")
    story.pod("r0-n1", 0, "b")
    story.status("b", phase="Stopping")
    assert not story.judged()


def test_s2_a_claim_released_before_its_pods_are_gone(story: Story) -> None:
    story.start(TWO)
    story.status(phase="Stopping")
    story.end_pod(0)
    story.status(phase="Pending")
    check(story, "S2", "became Pending while 1 of its pods")


@pytest.mark.parametrize(("waits", "broken"), [(1.0, set()), (10.0, {"S2"})])
def test_s2_a_pod_whose_creation_was_on_its_way_is_gated(story: Story, waits: float, broken: set[str]) -> None:
    story.start(TWO)
    story.status(phase="Stopping")
    story.end_pod(0)
    story.end_pod(1)
    story.pod("r0-n1", 1, born=2)
    story.wait(waits)
    story.status(phase="Pending")
    assert {each.invariant for each in story.judged()} == broken


@pytest.mark.parametrize("seconds", [pytest.param(10.0, id="long there"), pytest.param(0.0, id="just come")])
def test_s2_a_strangers_pod_in_the_way(story: Story, seconds: float) -> None:
    story.foreign("x", "r0-n1")
    story.wait(seconds)
    story.start(TWO)
    assert story.broken() == ({"S2"} if seconds else set())


# S3


def test_s3_two_pods_of_a_rank(story: Story) -> None:
    story.start(TWO)
    story.repair("r0-n0,r0-n2", "1x1,2x1")
    story.pod("r0-n2", 1, born=2)
    story.status(phase="Starting")
    story.run_pod("r0-n2", 1, born=2)
    check(story, "S3", "w/1 has 2 pods that may run")


def lose_node(story: Story, seconds: float, then: Spoil | None = None) -> None:
    """Node of rank 1 falls silent, its pod is forced out of the API after some time, and rank 1 starts elsewhere."""
    story.start(TWO)
    story.node("r0-n1", 0, ready="Unknown")
    story.wait(seconds)
    story.drop("Pod", pod_name(1))
    if then is not None:
        then(story)
    whole_repair(story)


def whole_repair(story: Story) -> None:
    """All pods are made anew, rank 1 on another node."""
    story.repair("r0-n0,r0-n2", "2x2")
    story.end_pod(0)
    story.pod("r0-n0", 0, born=2)
    story.pod("r0-n2", 1, born=2)
    story.status(phase="Starting")
    story.run_pod("r0-n0", 0, born=2)
    story.run_pod("r0-n2", 1, born=2)
    story.status(phase="Running")


def test_s3_a_pod_forced_out_too_soon_may_still_run(story: Story) -> None:
    lose_node(story, 5)
    check(story, "S3", "may still run on r0-n1")


def back_for(seconds: float) -> Spoil:
    """The node answers again, and has for so long."""

    def spoil(story: Story) -> None:
        story.node("r0-n1", 0)
        story.wait(seconds)

    return spoil


def test_s3_a_node_that_was_back_for_a_moment_has_not_either(story: Story) -> None:
    def spoil(story: Story) -> None:
        back_for(20)(story)
        story.node("r0-n1", 0, ready="Unknown")

    lose_node(story, 5, spoil)
    check(story, "S3", "may still run on r0-n1, silent for")


@pytest.mark.parametrize(
    ("seconds", "then"),
    [
        pytest.param(70, None, id="after afterSeconds"),
        pytest.param(5, lambda story: story.drop("Node", "r0-n1"), id="the node is deleted"),
        pytest.param(5, back_for(1), id="the node is back"),
    ],
)
def test_s3_a_silent_node_may_be_replaced(story: Story, seconds: float, then: Spoil | None) -> None:
    lose_node(story, seconds, then)
    assert not story.judged()


def test_s3_whom_a_silent_machine_may_still_join(story: Story) -> None:
    """A pod that was given up on a silent machine may come back: those after it must not meet under its gang's name."""
    story.start(TWO)
    story.node("r0-n1", 0, ready="Unknown")
    story.wait(70)
    story.drop("Pod", pod_name(1))
    story.repair("r0-n0,r0-n2", "1x1,2x1")
    story.pod("r0-n2", 1, born=2)
    story.status(phase="Starting")
    story.run_pod("r0-n2", 1, born=2)
    check(story, "S3", "meets the gang of attempt 1, which a-w-1-uid-1 on the silent r0-n1 may still join")


@pytest.mark.parametrize(("after", "broken"), [(5, set()), (300, {"S3"})])
def test_s3_unreachable_after_seconds(after: int, broken: set[str]) -> None:
    story = Story()
    story.nodes()
    story.job(failurePolicy={"unreachable": {"action": "Replace", "afterSeconds": after}})
    lose_node(story, 60)
    assert story.broken() == broken


def test_s3_unreachable_wait_waits_for_ever() -> None:
    story = Story()
    story.nodes()
    story.job(failurePolicy={"unreachable": {"action": "Wait"}})
    lose_node(story, 7000)
    check(story, "S3", "may still run")


def test_s3_failed_by_the_garbage_collector_is_not_stopped(story: Story) -> None:
    story.start(TWO)
    story.change_pod(1, phase="Failed", still_running=True)
    story.repair("r0-n0,r0-n2", "1x1,2x1")
    story.pod("r0-n2", 1, born=2)
    story.status(phase="Starting")
    story.run_pod("r0-n2", 1, born=2)
    check(story, "S3", "2 pods that may run")


# S4


@pytest.mark.parametrize(
    ("topology", "nodes", "words"),
    [
        pytest.param({"required": {"level": "nvlink"}}, "r0-n0,r1-n0", "role w requires one nvlink", id="required"),
        pytest.param({"segments": [{"level": "nvlink", "size": 2}]}, "r0-n[0-2],r1-n0", "segment w/2-3", id="segment"),
        pytest.param(
            {"segments": [{"level": "nvlink", "sizes": [3, 1]}]}, "r0-n[0-1],r1-n[0-1]", "segment w/0-2", id="sizes"
        ),
        pytest.param({"required": {"level": "rack"}}, "r0-n[0-3]", "there is no level rack", id="level"),
        pytest.param({"required": {"level": "node"}}, "r0-n[0-3]", "it is on 4 nodes", id="node"),
        pytest.param(None, "r0-n[0-2],r9-n9", "there is no node r9-n9", id="no such node"),
        pytest.param(None, "r0-n[0-2]", "3 nodes for 4 pods", id="count"),
    ],
)
def test_s4_a_constraint_broken_at_the_commit(topology: dict[str, object] | None, nodes: str, words: str) -> None:
    story = Story()
    story.nodes()
    story.wait(10)
    replicas = 4 if "[" in nodes else 2
    story.job(replicas=replicas, topology=topology)
    story.place(nodes)
    check(story, "S4", words)


def test_s4_the_job_as_a_whole() -> None:
    story = Story()
    story.nodes()
    story.wait(10)
    story.job()
    whole = story.get("TrainingJob", "a")
    whole["spec"]["topology"] = {"required": {"level": "nvlink"}}
    story.put("TrainingJob", whole)
    story.place("r0-n0,r1-n0")
    check(story, "S4", "the job requires one nvlink")


def test_s4_a_boundary_holds_without_being_asked_for() -> None:
    story = Story()
    zone = "topology.kubernetes.io/zone"
    story.node("a", 0, **{zone: "z1"})
    story.node("b", 1, **{zone: "z2"})
    story.wait(10)
    story.job()
    story.place("a,b")
    check(story, "S4", "boundary zone")


def test_s4_racks_of_one_name_under_two_leaves_are_two() -> None:
    story = Story()
    leaf = "fabric.topograph.run/tier-0"
    story.node("a", 0, **{leaf: "l1"})
    story.node("b", 0, **{leaf: "l2"})
    story.wait(10)
    story.job(topology={"required": {"level": "nvlink"}})
    story.place("a,b")
    check(story, "S4", "2 domains")


def test_s4_levels_of_a_custom_topology() -> None:
    story = Story()
    story.node("a", 0, row="1")
    story.node("b", 1, row="1")
    story.node("c", 1, row="2")
    levels = [{"name": "row", "nodeLabel": "row"}]
    story.put("ClusterTopology", {"metadata": {"name": "default", "uid": "t"}, "spec": {"levels": levels}})
    story.wait(10)
    story.job(topology={"required": {"level": "row"}})
    story.place("a,b")
    assert not story.judged()
    story.job("b", topology={"required": {"level": "row"}})
    story.place("a,c", "b")
    check(story, "S4", "one row")


SEGMENTS = {"segments": [{"level": "nvlink", "size": 2}]}


@pytest.mark.parametrize(
    ("nodes", "broken"),
    [
        pytest.param("r0-n0,r0-n2", set(), id="in the same rack"),
        pytest.param("r1-n[0-1]", set(), id="the segment moves"),
        pytest.param("r0-n0,r1-n0", {"S4"}, id="into another rack alone"),
    ],
)
def test_s4_at_the_commit_of_a_repair(nodes: str, broken: set[str]) -> None:
    story = Story()
    story.nodes()
    story.wait(10)
    story.job(topology=SEGMENTS)
    story.start(TWO)
    cordoned = story.get("Node", "r0-n0")
    cordoned["spec"]["unschedulable"] = True
    story.put("Node", cordoned)
    story.wait(10)
    story.drop("Node", "r0-n1")
    story.repair(nodes, "2x2")
    assert story.broken() == broken


def test_s4_a_repair_goes_by_the_labels_of_its_moment() -> None:
    story = Story()
    story.nodes()
    story.job(topology=SEGMENTS)
    story.start(TWO)
    story.node("r0-n0", 7)
    story.wait(10)
    assert not story.judged()
    story.repair("r0-n[0-1]", "2x2")
    check(story, "S4", "segment w/0-1: it lies in 2 domains")


def test_s4_a_repair_onto_a_node_that_is_gone(story: Story) -> None:
    story.start(TWO)
    story.drop("Node", "r0-n1")
    story.wait(10)
    story.repair("r0-n[0-1]", "2x2")
    check(story, "S4", "there is no node r0-n1")


@pytest.mark.parametrize("seconds", [pytest.param(0.0, id="just now"), pytest.param(10.0, id="long ago")])
def test_s4_a_label_that_changes_under_the_commit(seconds: float) -> None:
    story = Story()
    story.nodes()
    story.wait(10)
    story.node("r0-n1", 7)
    story.wait(seconds)
    story.job(topology={"required": {"level": "nvlink"}})
    story.place(",".join(TWO))
    assert story.broken() == ({"S4"} if seconds else set())


# S5, S6


def test_s5_an_active_job_without_its_pods(story: Story) -> None:
    story.start(TWO)
    story.end_pod(1)
    assert not story.judged()
    story.quiet()
    check(story, "S5", "lacks the pods of w/1")


def test_s5_stuck_in_stopping(story: Story) -> None:
    story.start(TWO)
    story.status(phase="Stopping")
    story.end_pod(0)
    story.end_pod(1)
    story.quiet()
    check(story, "S5", "stays in Stopping")


def test_s6_pods_and_services_of_a_job_that_is_gone(story: Story) -> None:
    story.start(TWO)
    owner = [{"kind": "TrainingJob", "name": "a", "uid": "uid-a"}]
    labels = {"muster.dev/job-uid": "uid-a"}
    story.put(
        "Service", {"metadata": {"name": "a-uid", "uid": "s", "labels": labels, "ownerReferences": owner}, "spec": {}}
    )
    story.drop("TrainingJob", "a")
    story.quiet()
    found = story.judged()
    assert {each.invariant for each in found} == {"S6"}
    assert len(found) == 3


def test_s6_pods_orphaned_on_purpose_are_nobodys(story: Story) -> None:
    story.pod("r0-n0", owned=False)
    story.drop("TrainingJob", "a")
    story.quiet()
    assert not story.judged()


def test_s6_a_pod_of_an_earlier_attempt(story: Story) -> None:
    story.start(TWO)
    story.repair("r0-n0,r0-n2", "1x1,2x1")
    story.pod("r0-n2", 1, born=2)
    story.quiet()
    check(story, "S6", "pod a-w-1-uid-1 belongs to no current attempt")


@pytest.mark.parametrize("silent", [True, False])
def test_a_repair_that_waits_for_a_silent_machine(silent: bool) -> None:
    """By the policy Wait the pod on it is waited for: nothing is lost, and nothing is left over."""
    story = Story()
    story.nodes()
    story.job(failurePolicy={"unreachable": {"action": "Wait"}})
    story.start(TWO)
    story.node("r0-n1", 0, ready="Unknown" if silent else "True")
    story.drop("Node", "r0-n0")
    story.repair("r0-n2,r0-n1", "2x2")
    story.drop("Pod", pod_name(0))
    story.delete_pod(1)
    story.pod("r0-n2", 0, born=2)
    story.quiet()
    assert story.broken() == (set() if silent else {"S5", "S6"})


def test_s6_more_ended_pods_than_are_to_be_kept() -> None:
    story = Story()
    story.nodes()
    story.job(podRetention={"failedAttempts": 1, "podsPerAttempt": 1})
    story.start(TWO)
    for rank in (0, 1):
        story.change_pod(rank, phase="Failed")
    story.status(phase="Stopping")
    story.status(phase="Pending")
    story.quiet()
    check(story, "S6", "keeps 2 ended pods of attempt 1, not 1")


def test_s6_a_finished_job_with_a_pod_that_runs(story: Story) -> None:
    story.start(TWO)
    story.change_pod(0, phase="Failed")
    story.status(phase="Failed")
    story.quiet()
    check(story, "S6", "has not ended")


# S7


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param({"phase": "Running"}, "was Failed and became Running", id="phase"),
        pytest.param({"phase": "Failed", "attempt": 0}, "attempt went from 1 to 0", id="attempt"),
        pytest.param({"phase": "Failed", "restarts": 1}, "restarts went from 2 to 1", id="counter"),
        pytest.param({"phase": "Failed", "restartsInRow": 11}, "the limit is 10", id="limit"),
    ],
)
def test_s7_finished_is_final_and_counters_grow(story: Story, status: dict[str, Any], words: str) -> None:
    story.status(phase="Failed", attempt=1, restarts=2)
    story.status(**status)
    found = story.judged()
    assert {each.invariant for each in found} == {"S7"}
    assert any(words in each.sentence for each in found)


def test_s7_an_attempt_at_a_time(story: Story) -> None:
    story.start(TWO)
    story.repair("r0-n0,r0-n2", "1x1,3x1", attempt=3)
    check(story, "S7", "attempt went from 1 to 3 at once")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda s: s.status(phase="Repairing"), "became Repairing without a new attempt", id="no attempt"),
        pytest.param(lambda s: s.status(phase="Stopping", attempt=2), "attempt 2 began as Stopping", id="as Stopping"),
        pytest.param(
            lambda s: s.place("r0-n0,r0-n2", phase="Running"), "the placement of attempt 1 was changed", id="placement"
        ),
        pytest.param(
            lambda s: s.status(phase="Repairing", attempt=2), "with the placement of attempt 1", id="old placement"
        ),
        pytest.param(
            lambda s: s.repair("r0-n0,r0-n2", "1x2"), "w/1 on r0-n2 was not made in attempt 1", id="moved as it was"
        ),
        pytest.param(
            lambda s: s.repair("r0-n0,r0-n2", "2x2", gang_attempt=7), "names 7 as that of its gang", id="gang"
        ),
        pytest.param(
            lambda s: s.repair("r0-n0,r0-n2", "1x1,2x1", gang_attempt=2),
            "gives a gang of its own to pods of attempt 1",
            id="a survivor's gang",
        ),
    ],
)
def test_s7_what_one_write_may_change(story: Story, change: Spoil, words: str) -> None:
    story.start(TWO)
    change(story)
    check(story, "S7", words)


def test_s7_repairing_only_what_has_started(story: Story) -> None:
    story.place(",".join(TWO))
    story.repair("r0-n0,r0-n2", "2x2")
    check(story, "S7", "became Repairing from Placed")


def test_s7_is_not_judged_where_the_watch_was_blind(story: Story) -> None:
    story.start(TWO)
    story.repair("r0-n0,r0-n2", "1x1,3x1", attempt=3)
    last = story.events[-1].rv
    story.events.append(Event(last, "TrainingJob", GAP, {"from": last - 1}, story.now))
    assert not story.judged()


# What the watcher says, and keeps.


def test_a_malformed_placement_is_a_violation(story: Story) -> None:
    story.place("r0-n[0-")
    check(story, "format", "brackets do not match")


def test_the_report_shows_the_history_around_it(story: Story) -> None:
    story.start(TWO)
    start_over(story)
    history = History.of(story.events)
    text = report(judge(history), history)
    assert text.startswith("S2 at ")
    assert "TrainingJob b Starting" in text


def test_a_dumped_history_is_judged_the_same(story: Story, tmp_path: Path) -> None:
    story.start(TWO)
    start_over(story)
    story.quiet()
    path = tmp_path / "history.jsonl"
    History.of(story.events).dump(path)
    assert judge(History.load(path)) == story.judged()


def test_events_are_judged_in_the_order_of_revisions_not_of_arrival(story: Story) -> None:
    story.start(TWO)
    kinds: dict[str, list[Event]] = {}
    for event in story.events:
        kinds.setdefault(event.kind, []).append(event)
    shuffled = [event for kind in ("Pod", "TrainingJob", "Node") for event in kinds[kind]]
    assert not judge(History.of(shuffled))
