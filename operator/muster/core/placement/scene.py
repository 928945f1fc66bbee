"""The objective of a whole placement, counted from its pods: for gangs that are searched role by role."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from muster.core.model import Objective
from muster.core.placement.gang import Gang
from muster.core.placement.tree import Ints, Tree
from muster.core.placement.view import Mask
from muster.core.topology import NODE


def objective(tree: Tree, busy: Mask, gang: Gang, pods: Sequence[Ints], leftover: int) -> Objective:
    """The vector of a whole placement; `pods` per role and position."""
    touched = np.zeros(tree.count, bool)
    for held in pods:
        touched |= held > 0

    def count(depth: int, mask: Mask) -> int:
        return len(np.unique(tree.domain[depth][mask]))

    preferred = count(gang.preferred, touched) if gang.preferred else 0
    for role, held in zip(gang.roles, pods, strict=True):
        own = tree.levels.depth(role.shape.preferred) if role.shape.preferred is not None else 0
        preferred += count(own, held > 0) if own else 0
    weights = [*(level.weight or 0 for level in tree.levels.levels), tree.levels.node_weight]
    counts = [count(d, touched) for d in range(1, tree.depths + 1)]
    opened = []
    for depth in range(1, tree.depths + 1):
        domains = np.unique(tree.domain[depth][touched])
        opened.append((tree.level(depth), int((tree.sums(depth, busy.astype(np.int64))[domains] == 0).sum())))
    assert opened[-1][0] == NODE
    cost = sum(w * c for w, c in zip(weights, counts, strict=True))
    return Objective(preferred, cost, counts[-1], tuple(opened), leftover)


def left_over(tree: Tree, slots: Ints, pods: Sequence[Ints]) -> int:
    """Slots on the touched domains of the last named level (of the nodes, if no level is named)."""
    last = tree.depths - 1 if tree.depths > 1 else tree.depths
    touched = np.zeros(tree.domains(last), bool)
    for held in pods:
        touched[tree.domain[last][held > 0]] = True
    return int(slots[touched[tree.domain[last]]].sum())


def touched_domains(tree: Tree, pods: Sequence[Ints]) -> tuple[tuple[str, int], ...]:
    """Domains touched per named level, broadest first."""
    touched = np.zeros(tree.count, bool)
    for held in pods:
        touched |= held > 0
    return tuple((tree.level(d), len(np.unique(tree.domain[d][touched]))) for d in range(1, tree.depths))
