"""Which rank goes where: the rules of placement.md, one role at a time.

Equal segments or none: the pods of a domain have consecutive ranks at every level, nested. Siblings, nodes included,
follow each other by the role's pods in them, most first, then in natural order; the domain that holds the shorter last
segment comes last at each level down to the segment's. Uneven segments keep the order of `sizes`, so a domain's ranks
may have to be broken up: as seldom as can be, at the broadest level first, where the ways are few enough to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from muster.core.placement.gang import RoleGang, Rung
from muster.core.placement.tree import Tree

Pods = list[tuple[int, int]]
"""(position, pods on it), in rank order."""
_WAYS = 20_000
"""States up to which all ways to give uneven segments their domains are looked at."""
_NEVER = 1 << 200
"""Breaks of what cannot be completed."""


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
        homes = [(rung.depth, domain) for domain in _homes(tree, rung, inside, left[i])]
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


def _homes(tree: Tree, rung: Rung, inside: list[tuple[int, int]], left: dict[int, list[int]]) -> list[int]:
    """The domain of each piece of a rung, by rank: with the fewest breaks, counted at the broadest level first, where
    the ways to assign them are few enough to look at, else each where most of those after it can stay."""
    at = {domain: int(tree.start[rung.depth][domain]) for domain in left}
    over = {domain: tuple(int(tree.domain[d][p]) for d in range(rung.depth + 1)) for domain, p in at.items()}
    order, most = rung.order, len(rung.order) + 1

    def able(piece: int, counts: Mapping[int, Sequence[int]], last: int) -> list[int]:
        depth, domain = inside[piece]
        found = [d for d, mine in counts.items() if mine[order[piece]] and over[d][depth] == domain]
        return sorted(found, key=lambda d: (d != last, -sum(counts[d]), d))

    def breaks(one: int, two: int) -> int:
        if one < 0:
            return 0
        pairs = zip(over[one], over[two], strict=True)
        return sum(int(most ** (rung.depth - d)) for d, (a, b) in enumerate(pairs) if a != b)

    if prod(n + 1 for mine in left.values() for n in mine) * len(left) > _WAYS:
        return _greedy(rung, able, left)
    domains = list(left)
    known: dict[tuple[int, tuple[tuple[int, ...], ...]], tuple[int, int]] = {}

    def least(piece: int, last: int, counts: tuple[tuple[int, ...], ...]) -> tuple[int, int]:
        """(breaks from here on, the domain of this piece)."""
        if piece == len(order):
            return 0, -1
        mark = last, counts
        if mark not in known:
            best: tuple[int, int] | None = None
            for domain in able(piece, dict(zip(domains, counts, strict=True)), last):
                after = least(piece + 1, domain, _without(counts, domains.index(domain), order[piece]))[0]
                total = after + breaks(last, domain)
                if after < _NEVER and (best is None or total < best[0]):
                    best = total, domain
            known[mark] = best or (_NEVER, -1)
        return known[mark]

    out: list[int] = []
    counts, last = tuple(tuple(mine) for mine in left.values()), -1
    for piece, kind in enumerate(order):
        last = least(piece, last, counts)[1]
        counts = _without(counts, domains.index(last), kind)
        out.append(last)
    return out


def _without(counts: tuple[tuple[int, ...], ...], which: int, kind: int) -> tuple[tuple[int, ...], ...]:
    mine = list(counts[which])
    mine[kind] -= 1
    return (*counts[:which], tuple(mine), *counts[which + 1 :])


def _greedy(
    rung: Rung, able: Callable[[int, Mapping[int, Sequence[int]], int], list[int]], left: dict[int, list[int]]
) -> list[int]:
    """Piece after piece: in the domain of the one before, else in the one that the longest run can stay in."""
    out: list[int] = []
    last = -1
    for piece, kind in enumerate(rung.order):
        choices = able(piece, left, last)
        if last not in choices:
            last = max(choices, key=lambda d: (_run(rung, piece, left[d]), -choices.index(d)))
        left[last][kind] -= 1
        out.append(last)
    return out


def _run(rung: Rung, piece: int, counts: Sequence[int]) -> int:
    """How many pieces from this one on a domain with so many of each kind could take."""
    mine = list(counts)
    for n, kind in enumerate(rung.order[piece:]):
        if not mine[kind]:
            return n
        mine[kind] -= 1
    return len(rung.order) - piece
