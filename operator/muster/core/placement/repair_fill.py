"""The best way to put a few free pieces of one role back, around what stays: exact, by dynamic programming over the
domains that can matter.

As in `search`, the objective is additive over the domains that are newly touched. What differs: some domains must take
pieces (the regions of `repair_parts`), few pieces are placed, and only the domains of the regions are looked at, so
that a pod which goes back into its rack costs a look at one rack. Keys are whole numbers of any length, one field an
entry of the vector; a state is how many pieces of each kind a domain takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from muster.core.placement.gang import Vector
from muster.core.placement.repair_curves import LATER, Curve, Ground, Link, both, classes
from muster.core.placement.repair_parts import Parts, Region
from muster.core.placement.tree import Ints

_FIELD = 40
"""Bits of an entry of the vector."""
_MANY = 64
"""Nodes of a domain above which those that are alike are told apart by arrays."""


@dataclass(slots=True)
class Filled:
    """Where pieces go. `taken`: free pieces of each kind by (level, domain of that level); `pods`: (position, pods) by
    the innermost region."""

    key: int = 0
    taken: dict[Region, Vector] = field(default_factory=dict)
    pods: dict[int, list[tuple[int, int]]] = field(default_factory=dict)


class Filling:
    """One role's regions on one ground."""

    def __init__(self, ground: Ground, parts: Parts, together: int, wanted: dict[Region, Vector]) -> None:
        self.ground, self.parts, self.together, self.wanted = ground, parts, together, wanted
        tree = ground.tree
        self._around: dict[tuple[int, int], set[int]] = {}
        """The children that contain a region, or are one, of each (depth, domain) that contains any."""
        for level, domain in wanted:
            first = int(tree.start[self.depth(level)][domain])
            for depth in range(self.depth(level)):
                here = depth, int(tree.domain[depth][first])
                self._around.setdefault(here, set()).add(int(tree.domain[depth + 1][first]))
            self._around.setdefault((self.depth(level), domain), set())
        self._weights = [0, *(level.weight or 0 for level in tree.levels.levels), tree.levels.node_weight]
        entries = tree.depths + 4
        self._unit = [1 << _FIELD * (entries - 1 - i) for i in range(entries)]
        self._last = tree.depths - 1 if tree.depths > 1 else tree.depths
        self._rooms: dict[int, Ints] = {}
        self._bottoms: list[int] | None = None
        self._classes: dict[tuple[int, ...], int] = {}
        self._known: dict[tuple[int, int, Vector, int], Curve] = {}

    def depth(self, level: int) -> int:
        """The depth of the domains that are regions for this level."""
        return self.parts.depths[level - 1] if level else self.together

    def solve(self, region: Region) -> Filled | None:
        """The best for a region and all those inside it; None if they do not find room."""
        level, domain = region
        state = self.wanted[region]
        depth = self.depth(level)
        found = self._inside(depth, domain, level, state).get(state)
        if found is None:
            return None
        out = Filled(found[0])
        if depth == self.ground.tree.depths:
            out.pods[domain] = [(domain, state[0])]
        self._walk(depth, domain, region, found[1], out)
        return out

    # --- Up -------------------------------------------------------------------------------------------------------

    def _inside(self, depth: int, domain: int, level: int, caps: Vector) -> Curve:
        """What the children of a domain can take together of the pieces of a level, and with it of their regions."""
        tree = self.ground.tree
        if depth == tree.depths:
            return self._on_node(domain, level, caps)
        if depth == tree.depths - 1:
            return self._nodes(domain, level, caps)
        first, stop = int(tree.children[depth][domain]), int(tree.children[depth][domain + 1])
        none = (0,) * len(caps)
        least = min((size for n, size in zip(caps, self.parts.pods[level], strict=True) if n), default=0)
        able = self._room(depth + 1)[first:stop] >= least if least else np.zeros(stop - first, bool)
        around = self._around.get((depth, domain), set())
        children = {*(first + np.flatnonzero(able)).tolist(), *around}
        curve: Curve = {none: (0, None)}
        times: dict[int, int] = {}
        for child in sorted(children):
            inner = self._whole(depth + 1, child, level, caps)
            if child not in around:
                # No more of those that are alike can matter than there are pieces.
                times[id(inner)] = times.get(id(inner), 0) + 1
                if times[id(inner)] > sum(caps):
                    continue
            curve = both(curve, inner, caps, child)
        return curve

    def _whole(self, depth: int, domain: int, level: int, caps: Vector) -> Curve:
        """What one domain can take of the pieces of a level, its own key included."""
        alike = self._class(depth, domain)
        mark = depth, level, caps, alike
        known = self._known.get(mark) if alike >= 0 else None
        if known is not None:
            return known
        touch = self._touch(depth, domain)
        out: Curve = {}
        if level < self.parts.last and self.parts.depths[level] == depth:
            own = self.wanted.get((level + 1, domain), (0,) * len(self.parts.pods[level + 1]))
            inner = self._inside(depth, domain, level + 1, self._made(level, caps, own))
            for state in product(*(range(cap + 1) for cap in caps)):
                found = inner.get(self._made(level, state, own))
                if found is not None:
                    out[state] = found[0] + (touch if any(state) else 0), found[1]
        else:
            for state, (key, link) in self._inside(depth, domain, level, caps).items():
                out[state] = key + (touch if any(state) else 0), link
        if alike >= 0:
            out = {state: (key, LATER if any(state) else None) for state, (key, _) in out.items()}
            self._known[mark] = out
        return out

    def _class(self, depth: int, domain: int) -> int:
        """Domains of one number hold alike nodes, in whatever order; -1 where the gang is already, or a region."""
        tree = self.ground.tree
        bottom = tree.depths - 1
        if self._bottoms is None:
            self._bottoms = classes(self.ground, bottom)
            for at, mine in self._around:
                if at == bottom:
                    self._bottoms[mine] = -1
        if depth == bottom:
            return self._bottoms[domain]
        first, stop = int(tree.children[depth][domain]), int(tree.children[depth][domain + 1])
        if depth == bottom - 1:
            inside = sorted(self._bottoms[first:stop])
        else:
            inside = sorted(self._class(depth + 1, child) for child in range(first, stop))
        if inside[0] < 0 or (depth, domain) in self._around:
            return -1
        return self._classes.setdefault((depth, *inside), len(self._classes))

    def _made(self, level: int, state: Vector, more: Vector) -> Vector:
        """What pieces of a level are made of, and some more."""
        out = list(more)
        for count, makeup in zip(state, self.parts.makeups[level], strict=True):
            for i, n in enumerate(makeup):
                out[i] += count * n
        return tuple(out)

    def _nodes(self, domain: int, level: int, caps: Vector) -> Curve:
        """The same for a domain whose children are nodes."""
        ground, tree = self.ground, self.ground.tree
        depth, parts = tree.depths, self.parts
        start = int(tree.start[depth - 1][domain])
        run = slice(start, int(tree.start[depth - 1][domain + 1]))
        most = sum(caps)
        curve: Curve = {(0,) * len(caps): (0, None)}
        around = self._around.get((depth - 1, domain), set())
        here = np.flatnonzero(ground.slots[run] > 0) + start if most else np.zeros(0, np.int64)
        if len(here) > _MANY and ground.fewer is None:
            here = self._first_of_each(here, most)
        times: dict[tuple[int, int], int] = {}
        for at in sorted({*here.tolist(), *around}):
            touch = self._touch(depth, at)
            if at not in around and ground.fewer is None:
                alike = int(ground.slots[at]), touch
                times[alike] = times.get(alike, 0) + 1
                if times[alike] > most:
                    continue
            if level < parts.last:
                own = self.wanted.get((level + 1, at), (0,))
                inner = self._on_node(at, level + 1, self._made(level, caps, own))
                one: Curve = {}
                for state in product(*(range(cap + 1) for cap in caps)):
                    found = inner.get(self._made(level, state, own))
                    if found is not None:
                        # The mark keeps the node in the chain, though it takes nothing from outside.
                        one[state] = found[0] + (touch if any(state) else 0), any(own) or None
            else:
                one = {
                    state: (key + (touch if any(state) else 0), link)
                    for state, (key, link) in self._on_node(at, level, caps).items()
                }
            curve = both(curve, one, caps, at - start)
        return curve

    def _on_node(self, at: int, level: int, caps: Vector) -> Curve:
        """Pods on one node."""
        assert level == self.parts.last
        fewer = self.ground.fewer
        most = min(int(self.ground.slots[at]), caps[0])
        return {(n,): (0 if fewer is None or not n else fewer(at, n), None) for n in range(most + 1)}

    def _first_of_each(self, here: Ints, most: int) -> Ints:
        """Of nodes that are alike the first few."""
        ground = self.ground
        code = np.minimum(ground.slots[here], most) * 8 + ground.busy[here] * 4 + ground.used[here] * 2
        code += ground.own[here]
        if self._last == ground.tree.depths:
            code += ground.rest[here] << 20
        order = np.argsort(code, kind="stable")
        ordered = code[order]
        firsts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        sizes = np.diff(np.append(firsts, len(ordered)))
        return here[order[np.arange(len(ordered)) - np.repeat(firsts, sizes) < most]]

    def _room(self, depth: int) -> Ints:
        found = self._rooms.get(depth)
        if found is None:
            found = self._rooms[depth] = self.ground.tree.sums(depth, self.ground.slots)
        return found

    def _touch(self, depth: int, domain: int) -> int:
        """What it adds to put a first pod of this role into a domain."""
        ground, tree, unit = self.ground, self.ground.tree, self._unit
        run = slice(int(tree.start[depth][domain]), int(tree.start[depth][domain + 1]))
        key = 0
        if depth == ground.own_preferred and not ground.own[run].any():
            key += unit[0]
        if ground.used[run].any():
            return key
        if depth == ground.job_preferred:
            key += unit[0]
        key += unit[1] * self._weights[depth]
        if depth == tree.depths:
            key += unit[2]
        if not ground.busy[run].any():
            key += unit[2 + depth]
        if depth == self._last:
            key += int(ground.rest[run].sum())
        return key

    # --- Down -----------------------------------------------------------------------------------------------------

    def _walk(self, depth: int, domain: int, region: Region, link: Link, out: Filled) -> None:
        """Read off who takes what. `region`: (level of the pieces, the region from which they come)."""
        tree, parts = self.ground.tree, self.parts
        level, home = region
        if depth == tree.depths:
            return
        start = int(tree.start[depth][domain])
        while link is not None:
            link, child, state, inner = link
            below = depth + 1
            if below == tree.depths:
                child += start
            if level < parts.last and parts.depths[level] == below:
                out.taken[level, child] = state
                if below == tree.depths:
                    own = self.wanted.get((level + 1, child), (0,))
                    out.pods.setdefault(child, []).append((child, self._made(level, state, own)[0]))
                else:
                    if inner is LATER:
                        none = (0,) * len(parts.pods[level + 1])
                        inner = self._found(below, child, level + 1, self._made(level, state, none))
                    self._walk(below, child, (level + 1, child), inner, out)
            elif below == tree.depths:
                if state[0]:
                    out.pods.setdefault(home, []).append((child, state[0]))
            else:
                if inner is LATER:
                    inner = self._found(below, child, level, state)
                self._walk(below, child, region, inner, out)

    def _found(self, depth: int, domain: int, level: int, state: Vector) -> Link:
        """How the children of a domain take a state."""
        return self._inside(depth, domain, level, state)[state][1]
