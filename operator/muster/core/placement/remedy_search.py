"""The fewest nodes that have to be freed so that one role fits.

A node with k free slots now and m when it is free costs nothing for up to k pods, else one. That is additive over the
nodes a placement touches, so the search that finds the best placement finds the cheapest one too: the same domains and
curves, with this as the only cost. Where no segments lie below the domain that all pods share, the nodes that give most
are the fewest, and no search is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from muster.core.inventory import Inventory
from muster.core.placement.answer import spread
from muster.core.placement.curves import INFINITE
from muster.core.placement.field import Field, apart
from muster.core.placement.gang import RoleGang
from muster.core.placement.packing import Packing
from muster.core.placement.search import Search, Task
from muster.core.placement.sums import Class, Memo
from muster.core.placement.tasks import task_of
from muster.core.placement.tree import Ints, Tree
from muster.core.placement.view import Mask

IN_USE = 2
"""The weight of nodes that somebody uses."""
_NODE = 1 << 28
"""What a node costs; its weight decides between equally many."""
_MEMO = 64 << 20


@dataclass(frozen=True, slots=True)
class Stock:
    """Per position: slots now, slots when the node is free, how little one likes to free it (0 to 2), and whether it
    holds something now."""

    now: Ints
    then: Ints
    weight: Ints
    busy: Mask


@dataclass(frozen=True, slots=True)
class Freed:
    """The pods by position of a placement for which the fewest nodes have to be freed, the depth within whose domains
    nodes of equal stock may stand in for each other, and that stock."""

    pods: dict[int, int]
    depth: int
    stock: Stock


def weights(tree: Tree, inventory: Inventory, busy: Mask) -> Ints:
    """Which of equally many nodes one would free: cordoned ones first, then unhealthy ones, then those in use."""
    sick = (inventory.causes(tree.rows) > 1).astype(np.int64)
    return np.where(busy, IN_USE, sick)


def fewest(tree: Tree, stock: Stock, role: RoleGang) -> tuple[Freed | None, bool]:
    """A placement that needs the fewest nodes freed, None if there is none; and whether that is proven. Of equally many
    those of least weight, then the first in natural order."""
    stock, where, open_ = _within_limits(tree, stock)
    above = role.required
    inner = any(depth > above for depth, _ in role.segments)
    found = _greedy(tree, stock, role) if not where.limits and not inner else _searched(where, stock, role)
    return found, open_


def _within_limits(tree: Tree, stock: Stock) -> tuple[Stock, Field, bool]:
    """The stock that fill limits leave, the field to search, and whether no limit can matter. In a domain that is over
    its limit already a freed node may not be used again."""
    then, exact = stock.then, True
    for i, level in enumerate(tree.levels.levels):
        if level.fill_limit is None:
            continue
        over = tree.sums(i + 1, stock.busy.astype(np.int64)) > level.fill_limit
        if over.any():
            exact = False
            then = np.where(over[tree.domain[i + 1]] & stock.busy, np.minimum(then, stock.now), then)
    left = Stock(stock.now, then, stock.weight, stock.busy)
    where = apart(tree, stock.busy, then)
    return left, where, exact and not where.limits


def _greedy(tree: Tree, stock: Stock, role: RoleGang) -> Freed | None:
    above = role.required
    held = tree.sums(above, stock.then)
    able = held >= role.count
    if not able.any():
        return None
    gain = stock.then - stock.now
    order = np.lexsort((np.arange(tree.count), stock.weight, -gain, tree.domain[above]))
    domain = tree.domain[above][order]
    total, weights = np.cumsum(gain[order]), np.cumsum(stock.weight[order])
    starts = tree.start[above]
    lacks = np.maximum(role.count - tree.sums(above, stock.now), 0)
    before = np.concatenate(([0], total))[starts[:-1]]
    reached = (total - before[domain] >= lacks[domain]) & able[domain]
    first = np.full(tree.domains(above), -1, np.int64)
    at = np.flatnonzero(reached)[::-1]
    first[domain[at]] = at
    need = np.where(lacks == 0, 0, first - starts[:-1] + 1)
    cost = np.concatenate(([0], weights))
    weight = cost[starts[:-1] + np.maximum(need, 0)] - cost[starts[:-1]]
    candidates = np.flatnonzero(able)
    best = int(candidates[np.lexsort((candidates, weight[candidates], need[candidates]))[0]])
    chosen = order[starts[best] : starts[best] + int(need[best])]
    pods: dict[int, int] = {}
    left = role.count
    # What is free now comes first: a freed node counts only for what it takes beyond that.
    mine = np.zeros(tree.count, bool)
    mine[chosen] = True
    for at_ in chosen.tolist():
        left -= int(stock.now[at_])
    for at_ in range(int(starts[best]), int(starts[best + 1])):
        if not mine[at_] and stock.now[at_] and left > 0:
            pods[at_] = min(int(stock.now[at_]), left)
            left -= pods[at_]
    for at_ in chosen.tolist():
        more = min(int(gain[at_]), max(left, 0))
        pods[at_] = int(stock.now[at_]) + more
        left -= more
    return Freed(pods, above, stock)


def _searched(where: Field, stock: Stock, role: RoleGang) -> Freed | None:
    tree, above = where.tree, role.required
    inner = tuple((depth, sizes) for depth, sizes in role.segments if depth > above)
    task = task_of((inner, role.count, above))
    if above == tree.depths:
        able = stock.then >= role.count
        for depth in where.limits:
            able &= stock.busy | (where.room(depth, tree.domain[depth]) > 0)
        fits = np.flatnonzero(able)
        if not len(fits):
            return None
        held = (stock.now[fits] < role.count) * _NODE + stock.weight[fits]
        return Freed({int(fits[int(np.argmin(held))]): role.count}, above, stock)
    search = _Freeing(where, task, stock)
    best = search.best(task.full)
    if best is None:
        return None
    answer = spread(search, role, best[1], best[2])
    pods: dict[int, int] = {}
    for at, n in answer.pods:
        pods[at] = pods.get(at, 0) + n
    return Freed(pods, search.bottom, stock)


class _Freeing(Search):
    """The least cost of freeing nodes. Made for one question, never refreshed."""

    def __init__(self, where: Field, task: Task, stock: Stock) -> None:
        intact = ~stock.busy if where.limits else np.zeros(len(stock.busy), bool)
        most = np.minimum(stock.then, task.count)
        least = np.minimum(stock.now, most)
        weight = np.where(most > least, stock.weight, 0)
        lines = ((most * (task.count + 1) + least) * 3 + 2 - weight) * 2 + intact
        lines[most == 0] = 0
        self._lines, codes = np.unique(np.append(lines, 0), return_inverse=True)
        self._of: Ints = codes[:-1].astype(np.int64)
        touch = tuple(((0,), (0,), (0,)) for _ in range(where.tree.depths + 1))
        super().__init__(where, task, Packing(1, touch, -1), Memo(1, _MEMO))

    def _kinds(self) -> int:
        return len(self._lines)

    def _coded(self, at: Ints | slice) -> Ints:
        return self._of[at].copy()

    def _node(self, code: int) -> Class:
        found = self.memo.get(code)
        if found is not None:
            assert isinstance(found, Class)
            return found
        rest, intact = divmod(int(self._lines[code]), 2)
        rest, light = divmod(rest, 3)
        most, least = divmod(rest, self.task.count + 1)
        line: Ints = np.zeros((1, most + 1), np.int64)
        line[0, least + 1 :] = _NODE + 2 - light
        depth = self.tree.depths
        axis = self.fill < depth
        if axis and intact:
            wide = np.full((1, most + 1, 2), INFINITE, np.int64)
            wide[:, 0, 0] = 0
            wide[:, 1:, 1] = line[:, 1:]
            line = wide
        elif axis:
            line = line[:, :, None]
        made = self.memo.whole(line, None, self._rungs[depth], axis, (0,))
        self.memo.put(code, made)
        return made
