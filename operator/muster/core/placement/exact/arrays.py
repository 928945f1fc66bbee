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
    out = np.full((len(a), *extents), INFINITE, np.int64)
    narrow = (len(a),) + (1,) * len(extents)
    for cell, sizes in zip(cells.tolist(), room.tolist(), strict=True):
        target: tuple[Any, ...] = (slice(None), *(slice(j, j + s) for j, s in zip(cell, sizes, strict=True)))
        source: tuple[Any, ...] = (slice(None), *(slice(0, s) for s in sizes))
        here: tuple[Any, ...] = (slice(None), *cell)
        mine = out[target]
        np.minimum(mine, a[source] + b[here].reshape(narrow), out=mine)
    out[out >= REACHED] = INFINITE
    return out


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
