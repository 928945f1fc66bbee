"""Which labels the levels rest on, counted as nodes come and go: so that it is known at once when levels could change.

`topology.resolve` looks at a few label keys only, of each only at whether somebody carries a value that counts, and
prefers nodes with accelerators. A node's *testimony* is what it says about that; few are distinct.
"""

from __future__ import annotations

from collections.abc import Iterable

from muster.core.model import Node, TopologySpec
from muster.core.topology import CLIQUE, PRESETS, takes_part

Testimony = tuple[bool, tuple[tuple[str, str], ...]]
"""Whether the node has accelerators, and its labels of interest: values that count as any are `*`."""

_LABELS = frozenset(
    {CLIQUE, "topology.kubernetes.io/region", "topology.kubernetes.io/zone"}.union(
        label for levels in PRESETS.values() for level in levels for label in level.labels
    )
)
_VOID = frozenset({""}.union(v for levels in PRESETS.values() for level in levels for v in level.placeholders))


class Evidence:
    """The testimonies of the nodes that take part, under one ClusterTopology."""

    __slots__ = ("_counts", "_labels", "_spec", "_void", "_wanted", "sum")

    def __init__(self, spec: TopologySpec | None, nodes: Iterable[Node] = ()) -> None:
        self._spec = spec
        own = spec.levels if spec is not None else ()
        self._labels = _LABELS.union(label for level in own for label in level.labels)
        self._void = _VOID.union(value for level in own for value in level.placeholders)
        self._wanted = frozenset(spec.accelerators if spec is not None else ())
        self._counts: dict[Testimony, int] = {}
        for node in nodes:
            self._count(node, 1)
        self.sum = self._summed()
        """What all of them say together. The levels are the same while it is the same."""

    def fork(self) -> Evidence:
        """An independent copy."""
        other = Evidence.__new__(Evidence)
        other._spec, other._labels, other._void, other._wanted = self._spec, self._labels, self._void, self._wanted
        other._counts, other.sum = dict(self._counts), self.sum
        return other

    def move(self, old: Node | None, new: Node | None) -> bool:
        """A node comes, goes or becomes another. Returns whether the levels can be others now."""
        known = len(self._counts)
        gone = old is not None and self._count(old, -1)
        if new is not None:
            self._count(new, 1)
        if not gone and len(self._counts) == known:
            return False
        before, self.sum = self.sum, self._summed()
        return before != self.sum

    def _count(self, node: Node, by: int) -> bool:
        """Returns whether this was the last of its kind."""
        if self._spec is None or not takes_part(self._spec, node):
            return False
        labels, void = node.labels, self._void
        told = tuple([(key, labels[key] if labels[key] in void else "*") for key in labels if key in self._labels])
        has = any(amount > 0 and resource in self._wanted for resource, amount in node.allocatable)
        key = (has, told if len(told) < 2 else tuple(sorted(told)))
        left = self._counts.get(key, 0) + by
        if left:
            self._counts[key] = left
        else:
            del self._counts[key]
        return not left

    def _summed(self) -> frozenset[tuple[str, str]]:
        able = [told for has, told in self._counts if has] or [told for _, told in self._counts]
        return frozenset(pair for told in able for pair in told)
