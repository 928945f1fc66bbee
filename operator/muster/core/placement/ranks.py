"""From pods per node to a node per rank.

Equal segments or none: domains hold consecutive ranks at every level, most pods first, then natural order; the domain
with a shorter last segment last, at each level down to the segment's. Uneven sizes: ranks follow `sizes`, and a segment
stays in the domain of the one before it where it can.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from muster.core.placement.gang import RoleGang, Rung
from muster.core.placement.tree import Ints, Tree


def in_order(tree: Tree, pods: Ints, role: RoleGang) -> list[int]:
    """Positions by rank for equal segments or none; `pods` per position."""
    return np.repeat(*_ordered(tree, pods, role)).tolist()


def by_pieces(
    tree: Tree, pods: Ints, role: RoleGang, rungs: tuple[Rung, ...], pieces: Sequence[tuple[int, int, tuple[int, ...]]]
) -> list[int]:
    """Positions by rank for uneven segments. `pieces`: (rung, domain, pieces of each kind in it)."""
    left: list[dict[int, list[int]]] = [{} for _ in rungs]
    for which, domain, state in pieces:
        left[which][domain] = list(state)
    homes: list[tuple[int, int]] = []
    """(depth, domain) of each piece of the rung above, by rank; then of each pod."""
    for i in range(len(rungs) - 1, -1, -1):
        rung = rungs[i]
        inside: list[tuple[int, int]] = []
        if i == len(rungs) - 1:
            inside = [(0, 0)] * len(rung.order)
        else:
            above = rungs[i + 1]
            for kind, home in zip(above.order, homes, strict=True):
                inside += [home] * sum(above.parts[kind])
        homes = []
        last = -1
        for kind, (depth, domain) in zip(rung.order, inside, strict=True):
            candidates = [
                d
                for d, counts in left[i].items()
                if counts[kind] and int(tree.domain[depth][tree.start[rung.depth][d]]) == domain
            ]
            last = last if last in candidates else min(candidates, key=lambda d: (-sum(left[i][d]), d))
            left[i][last][kind] -= 1
            homes.append((rung.depth, last))
    order, counts = _ordered(tree, pods, role, tails=False)
    queues: dict[tuple[int, int], list[int]] = {}
    depth = rungs[0].depth if rungs else 0
    for position in np.repeat(order, counts).tolist():
        queues.setdefault((depth, int(tree.domain[depth][position])), []).append(position)
    for queue in queues.values():
        queue.reverse()
    out: list[int] = []
    if not rungs:
        return queues[(0, 0)][::-1]
    for kind, home in zip(rungs[0].order, homes, strict=True):
        out += [queues[home].pop() for _ in range(rungs[0].parts[kind][0])]
    return out


def _ordered(tree: Tree, pods: Ints, role: RoleGang, tails: bool = True) -> tuple[Ints, Ints]:
    """The touched positions in rank order, and the pods on each."""
    touched = np.flatnonzero(pods)
    held = pods[touched]
    last = np.zeros((tree.depths + 1, len(touched)), bool)
    if tails:
        for depth, sizes in role.segments:
            if role.count % sizes[0] == 0:
                continue
            mine = tree.domain[depth][touched]
            totals = np.bincount(mine, weights=held).astype(np.int64)[mine]
            odd = touched[totals % sizes[0] != 0][:1]
            for d in range(1, depth + 1):
                last[d] |= tree.domain[d][touched] == tree.domain[d][odd]
    keys: list[Ints] = []
    for depth in range(1, tree.depths + 1):
        mine = tree.domain[depth][touched]
        _, inverse = np.unique(mine, return_inverse=True)
        totals = np.bincount(inverse, weights=held).astype(np.int64)[inverse]
        keys += [last[depth].astype(np.int64), -totals, mine]
    order = np.lexsort(keys[::-1])
    return touched[order], held[order]
