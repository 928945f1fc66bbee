"""Why a gang of several roles, or of uneven segments, cannot be placed, though each role alone could be."""

from __future__ import annotations

from muster.core.inventory import Inventory
from muster.core.model import Verdict
from muster.core.placement import verdicts
from muster.core.placement.basis import Basis
from muster.core.placement.exact import Meter, OverBudget, ground_of, most, possible
from muster.core.placement.gang import Gang, prefix


def never(basis: Basis, inventory: Inventory, gang: Gang, budget: int) -> Verdict | None:
    """The verdict on a gang that the empty healthy cluster could not hold; None if it could, or the budget does not
    tell."""
    empty = basis.emptied(inventory)
    meter = Meter(budget)
    try:
        if possible(ground_of(basis, empty, gang, meter), meter):
            return None
    except OverBudget:
        return None
    pods = sum(role.count for role in gang.roles)
    if len(gang.roles) > 1:
        level = basis.tree(inventory).level(max(gang.required, gang.boundary))
        return verdicts.unsatisfiable(pods, "roles", level, None, "", ())
    level = basis.tree(inventory).level(gang.roles[0].segments[-1][0])
    return verdicts.unsatisfiable(pods, "segments", level, _longest(basis, empty, gang, budget), "", ())


def refusal(basis: Basis, inventory: Inventory, gang: Gang, budget: int, alone: Verdict | None = None) -> Verdict:
    """The verdict on a gang that is known not to fit now. `alone`: what one of its roles alone is refused for, which
    comes after too little capacity for all of them together. `free` counts the pods that fit side by side whatever the
    gang's shape; what the budget does not reach is left out."""
    pods = sum(role.count for role in gang.roles)
    tree = basis.tree(inventory)
    meter = Meter(budget)
    try:
        free: int | None = most(ground_of(basis, inventory, gang, meter), meter)
    except OverBudget:
        free = None
    if free is not None and free < pods:
        return verdicts.insufficient(pods, free, "", ())
    if alone is not None:
        return alone
    if len(gang.roles) > 1:
        return verdicts.scattered(pods, free, tree.level(max(gang.required, gang.boundary)))
    return verdicts.scattered(pods, free, "", _longest(basis, inventory, gang, budget))


def _longest(basis: Basis, inventory: Inventory, gang: Gang, budget: int) -> int | None:
    """Pods of the longest prefix of a gang of one role that fits now; None if the budget does not tell."""
    (role,) = gang.roles
    low, high = 0, role.count - 1
    meter = Meter(budget)
    try:
        while low < high:
            middle = (low + high + 1) // 2
            shorter = Gang((prefix(role, middle),), gang.required, gang.preferred, gang.boundary)
            if possible(ground_of(basis, inventory, shorter, meter), meter):
                low = middle
            else:
                high = middle - 1
    except OverBudget:
        return None
    return low
