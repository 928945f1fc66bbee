"""How large a gang of a shape could be: the pods of its longest prefix that fits.

For equal segments this has a closed form. Let a domain hold at most R pods of a gang with the inner segments only; then
it holds W = R // S whole segments of size S, and R - W * S pods of a shorter one. A broader domain holds the sum of the
whole segments and the largest of those rests.
"""

from __future__ import annotations

import numpy as np

from muster.core.placement.gang import RoleGang
from muster.core.placement.tree import Ints, Tree


def by_domain(tree: Tree, slots: Ints, role: RoleGang, depth: int) -> tuple[Ints, Ints]:
    """Per domain of `depth` (whole, rest): pods in whole segments of the broadest level below it, and in a shorter one
    besides; their sum is the largest gang of this kind there. Only for equal segments and without fill limits."""
    whole, rest, at = slots, np.zeros_like(slots), tree.depths
    for where, sizes in reversed(role.segments):
        if where <= depth:
            break
        inside = np.add(*_gathered(tree, whole, rest, at, where))
        whole, at = inside // sizes[0] * sizes[0], where
        rest = inside - whole
    return _gathered(tree, whole, rest, at, depth)


def _gathered(tree: Tree, whole: Ints, rest: Ints, at: int, depth: int) -> tuple[Ints, Ints]:
    if at == depth or not len(whole):
        return whole, rest
    firsts = tree.domain[at][tree.start[depth][:-1]]
    return np.add.reduceat(whole, firsts), np.maximum.reduceat(rest, firsts)


def nearest(tree: Tree, slots: Ints, role: RoleGang, depth: int, within: Ints) -> tuple[int, int]:
    """Of the domains of `depth` (a segment's level) inside the positions `within`, the one that lacks fewest pods for
    one more whole segment: (domain, what it lacks)."""
    size = next(sizes[0] for where, sizes in role.segments if where == depth)
    inside = np.add(*by_domain(tree, slots, role, depth))
    domains = np.unique(tree.domain[depth][within])
    lacks = size - inside[domains] % size
    best = int(np.argmin(lacks))
    return int(domains[best]), int(lacks[best])
