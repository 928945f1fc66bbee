"""Clusters as the API shows them, put through the parser, and gangs put to the solver that stands behind it.

No core record is made by hand: nodes and pods are written as kubectl prints them, jobs as people write them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from muster.core.model import Found, Job, PriorityClass, TopologySpec, Upsert, Verdict
from muster.core.topology import survey
from muster.core.world import World
from muster.kube import parse, render

Wire = dict[str, Any]
GPU = "nvidia.com/gpu"
CLIQUE = "nvidia.com/gpu.clique"
TIME = "2026-03-01T12:00:00Z"


def node(
    name: str,
    labels: Mapping[str, str],
    *,
    gpus: int = 4,
    amounts: Mapping[str, str] | None = None,
    taints: Iterable[Mapping[str, str]] = (),
    cordoned: bool = False,
    ready: str = "True",
    arch: str = "arm64",
) -> Wire:
    """A Node; `amounts` go over what a GB300 tray has, `gpus` 0 leaves the device plugin's resource out."""
    allocatable = {"cpu": "143", "memory": "980Gi", "ephemeral-storage": "3Ti", "pods": "110", "hugepages-2Mi": "0"}
    allocatable |= {GPU: str(gpus)} if gpus else {}
    allocatable |= dict(amounts or {})
    beat = {"lastHeartbeatTime": TIME, "lastTransitionTime": TIME}
    ours: Wire = {"kubernetes.io/hostname": name, "kubernetes.io/arch": arch, "kubernetes.io/os": "linux"}
    spec: Wire = {"podCIDR": "10.0.1.0/24", "providerID": f"cloud://{name}"}
    spec |= {"unschedulable": True} if cordoned else {}
    spec |= {"taints": [dict(each) for each in taints]} if taints else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "creationTimestamp": TIME,
            "labels": ours | dict(labels),
            "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}}],
        },
        "spec": spec,
        "status": {
            "capacity": dict(allocatable),
            "allocatable": allocatable,
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory", **beat},
                {"type": "Ready", "status": ready, "reason": "KubeletReady", **beat},
            ],
            "nodeInfo": {"architecture": arch, "kubeletVersion": "v1.36.2", "operatingSystem": "linux"},
            "images": [{"names": ["registry.example.com/trainer:1"], "sizeBytes": 31_000_000_000}],
        },
    }


def pod(
    name: str,
    on: str | None = None,
    requests: Mapping[str, str] | None = None,
    *,
    phase: str = "Running",
    owner: str = "ReplicaSet",
    **more: Any,
) -> Wire:
    """A pod of a stranger on a node; `more`: fields of metadata (`deletionTimestamp`), spec or status by name."""
    meta: Wire = {
        "name": name,
        "namespace": "team",
        "uid": f"uid-{name}",
        "resourceVersion": "9",
        "creationTimestamp": TIME,
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": owner, "name": "owner", "uid": "owner", "controller": True}
        ],
    }
    container: Wire = {"name": "main", "image": "x", "resources": {"requests": dict(requests or {})}}
    spec: Wire = {"containers": [container], "tolerations": [{"operator": "Exists"}]} | ({"nodeName": on} if on else {})
    status: Wire = {"phase": phase, "conditions": [{"type": "PodScheduled", "status": "True"}]}
    for key, value in more.items():
        target = {"deletionTimestamp": meta, "annotations": meta, "ports": container}.get(key)
        target = target if target is not None else status if key in _OF_STATUS else spec
        target[key] = value
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}


_OF_STATUS = ("nominatedNodeName", "containerStatuses", "conditions")


def topology(preset: str = "Auto", *levels: Wire, **spec: Any) -> Wire:
    """The ClusterTopology `default`; levels make it Custom."""
    made = {"preset": "Custom", "levels": list(levels)} if levels else {"preset": preset}
    body = {"apiVersion": "muster.dev/v1alpha1", "kind": "ClusterTopology", "metadata": {"name": "default", "uid": "t"}}
    return body | {"spec": made | spec}


