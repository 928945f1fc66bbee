"""What the basis keeps between decisions: views, the searches that stand on them, and what searches have computed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from muster.core.placement.field import Field, standing_on
from muster.core.placement.packing import Bounds, Packing, packing
from muster.core.placement.search import Search
from muster.core.placement.sums import Memo
from muster.core.placement.tasks import Structure, task_of
from muster.core.placement.tree import Tree
from muster.core.placement.view import View

BYTES = 256 << 20
"""What may be kept of views and searches, and as much again of what they have computed."""
_SEARCHES = 24
"""Searches on one view."""
_REBUILT = 4
"""A search is built again where more than one in so many nodes changed."""

KEPT = 256
"""Answers of each kind that are kept."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Goal:
    """What is minimised. `preferred`: (depth, how often it counts), before the rest of the contract's vector; with
    `alone` nothing but that, so with no depth at all only whether the gang fits."""

    preferred: tuple[tuple[int, int], ...]
    alone: bool = False


class Memos:
    """The memos of all searches, oldest out."""

    def __init__(self) -> None:
        self._memos: OrderedDict[Hashable, Memo] = OrderedDict()

    def search(self, where: Field, structure: Structure, packed: Packing) -> Search:
        """A new search, on what searches of its kind have computed."""
        task = task_of(structure)
        key = (task, packed, where.tree.depths, tuple(sorted(where.limits.items())))
        memo = kept(self._memos, key, lambda: Memo(packed.words, BYTES // 8), 256)
        made = Search(where, task, packed, memo)
        total = sum(memo.bytes for memo in self._memos.values())
        while len(self._memos) > 1 and total > BYTES:
            total -= self._memos.popitem(last=False)[1].bytes
        return made


def objective(tree: Tree, structure: Structure, goal: Goal, bounds: Bounds) -> Packing:
    """How the goal is packed."""
    if goal.alone:
        weights = dict(goal.preferred)
        return Packing(1, tuple(((weights.get(d, 0),),) * 3 for d in range(tree.depths + 1)), -1)
    return packing(tree, bounds)


class Standing:
    """A view and the searches that stand on it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._field = standing_on(view)
        self._limited = any(level.fill_limit is not None for level in view.tree.levels.levels)
        self._searches: OrderedDict[Hashable, Search] = OrderedDict()
        self._bytes = 0

    @property
    def field(self) -> Field:
        """What the view shows now."""
        if self._limited:
            self._field = standing_on(self.view)
        return self._field

    @property
    def bytes(self) -> int:
        """What is held here."""
        return self.view.bytes + self._bytes

    def search(self, memos: Memos, structure: Structure, goal: Goal) -> Search:
        """The search for this, up to date."""
        view, where = self.view, self.field
        single = view.most <= 1
        whole = single and not view.mixed
        count = structure[1]
        # Rounded up, so that bounds which have grown a little mostly lead to the same search.
        leftover = min(view.capacity, count * view.widest)
        step = 1 << max(leftover.bit_length() - 4, 0)
        leftover = -(-leftover // step) * step
        bounds = Bounds(count, structure[2], goal.preferred, single, whole, leftover)
        key = (structure, goal, bounds, tuple(sorted(where.limits.items())))
        found = self._searches.get(key)
        if found is not None:
            changed = view.changed(found.noted)
            if changed is not None and len(changed) * _REBUILT <= view.tree.count + 256:
                self._searches.move_to_end(key)
                if len(changed):
                    found.refresh(changed)
                found.noted = view.noted
                return found
        made = memos.search(where, structure, objective(view.tree, structure, goal, bounds))
        made.noted = view.noted
        self._searches[key] = made
        while len(self._searches) > _SEARCHES:
            self._searches.popitem(last=False)
        self._bytes = sum(search.bytes for search in self._searches.values())
        return made


def kept(cache: OrderedDict[K, T], key: K, make: Callable[[], T], most: int) -> T:
    """What is cached under a key, made if it is not; the oldest beyond `most` are let go."""
    if key in cache:
        cache.move_to_end(key)
        return cache[key]
    found = cache[key] = make()
    while len(cache) > most:
        cache.popitem(last=False)
    return found
