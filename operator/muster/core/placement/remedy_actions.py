"""Which nodes are freed, of those that are alike, and what has to be done for it.

Of nodes that may stand in for each other those are taken that the fewest jobs hold together: again and again the job
that holds most of what is still needed, of equal ones the smallest. On each node only what stands in the way is ended:
whatever may stay beside the gang's pods stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from muster.core.eligibility import HARD, tolerated
from muster.core.health import HEALTH_TAINTS
from muster.core.inventory import HOST_PORT, UNBOUNDED, Amounts, Holder, Inventory
from muster.core.model import Action, ActionKind, Filter, Node, Resources
from muster.core.placement.gang import RoleGang
from muster.core.placement.remedy_search import IN_USE, Freed
from muster.core.placement.tree import Ints, Tree

UNSCHEDULABLE = HEALTH_TAINTS + "unschedulable"
"""The taint that Kubernetes puts on a cordoned node."""
_KINDS = (ActionKind.UNCORDON, ActionKind.HEAL, ActionKind.FREE)
_Class = tuple[int, int, int, int]
"""Of nodes in use that may stand in for each other: domain, slots now and when free, pods that they get."""


def load_of(requests: Resources, pods: int) -> dict[str, int]:
    """What so many pods ask for together."""
    return {resource: amount * pods for resource, amount in requests}


def fits_beside(node: Node, load: Amounts, held: Iterable[Amounts]) -> bool:
    """Whether a load fits on a node, whatever its health, on which only this is held."""
    return slots_beside(node, tuple(load.items()), held) > 0


def slots_beside(node: Node, requests: Resources, held: Iterable[Amounts]) -> int:
    """How many pods fit on a node, whatever its health, on which only this is held."""
    has = {"pods": UNBOUNDED, **dict(node.allocatable)}
    for amounts in held:
        for resource, amount in amounts.items():
            has[resource] = has.get(resource, int(resource.startswith(HOST_PORT))) - amount
    asked = [(max(has.get(r, int(r.startswith(HOST_PORT))), 0), amount) for r, amount in requests if amount > 0]
    return min((left // amount for left, amount in asked), default=UNBOUNDED)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The nodes to free by position: what the gang's pods will ask for there, and its record; who holds them, by
    name."""

    loads: Mapping[int, Amounts]
    nodes: dict[int, Node]
    holders: dict[str, list[Holder]]


def chosen(tree: Tree, inventory: Inventory, role: RoleGang, found: Freed) -> Chosen:
    """Which nodes are freed for a placement, of those that may stand in for each other."""
    pods = _regrouped(tree, inventory, found)
    return of_loads(tree, inventory, {at: load_of(role.shape.requests, n) for at, n in pods.items()})


def of_loads(tree: Tree, inventory: Inventory, loads: Mapping[int, Amounts]) -> Chosen:
    """The nodes that these loads are for."""
    nodes: dict[int, Node] = {}
    for at in sorted(loads):
        node = inventory.node(tree.names[at])
        assert node is not None
        nodes[at] = node
    return Chosen(loads, nodes, inventory.holders([node.name for node in nodes.values()]))


def roomy(change: Chosen) -> bool:
    """Whether the nodes have room for their loads beside what DaemonSets hold there."""
    for at, node in change.nodes.items():
        held = [holder.amounts for holder in change.holders[node.name] if holder.daemon]
        if held and not fits_beside(node, change.loads[at], held):
            return False
    return True


def told(
    tree: Tree, inventory: Inventory, roles: Sequence[RoleGang], change: Chosen
) -> tuple[tuple[str, ...], tuple[Action, ...]]:
    """The nodes to free, in natural order, and what to do: uncordon, heal, end jobs (those of most nodes first), end
    other pods."""
    ended: dict[str, list[str]] = {}
    single: list[tuple[ActionKind, str, int]] = []
    for at, node in change.nodes.items():
        single += [(kind, node.name, 0) for kind in _ailments(inventory, node, [role.shape.filter for role in roles])]
        for holder in _in_the_way(node, change.loads[at], change.holders[node.name], ended):
            if holder.owner is not None:
                ended.setdefault(holder.owner, []).append(node.name)
            else:
                single.append((ActionKind.FREE, node.name, holder.pods))
    actions = [
        Action(kind, name, *around(tree, inventory, (name,)), (name,), pods)
        for kind, name, pods in sorted(single, key=lambda one: _KINDS.index(one[0]))
    ]
    jobs = sorted(ended.items(), key=lambda item: (-len(item[1]), tree.position[item[1][0]], item[0]))
    ends = [Action(ActionKind.END, owner, *around(tree, inventory, nodes), tuple(nodes)) for owner, nodes in jobs]
    before = [action for action in actions if action.kind is not ActionKind.FREE]
    names = tuple(node.name for node in change.nodes.values())
    return names, (*before, *ends, *actions[len(before) :])


