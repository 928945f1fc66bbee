"""Heartbeats and the node lifecycle controller: a control plane of its own, where a dead machine is found out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import nodes
from e2e.client import Object, core, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.controlplane.config import Options
from e2e.harness import Cluster
from e2e.nodes import Racks


@pytest.fixture(scope="module")
def lifecycle_plane() -> Iterator[ControlPlane]:
    with ControlPlane.start(Options(node_lifecycle=True, node_monitor_grace_seconds=4)) as plane:
        yield plane


def ready(cluster: Cluster, name: str) -> str:
    node: Object = cluster.client.get(core("nodes", name=name))
    return str(next(each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready"))


def tainted(cluster: Cluster, name: str) -> bool:
    return bool(cluster.client.get(core("nodes", name=name))["spec"].get("taints"))


@pytest.mark.real("kube-controller-manager watches the heartbeats")
def test_a_machine_without_heartbeats_is_found_out_and_comes_back(
    lifecycle_plane: ControlPlane, tmp_path: Path
) -> None:
    cluster = Cluster(lifecycle_plane, "lifecycle", tmp_path)
    try:
        first, second = cluster.add_nodes(Racks(racks=1, nodes=2))
        cluster.start_kubelet(heartbeats=0.5)
        wait_for(lambda: not tainted(cluster, first), 20, "the controller lifts the taint of a new node")
        nodes.turn_off(cluster.client, first, lifecycle=True)
        wait_for(lambda: ready(cluster, first) == "Unknown", 30, "the silent machine is Unknown")
        wait_for(lambda: tainted(cluster, first), 10, "and tainted")
        assert ready(cluster, second) == "True"
        nodes.turn_on(cluster.client, first, lifecycle=True)
        wait_for(lambda: ready(cluster, first) == "True", 20, "it is back")
        wait_for(lambda: not tainted(cluster, first), 20, "and free of taints")
    finally:
        cluster.close()
