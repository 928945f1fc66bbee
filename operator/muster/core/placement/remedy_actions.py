"""Which nodes are freed, of those that are alike, and what has to be done for it.

Of nodes that may stand in for each other those are taken that the fewest jobs hold together: again and again the job
that holds most of what is still needed, of equal ones the smallest. On each node only what stands in the way is ended:
whatever may stay beside the gang's pods stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from muster.core.eligibility import HARD, tolerated
from muster.core.inventory import HEALTH_TAINTS, HOST_PORT, UNBOUNDED, Amounts, Holder, Inventory
from muster.core.model import Action, ActionKind, Filter, Node, Resources
from muster.core.placement.gang import RoleGang
from muster.core.placement.remedy_search import Freed
from muster.core.placement.tree import Tree

UNSCHEDULABLE = HEALTH_TAINTS + "unschedulable"
"""The taint that Kubernetes puts on a cordoned node."""
_KINDS = (ActionKind.UNCORDON, ActionKind.HEAL, ActionKind.END, ActionKind.FREE)
_Class = tuple[int, int, int, int, int]
"""Of nodes that may stand in for each other: domain, slots now and when free, weight, pods that they get."""


def slots_beside(node: Node, requests: Resources, held: Iterable[Amounts]) -> int:
    """How many pods fit on a node, whatever its health, on which only this is held."""
    has = {"pods": UNBOUNDED, **dict(node.allocatable)}
    for amounts in held:
        for resource, amount in amounts.items():
            has[resource] = has.get(resource, int(resource.startswith(HOST_PORT))) - amount
    asked = [(max(has.get(r, int(r.startswith(HOST_PORT))), 0), amount) for r, amount in requests if amount > 0]
    return min((left // amount for left, amount in asked), default=UNBOUNDED)


def told(tree: Tree, inventory: Inventory, role: RoleGang, found: Freed) -> tuple[tuple[str, ...], tuple[Action, ...]]:
    """The nodes to free, in natural order, and what to do: uncordon, heal, end jobs (those of most nodes first), end
    other pods."""
    pods = _regrouped(tree, inventory, found)
    places = sorted(pods)
    names = tuple(tree.names[at] for at in places)
    holders = inventory.holders(names)
    ended: dict[str, list[str]] = {}
    single: list[Action] = []
    for at, name in zip(places, names, strict=True):
        node = inventory.node(name)
        assert node is not None
        where = around(tree, inventory, (name,))
        single += [Action(kind, name, *where, (name,)) for kind in _ailments(node, role.shape.filter)]
        for holder in _in_the_way(node, role.shape.requests, pods[at], holders[name], ended):
            if holder.owner is not None:
                ended.setdefault(holder.owner, []).append(name)
            else:
                single.append(Action(ActionKind.FREE, name, *where, (name,), holder.pods))
    jobs = [
        Action(ActionKind.END, owner, *around(tree, inventory, nodes), tuple(nodes))
        for owner, nodes in sorted(ended.items(), key=lambda item: (-len(item[1]), tree.position[item[1][0]], item[0]))
    ]
    return names, tuple(sorted([*single, *jobs], key=lambda action: _KINDS.index(action.kind)))


def around(tree: Tree, inventory: Inventory, names: Sequence[str]) -> tuple[str, str]:
    """(level, name) of the narrowest domain of a named level that holds all of some nodes; empty if none does."""
    places = [tree.position[name] for name in names]
    if places:
        for depth in range(tree.depths - 1, 0, -1):
            domain = int(tree.domain[depth][places[0]])
            if all(int(tree.domain[depth][at]) == domain for at in places):
                return tree.level(depth), tree.name(depth, domain, inventory)
    return "", ""


def _ailments(node: Node, wanted: Filter) -> list[ActionKind]:
    out = []
    taints = [
        taint.key
        for taint in node.taints
        if taint.effect in HARD and taint.key.startswith(HEALTH_TAINTS) and not tolerated(taint, wanted.tolerations)
    ]
    if node.cordoned or UNSCHEDULABLE in taints:
        out.append(ActionKind.UNCORDON)
    if node.out_of_service or node.unready_since is not None or any(key != UNSCHEDULABLE for key in taints):
        out.append(ActionKind.HEAL)
    return out


def _in_the_way(
    node: Node, requests: Resources, pods: int, holders: Sequence[Holder], ended: dict[str, list[str]]
) -> list[Holder]:
    """The holders that have to go for so many pods; those that go elsewhere anyway go first."""
    stay = [holder.amounts for holder in holders if holder.daemon]
    out = []
    others = [holder for holder in holders if not holder.daemon]
    for holder in sorted(others, key=lambda h: (h.owner in ended, h.owner is not None, h.owner or "")):
        if slots_beside(node, requests, [*stay, holder.amounts]) >= pods:
            stay.append(holder.amounts)
        else:
            out.append(holder)
    return out


@dataclass(slots=True)
class _Group:
    """The nodes that the same jobs hold, by class."""

    size: int
    first: int
    nodes: dict[_Class, list[int]]


def _regrouped(tree: Tree, inventory: Inventory, found: Freed) -> dict[int, int]:
    """Pods by position of the nodes to free, after those that are alike were exchanged."""
    stock = found.stock
    freed = {at: n for at, n in found.pods.items() if n > stock.now[at]}
    need: dict[_Class, int] = {}
    members: dict[_Class, list[int]] = {}
    out: dict[int, int] = {}
    for at, n in freed.items():
        if stock.weight[at] < 2:
            out[at] = n
            continue
        domain = int(tree.domain[found.depth][at])
        key = (domain, int(stock.now[at]), int(stock.then[at]), 2, n)
        need[key] = need.get(key, 0) + 1
        members.setdefault(key, []).append(at)
    candidates: dict[int, _Class] = {}
    for key in sorted(need, key=lambda k: (-k[4], k)):
        domain, now, then, weight, _ = key
        first, last = int(tree.start[found.depth][domain]), int(tree.start[found.depth][domain + 1])
        part = slice(first, last)
        alike = (stock.now[part] == now) & (stock.then[part] == then) & (stock.weight[part] == weight)
        for at in (first + np.flatnonzero(alike)).tolist():
            # A node that holds pods of the placement as it is, or of another class, is not to be had.
            if at not in found.pods or at in members[key]:
                candidates.setdefault(at, key)
    for group in _in_turn(tree, inventory, candidates, dict(need)):
        for key, places in group.nodes.items():
            for at in places[: need[key]]:
                out[at] = key[4]
            need[key] -= min(need[key], len(places))
    return out


def _in_turn(
    tree: Tree, inventory: Inventory, candidates: dict[int, _Class], need: dict[_Class, int]
) -> Iterable[_Group]:
    """The groups in the order in which they are taken, as far as they are needed."""
    owners: dict[int, list[str]] = {}
    sizes: dict[str, int] = {}
    names = {tree.names[at]: at for at in candidates}
    for owner, nodes in inventory.claims():
        sizes[owner] = len(nodes)
        for name in names.keys() & nodes:
            owners.setdefault(names[name], []).append(owner)
    groups: dict[tuple[str, ...] | int, _Group] = {}
    for at in sorted(candidates):
        mine = tuple(sorted(owners.get(at, ())))
        group = groups.setdefault(mine or at, _Group(sum(sizes[owner] for owner in mine), at, {}))
        group.nodes.setdefault(candidates[at], []).append(at)
    left = list(groups.values())
    while any(need.values()):
        best = min(left, key=lambda g: (-sum(min(need[k], len(v)) for k, v in g.nodes.items()), g.size, g.first))
        left.remove(best)
        for key, places in best.nodes.items():
            need[key] -= min(need[key], len(places))
        yield best
