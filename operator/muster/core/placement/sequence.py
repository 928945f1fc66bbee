"""Role after role: the best that is found where the exact search does not end.

Roles are placed one after the other, each exactly, inside one domain that all must share; what earlier roles have
touched costs nothing more. Several orders and domains are tried. A role whose segments are too many kinds for one exact
search is cut into its outer segments, largest first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice, permutations, product

import numpy as np

from muster.core.inventory import Inventory
from muster.core.model import Found, Resources
from muster.core.placement import field, largest, scene
from muster.core.placement.basis import Basis
from muster.core.placement.exact import Meter, OverBudget
from muster.core.placement.gang import Gang, RoleGang
from muster.core.placement.tasks import tractable
from muster.core.placement.tree import Ints, Tree
from muster.core.placement.view import Mask

_OWNER = "\0gang"
_ORDERS = 6
COLD = 100
"""Additions per node that a search from cold costs, about."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One search: a role, or one outer segment of a role that cannot be searched whole (`first`: its first rank)."""

    role: RoleGang
    first: int
    narrow: bool


def place(
    basis: Basis, inventory: Inventory, gang: Gang, meter: Meter, least: tuple[int, ...], within: Mask
) -> Found | None:
    """The best placement found before the budget ends, or one as good as `least`; None if there is none. First tried
    are nodes `within` this mask, then all."""
    tree = basis.tree(inventory)
    busy = ~inventory.intact(tree.rows)
    depth = max(gang.required, gang.boundary)
    groups = [_steps(role) for role in gang.roles]
    best: tuple[tuple[int, ...], Found] | None = None
    masks = [mask for mask in (within, np.ones(tree.count, bool)) if mask.any()]
    for domain in _domains(basis, inventory, gang, tree, depth):
        for mask, sequence in product(masks, islice(permutations(groups), _ORDERS)):
            steps = [step for group in sequence for step in group]
            try:
                meter.spend(len(steps) * tree.count * COLD)
            except OverBudget:
                return None if best is None else best[1]
            tried = _sequence(basis, inventory, tree, steps, mask & (tree.domain[depth] == domain), len(gang.roles))
            if tried is None:
                continue
            pods, found, after = tried
            nodes = []
            for i, role in enumerate(gang.roles):
                ranks: list[int] = []
                for _, mine in sorted(found[i]):
                    ranks += mine
                nodes.append(tuple(tree.names[at] for at in ranks))
                assert len(ranks) == role.count
            leftover = sum(scene.left_over(tree, basis.view(after, role).slots, pods) for role in gang.roles)
            objective = scene.objective(tree, busy, gang, pods, leftover)
            answer = Found(tuple(nodes), objective, False, scene.touched_domains(tree, pods), (), 0)
            if best is None or objective.vector < best[0]:
                best = objective.vector, answer
                if best[0] == least:
                    return answer
    return None if best is None else best[1]


def parts(role: RoleGang) -> tuple[RoleGang, ...]:
    """A role as roles that can each be searched whole: itself, or its outer segments."""
    return tuple(step.role for step in _steps(role))


def _steps(role: RoleGang) -> tuple[_Step, ...]:
    if tractable(role):
        return (_Step(role, 0, False),)
    depth, sizes = role.segments[0]
    out, at = [], 0
    for size in sizes:
        inner = []
        for where, pieces in role.segments[1:]:
            passed, mine = 0, []
            for piece in pieces:
                if at <= passed < at + size:
                    mine.append(piece)
                passed += piece
            inner.append((where, tuple(mine)))
        part = replace(role, count=size, required=max(depth, role.required), segments=tuple(inner))
        out.append(_Step(part, at, True))
        at += size
    return tuple(sorted(out, key=lambda step: (-step.role.count, step.first)))


def _domains(basis: Basis, inventory: Inventory, gang: Gang, tree: Tree, depth: int) -> list[int]:
    """The domains that could hold every role alone, those with least room for it first (a tight fit leaves more)."""
    able = np.ones(tree.domains(depth), bool)
    room = np.zeros(tree.domains(depth), np.int64)
    for role in gang.roles:
        seen = basis.view(inventory, role)
        slots = seen.slots
        room += tree.sums(depth, slots)
        if role.equal and role.required <= depth:
            whole, rest = largest.by_domain(seen, role, depth)
            able &= whole + rest >= role.count
        else:
            able &= tree.sums(depth, slots) >= role.count
    return sorted(np.flatnonzero(able).tolist(), key=lambda d: (int(room[d]), d))


def _sequence(
    basis: Basis, inventory: Inventory, tree: Tree, steps: list[_Step], inside: Mask, roles: int
) -> tuple[list[Ints], list[list[tuple[int, list[int]]]], Inventory] | None:
    """Place the steps one after the other on a fork: pods per role; per role the positions by rank of each step after
    its first rank; and the fork after."""
    busy = ~inventory.intact(tree.rows)
    pods = [np.zeros(tree.count, np.int64) for _ in range(roles)]
    found: list[list[tuple[int, list[int]]]] = [[] for _ in range(roles)]
    used = np.zeros(tree.count, bool)
    load: dict[str, dict[str, int]] = {}
    here = inventory.fork()
    for step in steps:
        # The segments of one role that were cut apart may need to share its required domain.
        slots = np.where(inside, basis.view(here, step.role).slots, 0)
        if step.narrow:
            mine = pods[step.role.index]
            bound = steps_bound(step, tree)
            if bound and mine.any():
                home = tree.domain[bound][np.flatnonzero(mine)[0]]
                slots = np.where(tree.domain[bound] == home, slots, 0)
        where = field.apart(tree, busy, slots, used if used.any() else None)
        if not basis.possible(where, step.role):
            return None
        ranks = basis.alone(where, step.role)
        if ranks is None:
            return None
        held = np.bincount(ranks, minlength=tree.count)
        pods[step.role.index] = pods[step.role.index] + held
        found[step.role.index].append((step.first, ranks))
        used = used | (held > 0)
        for at in np.flatnonzero(held).tolist():
            mine_there = load.setdefault(tree.names[at], {})
            for resource, amount in step.role.shape.requests:
                mine_there[resource] = mine_there.get(resource, 0) + amount * int(held[at])
        here.claim(_OWNER, {name: _sorted(amounts) for name, amounts in load.items()})
    return pods, found, here


def steps_bound(step: _Step, tree: Tree) -> int:
    """The depth at which all parts of a role that was cut apart must share a domain; 0 for none."""
    own = step.role.shape.required
    return (tree.levels.depth(own) or 0) if own is not None else 0


def _sorted(amounts: dict[str, int]) -> Resources:
    return tuple(sorted(amounts.items()))
