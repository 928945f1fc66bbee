"""Apply YAML documents of any kind, by discovery, as `kubectl apply --server-side` does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from e2e.client import Client, Object, wait_for

ESTABLISHED_SECONDS = 20.0


def documents(directory: Path) -> list[Object]:
    """Return all documents of the *.yaml files below a directory, files in order of name."""
    found = []
    for path in sorted(directory.rglob("*.yaml")):
        found += [document for document in yaml.safe_load_all(path.read_text()) if document]
    return found


def path_of(client: Client, document: Object, namespace: str | None = None) -> str:
    """Return the path of the object that a document describes; asks the server which resource its kind is."""
    version, kind = document["apiVersion"], document["kind"]
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    for resource in client.get(prefix)["resources"]:
        if resource["kind"] == kind and "/" not in resource["name"]:
            meta = document["metadata"]
            where = meta.get("namespace") or namespace or "default"
            scope = f"/namespaces/{where}" if resource["namespaced"] else ""
            return f"{prefix}{scope}/{resource['name']}/{meta['name']}"
    raise LookupError(f"the server has no {kind} in {version}")


def apply(client: Client, wanted: Iterable[Object], namespace: str | None = None) -> list[Object]:
    """Apply each document, CRDs first and waited for; return what the server made of them."""
    ordered = sorted(wanted, key=lambda document: document["kind"] != "CustomResourceDefinition")
    applied = []
    for document in ordered:
        path = path_of(client, document, namespace)
        applied.append(client.apply(path, document))
        if document["kind"] == "CustomResourceDefinition":
            _wait_established(client, path)
    return applied


def _wait_established(client: Client, path: str) -> None:
    def established() -> bool:
        conditions = (client.get(path).get("status") or {}).get("conditions") or ()
        return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

    wait_for(established, ESTABLISHED_SECONDS, f"{path} is Established")
    definition = client.get(path)["spec"]
    version = next(each["name"] for each in definition["versions"] if each["served"])
    collection = f"/apis/{definition['group']}/{version}/{definition['names']['plural']}"
    # Established is said a moment before the server serves the kind.
    wait_for(lambda: client.send("GET", collection).status == 200, ESTABLISHED_SECONDS, f"{collection} is served")
