"""The built-in kinds other than pods: defaults, rules, and what is special about each."""

from __future__ import annotations

import base64
import re
from zlib import crc32

from muster.embedded import admission, quota, schema
from muster.embedded.behaviour import Behaviour, Causes, Labelled
from muster.embedded.kinds import CRDS, Kind, custom
from muster.embedded.metadata import bad, forbid, label_fault, required, unsupported
from muster.embedded.poddefaults import canonized
from muster.embedded.pods import Pods
from muster.embedded.state import Change, State
from muster.embedded.wire import Cause, Object, bad_request, forbidden

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
CRD_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_LARGEST_DATA = 1 << 20
"""Bytes of a ConfigMap's values."""
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_SERVICE_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)


class _Namespaces(Labelled):
    def default(self, obj: Object) -> None:
        name = obj["metadata"].get("name")
        if name:
            labels = obj["metadata"].setdefault("labels", {})
            labels[NAMESPACE_LABEL] = name

    def prepare(self, state: State, obj: Object) -> None:
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}

    def prepare_change(self, state: State, new: Object, old: Object, subresource: str) -> None:
        if subresource != "finalize":
            new["spec"] = old["spec"]


class _Nodes(Behaviour):
    status = False

    def default(self, obj: Object) -> None:
        if obj.get("spec") is None:
            obj["spec"] = {}
        status = obj.get("status")
        if status is None:
            status = obj["status"] = {}
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])
        canonized("Node", status.get("capacity"), status.get("allocatable"))

    def check(self, obj: Object) -> Causes:
        return _taints(obj)

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        yield from _taints(new)
        if old["spec"].get("providerID") and new["spec"].get("providerID") != old["spec"]["providerID"]:
            yield forbid("spec.providerID", 'node updates may not change providerID except from "" to valid')


def _taints(obj: Object) -> Causes:
    known = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate((obj.get("spec") or {}).get("taints") or ()):
        path = f"spec.taints[{index}]"
        if taint.get("effect") not in known:
            yield unsupported(f"{path}.effect", taint.get("effect") or "", known)
        if not taint.get("key"):
            yield required(f"{path}.key")
        if (taint.get("key"), taint.get("effect")) in seen:
            yield Cause(path, f"Duplicate value: {taint}", "FieldValueDuplicate")
        seen.add((taint.get("key") or "", taint.get("effect") or ""))


class _Services(Behaviour):
    returns_deleted = True
    create_on_update = True

    def name_fault(self, name: str) -> str:
        return "" if _SERVICE_NAME.fullmatch(name) else _SERVICE_RULE

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
        for key, value in (("sessionAffinity", "None"), ("type", "ClusterIP")):
            if not spec.get(key):
                spec[key] = value
        if spec["type"] != "ExternalName":
            spec.setdefault("internalTrafficPolicy", "Cluster")

    def prepare(self, state: State, obj: Object) -> None:
        spec = obj["spec"]
        obj["status"] = {"loadBalancer": {}}
        if spec["type"] == "ExternalName":
            return
        if not spec.get("clusterIP"):
            # An address that looks like one of a service range; nobody listens there.
            number = crc32(f"{obj['metadata'].get('namespace')}/{obj['metadata'].get('name')}".encode())
            spec["clusterIP"] = f"10.96.{number >> 8 & 255}.{number & 255}"
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def prepare_change(self, state: State, new: Object, old: Object, subresource: str) -> None:
        for part in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if not new["spec"].get(part) and part in old["spec"]:
                new["spec"][part] = old["spec"][part]

    def check(self, obj: Object) -> Causes:
        return _service(obj["spec"])

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        yield from _service(new["spec"])
        before, after = old["spec"], new["spec"]
        if before.get("type") != "ExternalName" and after.get("clusterIP") != before.get("clusterIP"):
            yield bad("spec.clusterIPs[0]", [after.get("clusterIP")], "may not change once set")


def _service(spec: Object) -> Causes:
    if not spec.get("ports") and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        yield required("spec.ports")
    ports = spec.get("ports") or []
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.get("name"):
            yield required(f"{path}.name")
        if port.get("name") and (fault := label_fault(port["name"])):
            yield bad(f"{path}.name", port["name"], fault)
        number = port.get("port") or 0
        if not 1 <= number <= 65535:
            yield bad(f"{path}.port", number, "must be between 1 and 65535, inclusive")


