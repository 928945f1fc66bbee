"""The smallest change that would start a gang which was refused (`model.Remedy`).

Three answers, all from the basis that refused it: the fewest nodes to free (`remedy_search`), and who holds them; the
largest gang of this shape that fits as things are; and what would fit if one constraint were given up. A freed node
offers what it has on the empty healthy cluster, but for the pods of DaemonSets, which come back.
"""

from __future__ import annotations

import numpy as np

from muster.core.inventory import Inventory
from muster.core.model import Reason, Remedy, Shape, Verdict
from muster.core.placement import remedy_actions, remedy_relax, remedy_several
from muster.core.placement.basis import Basis
from muster.core.placement.gang import Gang, RoleGang
from muster.core.placement.remedy_search import Stock, fewest, weights
from muster.core.placement.tasks import tractable
from muster.core.placement.tree import Ints, Tree

MENDED = frozenset({Reason.UNSATISFIABLE, Reason.INSUFFICIENT_CAPACITY, Reason.FRAGMENTED})
"""The verdicts that a change can mend."""


def smallest(basis: Basis, inventory: Inventory, shape: Shape, verdict: Verdict) -> Remedy | None:
    """What would start a shape that this inventory refused with this verdict; None for other verdicts than `MENDED`.
    For several roles, and for segments of too many sizes, only a number of nodes that is enough."""
    gang = basis.gang(inventory, shape)
    if isinstance(gang, Verdict) or verdict.reason not in MENDED:
        return None
    if len(gang.roles) > 1 or not tractable(gang.roles[0]):
        return Remedy() if verdict.reason is Reason.UNSATISFIABLE else remedy_several.enough(basis, inventory, gang)
    (role,) = gang.roles
    if verdict.reason is Reason.UNSATISFIABLE:
        return _never(basis, inventory, shape, gang, verdict)
    view = basis.view(inventory, role)
    now, busy = view.slots.copy(), view.busy.copy()
    largest = verdict.number("largest")
    if not isinstance(largest, int):
        largest = basis.longest(inventory, role, view)
    relax = remedy_relax.relaxations(basis, inventory, shape, gang)
    tree = basis.tree(inventory)
    then = np.maximum(now, basis.view(basis.emptied(inventory), role).slots)
    stock = Stock(now, then, weights(tree, inventory, busy), busy)
    found, proven = fewest(tree, stock, role)
    change = None if found is None else remedy_actions.chosen(tree, inventory, role, found)
    if change is not None and not remedy_actions.roomy(change):
        # DaemonSets take room on some node: seldom, so it is not looked for before.
        stock = Stock(now, _beside_daemons(tree, inventory, role, stock), stock.weight, busy)
        found, proven = fewest(tree, stock, role)
        change = None if found is None else remedy_actions.chosen(tree, inventory, role, found)
    if change is None:
        return Remedy(largest=largest, relax=relax, proven=proven)
    nodes, actions = remedy_actions.told(tree, inventory, gang.roles, change)
    level, domain = remedy_actions.around(tree, inventory, nodes)
    return Remedy(len(nodes), nodes, level, domain, actions, proven, largest, 0, relax)


def _beside_daemons(tree: Tree, inventory: Inventory, role: RoleGang, stock: Stock) -> Ints:
    """Slots when the nodes are free of all but the pods of DaemonSets."""
    then = stock.then.copy()
    places = np.flatnonzero(then > stock.now).tolist()
    holders = inventory.holders([tree.names[at] for at in places])
    for at in places:
        node = inventory.node(tree.names[at])
        assert node is not None
        held = [h.amounts for h in holders[node.name] if h.daemon]
        if held:
            room = remedy_actions.slots_beside(node, role.shape.requests, held)
            then[at] = max(stock.now[at], min(then[at], room))
    return then


def _never(basis: Basis, inventory: Inventory, shape: Shape, gang: Gang, verdict: Verdict) -> Remedy:
    """Of a gang that the empty cluster does not hold: what it would hold instead, or how many nodes it lacks."""
    (role,) = gang.roles
    empty = basis.emptied(inventory)
    largest = verdict.number("largest")
    add, level, domain = _added(basis, empty, role)
    return Remedy(
        level=level,
        domain=domain,
        proven=True,
        largest=largest if isinstance(largest, int) else None,
        add=add,
        relax=remedy_relax.relaxations(basis, empty, shape, gang),
    )


def _added(basis: Basis, empty: Inventory, role: RoleGang) -> tuple[int, str, str]:
    """How many nodes like the best must be added for a role without segments and fill limits, and to which domain."""
    tree, above = basis.tree(empty), role.required
    view = basis.view(empty, role)
    best = int(view.slots.max(initial=0))
    limited = any(level.fill_limit is not None for level in tree.levels.levels)
    if not best or above == tree.depths or limited or any(depth > above for depth, _ in role.segments):
        return 0, "", ""
    held = view.free[above]
    domain = int(np.argmax(held))
    lacks = role.count - int(held[domain])
    return -(-lacks // best) if lacks > 0 else 0, tree.level(above), tree.name(above, domain, empty)
