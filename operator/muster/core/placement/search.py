"""One role, exactly: the least packed key by adding curves up the tree of domains.

Domains with equal contents share one curve (a *class*), equal siblings are added by doubling, and what has been added
once is remembered in a `Memo`, which holds for every tree with the same packing. The objective is additive over the
touched domains, so the answer is the least entry of the full state over the domains of the required depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muster.core.placement.curves import INFINITE, Key, State, plus_key, trimmed, zero
from muster.core.placement.gang import Rung
from muster.core.placement.packing import Packing
from muster.core.placement.sums import Class, Memo, Part, Sum, collapsed, lifted, share, value
from muster.core.placement.tree import Ints, Tree

PLAIN, INTACT, TOUCHED = range(3)
"""State of a domain as the key sees it: in use already, intact, or used by an earlier role of the same gang."""


@dataclass(frozen=True, slots=True)
class Field:
    """What one decision is made on, by position and depth."""

    tree: Tree
    slots: Ints
    state: tuple[npt.NDArray[np.int8], ...]
    """Per depth, PLAIN, INTACT or TOUCHED of each domain."""
    opens: npt.NDArray[np.bool_]
    """Per position: taking the node makes one more of its domains' nodes used (for fill limits)."""
    room: dict[int, Ints]
    """Per depth with a fill limit that can bind, how many more nodes of each domain may become used."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is placed: `count` pods, rungs innermost first (all below `above`), all in one domain of depth `above`."""

    count: int
    above: int
    rungs: tuple[Rung, ...]

    @property
    def full(self) -> State:
        """The state that holds every piece."""
        return self.rungs[-1].counts if self.rungs else (self.count,)

    def caps(self, depth: int) -> State:
        """The most of each piece that can lie in a domain below `depth`, before the rungs of that depth."""
        caps: State = (self.count,)
        for rung in self.rungs:
            if rung.depth > depth:
                caps = rung.counts
        return caps


