"""Sums of curves as they are kept: made when they are asked for, shared by all domains of equal contents."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from muster.core.placement.curves import INFINITE, Ints, Key, State, split, summed, zero
from muster.core.placement.gang import Rung

_ENTRY = 300
"""Bytes that a kept entry takes beside its array, about."""


class Sum:
    """Curves of several siblings added up; the array is made when it is asked for."""

    __slots__ = ("_array", "caps", "left", "memo", "right", "size")

    def __init__(self, left: Part, right: Part, caps: State, memo: Memo) -> None:
        self.left, self.right, self.caps, self.memo = left, right, caps, memo
        self.size: int = left.size + right.size
        self._array: Ints | None = None

    @property
    def array(self) -> Ints:
        """The sum itself."""
        if self._array is None:
            self._array = summed(self.left.array, self.right.array, self.caps)
            self.memo.grew(self._array.nbytes)
        return self._array


class Class:
    """Domains of equal contents: their curve, and the children that it was made of."""

    __slots__ = ("array", "inner", "size")

    def __init__(self, array: Ints, inner: Part | None) -> None:
        self.array, self.inner = array, inner
        self.size: int = 1


Part = Sum | Class


class Memo:
    """What was computed under one packing and task, by content: two generations, of which the older is let go when the
    younger has reached half the bound. What a search still uses it holds by itself, so forgetting costs time only."""

    __slots__ = ("_limit", "_old", "_young", "_young_bytes", "bytes", "empty")

    def __init__(self, words: int, limit: int) -> None:
        self._young: dict[Hashable, Part] = {}
        self._old: dict[Hashable, Part] = {}
        self._limit = limit // 2
        self._young_bytes = 0
        self.bytes = 0
        self.empty = Class(zero(words, 1), None)
        """Domains in which nothing fits."""

    def get(self, key: Hashable) -> Part | None:
        """What is known under a key. Keys may name a part by its id if the value holds that part."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self._young[key] = found
        return found

    def put(self, key: Hashable, part: Part) -> Part:
        """Keep a part."""
        if self._young_bytes > self._limit:
            self._old, self._young = self._young, {}
            self.bytes, self._young_bytes = self._young_bytes, 0
        self._young[key] = part
        self.grew(_ENTRY + (part.array.nbytes if isinstance(part, Class) else 0))
        return part

    def grew(self, size: int) -> None:
        """A kept part has become larger."""
        self.bytes += size
        self._young_bytes += size

    def added(self, left: Part, right: Part, caps: State, depth: int) -> Part:
        """The sum of two parts, of which the first comes first."""
        if right is self.empty:
            return left
        if left is self.empty:
            return right
        key = (depth, id(left), id(right))
        return self.get(key) or self.put(key, Sum(left, right, caps, self))

    def power(self, part: Part, times: int, caps: State, depth: int) -> Part:
        """The sum of equal siblings, by doubling."""
        if times == 1:
            return part
        half = times // 2
        left, right = self.power(part, times - half, caps, depth), self.power(part, half, caps, depth)
        return self.added(left, right, caps, depth)


def value(part: Part, state: State) -> Key | None:
    """The least key of one state, without making the last sum."""
    if isinstance(part, Sum):
        found = split(part.left.array, part.right.array, state)
        return None if found is None else found[0]
    if any(s >= e for s, e in zip(state, part.array.shape[1:], strict=True)):
        return None
    index: tuple[Any, ...] = (slice(None), *state)
    key = tuple(int(x) for x in part.array[index])
    return None if key[0] >= INFINITE else key


def share(part: Part, state: State, offset: int, out: list[tuple[int, State]]) -> None:
    """Which leaves of a sum hold what, leaving out those that hold nothing."""
    if not any(state):
        return
    if isinstance(part, Class):
        out.append((offset, state))
        return
    found = split(part.left.array, part.right.array, state)
    assert found is not None
    mine = found[1]
    share(part.left, mine, offset, out)
    share(part.right, tuple(s - m for s, m in zip(state, mine, strict=True)), offset + part.left.size, out)


def collapsed(array: Ints) -> tuple[Ints, Ints]:
    """The best over the last axis, and which entry it was."""
    best = array[..., 0].copy()
    which = np.zeros(best.shape[1:], np.int64)
    for i in range(1, array.shape[-1]):
        less = np.zeros(best.shape[1:], bool)
        tied = np.ones(best.shape[1:], bool)
        for mine, theirs in zip(best, array[..., i], strict=True):
            less |= tied & (theirs < mine)
            tied &= theirs == mine
        best[:, less] = array[..., i][:, less]
        which[less] = i
    return best, which


def lifted(array: Ints, rung: Rung, axis: bool) -> Ints:
    """A curve over pieces as a curve over what they make up; `axis`: the last axis is not of pieces."""
    inner = array.shape[1 : array.ndim - 1] if axis else array.shape[1:]
    if len(inner) == 1 and len(rung.counts) == 1:
        ((step,),) = rung.parts
        return array[:, : step * rung.counts[0] + 1 : step]
    extents = []
    for count, part in zip(rung.counts, rung.parts, strict=True):
        most = min(((e - 1) // p for e, p in zip(inner, part, strict=True) if p), default=0)
        extents.append(min(count, most) + 1)
    grid = np.indices(extents)
    index = [
        sum((grid[k] * part[i] for k, part in enumerate(rung.parts)), np.zeros(extents, np.int64))
        for i in range(len(inner))
    ]
    inside = np.ones(extents, bool)
    for where, extent in zip(index, inner, strict=True):
        inside &= where < extent
    at = tuple(np.where(inside, where, 0) for where in index)
    index_all: tuple[Any, ...] = (slice(None), *at)
    out: Ints = array[index_all]
    out[:, ~inside] = 0
    out[0][~inside] = INFINITE
    return out
