"""Several roles, or uneven segments of too many kinds for one exact search: the optimum by `exact`, within a budget of
counted steps; where that ends first, the best that `sequence` finds and a lower bound of every vector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from muster.core.inventory import Inventory
from muster.core.model import Found, Objective, Verdict
from muster.core.placement import apart, ranks, relax, sequence, verdicts
from muster.core.placement.basis import Basis
from muster.core.placement.exact import Exact, Ground, Meter, OverBudget, ground_of, optimum
from muster.core.placement.gang import Gang
from muster.core.placement.tree import Tree

_CELLS = 2048
"""States of the whole gang beyond which the relaxations come first: cheap, and often the proof of what they lead to."""


def place(basis: Basis, inventory: Inventory, gang: Gang, budget: int) -> Found | Verdict:
    """The optimum and `proven`; or the best found, with its bound; or why there is none; or SearchLimit."""
    pods = sum(role.count for role in gang.roles)
    exactly, beside = Meter(budget), Meter(budget * 2 // 3)
    try:
        ground = ground_of(basis, inventory, gang, exactly)
    except OverBudget:
        return verdicts.search_limit(pods, exactly.used)
    tried: _Tried | None = None
    found: Exact | None = None
    caps = ground.blocks.caps(ground.blocks.together)
    if prod(cap + 1 for cap in caps) > _CELLS:
        tried = _beside(basis, inventory, gang, ground, beside)
        if tried.proven:
            return tried.answer or apart.refusal(basis, inventory, gang, budget)
    try:
        found = optimum(ground, exactly)
        if found is None:
            return apart.refusal(basis, inventory, gang, budget)
        if found.bound == found.vector:
            return _found(ground.tree, gang, found)
    except OverBudget:
        pass
    if tried is None:
        tried = _beside(basis, inventory, gang, ground, beside)
        if tried.proven:
            return tried.answer or apart.refusal(basis, inventory, gang, budget)
    answers = [tried.answer] if tried.answer is not None else []
    least = tried.bound
    if found is not None:
        answers.append(_found(ground.tree, gang, found))
        least = max(least, found.bound)
    if not answers:
        return verdicts.search_limit(pods, exactly.used + beside.used)
    best = min(answers, key=lambda answer: answer.objective.vector)
    return replace(best, bound=least, proven=best.objective.vector == least)


@dataclass(frozen=True, slots=True)
class _Tried:
    """What relaxations and role after role lead to; without an answer `proven` says that there is none."""

    answer: Found | None
    bound: tuple[int, ...]
    proven: bool


def _beside(basis: Basis, inventory: Inventory, gang: Gang, ground: Ground, meter: Meter) -> _Tried:
    least = relax.bound(basis, inventory, gang, ground, Meter(meter.steps // 2))
    if least is None:
        return _Tried(None, (), True)
    answer = sequence.place(basis, inventory, gang, meter, least.vector, least.nodes)
    if answer is None:
        return _Tried(None, least.vector, False)
    proven = answer.objective.vector == least.vector
    return _Tried(replace(answer, bound=least.vector, proven=proven), least.vector, proven)


def _found(tree: Tree, gang: Gang, found: Exact) -> Found:
    preferred, cost, nodes, *intact, leftover = found.vector
    opened = tuple((tree.level(depth), n) for depth, n in enumerate(intact, 1))
    objective = Objective(preferred, cost, nodes, opened, leftover)
    domains = tuple((tree.level(depth), n) for depth, n in enumerate(found.domains[:-1], 1))
    names = tuple(tuple(tree.names[at] for at in mine) for mine in _ranks(tree, gang, found))
    return Found(names, objective, found.bound == found.vector, domains, (), 0, found.bound)


def _ranks(tree: Tree, gang: Gang, found: Exact) -> list[list[int]]:
    """Positions by role and rank."""
    out: list[list[int]] = [[] for _ in gang.roles]
    for i, block in enumerate(found.blocks.all):
        loads = {at: load[i] for at, load in found.spread.loads.items() if load[i]}
        if len(block.members) > 1:
            # Roles alike in all but name share what was found for them together, one after the other.
            together = [at for at, held in ranks.in_order(tree, loads) for _ in range(held)]
            for member in block.members:
                mine, together = together[: gang.roles[member].count], together[gang.roles[member].count :]
                order = ranks.in_order(tree, {at: mine.count(at) for at in dict.fromkeys(mine)})
                out[member] = [at for at, held in order for _ in range(held)]
            continue
        role = gang.roles[block.members[0]]
        if role.equal:
            order = ranks.in_order(tree, loads, ranks.tails(role))
            out[role.index] = [at for at, held in order for _ in range(held)]
        else:
            pods = ranks.in_order(tree, loads)
            out[role.index] = ranks.by_pieces(tree, pods, block.rungs, found.spread.pieces[i])
    return out
