"""A gang that cannot keep its domain placed anew as a whole, ranks staying where that costs nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np

from muster.core.model import Found
from muster.core.placement.field import apart, unlimited
from muster.core.placement.repair_case import Case
from muster.core.placement.repair_parts import FREE, Left, Parts
from muster.core.placement.repair_try import Answer, answered, filled, worth
from muster.core.placement.tasks import tractable
from muster.core.placement.tree import Ints


def placed(case: Case, budget: int) -> Answer | None:
    """A placement of the whole gang on what is free without it; None if there is none. For several roles, or uneven
    segments of very many kinds: the best of what `Solver.place` finds within fill limits, and what is found by filling
    each domain that may hold all of them; None if nothing is found in as many tries as the budget says."""
    role = case.gang.roles[0]
    if len(case.gang.roles) == 1 and tractable(role):
        where = unlimited(apart(case.tree, case.busy, case.base[0]))
        ranks = case.placer.alone(where, role) if case.placer.possible(where, role) else None
        return None if ranks is None else _answered(case, [np.array(ranks, np.int64)], exact=True)
    found = case.placer.place(case.inventory, case.shape)
    best: Answer | None = None
    if isinstance(found, Found):
        positions = [np.array([case.tree.position[name] for name in mine], np.int64) for mine in found.nodes]
        best = _answered(case, positions, exact=False)
    nowhere = [np.full(len(mine), FREE) for mine in case.at]
    for domain in _domains(case)[:budget]:
        stays = [
            Left(mine != FREE, (), {(0, domain): list(range(len(parts.firsts[0])))})
            for parts, mine in zip(case.parts, nowhere, strict=True)
        ]
        full = filled(case, stays, nowhere)[0]
        if full is not None:
            answer = _answered(case, full.positions, exact=False)
            if best is None or worth(answer) < worth(best):
                best = answer
    return best


def hopeless(case: Case) -> bool:
    """Whether a gang of one role would find no room even if each of its nodes took back as many pods as it has."""
    role = case.gang.roles[0]
    if len(case.gang.roles) > 1 or not tractable(role):
        return False
    slots = np.maximum(case.base[0], case.held(case.at)[0])
    return not case.placer.possible(unlimited(apart(case.tree, case.busy, slots)), role)


def _answered(case: Case, positions: list[Ints], *, exact: bool) -> Answer:
    kept = [_kept(parts, old, new) for parts, old, new in zip(case.parts, case.at, positions, strict=True)]
    return answered(case, kept, "gang", exact)


def _domains(case: Case) -> list[int]:
    """The domains that may hold all roles, those with least room first."""
    tree, depth = case.tree, case.together
    able = np.ones(tree.domains(depth), bool)
    room = np.zeros(tree.domains(depth), np.int64)
    for role, slots in zip(case.gang.roles, case.base, strict=True):
        mine = tree.sums(depth, slots)
        able &= mine >= role.count
        room += mine
    return sorted(np.flatnonzero(able).tolist(), key=lambda domain: (int(room[domain]), domain))


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
