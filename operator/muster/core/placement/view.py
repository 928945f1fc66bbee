"""What a kind of pod finds on each node: may it run there, how often, and if not, why.

A view is kept: it is told which rows of the inventory changed since it last looked, judges these again, and notes the
positions that became another, for the searches that stand on it. So it always stands for one inventory, and goes over
to another of the same family by the rows in which they differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from muster.core.changes import since
from muster.core.eligibility import HARD, describe, term_matches, tolerated
from muster.core.health import Rulebook
from muster.core.inventory import ABSENT, USABLE, Inventory
from muster.core.model import Filter, Node, Requirement, Resources, Taint
from muster.core.placement.tree import Ints, Tree, distinct

Mask = npt.NDArray[np.bool_]
NO_LIMIT = 1 << 40
"""Slots of a node on which nothing bounds them."""
_JOURNAL = 256
_REMEMBERED = 4096
"""Positions whose past is kept at least."""
_PIECE = 2048
_OTHERS = ("selector", "affinity")
_SELECTOR, _AFFINITY = 1, 2
"""What labels say against a node; a view counts these on after the causes of the nodes' own."""


class Eligible:
    """Which nodes a filter takes by their labels, by position, on one ground, and which lists of taints it bears."""

    def __init__(self, tree: Tree, filter_: Filter) -> None:
        selected = np.ones(tree.count, bool)
        for key, value in filter_.selector:
            kinds = tree.kinds(key)
            selected &= kinds.of == kinds.numbers.get(value, -1)
        wanted = np.ones(tree.count, bool)
        for group in filter_.affinity:
            some = np.zeros(tree.count, bool)
            for term in group:
                held = np.full(tree.count, bool(term))
                for requirement in term:
                    held &= _matching(tree, requirement)
                some |= held
            wanted &= some
        self.filter = filter_
        self.code: Ints = np.where(selected, np.where(wanted, 0, _AFFINITY), _SELECTOR)
        """What its labels say against a node: _SELECTOR, _AFFINITY or 0."""

    def repelled(self, taints: Sequence[tuple[Taint, ...]], healthy: Rulebook | None) -> list[str]:
        """Per list of taints what it says against a node; empty for nothing. `healthy` as in `unfit`."""
        return [_repelled(listed, self.filter, healthy) for listed in taints]


def _matching(tree: Tree, requirement: Requirement) -> Mask:
    """Which nodes meet a requirement."""
    by_name = requirement.key == "metadata.name"
    numbers: Mapping[Any, int] = tree.position if by_name else tree.kinds(requirement.key).numbers
    if requirement.operator in ("In", "NotIn"):
        others = requirement.operator == "NotIn"
        holds = np.full(len(numbers), others)
        for value in requirement.values:
            if value in numbers:
                holds[numbers[value]] = not others
    else:
        term = (requirement,)
        told = [
            term_matches(term, {} if by_name or value is None else {requirement.key: value}, value or "")
            for value in numbers
        ]
        holds = np.array(told, bool)
    return holds if by_name else holds[tree.kinds(requirement.key).of]


def unfit(node: Node, filter_: Filter, healthy: Rulebook | None = None) -> str:
    """Why the filter excludes a node (selector, affinity, or its first untolerated taint); empty if it does not.
    `healthy`: taints that by this book speak of health do not count."""
    if any(node.labels.get(key) != value for key, value in filter_.selector):
        return "selector"
    if not all(any(term_matches(term, node.labels, node.name) for term in group) for group in filter_.affinity):
        return "affinity"
    return _repelled(node.taints, filter_, healthy)


def _repelled(taints: tuple[Taint, ...], filter_: Filter, healthy: Rulebook | None) -> str:
    for taint in taints:
        if taint.effect not in HARD or (healthy is not None and healthy.is_health(taint.key)):
            continue
        if not tolerated(taint, filter_.tolerations):
            return f"taint {describe(taint)}"
    return ""


