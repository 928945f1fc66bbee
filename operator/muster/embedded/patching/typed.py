"""What server-side apply knows of the shape of an object: which lists have keys, which are sets, what is one value.

`Place` answers for one spot of a kind. Custom kinds are as their schema says; built-in ones as the table below says,
which has what Kubernetes' own types declare for the kinds that are served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from muster.embedded.kinds import Kind
from muster.embedded.schemas.structural import Node
from muster.embedded.wire import Object

_SEVERAL: Mapping[str, tuple[str, ...]] = {
    "containers.ports": ("containerPort", "protocol"),
    "initContainers.ports": ("containerPort", "protocol"),
    "ephemeralContainers.ports": ("containerPort", "protocol"),
    "spec.ports": ("port", "protocol"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""End of a path -> keys, where server-side apply has more of them than strategic merge."""
_ATOMIC = frozenset(
    [
        "selector",
        "nodeSelector",
        "labelSelector",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preference",
        "involvedObject",
        "related",
        "claimRef",
        "secretRef",
        "configMapKeyRef",
        "secretKeyRef",
        "fieldRef",
        "resourceFieldRef",
    ]
)
"""Fields whose objects are one value."""
_KEY_DEFAULTS = {"protocol": "TCP"}
_MAPS = frozenset(
    (
        "labels", "annotations", "data", "binaryData", "stringData", "limits", "requests", "hard", "used", "capacity",
        "allocatable", "overhead", "podFixed", "parameters",
    )
)  # fmt: skip
"""Fields that hold names of the user's choice."""


@dataclass(frozen=True, slots=True)
class Place:
    """A spot of a kind: `node` for custom kinds (None below what a schema leaves open), else `path` in `keys`."""

    node: Node | None = None
    keys: Mapping[str, str] | None = None
    path: str = ""

    @staticmethod
    def root(kind: Kind, node: Node | None) -> Place:
        """The object as a whole; `node` is the compiled schema of a custom kind."""
        return Place(node=node, keys=kind.merge_keys if node is None else None)

    def field(self, name: str) -> Place:
        """The place of a field."""
        if self.node is not None:
            if not self.path and name == "metadata":
                return Place(keys=_META, path="metadata")
            below = self.node.below(name)
            return Place(node=below, path=f"{self.path}.{name}")
        return Place(keys=self.keys, path=f"{self.path}.{name}" if self.path else name)

    def item(self) -> Place:
        """The place of a list's entries."""
        if self.node is not None:
            return Place(node=self.node.items, path=self.path)
        return self

    def list_keys(self) -> tuple[str, ...] | None:
        """Keys of a list's entries; none for a set; None where the list is one value."""
        if self.node is not None:
            match self.node.list_type:
                case "map":
                    return self.node.list_keys
                case "set":
                    return ()
                case _:
                    return None
        if self.keys is None or self.path not in self.keys:
            return None
        for end, several in _SEVERAL.items():
            if self.path == end or self.path.endswith(f".{end}"):
                return several
        key = self.keys[self.path]
        return (key,) if key else ()

    def whole(self) -> bool:
        """Whether an object here is one value."""
        if self.node is not None:
            return self.node.atomic_map
        return self.keys is not None and self.path.rpartition(".")[2] in _ATOMIC

    def map(self) -> bool:
        """Whether an object here holds names of the user's choice, rather than fields."""
        if self.node is not None:
            return not self.node.properties
        return self.keys is None or self.path.rpartition(".")[2] in _MAPS

    def knows(self, name: str) -> bool:
        """Whether there may be a field of this name."""
        if self.node is None or self.node.preserve or self.node.below(name) is not None:
            return True
        return not self.path and name in ("apiVersion", "kind", "metadata")

    def key_of(self, item: Object) -> Object:
        """The keys of a list's entry, absent ones with their default. Raises KeyError with one that has none."""
        found: Object = {}
        for key in self.list_keys() or ():
            if key in item:
                found[key] = item[key]
                continue
            default = self._default(key)
            if default is None:
                raise KeyError(key)
            found[key] = default
        return found

    def _default(self, key: str) -> Any:
        if self.node is None:
            return _KEY_DEFAULTS.get(key)
        inner = self.node.items.properties.get(key) if self.node.items is not None else None
        return inner.default if inner is not None and inner.has_default else None


_META: Mapping[str, str] = {"metadata.ownerReferences": "uid", "metadata.finalizers": ""}