class Search:
    """One exact decision; `best` answers it."""

    def __init__(self, where: Field, task: Task, packing: Packing, memo: Memo) -> None:
        self.where, self.task, self.packing, self.memo = where, task, packing, memo
        tree = where.tree
        self.tree = tree
        self.fill = min(where.room, default=tree.depths + 1)
        """The broadest depth with a binding fill limit; below it curves carry one more axis: nodes newly used."""
        if self.fill <= task.above:
            self.fill = task.above
        if not memo.classes:
            memo.classes.append(Class(zero(packing.words, 1), None, ()))
        self.classes: list[Ints] = [np.zeros(0, np.int64)] * (tree.depths + 1)
        self.pieces: list[tuple[int, int, State]] = []
        """After `best`: (rung, domain, pieces of each kind of that rung in it)."""

    def best(self, within: tuple[int, int] | None = None) -> tuple[Key, Ints] | None:
        """The least key and the pods per position, or None if it cannot be placed. `within`: only this (depth,
        domain)."""
        tree, above = self.tree, self.task.above
        if above < tree.depths:
            self._nodes()
        for depth in range(tree.depths - 1, above, -1):
            self._domains(depth)
        first, last = 0, tree.domains(above)
        if within is not None:
            first = int(tree.domain[above][tree.start[within[0]][within[1]]])
            last = int(tree.domain[above][tree.start[within[0]][within[1] + 1] - 1]) + 1
        best: tuple[Key, int, State] | None = None
        totals = tree.sums(above, self.where.slots)
        known: dict[Part, dict[int, tuple[Key, State] | None]] = {}
        for domain in range(first, last):
            if totals[domain] < self.task.count:
                continue
            if above == tree.depths:
                answer: tuple[Key, State] | None = (0,) * self.packing.words, (self.task.count,)
                if self.fill <= above and self.where.opens[domain] and self._room(domain) < 1:
                    answer = None
            else:
                part, _ = self._children(above, domain)
                room = self._room(domain) if self.fill <= above else 0
                answers = known.setdefault(part, {})
                if room not in answers:
                    answers[room] = self._read(part, room)
                answer = answers[room]
            if answer is None:
                continue
            constant = self._constant(domain)
            key = tuple(x + y for x, y in zip(answer[0], constant, strict=True))
            if best is None or key < best[0]:
                best = key, domain, answer[1]
        if best is None:
            return None
        out = np.zeros(tree.count, np.int64)
        if above == tree.depths:
            out[best[1]] = self.task.count
        else:
            self._spread(above, best[1], best[2], out)
        return best[0], out

    # --- Up -------------------------------------------------------------------------------------------------------

    def _nodes(self) -> None:
        where, tree, task = self.where, self.tree, self.task
        raw = where.slots if self.packing.last == tree.depths else np.zeros_like(where.slots)
        state = where.state[tree.depths].astype(np.int64)
        code = ((np.minimum(where.slots, task.count) * 3 + state) * 2 + where.opens) * (
            int(raw.max(initial=0)) + 1
        ) + raw
        code[where.slots == 0] = 0
        values, inverse = np.unique(code, return_inverse=True)
        ids = np.zeros(len(values), np.int64)
        for i, what in enumerate(values):
            if what:
                at = int(np.flatnonzero(inverse == i)[0])
                ids[i] = self._node_class(
                    min(int(where.slots[at]), task.count), int(state[at]), bool(where.opens[at]), int(raw[at])
                )
        self.classes[tree.depths] = ids[inverse]
        # Children of the narrowest named domains are taken in order of contents, so that equal racks are equal.
        self._by_content = inverse

    def _node_class(self, slots: int, state: int, opens: bool, raw: int) -> int:
        axis = self.fill < self.tree.depths
        key = (self.tree.depths, slots, state, opens and axis, raw)
        found = self.memo.ids.get(key)
        if found is not None:
            return found
        line = zero(self.packing.words, 1).repeat(slots + 1, axis=1)
        if axis:
            line = line[:, :, None]
            if opens:
                wide = np.zeros((line.shape[0], slots + 1, 2), np.int64)
                wide[0] = INFINITE
                wide[:, 0, 0] = 0
                wide[:, 1:, 1:] = line[:, 1:]
                line = wide
        return self._new_class(key, line, None, (), self.tree.depths, state, raw)

    def _domains(self, depth: int) -> None:
        tree, where = self.tree, self.where
        raw = tree.sums(depth, where.slots) if depth == self.packing.last else np.zeros(tree.domains(depth), np.int64)
        out = np.zeros(tree.domains(depth), np.int64)
        state = where.state[depth]
        raw = np.where(state == TOUCHED, 0, raw)
        limited = depth in where.room and depth >= self.fill
        busy = tree.sums(depth, (where.slots > 0).astype(np.int64))
        for domain in np.flatnonzero(busy).tolist():
            part, groups = self._children(depth, domain)
            if not groups:
                continue
            room = int(where.room[depth][domain]) if limited else -1
            key = (depth, groups, int(state[domain]), int(raw[domain]), room)
            found = self.memo.ids.get(key)
            if found is None:
                array = part.array
                if limited:
                    array = array[..., : room + 1]
                if depth == self.fill:
                    array = collapsed(array)[0]
                found = self._new_class(key, array, part, groups, depth, key[2], key[3])
            out[domain] = found
        self.classes[depth] = out

    def _new_class(
        self,
        key: object,
        array: Ints,
        inner: Part | None,
        groups: tuple[tuple[int, int], ...],
        depth: int,
        state: int,
        raw: int,
    ) -> int:
        for rung in self.task.rungs:
            if rung.depth == depth:
                array = lifted(array, rung, self.fill < depth)
        array = trimmed(array)
        touch = self.packing.touch[depth][state]
        if array.size > self.packing.words:
            array = plus_key(array, (*touch[:-1], touch[-1] + raw))
            found = len(self.memo.classes)
            self.memo.classes.append(Class(array, inner, groups))
            self.memo.bytes += array.nbytes + 400
        else:
            found = 0
        self.memo.ids[key] = found
        return found

    def _children(self, depth: int, domain: int) -> tuple[Part, tuple[tuple[int, int], ...]]:
        """The children of a domain added up, and their groups: (class, how many), by first appearance."""
        tree = self.tree
        first, last = int(tree.children[depth][domain]), int(tree.children[depth][domain + 1])
        ids = self.classes[depth + 1][first:last]
        if depth + 1 == tree.depths:
            order = np.argsort(-self._by_content[first:last], kind="stable")
            ids = ids[order]
        counts: dict[int, int] = {}
        for i in ids.tolist():
            if i:
                counts[i] = counts.get(i, 0) + 1
        groups = tuple(counts.items())
        key = (depth, groups)
        part = self.memo.parts.get(key)
        if part is None:
            caps = self._caps(depth)
            powers = [self._power(i, n, caps, depth) for i, n in groups]
            part = self._added(powers, caps, depth) if powers else self.memo.classes[0]
            self.memo.parts[key] = part
            self.memo.bytes += 300
        return part, groups

    def _caps(self, depth: int) -> State:
        """Caps of the children's sums under a domain of this depth."""
        caps = self.task.caps(depth)
        if self.fill <= depth:
            most = max((int(r.max(initial=0)) for d, r in self.where.room.items() if d <= depth), default=0)
            caps = (*caps, min(self.task.count, most))
        return caps

    def _power(self, index: int, times: int, caps: State, depth: int) -> Part:
        """The sum of equal siblings, by doubling."""
        if times == 1:
            return self.memo.classes[index]
        key = (depth, index, -times)
        found = self.memo.sums.get(key)
        if found is None:
            half = times // 2
            left = self._power(index, times - half, caps, depth)
            found = self.memo.sums[key] = Sum(left, self._power(index, half, caps, depth), caps, self.memo)
        return found

    def _added(self, parts: Sequence[Part], caps: State, depth: int) -> Part:
        """Siblings added in a balanced way, keeping their order."""
        if len(parts) == 1:
            return parts[0]
        half = (len(parts) + 1) // 2
        left, right = self._added(parts[:half], caps, depth), self._added(parts[half:], caps, depth)
        key = (depth, id(left), id(right))
        found = self.memo.sums.get(key)
        if found is None:
            found = self.memo.sums[key] = Sum(left, right, caps, self.memo)
        return found

    # --- The answer -----------------------------------------------------------------------------------------------

    def _room(self, domain: int) -> int:
        """How many nodes may become used, by all limits at and above the answer's domain."""
        above = self.task.above
        at = int(self.tree.start[above][domain])
        rooms = [int(r[self.tree.domain[d][at]]) for d, r in self.where.room.items() if d <= above]
        return min(self.task.count, *rooms) if rooms else self.task.count

    def _read(self, part: Part, room: int) -> tuple[Key, State] | None:
        states = [(*self.task.full, r) for r in range(room + 1)] if self.fill <= self.task.above else [self.task.full]
        best: tuple[Key, State] | None = None
        for state in states:
            key = value(part, state)
            if key is not None and (best is None or key < best[0]):
                best = key, state
        return best

    def _constant(self, domain: int) -> Key:
        """What the domains at and above the answer's depth add."""
        tree, above = self.tree, self.task.above
        at = int(tree.start[above][domain])
        key = [0] * self.packing.words
        for depth in range(1, above + 1):
            here = int(tree.domain[depth][at])
            for word, amount in enumerate(self.packing.touch[depth][int(self.where.state[depth][here])]):
                key[word] += amount
            if depth == self.packing.last and self.where.state[depth][here] != TOUCHED:
                start, stop = tree.start[depth][here], tree.start[depth][here + 1]
                key[-1] += int(self.where.slots[start:stop].sum())
        return tuple(key)

    # --- Down -----------------------------------------------------------------------------------------------------

    def _spread(self, depth: int, domain: int, state: State, out: Ints) -> None:
        """Write the pods per position of a domain whose children hold `state` together."""
        tree = self.tree
        part, groups = self._children(depth, domain)
        first, last = int(tree.children[depth][domain]), int(tree.children[depth][domain + 1])
        shares: list[tuple[int, State]] = []
        share(part, state, 0, shares)
        ends, at = [], 0
        for index, times in groups:
            at += times
            ends.append((at, index))
        by_class: dict[int, list[State]] = {}
        for leaf, held in shares:
            index = next(i for end, i in ends if leaf < end)
            by_class.setdefault(index, []).append(held)
        ids = self.classes[depth + 1][first:last]
        for index, given in by_class.items():
            members = np.flatnonzero(ids == index)
            for member, held in zip(members.tolist(), sorted(given, reverse=True), strict=False):
                self._descend(depth + 1, first + member, index, held, out)

    def _descend(self, depth: int, domain: int, index: int, state: State, out: Ints) -> None:
        """From what a domain holds, in the basis above it, to its children."""
        axis = self.fill < depth
        nodes: State = ()
        if axis:
            state, nodes = state[:-1], state[-1:]
        for i in range(len(self.task.rungs) - 1, -1, -1):
            rung = self.task.rungs[i]
            if rung.depth == depth:
                self.pieces.append((i, domain, state))
                state = tuple(
                    sum(n * part[j] for n, part in zip(state, rung.parts, strict=True))
                    for j in range(len(rung.parts[0]))
                )
        if depth == self.tree.depths:
            out[domain] = state[0]
            return
        if depth == self.fill:
            part = self.memo.classes[index].inner
            assert part is not None
            room = int(self.where.room[depth][domain])
            _, which = collapsed(part.array[..., : room + 1])
            nodes = (int(which[state]),)
        self._spread(depth, domain, (*state, *nodes), out)
