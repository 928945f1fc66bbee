"""A second namespace, and what an operator that does not serve it leaves alone there."""

from __future__ import annotations

import time
from collections.abc import Mapping

from e2e.client import Object, core, muster, wait_for
from e2e.gangs import leads, waits
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks
from e2e.process import Process


class Elsewhere:
    """A second namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self.client = cluster.client
        self.namespace = f"{cluster.namespace[:50]}-elsewhere"
        self.client.post(core("namespaces"), {"metadata": {"name": self.namespace}})
        account = core("serviceaccounts", self.namespace, "default")
        wait_for(lambda: self.client.find(account), 20, "the namespace has its service account")

    def submit(self, manifest: Object) -> None:
        self.client.post(muster("trainingjobs", self.namespace), manifest, fieldValidation="Strict")

    def job(self, name: str) -> Object:
        return self.client.get(muster("trainingjobs", self.namespace, name))

    def pods(self) -> list[Object]:
        return self.client.list(core("pods", self.namespace))

    def remove(self) -> None:
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        self.client.send("DELETE", muster("trainingjobs", self.namespace))
        self.client.send("DELETE", core("pods", self.namespace), options)
        self.client.send("DELETE", core("namespaces", name=self.namespace))


def left_alone(cluster: Cluster, elsewhere: Elsewhere, begin: dict[str, Object]) -> None:
    """What the second operator does, and does not, about a gang of another namespace that loses a pod, one that was
    never judged, and one of its own."""
    unjudged = elsewhere.job("unjudged")
    cluster.submit(job("ours", [role(replicas=3)]))
    waits(cluster, "ours", "InsufficientCapacity")
    assert elsewhere.job("theirs") == begin["theirs"]
    gone = elsewhere.pods()[0]["metadata"]["name"]
    elsewhere.client.delete(core("pods", elsewhere.namespace, gone), grace=0)
    wait_for(lambda: len(elsewhere.pods()) == 1, 20, "one of its two pods is gone")
    cluster.submit(job("small", [role(replicas=1)]))
    cluster.wait_phase("small", "Running")
    time.sleep(2)
    assert elsewhere.job("theirs") == begin["theirs"], "no repair, no word"
    assert elsewhere.job("unjudged") == unjudged
    assert len(elsewhere.pods()) == 1
    # Its claim ends with it.
    elsewhere.client.delete(muster("trainingjobs", elsewhere.namespace, "theirs"))
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
    elsewhere.client.send("DELETE", core("pods", elsewhere.namespace), options)
    cluster.wait_phase("ours", "Running", timeout=60)


def started_by_all(
    cluster: Cluster, elsewhere: Elsewhere, operator: Operators, more: Mapping[str, str], user: str
) -> dict[str, Object]:
    """An operator for all namespaces starts `theirs`, and ends; `unjudged` comes after it."""
    cluster.add_nodes(Racks(1, 4))
    [first] = operator(env=more, user=user)
    first.wait_until(lambda: leads(first), 60, "leading")
    elsewhere.submit(job("theirs", [role(replicas=2)]))
    wait_for(lambda: (elsewhere.job("theirs").get("status") or {}).get("phase") == "Running", 30, "theirs runs")
    wait_for(lambda: elsewhere.job("theirs")["status"]["summary"]["running"] == "2/2", 10, "and says so")
    assert operator.terminate(first) == 0
    elsewhere.submit(job("unjudged", [role(replicas=1)]))
    return {"theirs": elsewhere.job("theirs")}


def lead(cluster: Cluster, operator: Operators, more: Mapping[str, str], user: str) -> Process:
    """An operator for the test's namespace and one that does not exist."""
    served = {"MUSTER_WATCH_NAMESPACES": f"{cluster.namespace}, no-such-namespace"}
    [process] = operator(env=dict(more) | served, user=user)
    process.wait_until(lambda: leads(process), 60, "leading")
    return process
