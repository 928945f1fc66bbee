"""From the CRDs and the operator of before to those of now, and back, with live objects: nothing of theirs changes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.client import Object, concurrently, muster, wait_for
from e2e.gangs import lead, sound, waits
from e2e.harness import ROOT, Cluster, Operators
from e2e.history import Past, past
from e2e.jobs import fake, job, role
from e2e.manifests import apply, documents
from e2e.nodes import Racks
from e2e.watcher import Watcher

KEPT = ("phase", "attempt", "live", "placement", "restarts", "startTime", "completionTime", "lastFailure")
"""What of a status nobody may touch."""


@pytest.fixture
def before(cluster: Cluster, tmp_path: Path) -> Iterator[Past]:
    """The earlier CRDs are in force; at the end the present ones are again."""
    found = past(tmp_path / "past")
    if found.why:
        warnings.warn(found.why, stacklevel=1)
    try:
        apply(cluster.client, found.crds)
        yield found
    finally:
        cluster.client.send("DELETE", muster("trainingjobs", cluster.namespace))
        cluster.client.send("DELETE", muster("clustertopologies"))
        apply(cluster.client, documents(ROOT / "crds"))


def objects() -> dict[str, tuple[Object, str]]:
    """Jobs as people write them, and the phase that each comes to."""
    ports = [{"containerPort": 29500}]
    container = {"name": "main", "image": "trainer", "ports": ports, "resources": {"limits": {"nvidia.com/gpu": "4"}}}
    policy = {"rules": [{"action": "Restart", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    runs = role(replicas=4, segment=("nvlink", 4), pod={"containers": [container]})
    return {
        "runs": (job("runs", [runs], failurePolicy=policy), "Running"),
        "waits": (job("waits", [role(replicas=99)]), "Pending"),
        "paused": (job("paused", [role(replicas=2)], suspend=True), "Suspended"),
        "done": (job("done", [role(annotations=fake(run_seconds=0))]), "Succeeded"),
        "broken": (
            job("broken", [role(annotations=fake(run_seconds=1, exit_code=3))], failurePolicy={"maxRestarts": 0}),
            "Failed",
        ),
    }


TOPOLOGY: Object = {
    "apiVersion": "muster.dev/v1alpha1",
    "kind": "ClusterTopology",
    "metadata": {"name": "default"},
    "spec": {"preset": "Custom", "levels": [{"name": "nvlink", "nodeLabel": "nvidia.com/gpu.clique"}]},
}


@pytest.mark.real("serves several versions of a CRD one after the other, and validates what was stored under them")
def test_crds_and_operator_are_replaced_under_live_objects(
    cluster: Cluster, kubelet: object, watcher: Watcher, operator: Operators, before: Past
) -> None:
    cluster.add_nodes(Racks(1, 12))
    old = {"PYTHONPATH": str(before.package)}
    earlier = lead(operator, env=old)
    print(f"from {before.revision}")
    cluster.client.post(muster("clustertopologies"), TOPOLOGY)
    for manifest, _ in objects().values():
        cluster.client.apply(muster("trainingjobs", cluster.namespace, manifest["metadata"]["name"]), manifest)
    for name, (_, phase) in objects().items():
        cluster.wait_phase(name, phase, timeout=60)
    waits(cluster, "waits", "Unsatisfiable")
    wait_for(
        lambda: not any(cluster.job(name)["status"]["live"] for name in ("done", "broken")), 40, "both have let go"
    )
    was, pods = kept(cluster), uids(cluster)

    apply(cluster.client, documents(ROOT / "crds"))  # the earlier operator still leads
    every_object_is_valid(cluster)
    assert (kept(cluster), uids(cluster)) == (was, pods)
    cluster.submit(job("between", [role()]))
    cluster.wait_phase("between", "Running", timeout=60)
    sound(earlier)
    operator.terminate(earlier)

    later = lead(operator)
    assert (kept(cluster), uids(cluster)) == (was, pods)
    every_object_is_valid(cluster)
    for manifest, _ in objects().values():  # as GitOps applies them again
        path = muster("trainingjobs", cluster.namespace, manifest["metadata"]["name"])
        generation = cluster.client.get(path)["metadata"]["generation"]
        assert cluster.client.apply(path, manifest)["metadata"]["generation"] == generation
    cluster.change("paused", {"suspend": False})
    cluster.wait_phase("paused", "Running", timeout=60)
    cluster.change("paused", {"suspend": True})
    cluster.wait_phase("paused", "Suspended", timeout=60)
    sound(later)
    operator.terminate(later)

    again = lead(operator, env=old)  # the rollback leaves the CRDs as they are
    was["paused"] = kept(cluster)["paused"]
    assert (kept(cluster), uids(cluster)) == (was, pods)
    cluster.submit(job("after", [role()]))
    cluster.wait_phase("after", "Running", timeout=60)
    concurrently(lambda pod: cluster.annotate_pod(pod["metadata"]["name"], run_seconds="0"), cluster.pods("runs"))
    assert cluster.wait_phase("runs", "Succeeded", timeout=60)["status"]["attempt"] == 1
    sound(again)
    watcher.quiet()


def kept(cluster: Cluster) -> dict[str, Object]:
    """Of each job, its uid, its spec, and what of its status is not to change."""
    jobs = {name: cluster.job(name) for name in objects()}
    return {
        name: {"uid": one["metadata"]["uid"], "spec": one["spec"]} | {key: one["status"].get(key) for key in KEPT}
        for name, one in jobs.items()
    }


def uids(cluster: Cluster) -> set[str]:
    """The pods of the gang that runs through all of it."""
    return {str(pod["metadata"]["uid"]) for pod in cluster.pods("runs")}


def every_object_is_valid(cluster: Cluster) -> None:
    """What is stored is what the CRDs in force take, status and all."""
    listed = cluster.client.list(muster("trainingjobs", cluster.namespace))
    listed += cluster.client.list(muster("clustertopologies"))
    assert len(listed) > len(objects())
    for one in listed:
        plural = "trainingjobs" if one["kind"] == "TrainingJob" else "clustertopologies"
        path = muster(plural, one["metadata"].get("namespace"), one["metadata"]["name"])
        one["metadata"].pop("managedFields", None)
        for target in (path, f"{path}/status"):
            # Whatever is written meanwhile, it is the content that is asked about.
            one["metadata"].pop("resourceVersion", None)
            body = one | {"metadata": one["metadata"] | {"resourceVersion": _version(cluster, path)}}
            cluster.client.put(target, body, dryRun="All", fieldValidation="Strict")


def _version(cluster: Cluster, path: str) -> str:
    return str(cluster.client.get(path)["metadata"]["resourceVersion"])
