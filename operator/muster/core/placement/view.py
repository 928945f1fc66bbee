"""What a kind of pod finds on each node: may it run there, how often, and if not, why.

A view is kept: it is told which rows of the inventory changed since it last looked, judges these again, and notes the
positions that became another, for the searches that stand on it. So it always stands for one inventory, and goes over
to another of the same family by the rows in which they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from muster.core.changes import since
from muster.core.eligibility import HARD, describe, term_matches, tolerated
from muster.core.inventory import CAUSES, HEALTH_TAINTS, Inventory
from muster.core.model import Filter, Node, Requirement, Resources, Taint
from muster.core.placement.tree import Ints, Tree, distinct

Mask = npt.NDArray[np.bool_]
NO_LIMIT = 1 << 40
"""Slots of a node on which nothing bounds them."""
_JOURNAL = 256


@dataclass(frozen=True, slots=True)
class Eligible:
    """Which nodes a filter takes, by position, for one epoch; `why[code[i]]` is the first cause against a node, the
    empty text for none."""

    code: Ints
    why: tuple[str, ...]


def eligible(tree: Tree, inventory: Inventory, filter_: Filter) -> Eligible:
    """Judge every node as `unfit` does, each label value and each set of taints once."""
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
    taints = tree.kinds("")
    codes: dict[str, int] = {"": 0}
    judged = [codes.setdefault(_repelled(marks, filter_, inventory.healthy), len(codes)) for marks in taints.numbers]
    code = np.array(judged, np.int64)[taints.of]
    for why, fits in (("affinity", wanted), ("selector", selected)):
        if not fits.all():
            code[~fits] = codes.setdefault(why, len(codes))
    return Eligible(code, tuple(codes))


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


def unfit(node: Node, filter_: Filter, healthy: bool = False) -> str:
    """Why the filter excludes a node (selector, affinity, or its first untolerated taint); empty if it does not.
    `healthy`: Kubernetes' own health taints do not count."""
    if any(node.labels.get(key) != value for key, value in filter_.selector):
        return "selector"
    if not all(any(term_matches(term, node.labels, node.name) for term in group) for group in filter_.affinity):
        return "affinity"
    return _repelled(node.taints, filter_, healthy)


def _repelled(taints: tuple[Taint, ...], filter_: Filter, healthy: bool) -> str:
    for taint in taints:
        if taint.effect not in HARD or (healthy and taint.key.startswith(HEALTH_TAINTS)):
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
        self._asks = sorted(asks, key=lambda item: ("/" not in item[0], item[0]))
        lacking = [depth for depth in needed if depth < tree.depths]
        self._why = [
            *CAUSES,
            *fit.why[1:],
            *(f"unlabelled {tree.level(depth)}" for depth in lacking),
            *(resource for resource, _ in self._asks),
        ]
        """Cause by code; the first that applies to a node is the one it is counted under."""
        self._first_short = len(self._why) - len(self._asks)
        self._fixed = np.where(fit.code > 0, fit.code + len(CAUSES) - 1, 0)
        for i, depth in enumerate(lacking):
            code = self._first_short - len(lacking) + i
            self._fixed[(self._fixed == 0) & ~tree.labelled[:, depth - 1]] = code
        self._mark = inventory.mark()
        self.slots, self.code = self._judge(inventory, None)
        self.busy: Mask = ~inventory.intact(tree.rows)
        self.free = [tree.sums(depth, self.slots) for depth in range(tree.depths)]
        """Per depth but the nodes' own, the slots of each domain;"""
        self.claimed = [tree.sums(depth, self.busy.astype(np.int64)) for depth in range(tree.depths)]
        """and how many of its nodes are not intact."""
        self._counts = np.bincount(self.code, minlength=len(self._why))
        self.mixed = int(((self.slots > 0) & self.busy).sum())
        """Nodes with slots that are not intact."""
        self._journal: list[Ints] = []
        self.noted = 0
        """Grows with every refresh that changed something."""
        most = np.where(self._fixed == 0, NO_LIMIT, 0)
        for resource, amount in self._asks:
            room = inventory.room(resource, tree.rows)
            most = np.minimum(most, 0 if room is None else room[1] // amount)
        self.most = int(most.max(initial=0))
        """Slots that no node can exceed while this epoch lasts;"""
        last = tree.depths - 1 if tree.depths > 1 else tree.depths
        self.widest = int(tree.sums(last, most).max(initial=0))
        """no domain of the last named level;"""
        self.capacity = int(most.sum())
        """nor all nodes together."""

    def _judge(self, inventory: Inventory, at: Ints | None) -> tuple[Ints, Ints]:
        """Slots and code of some positions, or of all."""
        rows, fixed = (self.tree.rows, self._fixed) if at is None else (self.tree.rows[at], self._fixed[at])
        cause = inventory.causes(rows)
        code = np.where(cause > 0, cause, fixed)
        slots = np.where(code == 0, NO_LIMIT, 0)
        for i, (resource, amount) in enumerate(self._asks):
            room = inventory.room(resource, rows)
            if room is None:
                slots[:] = 0
            else:
                fits = room[0] if amount == 1 else room[0] // amount
                np.minimum(slots, fits, out=slots)
            code[(slots == 0) & (code == 0)] = self._first_short + i
        return slots, code

    @property
    def total(self) -> int:
        """Slots of all nodes together."""
        return int(self.slots.sum()) if not len(self.free[0]) else int(self.free[0][0])

    @property
    def exclusions(self) -> tuple[tuple[str, int], ...]:
        """How many nodes each cause takes away (each node once, the first cause that applies), largest first."""
        counts = ((self._why[i], int(n)) for i, n in enumerate(self._counts) if n and i)
        return tuple(sorted(counts, key=lambda item: (-item[1], item[0])))

    @property
    def bytes(self) -> int:
        """What it holds."""
        return 4 * self.slots.nbytes + self.busy.nbytes

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
        return True

    def _correct(self, inventory: Inventory, at: Ints) -> None:
        slots, code = self._judge(inventory, at)
        busy = ~inventory.intact(self.tree.rows[at])
        more, newly = slots - self.slots[at], busy.astype(np.int64) - self.busy[at]
        recoded = np.flatnonzero(code != self.code[at])
        if len(recoded):
            size = len(self._why)
            self._counts += np.bincount(code[recoded], minlength=size)
            self._counts -= np.bincount(self.code[at[recoded]], minlength=size)
            self.code[at[recoded]] = code[recoded]
        moved = np.flatnonzero((more != 0) | (newly != 0))
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

    def changed(self, noted: int) -> Ints | None:
        """The positions that changed since `noted` had that value; None if that is not known any more."""
        missed = self.noted - noted
        if missed > len(self._journal):
            return None
        if missed <= 1:
            return self._journal[-1] if missed else np.zeros(0, np.int64)
        return distinct(np.sort(np.concatenate(self._journal[len(self._journal) - missed :])))
