"""A role as nested pieces, and what is left of a committed placement of it.

Level 0 is the whole role where it must share a domain narrower than the one that all roles share; then come its
segments, broadest first; the last level is the single pod. A piece that keeps survivors has the domain in which they
lie as its *home*; one that keeps none is *free*. A free piece whose parent has a home must be placed inside that home:
a *region* is such a home with the free pieces that it must take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from muster.core.placement.gang import RoleGang, Vector
from muster.core.placement.tree import Ints, Tree

Mask = npt.NDArray[np.bool_]
FREE = -1
"""The home of a free piece; as a position, that of a lost rank."""

Region = tuple[int, int]
"""(level of the free pieces, the domain that must take them)."""
Piece = tuple[int, int, int]
"""(role, level, number within the level, in rank order)."""
Choice = tuple[Piece, int]
"""Which survivors of a piece stay: those in this domain of its level; with FREE none."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The pieces of a role by level. `depths` has no entry for pods, the other lists have one as their last."""

    depths: tuple[int, ...]
    """Strictly growing; all below the depth that the whole gang shares."""
    firsts: tuple[Ints, ...]
    """The first rank of each piece."""
    parents: tuple[Ints, ...]
    """The piece of the level above in which each lies; 0 on level 0."""
    kinds: tuple[Ints, ...]
    """The kind of each piece: pieces of one kind are made up alike at every level below."""
    makeups: tuple[tuple[Vector, ...], ...]
    """Per level but that of pods and kind, how many pieces of each kind of the next level."""
    pods: tuple[Vector, ...]
    """Per level and kind, the pods of a piece."""

    @property
    def last(self) -> int:
        """The level of pods."""
        return len(self.depths)

    def ranks(self, level: int, piece: int) -> slice:
        """The ranks of a piece."""
        firsts = self.firsts[level]
        count = len(self.firsts[-1])
        return slice(int(firsts[piece]), int(firsts[piece + 1]) if piece + 1 < len(firsts) else count)

    def counted(self, level: int, pieces: list[int]) -> Vector:
        """How many of some pieces are of each kind."""
        out = [0] * len(self.pods[level])
        for piece in pieces:
            out[int(self.kinds[level][piece])] += 1
        return tuple(out)


@lru_cache(maxsize=256)
def parts_of(role: RoleGang, together: int) -> Parts:
    """Read a role. `together`: the depth of the domain that the whole gang shares. Constraints that a broader one, or
    an outer one of the same level, implies are left out."""
    entries: list[tuple[int, tuple[int, ...]]] = []
    for depth, sizes in ((role.required, (role.count,)), *role.segments):
        if depth > (entries[-1][0] if entries else together):
            entries.append((depth, sizes))
    firsts = [np.cumsum((0, *sizes[:-1])) for _, sizes in entries]
    firsts.append(np.arange(role.count))
    parents = [
        np.searchsorted(firsts[i - 1], mine, "right") - 1 if i else np.zeros(len(mine), np.int64)
        for i, mine in enumerate(firsts)
    ]
    kinds: list[Ints] = [np.zeros(role.count, np.int64)]
    makeups: list[tuple[Vector, ...]] = []
    pods: list[Vector] = [(1,)]
    for i in range(len(entries) - 1, -1, -1):
        counts = np.zeros((len(firsts[i]), len(pods[0])), np.int64)
        np.add.at(counts, (parents[i + 1], kinds[0]), 1)
        made = [tuple(row) for row in counts.tolist()]
        known = {kind: number for number, kind in enumerate(dict.fromkeys(made))}
        kinds.insert(0, np.array([known[kind] for kind in made], np.int64))
        makeups.insert(0, tuple(known))
        pods.insert(0, tuple(sum(n * size for n, size in zip(kind, pods[0], strict=True)) for kind in known))
    return Parts(tuple(d for d, _ in entries), tuple(firsts), tuple(parents), tuple(kinds), tuple(makeups), tuple(pods))


@dataclass(frozen=True, slots=True)
class Left:
    """What stays of one role, and what must be placed again."""

    kept: Mask
    """Per rank: it keeps its node."""
    homes: tuple[Ints, ...]
    """Per level but that of pods, the home of each piece."""
    free: Mapping[Region, list[int]]
    """Per region the free pieces in rank order."""


def left(tree: Tree, parts: Parts, at: Ints, within: int) -> Left | tuple[int, int]:
    """What stays of a role whose ranks are at these positions (FREE: nowhere), inside the domain `within` that the gang
    shares; or the (level, piece) whose survivors lie in several domains."""
    kept = at != FREE
    homes: list[Ints] = []
    for level, depth in enumerate(parts.depths):
        lies = tree.domain[depth][at]
        firsts = parts.firsts[level]
        home = np.maximum.reduceat(np.where(kept, lies, FREE), firsts)
        least = np.minimum.reduceat(np.where(kept, lies, tree.count), firsts)
        torn = np.flatnonzero((home != FREE) & (home != least))
        if len(torn):
            return level, int(torn[0])
        homes.append(home)
    free: dict[Region, list[int]] = {}
    for level, parents in enumerate(parts.parents):
        mine_free = homes[level] == FREE if level < parts.last else ~kept
        over = homes[level - 1][parents] if level else np.full(len(parents), within)
        for piece in np.flatnonzero(mine_free & (over != FREE)).tolist():
            free.setdefault((level, int(over[piece])), []).append(piece)
    return Left(kept, tuple(homes), free)
