"""The solver: a bounded cache around exact decisions. See the package for its contract."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from muster.core.changes import Mark, since
from muster.core.inventory import USABLE, Epoch, Ground, Inventory
from muster.core.model import Filter, Found, Objective, Remedy, Repaired, Resources, Shape, Verdict
from muster.core.placement import apart, judge, largest, ranks, remedy, repair, several
from muster.core.placement.answer import Answer, spread
from muster.core.placement.curves import State
from muster.core.placement.field import Field, standing_on
from muster.core.placement.gang import Gang, RoleGang, prefix, read
from muster.core.placement.kept import BYTES, Goal, Memos, Standing, kept, objective
from muster.core.placement.packing import Bounds, Packing
from muster.core.placement.refusal import Refusal
from muster.core.placement.search import Search
from muster.core.placement.tasks import structure_of, tractable
from muster.core.placement.tree import Tree
from muster.core.placement.view import Eligible, View

BUDGET = 60_000
"""Steps that one decision on several roles may take: some tenths of a second (see `exact.meter`)."""
_KEPT = 256
_REFUSED = 4096
"""Shapes whose refusals are kept,"""
_STATES = 4
"""each for so many states of the cluster."""
_FILTERS = 32
_GROUNDS = 4
_FITS = Goal((), alone=True)

Least = tuple[tuple[tuple[str, int], ...], int]


class Solver:
    """Places gangs. What it keeps changes the cost, never the answer."""

    def __init__(self) -> None:
        self._trees: OrderedDict[Epoch, Tree] = OrderedDict()
        self._latest: OrderedDict[Ground, Tree] = OrderedDict()
        self._fits: OrderedDict[tuple[Tree, Filter], Eligible] = OrderedDict()
        self._standing: OrderedDict[Hashable, Standing] = OrderedDict()
        self._memos = Memos()
        self._emptied: OrderedDict[Epoch, tuple[Inventory, Mark]] = OrderedDict()
        self._gangs: OrderedDict[tuple[Ground, Shape], Gang | Verdict] = OrderedDict()
        self._least: OrderedDict[tuple[Epoch, Shape], Least | None] = OrderedDict()
        self._remedies: OrderedDict[Hashable, tuple[Mark, Remedy | None]] = OrderedDict()
        self._ever: OrderedDict[tuple[Epoch, RoleGang], bool] = OrderedDict()
        self._refusals: OrderedDict[Hashable, list[Refusal]] = OrderedDict()
        self.asked = 0
        """How often `place` had to decide: a refusal stands, and is not decided again, while nothing that it was about
        is different, or is again what it was."""
        self._never: OrderedDict[tuple[Epoch, Shape, int], Verdict | None] = OrderedDict()

    # --- The seam -------------------------------------------------------------------------------------------------

    def place(self, inventory: Inventory, shape: Shape, budget: int = BUDGET) -> Found | Verdict:
        """Nodes for every rank of every role, or the first reason why not. `budget` bounds the steps taken for
        several roles; it does not matter for one role with equal segments."""
        gang = self.gang(inventory, shape)
        if isinstance(gang, Verdict):
            return gang
        key = (inventory.epoch, inventory.healthy, shape, budget)
        before = self._refusals.get(key)
        if before is not None:
            self._refusals.move_to_end(key)
            for at in range(len(before) - 1, -1, -1):
                if before[at].stands(self, inventory, gang):
                    # As of now, since how things were is not remembered for ever.
                    before.append(Refusal.of(self, inventory, gang, before.pop(at).verdict))
                    return before[-1].verdict
        self.asked += 1
        found = self._decided(inventory, shape, gang, budget)
        if isinstance(found, Verdict):
            self._remember(key, inventory, gang, found)
        return found

    def crowded(self, inventory: Inventory, shape: Shape) -> Verdict | None:
        """The verdict on one role for which there are too few slots, counted and not searched; None: to be asked."""
        role = self._lone(inventory, shape)
        few = role is not None and self.view(inventory, role).total < role.count
        return self.restated(inventory, shape) if few else None

    def restated(self, inventory: Inventory, shape: Shape) -> Verdict | None:
        """The verdict on one role that does not fit, as is known (it was refused when there was more room): its numbers
        as of now, nothing is searched for a place. None: to be asked."""
        gang, role = self.gang(inventory, shape), self._lone(inventory, shape)
        if role is None or isinstance(gang, Verdict):
            return None
        found = judge.refused(self, inventory, gang, role, self.view(inventory, role))
        self._remember((inventory.epoch, inventory.healthy, shape, BUDGET), inventory, gang, found)
        return found

    def _lone(self, inventory: Inventory, shape: Shape) -> RoleGang | None:
        """The one role of a shape whose refusal hangs on nothing but its view."""
        gang = self.gang(inventory, shape)
        if isinstance(gang, Verdict) or len(gang.roles) > 1 or not tractable(gang.roles[0]):
            return None
        return gang.roles[0]

    def _remember(self, key: Hashable, inventory: Inventory, gang: Gang, verdict: Verdict) -> None:
        latest = kept(self._refusals, key, list, _REFUSED)
        del latest[: len(latest) + 1 - _STATES]
        latest.append(Refusal.of(self, inventory, gang, verdict))

    def _decided(self, inventory: Inventory, shape: Shape, gang: Gang, budget: int) -> Found | Verdict:
        found = self._placed(inventory, gang, budget)
        if isinstance(found, Found):
            return self._with_least(inventory, shape, found)
        empty = self.emptied(inventory)
        for role in gang.roles if len(gang.roles) > 1 else ():
            if not self.ever(inventory, role):
                return judge.unsatisfiable(self, empty, gang, role)
        if len(gang.roles) > 1 or not tractable(gang.roles[0]):
            key = (inventory.epoch, shape, budget)
            return kept(self._never, key, lambda: apart.never(self, inventory, gang, budget), _KEPT) or found
        return found

    def repair(
        self,
        inventory: Inventory,
        shape: Shape,
        nodes: tuple[tuple[str, ...], ...],
        lost: frozenset[tuple[int, int]],
        budget: int = repair.BUDGET,
    ) -> Repaired | Verdict:
        """A committed placement mended: `lost` holds the (role, rank) that need another node; every other rank keeps
        its own where that is possible, whatever became of it. `inventory` is a fork in which the gang holds nothing.
        The fewest moved ranks, then the best objective; `repair` says what of it is exact. `budget` bounds the ways
        that are tried. The verdict's `pods` are those to be placed again."""
        return repair.repaired(self, inventory, shape, nodes, lost, budget)

    def fits(self, inventory: Inventory, shape: Shape, nodes: tuple[tuple[str, ...], ...]) -> Verdict | None:
        """Whether a committed placement still has eligible nodes and keeps every hard constraint by today's labels and
        taints; free capacity and fill limits are not looked at. None if it does."""
        gang = self.gang(inventory, shape)
        if isinstance(gang, Verdict):
            return gang
        tree = self.tree(inventory)
        return judge.eligible(tree, inventory, gang, nodes) or judge.kept(tree, inventory, gang, nodes)

    def keeps(self, inventory: Inventory, shape: Shape, nodes: tuple[tuple[str, ...], ...]) -> Verdict | None:
        """Whether a committed placement keeps its hard constraints by today's labels, whatever became of its nodes
        otherwise; None if it does, and where that cannot be judged (a node is gone, the levels are not valid)."""
        gang = self.gang(inventory, shape)
        tree = self.tree(inventory)
        if isinstance(gang, Verdict):
            return None
        if any(inventory.node(node) is None or node not in tree.position for role in nodes for node in role):
            return None
        return judge.kept(tree, inventory, gang, nodes)

    def least(self, inventory: Inventory, shape: Shape) -> Least | None:
        """On the empty healthy cluster: the fewest domains per named level that any placement touches, each level by
        itself, and the fewest preferred ones; None if it could not be placed there. For several roles the best that is
        known: at least what each role needs alone."""

        def find() -> Least | None:
            gang = self.gang(inventory, shape)
            return None if isinstance(gang, Verdict) else self._least_of(self.emptied(inventory), gang)

        return kept(self._least, (inventory.epoch, shape), find, _KEPT)

    def slots(self, inventory: Inventory, requests: Resources, filter_: Filter) -> dict[str, int]:
        """How many pods of a kind fit on each node now; nodes that take none are left out."""
        tree = self.tree(inventory)
        found = self._stand(inventory, requests, filter_, ()).view.slots
        return {tree.names[i]: int(found[i]) for i in np.flatnonzero(found).tolist()}

    def remedy(self, inventory: Inventory, shape: Shape, verdict: Verdict) -> Remedy | None:
        """The smallest change that would place a shape that this inventory refused with this verdict, actions naming
        jobs by uid; None where that is not for the solver to say."""
        key, mark = (inventory.epoch, inventory.healthy, shape), inventory.mark()
        known = self._remedies.get(key)
        rows = None if known is None else since(known[0], mark)
        if known is not None and rows is not None and not rows:
            return known[1]
        found = remedy.smallest(self, inventory, shape, verdict)
        self._remedies.pop(key, None)
        return kept(self._remedies, key, lambda: (mark, found), _KEPT)[1]

    def whole_nodes(
        self, inventory: Inventory, resources: Sequence[str], sizes: Sequence[int]
    ) -> dict[tuple[str, int], int]:
        """By level and size of segments: the nodes of the most whole segments that one domain of the level could take
        now, of nodes with any of these resources that are usable and hold nothing but DaemonSets' pods. Taints, and
        whatever else a pod may ask for, are not looked at."""
        tree = self.tree(inventory)
        offers = np.zeros(tree.count, bool)
        for resource in resources:
            room = inventory.room(resource, tree.rows)
            if room is not None:
                offers |= room[1] > 0
        slots = (offers & inventory.intact(tree.rows) & (inventory.causes(tree.rows) == USABLE)).astype(np.int64)
        return {(level, size): n for size in sizes for level, n in largest.whole_segments(tree, slots, size)}

    def largest(self, inventory: Inventory, shape: Shape) -> int:
        """Pods of the largest gang of a one-role shape (its longest prefix) that fits now."""
        gang = self.gang(inventory, shape)
        if isinstance(gang, Verdict):
            return 0
        role = gang.roles[0]
        return self.longest(inventory, role, self.view(inventory, role))

    # --- Kept parts, also used by the other modules of this package --------------------------------------------------

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
        return kept(self._gangs, (inventory.ground, shape), lambda: read(shape, inventory.levels), _KEPT)

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

        return kept(self._ever, (inventory.epoch, role), judged, _KEPT)

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

    # --- Inside ---------------------------------------------------------------------------------------------------

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

    def _placed(self, inventory: Inventory, gang: Gang, budget: int) -> Found | Verdict:
        """A placement, the verdict of one role alone, or that of roles together."""
        if len(gang.roles) == 1 and tractable(gang.roles[0]):
            (role,) = gang.roles
            found = self._one(inventory, gang, role)
            return judge.refused(self, inventory, gang, role, self.view(inventory, role)) if found is None else found
        for role in gang.roles:
            if self.view(inventory, role).total < role.count:
                return judge.refused(self, inventory, gang, role, self.view(inventory, role))
        for role in gang.roles:
            seen = self.view(inventory, role)
            if not self.possible(standing_on(seen), role):
                alone = judge.refused(self, inventory, gang, role, seen)
                return apart.refusal(self, inventory, gang, budget, alone)
        return several.place(self, inventory, gang, budget)

    def _one(self, inventory: Inventory, gang: Gang, role: RoleGang) -> Found | None:
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

    def _with_least(self, inventory: Inventory, shape: Shape, found: Found) -> Found:
        least = self.least(inventory, shape)
        if least is None:
            return replace(found, least=found.domains, preferred_least=found.objective.preferred)
        here = dict(found.domains)
        return replace(
            found,
            least=tuple((name, min(n, here[name])) for name, n in least[0]),
            preferred_least=min(least[1], found.objective.preferred),
        )

    def _least_of(self, empty: Inventory, gang: Gang) -> Least | None:
        tree = self.tree(empty)
        fewest = [1] * tree.depths
        liked = 0
        alone: list[int] = []
        for role in gang.roles:
            if not self.ever(empty, role):
                return None
            alone = []
            own = tree.levels.depth(role.shape.preferred) if role.shape.preferred is not None else 0
            for depth in range(1, tree.depths + 1):
                asked = depth < tree.depths or depth in (own, gang.preferred)
                if depth <= role.required or not asked or not tractable(role):
                    alone.append(1)
                else:
                    alone.append(self._fewest(empty, role, ((depth, 1),)))
            fewest = [max(a, b) for a, b in zip(fewest, alone[: tree.depths], strict=False)]
            if len(gang.roles) == 1 and len(role.preferred) > 1 and tractable(role):
                return self._named(tree, fewest), self._fewest(empty, role, role.preferred)
            liked += alone[own - 1] if own else 0
        if gang.preferred:
            liked += fewest[gang.preferred - 1] if gang.preferred < tree.depths else alone[-1]
        return self._named(tree, fewest), liked

    def _named(self, tree: Tree, fewest: list[int]) -> tuple[tuple[str, int], ...]:
        return tuple((tree.level(d), fewest[d - 1]) for d in range(1, tree.depths))

    def _fewest(self, empty: Inventory, role: RoleGang, counted: tuple[tuple[int, int], ...]) -> int:
        """The least weighted number of touched domains of some depths."""
        standing = self._stand(empty, role.shape.requests, role.shape.filter, role.needed)
        if len(counted) == 1 and counted[0][1] == 1 and not standing.field.limits and role.equal:
            known = largest.fewest(standing.view, role, counted[0][0])
            if known is not None:
                return known
        search, full = self._search(standing, role, Goal(counted, alone=True))
        best = search.best(full)
        return 0 if best is None else best[0][0]


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
