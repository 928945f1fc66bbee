"""Which search answers for a role: gangs that differ in size alone share one, as far as it reaches."""

from __future__ import annotations

from functools import lru_cache
from math import prod

from muster.core.placement.curves import State
from muster.core.placement.gang import RoleGang, ladder, of_sizes
from muster.core.placement.search import Task

REACHES = {True: (2048,), False: (128, 256, 2048)}
"""Pods up to which the searches for equal segments reach, where no node takes two pods and otherwise (the vector must
fit a word); beyond, each power of two."""
CELLS = 2048
"""States of a basis up to which uneven segments are searched exactly."""

Structure = tuple[tuple[tuple[int, tuple[int, ...]], ...], int, int]
"""((depth, sizes) per segment below the answer's depth, pods that the search reaches, the answer's depth)."""


def structure_of(role: RoleGang, above: int, single: bool = False) -> tuple[Structure, State]:
    """What the search for a role must be made for, and the state that stands for the whole role. `single`: no node
    takes two pods."""
    inner = tuple((depth, sizes) for depth, sizes in role.segments if depth > above)
    unit = inner[0][1][0] if inner else 1
    whole, rest = divmod(role.count, unit)
    if not role.equal or (inner and (not whole or (whole == 1 and not rest))):
        return (inner, role.count, above), task_of((inner, role.count, above)).full
    reach = next((n for n in REACHES[single] if role.count <= n), 1 << (role.count - 1).bit_length())
    count = max(reach // unit, whole) * unit + rest
    equal = tuple((depth, sizes[:1]) for depth, sizes in inner)
    return (equal, count, above), ((whole, 1) if rest else (whole,))


@lru_cache(maxsize=512)
def task_of(structure: Structure) -> Task:
    """The task of a search. Sizes of length one are those of equal segments."""
    inner, count, above = structure
    segments = tuple((depth, of_sizes(sizes[0], count) if len(sizes) == 1 else sizes) for depth, sizes in inner)
    return Task(count, above, ladder(segments, count, above))


def tractable(role: RoleGang) -> bool:
    """Whether the exact search is practical: always for equal segments."""
    if role.equal:
        return True
    rungs = ladder(role.segments, role.count, role.required)
    return all(prod(n + 1 for n in rung.counts) <= CELLS for rung in rungs)
