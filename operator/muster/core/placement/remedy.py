"""The smallest change that would start a gang which was refused (`model.Remedy`).

Three answers, all from the solver that refused it: the fewest nodes to free (`remedy_search`), and who holds them; the
largest gang of this shape that fits as things are; and what would fit if one constraint were given up. A freed node
offers what it has on the empty healthy cluster, but for the pods of DaemonSets, which come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from muster.core.inventory import Inventory
from muster.core.model import Reason, Remedy, Shape, Verdict
from muster.core.placement import remedy_actions, remedy_relax
from muster.core.placement.gang import Gang, RoleGang
from muster.core.placement.remedy_search import Freed, Stock, fewest
from muster.core.placement.tasks import tractable
from muster.core.placement.tree import Ints, Tree

if TYPE_CHECKING:
    from muster.core.placement.solver import Solver

MENDED = frozenset({Reason.UNSATISFIABLE, Reason.INSUFFICIENT_CAPACITY, Reason.FRAGMENTED})
"""The verdicts that a change can mend."""


def smallest(solver: Solver, inventory: Inventory, shape: Shape, verdict: Verdict) -> Remedy | None:
    """What would start a shape that this inventory refused with this verdict; None for other verdicts than `MENDED`.
    For several roles, and for segments of too many sizes, nothing is known yet."""
    gang = solver.gang(inventory, shape)
    if isinstance(gang, Verdict) or verdict.reason not in MENDED:
        return None
    if len(gang.roles) > 1 or not tractable(gang.roles[0]):
        return Remedy()
    (role,) = gang.roles
    if verdict.reason is Reason.UNSATISFIABLE:
        return _never(solver, inventory, shape, gang, verdict)
    view = solver.view(inventory, role)
    now, busy = view.slots.copy(), view.busy.copy()
    largest = verdict.number("largest")
    if not isinstance(largest, int):
        largest = solver.longest(inventory, role, view)
    relax = remedy_relax.relaxations(solver, inventory, shape, gang)
    found, proven = _freed(solver, inventory, role, now, busy)
    if found is None:
        return Remedy(largest=largest, relax=relax, proven=proven)
    tree = solver.tree(inventory)
    nodes, actions = remedy_actions.told(tree, inventory, role, found)
    level, domain = remedy_actions.around(tree, inventory, nodes)
    return Remedy(len(nodes), nodes, level, domain, actions, proven, largest, 0, relax)


def _freed(
    solver: Solver, inventory: Inventory, role: RoleGang, now: Ints, busy: np.ndarray
) -> tuple[Freed | None, bool]:
    tree = solver.tree(inventory)
    then = np.maximum(now, solver.view(solver.emptied(inventory), role).slots)
    stock = Stock(now, then, _weights(tree, inventory, busy), busy)
    found, proven = fewest(tree, stock, role)
    if found is not None and any(_room(tree, inventory, role, at) < n for at, n in found.pods.items() if n > now[at]):
        # DaemonSets take room on some node: seldom, so it is not looked for before.
        then = then.copy()
        for at in np.flatnonzero(then > now).tolist():
            then[at] = max(now[at], min(then[at], _room(tree, inventory, role, at)))
        stock = Stock(now, then, stock.weight, busy)
        found, proven = fewest(tree, stock, role)
    return found, proven


def _weights(tree: Tree, inventory: Inventory, busy: np.ndarray) -> Ints:
    """Which of equally many nodes one would free: cordoned ones first, then unhealthy ones, then those in use."""
    sick = (inventory.causes(tree.rows) > 1).astype(np.int64)
    return np.where(busy, 2, sick)


def _room(tree: Tree, inventory: Inventory, role: RoleGang, at: int) -> int:
    """Slots of one node on which only DaemonSets hold something."""
    name = tree.names[at]
    held = [h.amounts for h in inventory.holders([name])[name] if h.daemon]
    node = inventory.node(name)
    return 0 if node is None else remedy_actions.slots_beside(node, role.shape.requests, held)


def _never(solver: Solver, inventory: Inventory, shape: Shape, gang: Gang, verdict: Verdict) -> Remedy:
    """Of a gang that the empty cluster does not hold: what it would hold instead, or how many nodes it lacks."""
    (role,) = gang.roles
    empty = solver.emptied(inventory)
    largest = verdict.number("largest")
    add, level, domain = _added(solver, empty, role)
    return Remedy(
        level=level,
        domain=domain,
        proven=True,
        largest=largest if isinstance(largest, int) else None,
        add=add,
        relax=remedy_relax.relaxations(solver, empty, shape, gang),
    )


def _added(solver: Solver, empty: Inventory, role: RoleGang) -> tuple[int, str, str]:
    """How many nodes like the best must be added for a role without segments and fill limits, and to which domain."""
    tree, above = solver.tree(empty), role.required
    view = solver.view(empty, role)
    best = int(view.slots.max(initial=0))
    limited = any(level.fill_limit is not None for level in tree.levels.levels)
    if not best or above == tree.depths or limited or any(depth > above for depth, _ in role.segments):
        return 0, "", ""
    held = view.free[above]
    domain = int(np.argmax(held))
    lacks = role.count - int(held[domain])
    return -(-lacks // best) if lacks > 0 else 0, tree.level(above), tree.name(above, domain, empty)
