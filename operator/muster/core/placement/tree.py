"""The domains of the cluster as contiguous runs of nodes.

Depth 0 is the whole cluster, 1..K the named levels, K + 1 the node. Nodes are ordered naturally by their paths, so that
every domain at every depth is a run `start[d] .. end[d]` of positions, and so are the children of a domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from muster.core.inventory import Inventory
from muster.core.topology import NODE, Levels, NaturalKey, natural

Ints = npt.NDArray[np.int64]


def distinct(values: Ints) -> Ints:
    """Each of some ascending numbers once; several times faster than what numpy offers for few."""
    if len(values) < 2:
        return values
    first = np.empty(len(values), bool)
    first[0] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


@dataclass(frozen=True, slots=True)
class Kinds:
    """Values that nodes share: the number of each, and per position which one (None where a label is missing)."""

    of: Ints
    numbers: Mapping[Any, int]


class Tree:
    """The domains of one epoch of an inventory. Never changes."""

    def __init__(self, inventory: Inventory) -> None:
        levels = inventory.levels
        self.levels: Levels = levels
        self.depths = len(levels.levels) + 1
        """The depth of nodes."""
        keys: dict[str, NaturalKey] = {}

        def key(name: str) -> NaturalKey:
            found = keys.get(name)
            if found is None:
                found = keys[name] = natural(name)
            return found

        entries = []
        for row, node in inventory.nodes():
            path = levels.path(node.labels)
            own = key(node.name)
            order = tuple((0, key(value)) if value is not None else (1, own) for value in path)
            entries.append((order, own, row, path, node))
        entries.sort(key=lambda e: (e[0], e[1]))
        self.count = len(entries)
        self.nodes = [e[4] for e in entries]
        """The nodes' records when the epoch began: labels, taints and allocatable are theirs as long as it lasts."""
        self._kinds: dict[str, Kinds] = {}
        self.names = [node.name for node in self.nodes]
        self.rows: Ints = np.array([e[2] for e in entries], np.int64)
        self.position = {name: i for i, name in enumerate(self.names)}
        self.place: Ints = np.full(inventory.size, -1, np.int64)
        """Position by row; -1 for rows whose node takes no part."""
        self.place[self.rows] = np.arange(self.count)
        self.labelled = np.array([[value is not None for value in e[3]] for e in entries], bool).reshape(
            self.count, self.depths - 1
        )
        self.start: list[Ints] = []
        """Per depth, first position of each domain, and the end of the last."""
        self.domain: list[Ints] = []
        """Per depth, the domain of each position."""
        new = np.zeros(self.count, bool)
        new[:1] = True
        for depth in range(self.depths + 1):
            if 1 <= depth < self.depths:
                changed = [a[0][depth - 1] != b[0][depth - 1] for a, b in pairwise(entries)]
                new = new | np.array([True, *changed][: self.count], bool)
            elif depth == self.depths:
                new = np.ones(self.count, bool)
            self.start.append(np.append(np.flatnonzero(new), self.count))
            self.domain.append(np.cumsum(new) - 1)
        self.children: list[Ints] = []
        """Per depth but the last, the first child of each domain, and the end of the last one's."""
        for depth in range(self.depths):
            below = self.domain[depth + 1]
            edges = self.start[depth]
            self.children.append(np.append(below[edges[:-1]], len(self.start[depth + 1]) - 1))

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
        node = inventory.node(name)
        value = None if node is None else self.levels.path(node.labels)[depth - 1]
        return value or name

    def kinds(self, key: str) -> Kinds:
        """The values of a label (for the empty key: the sets of taints), and which node has which."""
        found = self._kinds.get(key)
        if found is None:
            values: list[Any] = [node.labels.get(key) if key else node.taints for node in self.nodes]
            numbers = {value: i for i, value in enumerate(dict.fromkeys(values))}
            found = Kinds(np.fromiter(map(numbers.__getitem__, values), np.int64, self.count), numbers)
            self._kinds[key] = found
        return found

    def positions(self, rows: list[int]) -> Ints:
        """The positions of some rows, each once, in order; rows without one are left out."""
        asked = np.array(rows, np.int64)
        found = distinct(np.sort(self.place[asked[asked < len(self.place)]]))
        return found[found >= 0]

    def sums(self, depth: int, values: Ints) -> Ints:
        """Per domain the sum of what its nodes have."""
        if not self.count:
            return np.zeros(self.domains(depth), np.int64)
        return np.add.reduceat(values, self.start[depth][:-1])
