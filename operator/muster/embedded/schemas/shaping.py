"""What happens to a custom object before it is judged: unknown fields go, nulls go, defaults come."""

from __future__ import annotations

import copy
from typing import Any, cast

from muster.embedded.schemas.structural import META_FIELDS, Node
from muster.embedded.wire import Object

METADATA = frozenset(
    [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "managedFields",
    ]
)
OWNER = frozenset(["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"])


def prune(node: Node, new: Object) -> list[str]:
    """Remove, in place, every field of an object that its schema does not know; return their paths, sorted."""
    unknown: list[str] = []
    metadata = new.get("metadata")
    if isinstance(metadata, dict):
        _keep(metadata, METADATA, "metadata", unknown)
        for index, each in enumerate(metadata.get("ownerReferences") or ()):
            if isinstance(each, dict):
                _keep(each, OWNER, f"metadata.ownerReferences[{index}]", unknown)
    below: list[str] = []
    if not node.preserve:
        for name in [name for name in new if name not in META_FIELDS]:
            part = node.below(name)
            if part is None:
                below.append(name)
                del new[name]
            else:
                _prune(part, new[name], name, below)
    return sorted(unknown) + sorted(below)


def _keep(held: dict[str, Any], known: frozenset[str], path: str, unknown: list[str]) -> None:
    for name in [name for name in held if name not in known]:
        unknown.append(f"{path}.{name}")
        del held[name]


def _prune(node: Node, value: Any, path: str, unknown: list[str]) -> None:
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        for name in list(held):
            part = node.below(name)
            if part is not None:
                _prune(part, held[name], f"{path}.{name}", unknown)
            elif not node.preserve:
                unknown.append(f"{path}.{name}")
                del held[name]
    elif isinstance(value, list):
        if node.items is not None:
            for index, item in enumerate(value):
                _prune(node.items, item, f"{path}[{index}]", unknown)
        elif not node.preserve:
            for index, item in enumerate(value):
                _prune(_NOTHING, item, f"{path}[{index}]", unknown)


_NOTHING = Node()


def drop_nulls(node: Node | None, value: Any) -> None:
    """Remove, in place, nulls in fields that are neither nullable nor have a default."""
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        for name in list(held):
            part = node.below(name) if node is not None else None
            item = held[name]
            if item is None:
                if part is not None and not part.nullable and not part.has_default:
                    del held[name]
            elif isinstance(item, dict | list):
                drop_nulls(part, item)
    elif isinstance(value, list):
        for item in value:
            drop_nulls(node.items if node is not None else None, item)


def fill(node: Node, value: Any) -> None:
    """Set defaults, in place; a null in a field that is not nullable is absent."""
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        for name, part in node.properties.items():
            if part.has_default and (name not in held or (held[name] is None and not part.nullable)):
                held[name] = copy.deepcopy(part.default)
        for name, item in held.items():
            part_ = node.below(name)
            if part_ is None:
                continue
            if item is None and not part_.nullable and part_.has_default:
                held[name] = item = copy.deepcopy(part_.default)
            if isinstance(item, dict | list):
                fill(part_, item)
    elif isinstance(value, list) and node.items is not None:
        for index, item in enumerate(value):
            if item is None and not node.items.nullable and node.items.has_default:
                value[index] = item = copy.deepcopy(node.items.default)
            fill(node.items, item)
