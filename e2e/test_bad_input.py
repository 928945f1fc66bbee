"""What cannot work says why, and nobody else notices: a good job runs beside it."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e import nodes
from e2e.client import ApiError, Object, core, group, muster, wait_for
from e2e.harness import Cluster, Operators
from e2e.jobs import fake, job, role
from e2e.nodes import CLIQUE, Racks
from e2e.process import Process
from e2e.watcher import Watcher

ENV = {"MUSTER_PODS_QPS": "0"}
PATIENT = {"baseSeconds": 1, "maxSeconds": 1}
pytestmark = pytest.mark.usefixtures("kubelet")


def waiting(cluster: Cluster, name: str) -> tuple[str, str]:
    """Return the reason and the message of a job that waits; empty ones while it does not."""
    found = (cluster.job(name).get("status") or {}).get("waiting") or {}
    return found.get("reason", ""), found.get("message", "")


def wait_reason(cluster: Cluster, name: str, reason: str, words: str = "") -> None:
    """Wait until the job waits for this reason and says these words."""

    def told() -> bool:
        given, message = waiting(cluster, name)
        return given == reason and words in message

    wait_for(told, 20, f"{name} waits: {reason} ({words})", seen=lambda: cluster.job(name).get("status"))


def sound(process: Process) -> None:
    """The operator runs and has met no defect of its own."""
    assert process.running
    output = process.output()
    assert "Traceback" not in output, output[-3000:]
    assert "defect" not in output, output[-3000:]


def with_(manifest: Object, *path: str | int, value: object) -> Object:
    """Return the manifest with another value at a path within its first role."""
    changed = copy.deepcopy(manifest)
    part: Any = changed["spec"]["roles"][0]
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return changed


BASE = job("refused", [role(replicas=2)])
REFUSED = [
    (with_(BASE, "replicas", value=0), "should be greater than or equal to 1"),
    (with_(BASE, "replicas", value=-3), "should be greater than or equal to 1"),
    (with_(BASE, "replicas", value=1 << 40), "should be less than or equal to"),
    (with_(BASE, "name", value="Worker_1"), "should match"),
    (job("refused", [role("same"), role("same")]), "Duplicate value"),
    (with_(BASE, "topology", value={"segments": [{"level": "nvlink", "sizes": [1, 2]}]}), "must add up to replicas"),
    (with_(BASE, "template", "spec", "nodeName", value="r00-n00"), "nodeName is refused"),
    (with_(BASE, "template", "spec", "nodeSelektor", value={}), 'unknown field "spec.roles[0].template.spec'),
    (with_(BASE, "template", "spec", "containers", 0, "resources", "limits", "cpu", value="4 cores"), "should match"),
]


def test_jobs_that_cannot_work_beside_one_that_does(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    cluster.add_nodes(Racks(2, 4))
    (process,) = operator(env=ENV)
    classes = group("scheduling.k8s.io/v1", "priorityclasses")
    preempts = f"preempts-{cluster.namespace[-6:]}"
    made = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": preempts}}
    cluster.client.post(classes, made | {"value": 7})
    cluster.submit(job("good", [role(replicas=4, segment=("nvlink", 4))]))
    for manifest, words in REFUSED:
        with pytest.raises(ApiError) as refusal:
            cluster.submit(manifest)
        assert words in refusal.value.body.replace('\\"', '"')
    bad = {
        "segment": (job("segment", [role(replicas=8, segment=("nvlink", 5))]), "Unsatisfiable", "nvlink"),
        "level": (job("level", topology={"required": {"level": "hall"}}), "Invalid", "There is no level hall"),
        "huge": (job("huge", [role(replicas=9999)]), "Unsatisfiable", "room for 8 of 9999"),
        "cpu": (job("cpu", [role(requests={"cpu": "1e15"})]), "Unsatisfiable", "cpu"),
        "missing": (job("missing", priorityClassName="no-such"), "PriorityClassMissing", "no-such does not exist"),
        "preempting": (job("preempting", priorityClassName=preempts), "PriorityClassPreempts", "Policy Never"),
    }
    for manifest, _, _ in bad.values():
        cluster.submit(manifest)
    # A client that does not validate strictly: the misspelt field is dropped with a warning, the job is as without.
    loose = with_(job("loose", [role(gpus=0)]), "template", "spec", "nodeSelektor", value={})
    answer = cluster.client.send("POST", muster("trainingjobs", cluster.namespace), loose, fieldValidation="Warn")
    assert answer.status == 201
    assert "nodeSelektor" in answer.headers.get("Warning", "")
    cluster.submit(job("n" * 40, [role("ab", replicas=2, gpus=1), role("c", gpus=0)], launcher="env"))
    cluster.submit(job("nothing", [role(replicas=3, gpus=0)]))
    for name, (_, reason, words) in bad.items():
        wait_reason(cluster, name, reason, words)
        if reason in ("Invalid", "Unsatisfiable", "PriorityClassPreempts"):
            stalled = [c for c in cluster.job(name)["status"]["conditions"] if c["type"] == "Stalled"]
            assert [c["status"] for c in stalled] == ["True"], name
    for name in ("good", "loose", "nothing", "n" * 40):
        cluster.wait_phase(name, "Running")
    for pod in cluster.pods("n" * 40):
        assert len(pod["metadata"]["name"]) <= 63
        assert len(pod["spec"]["hostname"]) <= 63
    # Each can be put right: the spec of a waiting job is free.
    cluster.change("level", {"topology": {"required": {"level": "nvlink"}}})
    cluster.change("missing", {"priorityClassName": "muster-default"})
    cluster.wait_phase("level", "Running")
    cluster.wait_phase("missing", "Running")
    sound(process)
    watcher.quiet()
    cluster.client.send("DELETE", f"{classes}/{preempts}")


def topology(*levels: Object) -> Object:
    spec = {"preset": "Custom", "levels": list(levels)}
    kind = {"apiVersion": "muster.dev/v1alpha1", "kind": "ClusterTopology"}
    return kind | {"metadata": {"name": "default"}, "spec": spec}


LEAF = {"name": "leaf", "nodeLabel": nodes.LEAF}
NVLINK = {"name": "nvlink", "nodeLabel": CLIQUE}


def test_labels_that_lack_and_labels_that_contradict(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    whole = Racks(1, 4, prefix="a")
    bare = Racks(1, 4, prefix="b", labels={CLIQUE: None})
    # One clique over two leaves: the levels are a tree, so these are two domains of two nodes.
    torn = [
        Racks(1, 2, prefix=prefix, labels={CLIQUE: "torn.1", nodes.LEAF: f"leaf-{prefix}", "example.com/torn": "yes"})
        for prefix in ("c", "d")
    ]
    for racks in (whole, bare, *torn):
        cluster.add_nodes(racks)
    cluster.client.post(muster("clustertopologies"), topology(LEAF, NVLINK))
    (process,) = operator(env=ENV)
    only = {"nodeSelector": {"example.com/torn": "yes"}}
    cluster.submit(job("three", [role(replicas=3, segment=("nvlink", 3), pod=only)]))
    cluster.submit(job("two", [role(replicas=4, segment=("nvlink", 2), pod=only)]))
    cluster.submit(job("labelled", [role(replicas=4, segment=("nvlink", 4))]))
    for name in ("two", "labelled"):
        cluster.wait_phase(name, "Running")
    cluster.submit(job("any", [role(replicas=4)]))
    cluster.wait_phase("any", "Running")
    wait_reason(cluster, "three", "Unsatisfiable", "nvlink")
    assert {pod["spec"]["nodeName"] for pod in cluster.pods("labelled")} == set(whole.names())
    # A label that changes under a gang that runs ends nothing.
    before = {pod["metadata"]["uid"] for pod in cluster.pods("labelled")}
    nodes.label(cluster.client, whole.names()[0], {CLIQUE: "another.7"})
    cluster.delete_job("any")
    cluster.submit(job("later", [role(replicas=4)]))
    cluster.wait_phase("later", "Running")
    assert cluster.phase("labelled") == "Running"
    assert {pod["metadata"]["uid"] for pod in cluster.pods("labelled")} == before
    sound(process)
    watcher.quiet()


@pytest.fixture
def crd_restored(cluster: Cluster) -> Iterator[None]:
    """Whatever the test does to the CRD of ClusterTopology is undone."""
    path = group("apiextensions.k8s.io/v1", "customresourcedefinitions", name="clustertopologies.muster.dev")
    crd = cluster.client.get(path)
    versions = copy.deepcopy(crd["spec"]["versions"])
    yield
    # Its objects go first: one that breaks the rules would stay.
    cluster.client.send("DELETE", muster("clustertopologies"))
    cluster.client.patch(path, {"spec": {"versions": versions}})


@pytest.mark.usefixtures("crd_restored")
def test_a_topology_that_changes_under_the_jobs(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    cluster.add_nodes(Racks(2, 4))
    path = muster("clustertopologies", name="default")
    cluster.client.post(muster("clustertopologies"), topology(LEAF, NVLINK))
    (process,) = operator(env=ENV)
    cluster.submit(job("runs", [role(replicas=4, segment=("nvlink", 4))]))
    cluster.wait_phase("runs", "Running")  # of two jobs of one second either may be the first
    cluster.submit(job("waits", [role(replicas=8)], topology={"required": {"level": "leaf"}}))
    wait_reason(cluster, "waits", "InsufficientCapacity")
    # The level is removed while the job waits.
    cluster.client.patch(path, {"spec": topology(NVLINK)["spec"]})
    wait_reason(cluster, "waits", "Invalid", "There is no level leaf")
    # A label that two levels use is refused.
    twice = topology({"name": "leaf", "nodeLabel": CLIQUE}, NVLINK)["spec"]
    with pytest.raises(ApiError, match="use the same nodeLabel"):
        cluster.client.patch(path, {"spec": twice})
    # Where the rules are missing, the operator finds it: what runs goes on, what is new waits.
    _without_rules(cluster)

    def taken() -> bool:
        answer = cluster.client.send("PATCH", path, {"spec": twice}, "application/merge-patch+json")
        return answer.status == 200

    wait_for(taken, 20, "the lenient CRD is in force")
    cluster.submit(job("new", [role(replicas=2)]))
    wait_reason(cluster, "new", "Invalid", "ClusterTopology/default")
    assert cluster.phase("runs") == "Running"
    cluster.client.patch(path, {"spec": topology(LEAF, NVLINK)["spec"]})
    cluster.wait_phase("new", "Running")
    assert cluster.job("runs")["status"]["attempt"] == 1
    assert cluster.phase("runs") == "Running"
    sound(process)
    watcher.quiet()


def _without_rules(cluster: Cluster) -> None:
    """Make the CRD of ClusterTopology one without rules, as an older or a foreign one may be."""
    path = group("apiextensions.k8s.io/v1", "customresourcedefinitions", name="clustertopologies.muster.dev")
    versions = cluster.client.get(path)["spec"]["versions"]

    def strip(schema: object) -> object:
        if isinstance(schema, dict):
            return {key: strip(value) for key, value in schema.items() if key != "x-kubernetes-validations"}
        return [strip(each) for each in schema] if isinstance(schema, list) else schema

    cluster.client.patch(path, {"spec": {"versions": strip(versions)}})


def test_what_admission_adds_is_counted(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    cluster.add_nodes(Racks(1, 3, cpu="100"))
    limits = {"limits": [{"type": "Container", "defaultRequest": {"cpu": "50"}}]}
    cluster.client.post(core("limitranges", cluster.namespace), {"metadata": {"name": "given"}, "spec": limits})
    runtime, heavy = group("node.k8s.io/v1", "runtimeclasses"), f"heavy-{cluster.namespace[-6:]}"
    body = {"metadata": {"name": heavy}, "handler": "heavy", "overhead": {"podFixed": {"cpu": "10"}}}
    cluster.client.post(runtime, body)
    (process,) = operator(env=ENV)
    # By GPUs alone four pods would share a node; 50 CPUs each by default leave room for two, with overhead for one.
    cluster.submit(job("seven", [role(replicas=7, gpus=1)]))
    wait_reason(cluster, "seven", "Unsatisfiable", "6 of 7")
    cluster.submit(job("four", [role(replicas=4, gpus=1, pod={"runtimeClassName": heavy})]))
    wait_reason(cluster, "four", "Unsatisfiable", "3 of 4")
    cluster.submit(job("six", [role(replicas=6, gpus=1)]))
    cluster.wait_phase("six", "Running")
    assert cluster.job("six")["status"]["attempt"] == 1
    cluster.delete_job("six")
    cluster.submit(job("three", [role(replicas=3, gpus=1, pod={"runtimeClassName": heavy})]))
    cluster.wait_phase("three", "Running")
    assert cluster.job("three")["status"]["attempt"] == 1
    assert {pod["spec"]["overhead"]["cpu"] for pod in cluster.pods("three")} == {"10"}
    assert len({pod["spec"]["nodeName"] for pod in cluster.pods("three")}) == 3
    # The default goes away: what waits is asked about again. Whichever answer comes first takes the room, so only one
    # of the two that wait is left.
    cluster.delete_job("four")
    cluster.client.delete(core("limitranges", cluster.namespace, "given"))
    cluster.wait_phase("seven", "Running", timeout=60)
    sound(process)
    watcher.quiet()
    cluster.client.send("DELETE", f"{runtime}/{heavy}")


def test_two_gangs_under_a_quota_for_one(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    cluster.add_nodes(Racks(1, 16))
    quota = {"metadata": {"name": "ten"}, "spec": {"hard": {"pods": "10"}}}
    cluster.client.post(core("resourcequotas", cluster.namespace), quota)
    path = core("resourcequotas", cluster.namespace, "ten")
    wait_for(lambda: cluster.client.get(path).get("status", {}).get("hard"), 20, "the quota is counted")
    (process,) = operator(env=ENV)
    for name in ("one", "two"):
        cluster.submit(job(name, [role(replicas=7, annotations=fake(run_seconds=4))], backoff=PATIENT))
    cluster.submit(job("never", [role(replicas=11)], backoff=PATIENT))

    def first() -> str:
        return next((name for name in ("one", "two") if cluster.phase(name) == "Running"), "")

    ahead = wait_for(first, 30, "one of them runs")
    behind = {"one": "two", "two": "one"}[ahead]
    wait_reason(cluster, behind, "NamespaceQuota", "ResourceQuota ten leaves 3 of pods, the gang needs 7")
    assert not cluster.pods(behind)
    for name in ("one", "two"):
        cluster.wait_phase(name, "Succeeded", timeout=40)
        assert cluster.job(name)["status"]["attempt"] == 1
    wait_reason(cluster, "never", "NamespaceQuota", "the gang needs 11")
    sound(process)
    watcher.quiet()


@pytest.mark.real("Pod Security refuses")
def test_a_refusal_of_pod_security(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    cluster.add_nodes(Racks(1, 4))
    namespace = core("namespaces", name=cluster.namespace)
    cluster.client.patch(namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    proxy = cluster.start_proxy()
    (process,) = operator(env=ENV, server=proxy.url)
    cluster.submit(job("as-root", [role(replicas=2)], backoff=PATIENT))
    secure = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    good = with_(job("good", [role(replicas=2)]), "template", "spec", "containers", 0, "securityContext", value=secure)
    cluster.submit(good)
    wait_reason(cluster, "as-root", "PolicyRefused", 'violates PodSecurity "restricted:latest"')
    cluster.wait_phase("good", "Running")

    # Writes since the refusal, about the job that was refused: none but for the rare repeat.
    def writes() -> int:
        return proxy.count("POST", r"/pods(\?|$)") + proxy.count("PATCH|PUT", r"/trainingjobs/as-root/status")

    settled = writes()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        assert writes() <= settled + 2
        time.sleep(0.1)
    assert not cluster.pods("as-root")
    assert cluster.job("as-root")["status"].get("attempt", 0) == 0
    sound(process)
    watcher.quiet()
