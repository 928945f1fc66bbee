"""Curves: the least key for every number of pieces that a set of domains can take, and how to add them up.

A curve is an int64 array of shape (words, *extents): entry [.., u1, u2, ...] is the least key of placing exactly u1
pieces of the first kind, u2 of the second, ... The key is a lexicographic vector packed into one or more words, most
significant first; unreachable entries hold INFINITE in the first word and 0 in the others. The sum of two curves is
their min-plus convolution. Arrays are never written once they are shared.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
State = tuple[int, ...]
Key = tuple[int, ...]

INFINITE = (1 << 62) - 1
"""Two of it still fit a signed word."""
_CHUNK = 1 << 16
"""Sums made at once: as many as stay in the second cache."""
_FEW = 24


def zero(words: int, axes: int) -> Ints:
    """The curve that takes nothing."""
    return np.zeros((words, *(1,) * axes), np.int64)


def trimmed(a: Ints) -> Ints:
    """The curve without unreachable ends."""
    if a[0].flat[-1] < INFINITE:
        return a
    for axis in range(1, a.ndim):
        reach = (a[0] < INFINITE).any(axis=tuple(i for i in range(a.ndim - 1) if i != axis - 1))
        last = int(np.flatnonzero(reach)[-1]) + 1
        if last < a.shape[axis]:
            a = np.take(a, range(last), axis=axis)
    return a


def plus_key(a: Ints, key: Key) -> Ints:
    """The curve of a domain that costs `key` as soon as anything is in it."""
    if a.ndim == 2 and a.shape[0] == 1:
        line = a + key[0]
        line[0, 0] = 0
        return np.minimum(line, INFINITE, out=line)
    out = a.copy()
    reached = a[0] < INFINITE
    reached[(0,) * (a.ndim - 1)] = False
    for word, amount in enumerate(key):
        if amount:
            out[word][reached] += amount
    return out


def summed(a: Ints, b: Ints, caps: State) -> Ints:
    """The least key of every state of two curves together, up to `caps`."""
    if a.shape[1] < b.shape[1]:
        a, b = b, a
    if a.ndim == 2:
        return _line(a, b, caps[0])
    extents = tuple(min(x + y - 1, cap + 1) for x, y, cap in zip(a.shape[1:], b.shape[1:], caps, strict=True))
    out = np.zeros((a.shape[0], *extents), np.int64)
    out[0] = INFINITE
    cells = np.argwhere(b[0] < INFINITE)
    if prod(a.shape[2:]) * prod(b.shape[2:]) <= len(cells):
        for i in product(*(range(x) for x in a.shape[2:])):
            for j in product(*(range(x) for x in b.shape[2:])):
                at = tuple(x + y for x, y in zip(i, j, strict=True))
                if all(x < e for x, e in zip(at, extents[1:], strict=True)):
                    here: tuple[Any, ...] = (slice(None), slice(None), *at)
                    mine: tuple[Any, ...] = (slice(None), slice(None), *i)
                    theirs: tuple[Any, ...] = (slice(None), slice(None), *j)
                    line = _line(a[mine], b[theirs], caps[0])
                    _lower(out[here][:, : line.shape[1]], line)
        return out
    for cell in cells:
        sizes = [min(x, e - int(j)) for x, e, j in zip(a.shape[1:], extents, cell, strict=True)]
        if min(sizes) <= 0:
            continue
        target = out[(slice(None), *(slice(int(j), int(j) + s) for j, s in zip(cell, sizes, strict=True)))]
        source = a[(slice(None), *(slice(0, s) for s in sizes))]
        more = b[(slice(None), *cell)]
        moved = source + more.reshape((-1,) + (1,) * len(sizes))
        _clip(moved)
        _lower(target, moved)
    return out


def split(a: Ints, b: Ints, state: State) -> tuple[Key, State] | None:
    """The least key of `state` in the sum of two curves, and how much of it the first takes: of equal ways the one
    that gives the first most. None if the sum cannot reach the state."""
    if a.ndim == 2 and a.shape[0] == 1:
        (total,) = state
        first, stop = max(0, total - b.shape[1] + 1), min(a.shape[1], total + 1)
        if first >= stop:
            return None
        # Backwards, so that of equal ways the least index is the one that gives the first most.
        line = a[0, first:stop][::-1] + b[0, total - stop + 1 : total - first + 1]
        at = int(line.argmin())
        lowest = int(line[at])
        return None if lowest >= INFINITE else ((lowest,), (stop - 1 - at,))
    low = [max(0, s - y + 1) for s, y in zip(state, b.shape[1:], strict=True)]
    high = [min(x - 1, s) for s, x in zip(state, a.shape[1:], strict=True)]
    if any(x > y for x, y in zip(low, high, strict=True)):
        return None
    left = a[(slice(None), *(slice(x, y + 1) for x, y in zip(low, high, strict=True)))]
    right = b[(slice(None), *(slice(s - y, s - x + 1) for s, x, y in zip(state, low, high, strict=True)))]
    both = left + np.flip(right, axis=tuple(range(1, right.ndim)))
    best = np.ones(both.shape[1:], bool)
    key = []
    for word in both:
        value = int(word[best].min())
        key.append(value)
        best &= word == value
    if key[0] >= INFINITE:
        return None
    where = np.argwhere(best)[-1]
    return tuple(key), tuple(int(x) + y for x, y in zip(where, low, strict=True))


def _line(a: Ints, b: Ints, cap: int) -> Ints:
    """Min-plus convolution of two plain curves (words, n)."""
    if a.shape[1] < b.shape[1]:
        a, b = b, a
    words = a.shape[0]
    if words == 1 and b.shape[1] > _FEW and (steps := _steps(b[0], cap)) is not None:
        return _stepwise(a[0], b[0], steps, cap)
    width = min(b.shape[1], cap + 1)
    length = min(a.shape[1] + b.shape[1] - 1, cap + 1)
    if words == 1:
        return _single(a[0], b[0, :width], length)
    out = np.empty((words, length), np.int64)
    padded, reverse = [], []
    for word in range(words):
        p = np.empty(length + width - 1, np.int64)
        n = min(a.shape[1], length)
        outside = 0 if word else INFINITE
        p[: width - 1] = outside
        p[width - 1 : width - 1 + n] = a[word, :n]
        p[width - 1 + n :] = outside
        padded.append(p)
        reverse.append(b[word, :width][::-1].copy())
    rows = max(1, _CHUNK // width)
    for start in range(0, length, rows):
        stop = min(length, start + rows)
        skip = max(0, width - stop)
        tied: npt.NDArray[np.bool_] | None = None
        for word in range(words):
            window: Ints = np.ndarray((stop - start, width - skip), np.int64, padded[word], (start + skip) * 8, (8, 8))
            total = window + reverse[word][skip:]
            if tied is not None:
                total[~tied] = INFINITE
            least = out[word, start:stop]
            total.min(axis=1, out=least)
            if word + 1 < words:
                same = total == least[:, None]
                tied = same if tied is None else tied & same
    _clip(out)
    return out


def _single(a: Ints, b: Ints, length: int) -> Ints:
    """The first entries of the sum of two plain curves of one word."""
    width = len(b)
    n = min(len(a), length)
    padded = np.empty(length + width - 1, np.int64)
    padded[: width - 1] = INFINITE
    padded[width - 1 : width - 1 + n] = a[:n]
    padded[width - 1 + n :] = INFINITE
    reverse = b[::-1].copy()
    out = np.empty((1, length), np.int64)
    rows = min(length, max(1, _CHUNK // width))
    made = np.empty(rows * width, np.int64)
    for start in range(0, length, rows):
        stop = min(length, start + rows)
        skip = max(0, width - stop)
        shape = (stop - start, width - skip)
        total = made[: shape[0] * shape[1]].reshape(shape)
        window: Ints = np.ndarray(shape, np.int64, padded, (start + skip) * 8, (8, 8))
        np.add(window, reverse[skip:], out=total)
        np.minimum.reduce(total, axis=1, out=out[0, start:stop])
    return np.minimum(out, INFINITE, out=out)


def _steps(b: Ints, cap: int) -> Ints | None:
    """The last entries before a rise of a curve, if it rises seldom."""
    rises = (b[1 : cap + 1] != b[: min(len(b) - 1, cap)]).nonzero()[0]
    if len(rises) * 3 > len(b):
        return None
    return np.append(rises, min(len(b) - 1, cap))


def _stepwise(a: Ints, b: Ints, steps: Ints, cap: int) -> Ints:
    """The sum of two plain curves of one word that never fall: to take j or fewer of the second costs no less than to
    take as many as cost the same, so only its steps matter."""
    length = min(len(a) + len(b) - 1, cap + 1)
    widest = int(steps[-1])
    padded = np.full(length + widest, INFINITE, np.int64)
    padded[:widest] = a[0]
    n = min(len(a), length)
    padded[widest : widest + n] = a[:n]
    starts = widest - steps
    out: Ints = np.full((1, length), INFINITE, np.int64)
    rows = max(1, _CHUNK // length)
    whole: Ints = np.ndarray((widest + 1, length), np.int64, padded, 0, (8, 8))
    for first in range(0, len(steps), rows):
        total = whole[starts[first : first + rows]] + b[steps[first : first + rows], None]
        np.minimum(out[0], total.min(axis=0), out=out[0])
    return out


def _clip(a: Ints) -> None:
    """Make unreachable entries equal again."""
    if a.shape[0] == 1:
        np.minimum(a, INFINITE, out=a)
        return
    gone = a[0] >= INFINITE
    a[:, gone] = 0
    a[0][gone] = INFINITE


def _lower(target: Ints, other: Ints) -> None:
    """Replace entries of `target` by smaller ones of `other`."""
    if target.shape[0] == 1:
        np.minimum(target, other, out=target)
        return
    less = np.zeros(target.shape[1:], bool)
    tied = np.ones(target.shape[1:], bool)
    for mine, theirs in zip(target, other, strict=True):
        less |= tied & (theirs < mine)
        tied &= theirs == mine
    target[:, less] = other[:, less]
