"""A dump of the size of a large cluster, written as kubectl writes one.

python -m tests.support.bigdump DUMP JOBS [--nodes 5000] [--pods 20000] [--jobs 600] [--shapes 600]

Nodes stand in racks of 18 with 4 GPUs; a third of the racks hold a gang each (its TrainingJob Running, its pods bound),
every node runs DaemonSet pods, the rest of the pods are of Deployments. A pod has 4 to 5 kB as the API sends it and
about twice that as kubectl prints it. JOBS gets TrainingJobs to ask about, of so many different templates.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
RACK = 18
SINCE = "2026-11-01T08:00:00Z"


def main() -> None:
    """Write both files."""
    options = argparse.ArgumentParser()
    options.add_argument("dump", type=Path)
    options.add_argument("jobs", type=Path)
    options.add_argument("--nodes", type=int, default=5000)
    options.add_argument("--pods", type=int, default=20_000)
    options.add_argument("--count", type=int, default=600)
    options.add_argument("--shapes", type=int, default=600)
    asked = options.parse_args()
    with asked.dump.open("w") as out:
        out.write('{\n    "apiVersion": "v1",\n    "items": [\n')
        for i, obj in enumerate(objects(asked.nodes, asked.pods)):
            text = json.dumps(obj, indent=4).replace("\n", "\n        ")
            out.write(f"{',' if i else ''}\n        {text}" if i else f"        {text}")
        out.write('\n    ],\n    "kind": "List",\n    "metadata": {\n        "resourceVersion": ""\n    }\n}\n')
    with asked.jobs.open("w") as out:
        yaml.dump_all([asked_about(i, asked.shapes) for i in range(asked.count)], out, Dumper=yaml.CSafeDumper)


def objects(nodes: int, pods: int) -> Iterator[Object]:
    """The objects of the dump."""
    names = [node_name(i) for i in range(nodes)]
    yield from (node(i) for i in range(nodes))
    gangs = [rack for rack in range(nodes // RACK) if rack % 3 == 0]
    made = 0
    for rack in gangs:
        for rank in range(RACK):
            yield gang_pod(rack, rank)
            made += 1
    for i in range(pods - made):
        yield stranger(i, names[i % nodes], daemon=i < 2 * nodes)
    yield from (live_job(rack) for rack in gangs)
    for name, value in (("muster-default", 0), ("muster-high", 1000)):
        yield {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": meta(name),
            "value": value,
            "preemptionPolicy": "Never",
        }
    limit = {"type": "Container", "defaultRequest": {"cpu": "100m", "memory": "64Mi"}}
    yield {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": meta("defaults", "research"),
        "spec": {"limits": [limit]},
    }


def meta(name: str, namespace: str = "", **rest: Any) -> Object:
    """Metadata as the API server fills it."""
    where = {"namespace": namespace} if namespace else {}
    return {
        "creationTimestamp": SINCE,
        "name": name,
        **where,
        "resourceVersion": "4711",
        "uid": f"uid-{namespace}-{name}",
        **rest,
    }


def node_name(i: int) -> str:
    """Its rack and its place in it."""
    return f"r{i // RACK:03d}-n{i % RACK:02d}"


def node(i: int) -> Object:
    """A node with the labels and conditions of a real one."""
    rack, name = i // RACK, node_name(i)
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": "arm64",
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "gb300.72",
        "nvidia.com/gpu.clique": f"7a3e0000-{rack:04d}.0",
        "nvidia.com/gpu.product": "NVIDIA-GB300",
        "fabric.topograph.run/tier-0": f"leaf-{rack // 8:02d}",
        "fabric.topograph.run/tier-1": f"spine-{rack // 128}",
        "topology.kubernetes.io/zone": "zone-a",
    } | {f"feature.node.kubernetes.io/cpu-{j}": "true" for j in range(40)}
    amounts = {"cpu": "144", "memory": "966367641Ki", "pods": "110", "nvidia.com/gpu": "4", "ephemeral-storage": "7Ti"}
    conditions = [
        {
            "type": kind,
            "status": status,
            "lastHeartbeatTime": SINCE,
            "lastTransitionTime": SINCE,
            "message": "kubelet says so",
        }
        for kind, status in (
            ("MemoryPressure", "False"),
            ("DiskPressure", "False"),
            ("PIDPressure", "False"),
            ("Ready", "True"),
        )
    ]
    images = [
        {"names": [f"registry.example/ml/image-{j}@sha256:{'ab' * 32}"], "sizeBytes": 10**9 + j} for j in range(20)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": meta(name, labels=labels),
        "spec": {"podCIDR": "10.0.0.0/24"},
        "status": {"allocatable": amounts, "capacity": amounts, "conditions": conditions, "images": images},
    }


def _pod(name: str, namespace: str, where: str, amounts: Object, owner: Object, labels: Object) -> Object:
    env = [{"name": f"SETTING_{j}", "value": f"a value of ordinary length, number {j}"} for j in range(24)]
    container = {
        "env": env,
        "image": f"registry.example/ml/train@sha256:{'cd' * 32}",
        "imagePullPolicy": "IfNotPresent",
        "name": "main",
        "resources": {"limits": amounts, "requests": amounts},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"mountPath": f"/mnt/{j}", "name": f"v{j}", "readOnly": True} for j in range(5)],
    }
    tolerations = [
        {"effect": "NoExecute", "key": f"node.kubernetes.io/{key}", "operator": "Exists", "tolerationSeconds": 300}
        for key in ("not-ready", "unreachable")
    ]
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    conditions = [
        {"lastProbeTime": None, "lastTransitionTime": SINCE, "status": "True", "type": kind} for kind in kinds
    ]
    status = {
        "containerID": f"containerd://{'ef' * 32}",
        "image": container["image"],
        "name": "main",
        "ready": True,
        "restartCount": 0,
        "started": True,
        "state": {"running": {"startedAt": SINCE}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(name, namespace, labels=labels, ownerReferences=[owner]),
        "spec": {
            "containers": [container],
            "nodeName": where,
            "priority": 0,
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "serviceAccountName": "default",
            "tolerations": tolerations,
            "volumes": [{"name": f"v{j}", "configMap": {"defaultMode": 420, "name": f"config-{j}"}} for j in range(5)],
        },
        "status": {
            "conditions": conditions,
            "containerStatuses": [status],
            "hostIP": "10.1.2.3",
            "phase": "Running",
            "podIP": "10.2.3.4",
            "qosClass": "Guaranteed",
            "startTime": SINCE,
        },
    }


def stranger(i: int, where: str, daemon: bool) -> Object:
    """A pod of a DaemonSet or of a Deployment's ReplicaSet, that asks for no GPU."""
    kind = "DaemonSet" if daemon else "ReplicaSet"
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": f"app-{i % 50}", "uid": f"o{i % 50}", "controller": True}
    labels = {"app.kubernetes.io/name": f"app-{i % 50}", "pod-template-hash": "5d4f8c"}
    return _pod(f"app-{i % 50}-{i:05d}", f"team-{i % 20}", where, {"cpu": "250m", "memory": "1Gi"}, owner, labels)


