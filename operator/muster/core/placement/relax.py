"""Lower bounds of the vector where the exact search does not end: single roles that forget something of the gang, each
searched exactly.

- *One alone*: a role with all its constraints.
- *Some together*: pods of several roles are alike. A node takes as many of them as fit side by side; segments, and what
  single roles require or prefer, are forgotten.
- *Large segments*: of uneven segments of a level those of at least k pods, each as if it had k.

Each is a relaxation (what a placement of the gang does with those pods is one of it, and touches no more), so the
lexicographically largest of their optima is a bound, leftover apart; where one of them has no placement, the gang has
none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from muster.core.inventory import Inventory
from muster.core.placement import field
from muster.core.placement.basis import Basis
from muster.core.placement.exact import Ground, Meter, OverBudget
from muster.core.placement.gang import Gang, RoleGang
from muster.core.placement.sequence import COLD
from muster.core.placement.tasks import tractable
from muster.core.placement.tree import Ints
from muster.core.placement.view import Mask

_SIZES = 4
"""Sizes of uneven segments that are looked at."""


@dataclass(frozen=True, slots=True)
class Bound:
    """`vector`: what no placement is less than, its leftover 0; `nodes`: what the relaxation that says so uses."""

    vector: tuple[int, ...]
    nodes: Mask


def bound(basis: Basis, inventory: Inventory, gang: Gang, ground: Ground, meter: Meter) -> Bound | None:
    """The largest bound that the budget reaches, at least zeros; None if there is no placement."""
    tree = ground.tree
    best = Bound((0,) * (tree.depths + 4), np.ones(tree.count, bool))
    for role, slots in _relaxations(basis, inventory, gang, ground):
        try:
            meter.spend(tree.count * COLD)
        except OverBudget:
            return best
        where = field.apart(tree, ground.busy > 0, slots)
        found = basis.optimum(where, role) if basis.possible(where, role) else None
        if found is None:
            return None
        vector, ranks = found
        if vector[:-1] > best.vector[:-1]:
            best = Bound((*vector[:-1], 0), np.bincount(ranks, minlength=tree.count) > 0)
    return best


def _relaxations(basis: Basis, inventory: Inventory, gang: Gang, ground: Ground) -> Iterator[tuple[RoleGang, Ints]]:
    """Roles and the slots that each has, by position."""
    blocks = ground.blocks.all
    every = tuple(range(len(blocks)))
    for n in range(len(every), 0, -1):
        for some in combinations(every, n):
            if n > 1 or len(blocks[some[0]].members) > 1:
                role = blocks[some[0]].role
                count = sum(blocks[i].role.count for i in some)
                liked = ((gang.preferred, 1),) if gang.preferred else ()
                alike = replace(role, count=count, required=ground.blocks.together, segments=(), preferred=liked)
                yield alike, _side_by_side(ground, some)
    for role in gang.roles:
        slots = basis.view(inventory, role).slots.copy()
        if tractable(role):
            yield role, slots
            continue
        yield replace(role, segments=()), slots
        for depth, sizes in role.segments:
            for size in sorted(set(sizes), reverse=True)[:_SIZES]:
                times = sum(mine >= size for mine in sizes)
                yield replace(role, count=times * size, segments=((depth, (size,) * times),)), slots


def _side_by_side(ground: Ground, some: tuple[int, ...]) -> Ints:
    """Per position how many pods of some blocks fit together."""
    nodes = ground.nodes
    total = sum((np.indices(nodes.fits.shape[1:])[i] for i in some), np.zeros(nodes.fits.shape[1:], np.int64))
    most = np.where(nodes.fits, total, 0).reshape(len(nodes.fits), -1).max(axis=1)
    return np.concatenate([[0], most])[nodes.code + 1]