def level(name: str, label: str, **more: Any) -> Wire:
    """A level of a Custom topology."""
    return {"name": name, "nodeLabel": label, **more}


def role(
    replicas: int,
    requests: Mapping[str, str] | None = None,
    *,
    name: str = "worker",
    segments: Iterable[tuple[str, int | list[int]]] = (),
    required: str | None = None,
    preferred: str | None = None,
    ports: list[Wire] | None = None,
    **pod_spec: Any,
) -> Wire:
    """A role of a TrainingJob; four GPUs a pod unless said otherwise."""
    amounts = dict(requests if requests is not None else {GPU: "4"})
    container: Wire = {"name": "trainer", "image": "x", "resources": {"requests": amounts, "limits": amounts}}
    container |= {"ports": ports} if ports else {}
    shape: Wire = {}
    entries = [{"level": at, "size" if isinstance(size, int) else "sizes": size} for at, size in segments]
    shape |= {"segments": entries} if entries else {}
    shape |= {"required": {"level": required}} if required else {}
    shape |= {"preferred": {"level": preferred}} if preferred else {}
    template = {"spec": {"containers": [container]} | pod_spec}
    return {"name": name, "replicas": replicas, "template": template} | ({"topology": shape} if shape else {})


class Cluster:
    """A world made of wire objects."""

    def __init__(self, topology_: Wire, *objects: Iterable[Wire]) -> None:
        self.world = World()
        self.world.apply(Upsert(PriorityClass("muster-default", 1, 0, False), 0))
        self._jobs = 0
        self.put(topology_)
        for some in objects:
            self.put(*some)

    def put(self, *objects: Wire) -> None:
        """These objects are so now."""
        for each in objects:
            record = parse.record_from(each)
            assert record is not None, each["kind"]
            if isinstance(record, TopologySpec):
                assert not record.invalid, record.invalid
            self.world.apply(Upsert(record, 0))

    @property
    def levels(self) -> str:
        """The levels found, broadest first, in one text."""
        return " ".join(self.world.inventory.levels.names)

    @property
    def preset(self) -> str:
        """The preset in use or detected."""
        return self.world.inventory.levels.preset

    def survey(self) -> dict[str, tuple[int, int, int]]:
        """By level: domains, nodes in them, nodes without the label."""
        levels = self.world.inventory.levels
        nodes = (each for _, each in self.world.inventory.nodes())
        return {name: (domains, some, none) for name, domains, some, none in survey(levels, nodes)}

    def ask(self, *roles: Wire, **spec: Any) -> Found | Verdict:
        """Put a gang to the solver; its pods are admitted as they are rendered."""
        self._jobs += 1
        name = f"gang-{self._jobs}"
        meta = {"name": name, "namespace": "research", "uid": f"00000000-{name}", "resourceVersion": "1"}
        body = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": meta | {"generation": 1}}
        job = parse.job_from(body | {"spec": {"roles": list(roles)} | spec})
        assert isinstance(job, Job), job
        for i in range(len(job.roles)):
            rendered = json.dumps(render.dry_run_pod(job, i, self.world.topology)).encode()
            self.world.apply(Upsert(parse.admission(rendered, self.world.template_key(job, i), 0), 0))
        return self.world.solver.place(self.world.inventory.fork(), self.world.shape(job))

    def placed(self, *roles: Wire, **spec: Any) -> Found:
        """A gang that fits."""
        answer = self.ask(*roles, **spec)
        assert isinstance(answer, Found), answer
        return answer

    def refused(self, *roles: Wire, **spec: Any) -> Verdict:
        """A gang that does not."""
        answer = self.ask(*roles, **spec)
        assert isinstance(answer, Verdict), answer
        return answer

    def domains_of(self, found: Found, at: str, of: int = 0) -> list[str]:
        """The domain of each rank of a role at a level."""
        return [self.world.domains_of(name).get(at, name) for name in found.nodes[of]]


def numbers(verdict: Verdict, *names: str) -> dict[str, int | str | None]:
    """Some facts of a verdict, its reason first."""
    return {"reason": verdict.reason.value} | {name: verdict.number(name) for name in names}
