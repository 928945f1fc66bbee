"""Nodes, PriorityClasses, ResourceQuotas and Services."""

from __future__ import annotations

from sys import intern

import msgspec

from muster.core.model import Child, Node, PriorityClass, Quota
from muster.kube.parse_meta import Meta, Slim, millis, version
from muster.kube.quantity import Written, amounts, resources
from muster.kube.requests import taint

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
CLEAR_BLAME = "muster.dev/clear-blame"
"""The annotation by which an administrator says that what a node was blamed for before this time is mended."""
_WELL = {
    "Ready": "True",
    "MemoryPressure": "False",
    "DiskPressure": "False",
    "PIDPressure": "False",
    "NetworkUnavailable": "False",
}
"""The kubelet's own conditions, which every node has, when all is well: not kept."""


class _Taint(msgspec.Struct, gc=False, rename="camel"):
    key: str
    effect: str = ""
    value: str | None = None
    time_added: str | None = None


class _NodeSpec(msgspec.Struct):
    taints: list[_Taint] | None = None
    unschedulable: bool = False


class _Condition(msgspec.Struct, gc=False, rename="camel"):
    type: str
    status: str
    last_transition_time: str | None = None


class _NodeStatus(msgspec.Struct):
    allocatable: dict[str, Written] | None = None
    conditions: list[_Condition] | None = None


class _Annotations(msgspec.Struct, gc=False):
    clear_blame: str | None = msgspec.field(name=CLEAR_BLAME, default=None)


class _NodeMeta(Meta, rename="camel"):
    annotations: _Annotations | None = None


class NodeItem(Slim):
    """A Node."""

    metadata: _NodeMeta
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


def node_of(item: NodeItem) -> Node:
    """The record of a node."""
    meta, taints = item.metadata, item.spec.taints or ()
    return Node(
        name=meta.name,
        uid=meta.uid,
        rv=version(meta.resource_version),
        labels=meta.labels or {},
        allocatable=resources(amounts(item.status.allocatable or {})),
        taints=tuple(taint(t.key, t.value, t.effect, t.time_added) for t in taints),
        cordoned=item.spec.unschedulable,
        unready_since=_unready_since(item),
        out_of_service=any(t.key == OUT_OF_SERVICE for t in taints),
        conditions=_conditions(item),
        cleared=millis(meta.annotations.clear_blame) if meta.annotations is not None else None,
    )


def _conditions(item: NodeItem) -> tuple[tuple[str, str, int], ...]:
    """What health rules may name. A node that carries Node Problem Detector's has dozens: their names are shared."""
    created = millis(item.metadata.creation_timestamp) or 0
    found = []
    for condition in item.status.conditions or ():
        if _WELL.get(condition.type) != condition.status:
            since = millis(condition.last_transition_time)
            found.append((intern(condition.type), intern(condition.status), created if since is None else since))
    return tuple(found)


def _unready_since(item: NodeItem) -> int | None:
    created = millis(item.metadata.creation_timestamp) or 0
    for condition in item.status.conditions or ():
        if condition.type == "Ready":
            if condition.status == "True":
                return None
            since = millis(condition.last_transition_time)
            return created if since is None else since
    return created


class ClassItem(Slim, rename="camel"):
    """A PriorityClass."""

    value: int = 0
    preemption_policy: str | None = None


def priority_class_of(item: ClassItem) -> PriorityClass:
    """The record of a PriorityClass."""
    return PriorityClass(
        item.metadata.name, version(item.metadata.resource_version), item.value, item.preemption_policy != "Never"
    )


class _QuotaSpec(msgspec.Struct, rename="camel"):
    hard: dict[str, Written] | None = None
    scopes: list[str] | None = None
    scope_selector: dict[str, object] | None = None


class _QuotaStatus(msgspec.Struct):
    hard: dict[str, Written] | None = None
    used: dict[str, Written] | None = None


class QuotaItem(Slim):
    """A ResourceQuota."""

    spec: _QuotaSpec = msgspec.field(default_factory=_QuotaSpec)
    status: _QuotaStatus = msgspec.field(default_factory=_QuotaStatus)


def quota_of(item: QuotaItem) -> Quota | None:
    """The record of a ResourceQuota; None with scopes, which would have to be judged pod by pod.

    A limit of zero stays in `hard`, against the rule of Resources: without it the name would count as unlimited.
    """
    if item.spec.scopes or item.spec.scope_selector:
        return None
    meta = item.metadata
    used = item.status.used or {}
    hard: dict[str, int] = {}
    spent: dict[str, int] = {}
    for written, quantity in (item.status.hard or item.spec.hard or {}).items():
        if (name := pod_resource(written)) is None:
            continue
        # Read by the resource's own name: cpu is counted in thousandths under either spelling.
        limit = amounts({name: quantity}).get(name)
        if limit is None:
            continue
        taken = amounts({name: used.get(written, 0)}).get(name, 0)
        # Two spellings of one resource (`cpu`, `requests.cpu`): the one that leaves less binds.
        if name not in hard or limit - taken < hard[name] - spent[name]:
            hard[name], spent[name] = limit, taken
    return Quota(
        meta.namespace,
        meta.name,
        meta.uid,
        version(meta.resource_version),
        tuple(sorted(hard.items())),
        resources(spent),
    )


def pod_resource(name: str) -> str | None:
    """What a quota's name is called among a pod's requests; None for limits, storage and counts of other kinds."""
    if name in ("pods", "count/pods"):
        return "pods"
    if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
        return name
    rest = name.removeprefix("requests.")
    return rest if rest != name and rest != "storage" else None


class ServiceItem(Slim):
    """A Service."""


def child_of(item: ServiceItem) -> Child | None:
    """The record of a Service that a TrainingJob owns."""
    meta = item.metadata
    owner = next((o for o in meta.owner_references or () if o.is_job), None)
    if owner is None:
        return None
    return Child(
        meta.uid,
        meta.namespace,
        meta.name,
        version(meta.resource_version),
        owner.uid,
        terminating=meta.deletion_timestamp is not None,
    )
