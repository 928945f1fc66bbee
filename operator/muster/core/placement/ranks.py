"""Which rank goes where: the rules of placement.md, one role at a time.

Equal segments or none: the pods of a domain have consecutive ranks at every level, nested. Siblings, nodes included,
follow each other by the role's pods in them, most first, then in natural order; the domain that holds the shorter last
segment comes last at each level down to the segment's. Uneven segments keep the order of `sizes`, so a domain's ranks
may have to be broken up: a segment stays in the domain of the one before it where it can, else goes where most of the
following ones can stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from muster.core.placement.gang import RoleGang, Rung
from muster.core.placement.tree import Tree

Pods = list[tuple[int, int]]
"""(position, pods on it), in rank order."""


def in_order(tree: Tree, pods: Mapping[int, int], tails: Sequence[tuple[int, int]] = ()) -> Pods:
    """Nodes in the order in which they take ranks. `tails`: (depth, size) of each level of equal segments whose last is
    shorter, so that the domain with another remainder holds it."""
    at = np.array(sorted(pods), np.int64)
    held = np.array([pods[position] for position in at.tolist()], np.int64)
    odd = np.zeros((tree.depths + 1, len(at)), bool)
    for depth, size in tails:
        mine = tree.domain[depth][at]
        short = np.bincount(mine, held)[mine].astype(np.int64) % size > 0
        for above in range(depth + 1):
            over = tree.domain[above][at]
            odd[above] |= np.bincount(over, short)[over] > 0
    columns = []
    for depth in range(1, tree.depths + 1):
        mine = tree.domain[depth][at]
        columns += [odd[depth], -np.bincount(mine, held)[mine], mine]
    order = np.lexsort(columns[::-1])
    return [(int(at[i]), int(held[i])) for i in order.tolist()]


def tails(role: RoleGang) -> list[tuple[int, int]]:
    """Levels below the role's shared domain at which its last segment is shorter."""
    return [(depth, sizes[0]) for depth, sizes in role.segments if depth > role.required and role.count % sizes[0]]


def by_pieces(
    tree: Tree, pods: Pods, rungs: tuple[Rung, ...], pieces: Sequence[tuple[int, int, tuple[int, ...]]]
) -> list[int]:
    """Positions by rank. `pods`: the nodes in the order in which their domain would take ranks; `pieces`: (rung,
    domain, pieces of each kind in it)."""
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
    queues: dict[tuple[int, int], list[int]] = {}
    depth = rungs[0].depth if rungs else 0
    for position, held in pods:
        queues.setdefault((depth, int(tree.domain[depth][position])), []).extend([position] * held)
    for queue in queues.values():
        queue.reverse()
    out: list[int] = []
    if not rungs:
        return queues[(0, 0)][::-1]
    for kind, home in zip(rungs[0].order, homes, strict=True):
        out += [queues[home].pop() for _ in range(rungs[0].parts[kind][0])]
    return out
