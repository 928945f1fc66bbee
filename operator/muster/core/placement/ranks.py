"""Ranks of uneven segments: they follow `sizes`, and a segment stays in the domain of the one before it where it can.
Those of equal segments, or none, are in the order in which `answer` lists the nodes."""

from __future__ import annotations

from collections.abc import Sequence

from muster.core.placement.answer import Pods
from muster.core.placement.gang import Rung
from muster.core.placement.tree import Tree


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
