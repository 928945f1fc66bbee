"""The domains of the cluster as contiguous runs of nodes.

Depth 0 is the whole cluster, 1..K the named levels, K + 1 the node. Nodes are ordered naturally by their paths, so that
every domain at every depth is a run `start[d] .. end[d]` of positions, and so are the children of a domain.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from muster.core.changes import since
from muster.core.inventory import ABSENT, OUTSIDE, Inventory
from muster.core.model import Node
from muster.core.topology import NODE, Levels, NaturalKey, natural

Ints = npt.NDArray[np.int64]
Path = tuple[str | None, ...]


def distinct(values: Ints) -> Ints:
    """Each of some ascending numbers once; several times faster than what numpy offers for few."""
    if len(values) < 2:
        return values
    first = np.empty(len(values), bool)
    first[0] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


def _parted(one: Path, two: Path, depth: int) -> bool:
    """Whether two neighbours lie in different domains of a named depth."""
    return one[depth - 1] is None or one[:depth] != two[:depth]


@dataclass(frozen=True, slots=True)
class Kinds:
    """Values that nodes share: the number of each, and per position which one (None where a label is missing)."""

    of: Ints
    numbers: Mapping[Any, int]


_FEW = 64
"""Nodes that may differ from an earlier tree for a tree to be made from it."""


@lru_cache(maxsize=1 << 14)
def _natural(name: str) -> NaturalKey:
    return natural(name)


def _order(path: Path, name: str) -> tuple[Any, ...]:
    """Where a node stands: naturally by its path, then by its name."""
    own = _natural(name)
    return tuple([(0, _natural(value)) if value is not None else (1, own) for value in path]), own


class Tree:
    """The domains of one ground of an inventory, with the nodes that were there when it was made. Never changes.

    `like`: an earlier tree of the same family of inventories; where few nodes differ from it, it is the beginning."""

    def __init__(self, inventory: Inventory, like: Tree | None = None) -> None:
        levels = inventory.levels
        self.levels: Levels = levels
        self.depths = len(levels.levels) + 1
        """The depth of nodes."""
        self.mark = inventory.mark()
        self._kinds: dict[str, Kinds] = {}
        if like is None or not self._continued(inventory, like):
            self._made(inventory)
        self.count = len(self.names)
        self.position = {name: i for i, name in enumerate(self.names)}
        self.place: Ints = np.full(inventory.size, -1, np.int64)
        """Position by row; -1 for rows whose node takes no part."""
        self.place[self.rows] = np.arange(self.count)
        self.start: list[Ints] = []
        """Per depth, first position of each domain, and the end of the last."""
        self.domain: list[Ints] = []
        """Per depth, the domain of each position."""
        for new in self._new:
            self.start.append(np.append(np.flatnonzero(new), self.count))
            self.domain.append(np.cumsum(new) - 1)
        self.children: list[Ints] = []
        """Per depth but the last, the first child of each domain, and the end of the last one's."""
        for depth in range(self.depths):
            below = self.domain[depth + 1]
            edges = self.start[depth]
            self.children.append(np.append(below[edges[:-1]], len(self.start[depth + 1]) - 1))

    def _made(self, inventory: Inventory) -> None:
        paths: dict[Path, Path] = {}
        entries = []
        for row, node in inventory.nodes():
            path = self.levels.path(node.labels)
            path = paths.setdefault(path, path)
            entries.append((_order(path, node.name), row, path, node))
        entries.sort(key=lambda e: e[0])
        self.names = [e[3].name for e in entries]
        self.labels: list[Mapping[str, str]] = [e[3].labels for e in entries]
        """Per position; they are what the ground is made of."""
        self.paths = [e[2] for e in entries]
        self.rows: Ints = np.array([e[1] for e in entries], np.int64)
        self.labelled = np.array([[value is not None for value in path] for path in self.paths], bool).reshape(
            len(entries), self.depths - 1
        )
        new = np.zeros(len(entries), bool)
        new[:1] = True
        self._new = [new]
        """Per depth, whether a domain begins at a position."""
        for depth in range(1, self.depths):
            self._new.append(new | ~self.labelled[:, depth - 1])
        for at, (one, two) in enumerate(pairwise(self.paths), 1):
            if one is not two:
                for depth in range(1, self.depths):
                    self._new[depth][at] |= _parted(one, two, depth)
        self._new.append(np.ones(len(entries), bool))

    def _continued(self, inventory: Inventory, like: Tree) -> bool:
        """Begin with another tree; False if too much differs from it."""
        if like.levels != self.levels:
            return False
        rows = since(like.mark, self.mark)
        if rows is None:
            return False
        gone: list[int] = []
        come: list[tuple[int, Node]] = []
        for row in set(rows):
            at = int(like.place[row]) if row < len(like.place) else -1
            node = inventory.at_row(row)
            if at >= 0 and node is not None and like.names[at] == node.name and like.labels[at] == node.labels:
                continue
            if at >= 0:
                gone.append(at)
            if node is not None:
                come.append((row, node))
            if len(gone) + len(come) > _FEW:
                return False
        self.names, self.labels, self.paths = like.names, like.labels, like.paths
        self.rows, self.labelled, self._new = like.rows, like.labelled, like._new
        if gone or come:
            self._edit(sorted(gone), come)
        return True

    def _edit(self, gone: list[int], come: list[tuple[int, Node]]) -> None:
        """Take some positions out and put some nodes in."""
        self.names, self.labels, self.paths = list(self.names), list(self.labels), list(self.paths)
        for at in reversed(gone):
            del self.names[at], self.labels[at], self.paths[at]
        self.rows, self.labelled = np.delete(self.rows, gone), np.delete(self.labelled, gone, 0)
        after = np.zeros(len(self._new[0]) + 1, bool)
        after[[at + 1 for at in gone]] = True
        stale = np.delete(after[:-1], gone)
        kept = [np.delete(new, gone) for new in self._new]
        for row, node in come:
            path = self.levels.path(node.labels)
            order = _order(path, node.name)
            at = bisect_left(range(len(self.names)), order, key=lambda i: _order(self.paths[i], self.names[i]))
            self.names.insert(at, node.name)
            self.labels.insert(at, node.labels)
            self.paths.insert(at, path)
            self.rows = np.insert(self.rows, at, row)
            self.labelled = np.insert(self.labelled, at, [value is not None for value in path], 0)
            stale = np.insert(stale, at, True)
            stale[at + 1 : at + 2] = True
            kept = [np.insert(new, at, True) for new in kept]
        for at in np.flatnonzero(stale).tolist():
            for depth in range(self.depths):
                kept[depth][at] = not at or (depth > 0 and _parted(self.paths[at - 1], self.paths[at], depth))
        self._new = kept

    def serves(self, inventory: Inventory) -> bool:
        """Whether this is a tree of the inventory, which is on the same ground: it holds all nodes that are here, and
        in every domain of the last named level some node is."""
        causes = inventory.causes()
        living = inventory.causes(self.rows) != ABSENT
        if int(living.sum()) != int(((causes != ABSENT) & (causes != OUTSIDE)).sum()):
            return False
        return not self.count or bool(np.logical_or.reduceat(living, self.start[self.depths - 1][:-1]).all())

    def domains(self, depth: int) -> int:
        """How many domains there are at a depth."""
        return len(self.start[depth]) - 1

    def level(self, depth: int) -> str:
        """The name of a depth; empty for the whole cluster."""
        if depth == 0:
            return ""
        return NODE if depth == self.depths else self.levels.levels[depth - 1].name

    def name(self, depth: int, domain: int, inventory: Inventory) -> str:
        """What people call a domain: its label's value, or its node's name where the label is missing."""
        if depth == 0:
            return ""
        at = int(self.start[depth][domain])
        name = self.names[at]
        if depth == self.depths or not self.labelled[at, depth - 1]:
            return name
        return self.paths[at][depth - 1] or name

    def kinds(self, key: str) -> Kinds:
        """The values of a label, and which node has which."""
        found = self._kinds.get(key)
        if found is None:
            values: list[Any] = [labels.get(key) for labels in self.labels]
            numbers = {value: i for i, value in enumerate(dict.fromkeys(values))}
            found = Kinds(np.fromiter(map(numbers.__getitem__, values), np.int64, self.count), numbers)
            self._kinds[key] = found
        return found

    def positions(self, rows: array[int]) -> Ints:
        """The positions of some rows, each once, in order; rows without one are left out."""
        asked = np.frombuffer(rows, np.int64) if rows else np.zeros(0, np.int64)
        if len(asked) and int(asked.max()) >= len(self.place):
            asked = asked[asked < len(self.place)]
        found = self.place[asked]
        found.sort()
        found = distinct(found)
        return found[1:] if len(found) and found[0] < 0 else found

    def sums(self, depth: int, values: Ints) -> Ints:
        """Per domain the sum of what its nodes have."""
        if not self.count:
            return np.zeros(self.domains(depth), np.int64)
        return np.add.reduceat(values, self.start[depth][:-1])
