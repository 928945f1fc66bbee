"""What a node holds of all roles together: which numbers of pods of each fit side by side, and what they leave."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

import numpy as np
import numpy.typing as npt

from muster.core.inventory import Inventory
from muster.core.placement.basis import Basis
from muster.core.placement.exact.blocks import Blocks
from muster.core.placement.exact.meter import Meter
from muster.core.placement.tree import Ints, Tree
from muster.core.placement.view import NO_LIMIT

_FACTORS = np.random.Generator(np.random.PCG64(5)).integers(1 << 62, size=1 << 12) * 2 + 1

_WORK = 8
"""What a load of a node costs, in additions."""
_CHUNK = 1 << 18
"""Loads that are looked at in one go."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes by content. `code[i]` is that of position i, -1 where nothing fits; per code and load (a number of pods per
    block) whether it `fits` and by how much the slots `drop`; `raw[i]` are the slots of all roles on position i."""

    code: Ints
    fits: npt.NDArray[np.bool_]
    drop: Ints
    busy: npt.NDArray[np.bool_]
    """Per code: not intact."""
    held: Ints
    """Per code the slots of all roles where nodes count leftover themselves, else 0."""
    raw: Ints
    slots: list[Ints]
    """Per block and position."""

    @property
    def some(self) -> bool:
        """There is a node on which something fits."""
        return len(self.busy) > 0


def nodes_of(basis: Basis, inventory: Inventory, tree: Tree, blocks: Blocks, meter: Meter) -> Nodes:
    """The nodes of an inventory by content."""
    slots = [basis.view(inventory, block.role).slots.copy() for block in blocks.all]
    busy = ~inventory.intact(tree.rows)
    names = sorted({name for block in blocks.all for name, amount in block.role.shape.requests if amount > 0})
    free = np.zeros((len(names), tree.count), np.int64)
    for i, name in enumerate(names):
        room = inventory.room(name, tree.rows)
        if room is not None:
            # Loads take multiples of this, so what is free beyond a multiple never matters.
            free[i] = room[0] // _unit(blocks, name)
    usable = np.flatnonzero(np.logical_or.reduce([mine > 0 for mine in slots]))
    raw = np.add.reduce([mine * len(block.members) for mine, block in zip(slots, blocks.all, strict=True)])
    code = np.full(tree.count, -1, np.int64)
    if not len(usable):
        none = np.zeros((0, *(1,) * len(slots)), np.int64)
        return Nodes(code, none.astype(bool), none, np.zeros(0, bool), np.zeros(0, np.int64), raw, slots)
    columns = np.array([*slots, *free, busy], np.int64)[:, usable]
    firsts, kinds = distinct_rows(columns.T)
    content = columns[:, firsts]
    extents = [min(int(mine.max()), block.role.count) + 1 for mine, block in zip(slots, blocks.all, strict=True)]
    meter.spend(_WORK * prod(extents) * len(firsts))
    step = max(1, _CHUNK // prod(extents))
    some = [
        _loads(content[: len(slots), at : at + step], content[len(slots) : -1, at : at + step], names, blocks, extents)
        for at in range(0, len(firsts), step)
    ]
    fits, drop = np.concatenate([mine for mine, _ in some]), np.concatenate([mine for _, mine in some])
    # Other contents can still mean the same loads and the same leftover.
    held = raw[usable][firsts] * (tree.depths == 1)
    rows = [fits.reshape(len(firsts), -1), drop.reshape(len(firsts), -1), content[-1][:, None], held[:, None]]
    again, same = distinct_rows(np.concatenate(rows, axis=1).astype(np.int64))
    code[usable] = same[kinds]
    return Nodes(code, fits[again], drop[again], content[-1][again].astype(bool), held[again], raw, slots)


def _unit(blocks: Blocks, name: str) -> int:
    """What all that the roles ask of a resource is a multiple of."""
    asked = [amount for block in blocks.all for mine, amount in block.role.shape.requests if mine == name]
    return gcd(*(amount for amount in asked if amount > 0))


def _loads(
    slots: Ints, free: Ints, names: list[str], blocks: Blocks, extents: list[int]
) -> tuple[npt.NDArray[np.bool_], Ints]:
    """(fits, drop) per content and load; resources in units."""
    loads = np.indices(extents).reshape(len(extents), -1)
    asks = np.zeros((len(extents), len(names)), np.int64)
    for i, block in enumerate(blocks.all):
        for name, amount in block.role.shape.requests:
            if amount > 0:
                asks[i, names.index(name)] = amount // _unit(blocks, name)
    left = free[:, :, None] - (asks.T @ loads)[:, None, :]
    fits = (left >= 0).all(axis=0)
    drop = np.zeros(fits.shape, np.int64)
    for i, block in enumerate(blocks.all):
        fits &= loads[i][None, :] <= slots[i][:, None]
        after = np.full(fits.shape, NO_LIMIT, np.int64)
        for j, amount in enumerate(asks[i].tolist()):
            if amount:
                np.minimum(after, left[j] // amount, out=after)
        drop += np.where(slots[i][:, None] > 0, slots[i][:, None] - after, 0) * len(block.members)
    drop[~fits] = 0
    shape = (slots.shape[1], *extents)
    return fits.reshape(shape), drop.reshape(shape)


def distinct_rows(rows: npt.NDArray[np.int64]) -> tuple[Ints, Ints]:
    """The first index of each distinct row, in order of first occurrence, and which of them each row is."""
    if not len(rows):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    marks = rows.astype(np.int64) @ np.resize(_FACTORS, rows.shape[1])
    _, firsts, which = np.unique(marks, return_index=True, return_inverse=True)
    if not (rows == rows[firsts][which]).all():
        _, firsts, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return firsts[order], rank[which.ravel()]
