"""A mapping that forks cheaply: layers of plain dictionaries, of which only the top one is written.

The layers are merged as in a log-structured merge tree (O'Neil et al. 1996): each is at least twice as large as the one
above it, so there are few, and an entry is copied a logarithmic number of times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_GONE: Any = object()


class Overlay(Generic[K, V]):
    """See the module. Values are replaced, never written."""

    __slots__ = ("_below", "_top")

    def __init__(self) -> None:
        self._below: tuple[dict[K, V], ...] = ()
        """Uppermost first; never written."""
        self._top: dict[K, V] = {}

    def fork(self) -> Overlay[K, V]:
        """A copy; what either writes from now on the other does not see."""
        if self._top:
            top, below = self._top, list(self._below)
            while below and len(below[0]) < 2 * len(top):
                top = {**below.pop(0), **top}
            if not below:
                top = {key: value for key, value in top.items() if value is not _GONE}
            self._below, self._top = (top, *below), {}
        other: Overlay[K, V] = Overlay()
        other._below = self._below
        return other

    def get(self, key: K) -> V | None:
        """The value, or None."""
        found = self._top.get(key)
        if found is None:
            for layer in self._below:
                found = layer.get(key)
                if found is not None:
                    break
        return None if found is _GONE else found

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def __getitem__(self, key: K) -> V:
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: K, value: V) -> None:
        self._top[key] = value

    def pop(self, key: K) -> V | None:
        """Take an entry out; None if there is none."""
        found = self.get(key)
        if found is not None:
            if self._below:
                self._top[key] = _GONE
            else:
                del self._top[key]
        return found

    def items(self) -> Iterator[tuple[K, V]]:
        """All entries, in no order that means anything."""
        merged: dict[K, V] = {}
        for layer in (*reversed(self._below), self._top):
            merged.update(layer)
        return ((key, value) for key, value in merged.items() if value is not _GONE)

    def values(self) -> Iterator[V]:
        """All values."""
        return (value for _, value in self.items())

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.items())
