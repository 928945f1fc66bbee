"""The scheduler: where pods go, and what is said about those that go nowhere (words of kube-scheduler 1.37.1)."""

from __future__ import annotations

import logging

import pytest
from tests.embedded.world import World, pod

NEVER = " preemption: not eligible due to preemptionPolicy=Never."
TAINT = {"key": "a", "value": "b", "effect": "NoSchedule"}


@pytest.fixture
def world() -> World:
    """Two free nodes (rack r), a tainted one (t), a cordoned one (u); classes `never` (10) and `high` (100)."""
    made = World()
    made.racks()
    made.racks(nodes=1, prefix="t", taints=(TAINT,))
    made.racks(nodes=1, prefix="u")
    made.change_node("u00-n00", {"spec": {"unschedulable": True}})
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    made.post(classes, {"metadata": {"name": "never"}, "value": 10, "preemptionPolicy": "Never"})
    made.post(classes, {"metadata": {"name": "high"}, "value": 100})
    made.step()
    return made


def test_a_pod_is_bound_and_says_so(world: World) -> None:
    world.pod("a")
    world.step()
    assert world.where("a") in ("r00-n00", "r00-n01")
    assert world.condition("a", "PodScheduled")["status"] == "True"


def test_a_pinned_pod_goes_to_its_node_alone(world: World) -> None:
    world.pod("a", pin="r00-n01")
    world.step()
    assert world.where("a") == "r00-n01"


def test_a_gated_pod_waits_for_its_last_gate(world: World) -> None:
    world.pod("a", pin="r00-n01", gated=True)
    world.step()
    assert world.where("a") is None
    gates = {"spec": {"schedulingGates": [{"$patch": "delete", "name": "test/gate"}]}}
    world.patch("/api/v1/namespaces/d/pods/a", gates, "strategic")
    world.step()
    assert world.where("a") == "r00-n01"


def test_another_scheduler_s_pod_is_left_alone(world: World) -> None:
    world.pod("a", schedulerName="other")
    world.step()
    assert world.where("a") is None
    assert not world.get("a")["status"].get("conditions")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        pytest.param(
            pod("a", 5),
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, "
            "2 Insufficient nvidia.com/gpu. "
            "preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
            id="too-large",
        ),
        pytest.param(
            pod("a", 8, requests={"cpu": "1000", "memory": "2000Gi"}),
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, "
            "2 Insufficient cpu, 2 Insufficient memory, 2 Insufficient nvidia.com/gpu. "
            "preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
            id="too-large-in-all",
        ),
        pytest.param(
            pod("a", 5, priorityClassName="never"),
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, "
            "2 Insufficient nvidia.com/gpu." + NEVER,
            id="never",
        ),
        pytest.param(
            pod("a", nodeSelector={"x": "y"}, priorityClassName="never"),
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, "
            "2 node(s) didn't match Pod's node affinity/selector." + NEVER,
            id="selector",
        ),
        pytest.param(
            pod("a", 5, "r00-n00", priorityClassName="never"),
            "0/4 nodes are available: 1 Insufficient nvidia.com/gpu, 3 node(s) didn't satisfy plugin(s) [NodeAffinity]."
            + NEVER,
            id="pinned-without-room",
        ),
        pytest.param(
            pod("a", 1, "gone", priorityClassName="never"),
            "0/4 nodes are available: 4 node(s) didn't satisfy plugin(s) [NodeAffinity]." + NEVER,
            id="pinned-to-no-node",
        ),
        pytest.param(
            pod("a", 1, "u00-n00", priorityClassName="never"),
            "0/4 nodes are available: 1 node(s) were unschedulable, 3 node(s) didn't satisfy plugin(s) [NodeAffinity]."
            + NEVER,
            id="pinned-to-a-cordoned-node",
        ),
        pytest.param(
            pod("a", 1, "t00-n00", priorityClassName="never"),
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), "
            "3 node(s) didn't satisfy plugin(s) [NodeAffinity]." + NEVER,
            id="pinned-to-a-tainted-node",
        ),
        pytest.param(
            pod("a", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}]),
            '0/4 nodes are available: persistentvolumeclaim "none" not found. not found',
            id="claim-missing",
        ),
        pytest.param(
            pod("a", resourceClaims=[{"name": "v", "resourceClaimName": "none"}]),
            "0/4 nodes are available: the embedded scheduler allocates no resourceClaims",
            id="what-it-cannot-do",
        ),
    ],
)
def test_why_a_pod_is_not_bound(world: World, made: dict[str, object], message: str) -> None:
    world.post("/api/v1/namespaces/d/pods", made)
    world.step()
    assert world.where("a") is None
    assert world.said("a") == message
    assert world.condition("a", "PodScheduled")["reason"] == "Unschedulable"


