"""The structural schema of `roles[].template`, and what of a pod's spec muster takes.

The full schema is package data, derived from Kubernetes by `derive_podtemplate`. Every field of a pod's spec is either
in `ALLOWED` or in `REFUSED` (a test holds this), so a new Kubernetes version forces a decision, and a refused field is
refused by name instead of being pruned in silence.
"""

import copy
import functools
import json
from importlib import resources

from muster.api.base import Schema

ALLOWED = frozenset(
    {
        "affinity",
        "automountServiceAccountToken",
        "containers",
        "dnsConfig",
        "dnsPolicy",
        "enableServiceLinks",
        "hostAliases",
        "hostIPC",
        "hostNetwork",
        "imagePullSecrets",
        "initContainers",
        "nodeSelector",
        "priorityClassName",
        "resources",
        "restartPolicy",
        "runtimeClassName",
        "schedulerName",
        "securityContext",
        "serviceAccountName",
        "shareProcessNamespace",
        "terminationGracePeriodSeconds",
        "tolerations",
        "volumes",
    }
)

# Field of a pod's spec -> why not, and what to do instead; printed after "<field> is refused: ".
REFUSED = {
    "activeDeadlineSeconds": "a pod's own deadline would break the gang; set spec.activeDeadlineSeconds of the job.",
    "ephemeralContainers": "they are added to running pods; use `kubectl debug`.",
    "evictionResponders": "muster ends a gang as a whole and supports no responder of a single pod; remove it.",
    "hostPID": "it is not supported; remove it.",
    "hostUsers": "it is not supported; remove it.",
    "hostname": "muster names every pod's host so that rank 0 has a stable DNS name; read MUSTER_ADDR_<ROLE>.",
    "hostnameOverride": "muster names every pod's host so that rank 0 has a stable DNS name; read MUSTER_ADDR_<ROLE>.",
    "nodeName": "muster chooses the nodes, and a pod with nodeName passes by the scheduler; use nodeSelector, "
    "required node affinity or topology.",
    "os": "muster places Linux pods only; remove it, and select nodes with nodeSelector.",
    "overhead": "it comes from the RuntimeClass; set runtimeClassName.",
    "preemptionPolicy": "it comes from the job's PriorityClass; set spec.priorityClassName.",
    "priority": "it comes from the job's PriorityClass; set spec.priorityClassName.",
    "readinessGates": "muster does not wait for readiness; use a readinessProbe.",
    "resourceClaims": "muster does not count the devices of any device class yet, so it could place pods where none is "
    "left; request devices as resources of the containers, such as nvidia.com/gpu.",
    "schedulingGates": "muster gates the pods itself to start the gang at once; to hold the job back set spec.suspend.",
    "schedulingGroup": "muster schedules the gang itself; remove it.",
    "serviceAccount": "it is deprecated; use serviceAccountName.",
    "setHostnameAsFQDN": "muster names every pod's host; remove it.",
    "subdomain": "muster points it at the job's own Service; read MUSTER_ADDR_<ROLE>.",
    "topologySpreadConstraints": "the pods are pinned to the nodes that muster chose; use topology.required, "
    "topology.preferred or topology.segments.",
}
# The same for the fields of affinity.
REFUSED_AFFINITY = {
    "podAffinity": "the pods are pinned to the nodes that muster chose; use topology.required or topology.preferred.",
    "podAntiAffinity": "the pods are pinned to the nodes that muster chose; use topology, or required node affinity.",
}
PREFERRED_NODE_AFFINITY = "the pods are pinned to the nodes that muster chose; use topology.preferred or nodeSelector."
REFUSED_METADATA = ("name", "generateName", "namespace", "finalizers", "ownerReferences")


@functools.cache
def _stored() -> Schema:
    text = resources.files("muster.api").joinpath("data", "podtemplate.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    spec = schema["properties"]["spec"]["properties"]
    for name in REFUSED:
        spec[name] = _by_name_only(spec[name])
    affinity = spec["affinity"]["properties"]
    for name in REFUSED_AFFINITY:
        affinity[name] = _by_name_only(affinity[name])
    node = affinity["nodeAffinity"]["properties"]
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    node[preferred] = _by_name_only(node[preferred])
    terms = node["requiredDuringSchedulingIgnoredDuringExecution"]["properties"]["nodeSelectorTerms"]["items"]
    terms["properties"]["matchFields"] = _by_name_only(terms["properties"]["matchFields"])
    return schema


def pod_template_schema() -> Schema:
    """Return a copy of the structural schema of a pod template, refused fields reduced to name and type."""
    return copy.deepcopy(_stored())


def pod_spec_fields() -> frozenset[str]:
    """Return the names of all fields of a pod's spec that the Kubernetes version in use knows."""
    return frozenset(_stored()["properties"]["spec"]["properties"])


def _by_name_only(schema: Schema) -> Schema:
    """Reduce the schema of a refused field to what is needed to see that it is there."""
    if schema["type"] == "object":
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if schema["type"] == "array":
        items = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return {"type": "array", "maxItems": schema["maxItems"], "items": items}
    return {key: schema[key] for key in ("type", "format", "maxLength") if key in schema}
