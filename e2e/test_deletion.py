"""Deleting a TrainingJob in every phase, each way: what is its own goes, what was orphaned stays."""

from __future__ import annotations

import time

import pytest

from e2e.client import Object, core, muster, wait_for
from e2e.faults import Rule, Seen, hold_before
from e2e.harness import Cluster, Operators
from e2e.jobs import fake, job, role
from e2e.nodes import Racks
from e2e.watcher import Watcher

ENV = {"MUSTER_PODS_QPS": "0", "MUSTER_REAPER_SECONDS": "1"}
PHASES = ("Pending", "Placed", "Starting", "Running", "Stopping", "Suspended", "Succeeded")
PODS = 3
STAY_SECONDS = 4.0
"""Several rounds of the reaper."""


def in_every_phase() -> dict[str, Object]:
    """Return one job a phase, by phase; 'Placed' needs a held create, 'Stopping' a suspension once it runs."""
    slow = fake(stop_seconds=6)
    nowhere = {"nodeSelector": {"example.com/no-such": "node"}}
    return {
        "Pending": job("pending", [role(replicas=PODS, pod=nowhere)]),
        "Placed": job("placed", [role(replicas=PODS)]),
        "Starting": job("starting", [role(replicas=PODS, annotations=fake(never_start="true"))]),
        "Running": job("running", [role(replicas=PODS)]),
        "Stopping": job("stopping", [role(replicas=PODS, annotations=slow)]),
        "Suspended": job("suspended", [role(replicas=PODS)], suspend=True),
        "Succeeded": job("succeeded", [role(replicas=PODS, annotations=fake(run_seconds=0))]),
    }


def left(cluster: Cluster) -> list[str]:
    """Return the names of our pods and Services."""
    ours = {"labelSelector": "app.kubernetes.io/managed-by=muster"}
    found = [cluster.client.list(core(kind, cluster.namespace), **ours) for kind in ("pods", "services")]
    return sorted(item["metadata"]["name"] for items in found for item in items)


def owned(cluster: Cluster) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.pods() if pod["metadata"].get("ownerReferences")]


@pytest.mark.usefixtures("kubelet")
@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
def test_deletion_in_every_phase(cluster: Cluster, watcher: Watcher, operator: Operators, propagation: str) -> None:
    cluster.add_nodes(Racks(2, 12))
    proxy = cluster.start_proxy()

    def of_placed(seen: Seen) -> bool:
        return "dryRun" not in seen.path and seen.body["metadata"]["labels"]["muster.dev/job-name"] == "placed"

    held = proxy.add(Rule("POST", r"/pods(\?|$)", hold_before(), of_placed, times=1, skip=1))
    (process,) = operator(env=ENV, server=proxy.url)
    jobs = in_every_phase()
    for body in jobs.values():
        cluster.submit(body)
    cluster.wait_phase("stopping", "Running")
    cluster.change("stopping", {"suspend": True})
    for phase, body in jobs.items():
        cluster.wait_phase(body["metadata"]["name"], phase)
    wait_for(lambda: held.hits and len(cluster.pods("placed")) == PODS - 1, 20, "one create of the gang is held")
    remaining = ("placed", "starting", "running", "succeeded")
    kept = [pod["metadata"]["name"] for name in remaining for pod in cluster.pods(name)]

    for phase, body in jobs.items():
        assert cluster.phase(body["metadata"]["name"]) == phase
        cluster.delete_job(body["metadata"]["name"], propagation)
    if propagation != "Foreground":
        for body in jobs.values():
            path = muster("trainingjobs", cluster.namespace, body["metadata"]["name"])
            wait_for(lambda p=path: cluster.client.find(p) is None, 20, f"{path} is gone")  # type: ignore[misc]
    # The create that was under way arrives after the end of its job.
    held.release()

    if propagation == "Orphan":
        wait_for(lambda: not owned(cluster), 30, "only orphans are left", seen=lambda: owned(cluster))
        until = time.monotonic() + STAY_SECONDS
        while time.monotonic() < until:
            pods = {pod["metadata"]["name"]: pod for pod in cluster.pods()}
            assert set(kept) <= set(pods)
            assert not [name for name in kept if pods[name]["metadata"].get("deletionTimestamp")]
            time.sleep(0.2)
        gated = [name for name in kept if pods[name]["spec"].get("schedulingGates")]
        assert len(gated) == PODS - 1
    else:
        wait_for(lambda: not left(cluster), 40, "nothing is left", seen=lambda: left(cluster))
        wait_for(lambda: not cluster.client.list(muster("trainingjobs", cluster.namespace)), 20, "the jobs are gone")
    cluster.submit(job("after", [role(replicas=PODS)]))
    cluster.wait_phase("after", "Running")
    assert process.running
    watcher.quiet()


@pytest.mark.usefixtures("kubelet")
@pytest.mark.parametrize("phase", ["Starting", "Running", "Succeeded"])
def test_another_job_of_the_same_name_at_once(
    cluster: Cluster, watcher: Watcher, operator: Operators, phase: str
) -> None:
    # Room for one of them: the next one waits until the pods of the first have ended.
    cluster.add_nodes(Racks(1, 4))
    operator(env=ENV)
    wishes = {"Starting": fake(never_start="true"), "Running": fake(stop_seconds=1), "Succeeded": fake(run_seconds=0)}
    cluster.submit(job("same", [role(replicas=4, annotations=wishes[phase])]))
    first = cluster.wait_phase("same", phase)["metadata"]["uid"]
    began = time.monotonic()
    cluster.delete_job("same", "Background")
    path = muster("trainingjobs", cluster.namespace, "same")
    wait_for(lambda: cluster.client.find(path) is None, 5, "the first is gone", pause=0.01)
    second = cluster.submit(job("same", [role(replicas=4)]))["metadata"]["uid"]
    assert time.monotonic() - began < 1
    assert first != second
    cluster.wait_phase("same", "Running")

    def owners() -> set[str]:
        ours = {"labelSelector": "app.kubernetes.io/managed-by=muster"}
        found = cluster.pods() + cluster.client.list(core("services", cluster.namespace), **ours)
        return {item["metadata"]["labels"]["muster.dev/job-uid"] for item in found}

    wait_for(lambda: owners() == {second}, 20, "only what the second made is left", seen=owners)
    assert cluster.phase("same") == "Running"
    watcher.quiet()


@pytest.mark.usefixtures("kubelet")
def test_a_namespace_that_is_deleted(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    cluster.add_nodes(Racks(1, 8))
    (process,) = operator(env=ENV)
    other = f"{cluster.namespace}-2"
    cluster.client.post(core("namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    wait_for(lambda: cluster.client.find(core("serviceaccounts", other, "default")), 20, "the namespace is usable")
    jobs = muster("trainingjobs", other)
    cluster.client.post(jobs, job("doomed", [role(replicas=4, annotations=fake(stop_seconds=2))]))
    cluster.client.post(jobs, job("doomed-too", [role(replicas=2, annotations=fake(never_start="true"))]))
    wait_for(lambda: cluster.client.get(f"{jobs}/doomed")["status"]["phase"] == "Running", 30, "it runs")
    wait_for(lambda: cluster.client.get(f"{jobs}/doomed-too")["status"]["phase"] == "Starting", 30, "it starts")
    cluster.client.delete(core("namespaces", name=other))
    cluster.submit(job("good", [role(replicas=8)]))
    wait_for(lambda: cluster.client.find(core("namespaces", name=other)) is None, 60, "the namespace is gone")
    cluster.wait_phase("good", "Running")
    assert process.running
    watcher.quiet()
