"""The safety watcher at the real API server: the test plays the operator by hand, well and badly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e import nodes
from e2e.client import Object, core, muster, wait_for
from e2e.harness import Cluster
from e2e.nodes import Racks
from e2e.process import Process
from e2e.watcher import Watcher

GATE = "muster.dev/gang"


class Hand:
    """Writes what the operator would write for one job of one role."""

    def __init__(self, cluster: Cluster, name: str, replicas: int, topology: Object | None = None) -> None:
        self.cluster = cluster
        template = {
            "spec": {"containers": [{"name": "main", "image": "none", "resources": {"limits": {nodes.GPU: 4}}}]}
        }
        role: Object = {"name": "worker", "replicas": replicas, "template": template}
        role |= {"topology": topology} if topology else {}
        self.job = cluster.submit({"metadata": {"name": name}, "spec": {"roles": [role]}})
        self.name, self.uid = name, self.job["metadata"]["uid"]

    def status(self, **status: object) -> None:
        path = muster("trainingjobs", self.cluster.namespace, self.name, "status")
        self.cluster.client.patch(path, {"status": status})

    def place(self, names: list[str]) -> None:
        role = {"name": "worker", "nodes": ",".join(names), "born": f"1x{len(names)}"}
        placement = {"attempt": 1, "gangAttempt": 1, "roles": [role]}
        self.status(phase="Placed", attempt=1, live=True, placement=placement)

    def pod(self, rank: int, node: str) -> None:
        labels = {"job-name": self.name, "job-uid": self.uid, "role": "worker", "rank": str(rank), "attempt": "1"}
        owner = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "name": self.name, "uid": self.uid}
        terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        meta = {
            "name": f"{self.name}-worker-{rank}",
            "labels": {f"muster.dev/{key}": value for key, value in labels.items()},
            "ownerReferences": [owner | {"controller": True}],
        }
        spec = {
            "restartPolicy": "Never",
            "schedulingGates": [{"name": GATE}],
            "affinity": {"nodeAffinity": required},
            "containers": [{"name": "main", "image": "none", "resources": {"limits": {nodes.GPU: "4"}}}],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        self.cluster.client.post(core("pods", self.cluster.namespace), body)

    def ungate(self, rank: int) -> None:
        path = core("pods", self.cluster.namespace, f"{self.name}-worker-{rank}")
        self.cluster.client.patch(
            path, {"spec": {"schedulingGates": [{"$patch": "delete", "name": GATE}]}}, "strategic"
        )

    def wait(self, phase: str) -> None:
        pods = self.cluster.pods
        wait_for(lambda: {p["status"]["phase"] for p in pods(self.name)} == {phase}, 20, f"all pods are {phase}")

    def start(self, names: list[str]) -> None:
        self.place(names)
        for rank, node in enumerate(names):
            self.pod(rank, node)
        self.status(phase="Starting")
        for rank in range(len(names)):
            self.ungate(rank)
        self.wait("Running")
        self.status(phase="Running")


@pytest.fixture
def spy(cluster: Cluster) -> Iterator[Watcher]:
    """A watcher whose violations are the test's to judge."""
    made = Watcher(cluster.client).start()
    yield made
    made.stop()


def broken(spy: Watcher) -> set[str]:
    return {each.invariant for each in spy.violations()}


def test_a_gang_by_the_book_breaks_nothing(cluster: Cluster, kubelet: Process, watcher: Watcher) -> None:
    names = cluster.add_nodes(Racks(racks=2, nodes=2))
    hand = Hand(cluster, "book", 2, {"required": {"level": "nvlink"}})
    hand.start(names[:2])
    watcher.quiet()
    cluster.delete_job("book")
    wait_for(lambda: not cluster.pods(), 20, "the garbage collector and the kubelets have cleaned up")
    watcher.quiet()
    kinds = {event.kind for event in watcher.history.events}
    assert {"TrainingJob", "Pod", "Node"} <= kinds


def test_a_gate_opened_too_early_is_seen(cluster: Cluster, spy: Watcher) -> None:
    names = cluster.add_nodes(Racks(racks=1, nodes=2))
    hand = Hand(cluster, "early", 2)
    hand.place(names)
    hand.pod(0, names[0])
    assert not spy.violations()
    hand.ungate(0)
    assert broken(spy) == {"S1"}


def test_an_overlap_is_seen(cluster: Cluster, kubelet: Process, spy: Watcher) -> None:
    names = cluster.add_nodes(Racks(racks=1, nodes=2))
    Hand(cluster, "first", 2).start(names)
    assert not spy.violations()
    second = Hand(cluster, "second", 1)
    second.place(names[1:])
    second.pod(0, names[1])
    assert not spy.violations()
    second.status(phase="Starting")
    assert broken(spy) == {"S2"}


def test_a_constraint_broken_is_seen(cluster: Cluster, spy: Watcher) -> None:
    racks = Racks(racks=2, nodes=2)
    cluster.add_nodes(racks)
    Hand(cluster, "apart", 2, {"required": {"level": "nvlink"}}).place([racks.name(0, 0), racks.name(1, 0)])
    assert broken(spy) == {"S4"}


@pytest.mark.real("its API server can be restarted")
def test_what_a_restart_of_the_api_server_hides_is_not_held_against_anybody(
    cluster: Cluster, kubelet: Process, spy: Watcher
) -> None:
    names = cluster.add_nodes(Racks(racks=1, nodes=2))
    hand = Hand(cluster, "long", 2)
    hand.start(names)
    cluster.plane.restart_apiserver(kill=True)
    wait_for(lambda: not cluster.client.send("GET", muster("trainingjobs")).status >= 400, 20, "the CRD is served")
    hand.status(phase="Stopping")
    spy.quiet()
    assert not spy.violations()
    hand.status(phase="Pending")
    assert broken(spy) == {"S2"}
