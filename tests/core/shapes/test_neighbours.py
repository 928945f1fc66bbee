"""What else runs on the nodes: pods without GPUs, DaemonSets, pods that are going, growing, announced, or listening."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.core.shapes.wire import CLIQUE, GPU, TIME, Cluster, Wire, level, node, numbers, pod, role, topology

BOTH = {GPU: "4", "cpu": "16", "memory": "200Gi"}
"""What a pod of a gang asks for."""
LEVELS = (level("leaf", "example.com/leaf"), level("nvlink", CLIQUE))


def nodes() -> Iterator[Wire]:
    """Two racks of 4 nodes: r0-n0 .. r1-n3."""
    for r in range(2):
        for n in range(4):
            yield node(f"r{r}-n{n}", {CLIQUE: f"c{r}.0", "example.com/leaf": "l0"})


@pytest.fixture
def here() -> Cluster:
    """The cluster, empty."""
    return Cluster(topology("Custom", *LEVELS), nodes())


def free(cluster: Cluster, name: str) -> dict[str, int]:
    """What is free on a node, in units of the core."""
    return dict(cluster.world.inventory.free_on(name))


def opened(cluster: Cluster, pods: int) -> dict[str, int]:
    """Intact domains that a gang opens, by level."""
    return dict(cluster.placed(role(pods, BOTH)).objective.intact)


def test_a_pod_without_gpus_blocks_the_slot_it_leaves_no_room_in(here: Cluster) -> None:
    here.put(pod("builder", "r0-n0", {"cpu": "130", "memory": "10Gi"}))
    here.put(pod("light", "r0-n1", {"cpu": "100", "memory": "10Gi"}))
    waits = here.refused(role(8, BOTH))
    # 143 cores: 13 are left beside the one, 43 beside the other.
    assert numbers(waits, "free", "missing") == {"reason": "InsufficientCapacity", "free": 7, "missing": 1}
    assert dict(waits.exclusions) == {"cpu": 1}
    assert "r0-n0" not in here.placed(role(7, BOTH)).nodes[0]
    # A gang that asks for GPUs alone finds room on both.
    assert len(set(here.placed(role(8)).nodes[0])) == 8
    # Both nodes and their rack are in use: a gang of 3 goes there rather than open the other rack.
    found = here.placed(role(3, BOTH))
    assert set(found.nodes[0]) == {"r0-n1", "r0-n2", "r0-n3"}
    assert dict(found.objective.intact) == {"leaf": 0, "nvlink": 0, "node": 2}


def test_memory_and_storage_block_as_well(here: Cluster) -> None:
    here.put(pod("cache", "r0-n0", {"memory": "800Gi"}), pod("scratch", "r0-n1", {"ephemeral-storage": "2.5Ti"}))
    waits = here.refused(role(8, BOTH | {"ephemeral-storage": "1Ti"}))
    assert dict(waits.exclusions) == {"memory": 1, "ephemeral-storage": 1}
    assert waits.number("free") == 6


def test_daemons_take_room_and_leave_domains_intact(here: Cluster) -> None:
    for name in (f"r{r}-n{n}" for r in range(2) for n in range(4)):
        here.put(pod(f"exporter-{name}", name, {"cpu": "1", "memory": "1Gi"}, owner="DaemonSet"))
    here.put(pod("hungry", "r1-n0", {"cpu": "127"}, owner="DaemonSet"))
    mirror = {"kubernetes.io/config.mirror": "x"}
    here.put(pod("proxy", "r1-n1", {"cpu": "500m"}, owner="Node", annotations=mirror))
    assert free(here, "r0-n0")["cpu"] == 142_000
    assert free(here, "r1-n1")["cpu"] == 141_500
    assert dict(here.refused(role(8, BOTH)).exclusions) == {"cpu": 1}
    assert opened(here, 4) == {"leaf": 1, "nvlink": 1, "node": 4}
    assert set(here.placed(role(3, BOTH)).nodes[0]) == {"r1-n1", "r1-n2", "r1-n3"}


def test_a_pod_without_requests_still_makes_its_node_used(here: Cluster) -> None:
    here.put(pod("debug", "r1-n0"))
    found = here.placed(role(4))
    assert {name[:2] for name in found.nodes[0]} == {"r1"}
    assert dict(found.objective.intact) == {"leaf": 0, "nvlink": 0, "node": 3}
    assert free(here, "r1-n0")["pods"] == 109


def test_the_limit_on_pods(here: Cluster) -> None:
    here.put(node("r0-n0", {CLIQUE: "c0.0", "example.com/leaf": "l0"}, amounts={"pods": "3"}))
    # Three pods fit there, not four.
    waits = here.refused(role(32, {GPU: "1"}))
    assert numbers(waits, "constraint", "largest") == {
        "reason": "Unsatisfiable",
        "constraint": "capacity",
        "largest": 31,
    }
    here.put(*(pod(f"small-{i}", "r0-n0") for i in range(3)))
    waits = here.refused(role(31, {GPU: "1"}))
    assert numbers(waits, "free") == {"reason": "InsufficientCapacity", "free": 28}
    assert dict(waits.exclusions) == {"pods": 1}


def test_host_ports_one_a_node(here: Cluster) -> None:
    listening = [{"containerPort": 29500, "hostPort": 29500}]
    one = role(8, {GPU: "1"}, ports=listening)
    # One a node, though four would have room.
    assert len(set(here.placed(one).nodes[0])) == 8
    assert here.refused(role(9, {GPU: "1"}, ports=listening)).number("largest") == 8
    here.put(pod("other", "r0-n2", ports=[{"containerPort": 29500, "hostPort": 29500}]))
    here.put(pod("udp", "r0-n3", ports=[{"containerPort": 29500, "hostPort": 29500, "protocol": "UDP"}]))
    here.put(pod("shared", "r1-n0", ports=[{"containerPort": 29500}], hostNetwork=True))
    here.put(pod("inside", "r1-n1", ports=[{"containerPort": 29500}]))
    waits = here.refused(one)
    assert numbers(waits, "free") == {"reason": "InsufficientCapacity", "free": 6}
    assert dict(waits.exclusions) == {"hostport/TCP/29500": 2}
    # With hostNetwork every container's port is one of the host.
    host = role(7, {GPU: "4"}, ports=[{"containerPort": 29500}], hostNetwork=True)
    assert here.refused(host).number("free") == 6


def test_pods_that_were_resized_in_place(here: Cluster) -> None:
    """What kubelet has given counts until it has taken it back, and what is wished for as soon as it can be had."""

    def resized(name: str, on: str, wished: str, given: str, **more: Any) -> Wire:
        amounts = {"cpu": given}
        status = {"name": "main", "allocatedResources": amounts, "resources": {"requests": amounts}}
        return pod(name, on, {"cpu": wished}, containerStatuses=[status], **more)

    pending = {"type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": "no room"}
    here.put(
        resized("shrinking", "r0-n0", "10", "130"),
        resized("growing", "r0-n1", "130", "10"),
        resized("never", "r0-n2", "500", "10", conditions=[pending]),
        resized("done", "r0-n3", "130", "130"),
    )
    assert {n: free(here, f"r0-n{n}")["cpu"] for n in range(4)} == {0: 13_000, 1: 13_000, 2: 133_000, 3: 13_000}
    assert dict(here.refused(role(8, BOTH)).exclusions) == {"cpu": 3}


def test_what_goes_holds_its_room_until_it_is_gone(here: Cluster) -> None:
    here.put(pod("going", "r0-n0", {GPU: "4"}, deletionTimestamp=TIME))
    assert numbers(here.refused(role(8)), "free") == {"reason": "InsufficientCapacity", "free": 7}
    here.put(pod("going", "r0-n0", {GPU: "4"}, deletionTimestamp=TIME, phase="Failed"))
    found = here.placed(role(8))
    assert dict(found.objective.intact) == {"leaf": 1, "nvlink": 2, "node": 8}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_what_has_ended_holds_nothing(here: Cluster, phase: str) -> None:
    here.put(pod("ended", "r0-n0", {GPU: "4"}, phase=phase))
    assert dict(here.placed(role(8)).objective.intact) == {"leaf": 1, "nvlink": 2, "node": 8}


def test_room_that_is_announced(here: Cluster) -> None:
    """Nominated, pinned by a DaemonSet's affinity, or neither."""
    here.put(pod("nominated", None, {GPU: "4"}, phase="Pending", nominatedNodeName="r0-n0"))
    field = {"key": "metadata.name", "operator": "In", "values": ["r0-n1"]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field]}]}}
    here.put(pod("pinned", None, {GPU: "4"}, phase="Pending", affinity={"nodeAffinity": required}, owner="DaemonSet"))
    here.put(pod("anywhere", None, {GPU: "4"}, phase="Pending"))
    assert numbers(here.refused(role(8)), "free") == {"reason": "InsufficientCapacity", "free": 6}
    # The DaemonSet's pod leaves its node as intact as it was, the other does not.
    assert dict(here.placed(role(6)).objective.intact) == {"leaf": 0, "nvlink": 1, "node": 6}


def test_sidecars_init_containers_and_overhead_of_our_own_pods(here: Cluster) -> None:
    """Requests are those of the pod as a whole: the sidecar runs beside the trainer, the download before it."""
    asks = {"requests": {"cpu": "100"}, "limits": {"cpu": "100"}}
    sidecar = {"name": "proxy", "image": "x", "restartPolicy": "Always", "resources": asks}
    download = {"name": "download", "image": "x", "resources": {"requests": {"cpu": "120"}, "limits": {"cpu": "120"}}}
    assert here.placed(role(8, BOTH, initContainers=[download])).objective.nodes == 8
    assert here.placed(role(8, BOTH, initContainers=[sidecar])).objective.nodes == 8
    both = here.refused(role(8, BOTH, initContainers=[sidecar, download]))
    assert numbers(both, "constraint", "largest") == {"reason": "Unsatisfiable", "constraint": "nodes", "largest": 0}
    assert dict(both.exclusions) == {"cpu": 8}
