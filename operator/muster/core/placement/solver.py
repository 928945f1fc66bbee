"""The solver: a bounded cache around exact decisions. See the package for its contract."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from math import prod
from typing import TypeVar

import numpy as np

from muster.core.inventory import Epoch, Inventory
from muster.core.model import Filter, Found, Resources, Shape, Verdict
from muster.core.placement import judge, largest, ranks, scene, several, verdicts
from muster.core.placement.gang import Gang, RoleGang, ladder, prefix, read
from muster.core.placement.packing import Packing, packing
from muster.core.placement.search import Field, Search, Task
from muster.core.placement.sums import Memo
from muster.core.placement.tree import Ints, Tree
from muster.core.placement.view import Eligible, View, eligible, view

BUDGET = 400
"""Searches that one decision on several roles may make."""
CELLS = 2048
"""States of a basis up to which uneven segments are searched exactly."""
_BYTES = 256 << 20
_KEPT = 256

T = TypeVar("T")


class Solver:
    """Places gangs. What it keeps changes the cost, never the answer."""

    def __init__(self) -> None:
        self._trees: OrderedDict[Epoch, Tree] = OrderedDict()
        self._fits: OrderedDict[tuple[Epoch, bool, Filter], Eligible] = OrderedDict()
        self._memos: OrderedDict[Hashable, Memo] = OrderedDict()
        self._emptied: OrderedDict[Epoch, Inventory] = OrderedDict()
        self._least: OrderedDict[tuple[Epoch, Shape], tuple[tuple[tuple[str, int], ...], int] | None] = OrderedDict()

    # --- The seam -------------------------------------------------------------------------------------------------

    def place(self, inventory: Inventory, shape: Shape, budget: int = BUDGET) -> Found | Verdict:
        """Nodes for every rank of every role, or the first reason why not. `budget` bounds the searches made for
        several roles; it does not matter for one role with equal segments."""
        gang = read(shape, inventory.levels)
        if isinstance(gang, Verdict):
            return gang
        found = self._placed(inventory, gang, budget)
        if isinstance(found, Found):
            return self._with_least(inventory, shape, gang, found, budget)
        empty = self.emptied(inventory)
        for role in gang.roles if len(gang.roles) > 1 else ():
            if not self._possible(empty, role):
                return judge.unsatisfiable(self, empty, gang, role)
        if found is None:
            return several.refusal(self, inventory, gang, budget)
        return found

    def fits(self, inventory: Inventory, shape: Shape, nodes: tuple[tuple[str, ...], ...]) -> Verdict | None:
        """Whether a committed placement still has eligible nodes and keeps every hard constraint by today's labels and
        taints; free capacity and fill limits are not looked at. None if it does."""
        gang = read(shape, inventory.levels)
        if isinstance(gang, Verdict):
            return gang
        tree = self.tree(inventory)
        return judge.eligible(tree, inventory, gang, nodes) or judge.kept(tree, inventory, gang, nodes)

    def keeps(self, inventory: Inventory, shape: Shape, nodes: tuple[tuple[str, ...], ...]) -> Verdict | None:
        """Whether a committed placement keeps its hard constraints by today's labels, whatever became of its nodes
        otherwise; None if it does, and where that cannot be judged (a node is gone, the levels are not valid)."""
        gang = read(shape, inventory.levels)
        tree = self.tree(inventory)
        if isinstance(gang, Verdict) or any(node not in tree.position for role in nodes for node in role):
            return None
        return judge.kept(tree, inventory, gang, nodes)

    def least(
        self, inventory: Inventory, shape: Shape, budget: int = BUDGET
    ) -> tuple[tuple[tuple[str, int], ...], int] | None:
        """On the empty healthy cluster: the fewest domains per named level that any placement touches, each level by
        itself, and the fewest preferred ones; None if it could not be placed there. For several roles the best that is
        known: at least what each role needs alone."""
        key = (inventory.epoch, shape)
        if key not in self._least:
            gang = read(shape, inventory.levels)
            answer = None if isinstance(gang, Verdict) else self._least_of(self.emptied(inventory), gang)
            _keep(self._least, key, answer, _KEPT)
        return self._least[key]

    def slots(self, inventory: Inventory, requests: Resources, filter_: Filter) -> dict[str, int]:
        """How many pods of a kind fit on each node now; nodes that take none are left out."""
        tree = self.tree(inventory)
        found = view(tree, inventory, self.eligible(inventory, filter_), requests).slots
        return {tree.names[i]: int(found[i]) for i in np.flatnonzero(found).tolist()}

    def largest(self, inventory: Inventory, shape: Shape) -> int:
        """Pods of the largest gang of a one-role shape (its longest prefix) that fits now."""
        gang = read(shape, inventory.levels)
        if isinstance(gang, Verdict):
            return 0
        role = gang.roles[0]
        return self.longest(inventory, role, self.view(inventory, role))

    # --- Kept parts, also used by the other modules of this package --------------------------------------------------

    def tree(self, inventory: Inventory) -> Tree:
        """The domains of this epoch."""
        return _kept(self._trees, inventory.epoch, lambda: Tree(inventory), 4)

    def emptied(self, inventory: Inventory) -> Inventory:
        """The empty healthy cluster of this epoch."""
        return inventory if inventory.healthy else _kept(self._emptied, inventory.epoch, inventory.emptied, 2)

    def eligible(self, inventory: Inventory, filter_: Filter) -> Eligible:
        """Which nodes a filter takes."""
        key = (inventory.epoch, inventory.healthy, filter_)
        return _kept(self._fits, key, lambda: eligible(self.tree(inventory), inventory, filter_), _KEPT)

    def view(self, inventory: Inventory, role: RoleGang) -> View:
        """Slots and exclusions for a role now."""
        fit = self.eligible(inventory, role.shape.filter)
        return view(self.tree(inventory), inventory, fit, role.shape.requests, role.needed)

    def search(self, field: Field, role: RoleGang, packed: Packing | None = None, above: int | None = None) -> Search:
        """An exact search for one role on a field; `packed`: with another objective than the contract's."""
        above = role.required if above is None else above
        task = Task(role.count, above, ladder(role, above))
        tree = field.tree
        if packed is None:
            most = int(field.slots.max(initial=0))
            total = (1 << int(field.slots.sum()).bit_length()) - 1
            packed = packing(tree, role.count, above, role.preferred, most, total)
        limits = tuple((d, int(room.max())) for d, room in sorted(field.room.items()))
        memo = _kept(self._memos, (task, packed, tree.depths, limits), Memo, _KEPT)
        return Search(field, task, packed, memo)

    def possible(self, field: Field, role: RoleGang) -> bool:
        """Whether one role alone fits a field. Exact."""
        if int(field.slots.sum()) < role.count:
            return False
        tree = field.tree
        if role.equal and not field.room:
            whole, rest = largest.by_domain(tree, field.slots, role, role.required)
            return bool((whole + rest >= role.count).any())
        if not tractable(role):
            return True
        flat = Packing(1, (((0,),) * 3,) * (tree.depths + 1), -1)
        return self.search(field, role, flat).best() is not None

    def longest(self, inventory: Inventory, role: RoleGang, seen: View) -> int:
        """Pods of the longest prefix of one role that fits now."""
        tree = self.tree(inventory)
        field = scene.scene(tree, scene.positions(tree, inventory), seen.slots)
        if role.equal and not field.room:
            whole, rest = largest.by_domain(tree, seen.slots, role, role.required)
            return min(role.count, int((whole + rest).max(initial=0)))
        low, high = 0, min(role.count, int(seen.slots.sum()))
        while low < high:
            middle = (low + high + 1) // 2
            if self.possible(field, prefix(role, middle)):
                low = middle
            else:
                high = middle - 1
        return low

    def trim(self) -> None:
        """Drop the oldest of what is kept until it is within bounds."""
        total = sum(memo.bytes for memo in self._memos.values())
        while self._memos and total > _BYTES:
            total -= self._memos.popitem(last=False)[1].bytes

    # --- Inside ---------------------------------------------------------------------------------------------------

    def _possible(self, inventory: Inventory, role: RoleGang) -> bool:
        tree = self.tree(inventory)
        slots = self.view(inventory, role).slots
        return self.possible(scene.scene(tree, scene.positions(tree, inventory), slots), role)

    def _placed(self, inventory: Inventory, gang: Gang, budget: int) -> Found | Verdict | None:
        """A placement, the verdict of one role alone, or None if roles together found no room."""
        for role in gang.roles:
            seen = self.view(inventory, role)
            tree = self.tree(inventory)
            intact = scene.positions(tree, inventory)
            field = scene.scene(tree, intact, seen.slots)
            single = len(gang.roles) == 1 and tractable(role)
            if single and self._sure(field, role):
                found = self._one(inventory, gang, field)
                if found is not None:
                    return found
                return judge.refused(self, inventory, gang, role, seen)
            if not self.possible(field, role):
                return judge.refused(self, inventory, gang, role, seen)
        return several.place(self, inventory, gang, budget)

    def _sure(self, field: Field, role: RoleGang) -> bool:
        """A cheap look before the search: False where the closed form already says no."""
        return not role.equal or bool(field.room) or self.possible(field, role)

    def _one(self, inventory: Inventory, gang: Gang, field: Field) -> Found | None:
        role, tree = gang.roles[0], field.tree
        search = self.search(field, role)
        best = search.best()
        self.trim()
        if best is None:
            return None
        pods = best[1]
        return Found(
            (names(tree, order(tree, pods, role, search)),),
            scene.objective(
                tree,
                scene.positions(tree, inventory),
                gang,
                (pods,),
                scene.left_over(tree, field.slots - pods, (pods,)),
            ),
            True,
            scene.touched_domains(tree, (pods,)),
            (),
            0,
        )

    def _with_least(self, inventory: Inventory, shape: Shape, gang: Gang, found: Found, budget: int) -> Found:
        least = self.least(inventory, shape, budget)
        if least is None:
            return replace(found, least=found.domains, preferred_least=found.objective.preferred)
        here = dict(found.domains)
        return replace(
            found,
            least=tuple((name, min(n, here[name])) for name, n in least[0]),
            preferred_least=min(least[1], found.objective.preferred),
        )

    def _least_of(self, empty: Inventory, gang: Gang) -> tuple[tuple[tuple[str, int], ...], int] | None:
        tree = self.tree(empty)
        fewest = [1] * tree.depths
        liked = 0
        intact = scene.positions(tree, empty)
        for role in gang.roles:
            field = scene.scene(tree, intact, self.view(empty, role).slots)
            if not self.possible(field, role):
                return None
            alone = []
            for depth in range(1, tree.depths + 1):
                if depth <= role.required or not tractable(role):
                    alone.append(1)
                else:
                    alone.append(self._fewest(field, role, ((depth, 1),)))
            fewest = [max(a, b) for a, b in zip(fewest, alone[: tree.depths], strict=False)]
            own = tree.levels.depth(role.shape.preferred) if role.shape.preferred is not None else 0
            if len(gang.roles) == 1 and len(role.preferred) > 1 and tractable(role):
                return self._named(tree, fewest), self._fewest(field, role, role.preferred)
            liked += alone[own - 1] if own else 0
        if gang.preferred:
            liked += fewest[gang.preferred - 1] if gang.preferred < tree.depths else alone[-1]
        self.trim()
        return self._named(tree, fewest), liked

    def _named(self, tree: Tree, fewest: list[int]) -> tuple[tuple[str, int], ...]:
        return tuple((tree.level(d), fewest[d - 1]) for d in range(1, tree.depths))

    def _fewest(self, field: Field, role: RoleGang, counted: tuple[tuple[int, int], ...]) -> int:
        """The least weighted number of touched domains of some depths."""
        weights = dict(counted)
        touch = tuple(((weights.get(d, 0),),) * 3 for d in range(field.tree.depths + 1))
        best = self.search(field, role, Packing(1, touch, -1)).best()
        return 0 if best is None else best[0][0]


def tractable(role: RoleGang) -> bool:
    """Whether the exact search is practical: always for equal segments."""
    return role.equal or all(prod(n + 1 for n in rung.counts) <= CELLS for rung in ladder(role, role.required))


def order(tree: Tree, pods: Ints, role: RoleGang, search: Search) -> list[int]:
    """Positions by rank."""
    if role.equal:
        return ranks.in_order(tree, pods, role)
    return ranks.by_pieces(tree, pods, role, search.task.rungs, search.pieces)


def names(tree: Tree, order: list[int]) -> tuple[str, ...]:
    """Node names by rank."""
    return tuple(tree.names[i] for i in order)


K = TypeVar("K", bound=Hashable)


def _kept(cache: OrderedDict[K, T], key: K, make: Callable[[], T], most: int) -> T:
    if key in cache:
        cache.move_to_end(key)
        return cache[key]
    return _keep(cache, key, make(), most)


def _keep(cache: OrderedDict[K, T], key: K, value: T, most: int) -> T:
    cache[key] = value
    while len(cache) > most:
        cache.popitem(last=False)
    return value


__all__ = ["BUDGET", "Solver", "verdicts"]
