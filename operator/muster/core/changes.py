"""Which rows changed: one log an inventory, however many read it.

A reader keeps a `Mark`: the log and how far it has read. A fork's log continues its origin's, so a reader can go from
any inventory of a family to any other: it looks again at what changed on both sides since they parted.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

LIMIT = 1 << 16
"""Rows that a log remembers at least; it is cut when it holds twice as many."""


class Log:
    """Rows in the order in which they changed."""

    __slots__ = ("_first", "_origin", "_rows")

    def __init__(self, origin: Mark | None = None) -> None:
        self._rows = array("q")
        self._first = 0
        """Number of the first entry that is still here."""
        self._origin = origin

    def note(self, row: int) -> None:
        """A row changed."""
        self._rows.append(row)
        if len(self._rows) >= 2 * LIMIT:
            del self._rows[:LIMIT]
            self._first += LIMIT

    def mark(self) -> Mark:
        """Where the log ends now."""
        return Mark(self, self._first + len(self._rows))

    def _between(self, start: int, stop: int) -> array[int] | None:
        """The entries start..stop; None if they are not here any more."""
        if start < self._first:
            return None
        return self._rows[start - self._first : stop - self._first]


class Mark(NamedTuple):
    """A place in a log."""

    log: Log
    at: int


def since(mark: Mark, now: Mark) -> array[int] | None:
    """The rows (some may come several times) in which the inventory at `now` can differ from the one at `mark`; None if
    that is not known any more."""
    if mark.log is now.log:
        return now.log._between(min(mark.at, now.at), max(mark.at, now.at))
    places: dict[Log, tuple[int, list[tuple[Log, int, int]]]] = {}
    step: Mark | None = mark
    passed: list[tuple[Log, int, int]] = []
    while step is not None:
        places[step.log] = step.at, list(passed)
        passed.append((step.log, 0, step.at))
        step = step.log._origin
    step, passed = now, []
    while step is not None:
        known = places.get(step.log)
        if known is not None:
            there, theirs = known
            out = array("q")
            for log, start, stop in (*passed, *theirs, (step.log, min(there, step.at), max(there, step.at))):
                found = log._between(start, stop)
                if found is None:
                    return None
                out += found
            return out
        passed.append((step.log, 0, step.at))
        step = step.log._origin
    return None
