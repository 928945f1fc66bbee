"""From the nodes up to the domains that all roles share: the curve of every domain, equal ones once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from muster.core.placement.exact.arrays import INFINITE, Ints, State, lifted, touched, trimmed
from muster.core.placement.exact.blocks import Blocks
from muster.core.placement.exact.keys import Keys
from muster.core.placement.exact.meter import Meter
from muster.core.placement.exact.nodes import Nodes, distinct_rows
from muster.core.placement.exact.parts import EMPTY, Parts
from muster.core.placement.tree import Tree


@dataclass(frozen=True, slots=True)
class Ground:
    """What a search stands on, the objective apart. `last` is the depth whose touched domains count leftover."""

    tree: Tree
    blocks: Blocks
    nodes: Nodes
    busy: Ints
    """Per position 1 if not intact."""
    limits: dict[int, int]
    """Fill limits that can bind, by depth."""
    liked: int
    """The depth of the job's preferred level; 0 for none."""

    @property
    def last(self) -> int:
        """The depth whose touched domains count leftover."""
        return self.tree.depths - 1 if self.tree.depths > 1 else self.tree.depths

    @property
    def fill(self) -> int:
        """The broadest depth with a fill limit: below it the last axis counts nodes newly used."""
        return min(self.limits, default=self.tree.depths + 1)

    def room(self, depth: int) -> Ints:
        """Per domain how many nodes may become used by its level's limit."""
        found: Ints = np.maximum(self.limits[depth] - self.tree.sums(depth, self.busy), 0)
        return found

    def intact(self, depth: int) -> Ints:
        """Per domain 1 if it is intact."""
        found: Ints = (self.tree.sums(depth, self.busy) == 0).astype(np.int64)
        return found

    def key(self, keys: Keys, depth: int) -> tuple[int, int, list[int]]:
        """What touching a domain of this depth adds: always, if it is intact, and per block for its own preference."""
        weights, tree = keys.weights, self.tree
        level = tree.levels.node_weight if depth == tree.depths else tree.levels.levels[depth - 1].weight or 0
        plain = weights[1] * level + weights[0] * (self.liked == depth) + weights[2] * (depth == tree.depths)
        return plain, weights[2 + depth], [weights[0] * (block.liked == depth) for block in self.blocks.all]


@dataclass(slots=True)
class Climb:
    """The curves of one search. `rounds[d]`: how the children of the domains of depth d (above the bottom) are added
    in pairs: (first of each domain, part of each) from the children to the sum; `stacks[d]`: of a domain at the bottom
    the chain of (part of a node, how many nodes, sum so far)."""

    ground: Ground
    keys: Keys
    parts: Parts
    rounds: dict[int, list[tuple[Ints, Ints]]] = field(default_factory=dict)
    stacks: list[list[tuple[int, int, int]]] = field(default_factory=list)
    powers: dict[tuple[int, int], int] = field(default_factory=dict)
    halves: dict[tuple[int, int, State], State] = field(default_factory=dict)
    """Per pair of parts and state what the first holds of it, as far as it has been asked for."""
    nodes: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """Per position the part of its node;"""
    sums: dict[int, Ints] = field(default_factory=dict)
    """per depth and domain the part that its children make up;"""
    top: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """the same at the depth that all roles share, which may be that of nodes."""

    def caps(self, depth: int) -> State:
        """Caps of what the children of a domain of this depth hold together."""
        ground = self.ground
        most = max((limit for d, limit in ground.limits.items() if d <= depth), default=0)
        return (*ground.blocks.caps(depth), min(ground.blocks.pods, most) if ground.fill <= depth else 0)


def climb(ground: Ground, keys: Keys, meter: Meter) -> Climb:
    """Add everything up."""
    tree, together = ground.tree, ground.blocks.together
    out = Climb(ground, keys, Parts(meter))
    out.nodes = out.top = _nodes(out)
    if together == tree.depths:
        return out
    out.top = out.sums[tree.depths - 1] = _bottoms(out)
    for depth in range(tree.depths - 2, together - 1, -1):
        out.top = out.sums[depth] = _paired(out, depth, _classes(out, depth + 1, out.top))
    return out


def _nodes(out: Climb) -> Ints:
    """Per position the part of its node; of the gang's own domain, if that is a node, without what touching it adds."""
    ground, keys, depth = out.ground, out.keys, out.ground.tree.depths
    nodes = ground.nodes
    line = np.where(nodes.fits, -keys.weights[-1] * nodes.drop, INFINITE)[..., None]
    if ground.fill < depth:
        # Nodes that are not in use take the second entry of the last axis as soon as anything is on them.
        wide = np.full((*line.shape[:-1], 2), INFINITE, np.int64)
        flat, mine = wide.reshape(len(line), -1, 2), line.reshape(len(line), -1)
        flat[:, 0, 0] = 0
        flat[nodes.busy, :, 0] = mine[nodes.busy]
        flat[~nodes.busy, 1:, 1] = mine[~nodes.busy, 1:]
        line = wide
    if ground.blocks.together < depth:
        plain, intact, liked = ground.key(keys, depth)
        any_ = plain + intact * ~nodes.busy + keys.weights[-1] * nodes.held
        line = touched(_lifted(out, line, depth), any_, _axes(out, depth - 1, liked))
    parts = out.parts.put(trimmed(line)) if len(line) else np.zeros(0, np.int64)
    some = (line < INFINITE).reshape(len(line), -1).sum(axis=1) > 1
    return np.concatenate([[EMPTY], np.where(some, parts, EMPTY)])[nodes.code + 1].astype(np.int64)


