"""What a role is placed on when it is mended, and curves of it: see `repair_fill`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from muster.core.placement.gang import Vector
from muster.core.placement.repair_parts import Mask
from muster.core.placement.tree import Ints, Tree

Link = Any
LATER = "later"
"""How a domain takes its state was worked out for one like it, and will be for itself if it is chosen."""
"""None, or (what the children before take, child, its state, how it takes it)."""
Curve = dict[Vector, tuple[int, Link]]


@dataclass(slots=True)
class Ground:
    """What one role is placed on. `fewer(position, pods)`: by how much `rest` changes there when so many pods are put
    on it; None: by their number."""

    tree: Tree
    slots: Ints
    rest: Ints
    """Slots of all roles, per position: what counts as left over."""
    busy: Mask
    """Not intact before this gang."""
    used: Mask
    """Some pod of the gang is there already;"""
    own: Mask
    """one of this role."""
    job_preferred: int
    own_preferred: int
    codes: Callable[[], Ints]
    """A number per position: positions of one number differ in nothing that matters to what goes there."""
    fewer: Callable[[int, int], int] | None = None


def classes(ground: Ground, depth: int) -> list[int]:
    """Domains just above the nodes numbered by what nodes they hold; -1 for those in which the gang is already."""
    tree = ground.tree
    _, columns = np.unique(ground.codes(), return_inverse=True)
    width = int(columns.max(initial=0)) + 1
    where = tree.domain[depth] * width + columns
    table = np.bincount(where, minlength=tree.domains(depth) * width).astype(np.int32).reshape(-1, width)
    numbers: dict[bytes, int] = {}
    out = [numbers.setdefault(row.tobytes(), len(numbers)) for row in table]
    for domain in np.flatnonzero(tree.sums(depth, ground.used.astype(np.int64))).tolist():
        out[domain] = -1
    return out


def both(curve: Curve, other: Curve, caps: Vector, child: int) -> Curve:
    """Two curves together; of equal ways the one that gives earlier children more."""
    out: Curve = {}
    theirs = [(state, key, inner, any(state) or inner is not None) for state, (key, inner) in other.items()]
    if len(theirs) == 1 and not theirs[0][3]:
        return curve
    for state, (key, link) in sorted(curve.items(), key=_state, reverse=True):
        for more, extra, inner, some in theirs:
            total = tuple([a + b for a, b in zip(state, more, strict=True)])
            if any(n > cap for n, cap in zip(total, caps, strict=True)):
                continue
            known = out.get(total)
            if known is None or key + extra < known[0]:
                out[total] = key + extra, (link, child, more, inner) if some else link
    return out


def _state(item: tuple[Vector, tuple[int, Link]]) -> Vector:
    return item[0]
