"""A cluster with something of every kind in it that a decision can depend on.

Twelve racks of GB300 nodes (one is shorter), two of H100 and one of AMD nodes without NVLink labels, two nodes without
accelerators; nodes in every state; pods of strangers in every state; gangs of ours in every phase; what admission and
quota read. `background` runs the gangs, `strangers` puts the rest around them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from e2e import nodes
from e2e.client import Object, core, group, muster, wait_for
from e2e.harness import Cluster
from e2e.jobs import fake, job, role
from e2e.nodes import CLIQUE, GPU, LEAF, SPINE, TAINTS, Racks

RACKS = Racks(12, 6, prefix="g", per_leaf=2, taints=TAINTS)
SHORT = ("g11-n04", "g11-n05")
"""Nodes that the last rack does not have."""
HOPPER = Racks(2, 3, gpus=8, prefix="h", labels={CLIQUE: None, "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"})
INSTINCT = Racks(1, 2, gpus=0, prefix="i", labels={CLIQUE: None, "nvidia.com/gpu.product": None})
PLAIN = Racks(1, 2, gpus=0, prefix="c", labels={CLIQUE: None, LEAF: None, SPINE: None})
AMD = "amd.com/gpu"
MAINTENANCE = {"key": "example.com/maintenance", "value": "soon", "effect": "NoSchedule"}
SANDBOX = "example.com/sandbox"
NODE_RESOURCES = {"cpu": "8"}
"""What a pod of ours asks for beside its accelerators, so that pods without accelerators can be in its way."""
LEVELS: list[Object] = [
    {"name": "zone", "nodeLabel": "topology.kubernetes.io/zone", "boundary": True},
    {"name": "spine", "nodeLabel": SPINE},
    {"name": "leaf", "nodeLabel": LEAF},
    {"name": "nvlink", "nodeLabel": CLIQUE, "placeholderValues": ["no-imds-data"], "fillLimit": 5},
]
HOUR = "3600"


def racks(cluster: Cluster) -> None:
    """Create the nodes, healthy, and the topology."""
    for each in (RACKS, HOPPER, PLAIN):
        cluster.add_nodes(each)
    for made in INSTINCT.objects():
        for amounts in (made["status"]["capacity"], made["status"]["allocatable"]):
            amounts[AMD] = "8"
        cluster.client.post(core("nodes"), made)
    nodes.remove(cluster.client, SHORT)
    body = {"apiVersion": "muster.dev/v1alpha1", "kind": "ClusterTopology", "metadata": {"name": "default"}}
    cluster.client.post(muster("clustertopologies"), body | {"spec": {"preset": "Custom", "levels": LEVELS}})


def background(cluster: Cluster) -> None:
    """Gangs of ours, brought into every phase that lasts; needs an operator and kubelets."""
    slow = fake(stop_seconds=HOUR)
    patient = {"terminationGracePeriodSeconds": int(HOUR)}
    cluster.submit(job("bg-running", [role("worker", 5, segment=("nvlink", 5))]))
    cluster.submit(job("bg-half", [role("worker", 3, gpus=2, requests=NODE_RESOURCES)]))
    cluster.submit(job("bg-starting", [role("worker", 2, annotations=fake(never_start="true"))]))
    cluster.submit(job("bg-stopping", [role("worker", 2, annotations=slow, pod=patient)]))
    cluster.submit(job("bg-done", [role("worker", 2, annotations=fake(run_seconds=0))]))
    cluster.submit(job("bg-late", [role("worker", 2)], activeDeadlineSeconds=1))
    cluster.submit(job("bg-suspended", [role("worker", 2)], suspend=True))
    cluster.submit(job("bg-waiting", [role("worker", 40, segment=("nvlink", 40))]))
    wanted = {"bg-running": "Running", "bg-half": "Running", "bg-starting": "Starting", "bg-stopping": "Running"}
    for name, phase in wanted.items():
        cluster.wait_phase(name, phase)
    cluster.change("bg-stopping", {"suspend": True})
    for name, phase in {"bg-done": "Succeeded", "bg-late": "Failed"}.items():
        cluster.wait_phase(name, phase)
        wait_for(lambda name=name: not cluster.job(name)["status"].get("live"), 20, f"{name} holds nothing")  # type: ignore[misc]
    cluster.wait_phase("bg-stopping", "Stopping")
    cluster.wait_phase("bg-suspended", "Suspended")


def free_nodes(cluster: Cluster) -> Iterator[str]:
    """GB300 nodes that no gang of ours holds anything on, in order."""
    taken = {pod["spec"].get("nodeName") for pod in cluster.pods() if pod["status"].get("phase") in _HOLDING}
    yield from (name for name in RACKS.names() if name not in taken and name not in SHORT)


_HOLDING = ("Pending", "Running")


def strangers(cluster: Cluster) -> dict[str, str]:
    """Put nodes and pods into every state; returns what was done to which node."""
    client, free = cluster.client, free_nodes(cluster)
    done: dict[str, str] = {}

    def take(what: str) -> str:
        done[what] = next(free)
        return done[what]

    nodes.cordon(client, take("cordoned"))
    nodes.set_ready(client, take("not ready"), "Unknown")
    nodes.taint(client, take("tainted"), MAINTENANCE)
    nodes.label(client, take("without a clique"), {CLIQUE: None})
    nodes.label(client, take("with a placeholder"), {CLIQUE: "no-imds-data"})
    for name in ("g08-n00", "g08-n01", "g08-n02", "g08-n03"):
        nodes.label(client, name, {SANDBOX: "true"})

    _pod(cluster, "cpu-only", {"cpu": "140"}, nodeName=take("full of cpu"))
    _pod(cluster, "half", {GPU: "2", "cpu": "8"}, nodeName=take("half used"))
    _pod(cluster, "ended", {GPU: "4"}, fake(run_seconds=0), nodeName=take("with an ended pod"))
    _pod(cluster, "port", {"cpu": "1"}, ports=[{"containerPort": 8080, "hostPort": 8080}], nodeName=take("port taken"))
    going = fake(stop_seconds=HOUR)
    grace: Object = {"terminationGracePeriodSeconds": int(HOUR)}
    _pod(cluster, "going", {GPU: "4"}, going, **grace, nodeName=take("with a terminating pod"))
    mirror = {"kubernetes.io/config.mirror": "x"}
    _pod(cluster, "mirror", {"cpu": "2"}, mirror, nodeName=take("with a mirror pod"))
    _pod(cluster, "grown", {"cpu": "1"}, nodeName=take("with a resized pod"))
    gate: Object = {"schedulingGates": [{"name": "example.com/hold"}]}
    _pod(cluster, "nominated", {GPU: "4"}, **gate)
    there = {"status": {"nominatedNodeName": take("nominated to")}}
    client.patch(core("pods", cluster.namespace, "nominated", "status"), there)
    field = {"key": "metadata.name", "operator": "In", "values": [take("pinned to")]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field]}]}}
    _pod(cluster, "pinned", {GPU: "4"}, affinity={"nodeAffinity": required}, **gate)
    _pod(cluster, "unbound", {GPU: "4"}, **gate)

    wanted = {"cpu-only": "Running", "half": "Running", "ended": "Succeeded", "port": "Running", "going": "Running"}
    for name, phase in (wanted | {"mirror": "Running", "grown": "Running"}).items():
        path = core("pods", cluster.namespace, name)
        wait_for(lambda p=path, ph=phase: client.get(p)["status"].get("phase") == ph, 20, f"{name} is {phase}")  # type: ignore[misc]
    client.delete(core("pods", cluster.namespace, "going"), grace=int(HOUR))
    _grow(cluster, "grown", "138")
    return done


def daemons(cluster: Cluster) -> None:
    """A DaemonSet on some nodes; the embedded cluster has no controller for one."""
    labels = {"app": "exporter"}
    container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}
    spec: Object = {
        "containers": [container],
        "nodeSelector": {SANDBOX: "true"},
        "tolerations": [{"operator": "Exists"}],
    }
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = _object("apps/v1", "DaemonSet", "exporter", selector={"matchLabels": labels}, template=template)
    path = group("apps/v1", "daemonsets", cluster.namespace)
    cluster.client.post(path, body)

    def ready() -> bool:
        status = cluster.client.get(f"{path}/exporter").get("status", {})
        return bool(status.get("desiredNumberScheduled") == status.get("numberReady") == 4)

    wait_for(ready, 30, "the DaemonSet runs", seen=lambda: cluster.client.get(f"{path}/exporter").get("status"))


def _pod(
    cluster: Cluster,
    name: str,
    amounts: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
    ports: list[Object] | None = None,
    **spec: object,
) -> None:
    asked = {"requests": dict(amounts), "limits": dict(amounts)}
    container: Object = {"name": "main", "image": "x", "resources": asked}
    container |= {"ports": ports} if ports else {}
    meta: Object = {"name": name} | ({"annotations": dict(annotations)} if annotations else {})
    wanted = {"containers": [container], "tolerations": [{"operator": "Exists"}]} | spec
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": wanted}
    cluster.client.post(core("pods", cluster.namespace), body)


def _grow(cluster: Cluster, name: str, cpu: str) -> None:
    """Kubelet says that the container has been given more than its spec says (a resize that was taken back)."""
    path = core("pods", cluster.namespace, name)
    (said,) = cluster.client.get(path)["status"]["containerStatuses"]
    amounts = {"cpu": cpu}
    said |= {"allocatedResources": amounts, "resources": {"requests": amounts, "limits": amounts}}
    cluster.client.patch(path + "/status", {"status": {"containerStatuses": [said]}}, "strategic")


@contextmanager
def admission(cluster: Cluster) -> Iterator[dict[str, str]]:
    """Namespaces with a ResourceQuota and with a LimitRange, a RuntimeClass, a PriorityClass that preempts, a claim
    whose volume is in one leaf: their names by `quota`, `limits`, `runtime`, `preempts`, `claim`."""
    client, base = cluster.client, cluster.namespace
    names = {each: f"{base}-{each}" for each in ("quota", "limits", "runtime", "preempts", "claim")}
    classes = group("scheduling.k8s.io/v1", "priorityclasses")
    runtimes = group("node.k8s.io/v1", "runtimeclasses")
    for space in (names["quota"], names["limits"]):
        client.post(core("namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
        wait_for(lambda s=space: client.find(core("serviceaccounts", s, "default")), 20, f"{space} is ready")  # type: ignore[misc]
    try:
        hard = {"requests.nvidia.com/gpu": "12", "pods": "20"}
        client.post(core("resourcequotas", names["quota"]), _object("v1", "ResourceQuota", "gpus", hard=hard))
        path = core("resourcequotas", names["quota"], "gpus")
        wait_for(lambda: client.get(path).get("status", {}).get("hard"), 20, "the quota is counted")
        limit: Object = {
            "type": "Container",
            "defaultRequest": {"cpu": "40"},
            "default": {"cpu": "40"},
            "max": {"cpu": "100"},
        }
        client.post(core("limitranges", names["limits"]), _object("v1", "LimitRange", "cpu", limits=[limit]))
        runtime: Object = {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": names["runtime"]},
            "handler": "sandbox",
            "overhead": {"podFixed": {"cpu": "40", "memory": "1Gi"}},
            "scheduling": {"nodeSelector": {SANDBOX: "true"}},
        }
        client.post(runtimes, runtime)
        made: Object = {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": names["preempts"]},
        }
        client.post(classes, made | {"value": 5, "preemptionPolicy": "PreemptLowerPriority"})
        _volume(cluster, names["claim"])
        yield names
    finally:
        for space in (names["quota"], names["limits"]):
            client.send("DELETE", muster("trainingjobs", space))
            client.send("DELETE", core("pods", space), {"kind": "DeleteOptions", "apiVersion": "v1", **_NOW})
            client.send("DELETE", core("namespaces", name=space))
        client.send("DELETE", f"{runtimes}/{names['runtime']}")
        client.send("DELETE", f"{classes}/{names['preempts']}")
        client.send("DELETE", core("persistentvolumeclaims", base, names["claim"]))
        client.send("DELETE", core("persistentvolumes", name=names["claim"]))


_NOW = {"gracePeriodSeconds": 0}


def _volume(cluster: Cluster, name: str) -> None:
    """A claim bound to a volume that lies in one leaf."""
    client, size = cluster.client, {"storage": "1Ti"}
    near = {"key": LEAF, "operator": "In", "values": ["leaf-g003"]}
    volume = {
        "capacity": size,
        "accessModes": ["ReadWriteMany"],
        "local": {"path": "/data"},
        "storageClassName": "",
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": cluster.namespace, "name": name},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [near]}]}},
    }
    client.post(core("persistentvolumes"), _object("v1", "PersistentVolume", name, **volume))
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": size}, "storageClassName": ""}
    path = core("persistentvolumeclaims", cluster.namespace)
    client.post(path, _object("v1", "PersistentVolumeClaim", name, volumeName=name, **claim))


def _object(version: str, kind: str, name: str, **spec: object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
