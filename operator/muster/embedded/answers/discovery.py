"""What clients ask before they ask for objects: versions, groups, resources, health, and OpenAPI through `openapi`.

Clients of today take the aggregated form (one list of everything, `apidiscovery.k8s.io/v2`), older ones a document a
group and one a version; both come from the one table of kinds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from muster.embedded.answers.openapi import document, index
from muster.embedded.kinds import Kind, Kinds
from muster.embedded.wire import JSON, Object, Response, not_acceptable

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TEXT = "text/plain; charset=utf-8"
HEALTH = ("/healthz", "/livez", "/readyz")
CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""In the order in which the real server lists them for custom kinds."""

# Subresource -> (kind, its group and version where they differ from the resource's, verbs).
_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "binding": ("Binding", "", "", ("create",)),
    "eviction": ("Eviction", "policy", "v1", ("create",)),
    "finalize": ("Namespace", "", "", ("update",)),
    "log": ("", "", "", ("get",)),
}
_READ_AND_WRITE = ("get", "patch", "update")

_answers: WeakKeyDictionary[Kinds, tuple[int, dict[tuple[str, bool], Response]]] = WeakKeyDictionary()


def discover(kinds: Kinds, path: str, accept: str, version: str) -> Response | None:
    """Answer a GET for a path of discovery; None where the path is not one of those.

    version -- what the server calls itself, such as `v1.37.1`.
    """
    if path in HEALTH or path.startswith(tuple(f"{each}/" for each in HEALTH)):
        return Response(200, b"ok", TEXT)
    if path == "/version":
        return _json(_version(version))
    aggregated = path in ("/api", "/apis") and _wants_aggregated(accept)
    made_at, held = _answers.get(kinds, (-1, {}))
    if made_at != kinds.version:
        held = {}
        _answers[kinds] = (kinds.version, held)
    key = (path, aggregated)
    if key not in held:
        made = _make(kinds, path, aggregated)
        if made is None:
            return None
        held[key] = made
    return held[key]


def _wants_aggregated(accept: str) -> bool:
    wanted = set(AGGREGATED.split(";"))
    return any(wanted == {part.strip() for part in each.split(";")} for each in accept.split(","))


def _make(kinds: Kinds, path: str, aggregated: bool) -> Response | None:
    if aggregated:
        return _tagged(_aggregated(kinds, core=path == "/api"), AGGREGATED)
    fixed: dict[str, Callable[[], Object]] = {
        "/": lambda: {"paths": _paths(kinds)},
        "/api": lambda: {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": lambda: {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(name, versions) for name, versions in _named(kinds).items()],
        },
        "/openapi/v3": lambda: index(kinds),
    }
    if path in fixed:
        return _json(fixed[path]())
    if path == "/openapi/v2":
        # kubectl asks for it in protobuf alone, and goes on without it when it is refused.
        return not_acceptable(()).response()
    where = path.strip("/").split("/")
    if where[:2] == ["openapi", "v3"]:
        found = document(kinds, "/".join(where[2:]))
        return None if found is None else _tagged(found, JSON)
    groups = kinds.groups()
    match where:
        case ["apis", group] if group in groups:
            return _json({"kind": "APIGroup", "apiVersion": "v1", **_group(group, groups[group])})
        case ["api", "v1"]:
            return _json(_resources(kinds, "", "v1"))
        case ["apis", group, version] if version in groups.get(group, ()):
            return _json(_resources(kinds, group, version))
    return None


def _json(body: Object) -> Response:
    return Response(200, msgspec.json.encode(body))


def _tagged(body: Object, content_type: str) -> Response:
    data = msgspec.json.encode(body)
    tag = hashlib.sha256(data).hexdigest().upper()
    return Response(200, data, content_type, (("ETag", f'"{tag}"'), ("Vary", "Accept")))


def _version(version: str) -> Object:
    major, minor, *_ = version.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": version,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "muster/embedded",
    }


def _named(kinds: Kinds) -> dict[str, list[str]]:
    return {name: versions for name, versions in kinds.groups().items() if name}


def _group(name: str, versions: list[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _paths(kinds: Kinds) -> list[str]:
    groups = [f"/apis/{name}" for name in _named(kinds)]
    versions = [f"/apis/{name}/{version}" for name, found in _named(kinds).items() for version in found]
    return sorted(["/api", "/api/v1", "/apis", "/openapi/v3", "/version", *HEALTH, *groups, *versions])


def verbs(kind: Kind) -> list[str]:
    """What can be done with a kind, in the order in which the real server says it."""
    return list(kind.verbs if kind.crd is None else CUSTOM_VERBS)


def _described(kind: Kind) -> Object:
    out: Object = {}
    if kind.short_names:
        out["shortNames"] = list(kind.short_names)
    if kind.categories:
        out["categories"] = list(kind.categories)
    return out


def _of(kinds: Kinds, group: str, version: str) -> list[Kind]:
    return sorted((k for k in kinds if k.group == group and k.version == version), key=lambda kind: kind.plural)


def _sub(kind: Kind, name: str) -> tuple[str, str, str, tuple[str, ...]]:
    """The kind, group, version and verbs of a subresource."""
    found, group, version, allowed = _SUBRESOURCES.get(name, (kind.kind, "", "", _READ_AND_WRITE))
    return found or kind.kind, group, version, allowed


def _resources(kinds: Kinds, group: str, version: str) -> Object:
    listed: list[Object] = []
    for kind in _of(kinds, group, version):
        base: Object = {"namespaced": kind.namespaced}
        listed.append(
            {
                "name": kind.plural,
                "singularName": kind.singular,
                **base,
                "kind": kind.kind,
                "verbs": verbs(kind),
                **_described(kind),
            }
        )
        for name in sorted(kind.subresources):
            found, sub_group, sub_version, allowed = _sub(kind, name)
            other = {"group": sub_group, "version": sub_version} if sub_group else {}
            listed.append(
                {
                    "name": f"{kind.plural}/{name}",
                    "singularName": "",
                    **base,
                    **other,
                    "kind": found,
                    "verbs": list(allowed),
                }
            )
    api_version = f"{group}/{version}" if group else version
    head = {"kind": "APIResourceList", "apiVersion": "v1"} if group else {"kind": "APIResourceList"}
    return {**head, "groupVersion": api_version, "resources": listed}


def _aggregated(kinds: Kinds, core: bool) -> Object:
    groups = {"": ["v1"]} if core else _named(kinds)
    items = [
        {
            "metadata": {"name": name} if name else {},
            "versions": [
                {
                    "version": version,
                    "resources": [_aggregated_resource(kind) for kind in _of(kinds, name, version)],
                    "freshness": "Current",
                }
                for version in versions
            ],
        }
        for name, versions in groups.items()
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_resource(kind: Kind) -> Object:
    def response(name: str, group: str, version: str) -> Object:
        return {"group": group or kind.group, "version": version or kind.version, "kind": name}

    out: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": response(kind.kind, "", ""),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": verbs(kind),
        **_described(kind),
    }
    if kind.subresources:
        out["subresources"] = []
        for name in sorted(kind.subresources):
            found, group, version, allowed = _sub(kind, name)
            out["subresources"].append(
                {"subresource": name, "responseKind": response(found, group, version), "verbs": list(allowed)}
            )
    return out
