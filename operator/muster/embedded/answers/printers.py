"""kubectl's columns of the built-in kinds, cell by cell as kube-apiserver prints them."""

from __future__ import annotations

from typing import Any

from muster.embedded.ages import UNKNOWN, age
from muster.embedded.answers import storagecells
from muster.embedded.answers.cells import NONE, Cells, age_of, defined, name, part
from muster.embedded.answers.podcells import pod_cells
from muster.embedded.wire import Object

_ROLE_PREFIX = "node-role.kubernetes.io/"


def _plain(each: Object, now: int) -> list[Any]:
    return [name(each), age_of(each, now)]


def _namespace(each: Object, now: int) -> list[Any]:
    return [name(each), part(each, "status").get("phase", ""), age_of(each, now)]


def _node(each: Object, now: int) -> list[Any]:
    spec, status = part(each, "spec"), part(each, "status")
    ready = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if spec.get("unschedulable"):
        words.append("SchedulingDisabled")
    labels = each.get("metadata", {}).get("labels") or {}
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles.add(labels.get("kubernetes.io/role", ""))
    roles.discard("")
    info = status.get("nodeInfo") or {}
    kernel = info.get("kernelVersion") or UNKNOWN
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"

    def address(kind: str) -> str:
        return next((a["address"] for a in status.get("addresses") or () if a.get("type") == kind), NONE)

    return [
        name(each),
        ",".join(words),
        ",".join(sorted(roles)) or NONE,
        age_of(each, now),
        info.get("kubeletVersion", ""),
        address("InternalIP"),
        address("ExternalIP"),
        info.get("osImage") or UNKNOWN,
        kernel,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _service(each: Object, now: int) -> list[Any]:
    spec = part(each, "spec")
    kind = spec.get("type") or "ClusterIP"
    external = ",".join(spec.get("externalIPs") or ())
    match kind:
        case "ClusterIP" | "NodePort":
            external = external or NONE
        case "LoadBalancer":
            ingress = (part(each, "status").get("loadBalancer") or {}).get("ingress") or ()
            found = sorted({i.get("ip") or i.get("hostname") or "" for i in ingress} - {""})
            external = ",".join([*found, *([external] if external else [])]) or "<pending>"
        case "ExternalName":
            external = spec.get("externalName", "")
        case _:
            external = UNKNOWN
    ports = []
    for port in spec.get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node}/{port.get('protocol') or 'TCP'}")
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items()))
    inside = (spec.get("clusterIPs") or [spec.get("clusterIP")])[0] or NONE
    return [name(each), kind, inside, external, ",".join(ports) or NONE, age_of(each, now), selector or NONE]


def _event(each: Object, now: int) -> list[Any]:
    first = age(each.get("firstTimestamp") or each.get("eventTime"), now)
    last = age(each["lastTimestamp"], now) if each.get("lastTimestamp") else first
    count = each.get("count") or 1
    series = each.get("series")
    if series:
        last, count = age(series.get("lastObservedTime"), now), series.get("count", 0)
    involved = each.get("involvedObject") or {}
    target = str(involved.get("kind", "")).lower()
    if involved.get("name"):
        target += f"/{involved['name']}"
    source = each.get("source") or {}
    component = source.get("component") or each.get("reportingComponent") or ""
    instance = source.get("host") or each.get("reportingInstance") or ""
    return [
        last,
        each.get("type", ""),
        each.get("reason", ""),
        target,
        involved.get("fieldPath", ""),
        f"{component}, {instance}" if instance else component,
        str(each.get("message", "")).strip(),
        first,
        count,
        name(each),
    ]


def _lease(each: Object, now: int) -> list[Any]:
    return [name(each), part(each, "spec").get("holderIdentity") or "", age_of(each, now)]


def _priority_class(each: Object, now: int) -> list[Any]:
    policy = each.get("preemptionPolicy") or ""
    return [name(each), each.get("value", 0), bool(each.get("globalDefault")), age_of(each, now), policy]


def _definition(each: Object, now: int) -> list[Any]:
    spec = part(each, "spec")
    names = spec.get("names") or {}
    versions = [f"{v['name']}(storage)" if v.get("storage") else str(v["name"]) for v in spec.get("versions") or ()]
    conditions = part(each, "status").get("conditions") or ()
    return [
        name(each),
        spec.get("scope"),
        ",".join(versions),
        each.get("metadata", {}).get("creationTimestamp"),
        spec.get("group"),
        names.get("kind"),
        ",".join(names.get("shortNames") or ()),
        any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions),
    ]


