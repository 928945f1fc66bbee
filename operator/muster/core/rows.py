"""A table of whole numbers with one row a node, that forks share page by page.

Like the page table of an operating system after `fork`: a copy takes the table of page numbers (one number per
`PAGE` rows), and a page is copied when one of several owners writes it. Reading many rows is one gather in numpy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

PAGE = 64
"""Rows a page."""
_SHIFT, _MASK = 6, PAGE - 1


class _Pool:
    """The pages of a family of forks: `data[column, page, row within]`, and how many tables hold each page."""

    __slots__ = ("data", "free", "holders")

    def __init__(self, columns: int) -> None:
        self.data: Ints = np.zeros((columns, 0, PAGE), np.int64)
        self.holders: Ints = np.zeros(0, np.int64)
        self.free: list[int] = []

    def take(self) -> int:
        """A page that nobody holds; its contents are anything."""
        if not self.free:
            self._collect()
        page = self.free.pop()
        self.holders[page] = 1
        return page

    def _collect(self) -> None:
        """Find pages that were let go, and make room if they are few."""
        self.free = np.flatnonzero(self.holders == 0).tolist()
        have = len(self.holders)
        if len(self.free) < have // 8 + 1:
            more = max(4, have // 4)
            self.data = np.concatenate((self.data, np.zeros((len(self.data), more, PAGE), np.int64)), axis=1)
            self.holders = np.concatenate((self.holders, np.zeros(more, np.int64)))
            self.free += range(have, have + more)


class Rows:
    """See the module. Rows and columns only become more; new ones hold zeros. Not thread safe."""

    __slots__ = ("_mine", "_pool", "_table", "columns")

    def __init__(self, columns: int) -> None:
        self._pool = _Pool(columns)
        self._table: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self._mine: set[int] = set()
        """Pages known to be held by this table alone."""
        self.columns = columns

    def __del__(self) -> None:
        self._pool.holders[self._table] -= 1

    def fork(self) -> Rows:
        """A copy that shares every page until one of both writes it."""
        other = Rows.__new__(Rows)
        other._pool, other._table, other.columns = self._pool, self._table.copy(), self.columns
        self._pool.holders[self._table] += 1
        self._mine, other._mine = set(), set()
        return other

    def cleared(self) -> Rows:
        """As many rows and columns, all zero, sharing nothing."""
        other = Rows(self.columns)
        other.reach(len(self._table) * PAGE)
        return other

    def reach(self, rows: int) -> None:
        """Have at least so many rows."""
        while len(self._table) * PAGE < rows:
            page = self._pool.take()
            self._pool.data[:, page] = 0
            self._table = np.append(self._table, page)
            self._mine.add(page)

    def widen(self, columns: int) -> None:
        """Have at least so many columns."""
        have = len(self._pool.data)
        if columns > have:
            self._pool.data = np.pad(self._pool.data, ((0, columns - have + 4), (0, 0), (0, 0)))
        self.columns = max(self.columns, columns)

    def at(self, row: int, column: int) -> int:
        """One number."""
        return int(self._pool.data[column, self._table[row >> _SHIFT], row & _MASK])

    def line(self, row: int) -> Ints:
        """All columns of a row. Read only."""
        found: Ints = self._pool.data[: self.columns, self._table[row >> _SHIFT], row & _MASK]
        return found

    def put(self, row: int, column: int, value: int) -> None:
        """Write one number."""
        self.writable(row)[column] = value

    def writable(self, row: int) -> Ints:
        """All columns of a row, to be written at once: it may not be kept."""
        page = int(self._table[row >> _SHIFT])
        if page not in self._mine:
            page = self._own(row >> _SHIFT, page)
        found: Ints = self._pool.data[:, page, row & _MASK]
        return found

    def _own(self, index: int, page: int) -> int:
        pool = self._pool
        if pool.holders[page] > 1:
            copy = pool.take()
            pool.data[:, copy] = pool.data[:, page]
            pool.holders[page] -= 1
            self._table[index] = page = copy
        self._mine.add(page)
        return page

    def column(self, column: int, rows: Ints | None = None) -> Ints:
        """A column of all rows (some more than were asked for), or of some; a copy."""
        found: Ints = self._pool.data[column]
        return found[self._table].reshape(-1) if rows is None else found.reshape(-1).take(self._spots(rows))

    def block(self, columns: list[int], rows: Ints) -> Ints:
        """Some columns of some rows, a line a column; a copy."""
        flat, spots = self._pool.data.reshape(len(self._pool.data), -1), self._spots(rows)
        # All columns in one call cost less than the overhead of picking some.
        found: Ints = flat.take(spots, axis=1)[columns]
        return found

    def write(self, columns: list[int], rows: Ints, values: Ints) -> None:
        """The opposite of `block`."""
        for index in set((rows >> _SHIFT).tolist()):
            page = int(self._table[index])
            if page not in self._mine:
                self._own(index, page)
        self._pool.data.reshape(len(self._pool.data), -1)[np.array(columns)[:, None], self._spots(rows)] = values

    def _spots(self, rows: Ints) -> Ints:
        """Where some rows lie within a column of the pool."""
        found: Ints = (self._table[rows >> _SHIFT] << _SHIFT) | (rows & _MASK)
        return found
