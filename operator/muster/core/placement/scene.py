"""What a decision is made on: the fields that the search needs and the objective of a whole placement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from muster.core.inventory import Inventory
from muster.core.model import Objective
from muster.core.placement.gang import Gang
from muster.core.placement.search import INTACT, PLAIN, TOUCHED, Field
from muster.core.placement.tree import Ints, Tree
from muster.core.topology import NODE

Mask = npt.NDArray[np.bool_]


def scene(tree: Tree, intact: Mask, slots: Ints, used: Mask | None = None) -> Field:
    """The field for one role. `intact` per position before this gang; `used`: positions that earlier roles of the same
    gang use, whose domains cost nothing more."""
    states = []
    busy = (~intact).astype(np.int64)
    for depth in range(tree.depths + 1):
        state = np.where(tree.sums(depth, busy) == 0, INTACT, PLAIN).astype(np.int8)
        if used is not None:
            state[tree.domain[depth][used]] = TOUCHED
        states.append(state)
    opens = intact if used is None else intact & ~used
    return Field(tree, slots, tuple(states), opens, fill_room(tree, opens, slots))


def fill_room(tree: Tree, opens: Mask, slots: Ints) -> dict[int, Ints]:
    """Per depth whose fill limit can bind, how many more nodes of each domain may become used."""
    out: dict[int, Ints] = {}
    for i, level in enumerate(tree.levels.levels):
        if level.fill_limit is None:
            continue
        room = np.maximum(level.fill_limit - tree.sums(i + 1, (~opens).astype(np.int64)), 0)
        if (tree.sums(i + 1, (opens & (slots > 0)).astype(np.int64)) > room).any():
            out[i + 1] = room
    return out


def positions(tree: Tree, inventory: Inventory) -> Mask:
    """Per position: is the node intact now."""
    return inventory.intact(tree.rows)


def objective(tree: Tree, intact: Mask, gang: Gang, pods: Sequence[Ints], leftover: int) -> Objective:
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
    busy = (~intact).astype(np.int64)
    for depth in range(1, tree.depths + 1):
        domains = np.unique(tree.domain[depth][touched])
        opened.append((tree.level(depth), int((tree.sums(depth, busy)[domains] == 0).sum())))
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