def test_a_message_is_written_once(world: World) -> None:
    world.pod("a", 5)
    world.step()
    version = world.get("a")["metadata"]["resourceVersion"]
    world.change_node("r00-n00", {"metadata": {"labels": {"new": "label"}}})
    world.step(30)
    assert world.get("a")["metadata"]["resourceVersion"] == version


def test_no_nodes() -> None:
    world = World()
    world.pod("a")
    world.step()
    assert world.said("a") == "no nodes available to schedule pods"
    world.racks(nodes=1)
    world.step()
    assert world.where("a") == "r00-n00"


def test_room_that_comes_free_is_used_in_order_of_priority(world: World) -> None:
    world.pod("first", 4, "r00-n00")
    world.step()
    world.pod("low", 4, "r00-n00")
    world.pod("high", 4, "r00-n00", priorityClassName="never")
    world.step()
    assert (world.where("low"), world.where("high")) == (None, None)
    world.delete("first", grace=0)
    world.step()
    assert (world.where("low"), world.where("high")) == (None, "r00-n00")


def test_a_pod_that_has_ended_holds_nothing(world: World) -> None:
    world.pod("first", 4, "r00-n00", wishes={"run-seconds": "5"})
    world.step()
    world.pod("second", 4, "r00-n00")
    world.step(4)
    assert world.where("second") is None
    world.step(2)
    assert world.where("second") == "r00-n00"


def test_a_terminating_pod_still_holds(world: World) -> None:
    world.pod("first", 4, "r00-n00", wishes={"stop-seconds": "5"})
    world.step()
    world.delete("first")
    world.pod("second", 4, "r00-n00")
    world.step(3)
    assert world.where("second") is None
    world.step(3)
    assert world.where("second") == "r00-n00"


def test_room_is_kept_for_the_nominated(world: World) -> None:
    world.pod("kept", 4, "r00-n00", gated=True, priorityClassName="never")
    world.patch("/api/v1/namespaces/d/pods/kept/status", {"status": {"nominatedNodeName": "r00-n00"}}, "strategic")
    world.pod("equal", 4, "r00-n00", priorityClassName="never")
    world.pod("lower", 4, "r00-n00")
    world.step()
    assert (world.where("equal"), world.where("lower")) == (None, None)
    assert world.said("lower") == (
        "0/4 nodes are available: 1 Insufficient nvidia.com/gpu, 3 node(s) didn't satisfy plugin(s) [NodeAffinity]. "
        "preemption: 0/4 nodes are available: 1 No preemption victims found for incoming pod, "
        "3 Preemption is not helpful for scheduling."
    )
    world.pod("higher", 4, "r00-n00", priorityClassName="high")
    world.step()
    assert world.where("higher") == "r00-n00"


def test_room_kept_is_given_when_the_nominated_one_is_gone(world: World) -> None:
    world.pod("kept", 4, "r00-n00", gated=True)
    world.patch("/api/v1/namespaces/d/pods/kept/status", {"status": {"nominatedNodeName": "r00-n00"}}, "strategic")
    world.pod("other", 4, "r00-n00")
    world.step()
    assert world.where("other") is None
    world.delete("kept")
    world.step()
    assert world.where("other") == "r00-n00"


def test_nobody_is_evicted_and_that_is_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.pod("low", 4, "r00-n00")
    world.step()
    world.pod("high", 4, "r00-n00", priorityClassName="high")
    with caplog.at_level(logging.WARNING):
        world.step()
    assert world.where("high") is None
    assert "evicts nobody" in world.said("high")
    assert "evicts nobody" in caplog.text


