"""How large a gang of a shape could be: the pods of its longest prefix that fits.

For equal segments this has a closed form. Let a domain hold at most R pods of a gang with the inner segments only; then
it holds W = R // S whole segments of size S, and R - W * S pods of a shorter one. A broader domain holds the sum of the
whole segments and the largest of those rests.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from muster.core.placement.gang import RoleGang
from muster.core.placement.tree import Ints, Tree


class Seen(Protocol):
    """A view or a field: slots per position, and those of each domain per depth but the nodes' own."""

    @property
    def tree(self) -> Tree:
        """The domains."""

    @property
    def slots(self) -> Ints:
        """Per position."""

    @property
    def free(self) -> list[Ints]:
        """Per depth and domain."""


def by_domain(seen: Seen, role: RoleGang, depth: int) -> tuple[Ints, Ints]:
    """Per domain of `depth` (whole, rest): pods in whole segments of the broadest level below it, and in a shorter one
    besides; their sum is the largest gang of this kind there. Only for equal segments and without fill limits."""
    tree = seen.tree
    # Below the innermost segment there is nothing but slots, whose sums are known.
    at = max((where for where, _ in role.segments), default=depth)
    at = max(at, depth)
    whole = seen.slots if at == tree.depths else seen.free[at]
    rest = np.zeros_like(whole)
    for where, sizes in reversed(role.segments):
        if where <= depth:
            break
        inside = np.add(*_gathered(tree, whole, rest, at, where))
        whole, at = inside // sizes[0] * sizes[0], where
        rest = inside - whole
    return _gathered(tree, whole, rest, at, depth)


def by_level(seen: Seen, role: RoleGang) -> list[int]:
    """For each named level, broadest first, the largest gang of this kind that one domain holds, as `by_domain` counts;
    of levels broader than what all pods must share no more than one domain of that holds."""
    tree, top = seen.tree, max(role.required, 1)
    sizes = {depth: pieces[0] for depth, pieces in role.segments}
    inner = max(sizes, default=0)
    depth = max(tree.depths - 1, top)
    whole, rest = by_domain(seen, role, depth)
    found = [int((whole + rest).max(initial=0))]
    while depth > top:
        depth -= 1
        if inner <= depth:
            # Nothing but slots inside, whose sums are known.
            whole = seen.free[depth]
            found.append(int(whole.max(initial=0)))
            continue
        if depth + 1 == inner:
            rest = np.zeros_like(whole)
        if depth + 1 in sizes:
            inside = whole + rest
            whole = inside // sizes[depth + 1] * sizes[depth + 1]
            rest = inside - whole
        whole, rest = _gathered(tree, whole, rest, depth + 1, depth)
        found.append(int((whole + rest).max(initial=0)))
    found += found[-1:] * (top - 1)
    return found[::-1][: tree.depths - 1]


def fewest(seen: Seen, role: RoleGang, depth: int) -> int | None:
    """The fewest domains of `depth` that a role of equal segments must touch, 0 if it does not fit; None where that has
    no closed form: segments of two levels or broader than `depth`, or a domain that all pods must share.

    Of k domains those with most whole segments are best, except that one with room for the shorter segment besides its
    whole ones may stand in for the last of them."""
    if role.required or len(role.segments) > 1 or any(where < depth for where, _ in role.segments):
        return None
    whole, rest = by_domain(seen, role, depth)
    size = role.segments[0][1][0] if role.segments else 1
    if role.segments and role.segments[0][0] == depth:
        inside = whole + rest
        whole = inside // size * size
        rest = inside - whole
    short = role.count % size
    sums = np.concatenate(([0], np.cumsum(np.sort(whole)[::-1])))
    found = int(np.searchsorted(sums, role.count - short + (size if short else 0)))
    able = whole[rest >= short] if short else whole[:0]
    if len(able):
        # Where it is among the k with most, as good as they; else in place of the last.
        best = int(able.max())
        enough = np.where(np.diff(sums) <= best, sums[1:], sums[:-1] + best) >= role.count - short
        if enough.any():
            found = min(found, int(np.argmax(enough)) + 1)
    return found if found < len(sums) else 0


def whole_segments(tree: Tree, slots: Ints, size: int) -> tuple[tuple[str, int], ...]:
    """For each named level, broadest first, the slots of the most whole segments of this size that one of its domains
    holds, each segment in one domain of the narrowest level, whose label a node must have. `slots`: per position."""
    names = tree.levels.names
    if not names or not tree.count:
        return tuple((name, 0) for name in names)
    whole = np.add.reduceat(slots * tree.labelled[:, -1], tree.start[len(names)][:-1]) // size * size
    found = [int(whole.max())]
    for depth in range(len(names) - 1, 0, -1):
        whole = np.add.reduceat(whole, tree.children[depth][:-1])
        found.append(int(whole.max()))
    return tuple(zip(names, reversed(found), strict=True))


def _gathered(tree: Tree, whole: Ints, rest: Ints, at: int, depth: int) -> tuple[Ints, Ints]:
    if at == depth or not len(whole):
        return whole, rest
    firsts = tree.domain[at][tree.start[depth][:-1]]
    return np.add.reduceat(whole, firsts), np.maximum.reduceat(rest, firsts)


def nearest(seen: Seen, role: RoleGang, depth: int, within: tuple[int, int]) -> tuple[int, int]:
    """Of the domains of `depth` (the level of a segment) inside `within` (depth, domain), the one that lacks fewest
    pods for one more whole segment: (domain, what it lacks)."""
    size = next(sizes[0] for where, sizes in role.segments if where == depth)
    tree, start = seen.tree, seen.tree.start[within[0]]
    first = int(tree.domain[depth][start[within[1]]])
    last = int(tree.domain[depth][start[within[1] + 1] - 1])
    lacks = size - np.add(*by_domain(seen, role, depth))[first : last + 1] % size
    best = int(np.argmin(lacks))
    return first + best, int(lacks[best])