def _config_map(each: Object, now: int) -> list[Any]:
    return [name(each), len(each.get("data") or ()) + len(each.get("binaryData") or ()), age_of(each, now)]


def _secret(each: Object, now: int) -> list[Any]:
    return [name(each), each.get("type", ""), len(each.get("data") or ()), age_of(each, now)]


def _quota(each: Object, now: int) -> list[Any]:
    status = part(each, "status")
    hard, used = status.get("hard") or {}, status.get("used") or {}
    shown = {name: f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)}
    limits = ", ".join(text for name, text in shown.items() if name.startswith("limits."))
    requests = ", ".join(text for name, text in shown.items() if not name.startswith("limits."))
    return [name(each), requests, limits, age_of(each, now)]


def _limit_range(each: Object, _: int) -> list[Any]:
    return [name(each), each.get("metadata", {}).get("creationTimestamp")]


def _runtime_class(each: Object, now: int) -> list[Any]:
    return [name(each), each.get("handler", ""), age_of(each, now)]


BUILT_IN: dict[tuple[str, str], tuple[tuple[Object, ...], Cells]] = {
    ("", ""): (defined("Name", "Age"), _plain),
    ("", "pods"): (
        defined(
            "Name",
            "Ready",
            "Status",
            "Restarts",
            "Age",
            "+IP",
            "+Node",
            "+Nominated Node",
            "+Readiness Gates",
        ),
        pod_cells,
    ),
    ("", "nodes"): (
        defined(
            "Name",
            "Status",
            "Roles",
            "Age",
            "Version",
            "+Internal-IP",
            "+External-IP",
            "+OS-Image",
            "+Kernel-Version",
            "+Container-Runtime",
        ),
        _node,
    ),
    ("", "namespaces"): (defined("Name", "Status", "Age"), _namespace),
    ("", "services"): (
        defined("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"),
        _service,
    ),
    ("", "events"): (
        defined(
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "+Subobject",
            "+Source",
            "Message",
            "+First Seen",
            "+Count",
            "+Name",
        ),
        _event,
    ),
    ("", "configmaps"): (defined("Name", "Data", "Age"), _config_map),
    ("", "secrets"): (defined("Name", "Type", "Data", "Age"), _secret),
    ("", "resourcequotas"): (defined("Name", "Request", "Limit", "Age"), _quota),
    ("", "limitranges"): (defined("Name", "Created At:date"), _limit_range),
    ("", "persistentvolumes"): (
        defined(
            "Name",
            "Capacity",
            "Access Modes",
            "Reclaim Policy",
            "Status",
            "Claim",
            "StorageClass",
            "VolumeAttributesClass",
            "Reason",
            "Age",
            "+VolumeMode",
        ),
        storagecells.volume,
    ),
    ("", "persistentvolumeclaims"): (
        defined(
            "Name",
            "Status",
            "Volume",
            "Capacity",
            "Access Modes",
            "StorageClass",
            "VolumeAttributesClass",
            "Age",
            "+VolumeMode",
        ),
        storagecells.claim,
    ),
    ("coordination.k8s.io", "leases"): (defined("Name", "Holder", "Age"), _lease),
    ("scheduling.k8s.io", "priorityclasses"): (
        defined("Name", "Value:integer", "Global-Default:boolean", "Age", "PreemptionPolicy"),
        _priority_class,
    ),
    ("node.k8s.io", "runtimeclasses"): (defined("Name", "Handler", "Age"), _runtime_class),
    ("storage.k8s.io", "storageclasses"): (
        defined(
            "Name",
            "Provisioner",
            "ReclaimPolicy",
            "VolumeBindingMode",
            "AllowVolumeExpansion:boolean",
            "Age",
        ),
        storagecells.storage_class,
    ),
    ("storage.k8s.io", "csinodes"): (defined("Name", "Drivers:integer", "Age"), storagecells.csi_node),
    ("apiextensions.k8s.io", "customresourcedefinitions"): (
        defined(
            "Name",
            "Scope",
            "Versions",
            "Created At:date",
            "+Group",
            "+Kind",
            "+ShortNames",
            "+Established:boolean",
        ),
        _definition,
    ),
}
"""(group, plural) -> columns and cells; the entry of two empty words is for every other kind."""