def test_ports_of_the_host(world: World) -> None:
    for name in ("a", "b", "c"):
        world.pod(name, 0, ports=[80], priorityClassName="never")
    world.step()
    assert {world.where("a"), world.where("b")} == {"r00-n00", "r00-n01"}
    assert world.said("c") == (
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, "
        "2 node(s) didn't have free ports for the requested pod ports." + NEVER
    )


def test_the_number_of_pods_is_a_resource(world: World) -> None:
    world.change_node("r00-n00", {"status": {"allocatable": {"pods": "0"}, "capacity": {"pods": "0"}}}, "/status")
    world.pod("a", 0, "r00-n00", priorityClassName="never")
    world.step()
    assert world.said("a").startswith("0/4 nodes are available: 1 Too many pods, 3 node(s)")
    world.change_node("r00-n00", {"status": {"allocatable": {"pods": "9"}, "capacity": {"pods": "9"}}}, "/status")
    world.step()
    assert world.where("a") == "r00-n00"


def test_tolerations_selectors_and_expressions_open_nodes(world: World) -> None:
    world.change_node("t00-n00", {"metadata": {"labels": {"speed": "7"}}})
    lines = [
        {"key": "speed", "operator": "Gt", "values": ["6"]},
        {"key": "absent", "operator": "DoesNotExist"},
        {"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64", "amd64"]},
    ]
    tolerations = [{"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}]
    world.pod("a", terms=[{"matchExpressions": lines}], tolerations=tolerations)
    world.pod("b", terms=[{"matchExpressions": lines}])
    world.step()
    assert world.where("a") == "t00-n00"
    assert world.where("b") is None


def test_a_cordon_lifted_lets_the_pinned_in(world: World) -> None:
    world.pod("a", 1, "u00-n00")
    world.step()
    assert world.where("a") is None
    world.change_node("u00-n00", {"spec": {"unschedulable": None}})
    world.step()
    assert world.where("a") == "u00-n00"


def test_init_containers_sidecars_overhead_and_the_pod_as_a_whole_count() -> None:
    import msgspec

    from muster.embedded.nodes.demands import PodItem, requests_of

    made = pod("a", 0, requests={"cpu": "1", "memory": "1Gi"})
    made["metadata"] |= {"namespace": "d", "uid": "u"}
    wants = lambda cpu: {"requests": {"cpu": cpu}}  # noqa: E731
    made["spec"]["initContainers"] = [
        {"name": "side", "restartPolicy": "Always", "resources": wants("500m")},
        {"name": "init", "resources": wants("2")},
    ]
    made["spec"]["overhead"] = {"cpu": "250m"}
    item = msgspec.convert(made, PodItem)
    assert dict(requests_of(item.spec)) == {"cpu": 2750, "memory": 1024**3 * 1000, "pods": 1000}
    made["spec"]["resources"] = {"requests": {"cpu": "4"}}
    item = msgspec.convert(made, PodItem)
    assert dict(requests_of(item.spec))["cpu"] == 4250


def test_pods_spread_over_equal_nodes() -> None:
    world = World()
    world.racks(nodes=4)
    for number in range(8):
        world.pod(f"p{number}", 1, requests={"cpu": "10"})
    world.step()
    counts: dict[str | None, int] = {}
    for number in range(8):
        name = world.where(f"p{number}")
        counts[name] = counts.get(name, 0) + 1
    assert sorted(counts.values()) == [2, 2, 2, 2]


def test_a_broken_watch_is_listed_anew(world: World) -> None:
    world.pod("a", 4, "r00-n00")
    world.step()
    world.delete("a", grace=0)
    world.server.restart()
    world.server.expire_history()
    world.pod("b", 4, "r00-n00")
    world.step()
    assert world.where("b") == "r00-n00"


def test_work_in_pieces(world: World) -> None:
    for number in range(6):
        world.pod(f"p{number}", 1)
    due = world.cluster.binder.step(world.now, most=2)
    assert due == world.now
    assert world.cluster.binder.bound == 2
    assert world.cluster.binder.step(world.now) is None
    assert world.cluster.binder.bound == 6