def _bottoms(out: Climb) -> Ints:
    """Per domain at the bottom the sum of its nodes: equal ones raised to a power, then kind by kind."""
    tree, nodes = out.ground.tree, out.nodes
    depth = tree.depths - 1
    caps = out.caps(depth)
    at = np.flatnonzero(nodes != EMPTY)
    width = int(nodes.max(initial=0)) + 1
    pairs, counts = np.unique(tree.domain[depth][at] * width + nodes[at], return_counts=True)
    stacks: list[list[tuple[int, int]]] = [[] for _ in range(tree.domains(depth))]
    for pair, n in zip(pairs.tolist(), counts.tolist(), strict=True):
        domain, part = divmod(pair, width)
        stacks[domain].append((part, n))
    _raise(out, {group for stack in stacks for group in stack}, caps)
    sums = np.full(len(stacks), EMPTY, np.int64)
    out.stacks = [[] for _ in stacks]
    for i in range(max(map(len, stacks), default=0)):
        mine = [domain for domain, stack in enumerate(stacks) if len(stack) > i]
        powers = np.array([out.powers[stacks[domain][i]] for domain in mine])
        sums[mine] = out.parts.sums(sums[mine], powers, caps)
        for domain, part in zip(mine, sums[mine].tolist(), strict=True):
            out.stacks[domain].append((*stacks[domain][i], part))
    return sums


def _raise(out: Climb, wanted: set[tuple[int, int]], caps: State) -> None:
    """Make the sums of so many equal nodes, each from its halves."""
    needed: dict[int, set[int]] = {}
    pending = list(wanted)
    while pending:
        part, n = pending.pop()
        if part not in needed.setdefault(n, set()):
            needed[n].add(part)
            pending += [(part, n - n // 2), (part, n // 2)] if n > 1 else []
    for n in sorted(needed):
        parts = sorted(needed[n])
        if n == 1:
            out.powers.update({(part, 1): part for part in parts})
            continue
        left = np.array([out.powers[part, n - n // 2] for part in parts])
        right = np.array([out.powers[part, n // 2] for part in parts])
        for part, made in zip(parts, out.parts.sums(left, right, caps).tolist(), strict=True):
            out.powers[part, n] = made


def _paired(out: Climb, depth: int, children: Ints) -> Ints:
    """Per domain of this depth the sum of its children, neighbours first."""
    edges, caps = out.ground.tree.children[depth], out.caps(depth)
    firsts, current = edges.copy(), children
    rounds = out.rounds[depth] = [(firsts, current)]
    while len(current) > len(firsts) - 1:
        sizes = np.diff(firsts)
        halves = (sizes + 1) // 2
        begins = np.concatenate([[0], np.cumsum(halves)])
        number = np.arange(begins[-1]) - np.repeat(begins[:-1], halves)
        left = np.repeat(firsts[:-1], halves) + 2 * number
        paired = 2 * number + 1 < np.repeat(sizes, halves)
        right = np.where(paired, current[np.where(paired, left + 1, 0)], EMPTY)
        firsts, current = begins, out.parts.sums(current[left], right, caps)
        rounds.append((firsts, current))
    return current


def _classes(out: Climb, depth: int, sums: Ints) -> Ints:
    """Per domain the part that it is to the domain above it."""
    ground, keys = out.ground, out.keys
    open_ = np.flatnonzero(sums != EMPTY)
    made = np.full(len(sums), EMPTY, np.int64)
    if not len(open_):
        return made
    held = ground.tree.sums(depth, ground.nodes.raw) if depth == ground.last else np.zeros(len(sums), np.int64)
    rooms = ground.room(depth) if depth in ground.limits else np.zeros(len(sums), np.int64)
    table = np.stack([sums, ground.intact(depth), held * bool(keys.weights[-1]), rooms], axis=1)[open_]
    firsts, which = distinct_rows(table)
    parts, intact, held, rooms = table[firsts].T
    curves = out.parts.curves(parts)
    if depth in ground.limits:
        over = np.arange(curves.shape[-1])[None, :] > rooms[:, None]
        curves = np.where(over.reshape(len(curves), *(1,) * (curves.ndim - 2), -1), INFINITE, curves)
    if depth == ground.fill:
        curves = curves.min(axis=-1, keepdims=True)
    plain, opened, liked = ground.key(keys, depth)
    any_ = plain + opened * intact + keys.weights[-1] * held
    curves = touched(_lifted(out, curves, depth), any_, _axes(out, depth - 1, liked))
    numbers = out.parts.put(trimmed(curves))
    some = (curves < INFINITE).reshape(len(curves), -1).sum(axis=1) > 1
    made[open_] = np.where(some, numbers, EMPTY)[which]
    return made


def _lifted(out: Climb, curves: Ints, depth: int) -> Ints:
    """The curves in the pieces that the rungs of this depth lead to."""
    axis = 1
    for block in out.ground.blocks.all:
        for rung in block.rungs:
            if rung.depth == depth:
                curves = lifted(curves, axis, rung, out.parts.meter)
        axis += len(block.caps(depth - 1))
    return curves


def _axes(out: Climb, depth: int, liked: list[int]) -> list[tuple[int, int, int]]:
    """Of the blocks that pay for themselves: (first axis, axes, key) in the children of a domain of this depth."""
    found, axis = [], 1
    for block, key in zip(out.ground.blocks.all, liked, strict=True):
        width = len(block.caps(depth))
        if key:
            found.append((axis, width, key))
        axis += width
    return found
