"""Curves of domains and of siblings added up, as they are kept: shared by all domains of equal contents, and computed
only when they are asked for and only as far as they are asked for.

A gang of n pods never looks at more than n entries, and what a change has made new is often asked for only in part
before the next change. Curves with one axis (`plain`) are therefore computed from their beginning on, a little further
than asked; those with more axes whole.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from muster.core.placement.curves import INFINITE, Ints, Key, State, plus_key, split, summed, trimmed, zero
from muster.core.placement.gang import Rung

_ENTRY = 300
"""Bytes that a kept entry takes beside its array, about;"""
_CHOICE = 100
"""and a choice that was made on the way down."""


class Sum:
    """Curves of several siblings added up."""

    __slots__ = ("_array", "_choices", "caps", "left", "memo", "plain", "reach", "right", "size")

    def __init__(self, left: Part, right: Part, caps: State, memo: Memo) -> None:
        self.left, self.right, self.caps, self.memo = left, right, caps, memo
        self.size: int = left.size + right.size
        self.plain: bool = left.plain and right.plain
        self.reach: int = min(left.reach + right.reach, caps[0])
        """The last entry that can be reached, if plain."""
        self._array: Ints | None = None
        self._choices: dict[int, int] | None = {} if self.plain and memo.words == 1 else None
        """How much of a state the left part takes, as far as it was asked for."""

    def to(self, state: State) -> Ints:
        """The sum, at least as far as this state."""
        if not self.plain:
            if self._array is None:
                self._array = summed(self.left.to(self.caps), self.right.to(self.caps), self.caps)
                self.memo.grew(self._array.nbytes)
            return self._array
        need = min(state[0], self.reach)
        if self._array is None or self._array.shape[1] <= need:
            far = (further(need, self.reach),)
            self._array = summed(self.left.to(far), self.right.to(far), far)
            self.memo.grew(self._array.nbytes)
        return self._array

    def halves(self, state: State) -> tuple[State, State]:
        """What each part holds of a state that they reach together: of equal ways the one that gives the left most."""
        choices = self._choices
        if choices is None:
            found = split(self.left.to(state), self.right.to(state), state)
            assert found is not None
            return found[1], tuple([s - m for s, m in zip(state, found[1], strict=True)])
        total = state[0]
        mine = choices.get(total)
        if mine is None:
            if total == self.left.reach + self.right.reach:
                mine = self.left.reach
            else:
                found = split(self.left.to(state), self.right.to(state), state)
                assert found is not None
                mine = found[1][0]
            choices[total] = mine
            self.memo.grew(_CHOICE)
        return (mine,), (total - mine,)


class Class:
    """The curve of domains of equal contents. One that is not plain, or has nothing inside, is made whole; the others
    take every `step`-th entry of what is `inside`, and `key` for touching the domain."""

    __slots__ = ("_array", "inside", "key", "memo", "plain", "reach", "size", "step")

    def __init__(self, array: Ints | None, inside: Part | None, step: int, key: Key, reach: int, memo: Memo) -> None:
        self._array, self.inside, self.step, self.key, self.reach, self.memo = array, inside, step, key, reach, memo
        self.size: int = 1
        self.plain: bool = array is None or array.ndim == 2

    def to(self, state: State) -> Ints:
        """The curve, at least as far as this state."""
        have = self._array
        need = min(state[0], self.reach)
        if have is not None and (not self.plain or have.shape[1] > need):
            return have
        assert self.inside is not None
        far = further(need, self.reach) * self.step
        self._array = plus_key(self.inside.to((far,))[:, : far + 1 : self.step], self.key)
        self.memo.grew(self._array.nbytes)
        return self._array


Part = Sum | Class


class Memo:
    """What was computed under one packing and task, by content: two generations, of which the older is let go when the
    younger has reached half the bound. What a search still uses it holds by itself, so forgetting costs time only."""

    __slots__ = ("_limit", "_old", "_young", "_young_bytes", "bytes", "empty", "words")

    def __init__(self, words: int, limit: int) -> None:
        self._young: dict[Hashable, Part] = {}
        self._old: dict[Hashable, Part] = {}
        self.words = words
        self._limit = limit // 2
        self._young_bytes = 0
        self.bytes = 0
        self.empty = Class(zero(words, 1), None, 1, (0,) * words, 0, self)
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
        self.grew(_ENTRY)
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

    def touching(self, inside: Part, rungs: list[Rung], key: Key) -> Class:
        """The class of a domain whose plain contents are `inside`, in the basis that these rungs lead to."""
        step, reach = 1, inside.reach
        for rung in rungs:
            if len(rung.counts) > 1:
                return self.whole(inside.to((inside.reach,)), inside, rungs, False, key)
            ((times,),) = rung.parts
            step, reach = step * times, min(reach // times, rung.counts[0])
        return Class(None, inside, step, key, reach, self)

    def whole(self, array: Ints, inside: Part | None, rungs: list[Rung], axis: bool, key: Key) -> Class:
        """The same from an array, at once; `axis`: its last axis is not of pieces."""
        for rung in rungs:
            array = lifted(array, rung, axis)
        array = plus_key(trimmed(array), key)
        self.grew(array.nbytes)
        some = array.size > array.shape[0]
        return Class(array, inside, 1, key, (array.shape[1] - 1) if array.ndim == 2 else int(some), self)


def further(need: int, reach: int) -> int:
    """How far to compute a curve that is asked for as far as `need`: up to a quarter more."""
    step = max(16, 1 << max(need.bit_length() - 3, 0))
    return min(reach, -(-need // step) * step)


def value(part: Part, state: State) -> Key | None:
    """The least key of one state, without making the last sum."""
    if isinstance(part, Sum):
        found = split(part.left.to(state), part.right.to(state), state)
        return None if found is None else found[0]
    array = part.to(state)
    if any(s >= e for s, e in zip(state, array.shape[1:], strict=True)):
        return None
    index: tuple[Any, ...] = (slice(None), *state)
    key = tuple(int(x) for x in array[index])
    return None if key[0] >= INFINITE else key


def share(part: Part, state: State, offset: int, out: list[tuple[int, State]]) -> None:
    """Which leaves of a sum hold what, leaving out those that hold nothing."""
    if not any(state):
        return
    if isinstance(part, Class):
        out.append((offset, state))
        return
    mine, others = part.halves(state)
    share(part.left, mine, offset, out)
    share(part.right, others, offset + part.left.size, out)


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