class _Events(Behaviour):
    create_on_update = True

    def default(self, obj: Object) -> None:
        obj.setdefault("involvedObject", {})
        obj.setdefault("source", {})
        for part in ("firstTimestamp", "lastTimestamp", "eventTime"):
            obj.setdefault(part, None)
        for part in ("reportingComponent", "reportingInstance"):
            obj.setdefault(part, "")

    def check(self, obj: Object) -> Causes:
        about, own = obj["involvedObject"].get("namespace") or "", obj["metadata"].get("namespace")
        if about != own and not (about == "" and own == "default"):
            yield bad("involvedObject.namespace", about, "does not match event.namespace")


class _Leases(Behaviour):
    create_on_update = True

    def default(self, obj: Object) -> None:
        if obj.get("spec") is None:
            obj["spec"] = {}
        _micro(obj["spec"])

    def check(self, obj: Object) -> Causes:
        return _lease(obj["spec"])

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        return _lease(new["spec"])


def _micro(spec: Object) -> None:
    for part in ("acquireTime", "renewTime"):
        text = spec.get(part)
        if text is not None and not _MICRO_TIME.fullmatch(text):
            raise bad_request(
                'Lease in version "v1" cannot be handled as a Lease: parsing time '
                f'"{text}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse it'
            )


def _lease(spec: Object) -> Causes:
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        yield bad("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    if transitions is not None and transitions < 0:
        yield bad("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


class _PriorityClasses(Behaviour):
    generation = True

    def default(self, obj: Object) -> None:
        obj.setdefault("value", 0)
        if not obj.get("preemptionPolicy"):
            obj["preemptionPolicy"] = "PreemptLowerPriority"
        if obj.get("globalDefault") is False:
            del obj["globalDefault"]

    def admit(self, state: State, obj: Object, change: Change) -> None:
        if obj.get("globalDefault"):
            held = [
                e.name
                for e in state.table("scheduling.k8s.io", "priorityclasses").scan("")
                if b'"globalDefault":true' in e.data
            ]
            if held:
                why = f"PriorityClass {held[0]} is already marked as default. Only one default can exist"
                raise forbidden("priorityclasses", "scheduling.k8s.io", obj["metadata"].get("name") or "", why)

    def check(self, obj: Object) -> Causes:
        name = obj["metadata"].get("name") or ""
        if name.startswith("system-") and obj["value"] < 2_000_000_000:
            yield forbid(
                "metadata.name",
                "priority class names with 'system-' prefix are reserved for system use only."
                f" error: {name} is not a known system priority class",
            )
        elif obj["value"] > 1_000_000_000 and not name.startswith("system-"):
            yield forbid("value", "maximum allowed value of a user defined priority is 1000000000")
        known = ("Never", "PreemptLowerPriority")
        if obj["preemptionPolicy"] not in known:
            yield unsupported("preemptionPolicy", obj["preemptionPolicy"], known)

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        if new.get("value") != old.get("value"):
            yield forbid("value", "may not be changed in an update.")
        if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
            yield bad("preemptionPolicy", new.get("preemptionPolicy"), "field is immutable")


class _RuntimeClasses(Behaviour):
    def default(self, obj: Object) -> None:
        canonized("RuntimeClass", (obj.get("overhead") or {}).get("podFixed"))

    def check(self, obj: Object) -> Causes:
        if fault := label_fault(obj.get("handler") or ""):
            yield bad("handler", obj.get("handler") or "", fault)

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        if new.get("handler") != old.get("handler"):
            yield bad("handler", new.get("handler"), "field is immutable")


class _Quotas(Behaviour):
    returns_deleted = True

    def default(self, obj: Object) -> None:
        if obj.get("spec") is None:
            obj["spec"] = {}
        canonized("ResourceQuota", obj["spec"].get("hard"))

    def prepare(self, state: State, obj: Object) -> None:
        obj["status"] = {}

    def check(self, obj: Object) -> Causes:
        return quota.check(obj["spec"])

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        return quota.check(new["spec"])


class _LimitRanges(Behaviour):
    create_on_update = True

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        admission.default_range(obj["spec"])


class _ConfigMaps(Behaviour):
    def check(self, obj: Object) -> Causes:
        return _bounded(obj)

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        yield from _bounded(new)
        if old.get("immutable"):
            for part in ("data", "binaryData"):
                if new.get(part) != old.get(part):
                    yield forbid(part, "field is immutable when `immutable` is set")
            if not new.get("immutable"):
                yield forbid("immutable", "field is immutable when `immutable` is set")


def _bounded(obj: Object) -> Causes:
    size = sum(len(value) for part in ("data", "binaryData") for value in (obj.get(part) or {}).values())
    if size > _LARGEST_DATA:
        yield Cause("[]", f"Too long: may not be more than {_LARGEST_DATA} bytes", "FieldValueTooLong")


class _Secrets(Behaviour):
    def default(self, obj: Object) -> None:
        if not obj.get("type"):
            obj["type"] = "Opaque"
        if obj.get("stringData"):
            added = {key: base64.b64encode(str(text).encode()).decode() for key, text in obj.pop("stringData").items()}
            obj["data"] = {**(obj.get("data") or {}), **added}


class _Claims(Behaviour):
    returns_deleted = True

    def prepare(self, state: State, obj: Object) -> None:
        obj["status"] = {"phase": "Pending"}


class _Returned(Behaviour):
    returns_deleted = True


class _Definitions(Behaviour):
    generation = True

    def default(self, obj: Object) -> None:
        names = (obj.get("spec") or {}).get("names") or {}
        if names.get("kind"):
            names.setdefault("singular", names["kind"].lower())
            names.setdefault("listKind", f"{names['kind']}List")
        if isinstance(obj.get("spec"), dict):
            obj["spec"].setdefault("conversion", {"strategy": "None"})

    def prepare(self, state: State, obj: Object) -> None:
        schema.check(custom(obj))
        spec = obj["spec"]
        obj["status"] = {
            "acceptedNames": spec["names"],
            "conditions": [
                {
                    "type": type,
                    "status": "True",
                    "lastTransitionTime": state.timestamp(),
                    "reason": reason,
                    "message": message,
                }
                for type, reason, message in (
                    ("NamesAccepted", "NoConflicts", "no conflicts found"),
                    ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
                )
            ],
            "storedVersions": [version["name"] for version in spec["versions"] if version.get("storage")],
        }
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if CRD_FINALIZER not in finalizers:
            finalizers.append(CRD_FINALIZER)

    def prepare_change(self, state: State, new: Object, old: Object, subresource: str) -> None:
        if subresource == "":
            schema.check(custom(new))
            if not new["metadata"].get("deletionTimestamp"):
                finalizers = new["metadata"].setdefault("finalizers", [])
                if CRD_FINALIZER not in finalizers:
                    finalizers.append(CRD_FINALIZER)


class _Custom(Behaviour):
    generation = True


_BEHAVIOURS: dict[tuple[str, str], Behaviour] = {
    ("", "namespaces"): _Namespaces(),
    ("", "nodes"): _Nodes(),
    ("", "pods"): Pods(),
    ("", "services"): _Services(),
    ("", "events"): _Events(),
    ("", "serviceaccounts"): _Returned(),
    ("", "configmaps"): _ConfigMaps(),
    ("", "secrets"): _Secrets(),
    ("", "resourcequotas"): _Quotas(),
    ("", "limitranges"): _LimitRanges(),
    ("", "persistentvolumes"): _Returned(),
    ("", "persistentvolumeclaims"): _Claims(),
    ("coordination.k8s.io", "leases"): _Leases(),
    ("scheduling.k8s.io", "priorityclasses"): _PriorityClasses(),
    ("node.k8s.io", "runtimeclasses"): _RuntimeClasses(),
    (CRDS, "customresourcedefinitions"): _Definitions(),
}
_PLAIN = Behaviour()
_CUSTOM = _Custom()


def behaviour(kind: Kind) -> Behaviour:
    """What is done to the objects of a kind."""
    return _CUSTOM if kind.crd is not None else _BEHAVIOURS.get((kind.group, kind.plural), _PLAIN)
