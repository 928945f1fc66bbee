"""Curves by number: tables of equal extents, and sums that know what they were made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from muster.core.placement.exact.arrays import INFINITE, Ints, State, added
from muster.core.placement.exact.meter import Meter

EMPTY = 0
"""The part in which nothing lies."""


@dataclass(slots=True)
class Parts:
    """All curves of one search. A part is a row of a table; `left` and `right` are the parts that a sum was made of."""

    meter: Meter
    _tables: list[Ints] = field(default_factory=list)
    _table: list[int] = field(default_factory=lambda: [-1])
    _row: list[int] = field(default_factory=lambda: [0])
    left: list[int] = field(default_factory=lambda: [EMPTY])
    right: list[int] = field(default_factory=lambda: [EMPTY])
    _known: dict[tuple[int, int], int] = field(default_factory=dict)

    def put(self, table: Ints) -> Ints:
        """Number the curves of a table."""
        first = len(self._table)
        number = len(self._tables)
        self._tables.append(table)
        self._table += [number] * len(table)
        self._row += range(len(table))
        self.left += [EMPTY] * len(table)
        self.right += [EMPTY] * len(table)
        return np.arange(first, first + len(table))

    def curve(self, part: int) -> Ints:
        """One curve."""
        found: Ints = self._tables[self._table[part]][self._row[part]]
        return found

    def curves(self, parts: Ints) -> Ints:
        """Several as one table, the shorter filled up."""
        tables = [self._table[part] for part in parts.tolist()]
        rows = np.array([self._row[part] for part in parts.tolist()])
        if len(set(tables)) == 1:
            found: Ints = self._tables[tables[0]][rows]
            return found
        where = np.array(tables)
        mine = {number: self._tables[number] for number in dict.fromkeys(tables)}
        extents = [max(table.shape[i] for table in mine.values()) for i in range(1, next(iter(mine.values())).ndim)]
        out = np.full((len(parts), *extents), INFINITE, np.int64)
        for number, table in mine.items():
            at = np.flatnonzero(where == number)
            inside: tuple[Any, ...] = (at, *(slice(0, extent) for extent in table.shape[1:]))
            out[inside] = table[rows[at]]
        return out

    def sums(self, left: Ints, right: Ints, caps: State) -> Ints:
        """The sum of each pair; equal pairs once."""
        out = np.where(left == EMPTY, right, left)
        open_ = np.flatnonzero((left != EMPTY) & (right != EMPTY))
        if not len(open_):
            return out
        pairs = list(zip(left[open_].tolist(), right[open_].tolist(), strict=True))
        fresh = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for pair in fresh:
            groups.setdefault((self._table[pair[0]], self._table[pair[1]]), []).append(pair)
        for (one, two), mine in groups.items():
            a = self._tables[one][[self._row[x] for x, _ in mine]]
            b = self._tables[two][[self._row[y] for _, y in mine]]
            made = self.put(added(a, b, caps, self.meter))
            for part, pair in zip(made.tolist(), mine, strict=True):
                self._known[pair] = part
                self.left[part], self.right[part] = pair
        out[open_] = [self._known[pair] for pair in pairs]
        return out
