"""OpenAPI v3 of the served kinds, as far as kubectl reads it: `explain`, and what `apply` and `create` validate with.

A custom kind has the schema of its CustomResourceDefinition. The built-in kinds have none here, only their names and
what they take: kubectl then merges by the types that are compiled into it, and `explain` says that fields are unknown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from muster.embedded.kinds import Kind, Kinds
from muster.embedded.wire import Object

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
"""Without strategic merge, even where it is served: offered here, kubectl would look for merge keys in the schema."""

_VALIDATION = {
    "name": "fieldValidation",
    "in": "query",
    "description": "How unknown and duplicate fields are handled: Ignore, Warn or Strict.",
    "schema": {"type": "string", "uniqueItems": True},
}
_API_VERSION = {"type": "string", "description": "Group and version of this representation of an object."}
_KIND = {"type": "string", "description": "The kind of this object, in CamelCase."}


def index(kinds: Kinds) -> Object:
    """The list of documents, each with a hash that changes with it, so that clients may keep what they have."""
    paths = {}
    for group, versions in kinds.groups().items():
        for version in versions:
            name = f"apis/{group}/{version}" if group else f"api/{version}"
            found = hashlib.sha256(msgspec.json.encode(document(kinds, name))).hexdigest().upper()
            paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={found}"}
    return {"paths": paths}


def document(kinds: Kinds, name: str) -> Object | None:
    """The document of one group and version, such as `api/v1` or `apis/muster.dev/v1alpha1`; None where it is none."""
    match name.split("/"):
        case ["api", version]:
            group = ""
        case ["apis", group, version]:
            pass
        case _:
            return None
    found = [kind for kind in kinds if kind.group == group and kind.version == version]
    if not found:
        return None
    paths: Object = {}
    schemas: Object = dict(_meta_schemas())
    for kind in sorted(found, key=lambda each: each.plural):
        paths.update(_paths(kind))
        schemas[_name(kind)] = _schema(kind)
        schemas[f"{_name(kind)}List"] = _list_schema(kind)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v0.1.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _name(kind: Kind) -> str:
    """Of a schema: the group backwards, version, kind."""
    if kind.crd is None:
        return f"io.k8s.api.{kind.group.split('.')[0] or 'core'}.{kind.version}.{kind.kind}"
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _ref(name: str) -> Object:
    return {"$ref": f"#/components/schemas/{name}"}


def _described_ref(name: str, description: str) -> Object:
    return {"description": description, "allOf": [_ref(name)]}


def _gvk(kind: Kind, suffix: str = "") -> Object:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind + suffix}


def _paths(kind: Kind) -> Iterator[tuple[str, Object]]:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    place = f"{root}/namespaces/{{namespace}}" if kind.namespaced else root
    if kind.verbs == ("create",):
        yield f"{place}/{kind.plural}", {"post": _operation(kind, "post", True)}
        return
    both = {"get": _operation(kind, "list", False, "List"), "post": _operation(kind, "post", True)}
    yield f"{place}/{kind.plural}", both
    if kind.namespaced:
        yield f"{root}/{kind.plural}", {"get": _operation(kind, "list", False, "List")}
    one = {
        "get": _operation(kind, "get", False),
        "put": _operation(kind, "put", True),
        "patch": _operation(kind, "patch", True),
        "delete": _operation(kind, "delete", False),
    }
    yield f"{place}/{kind.plural}/{{name}}", one
    if kind.status:
        yield f"{place}/{kind.plural}/{{name}}/status", {key: one[key] for key in ("get", "put", "patch")}


def _operation(kind: Kind, action: str, writes: bool, suffix: str = "") -> Object:
    answer = {"description": "OK", "content": {"application/json": {"schema": _ref(_name(kind) + suffix)}}}
    out: Object = {
        "responses": {"200": answer},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(kind),
    }
    if writes:
        out["parameters"] = [_VALIDATION]
        body = _ref(f"{META}.Patch" if action == "patch" else _name(kind))
        forms = PATCHES if action == "patch" else ("application/json",)
        out["requestBody"] = {"required": True, "content": {form: {"schema": body} for form in forms}}
    return out


def _schema(kind: Kind) -> Object:
    meta = {
        "apiVersion": _API_VERSION,
        "kind": _KIND,
        "metadata": _described_ref(f"{META}.ObjectMeta", "Standard object's metadata."),
    }
    known = kind.schema
    if known is None:
        rest = {"description": "The embedded server does not describe the fields of built-in kinds.", "type": "object"}
        return {
            **rest,
            "properties": meta,
            "x-kubernetes-preserve-unknown-fields": True,
            "x-kubernetes-group-version-kind": [_gvk(kind)],
        }
    properties = {**known.get("properties", {}), **meta}
    return {**known, "properties": properties, "x-kubernetes-group-version-kind": [_gvk(kind)]}


def _list_schema(kind: Kind) -> Object:
    return {
        "description": f"{kind.list_kind} is a list of {kind.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _API_VERSION,
            "kind": _KIND,
            "items": {"type": "array", "items": _ref(_name(kind)), "description": f"List of {kind.plural}."},
            "metadata": _described_ref(f"{META}.ListMeta", "Standard list metadata."),
        },
        "x-kubernetes-group-version-kind": [_gvk(kind, "List")],
    }


def _meta_schemas() -> Iterator[tuple[str, Object]]:
    def text(description: str, **more: object) -> Object:
        return {"type": "string", "description": description, **more}

    words = {"type": "object", "additionalProperties": {"type": "string"}}
    yield f"{META}.Time", {"type": "string", "format": "date-time", "description": "A time as RFC 3339 writes it."}
    yield f"{META}.Patch", {"type": "object", "description": "The body of a PATCH request."}
    yield (
        f"{META}.ListMeta",
        {
            "type": "object",
            "description": "What a list says of itself.",
            "properties": {
                "continue": text("Where the next page begins."),
                "remainingItemCount": {"type": "integer", "format": "int64", "description": "Items after this page."},
                "resourceVersion": text("The version of the list."),
            },
        },
    )
    yield (
        f"{META}.OwnerReference",
        {
            "type": "object",
            "description": "An owner of an object, in the same namespace or of the cluster.",
            "required": ["apiVersion", "kind", "name", "uid"],
            "properties": {
                "apiVersion": text("Of the owner."),
                "kind": text("Of the owner."),
                "name": text("Of the owner."),
                "uid": text("Of the owner."),
                "controller": {"type": "boolean", "description": "Whether it manages the object."},
                "blockOwnerDeletion": {"type": "boolean", "description": "Foreground deletion waits for the object."},
            },
        },
    )
    time = _described_ref(f"{META}.Time", "Set by the server.")
    yield (
        f"{META}.ObjectMeta",
        {
            "type": "object",
            "description": "Metadata that all objects have.",
            "properties": {
                "name": text("Unique within the namespace."),
                "generateName": text("Prefix of a name that the server makes unique."),
                "namespace": text("The space within which the name is unique."),
                "labels": {**words, "description": "Words to select objects by."},
                "annotations": {**words, "description": "Anything that tools keep with the object."},
                "finalizers": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Must be empty before the object is removed.",
                    "x-kubernetes-list-type": "set",
                },
                "ownerReferences": {
                    "type": "array",
                    "items": _ref(f"{META}.OwnerReference"),
                    "description": "With the last of them the object goes.",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["uid"],
                },
                "managedFields": {"type": "array", "items": {"type": "object"}, "description": "Who set which fields."},
                "uid": text("Unique over time. Set by the server."),
                "resourceVersion": text("The version of the object. Set by the server."),
                "generation": {"type": "integer", "format": "int64", "description": "Grows when the spec changes."},
                "creationTimestamp": time,
                "deletionTimestamp": time,
                "deletionGracePeriodSeconds": {
                    "type": "integer",
                    "format": "int64",
                    "description": "Grace in seconds.",
                },
            },
        },
    )
