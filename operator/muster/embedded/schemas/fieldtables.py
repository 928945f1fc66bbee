"""The fields of the built-in kinds and their types, as structural schemas.

What a pod's spec holds comes from Kubernetes' own schema of pod templates, which muster.api carries; of the other kinds
what is looked at is listed here. Below a field whose type is left open anything goes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

Schema = Mapping[str, Any]
ANY: Schema = {}
_S: Schema = {"type": "string"}
_I: Schema = {"type": "integer"}
_B: Schema = {"type": "boolean"}
_Q: Schema = {"x-kubernetes-int-or-string": True}
_NOT_SPEC: Schema = {"type": "object"}


def _object(**fields: Schema) -> Schema:
    return {"type": "object", "properties": fields}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _all(kind: Schema, names: str) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), kind)


_OWNER = _object(**_all(_S, "apiVersion kind name uid"), **_all(_B, "controller blockOwnerDeletion"))
META = _object(
    **_all(_S, "name generateName namespace selfLink uid resourceVersion creationTimestamp deletionTimestamp"),
    **_all(_I, "generation deletionGracePeriodSeconds"),
    **_all(_map(_S), "labels annotations"),
    ownerReferences=_list(_OWNER),
    finalizers=_list(_S),
    managedFields=_list(ANY),
)
_CONDITION = _object(
    **_all(_S, "type status reason message lastTransitionTime lastProbeTime lastHeartbeatTime lastUpdateTime"),
    observedGeneration=_I,
)
_REFERENCE = _object(**_all(_S, "kind namespace name uid apiVersion resourceVersion fieldPath"))
_LIMIT = _object(type=_S, **_all(_map(_Q), "max min default defaultRequest maxLimitRequestRatio"))
_SERVICE_PORT = _object(**_all(_S, "name protocol appProtocol"), **_all(_I, "port nodePort"), targetPort=_Q)
_SERVICE = _object(
    ports=_list(_SERVICE_PORT),
    selector=_map(_S),
    **_all(
        _S,
        "clusterIP type sessionAffinity loadBalancerIP externalName externalTrafficPolicy ipFamilyPolicy "
        "loadBalancerClass internalTrafficPolicy trafficDistribution",
    ),
    **_all(_list(_S), "clusterIPs externalIPs loadBalancerSourceRanges ipFamilies"),
    **_all(_B, "publishNotReadyAddresses allocateLoadBalancerNodePorts"),
    healthCheckNodePort=_I,
    sessionAffinityConfig=ANY,
)
_TAINT = _object(**_all(_S, "key value effect timeAdded"))
_NODE = _object(
    **_all(_S, "podCIDR providerID externalID"),
    podCIDRs=_list(_S),
    unschedulable=_B,
    taints=_list(_TAINT),
    configSource=ANY,
)
_LEASE = _object(
    **_all(_S, "holderIdentity acquireTime renewTime strategy preferredHolder"),
    **_all(_I, "leaseDurationSeconds leaseTransitions"),
)
_STATE = _object(
    waiting=_object(**_all(_S, "reason message")),
    running=_object(startedAt=_S),
    terminated=_object(**_all(_I, "exitCode signal"), **_all(_S, "reason message startedAt finishedAt containerID")),
)
_CONTAINER_STATUS = {
    "type": "object",
    "properties": {
        "name": _S,
        "state": _STATE,
        "lastState": _STATE,
        "ready": _B,
        "started": _B,
        "restartCount": _I,
        **_all(_S, "image imageID containerID"),
        **_all(ANY, "allocatedResources resources volumeMounts user allocatedResourcesStatus stopSignal"),
    },
}
_POD_STATUS = _object(
    **_all(_S, "phase message reason nominatedNodeName hostIP podIP startTime qosClass resize"),
    observedGeneration=_I,
    conditions=_list(_CONDITION),
    **_all(_list(_CONTAINER_STATUS), "containerStatuses initContainerStatuses ephemeralContainerStatuses"),
    **_all(_list(_object(ip=_S)), "hostIPs podIPs"),
    **_all(
        ANY,
        "resourceClaimStatuses extendedResourceClaimStatus allocatedResources resources "
        "nodeAllocatableResourceClaimStatuses",
    ),
)
_NODE_STATUS = _object(
    **_all(_map(_Q), "capacity allocatable"),
    phase=_S,
    conditions=_list(_CONDITION),
    addresses=_list(_object(type=_S, address=_S)),
    **_all(
        ANY,
        "daemonEndpoints nodeInfo images volumesInUse volumesAttached config runtimeHandlers features declaredFeatures",
    ),
)
_NAMES = _object(**_all(_S, "plural singular kind listKind"), **_all(_list(_S), "shortNames categories"))
_VERSION = {
    "type": "object",
    "properties": {
        "name": _S,
        **_all(_B, "served storage deprecated"),
        "deprecationWarning": _S,
        "schema": _object(openAPIV3Schema=_NOT_SPEC),
        "subresources": _object(status=_NOT_SPEC, scale=_NOT_SPEC),
        "additionalPrinterColumns": _list(_object(**_all(_S, "name type format description jsonPath"), priority=_I)),
        "selectableFields": _list(_object(jsonPath=_S)),
    },
}
_CRD = _object(group=_S, names=_NAMES, scope=_S, versions=_list(_VERSION), conversion=ANY, preserveUnknownFields=_B)
_TOLERATION = _object(**_all(_S, "key operator value effect"), tolerationSeconds=_I)

_BODIES: Mapping[str, dict[str, Schema]] = {
    "Namespace": {"spec": _object(finalizers=_list(_S)), "status": _NOT_SPEC},
    "Node": {"spec": _NODE, "status": _NODE_STATUS},
    "Service": {"spec": _SERVICE, "status": _NOT_SPEC},
    "Lease": {"spec": _LEASE},
    "ResourceQuota": {
        "spec": _object(hard=_map(_Q), scopes=_list(_S), scopeSelector=ANY),
        "status": _object(hard=_map(_Q), used=_map(_Q)),
    },
    "LimitRange": {"spec": _object(limits=_list(_LIMIT))},
    "Event": {
        "involvedObject": _REFERENCE,
        "related": _REFERENCE,
        "source": _object(component=_S, host=_S),
        **_all(
            _S,
            "reason message firstTimestamp lastTimestamp type eventTime action reportingComponent reportingInstance",
        ),
        "count": _I,
        "series": ANY,
    },
    "ServiceAccount": {
        "secrets": _list(_REFERENCE),
        "imagePullSecrets": _list(_object(name=_S)),
        "automountServiceAccountToken": _B,
    },
    "ConfigMap": {"data": _map(_S), "binaryData": _map(_S), "immutable": _B},
    "Secret": {"data": _map(_S), "stringData": _map(_S), "type": _S, "immutable": _B},
    "PriorityClass": {"value": _I, "globalDefault": _B, "description": _S, "preemptionPolicy": _S},
    "RuntimeClass": {
        "handler": _S,
        "overhead": _object(podFixed=_map(_Q)),
        "scheduling": _object(nodeSelector=_map(_S), tolerations=_list(_TOLERATION)),
    },
    "StorageClass": {
        **_all(_S, "provisioner reclaimPolicy volumeBindingMode"),
        "parameters": _map(_S),
        "mountOptions": _list(_S),
        "allowVolumeExpansion": _B,
        "allowedTopologies": ANY,
    },
    "CustomResourceDefinition": {"spec": _CRD, "status": _NOT_SPEC},
}
_OPEN: dict[str, Schema] = {"spec": _NOT_SPEC, "status": _NOT_SPEC}


@functools.cache
def _pod_spec() -> Schema:
    text = resources.files("muster.api").joinpath("data", "podtemplate.json").read_text(encoding="utf-8")
    found: Schema = json.loads(text)["properties"]["spec"]
    return found


@functools.cache
def schema(kind: str) -> Schema:
    """What is known of a built-in kind."""
    properties: dict[str, Schema] = {"kind": _S, "apiVersion": _S, "metadata": META}
    properties |= {"spec": _pod_spec(), "status": _POD_STATUS} if kind == "Pod" else _BODIES.get(kind, _OPEN)
    return {"type": "object", "properties": properties}
