"""How many pods of a gang fit at once if its shape did not matter."""

from __future__ import annotations

import numpy as np

from muster.core.placement.exact.arrays import INFINITE, REACHED, Ints, added
from muster.core.placement.exact.climb import Ground
from muster.core.placement.exact.meter import Meter


def most(ground: Ground, meter: Meter) -> int:
    """The most pods of the gang that eligible nodes take side by side, whatever its constraints; all of them if they
    fit. Raises OverBudget.

    What fits beside so many pods of all roles but the largest is a number, so nodes are added up as curves over the
    smaller roles: the least of minus that number."""
    blocks, nodes = ground.blocks.all, ground.nodes
    if not nodes.some:
        return 0
    large = max(range(len(blocks)), key=lambda i: blocks[i].role.count)
    caps = (*(block.role.count for i, block in enumerate(blocks) if i != large), 0)
    mine = np.moveaxis(nodes.fits, large + 1, -1)
    amounts = np.arange(mine.shape[-1])
    lines = np.where(mine, -amounts, INFINITE).min(axis=-1)[..., None]
    total: Ints | None = None
    for code, n in enumerate(np.bincount(nodes.code[nodes.code >= 0]).tolist()):
        power = _power(lines[code : code + 1], n, caps, meter)
        total = power if total is None else added(total, power, caps, meter)
    assert total is not None
    reached = total[0] < REACHED
    others = np.indices(reached.shape).sum(axis=0)
    return int((np.minimum(-total[0], blocks[large].role.count) + others)[reached].max())


def _power(line: Ints, times: int, caps: tuple[int, ...], meter: Meter) -> Ints:
    if times == 1:
        return line
    half = _power(line, times // 2, caps, meter)
    both = added(half, half, caps, meter)
    return added(both, line, caps, meter) if times % 2 else both
