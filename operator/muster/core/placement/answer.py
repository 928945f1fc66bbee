"""From the state read off at the top down to the pods of each node, in rank order.

Ranks (placement.md): domains hold consecutive ranks at every level, most pods first, then natural order; the domain
that holds a shorter last segment comes last at each level down to the segment's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from muster.core.placement.curves import State
from muster.core.placement.gang import RoleGang
from muster.core.placement.layout import layout
from muster.core.placement.search import Search
from muster.core.placement.sums import Sum, collapsed

Pods = list[tuple[int, int]]
"""(position, pods on it), in rank order."""
_Piece = tuple[bool, int, int, Pods]
"""Of a domain: holds the shorter last segment, minus its pods, its first position, its nodes."""


@dataclass(slots=True)
class Answer:
    """A placement by position. `pieces`: (rung, domain, pieces of each kind in it); `touched`: domains per depth."""

    pods: Pods
    touched: list[int]
    pieces: list[tuple[int, int, State]] = field(default_factory=list)


def spread(search: Search, role: RoleGang, domain: int, state: State) -> Answer:
    """Where the pods go that a domain of depth `above` holds together, its children being in this state."""
    tree, above = search.tree, search.task.above
    out = Answer([], [1] * (above + 1) + [0] * (tree.depths - above))
    if above == tree.depths:
        out.pods = [(domain, role.count)]
        return out
    tails = tuple(
        (depth, sizes[0]) for depth, sizes in role.segments if depth > above and role.count % sizes[0] and role.equal
    )
    out.pods = _Descent(search, tails, out).under(above, domain, state)[3]
    return out


class _Descent:
    def __init__(self, search: Search, tails: tuple[tuple[int, int], ...], out: Answer) -> None:
        self.search, self.tails, self.out = search, tails, out
        self.rungs = [any(rung.depth == d for rung in search.task.rungs) for d in range(search.tree.depths + 1)]
        self.plain = not self.rungs[-1] and search.fill > search.tree.depths
        """No segments lie within a node, and none is counted for a fill limit."""

    def under(self, depth: int, domain: int, state: State) -> _Piece:
        """The children of a domain that hold this state together."""
        search = self.search
        if depth == search.bottom:
            return self._nodes(domain, state)
        first = int(search.tree.children[depth][domain])
        pieces: list[_Piece] = []
        heap = search.heaps[depth][domain]
        shape = layout((len(heap) + 1) // 2)
        lefts, rights = shape.left, shape.right
        pending = [(0, state)]
        while pending:
            at, here = pending.pop()
            one = lefts[at]
            if not one:
                pieces.append(self._child(depth + 1, first + shape.child[at], here))
                continue
            two, part = rights[at], heap[at]
            if part is heap[one]:
                pending.append((one, here))
            elif part is heap[two]:
                pending.append((two, here))
            else:
                assert isinstance(part, Sum)
                mine, others = part.halves(here)
                if any(mine):
                    pending.append((one, mine))
                if any(others):
                    pending.append((two, others))
        if len(pieces) == 1:
            odd, less, start, pods = pieces[0]
            return odd or (bool(self.tails) and self._odd(depth, -less)), less, start, pods
        pieces.sort()
        pods = []
        for piece in pieces:
            pods += piece[3]
        return self._piece(depth, pieces, pods)

    def _odd(self, depth: int, pods: int) -> bool:
        """Whether so many pods in a domain hold a shorter segment of this depth."""
        return any(d == depth and pods % size for d, size in self.tails)

    def _piece(self, depth: int, pieces: list[_Piece], pods: Pods) -> _Piece:
        total = -sum([piece[1] for piece in pieces])
        odd = False
        if self.tails:
            odd = any(piece[0] for piece in pieces) or self._odd(depth, total)
        return odd, -total, min([piece[2] for piece in pieces]), pods

    def _child(self, depth: int, domain: int, state: State) -> _Piece:
        """A domain that holds `state` of the basis above it."""
        search = self.search
        self.out.touched[depth] += 1
        if not self.rungs[depth] and search.fill > depth:
            return self.under(depth, domain, state)
        inner = self._inside(depth, domain, state)
        if depth == search.fill:
            room = int(search.where.room(depth, slice(domain, domain + 1))[0])
            _, which = collapsed(search.parts[depth][domain].to((*inner, room))[..., : room + 1])
            inner = (*inner, int(which[inner]))
        return self.under(depth, domain, inner)

    def _inside(self, depth: int, domain: int, state: State) -> State:
        """The state below the rungs of this depth."""
        search = self.search
        nodes: State = ()
        if search.fill < depth:
            state, nodes = state[:-1], state[-1:]
        for i in range(len(search.task.rungs) - 1, -1, -1):
            rung = search.task.rungs[i]
            if rung.depth == depth:
                self.out.pieces.append((i, domain, state))
                state = tuple(
                    sum(n * part[j] for n, part in zip(state, rung.parts, strict=True))
                    for j in range(len(rung.parts[0]))
                )
        return state if depth == search.tree.depths else (*state, *nodes)

    def _nodes(self, domain: int, state: State) -> _Piece:
        """The nodes of a domain at the bottom; of equal ones the first in natural order take most."""
        search = self.search
        depth = search.tree.depths
        members, groups = search.members(domain)
        shares = search.shared(groups, state)
        if self.plain and len(shares) == 1 and shares[0][1][0] == shares[0][1][-1]:
            # As in clusters whose nodes are given whole: alike, and in natural order already.
            ((code, states),) = shares
            mine, each = members[code][: len(states)], states[0][0]
            self.out.touched[depth] += len(mine)
            total = each * len(mine)
            odd = bool(self.tails) and self._odd(search.bottom, total)
            return odd, -total, mine[0], [(at, each) for at in mine]
        nodes: list[tuple[bool, int, int]] = []
        for code, states in shares:
            for at, held in zip(members[code], states, strict=False):
                pods = self._inside(depth, at, held)[0]
                nodes.append((bool(self.tails) and self._odd(depth, pods), -pods, at))
        nodes.sort()
        self.out.touched[depth] += len(nodes)
        pods_on = [(at, -less) for _, less, at in nodes]
        return self._piece(search.bottom, [(*node, []) for node in nodes], pods_on)


__all__ = ["Answer", "spread"]
