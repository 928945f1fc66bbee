"""Derive the structural PodTemplateSpec schema from Kubernetes' own OpenAPI document.

Run by hand when the Kubernetes version moves, never at run time:

    python -m muster.api.derive_podtemplate OPENAPI_JSON OUTPUT_JSON

`OPENAPI_JSON` is `api/openapi-spec/v3/api__v1_openapi.json` of the Kubernetes source tree. The output is checked in
as package data. Why a full schema at all: under `x-kubernetes-preserve-unknown-fields` a CEL rule `self == oldSelf`
misses swapped keys, so immutability would have a hole.
"""

import json
import sys
from pathlib import Path

from muster.api.base import Schema, quantity

ROOT = "io.k8s.api.core.v1.PodTemplateSpec"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

# Cost estimates and the 256 KiB limit of a spec ask for bounds that Kubernetes itself leaves open. They are set far
# above practice. 131072 is Linux' limit on one argument or variable.
MAX_STRING = 4096
LONG_STRINGS = {"command": 131072, "args": 131072, "value": 131072}
SHORT_STRINGS = {"name": 253, "priorityClassName": 253, "schedulerName": 253, "restartPolicy": 32, "hostname": 253}
MAX_ITEMS = 64
LIST_BOUNDS = {"containers": 16, "initContainers": 16, "env": 512, "ports": 128, "volumeMounts": 128, "volumes": 128}
LIST_BOUNDS |= {"command": 512, "args": 512, "tolerations": 64, "values": 4096}
MAX_PROPERTIES = 128

KEPT = ("type", "format", "enum", "required", "nullable")
KEPT_EXTENSIONS = ("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")
# Of the metadata of a template (and of an ephemeral volume's claim) only labels and annotations mean something; the
# rest stands here by name so that a rule can refuse it. `creationTimestamp: null` is what kubectl prints.
METADATA_STRINGS = ("name", "generateName", "namespace", "creationTimestamp")
METADATA_LISTS = {"finalizers": "string", "ownerReferences": "object"}


def derive(openapi: Schema) -> Schema:
    """Return the structural schema of PodTemplateSpec: references inlined, descriptions stripped, sizes bounded.

    Raises KeyError if the document does not hold a schema that PodTemplateSpec refers to.
    """
    schemas: Schema = openapi["components"]["schemas"]
    template = _convert(schemas[ROOT], schemas, "")
    template["required"] = ["spec"]
    template["properties"]["spec"]["properties"]["containers"]["minItems"] = 1
    return template


def _metadata() -> Schema:
    text = {"type": "string", "maxLength": MAX_STRING}
    properties: Schema = {name: dict(text) for name in METADATA_STRINGS}
    for name, kind in METADATA_LISTS.items():
        items = dict(text) if kind == "string" else {"type": kind, "x-kubernetes-preserve-unknown-fields": True}
        properties[name] = {"type": "array", "maxItems": MAX_ITEMS, "items": items}
    label = {"type": "string", "maxLength": 63}
    properties["labels"] = {"type": "object", "maxProperties": MAX_PROPERTIES, "additionalProperties": label}
    note = {"type": "string", "maxLength": 65536}
    properties["annotations"] = {"type": "object", "maxProperties": MAX_PROPERTIES, "additionalProperties": note}
    return {"type": "object", "properties": dict(sorted(properties.items()))}


def _convert(node: Schema, schemas: Schema, name: str) -> Schema:
    """Convert one node; `name` is the field that holds it, by which strings and lists are bounded."""
    reference = node.get("$ref") or next((part["$ref"] for part in node.get("allOf", ()) if "$ref" in part), None)
    if reference:
        target = reference.rsplit("/", 1)[-1]
        if target == QUANTITY:
            return quantity()
        if target == INT_OR_STRING:
            return {
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "maxLength": MAX_STRING,
                "x-kubernetes-int-or-string": True,
            }
        if target == OBJECT_META:
            return _metadata()
        return _convert(schemas[target], schemas, name)
    out: Schema = {key: node[key] for key in (*KEPT, *KEPT_EXTENSIONS) if key in node}
    if out["type"] == "string":
        out["maxLength"] = LONG_STRINGS.get(name) or SHORT_STRINGS.get(name, MAX_STRING)
    elif out["type"] == "array":
        out["maxItems"] = LIST_BOUNDS.get(name, MAX_ITEMS)
        out["items"] = _convert(node["items"], schemas, name)
        _settle_keys(out, node["items"], schemas)
    elif "additionalProperties" in node:
        out["maxProperties"] = MAX_PROPERTIES
        out["additionalProperties"] = _convert(node["additionalProperties"], schemas, name)
    elif properties := node.get("properties", {}):
        out["properties"] = {key: _convert(properties[key], schemas, key) for key in sorted(properties)}
    return out


def _settle_keys(out: Schema, items: Schema, schemas: Schema) -> None:
    """Require the keys of a list of type map, as a CRD must where it gives them no default.

    It gives none: the API server of pods sets defaults, and a template should stay as it was written. A list one of
    whose keys has a default there (`protocol` of ports) is taken as one value.
    """
    keys = out.get("x-kubernetes-list-map-keys", ())
    if not keys:
        return
    reference = items.get("$ref") or items["allOf"][0]["$ref"]
    original = schemas[reference.rsplit("/", 1)[-1]]
    if any(original["properties"][key].get("default") for key in keys):
        del out["x-kubernetes-list-map-keys"]
        out["x-kubernetes-list-type"] = "atomic"
        return
    out["items"]["required"] = sorted({*out["items"].get("required", ()), *keys})


def main(source: str, target: str) -> None:
    """Read the OpenAPI document at `source` and write the derived schema to `target`."""
    schema = derive(json.loads(Path(source).read_text()))
    Path(target).write_text(json.dumps(schema, sort_keys=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
