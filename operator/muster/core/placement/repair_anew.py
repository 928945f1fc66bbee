"""A gang that cannot keep its domain placed anew as a whole, ranks staying where that costs nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from muster.core.model import Found, Shape
from muster.core.placement.field import apart, unlimited
from muster.core.placement.repair_case import Case
from muster.core.placement.repair_parts import Parts
from muster.core.placement.tasks import tractable
from muster.core.placement.tree import Ints


@dataclass(frozen=True, slots=True)
class Anew:
    """Positions per role and rank; `exact`: the least vector of all placements."""

    positions: list[Ints]
    exact: bool


def placed(case: Case, shape: Shape, budget: int) -> Anew | None:
    """A placement of the whole gang on what is free without it; None if there is none (for several roles, or uneven
    segments of very many kinds: if none is found)."""
    role = case.gang.roles[0]
    if len(case.gang.roles) == 1 and tractable(role):
        where = unlimited(apart(case.tree, case.busy, case.base[0]))
        ranks = case.solver.alone(where, role) if case.solver.possible(where, role) else None
        positions = None if ranks is None else [np.array(ranks, np.int64)]
        exact = True
    else:
        found = case.solver.place(case.inventory, shape, budget)
        exact = False
        positions = None
        if isinstance(found, Found):
            positions = [np.array([case.tree.position[name] for name in mine], np.int64) for mine in found.nodes]
    if positions is None:
        return None
    kept = [_kept(parts, old, new) for parts, old, new in zip(case.parts, case.at, positions, strict=True)]
    return Anew(kept, exact)


def _kept(parts: Parts, old: Ints, new: Ints) -> Ints:
    """The same nodes with pieces of one kind exchanged so that many ranks stay: those first that share most nodes."""
    out = new.copy()
    if not np.isin(old, new).any():
        return out

    def nodes(level: int, piece: int, at: Ints) -> Counter[int]:
        return Counter(at[parts.ranks(level, piece)].tolist())

    def match(level: int, pieces: list[int], blocks: list[int]) -> None:
        if level == parts.last:
            spots = Counter(new[blocks].tolist())
            stays = []
            for rank in pieces:
                if spots[int(old[rank])] > 0:
                    spots[int(old[rank])] -= 1
                    stays.append(rank)
            rest = iter(sorted(spots.elements()))
            for rank in pieces:
                out[rank] = old[rank] if rank in stays else next(rest)
            return
        mine = {piece: nodes(level, piece, old) for piece in pieces}
        theirs = {block: nodes(level, block, new) for block in blocks}
        kinds = parts.kinds[level]
        pairs = sorted(
            (-(mine[piece] & theirs[block]).total(), piece, block)
            for piece in pieces
            for block in blocks
            if kinds[piece] == kinds[block]
        )
        done: set[int] = set()
        given: set[int] = set()
        below = parts.parents[level + 1]
        for _, piece, block in pairs:
            if piece not in done and block not in given:
                done.add(piece)
                given.add(block)
                match(level + 1, np.flatnonzero(below == piece).tolist(), np.flatnonzero(below == block).tolist())

    every = list(range(len(parts.firsts[0])))
    match(0, every, every)
    return out