class View:
    """Slots per position for one kind of pod, who is intact, and who is excluded for which cause. `needed`: depths
    whose labels a node must carry. Its arrays are written in place by `refresh`, never replaced."""

    def __init__(
        self, tree: Tree, inventory: Inventory, fit: Eligible, requests: Resources, needed: tuple[int, ...] = ()
    ) -> None:
        self.tree = tree
        # A shortage of devices is what people look for first, then names in order.
        asks = [(r, amount) for r, amount in requests if amount > 0]
        asks.sort(key=lambda item: ("/" not in item[0], item[0]))
        self._resources = [resource for resource, _ in asks]
        self._amounts = [amount for _, amount in asks]
        lacking = [depth for depth in needed if depth < tree.depths]
        words = inventory.words
        self._why = [*words, *_OTHERS, *(f"unlabelled {tree.level(depth)}" for depth in lacking), *self._resources]
        """Cause by code; the first that applies to a node is the one it is counted under. Taints follow as they come
        up."""
        self._first_short = len(self._why) - len(asks)
        self._fit = fit
        self._labels = np.where(fit.code > 0, fit.code + len(words) - 1, 0) if fit.code.any() else fit.code
        """Code of what the labels say against each position, before the taints;"""
        self._lacks: Ints | None = None
        """and of the first level whose label it lacks, after them."""
        if lacking:
            codes = np.arange(self._first_short - len(lacking), self._first_short)
            without = ~tree.labelled[:, [depth - 1 for depth in lacking]]
            self._lacks = np.where(without.any(axis=1), codes[without.argmax(axis=1)], 0)
        self._open = self._lacks is None and not self._labels.any()
        """Labels exclude nobody."""
        self._healthy = inventory.healthy
        self._taints: Ints = np.zeros(0, np.int64)
        """Code of what each list of taints says against a node,"""
        self._steady: Mask = np.zeros(0, bool)
        """and whether it would on a healthy node."""
        self._mark, self._epoch = inventory.mark(), inventory.epoch
        # Piece by piece, so that what is made in between stays in the cache of the processor.
        pieces = [np.arange(at, min(at + _PIECE, tree.count)) for at in range(0, max(tree.count, 1), _PIECE)]
        judged = [self._judge(inventory, piece) for piece in pieces]
        self.slots, self.code, self.busy, self._most = (np.concatenate(part) for part in zip(*judged, strict=True))
        self.free = [tree.sums(depth, self.slots) for depth in range(tree.depths)]
        """Per depth but the nodes' own, the slots of each domain;"""
        self.claimed = [tree.sums(depth, self.busy.astype(np.int64)) for depth in range(tree.depths)]
        """and how many of its nodes are not intact."""
        self._counts = np.bincount(self.code, minlength=len(self._why))
        self.mixed = int(((self.slots > 0) & self.busy).sum())
        """Nodes with slots that are not intact."""
        self._journal: list[Ints] = []
        self.noted = 0
        """Grows with every refresh that changed slots or who is intact."""
        self._past: list[tuple[Ints, Ints, Ints, Mask]] = []
        """Of the latest steps the positions that changed, and their slots, codes and who was not intact before."""
        self._past_size = 0
        self.steps = 0
        """Grows with every refresh that changed anything."""
        last = tree.depths - 1 if tree.depths > 1 else tree.depths
        self._wide = tree.sums(last, self._most)
        self.most = int(self._most.max(initial=0))
        """Slots that no node has exceeded since this view was made, nor does while allocatable amounts, taints and
        nodes stay;"""
        self.widest = int(self._wide.max(initial=0))
        """no domain of the last named level;"""
        self.capacity = int(self._most.sum())
        """nor all nodes together."""

    def _judge(self, inventory: Inventory, at: Ints) -> tuple[Ints, Ints, Mask, Ints]:
        """Slots, code, who is not intact, and slots if nothing were used there, of some positions."""
        rows, fixed = self.tree.rows[at], self._labels[at]
        lacks = None if self._lacks is None else self._lacks[at]
        (held, cause, taints), free, has = inventory.look(rows, self._resources)
        if self._open and self._resources and not cause.any() and not taints.any():
            # As nearly always: nothing but what is free matters.
            self._divide(free)
            slots = free.min(axis=0)
            code = np.zeros(len(rows), np.int64)
            short = slots == 0
            if short.any():
                code[short] = self._first_short + (free[:, short] == 0).argmax(axis=0)
            self._divide(has)
            return np.minimum(slots, NO_LIMIT), code, held > 0, np.minimum(has.min(axis=0), NO_LIMIT)
        never = fixed > 0
        if taints.any():
            if int(taints.max()) >= len(self._taints):
                self._meet(inventory)
            fixed = np.where(never, fixed, self._taints[taints])
            never |= self._steady[taints]
        if lacks is not None:
            fixed = np.where(fixed > 0, fixed, lacks)
            never |= lacks > 0
        code = np.where(cause > 0, cause, fixed)
        busy = (held > 0) & (cause != ABSENT)
        if not self._resources:
            return np.where(code == 0, NO_LIMIT, 0), code, busy, np.where(never, 0, NO_LIMIT)
        self._divide(free)
        slots = np.minimum(free.min(axis=0), NO_LIMIT)
        short = (slots == 0) & (code == 0)
        slots[code > 0] = 0
        if short.any():
            code[short] = self._first_short + (free[:, short] == 0).argmax(axis=0)
        self._divide(has)
        most = np.minimum(has.min(axis=0), NO_LIMIT)
        most[never] = 0
        return slots, code, busy, most

    def _divide(self, lines: Ints) -> None:
        """Amounts of each resource become how many pods they are enough for: numpy is quick with one divisor a call."""
        for line, amount in zip(lines, self._amounts, strict=True):
            if amount > 1:
                line //= amount

    def _meet(self, inventory: Inventory) -> None:
        """Judge the lists of taints that were ever seen."""
        known = inventory.taints()
        codes = {why: code for code, why in enumerate(self._why)}
        told = self._fit.repelled(known, inventory.rulebook if self._healthy else None)
        for why in told:
            if why not in codes:
                codes[why] = len(self._why)
                self._why.append(why)
        self._taints = np.array([codes[why] for why in told], np.int64)
        self._steady = np.array([bool(why) for why in self._fit.repelled(known, inventory.rulebook)], bool)

    def _raise(self, at: Ints, most: Ints) -> None:
        """Allocatable amounts, taints or nodes are others than they were: the bounds hold for both."""
        more = most - self._most[at]
        if (more > 0).any():
            at, more = at[more > 0], more[more > 0]
            self._most[at] += more
            self.most = max(self.most, int(self._most[at].max()))
            last = self.tree.depths - 1 if self.tree.depths > 1 else self.tree.depths
            np.add.at(self._wide, self.tree.domain[last][at], more)
            self.widest = int(self._wide.max())
            self.capacity += int(more.sum())

    @property
    def total(self) -> int:
        """Slots of all nodes together."""
        return int(self.slots.sum()) if not len(self.free[0]) else int(self.free[0][0])

    @property
    def exclusions(self) -> tuple[tuple[str, int], ...]:
        """How many nodes each cause takes away (each node once, the first cause that applies), largest first."""
        counts = ((self._why[i], int(n)) for i, n in enumerate(self._counts) if n and i not in (USABLE, ABSENT))
        return tuple(sorted(counts, key=lambda item: (-item[1], item[0])))

    @property
    def bytes(self) -> int:
        """What it holds."""
        return 5 * self.slots.nbytes + self.busy.nbytes

    def refresh(self, inventory: Inventory) -> bool:
        """Stand for this inventory from now on; False if what differs is not known, so that a new view must be made."""
        mark = inventory.mark()
        if mark == self._mark:
            return True
        rows = since(self._mark, mark)
        if rows is None:
            return False
        self._mark = mark
        at = self.tree.positions(rows)
        if len(at):
            self._correct(inventory, at)
        self._epoch = inventory.epoch
        return True

    def _correct(self, inventory: Inventory, at: Ints) -> None:
        slots, code, busy, most = self._judge(inventory, at)
        if self._epoch is not inventory.epoch:
            self._raise(at, most)
        more, newly = slots - self.slots[at], busy.astype(np.int64) - self.busy[at]
        differ = (more != 0) | (newly != 0)
        recoded = np.flatnonzero(code != self.code[at])
        self._step(at, differ if not len(recoded) else differ | (code != self.code[at]))
        if len(recoded):
            size = len(self._why)
            if size > len(self._counts):
                self._counts = np.append(self._counts, np.zeros(size - len(self._counts), np.int64))
            self._counts += np.bincount(code[recoded], minlength=size)
            self._counts -= np.bincount(self.code[at[recoded]], minlength=size)
            self.code[at[recoded]] = code[recoded]
        moved = np.flatnonzero(differ)
        if not len(moved):
            return
        at, slots, busy, more, newly = at[moved], slots[moved], busy[moved], more[moved], newly[moved]
        self.mixed += int(((slots > 0) & busy).sum()) - int(((self.slots[at] > 0) & self.busy[at]).sum())
        self.slots[at], self.busy[at] = slots, busy
        for depth in range(self.tree.depths):
            domains = self.tree.domain[depth][at]
            np.add.at(self.free[depth], domains, more)
            np.add.at(self.claimed[depth], domains, newly)
        self._journal.append(at)
        self.noted += 1
        if len(self._journal) > _JOURNAL:
            del self._journal[: _JOURNAL // 2]

    def _step(self, at: Ints, differ: Mask) -> None:
        if differ.any():
            at = at[differ]
            self._past.append((at, self.slots[at], self.code[at], self.busy[at]))
            self._past_size += len(at)
            self.steps += 1
            while len(self._past) > _JOURNAL or self._past_size > _REMEMBERED + len(self.slots):
                self._past_size -= len(self._past.pop(0)[0])

    def as_at(self, step: int) -> bool:
        """Every node shows what it showed when `steps` had that value, as far as that is known."""
        missed = self.steps - step
        if missed > len(self._past):
            return False
        if not missed:
            return True
        ats, slots, code, busy = (np.concatenate(part) for part in zip(*self._past[-missed:], strict=True))
        at, first = np.unique(ats, return_index=True)
        return bool(
            (slots[first] == self.slots[at]).all()
            and (code[first] == self.code[at]).all()
            and (busy[first] == self.busy[at]).all()
        )

    def changed(self, noted: int) -> Ints | None:
        """The positions that changed since `noted` had that value; None if that is not known any more."""
        missed = self.noted - noted
        if missed > len(self._journal):
            return None
        if missed <= 1:
            return self._journal[-1] if missed else np.zeros(0, np.int64)
        return distinct(np.sort(np.concatenate(self._journal[len(self._journal) - missed :])))
