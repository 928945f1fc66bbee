"""The built-in kinds other than pods: defaults, rules, and what is special about each."""

from __future__ import annotations

import re

from muster.embedded.builtin import admission, quota
from muster.embedded.builtin.behaviour import Behaviour, Causes, Labelled
from muster.embedded.builtin.classes import PriorityClasses, RuntimeClasses
from muster.embedded.builtin.datakinds import ConfigMaps, Secrets
from muster.embedded.builtin.definitions import Definitions
from muster.embedded.builtin.poddefaults import canonized
from muster.embedded.builtin.pods import Pods
from muster.embedded.builtin.services import Services
from muster.embedded.kinds import CRDS, Kind
from muster.embedded.metadata import bad, forbid, required, unsupported
from muster.embedded.storage.state import State
from muster.embedded.wire import Cause, Object, bad_request

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


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


class _Claims(Behaviour):
    returns_deleted = True

    def prepare(self, state: State, obj: Object) -> None:
        obj["status"] = {"phase": "Pending"}


class _Returned(Behaviour):
    returns_deleted = True


class _Custom(Behaviour):
    generation = True


_BEHAVIOURS: dict[tuple[str, str], Behaviour] = {
    ("", "namespaces"): _Namespaces(),
    ("", "nodes"): _Nodes(),
    ("", "pods"): Pods(),
    ("", "services"): Services(),
    ("", "events"): _Events(),
    ("", "serviceaccounts"): _Returned(),
    ("", "configmaps"): ConfigMaps(),
    ("", "secrets"): Secrets(),
    ("", "resourcequotas"): _Quotas(),
    ("", "limitranges"): _LimitRanges(),
    ("", "persistentvolumes"): _Returned(),
    ("", "persistentvolumeclaims"): _Claims(),
    ("coordination.k8s.io", "leases"): _Leases(),
    ("scheduling.k8s.io", "priorityclasses"): PriorityClasses(),
    ("node.k8s.io", "runtimeclasses"): RuntimeClasses(),
    (CRDS, "customresourcedefinitions"): Definitions(),
}
_PLAIN = Behaviour()
_CUSTOM = _Custom()


def behaviour(kind: Kind) -> Behaviour:
    """What is done to the objects of a kind."""
    return _CUSTOM if kind.crd is not None else _BEHAVIOURS.get((kind.group, kind.plural), _PLAIN)
