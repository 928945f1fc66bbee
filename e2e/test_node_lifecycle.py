"""Heartbeats and the node lifecycle controller: a control plane of its own, where a dead machine is found out."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from e2e import nodes
from e2e.client import Object, core, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.controlplane.config import Options
from e2e.gangs import cliques, lead, living, moved, phases, ranks, reaches, sound
from e2e.harness import ROOT, Cluster, Operators
from e2e.jobs import job, role
from e2e.manifests import apply, documents
from e2e.nodes import Racks
from e2e.watcher import Watcher

SIZE = 4
pytestmark = pytest.mark.real("kube-controller-manager watches the heartbeats")


@pytest.fixture(scope="module")
def controlplane() -> Iterator[ControlPlane]:
    """In place of the session's: this one looks after its nodes."""
    with ControlPlane.start(Options(node_lifecycle=True, node_monitor_grace_seconds=4)) as plane:
        apply(plane.client, documents(ROOT / "crds"))
        yield plane


def ready(cluster: Cluster, name: str) -> str:
    node: Object = cluster.client.get(core("nodes", name=name))
    return str(next(each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready"))


def tainted(cluster: Cluster, name: str) -> bool:
    return bool(cluster.client.get(core("nodes", name=name))["spec"].get("taints"))


def test_a_machine_without_heartbeats_is_found_out_and_comes_back(cluster: Cluster) -> None:
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


def begin(cluster: Cluster, **unreachable: object) -> list[str]:
    """Start a gang on a rack with two spares, all nodes with heartbeats; return the node of each rank."""
    names = cluster.add_nodes(Racks(2, SIZE + 2))
    cluster.start_kubelet(heartbeats=0.5)
    wait_for(lambda: not any(tainted(cluster, name) for name in names), 30, "the controller has seen all nodes")
    gang = [role("worker", SIZE, segment=("nvlink", SIZE))]
    cluster.submit(job("llm", gang, failurePolicy={"unreachable": unreachable}))
    reaches(cluster, "llm", 1)
    return ranks(cluster, "llm", SIZE)


def test_a_machine_without_heartbeats_is_replaced(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    process = lead(operator)
    before = begin(cluster, afterSeconds=2)
    began = time.monotonic()
    nodes.turn_off(cluster.client, before[1], lifecycle=True)
    wait_for(lambda: ready(cluster, before[1]) == "Unknown", 30, "the controller notices")
    noticed = time.monotonic() - began
    wait_for(lambda: cluster.job("llm")["status"]["attempt"] == 2, 30, "its patience is over")
    decided = time.monotonic() - began
    status = reaches(cluster, "llm", 2)
    print(f"silent: unknown after {noticed:.1f} s, repair after {decided:.1f} s, runs {time.monotonic() - began:.1f} s")
    after = ranks(cluster, "llm", SIZE)
    assert moved(before, after).keys() == {1}
    assert cliques(cluster)[after[1]] == cliques(cluster)[before[1]]
    assert decided - noticed < 10, "not the 300 s after which Kubernetes evicts"
    assert (status["disruptions"], status.get("restarts", 0)) == (1, 0)
    assert [blame["node"] for blame in status["blamed"]] == [before[1]]
    assert {pod["metadata"]["labels"]["muster.dev/attempt"] for pod in living(cluster, "llm")} == {"2"}
    # The machine comes back: what was there has no place any more.
    nodes.turn_on(cluster.client, before[1], lifecycle=True)
    wait_for(lambda: not tainted(cluster, before[1]), 30, "it is back")
    assert ranks(cluster, "llm", SIZE) == after
    assert phases(watcher, "llm")[3:] == ["Running 1", "Repairing 2", "Starting 2", "Running 2"]
    sound(process)
    watcher.quiet()


def test_a_job_that_waits_for_its_machines_is_not_evicted(
    cluster: Cluster, watcher: Watcher, operator: Operators
) -> None:
    process = lead(operator)
    before = begin(cluster, action="Wait")
    old = [pod["metadata"]["uid"] for pod in living(cluster, "llm")]
    nodes.turn_off(cluster.client, before[1], lifecycle=True)
    wait_for(lambda: tainted(cluster, before[1]), 30, "unreachable:NoExecute")
    time.sleep(8)  # the controller's grace and its eviction, several times over
    pods = living(cluster, "llm")
    assert [pod["metadata"]["uid"] for pod in pods] == old
    assert not [pod for pod in pods if "deletionTimestamp" in pod["metadata"]]
    nodes.turn_on(cluster.client, before[1], lifecycle=True)
    wait_for(lambda: not tainted(cluster, before[1]), 30, "it is back")
    status = cluster.job("llm")["status"]
    assert (status["phase"], status["attempt"], status["disruptions"]) == ("Running", 1, 0)
    assert ranks(cluster, "llm", SIZE) == before
    sound(process)
    watcher.quiet()


def test_somebody_forces_a_pod_off_a_silent_machine(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    """Forced out of the API it may run on all the same: its rank waits for the machine, or for the patience."""
    process = lead(operator)
    before = begin(cluster, afterSeconds=12)
    nodes.turn_off(cluster.client, before[1], lifecycle=True)
    wait_for(lambda: ready(cluster, before[1]) == "Unknown", 30, "the controller notices")
    began = time.monotonic()
    cluster.client.delete(core("pods", cluster.namespace, living(cluster, "llm")[1]["metadata"]["name"]), grace=0)
    reaches(cluster, "llm", 2, "Repairing")
    wait_for(lambda: len(cluster.pods("llm", attempt=2)) == SIZE - 1, 20, "all other ranks have their next pod")
    assert not cluster.pods("llm", attempt=2, rank=1)
    status = reaches(cluster, "llm", 2)
    assert time.monotonic() - began > 10, "the machine was given its time"
    assert moved(before, ranks(cluster, "llm", SIZE)).keys() == {1}
    assert status["placement"]["gangAttempt"] == 2, "another rendezvous: a process left over there cannot join"
    sound(process)
    watcher.quiet()
