"""The optimum of a whole gang: search, read off, and walk down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from muster.core.inventory import Inventory
from muster.core.placement.basis import Basis
from muster.core.placement.exact.arrays import INFINITE, REACHED, State
from muster.core.placement.exact.blocks import Blocks, blocks_of
from muster.core.placement.exact.climb import Climb, Ground, climb
from muster.core.placement.exact.descend import Spread, spread
from muster.core.placement.exact.keys import Keys, keys, nothing
from muster.core.placement.exact.meter import Meter, OverBudget
from muster.core.placement.exact.nodes import nodes_of
from muster.core.placement.exact.parts import EMPTY
from muster.core.placement.gang import Gang


@dataclass(frozen=True, slots=True)
class Exact:
    """A placement, its vector, and a lower bound of every vector: the same where it is proven."""

    blocks: Blocks
    spread: Spread
    vector: tuple[int, ...]
    bound: tuple[int, ...]
    domains: tuple[int, ...]
    """Domains touched per depth, from 1 on."""


def optimum(ground: Ground, meter: Meter) -> Exact | None:
    """The optimum; where its last entries take more steps than there are, a placement that is best in the entries
    before. None: there is no placement. Raises OverBudget where not even that is known."""
    if not ground.nodes.some:
        return None
    found: Exact | None = None
    bounds = _bounds(ground)
    while True:
        packed = keys(bounds)
        try:
            better = _best(ground, packed, meter)
        except OverBudget:
            if found is None:
                raise
            return found
        if better is None or packed.whole:
            return better
        tighter = _tightened(ground, better, packed.length, bounds)
        if found is not None and tighter == bounds:
            return found
        found, bounds = better, tighter


def possible(ground: Ground, meter: Meter) -> bool:
    """Whether the gang can be placed at all. Raises OverBudget."""
    if not ground.nodes.some:
        return False
    return _read(climb(ground, nothing(ground.tree.depths + 4), meter)) is not None


def ground_of(basis: Basis, inventory: Inventory, gang: Gang, meter: Meter) -> Ground:
    """What the searches for a gang stand on."""
    tree, blocks = basis.tree(inventory), blocks_of(gang)
    nodes = nodes_of(basis, inventory, tree, blocks, meter)
    busy = (~inventory.intact(tree.rows)).astype(np.int64)
    limits = {}
    for i, level in enumerate(tree.levels.levels):
        if level.fill_limit is not None:
            opens = tree.sums(i + 1, ((nodes.code >= 0) & (busy == 0)).astype(np.int64))
            if (opens > np.maximum(level.fill_limit - tree.sums(i + 1, busy), 0)).any():
                limits[i + 1] = level.fill_limit
    return Ground(tree, blocks, nodes, busy, limits, gang.preferred)


def _best(ground: Ground, packed: Keys, meter: Meter) -> Exact | None:
    made = climb(ground, packed, meter)
    found = _read(made)
    if found is None:
        return None
    key, domain, state = found
    answer = spread(made, domain, state)
    vector, domains = vector_of(ground, answer)
    prefix = packed.entries(key)
    assert prefix == vector[: packed.length]
    bound = vector if packed.whole else prefix + (0,) * (len(vector) - len(prefix))
    return Exact(ground.blocks, answer, vector, bound, domains)


def _read(made: Climb) -> tuple[int, int, State] | None:
    """The least key of the whole gang, the shared domain in which it is reached, and the state there."""
    ground, together = made.ground, made.ground.blocks.together
    full = ground.blocks.caps(together)
    candidates = np.flatnonzero(made.top != EMPTY)
    if not len(candidates):
        return None
    rooms = np.full(len(candidates), ground.blocks.pods if ground.fill <= together else 0, np.int64)
    constant = np.zeros(len(candidates), np.int64)
    tree = ground.tree
    for depth in range(1, together + 1):
        over = tree.domain[depth][tree.start[together][candidates]]
        plain, opened, liked = ground.key(made.keys, depth)
        constant += plain + sum(liked) + opened * ground.intact(depth)[over]
        if depth == ground.last:
            constant += made.keys.weights[-1] * tree.sums(depth, ground.nodes.raw)[over]
        if depth in ground.limits:
            rooms = np.minimum(rooms, ground.room(depth)[over])
    best: tuple[int, int, State] | None = None
    known: dict[tuple[int, int], tuple[int, int]] = {}
    for i, domain in enumerate(candidates.tolist()):
        mark = int(made.top[domain]), int(rooms[i])
        if mark not in known:
            curve = made.parts.curve(mark[0])
            known[mark] = INFINITE, 0
            if all(s < e for s, e in zip(full, curve.shape, strict=False)):
                line = curve[full][: mark[1] + 1]
                known[mark] = int(line.min()), int(line.argmin())
        value, used = known[mark]
        if value < REACHED and (best is None or value + int(constant[i]) < best[0]):
            best = value + int(constant[i]), domain, (*full, used)
    return best


def vector_of(ground: Ground, answer: Spread) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The vector of a placement, counted from its pods, and the domains touched per depth from 1 on."""
    tree, blocks = ground.tree, ground.blocks.all
    at = np.array(sorted(answer.loads), np.int64)
    loads = np.array([answer.loads[position] for position in at.tolist()], np.int64).reshape(len(at), len(blocks))
    weights = [*(level.weight or 0 for level in tree.levels.levels), tree.levels.node_weight]
    touched = [np.unique(tree.domain[depth][at]) for depth in range(1, tree.depths + 1)]
    preferred = len(touched[ground.liked - 1]) if ground.liked else 0
    for i, block in enumerate(blocks):
        if block.liked:
            preferred += len(np.unique(tree.domain[block.liked][at[loads[:, i] > 0]]))
    intact = [int(ground.intact(depth)[mine].sum()) for depth, mine in enumerate(touched, 1)]
    raw = int(tree.sums(ground.last, ground.nodes.raw)[touched[ground.last - 1]].sum())
    drop = sum(int(ground.nodes.drop[(ground.nodes.code[p], *answer.loads[p])]) for p in at.tolist())
    counts = tuple(len(mine) for mine in touched)
    cost = sum(w * n for w, n in zip(weights, counts, strict=True))
    return (preferred, cost, counts[-1], *intact, raw - drop), counts


