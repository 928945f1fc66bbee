"""What one decision is made on, by position and depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from muster.core.placement.tree import Ints, Tree
from muster.core.placement.view import Mask, View

PLAIN, INTACT, TOUCHED = range(3)
"""State of a domain as the key sees it: in use already, intact, or used by an earlier role of the same gang."""


@dataclass(frozen=True, slots=True)
class Field:
    """Slots and states. One that stands on a view changes with it."""

    tree: Tree
    slots: Ints
    busy: Mask
    """Per position: not intact."""
    free: list[Ints]
    """Per depth but the nodes' own, the slots of each domain."""
    claimed: list[Ints]
    """Per depth likewise, how many nodes of each domain are not intact."""
    closed: list[Ints]
    """The same, counting nodes that earlier roles of the gang use."""
    used: Mask | None = None
    """Per position: an earlier role of the same gang uses it, so its domains cost nothing more."""
    touched: list[Mask] = field(default_factory=list)
    """Per depth the domains that earlier roles use; empty if there are none."""
    limits: Mapping[int, int] = field(default_factory=dict)
    """Fill limits by depth, of those levels at which they can bind."""

    def states(self, depth: int, domains: Ints | slice) -> npt.NDArray[np.int64]:
        """PLAIN, INTACT or TOUCHED of some domains."""
        intact = ~self.busy[domains] if depth == self.tree.depths else self.claimed[depth][domains] == 0
        out = intact.astype(np.int64)
        if self.touched:
            out[self.touched[depth][domains]] = TOUCHED
        return out

    def held(self, depth: int, domains: Ints | slice) -> Ints:
        """The slots of some domains."""
        return self.slots[domains] if depth == self.tree.depths else self.free[depth][domains]

    def room(self, depth: int, domains: Ints | slice) -> Ints:
        """How many more nodes of some domains may become used."""
        return np.maximum(self.limits[depth] - self.closed[depth][domains], 0)


def standing_on(view: View) -> Field:
    """The field of a view, which follows it."""
    plain = Field(view.tree, view.slots, view.busy, view.free, view.claimed, view.claimed)
    limits = binding(plain)
    if not limits:
        return plain
    return Field(view.tree, view.slots, view.busy, view.free, view.claimed, view.claimed, limits=limits)


def apart(tree: Tree, busy: Mask, slots: Ints, used: Mask | None = None) -> Field:
    """A field of its own. `busy`: not intact before this gang; `used`: positions that its earlier roles use."""
    free = [tree.sums(depth, slots) for depth in range(tree.depths)]
    claimed = [tree.sums(depth, busy.astype(np.int64)) for depth in range(tree.depths)]
    closed, touched = claimed, []
    if used is not None:
        closed = [tree.sums(depth, (busy | used).astype(np.int64)) for depth in range(tree.depths)]
        for depth in range(tree.depths + 1):
            mine = np.zeros(tree.domains(depth), bool)
            mine[tree.domain[depth][used]] = True
            touched.append(mine)
    plain = Field(tree, slots, busy, free, claimed, closed, used, touched)
    return Field(tree, slots, busy, free, claimed, closed, used, touched, binding(plain))


def unlimited(where: Field) -> Field:
    """The same without fill limits."""
    return Field(
        where.tree, where.slots, where.busy, where.free, where.claimed, where.closed, where.used, where.touched
    )


def binding(where: Field) -> dict[int, int]:
    """The fill limits that can bind: some domain has more nodes to open than it may."""
    tree, out = where.tree, {}
    for i, level in enumerate(tree.levels.levels):
        if level.fill_limit is None:
            continue
        opens = ~where.busy if where.used is None else ~(where.busy | where.used)
        rooms = np.maximum(level.fill_limit - where.closed[i + 1], 0)
        if (tree.sums(i + 1, (opens & (where.slots > 0)).astype(np.int64)) > rooms).any():
            out[i + 1] = level.fill_limit
    return out
