"""The solver: a bounded cache around exact decisions. See the package for its contract."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence

import numpy as np

from muster.core.changes import Mark, since
from muster.core.inventory import USABLE, Inventory
from muster.core.model import Filter, Remedy, Repaired, Resources, Shape, Verdict
from muster.core.placement import largest, remedy, repair
from muster.core.placement.kept import KEPT, kept
from muster.core.placement.placer import Placer


class Solver(Placer):
    """Places gangs, mends their placements, and says what would make room for them."""

    def __init__(self) -> None:
        super().__init__()
        self._remedies: OrderedDict[Hashable, tuple[Mark, Remedy | None]] = OrderedDict()

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
        return kept(self._remedies, key, lambda: (mark, found), KEPT)[1]

    def slots(self, inventory: Inventory, requests: Resources, filter_: Filter) -> dict[str, int]:
        """How many pods of a kind fit on each node now; nodes that take none are left out."""
        tree = self.tree(inventory)
        found = self._stand(inventory, requests, filter_, ()).view.slots
        return {tree.names[i]: int(found[i]) for i in np.flatnonzero(found).tolist()}

    def largest(self, inventory: Inventory, shape: Shape) -> int:
        """Pods of the largest gang of a one-role shape (its longest prefix) that fits now."""
        gang = self.gang(inventory, shape)
        if isinstance(gang, Verdict):
            return 0
        role = gang.roles[0]
        return self.longest(inventory, role, self.view(inventory, role))

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