def _bounds(ground: Ground) -> tuple[int, ...]:
    """Per entry of the vector what no placement exceeds."""
    return _from_pieces(ground, [_pieces(ground, depth) for depth in range(1, ground.tree.depths + 1)])


def _from_pieces(ground: Ground, most: list[int]) -> tuple[int, ...]:
    """The same from how many domains of each depth, from 1 on, may be touched."""
    tree = ground.tree
    liked = most[ground.liked - 1] if ground.liked else 0
    for block in ground.blocks.all:
        if block.liked:
            liked += min(sum(block.caps(block.liked - 1)), most[block.liked - 1])
    weights = [*(level.weight or 0 for level in tree.levels.levels), tree.levels.node_weight]
    cost = sum(w * n for w, n in zip(weights, most, strict=True))
    intact = [min(n, int(ground.intact(depth).sum())) for depth, n in enumerate(most, 1)]
    held = np.sort(tree.sums(ground.last, ground.nodes.raw))[::-1]
    return (liked, cost, most[-1], *intact, int(held[: most[ground.last - 1]].sum()))


def _pieces(ground: Ground, depth: int) -> int:
    """How many domains of a depth a placement can touch."""
    if depth <= ground.blocks.together:
        return 1
    return min(sum(ground.blocks.caps(depth - 1)), ground.tree.domains(depth))


def _tightened(ground: Ground, found: Exact, length: int, bounds: tuple[int, ...]) -> tuple[int, ...]:
    """Bounds for the optimum, whose first entries are known by now, and the next is no worse than here."""
    most = [_pieces(ground, depth) for depth in range(1, ground.tree.depths + 1)]
    weights = [*(level.weight or 0 for level in ground.tree.levels.levels), ground.tree.levels.node_weight]
    if length > 1:
        most = [min(n, found.vector[1] // w) if w else n for n, w in zip(most, weights, strict=True)]
    if length > 2:
        most[-1] = min(most[-1], found.vector[2])
    known = found.vector[: length + 1]
    rest = _from_pieces(ground, most)
    return tuple(min(a, b) for a, b in zip(known + rest[len(known) :], bounds, strict=True))
