"""Which one constraint a gang would fit without, or with another value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

from muster.core.inventory import Inventory
from muster.core.model import Relaxation, Shape, Verdict
from muster.core.placement.basis import Basis
from muster.core.placement.field import standing_on, unlimited
from muster.core.placement.gang import Gang, RoleGang, of_sizes

TRIES = 16
"""Sizes of a segment that are tried where each takes a search of its own."""


def relaxations(basis: Basis, inventory: Inventory, shape: Shape, gang: Gang) -> tuple[Relaxation, ...]:
    """For each constraint of a gang of one role that does not fit, the smallest step that makes it fit, if giving up
    this constraint alone does: the largest smaller segment, innermost level first; the nearest broader required level;
    no fill limit."""
    found = [*_segments(basis, inventory, gang), *_required(basis, inventory, shape, gang)]
    return (*found, *_limits(basis, inventory, gang))


def _segments(basis: Basis, inventory: Inventory, gang: Gang) -> Iterator[Relaxation]:
    (role,) = gang.roles
    if not role.equal:
        return
    where = standing_on(basis.view(inventory, role))
    for i in range(len(role.segments) - 1, -1, -1):
        depth, sizes = role.segments[i]
        tries = TRIES if where.limits else sizes[0]
        for size in range(sizes[0] - 1, 0, -1):
            other = _resized(role, i, size)
            if other is None:
                continue
            tries -= 1
            if basis.possible(where, other):
                yield Relaxation("segments", basis.tree(inventory).level(depth), str(sizes[0]), str(size))
                break
            if not tries:
                break


def _resized(role: RoleGang, i: int, size: int) -> RoleGang | None:
    """The role with another size of its i-th segments; None if they would not nest."""
    sizes = of_sizes(size, role.count)
    cuts = set(accumulate(sizes))
    outer, inner = role.segments[:i], role.segments[i + 1 :]
    if any(not set(accumulate(theirs)) <= cuts for _, theirs in outer):
        return None
    if any(not cuts <= set(accumulate(theirs)) for _, theirs in inner):
        return None
    return replace(role, segments=(*outer, (role.segments[i][0], sizes), *inner))


def _required(basis: Basis, inventory: Inventory, shape: Shape, gang: Gang) -> Iterator[Relaxation]:
    (role,) = gang.roles
    tree = basis.tree(inventory)
    if role.required <= gang.boundary:
        return
    for depth in range(role.required - 1, gang.boundary - 1, -1):
        free = depth in (0, gang.boundary)
        level = None if free else tree.level(depth)
        other = Shape((replace(shape.roles[0], required=level),), None, shape.preferred)
        read = basis.gang(inventory, other)
        if isinstance(read, Verdict):
            continue
        (relaxed,) = read.roles
        if basis.possible(standing_on(basis.view(inventory, relaxed)), relaxed):
            yield Relaxation("required", tree.level(role.required), tree.level(role.required), level or "")
            return


def _limits(basis: Basis, inventory: Inventory, gang: Gang) -> Iterator[Relaxation]:
    (role,) = gang.roles
    where = standing_on(basis.view(inventory, role))
    if not where.limits or not basis.possible(unlimited(where), role):
        return
    for depth, limit in sorted(where.limits.items()):
        others = {d: n for d, n in where.limits.items() if d != depth}
        if basis.possible(replace(where, limits=others), role):
            yield Relaxation("fillLimit", basis.tree(inventory).level(depth), str(limit), "")
