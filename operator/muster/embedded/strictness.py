"""Fields of built-in kinds that are not known: told as warnings or refused, and dropped, as the real server does.

What a pod may hold comes from Kubernetes' own schema of pod templates, which muster.api carries; of other kinds the
fields that are looked at are listed here. Below a field that is not listed anything goes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from muster.embedded.kinds import Kind
from muster.embedded.state import Change
from muster.embedded.wire import Object, bad_request

Schema = Mapping[str, Any]
ANY: Schema = {}

_META = (
    "name generateName namespace selfLink uid resourceVersion generation creationTimestamp deletionTimestamp "
    "deletionGracePeriodSeconds labels annotations ownerReferences finalizers managedFields"
)
_SPECS: Mapping[str, str] = {
    "Node": "podCIDR podCIDRs providerID unschedulable taints configSource externalID",
    "Service": "ports selector clusterIP clusterIPs type externalIPs sessionAffinity loadBalancerIP "
    "loadBalancerSourceRanges externalName externalTrafficPolicy healthCheckNodePort publishNotReadyAddresses "
    "sessionAffinityConfig ipFamilies ipFamilyPolicy allocateLoadBalancerNodePorts loadBalancerClass "
    "internalTrafficPolicy trafficDistribution",
    "Lease": "holderIdentity leaseDurationSeconds acquireTime renewTime leaseTransitions strategy preferredHolder",
    "Namespace": "finalizers",
    "ResourceQuota": "hard scopes scopeSelector",
    "LimitRange": "limits",
}
_TOP: Mapping[str, str] = {
    "Event": "involvedObject reason message source firstTimestamp lastTimestamp count type eventTime series action "
    "related reportingComponent reportingInstance",
    "ServiceAccount": "secrets imagePullSecrets automountServiceAccountToken",
    "ConfigMap": "data binaryData immutable",
    "Secret": "data stringData type immutable",
    "PriorityClass": "value globalDefault description preemptionPolicy",
    "RuntimeClass": "handler overhead scheduling",
    "StorageClass": "provisioner parameters reclaimPolicy mountOptions allowVolumeExpansion volumeBindingMode "
    "allowedTopologies",
}


@functools.cache
def _pod_spec() -> Schema:
    text = resources.files("muster.api").joinpath("data", "podtemplate.json").read_text(encoding="utf-8")
    found: Schema = json.loads(text)["properties"]["spec"]
    return found


def _fields(names: str) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), ANY)


@functools.cache
def schema(kind: str) -> Schema:
    """What is known of a kind: nested `properties`, as in a structural schema."""
    properties: dict[str, Schema] = {"kind": ANY, "apiVersion": ANY, "metadata": {"properties": _fields(_META)}}
    if kind in _TOP:
        properties |= _fields(_TOP[kind])
    else:
        properties |= {"spec": ANY, "status": ANY}
    if kind == "Pod":
        properties["spec"] = _pod_spec()
    elif kind in _SPECS:
        properties["spec"] = {"properties": _fields(_SPECS[kind])}
    return {"properties": properties}


def enforce(kind: Kind, obj: Object, change: Change) -> None:
    """Drop the unknown fields of an object. Under Strict StatusError (400), under Warn a warning each."""
    unknown: list[str] = []
    _walk(schema(kind.kind), obj, "", unknown)
    if not unknown or change.strict == "Ignore":
        return
    said = [f'unknown field "{path}"' for path in unknown]
    if change.strict == "Strict":
        raise bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: strict decoding error: '
            + ", ".join(said)
        )
    change.warnings += said


def _walk(known: Schema, value: Any, path: str, unknown: list[str]) -> None:
    if isinstance(value, dict):
        properties = known.get("properties")
        if properties is None:
            below = known.get("additionalProperties")
            if isinstance(below, dict) and "properties" in below:
                for name, item in value.items():
                    _walk(below, item, f"{path}.{name}", unknown)
            return
        for name in [name for name in value if name not in properties]:
            if known.get("x-kubernetes-preserve-unknown-fields"):
                continue
            unknown.append(f"{path}.{name}" if path else name)
            del value[name]
        for name, item in value.items():
            if isinstance(item, dict | list):
                _walk(properties.get(name, ANY), item, f"{path}.{name}" if path else name, unknown)
    elif isinstance(value, list):
        items = known.get("items")
        if items and ("properties" in items or "additionalProperties" in items):
            for index, item in enumerate(value):
                _walk(items, item, f"{path}[{index}]", unknown)