def gang_pod(rack: int, rank: int) -> Object:
    """A pod of the gang that holds a rack."""
    name = f"gang-{rack:03d}"
    owner = {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "name": name,
        "uid": f"uid-research-{name}",
        "controller": True,
    }
    labels = {"muster.dev/role": "worker", "muster.dev/rank": str(rank), "muster.dev/attempt": "1"}
    amounts = {"cpu": "100", "memory": "700Gi", "nvidia.com/gpu": "4"}
    return _pod(f"{name}-worker-{rank:02d}", "research", node_name(rack * RACK + rank), amounts, owner, labels)


def live_job(rack: int) -> Object:
    """The TrainingJob that runs on a rack."""
    placement = {
        "attempt": 1,
        "gangAttempt": 1,
        "term": "1",
        "generation": 1,
        "rolesHash": "x+y",
        "objective": {"preferred": 0, "cost": 3, "nodes": RACK, "intactOpened": {"nvlink": 1}, "leftover": 0},
        "provenOptimal": True,
        "domains": {"nvlink": 1},
        "least": {"nvlink": 1},
        "roles": [{"name": "worker", "nodes": f"r{rack:03d}-n[00-{RACK - 1}]", "born": f"1x{RACK}"}],
    }
    status = {"phase": "Running", "live": True, "attempt": 1, "observedGeneration": 1, "placement": placement}
    job = training_job(f"gang-{rack:03d}", RACK, "x")
    return job | {"metadata": meta(f"gang-{rack:03d}", "research", generation=1), "status": status}


def training_job(name: str, replicas: int, variant: str) -> Object:
    """A manifest of a gang in segments of a rack."""
    amounts = {"cpu": "100", "memory": "700Gi", "nvidia.com/gpu": "4"}
    env = [{"name": f"SETTING_{j}", "value": f"{variant} {j}"} for j in range(12)]
    container = {"name": "main", "image": "registry.example/ml/train:1", "env": env, "resources": {"limits": amounts}}
    role = {
        "name": "worker",
        "replicas": replicas,
        "topology": {"segments": [{"level": "nvlink", "size": 16}]},
        "template": {"spec": {"containers": [container]}},
    }
    return {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": "research"},
        "spec": {"roles": [role]},
    }


def asked_about(i: int, shapes: int) -> Object:
    """One of the jobs to ask about; some never fit."""
    return training_job(f"ask-{i}", 16 * (1 + i % 40 * (1 + i % 7)), str(i % shapes))


if __name__ == "__main__":
    main()