def around(tree: Tree, inventory: Inventory, names: Sequence[str]) -> tuple[str, str]:
    """(level, name) of the narrowest domain of a named level that holds all of some nodes; empty if none does."""
    places = [tree.position[name] for name in names]
    if places:
        for depth in range(tree.depths - 1, 0, -1):
            domain = int(tree.domain[depth][places[0]])
            if all(int(tree.domain[depth][at]) == domain for at in places):
                return tree.level(depth), tree.name(depth, domain, inventory)
    return "", ""


def _ailments(inventory: Inventory, node: Node, wanted: Sequence[Filter]) -> list[ActionKind]:
    out = []
    taints = [
        taint.key
        for taint in node.taints
        if taint.effect in HARD
        and inventory.rulebook.is_health(taint.key)
        and not all(tolerated(taint, each.tolerations) for each in wanted)
    ]
    if node.cordoned or UNSCHEDULABLE in taints:
        out.append(ActionKind.UNCORDON)
    if (
        node.out_of_service
        or node.unready_since is not None
        or any(key != UNSCHEDULABLE for key in taints)
        or inventory.rulebook.flaw(node) is not None
        or inventory.withheld(node.name)
    ):
        out.append(ActionKind.HEAL)
    return out


def _in_the_way(node: Node, load: Amounts, holders: Sequence[Holder], ended: dict[str, list[str]]) -> list[Holder]:
    """The holders that have to go for a load; those that go elsewhere anyway go first."""
    stay = [holder.amounts for holder in holders if holder.daemon]
    out = []
    others = [holder for holder in holders if not holder.daemon]
    for holder in sorted(others, key=lambda h: (h.owner in ended, h.owner is not None, h.owner or "")):
        if fits_beside(node, load, [*stay, holder.amounts]):
            stay.append(holder.amounts)
        else:
            out.append(holder)
    return out


def _regrouped(tree: Tree, inventory: Inventory, found: Freed) -> dict[int, int]:
    """Pods by position of the nodes to free, after those that are alike were exchanged."""
    stock = found.stock
    out: dict[int, int] = {}
    classes: dict[_Class, list[int]] = {}
    for at, pods in found.pods.items():
        if pods > stock.now[at]:
            if stock.weight[at] < IN_USE:
                out[at] = pods
            else:
                domain = int(tree.domain[found.depth][at])
                classes.setdefault((domain, int(stock.now[at]), int(stock.then[at]), pods), []).append(at)
    if not classes:
        return out
    kind = np.full(tree.count, -1, np.int64)
    wanted = sorted(classes, key=lambda key: (-key[3], key))
    for number, key in enumerate(wanted):
        part = slice(*tree.start[found.depth][key[0] : key[0] + 2].tolist())
        alike = (stock.now[part] == key[1]) & (stock.then[part] == key[2]) & (stock.weight[part] == IN_USE)
        # One that takes pods as it is may be freed instead: the other then takes those.
        kind[part][alike & (kind[part] < 0)] = number
        kind[classes[key]] = number
    need = np.array([len(classes[key]) for key in wanted], np.int64)
    for at in _by_jobs(tree, inventory, kind, need):
        out[at] = wanted[int(kind[at])][3]
    return out


def _by_jobs(tree: Tree, inventory: Inventory, kind: Ints, need: Ints) -> Iterator[int]:
    """So many positions of each kind: those of the job that holds most of what is needed first, and so on; of equal
    jobs the smallest, then the first in natural order. What no job holds alone comes last."""
    holder = np.full(tree.count, -1, np.int64)
    sizes: list[int] = []
    for _, nodes in inventory.claims():
        places = [tree.position[name] for name in nodes if name in tree.position]
        holder[places] = np.where(holder[places] == -1, len(sizes), -2)
        sizes.append(len(nodes))
    able = np.flatnonzero((kind >= 0) & (holder >= 0))
    width = len(need)
    counts = np.bincount(holder[able] * width + kind[able], minlength=len(sizes) * width).reshape(-1, width)
    first = np.full(len(sizes), tree.count, np.int64)
    first[holder[able][::-1]] = able[::-1]
    size, left = np.array(sizes, np.int64), need.copy()
    while len(sizes):
        gives = np.minimum(counts, left).sum(axis=1)
        best = int(np.lexsort((first, size, -gives))[0])
        if not gives[best]:
            break
        counts[best] = 0
        yield from _some(able[holder[able] == best], kind, left)
    yield from _some(np.flatnonzero((kind >= 0) & (holder < 0)), kind, left)


def _some(places: Ints, kind: Ints, left: Ints) -> Iterator[int]:
    """The first of these positions of each kind, as many as are left to find; those are taken off."""
    for number in np.flatnonzero(left).tolist():
        mine = places[kind[places] == number][: int(left[number])]
        left[number] -= len(mine)
        yield from mine.tolist()
