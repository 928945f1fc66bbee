"""Several roles, or uneven segments of too many kinds for one exact search: the optimum by `exact`, within a budget of
counted steps; where that ends first, the best that `sequence` finds and a lower bound of every vector."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from muster.core.inventory import Inventory
from muster.core.model import Found, Objective, Verdict
from muster.core.placement import apart, ranks, sequence, verdicts
from muster.core.placement.exact import Exact, Meter, OverBudget, bound, ground_of, optimum
from muster.core.placement.gang import Gang
from muster.core.placement.tree import Tree

if TYPE_CHECKING:
    from muster.core.placement.solver import Solver

_BOUND = 4
_SEQUENCE = 4
"""Parts of the budget that are spent beside it, if it ends: for a bound, and for placing role after role."""


def place(solver: Solver, inventory: Inventory, gang: Gang, budget: int) -> Found | Verdict:
    """The optimum and `proven`; or the best found, with its bound; or why there is none; or SearchLimit."""
    tree = solver.tree(inventory)
    meters = [Meter(budget), Meter(budget // _BOUND), Meter(budget // _SEQUENCE)]
    least: tuple[int, ...] = (0,) * (tree.depths + 4)
    answer: Found | None = None
    try:
        ground = ground_of(solver, inventory, gang, meters[0])
    except OverBudget:
        pass
    else:
        try:
            found = optimum(ground, meters[0])
            if found is None:
                return apart.refusal(solver, inventory, gang, budget)
            answer = _found(tree, gang, found)
            if answer.proven:
                return answer
            least = found.bound
        except OverBudget:
            pass
        more = bound(ground, meters[1])
        if more is None:
            return apart.refusal(solver, inventory, gang, budget)
        least = max(least, more)
    if answer is None:
        answer = sequence.place(solver, inventory, gang, meters[2])
    if answer is None:
        pods = sum(role.count for role in gang.roles)
        return verdicts.search_limit(pods, sum(meter.used for meter in meters))
    return replace(answer, bound=least, proven=answer.objective.vector == least)


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
