"""Lower bounds of the vector where the exact search does not end: smaller searches that forget something.

- *All together*: pods of all roles are alike. A node takes n of them if it takes any n pods side by side, and leaves at
  least what the best such load leaves; segments, and what single roles require or prefer, are forgotten.
- *Some together*: the same of some of the roles, the others forgotten. What those take of the leftover is not known, so
  the leftover counts nothing.
- *One alone*: a role with all its constraints, likewise.

Each is a relaxation of the whole gang (a placement of the gang is one of it, and touches no fewer domains), so the
lexicographically largest of their optima is a bound; where one of them has no placement, the gang has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from muster.core.placement.exact.blocks import Block, Blocks
from muster.core.placement.exact.climb import Ground
from muster.core.placement.exact.meter import Meter, OverBudget
from muster.core.placement.exact.nodes import Nodes
from muster.core.placement.exact.solve import optimum

Vector = tuple[int, ...]


def bound(ground: Ground, meter: Meter) -> Vector | None:
    """The largest bound that the budget reaches, at least zeros; None if there is no placement."""
    entries = ground.tree.depths + 4
    best: Vector = (0,) * entries
    for smaller, counted in _relaxations(ground):
        try:
            found = optimum(smaller, meter)
        except OverBudget:
            continue
        if found is None:
            return None
        mine = found.bound[:counted] + (0,) * (entries - counted)
        best = max(best, mine)
    return best


def _relaxations(ground: Ground) -> Iterator[tuple[Ground, int]]:
    """(what remains, how many entries of its vector count), cheap and strong ones first."""
    every = tuple(range(len(ground.blocks.all)))
    entries = ground.tree.depths + 4
    for n in range(len(every), 0, -1):
        for some in combinations(every, n):
            if n == 1 and len(every) > 1:
                yield _alone(ground, some[0]), entries - 1
            if n > 1 or ground.blocks.all[some[0]].rungs:
                yield _alike(ground, some), entries if some == every else entries - 1


def _alone(ground: Ground, which: int) -> Ground:
    """One role with its constraints."""
    block = ground.blocks.all[which]
    return replace(ground, blocks=Blocks((block,), ground.blocks.together), nodes=_merged(ground.nodes, (which,)))


def _alike(ground: Ground, some: tuple[int, ...]) -> Ground:
    """Some roles as one, without what each asks for itself."""
    blocks = ground.blocks.all
    count = sum(blocks[i].role.count for i in some)
    role = replace(blocks[some[0]].role, count=count, segments=(), required=ground.blocks.together)
    merged = Block(role, tuple(m for i in some for m in blocks[i].members), (), 0)
    return replace(ground, blocks=Blocks((merged,), ground.blocks.together), nodes=_merged(ground.nodes, some))


def _merged(nodes: Nodes, some: tuple[int, ...]) -> Nodes:
    """Nodes by the pods of some roles together, whatever of the others lies there."""
    extents = nodes.fits.shape[1:]
    total = sum((np.indices(extents)[i] for i in some), np.zeros(extents, np.int64)).ravel()
    size = int(total.max(initial=0)) + 1
    fits = np.zeros((len(nodes.busy), size), bool)
    drop = np.zeros((len(nodes.busy), size), np.int64)
    able, drops = nodes.fits.reshape(len(fits), -1), nodes.drop.reshape(len(fits), -1)
    for n in range(size):
        mine = total == n
        fits[:, n] = able[:, mine].any(axis=1)
        drop[:, n] = np.where(able[:, mine], drops[:, mine], 0).max(axis=1)
    drop[:, 0] = 0
    return replace(nodes, fits=fits, drop=drop)
