"""Placing a gang anew, and what is asked about a placement that stands."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace

from muster.core.inventory import Epoch, Inventory
from muster.core.model import Found, Shape, Verdict
from muster.core.placement import apart, judge, largest, several
from muster.core.placement.basis import Basis
from muster.core.placement.field import standing_on
from muster.core.placement.gang import Gang, RoleGang
from muster.core.placement.kept import KEPT, Goal, kept
from muster.core.placement.refusal import Refusal
from muster.core.placement.tasks import tractable
from muster.core.placement.tree import Tree

BUDGET = 60_000
"""Steps that one decision on several roles may take: some tenths of a second (see `exact.meter`)."""
_REFUSED = 4096
"""Shapes whose refusals are kept,"""
_STATES = 4
"""each for so many states of the cluster."""

Least = tuple[tuple[tuple[str, int], ...], int]


class Placer(Basis):
    """Finds nodes for whole gangs, or the reason why there are none."""

    def __init__(self) -> None:
        super().__init__()
        self._least: OrderedDict[tuple[Epoch, Shape], Least | None] = OrderedDict()
        self._refusals: OrderedDict[Hashable, list[Refusal]] = OrderedDict()
        self.asked = 0
        """How often `place` had to decide: a refusal stands, and is not decided again, while nothing that it was about
        is different, or is again what it was."""
        self._never: OrderedDict[tuple[Epoch, Shape, int], Verdict | None] = OrderedDict()

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

        return kept(self._least, (inventory.epoch, shape), find, KEPT)

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
            return kept(self._never, key, lambda: apart.never(self, inventory, gang, budget), KEPT) or found
        return found

    def _placed(self, inventory: Inventory, gang: Gang, budget: int) -> Found | Verdict:
        """A placement, the verdict of one role alone, or that of roles together."""
        if len(gang.roles) == 1 and tractable(gang.roles[0]):
            (role,) = gang.roles
            found = self.one(inventory, role)
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
