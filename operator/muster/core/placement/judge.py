"""Why a role cannot be placed, in numbers; and whether a committed placement still holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from muster.core.inventory import Inventory
from muster.core.model import Verdict
from muster.core.placement import largest, verdicts
from muster.core.placement.basis import Basis
from muster.core.placement.field import standing_on, unlimited
from muster.core.placement.gang import Gang, RoleGang
from muster.core.placement.tree import Tree
from muster.core.placement.view import View, unfit


def refused(basis: Basis, inventory: Inventory, gang: Gang, role: RoleGang, seen: View) -> Verdict:
    """The verdict on a role that does not fit now: Unsatisfiable, InsufficientCapacity or Fragmented."""
    empty = basis.emptied(inventory)
    tree = basis.tree(inventory)
    if not basis.ever(inventory, role):
        return unsatisfiable(basis, empty, gang, role)
    free = seen.total
    name = _named(gang, role)
    by_level = _by_level(tree, role, seen) if len(gang.roles) == 1 else ()
    if free < role.count:
        return verdicts.insufficient(role.count, free, name, seen.exclusions, by_level)
    most = basis.longest(inventory, role, seen)
    level, domain, lacks = _closest(tree, inventory, role, seen, most)
    return verdicts.fragmented(role.count, free, level, domain, lacks, most, name, seen.exclusions, by_level)


def _by_level(tree: Tree, role: RoleGang, seen: View) -> verdicts.Counts:
    """By named level the pods of the largest gang of this shape that one domain holds now; nothing where that has no
    closed form."""
    if not role.equal or standing_on(seen).limits:
        return ()
    names = [level.name for level in tree.levels.levels]
    return tuple((name, min(role.count, most)) for name, most in zip(names, largest.by_level(seen, role), strict=True))


def unsatisfiable(basis: Basis, empty: Inventory, gang: Gang, role: RoleGang) -> Verdict:
    """Which constraint the empty cluster cannot meet: the first whose removal alone, or with those before it, helps."""
    tree = basis.tree(empty)
    seen = basis.view(empty, role)
    name = _named(gang, role)
    free = seen.total
    if free < role.count:
        constraint = "capacity" if free else "nodes"
        return verdicts.unsatisfiable(
            role.count, constraint, "", free and basis.longest(empty, role, seen), name, seen.exclusions
        )
    most = basis.longest(empty, role, seen)
    field = standing_on(seen)
    open_ = unlimited(field)
    wanted = role.required if role.required > gang.boundary else 0
    inner = role.segments[-1][0] if role.segments else 0
    tries = [
        ("fillLimit", _limited(tree), open_, role),
        ("required", tree.level(wanted), field, replace(role, required=gang.boundary)),
        ("segments", tree.level(inner), field, replace(role, segments=())),
        ("boundary", tree.level(gang.boundary), field, replace(role, required=wanted)),
        ("segments", tree.level(inner), open_, replace(role, segments=())),
        ("required", tree.level(wanted), open_, replace(role, required=gang.boundary, segments=())),
    ]
    for constraint, level, where, without in tries:
        if basis.possible(where, without):
            return verdicts.unsatisfiable(role.count, constraint, level, most, name, seen.exclusions)
    constraint, depth = ("required", wanted) if wanted else ("boundary", gang.boundary)
    return verdicts.unsatisfiable(role.count, constraint, tree.level(depth), most, name, seen.exclusions)


def eligible(tree: Tree, inventory: Inventory, gang: Gang, nodes: Sequence[Sequence[str]]) -> Verdict | None:
    """Whether the nodes of a committed placement may still be used by new pods, free capacity apart."""
    for role, mine in zip(gang.roles, nodes, strict=True):
        name = _named(gang, role)
        causes: dict[str, int] = {}
        ranks = 0
        for node in sorted(set(mine)):
            why = _unfit(tree, inventory, role, node)
            if why:
                causes[why] = causes.get(why, 0) + 1
                ranks += list(mine).count(node)
        if causes:
            out = tuple(sorted(causes.items(), key=lambda item: (-item[1], item[0])))
            return verdicts.ineligible(role.count, ranks, name, out)
    return None


def kept(tree: Tree, inventory: Inventory, gang: Gang, nodes: Sequence[Sequence[str]]) -> Verdict | None:
    """Whether a committed placement keeps its hard constraints by today's labels; all its nodes are there."""
    placed: list[np.ndarray] = []
    for role, mine in zip(gang.roles, nodes, strict=True):
        name = _named(gang, role)
        at = np.array([tree.position[node] for node in mine], np.int64)
        placed.append(at)
        for constraint, depth, sizes in (
            ("required" if role.required > gang.boundary else "boundary", role.required, (role.count,)),
            *(("segments", depth, sizes) for depth, sizes in role.segments),
        ):
            domains = tree.domain[depth][at]
            first = 0
            for size in sizes:
                piece = domains[first : first + size]
                if (piece != piece[0]).any():
                    where = tree.name(depth, int(piece[0]), inventory)
                    return verdicts.broken(role.count, constraint, tree.level(depth), where, name)
                first += size
    together = max(gang.required, gang.boundary)
    domains = tree.domain[together][np.concatenate(placed)]
    if (domains != domains[0]).any():
        constraint = "required" if gang.required > gang.boundary else "boundary"
        pods = sum(role.count for role in gang.roles)
        where = tree.name(together, int(domains[0]), inventory)
        return verdicts.broken(pods, constraint, tree.level(together), where, "")
    return None


def _unfit(tree: Tree, inventory: Inventory, role: RoleGang, name: str) -> str:
    node = inventory.node(name)
    if node is None:
        return "absent"
    why = inventory.cause(name) or unfit(node, role.shape.filter, inventory.rulebook if inventory.healthy else None)
    if why:
        return why
    at = tree.position[name]
    for depth in role.needed:
        if depth < tree.depths and not tree.labelled[at, depth - 1]:
            return f"unlabelled {tree.level(depth)}"
    return ""


def _closest(tree: Tree, inventory: Inventory, role: RoleGang, seen: View, most: int) -> tuple[str, str, int]:
    """The best domain: (level, name, what it lacks)."""
    depth = role.required
    held = seen.slots if depth == tree.depths else seen.free[depth]
    if role.equal:
        whole, rest = largest.by_domain(seen, role, depth)
        best = int(np.argmax(np.minimum(whole + rest, role.count)))
        if depth and int(held[best]) < role.count:
            return tree.level(depth), tree.name(depth, best, inventory), role.count - int((whole + rest)[best])
        below = [d for d, _ in role.segments if d > depth]
        if below and most < role.count:
            domain, lacks = largest.nearest(seen, role, below[0], (depth, best))
            return tree.level(below[0]), tree.name(below[0], domain, inventory), min(lacks, role.count - most)
    best = int(np.argmax(held))
    return tree.level(depth), tree.name(depth, best, inventory), max(role.count - most, 0)


def _limited(tree: Tree) -> str:
    return next((level.name for level in tree.levels.levels if level.fill_limit is not None), "")


def _named(gang: Gang, role: RoleGang) -> str:
    return role.shape.name if len(gang.roles) > 1 else ""
