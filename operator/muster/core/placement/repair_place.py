"""Free pieces of one role put back, rank by rank: small regions by `repair_fill`, large ones by the basis's search."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from muster.core.placement.basis import Basis
from muster.core.placement.field import apart, unlimited
from muster.core.placement.gang import RoleGang
from muster.core.placement.repair_curves import Ground
from muster.core.placement.repair_fill import Filled, Filling
from muster.core.placement.repair_parts import Left, Parts, Region
from muster.core.placement.tasks import tractable

SMALL = 48
"""States of a region up to which it is always filled by `repair_fill`;"""
NARROW = 400
"""in domains of at most so many nodes, this many times more."""


@dataclass(slots=True)
class Placed:
    """Positions of the ranks that were free; `exact`: nothing better is possible around what stays."""

    ranks: dict[int, int]
    exact: bool


@dataclass(frozen=True, slots=True)
class Lacking:
    """Regions that find no room, none of which contains another. `known`: there is none, it was not only not found."""

    regions: tuple[Region, ...]
    known: bool = True


def put(basis: Basis, ground: Ground, role: RoleGang, parts: Parts, left: Left, together: int) -> Placed | Lacking:
    """Place every free piece of a role inside its region. Regions that do not contain one another share no node and
    cost nothing above themselves, since a home is touched already, so each is placed by itself. Writes to the ground
    what it places."""
    wanted = {region: parts.counted(region[0], pieces) for region, pieces in left.free.items()}
    filling = Filling(ground, parts, together, wanted)
    out = Placed({}, True)
    return _all(basis, ground, role, filling, left, _outermost(filling, left), out) or out


def _all(
    basis: Basis, ground: Ground, role: RoleGang, filling: Filling, left: Left, regions: list[Region], out: Placed
) -> Lacking | None:
    bad = [_settle(basis, ground, role, filling, left, region, out) for region in regions]
    found = [lacking for lacking in bad if lacking is not None]
    if not found:
        return None
    return Lacking(tuple(r for lacking in found for r in lacking.regions), all(lacking.known for lacking in found))


def _settle(
    basis: Basis, ground: Ground, role: RoleGang, filling: Filling, left: Left, region: Region, out: Placed
) -> Lacking | None:
    """One region and those inside it."""
    inner = _inside(filling, left, region)
    inner_left = Left(left.kept, left.homes, {r: left.free[r] for r in inner})
    if _small(filling, region):
        # Those inside say more, and cost less to look at.
        bad = [r for top in _outermost(filling, inner_left) for r in _deepest(filling, left, top)]
        filled = None if bad else filling.solve(region)
        if filled is None:
            return Lacking(tuple(bad) or (region,))
        out.ranks.update(_ranks(filling, left, [region, *inner], filled))
        return None
    # Inner ones first: their pods have no choice. What they take of nodes that several pods share may not be the best.
    out.exact = out.exact and not inner and not role.preferred and ground.fewer is None
    lacking = _all(basis, ground, role, filling, left, _outermost(filling, inner_left), out)
    if lacking is not None:
        return lacking
    found = _searched(basis, ground, role, filling, left, region, out)
    if isinstance(found, Lacking):
        return found
    out.ranks.update(found)
    return None


def _deepest(filling: Filling, left: Left, region: Region) -> list[Region]:
    """The innermost regions that find no room, of this one and those inside it."""
    inner = {r: left.free[r] for r in _inside(filling, left, region)}
    below = [r for top in _outermost(filling, Left(left.kept, left.homes, inner)) for r in _deepest(filling, left, top)]
    return below or ([] if filling.solve(region) is not None else [region])


def _small(filling: Filling, region: Region) -> bool:
    states = 1
    for n in filling.wanted[region]:
        states *= n + 1
    start = filling.ground.tree.start[filling.depth(region[0])]
    nodes = int(start[region[1] + 1] - start[region[1]])
    return states <= SMALL * (8 if nodes <= NARROW else 1)


def _searched(
    basis: Basis, ground: Ground, role: RoleGang, filling: Filling, left: Left, region: Region, out: Placed
) -> dict[int, int] | Lacking:
    """A region's own free pieces by the search for one role, as a role of their own."""
    level, domain = region
    tree, parts = ground.tree, filling.parts
    depth = filling.depth(level)
    ranks = [r for piece in left.free[region] for r in range(*_range(parts, level, piece))]
    segments = []
    for below in range(level, parts.last):
        sizes = [0] * len(parts.firsts[below])
        rank_piece = np.searchsorted(parts.firsts[below], np.array(ranks), "right") - 1
        for piece in rank_piece.tolist():
            sizes[piece] += 1
        segments.append((parts.depths[below], tuple(n for n in sizes if n)))
    part = replace(role, count=len(ranks), required=depth, segments=tuple(segments), preferred=role.preferred)
    taken = np.bincount([*out.ranks.values()], minlength=tree.count)
    slots = np.where(tree.domain[depth] == domain, np.maximum(ground.slots - taken, 0), 0)
    used = ground.used | (taken > 0)
    where = unlimited(apart(tree, ground.busy, slots, used if used.any() else None))
    if not tractable(part):
        return Lacking((region,), known=False)
    positions = basis.alone(where, part) if basis.possible(where, part) else None
    return Lacking((region,)) if positions is None else dict(zip(ranks, positions, strict=True))


def _range(parts: Parts, level: int, piece: int) -> tuple[int, int]:
    run = parts.ranks(level, piece)
    return run.start, run.stop


def _outermost(filling: Filling, left: Left) -> list[Region]:
    """The regions that lie in no other, in order."""
    tree = filling.ground.tree
    out: list[Region] = []
    for level, domain in sorted(left.free):
        first = int(tree.start[filling.depth(level)][domain])
        if not any(int(tree.domain[filling.depth(above)][first]) == home for above, home in out if above < level):
            out.append((level, domain))
    return out


def _inside(filling: Filling, left: Left, region: Region) -> list[Region]:
    """The regions inside another, deepest first."""
    tree, (level, domain) = filling.ground.tree, region
    depth = filling.depth(level)
    out = []
    for below, home in left.free:
        if below > level and int(tree.domain[depth][tree.start[filling.depth(below)][home]]) == domain:
            out.append((below, home))
    return sorted(out, key=lambda r: (-r[0], r[1]))


def _ranks(filling: Filling, left: Left, regions: list[Region], filled: Filled) -> dict[int, int]:
    """Which piece goes where: in rank order to domains and nodes in natural order."""
    tree, parts = filling.ground.tree, filling.parts
    free: dict[Region, list[int]] = {region: list(left.free[region]) for region in regions}
    for level in range(parts.last):
        depth = filling.depth(level)
        for region in sorted(r for r in free if r[0] == level):
            by_kind: dict[int, list[int]] = {}
            for piece in sorted(free[region], reverse=True):
                by_kind.setdefault(int(parts.kinds[level][piece]), []).append(piece)
            for (at, domain), state in sorted(filled.taken.items()):
                first = tree.start[parts.depths[level]][domain] if at == level else 0
                if at != level or int(tree.domain[depth][first]) != region[1]:
                    continue
                into = free.setdefault((level + 1, domain), [])
                for kind, n in enumerate(state):
                    for _ in range(n):
                        piece = by_kind[kind].pop()
                        into += np.flatnonzero(parts.parents[level + 1] == piece).tolist()
    out: dict[int, int] = {}
    for (level, domain), ranks in free.items():
        if level == parts.last:
            spots = [at for at, pods in sorted(filled.pods.get(domain, ())) for _ in range(pods)]
            out.update(zip(sorted(ranks), spots, strict=True))
    return out
