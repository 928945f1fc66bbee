"""Many curves at once: int64 arrays (curves, *axes) of keys, and how pairs of them are added.

Cells that cannot be reached hold INFINITE. The last axis counts the nodes newly used, for fill limits; it has one entry
where none binds.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from muster.core.placement.exact.meter import Meter
from muster.core.placement.gang import Rung

Ints = npt.NDArray[np.int64]
State = tuple[int, ...]

INFINITE = (1 << 62) - 1
"""Two of it still fit a signed word."""
REACHED = 1 << 61
"""All finite keys are less."""
_CALL = 6000
"""What a call of numpy takes, in additions."""
_CACHE = 1 << 15
"""Keys that are written over and over: as many as stay in the second cache."""


def trimmed(a: Ints) -> Ints:
    """The curves without ends that none of them reaches."""
    reached = np.logical_or.reduce(a < REACHED, axis=0)
    for axis in range(reached.ndim):
        others = tuple(i for i in range(reached.ndim) if i != axis)
        last = int(np.flatnonzero(np.logical_or.reduce(reached, axis=others))[-1]) + 1
        if last < reached.shape[axis]:
            a = np.take(a, range(last), axis=axis + 1)
            reached = np.take(reached, range(last), axis=axis)
    return a


def added(a: Ints, b: Ints, caps: State, meter: Meter) -> Ints:
    """The least key of every state of each pair of curves together, up to `caps`."""
    a, b = trimmed(a), trimmed(b)
    if prod(a.shape[1:]) < prod(b.shape[1:]):
        a, b = b, a
    extents = tuple(min(x + y - 1, cap + 1) for x, y, cap in zip(a.shape[1:], b.shape[1:], caps, strict=True))
    cells = np.argwhere((b < REACHED).any(axis=0))
    room = np.minimum(np.array(a.shape[1:]), np.array(extents) - cells)
    able = (room > 0).all(axis=1)
    cells, room = cells[able], room[able]
    meter.spend(len(a) * int(room.prod(axis=1).sum()))
    main = max(range(len(extents)), key=lambda i: b.shape[i + 1])
    rest = prod(b.shape[1:]) // b.shape[main + 1]
    loop = len(cells) * (_CALL + a.size)
    window = rest * (_CALL + 2 * a.size // a.shape[main + 1] * extents[main] * b.shape[main + 1])
    out = _by_window(a, b, extents, main) if window < loop else _by_cell(a, b, extents, cells, room)
    out[out >= REACHED] = INFINITE
    return out


def _by_cell(a: Ints, b: Ints, extents: State, cells: Ints, room: Ints) -> Ints:
    """The sums, a cell of the second at a time: best for many pairs. `room`: how much of the first fits from there."""
    out = np.full((len(a), *extents), INFINITE, np.int64)
    rows = max(1, _CACHE // prod(extents))
    for cell, sizes, first in (
        (cell, sizes, first)
        for first in range(0, len(a), rows)
        for cell, sizes in zip(cells.tolist(), room.tolist(), strict=True)
    ):
        some = slice(first, first + rows)
        target: tuple[Any, ...] = (some, *(slice(j, j + s) for j, s in zip(cell, sizes, strict=True)))
        source: tuple[Any, ...] = (some, *(slice(0, s) for s in sizes))
        here: tuple[Any, ...] = (some, *cell)
        mine = out[target]
        np.minimum(mine, a[source] + b[here].reshape(-1, *(1,) * len(extents)), out=mine)
    return out


def _by_window(a: Ints, b: Ints, extents: State, main: int) -> Ints:
    """The sums, all cells along one axis at a time: best for few long pairs."""
    a, b = np.moveaxis(a, main + 1, 1), np.moveaxis(b, main + 1, 1)[:, ::-1]
    length, width = extents[main], b.shape[1]
    others = tuple(extent for i, extent in enumerate(extents) if i != main)
    padded = np.full((len(a), length + width - 1, *a.shape[2:]), INFINITE, np.int64)
    padded[:, width - 1 : width - 1 + a.shape[1]] = a[:, :length]
    step = padded.strides
    windows = np.lib.stride_tricks.as_strided(
        padded, (len(a), length, width, *a.shape[2:]), (step[0], step[1], *step[1:]), writeable=False
    )
    out = np.full((len(a), length, *others), INFINITE, np.int64)
    for cell in np.ndindex(*b.shape[2:]):
        sizes = [min(x, e - j) for x, e, j in zip(a.shape[2:], others, cell, strict=True)]
        if min(sizes, default=1) <= 0:
            continue
        source: tuple[Any, ...] = (..., *(slice(0, s) for s in sizes))
        here: tuple[Any, ...] = (slice(None), slice(None), *cell)
        more = b[here].reshape(len(b), 1, width, *(1,) * len(sizes))
        target: tuple[Any, ...] = (
            slice(None),
            slice(None),
            *(slice(j, j + s) for j, s in zip(cell, sizes, strict=True)),
        )
        mine = out[target]
        np.minimum(mine, (windows[source] + more).min(axis=2), out=mine)
    return np.moveaxis(out, 1, main + 1)


def split(a: Ints, b: Ints, state: State) -> State:
    """How much of a state that two curves reach together the first holds: of equal ways the one that gives it most."""
    low = [max(0, s - y + 1) for s, y in zip(state, b.shape, strict=True)]
    high = [min(x - 1, s) for s, x in zip(state, a.shape, strict=True)]
    left = a[tuple(slice(x, y + 1) for x, y in zip(low, high, strict=True))]
    right = b[tuple(slice(s - y, s - x + 1) for s, x, y in zip(state, low, high, strict=True))]
    both = (left + np.flip(right)).ravel()[::-1]
    at = len(both) - 1 - int(both.argmin())
    return tuple(int(x) + y for x, y in zip(np.unravel_index(at, left.shape), low, strict=True))


def lifted(a: Ints, axis: int, rung: Rung, meter: Meter) -> Ints:
    """The curves with the axes of one block, which begin at `axis`, in pieces of the rung instead of what they are made
    of."""
    inner = a.shape[axis : axis + len(rung.parts[0])]
    extents = []
    for count, part in zip(rung.counts, rung.parts, strict=True):
        most = min(((e - 1) // p for e, p in zip(inner, part, strict=True) if p), default=0)
        extents.append(min(count, most) + 1)
    meter.spend(a.size + prod(extents) * (a.size // prod(inner)))
    grid = np.indices(extents).reshape(len(extents), -1)
    source = np.array(rung.parts, np.int64).T @ grid
    inside = (source < np.array(inner)[:, None]).all(axis=0)
    flat = np.ravel_multi_index(tuple(np.where(inside, source, 0)), inner)
    outer, rest = a.shape[:axis], a.shape[axis + len(inner) :]
    out: Ints = np.take(a.reshape(*outer, prod(inner), *rest), flat, axis=axis)
    gone: tuple[Any, ...] = (*(slice(None),) * axis, ~inside)
    out[gone] = INFINITE
    whole: Ints = out.reshape(*outer, *extents, *rest)
    return whole


def touched(a: Ints, any_: Ints, each: list[tuple[int, int, int]]) -> Ints:
    """The curves of domains that cost `any_` (per curve) as soon as anything is in them, and for each (axis, axes, key)
    of a block the key as soon as anything of it is."""
    out = a.copy()
    flat = out.reshape(len(a), -1)
    flat[:, 1:] += any_[:, None]
    for axis, width, key in each:
        outside: tuple[Any, ...] = (*(slice(None),) * axis, *(0,) * width)
        kept = out[outside].copy()
        out += key
        out[outside] = kept
    out[out >= REACHED] = INFINITE
    return out
