"""Nodes that are enough to free for several roles, or for segments of too many kinds for one search.

Role after role, as `sequence` places them, each with the fewest nodes besides those that the roles before it free
already. The sum is an upper bound: other nodes for the first may be better for the second.
"""

from __future__ import annotations

import numpy as np

from muster.core.inventory import Inventory
from muster.core.model import Remedy
from muster.core.placement import remedy_actions
from muster.core.placement.basis import Basis
from muster.core.placement.gang import Gang, RoleGang
from muster.core.placement.remedy_search import Stock, fewest, weights
from muster.core.placement.sequence import parts
from muster.core.placement.tasks import tractable
from muster.core.placement.tree import Ints, Tree

_OWNER = "\0remedy"
_DOMAINS = 4
"""Of the domains that all roles would have to share so many are tried, those with most room first."""

Loads = dict[int, dict[str, int]]


def enough(basis: Basis, inventory: Inventory, gang: Gang) -> Remedy:
    """Nodes whose freeing makes a gang fit; an empty remedy if none are found."""
    tree = basis.tree(inventory)
    shared = max(gang.required, gang.boundary)
    if len(gang.roles) == 1:
        shared = gang.roles[0].required
    elif any(role.required > shared and not tractable(role) for role in gang.roles):
        return Remedy()
    steps = [part for role in gang.roles for part in parts(role)]
    # The largest pods are the hardest to find room for.
    steps.sort(key=lambda role: -max((amount * role.count for r, amount in role.shape.requests if "/" in r), default=0))
    best: Loads | None = None
    for domain in _roomiest(basis, inventory, tree, gang, shared):
        found = _sequence(basis, inventory, tree, steps, (shared, domain))
        if found is not None and (best is None or len(found) < len(best)):
            best = found
    if best is None:
        return Remedy()
    change = remedy_actions.of_loads(tree, inventory, best)
    if not remedy_actions.roomy(change):
        return Remedy()
    nodes, actions = remedy_actions.told(tree, inventory, gang.roles, change)
    level, domain_name = remedy_actions.around(tree, inventory, nodes)
    return Remedy(len(nodes), nodes, level, domain_name, actions)


def _roomiest(basis: Basis, inventory: Inventory, tree: Tree, gang: Gang, depth: int) -> list[int]:
    """Domains that could hold each role alone if all nodes were free, those with most of them free now first."""
    empty = basis.emptied(inventory)
    able = np.ones(tree.domains(depth), bool)
    share = np.ones(tree.domains(depth))
    for role in gang.roles:
        able &= tree.sums(depth, basis.view(empty, role).slots) >= role.count
        share = np.minimum(share, tree.sums(depth, basis.view(inventory, role).slots) / role.count)
    return sorted(np.flatnonzero(able).tolist(), key=lambda d: (-float(share[d]), d))[:_DOMAINS]


def _sequence(
    basis: Basis, inventory: Inventory, tree: Tree, steps: list[RoleGang], within: tuple[int, int]
) -> Loads | None:
    """What each freed node is to hold, or None if some role finds no room."""
    now_here, then_here = inventory.fork(), basis.emptied(inventory).fork()
    busy = ~inventory.intact(tree.rows)
    weight = weights(tree, inventory, busy)
    inside = tree.domain[within[0]] == within[1]
    freed = np.zeros(tree.count, bool)
    loads: Loads = {}
    for role in steps:
        then: Ints = np.where(inside, basis.view(then_here, role).slots, 0)
        now = np.minimum(np.where(freed, then, basis.view(now_here, role).slots), then)
        found, _ = fewest(tree, Stock(now, then, weight, busy), role)
        if found is None:
            return None
        for at, pods in found.pods.items():
            held = loads.setdefault(at, {})
            for resource, amount in remedy_actions.load_of(role.shape.requests, pods).items():
                held[resource] = held.get(resource, 0) + amount
            freed[at] |= pods > now[at]
            busy[at] = True
        claim: dict[str, tuple[tuple[str, int], ...]] = {
            tree.names[at]: tuple(sorted(load.items())) for at, load in loads.items()
        }
        now_here.claim(_OWNER, claim)
        then_here.claim(_OWNER, claim)
    return {at: load for at, load in loads.items() if freed[at]}
