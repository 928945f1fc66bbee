"""Sums of curves as they are kept: made when they are asked for, shared by all domains of equal contents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from muster.core.placement.curves import INFINITE, Ints, Key, State, split, summed
from muster.core.placement.gang import Rung


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
            self.memo.bytes += self._array.nbytes
        return self._array


class Class:
    """Domains of equal contents: their curve, and the groups of equal children it was made of."""

    __slots__ = ("array", "groups", "inner", "size")

    def __init__(self, array: Ints, inner: Part | None, groups: tuple[tuple[int, int], ...]) -> None:
        self.array, self.inner, self.groups = array, inner, groups
        self.size: int = 1


Part = Sum | Class


@dataclass(slots=True)
class Memo:
    """Everything computed under one packing and task; class 0 is 'nothing fits'."""

    classes: list[Class] = field(default_factory=list)
    ids: dict[object, int] = field(default_factory=dict)
    sums: dict[tuple[int, int, int], Part] = field(default_factory=dict)
    parts: dict[tuple[int, tuple[tuple[int, int], ...]], Part] = field(default_factory=dict)
    bytes: int = 0


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
