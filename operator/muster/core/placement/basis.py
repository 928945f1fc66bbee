"""What all decisions stand on: domains, views, and answers about one role alone, kept from one decision to the next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from muster.core.changes import Mark, since
from muster.core.inventory import Epoch, Ground, Inventory
from muster.core.model import Filter, Found, Objective, Resources, Shape, Verdict
from muster.core.placement import largest, ranks
from muster.core.placement.answer import Answer, spread
from muster.core.placement.curves import State
from muster.core.placement.field import Field, standing_on
from muster.core.placement.gang import Gang, RoleGang, prefix, read
from muster.core.placement.kept import BYTES, KEPT, Goal, Memos, Standing, kept, objective
from muster.core.placement.packing import Bounds, Packing
from muster.core.placement.search import Search
from muster.core.placement.tasks import structure_of, tractable
from muster.core.placement.tree import Tree
from muster.core.placement.view import Eligible, View

_FILTERS = 32
_GROUNDS = 4
_FITS = Goal((), alone=True)


class Basis:
    """What it keeps changes the cost, never an answer."""

    def __init__(self) -> None:
        self._trees: OrderedDict[Epoch, Tree] = OrderedDict()
        self._latest: OrderedDict[Ground, Tree] = OrderedDict()
        self._fits: OrderedDict[tuple[Tree, Filter], Eligible] = OrderedDict()
        self._standing: OrderedDict[Hashable, Standing] = OrderedDict()
        self._memos = Memos()
        self._emptied: OrderedDict[Epoch, tuple[Inventory, Mark]] = OrderedDict()
        self._gangs: OrderedDict[tuple[Ground, Shape], Gang | Verdict] = OrderedDict()
        self._ever: OrderedDict[tuple[Epoch, RoleGang], bool] = OrderedDict()

    def tree(self, inventory: Inventory) -> Tree:
        """The domains now: those of before as long as no node is new or relabelled and no domain has lost its last."""

        def find() -> Tree:
            found = self._latest.get(inventory.ground)
            if found is None or not found.serves(inventory):
                like = found if found is not None else next(reversed(self._latest.values()), None)
                found = self._latest[inventory.ground] = Tree(inventory, like)
                self._latest.move_to_end(inventory.ground)
                while len(self._latest) > _GROUNDS:
                    self._latest.popitem(last=False)
            return found

        return kept(self._trees, inventory.epoch, find, 2 * _GROUNDS)

    def gang(self, inventory: Inventory, shape: Shape) -> Gang | Verdict:
        """The shape read against the levels of this ground."""
        return kept(self._gangs, (inventory.ground, shape), lambda: read(shape, inventory.levels), KEPT)

    def emptied(self, inventory: Inventory) -> Inventory:
        """The empty healthy cluster of this epoch."""
        if inventory.healthy:
            return inventory

        def find() -> tuple[Inventory, Mark]:
            for empty, mark in reversed(self._emptied.values()):
                rows = since(mark, inventory.mark()) if empty.ground is inventory.ground else None
                if rows is not None:
                    other = empty.fork()
                    other.follow(inventory, rows)
                    return other, inventory.mark()
            return inventory.emptied(), inventory.mark()

        return kept(self._emptied, inventory.epoch, find, _GROUNDS)[0]

    def view(self, inventory: Inventory, role: RoleGang) -> View:
        """Slots and exclusions for a role now: until another inventory is asked about."""
        return self._stand(inventory, role.shape.requests, role.shape.filter, role.needed).view

    def possible(self, where: Field, role: RoleGang) -> bool:
        """Whether one role alone fits a field. Exact."""
        if not where.tree.count or int(where.free[0][0]) < role.count:
            return False
        if role.equal and not where.limits:
            whole, rest = largest.by_domain(where, role, role.required)
            return bool((whole + rest >= role.count).any())
        if not tractable(role):
            return True
        structure, full = structure_of(role, role.required)
        packed = objective(where.tree, structure, _FITS, _loose(where, role))
        return self._memos.search(where, structure, packed).best(full) is not None

    def ever(self, inventory: Inventory, role: RoleGang) -> bool:
        """Whether one role alone fits the empty healthy cluster."""

        def judged() -> bool:
            return self.possible(standing_on(self.view(self.emptied(inventory), role)), role)

        return kept(self._ever, (inventory.epoch, role), judged, KEPT)

    def one(self, inventory: Inventory, role: RoleGang) -> Found | None:
        """The best placement of one role alone, as `place` answers but for what the empty cluster would need; None if
        it does not fit. The role must be tractable."""
        standing = self._stand(inventory, role.shape.requests, role.shape.filter, role.needed)
        if standing.view.total < role.count:
            return None
        search, full = self._search(standing, role, Goal(role.preferred))
        best = search.best(full)
        if best is None:
            return None
        tree = search.tree
        answer = spread(search, role, best[1], best[2])
        nodes = tuple([tree.names[at] for at in _order(search, role, answer)])
        domains = tuple((tree.level(depth), answer.touched[depth]) for depth in range(1, tree.depths))
        made = _objective(tree, search.packing, best[0], role.count)
        return Found((nodes,), made, True, domains, (), 0, made.vector)

    def alone(self, where: Field, role: RoleGang) -> list[int] | None:
        """The best positions by rank for one role on a field of its own."""
        found = self.optimum(where, role)
        return None if found is None else found[1]

    def optimum(self, where: Field, role: RoleGang) -> tuple[tuple[int, ...], list[int]] | None:
        """The vector and the positions by rank of one role on a field of its own."""
        structure, full = structure_of(role, role.required)
        packed = objective(where.tree, structure, Goal(role.preferred), _loose(where, role))
        search = self._memos.search(where, structure, packed)
        best = search.best(full)
        if best is None:
            return None
        made = _objective(where.tree, search.packing, best[0], role.count)
        return made.vector, _order(search, role, spread(search, role, best[1], best[2]))

    def longest(self, inventory: Inventory, role: RoleGang, seen: View) -> int:
        """Pods of the longest prefix of one role that fits now."""
        where = standing_on(seen)
        if role.equal and not where.limits:
            whole, rest = largest.by_domain(seen, role, role.required)
            return min(role.count, int((whole + rest).max(initial=0)))
        low, high = 0, min(role.count, seen.total)
        while low < high:
            middle = (low + high + 1) // 2
            if self.possible(where, prefix(role, middle)):
                low = middle
            else:
                high = middle - 1
        return low

    def _eligible(self, inventory: Inventory, filter_: Filter) -> Eligible:
        tree = self.tree(inventory)
        return kept(self._fits, (tree, filter_), lambda: Eligible(tree, filter_), _FILTERS)

    def _stand(self, inventory: Inventory, requests: Resources, filter_: Filter, needed: tuple[int, ...]) -> Standing:
        """The view for a kind of pod, standing for this inventory, and what is kept of it."""
        tree = self.tree(inventory)
        key = (tree, inventory.healthy, requests, filter_, needed)
        found = self._standing.get(key)
        if found is not None and found.view.refresh(inventory):
            self._standing.move_to_end(key)
            return found
        view = View(tree, inventory, self._eligible(inventory, filter_), requests, needed)
        found = self._standing[key] = Standing(view)
        self._trim()
        return found

    def _search(self, standing: Standing, role: RoleGang, goal: Goal) -> tuple[Search, State]:
        """The kept search for a role, up to date, and the state that stands for the whole role."""
        structure, full = structure_of(role, role.required, standing.view.most <= 1)
        before = standing.bytes
        search = standing.search(self._memos, structure, goal)
        if standing.bytes != before:
            self._trim()
        return search, full

    def _trim(self) -> None:
        total = sum(standing.bytes for standing in self._standing.values())
        while len(self._standing) > 2 and total > BYTES:
            total -= self._standing.popitem(last=False)[1].bytes


def _order(search: Search, role: RoleGang, answer: Answer) -> list[int]:
    """Positions by rank."""
    if not role.equal:
        return ranks.by_pieces(search.tree, answer.pods, search.task.rungs, answer.pieces)
    if len(answer.pods) == role.count:
        return [at for at, _ in answer.pods]
    return [at for at, pods in answer.pods for _ in range(pods)]


def _objective(tree: Tree, packed: Packing, key: tuple[int, ...], pods: int) -> Objective:
    """The vector that a key stands for."""
    preferred, cost, nodes, *intact, held = packed.entries(key)
    if not packed.places[2][2]:
        nodes = pods
    if not packed.places[-2][2]:
        intact[-1] = pods
    opened = tuple((tree.level(depth), n) for depth, n in zip(range(1, tree.depths + 1), intact, strict=True))
    return Objective(preferred, cost, nodes, opened, held - pods)


def _loose(where: Field, role: RoleGang) -> Bounds:
    """Bounds for a search that is made once."""
    total = (1 << int(where.slots.sum()).bit_length()) - 1
    single = int(where.slots.max(initial=0)) <= 1
    return Bounds(role.count, role.required, role.preferred, single, False, total)
