"""One role, exactly: the least packed key by adding curves up the tree of domains.

Every domain has a *class*: its curve, shared with all domains of equal contents. Under each domain its children's
classes are added in a balanced binary tree, nodes by content so that racks of equal contents are one. After a change
only the paths above the changed nodes are made again; parts are replaced, never written, and found by content in a
`Memo`, so going back to an earlier state, as after a fork, costs next to nothing. The objective is additive over the
touched domains, so the answer is read off at the top: the least entry of the full state over the domains of the
required depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from muster.core.placement.curves import INFINITE, Ints, Key, State, zero
from muster.core.placement.field import INTACT, TOUCHED, Field
from muster.core.placement.gang import Rung
from muster.core.placement.layout import layout
from muster.core.placement.packing import Packing
from muster.core.placement.sums import Class, Memo, Part, collapsed, share, value
from muster.core.placement.tree import distinct
from muster.core.placement.view import NO_LIMIT

_RADIX = 2 * NO_LIMIT
_CURVE = 2048
"""Bytes of a kept curve in the mean, at most."""
_SHARED = 4096
_KINDS = 1 << 16
Groups = tuple[tuple[int, int], ...]
Members = dict[int, list[int]]
Shares = tuple[tuple[int, tuple[State, ...]], ...]


@dataclass(frozen=True, slots=True)
class Task:
    """What is placed: up to `count` pods, rungs innermost first (all below `above`), all in one domain of depth
    `above`."""

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
    """The kept classes of one task on one field; `refresh` after the field changed, `best` answers."""

    def __init__(self, where: Field, task: Task, packing: Packing, memo: Memo) -> None:
        self.where, self.task, self.packing, self.memo = where, task, packing, memo
        self.tree = tree = where.tree
        self.fill = max(min(where.limits, default=tree.depths + 1), task.above)
        """The broadest depth with a binding fill limit; below it curves carry one more axis: nodes newly used."""
        self.noted = 0
        """Of the view that the field stands on, what has been read."""
        self._rungs = [[r for r in task.rungs if r.depth == depth] for depth in range(tree.depths + 1)]
        self._caps = [self._capped(depth) for depth in range(tree.depths)]
        self.bottom = tree.depths - 1
        """The depth whose children are nodes."""
        self.parts: list[list[Part]] = [[] for _ in range(tree.depths)]
        """Per depth from `above` on, the children of each domain added up."""
        self.heaps: list[list[list[Part]]] = [[] for _ in range(tree.depths)]
        """Per depth above the bottom, the binary tree that this sum is the root of."""
        self._members: list[tuple[Members, Groups] | None] = [None] * tree.domains(self.bottom)
        kinds = self._kinds()
        few = kinds < _KINDS and packing.last < tree.depths
        self._columns: Ints | None = np.full(kinds, -1, np.int64) if few else None
        """By code, the column under which nodes of this kind are counted."""
        self._values: list[int] = []
        self._known: dict[bytes, Part] = {}
        self._shared: dict[tuple[Groups, State], Shares] = {}
        self._labels: Ints = np.zeros(0, np.int64)
        self._labelled: list[Part] = []
        self._label: dict[int, int] = {}
        if task.above < tree.depths:
            self._build()

    @property
    def bytes(self) -> int:
        """What it holds, about: pointers, and every curve counted as if none were shared at its longest."""
        long = 8 * self.packing.words * (self.task.count + 1)
        return sum(len(heap) for heaps in self.heaps for heap in heaps) * min(long, _CURVE) + 16 * self.tree.count

    # --- Up -------------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        tree, above = self.tree, self.task.above
        self.codes = self._coded(slice(None))
        self.parts[self.bottom] = self._bottoms(np.arange(tree.domains(self.bottom)))
        for depth in range(self.bottom - 1, above - 1, -1):
            below = self._classes(depth + 1, np.arange(tree.domains(depth + 1)))
            edges = tree.children[depth].tolist()
            caps = self._caps[depth]
            heaps = self.heaps[depth]
            for first, last in pairwise(edges):
                shape = layout(last - first)
                heap: list[Part] = [self.memo.empty] * shape.size
                for child, at in enumerate(shape.leaves):
                    heap[at] = below[first + child]
                for at in shape.inner:
                    heap[at] = self.memo.added(heap[shape.left[at]], heap[shape.right[at]], caps, depth)
                heaps.append(heap)
            self.parts[depth] = [heap[0] for heap in heaps]
        if above:
            self._labels = np.zeros(tree.domains(above), np.int64)
            self._relabel(range(tree.domains(above)))

    def refresh(self, changed: Ints) -> None:
        """The field has changed at these positions."""
        tree, above = self.tree, self.task.above
        if above == tree.depths:
            return
        self.codes[changed] = self._coded(changed)
        depth = self.bottom
        domains = distinct(tree.domain[depth][changed])
        parts = self.parts[depth]
        if len(self._known) > _SHARED:
            self._known.clear()
        for domain in domains.tolist():
            self._members[domain] = None
        for domain, part in zip(domains.tolist(), self._bottoms(domains), strict=True):
            parts[domain] = part
        while depth > above:
            classes = self._classes(depth, domains)
            depth -= 1
            parents = tree.domain[depth][tree.start[depth + 1][domains]].tolist()
            self._climb(depth, parents, domains.tolist(), classes)
            domains = distinct(np.array(parents))
        if above:
            self._relabel(domains.tolist())

    def _climb(self, depth: int, parents: list[int], children: list[int], classes: list[Class]) -> None:
        """Put the classes of some children (ascending) into the binary trees of their parents."""
        firsts, caps = self.tree.children[depth], self._caps[depth]
        i = 0
        while i < len(parents):
            parent = parents[i]
            first = int(firsts[parent])
            shape = layout(int(firsts[parent + 1]) - first)
            heap = self.heaps[depth][parent]
            marked: set[int] = set()
            while i < len(parents) and parents[i] == parent:
                at = shape.leaves[children[i] - first]
                if heap[at] is not classes[i]:
                    heap[at] = classes[i]
                    while at and (at := shape.parent[at]) not in marked:
                        marked.add(at)
                i += 1
            for at in sorted(marked, reverse=True):
                heap[at] = self.memo.added(heap[shape.left[at]], heap[shape.right[at]], caps, depth)
            self.parts[depth][parent] = heap[0]

    def _kinds(self) -> int:
        """Codes of nodes lie below this."""
        return 3 * (self.task.count + 1)

    def _coded(self, at: Ints | slice) -> Ints:
        """What the search sees of some nodes, as a number; 0 if nothing fits."""
        slots = self.where.slots[at]
        code = np.minimum(slots, self.task.count) * 3 + self.where.states(self.tree.depths, at)
        if self.packing.last == self.tree.depths:
            code = code * _RADIX + slots
        code[slots == 0] = 0
        return code

    def _node(self, code: int) -> Class:
        found = self.memo.get(code)
        if found is not None:
            assert isinstance(found, Class)
            return found
        depth, raw, what = self.tree.depths, 0, code
        if self.packing.last == depth:
            what, raw = divmod(code, _RADIX)
        slots, state = divmod(what, 3)
        line = zero(self.packing.words, 1).repeat(slots + 1, axis=1)
        if self.fill < depth:
            line = line[:, :, None]
            if state == INTACT:
                wide = np.zeros((line.shape[0], slots + 1, 2), np.int64)
                wide[0] = INFINITE
                wide[:, 0, 0] = 0
                wide[:, 1:, 1:] = line[:, 1:]
                line = wide
        made = self.memo.whole(line, None, self._rungs[depth], self.fill < depth, self._key(depth, state, raw))
        self.memo.put(code, made)
        return made

    def members(self, domain: int) -> tuple[Members, Groups]:
        """The nodes of a domain at the bottom by content, most slots first: code to positions, in natural order; and
        how many there are of each."""
        known = self._members[domain]
        if known is None:
            start = self.tree.start[self.bottom]
            first = int(start[domain])
            found: Members = {}
            for at, code in enumerate(self.codes[first : int(start[domain + 1])].tolist(), first):
                if code:
                    places = found.get(code)
                    if places is None:
                        found[code] = [at]
                    else:
                        places.append(at)
            if len(found) > 1:
                found = dict(sorted(found.items(), reverse=True))
            known = found, tuple([(code, len(places)) for code, places in found.items()])
            self._members[domain] = known
        return known

    def shared(self, groups: Groups, state: State) -> Shares:
        """How nodes of these kinds at the bottom hold a state together: per content the states of as many nodes as
        hold something, most first. Equal domains ask once."""
        known = self._shared.get((groups, state))
        if known is not None:
            return known
        shares: list[tuple[int, State]] = []
        share(self._bottom(groups), state, 0, shares)
        ends, end = [], 0
        for code, times in groups:
            end += times
            ends.append((end, code))
        given: dict[int, list[State]] = {}
        for leaf, held in shares:
            given.setdefault(next(code for end, code in ends if leaf < end), []).append(held)
        if len(self._shared) > _SHARED:
            self._shared.clear()
        out = tuple((code, tuple(sorted(states, reverse=True))) for code, states in given.items())
        self._shared[groups, state] = out
        return out

    def _bottoms(self, domains: Ints) -> list[Part]:
        """The nodes of some domains at the bottom added up: counted in one go where there are few kinds of them."""
        start = self.tree.start[self.bottom]
        firsts, sizes = start[domains], start[domains + 1] - start[domains]
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        if self._columns is None or not total:
            return [self._bottom(self.members(domain)[1]) for domain in domains.tolist()]
        mine = self.codes
        if total < len(mine):
            mine = mine[np.arange(total) + np.repeat(firsts - ends + sizes, sizes)]
        columns = self._columns[mine]
        if int(columns.min()) < 0:
            self._widen(mine)
            columns = self._columns[mine]
        width = len(self._values)
        if width * len(domains) > 8 * total + 256:
            return [self._bottom(self.members(domain)[1]) for domain in domains.tolist()]
        where = np.repeat(np.arange(len(domains)) * width, sizes) + columns
        table = np.bincount(where, minlength=len(domains) * width).astype(np.int32).tobytes()
        step, known, out = 4 * width, self._known, []
        for at in range(0, len(table), step):
            mark = table[at : at + step].rstrip(b"\0")
            part = known.get(mark)
            if part is None:
                counts = np.frombuffer(table, np.int32, width, at).tolist()
                groups = sorted(((c, n) for c, n in zip(self._values, counts, strict=True) if n and c), reverse=True)
                part = known[mark] = self._bottom(tuple(groups))
            out.append(part)
        return out

    def _widen(self, codes: Ints) -> None:
        """Give kinds of nodes that are new a column."""
        assert self._columns is not None
        for code in np.flatnonzero(np.bincount(codes)).tolist():
            if self._columns[code] < 0:
                self._columns[code] = len(self._values)
                self._values.append(code)

    def _bottom(self, groups: Groups) -> Part:
        if not groups:
            return self.memo.empty
        key = ("nodes", groups)
        found = self.memo.get(key)
        if found is not None:
            return found
        caps, depth = self._caps[self.bottom], self.bottom
        parts: list[Part] = [self.memo.power(self._node(code), times, caps, depth) for code, times in groups]
        while len(parts) > 1:
            pairs = [self.memo.added(a, b, caps, depth) for a, b in zip(parts[::2], parts[1::2], strict=False)]
            parts = pairs + parts[len(parts) - len(parts) % 2 :]
        return self.memo.put(key, parts[0])

    def _classes(self, depth: int, domains: Ints) -> list[Class]:
        """The classes of some domains from what is in them."""
        parts, memo = self.parts[depth], self.memo
        states = self.where.states(depth, domains).tolist()
        raws = [0] * len(states)
        if depth == self.packing.last:
            held = self.where.free[depth][domains]
            if self.where.touched:
                held = np.where(self.where.touched[depth][domains], 0, held)
            raws = held.tolist()
        limited = depth in self.where.limits and depth >= self.fill
        rooms = self.where.room(depth, domains).tolist() if limited else [-1] * len(states)
        mine = [parts[domain] for domain in domains.tolist()]
        keys = list(zip(map(id, mine), states, raws, rooms, strict=True))
        classes: dict[tuple[int, int, int, int], Class] = {}
        for part, (which, state, raw, room) in zip(mine, keys, strict=True):
            if (which, state, raw, room) in classes:
                continue
            found: Part | None = memo.empty
            if part is not memo.empty:
                key = (depth, which, state, raw, room)
                found = memo.get(key)
                if found is None:
                    found = memo.put(key, self._class(part, depth, self._key(depth, state, raw), room))
            assert isinstance(found, Class)
            classes[which, state, raw, room] = found if found.reach else memo.empty
        return [classes[key] for key in keys]

    def _class(self, part: Part, depth: int, key: Key, room: int) -> Class:
        """`room`: how many nodes may become used, -1 if that is not limited."""
        rungs = self._rungs[depth]
        if part.plain:
            return self.memo.touching(part, rungs, key)
        array = part.to(self._caps[depth])
        if room >= 0:
            array = array[..., : room + 1]
        if depth == self.fill:
            array = collapsed(array)[0]
        return self.memo.whole(array, part, rungs, self.fill < depth, key)

    def _key(self, depth: int, state: int, raw: int) -> Key:
        """What touching a domain adds."""
        touch = self.packing.touch[depth][state]
        return (*touch[:-1], touch[-1] + raw) if raw else touch

    def _capped(self, depth: int) -> State:
        """Caps of the children's sums under a domain of this depth."""
        caps = self.task.caps(depth)
        if self.fill <= depth:
            most = max((limit for d, limit in self.where.limits.items() if d <= depth), default=0)
            caps = (*caps, min(self.task.count, most))
        return caps

    # --- The answer -----------------------------------------------------------------------------------------------

    def best(self, full: State, within: tuple[int, int] | None = None) -> tuple[Key, int, State] | None:
        """The least key of placing these pieces, the domain of depth `above` in which it is reached, and the state of
        its children there; None if they cannot be placed. `within`: only this (depth, domain)."""
        above = self.task.above
        if not self.tree.count:
            return None
        if above == 0 and within is None and not self.where.limits:
            key = value(self.parts[0][0], full)
            return None if key is None else (key, 0, full)
        return self._best_of(self._candidates(full, within), full)

    def _candidates(self, full: State, within: tuple[int, int] | None) -> Ints:
        tree, above = self.tree, self.task.above
        pods = self._pods(full)
        if within is None:
            return np.flatnonzero(self.where.held(above, slice(None)) >= pods)
        start, stop = tree.start[within[0]][within[1]], tree.start[within[0]][within[1] + 1]
        first, last = int(tree.domain[above][start]), int(tree.domain[above][stop - 1]) + 1
        return first + np.flatnonzero(self.where.held(above, slice(first, last)) >= pods)

    def _pods(self, full: State) -> int:
        for rung in reversed(self.task.rungs):
            full = tuple(sum(n * part[j] for n, part in zip(full, rung.parts, strict=True)) for j in _over(rung))
        return full[0]

    def _best_of(self, candidates: Ints, full: State) -> tuple[Key, int, State] | None:
        """Look at the candidates that differ in what they hold, those of least constant first."""
        tree, above = self.tree, self.task.above
        rooms = self._rooms(candidates)
        if above == tree.depths:
            free = rooms >= np.where(self.where.states(above, candidates) == INTACT, 1, 0)
            candidates, rooms = candidates[free], np.zeros(int(free.sum()), np.int64)
            labels = np.zeros(len(candidates), np.int64)
        elif above == 0:
            labels = np.zeros(len(candidates), np.int64)
        else:
            labels = self._labels[candidates]
        constants = self._constants(candidates)
        order = np.lexsort((candidates, *constants[::-1]))
        wide = int(rooms.max(initial=0)) + 1
        _, firsts = np.unique((labels * wide + rooms)[order], return_index=True)
        best: tuple[Key, int, State] | None = None
        for i in order[firsts].tolist():
            answer: tuple[Key, State] | None = (0,) * self.packing.words, full
            if above < tree.depths:
                part = self.parts[above][int(candidates[i])]
                answer = self._read(part, full, int(rooms[i]))
            if answer is None:
                continue
            key = tuple(x + int(c[i]) for x, c in zip(answer[0], constants, strict=True))
            if best is None or (key, int(candidates[i])) < best[:2]:
                best = key, int(candidates[i]), answer[1]
        return best

    def _rooms(self, domains: Ints) -> Ints:
        """How many nodes may become used, by all limits at and above the answer's domain."""
        tree, above = self.tree, self.task.above
        out = np.full(len(domains), self.task.count if self.where.limits else 0, np.int64)
        if above == tree.depths and not self.where.limits:
            out += 1
        for depth in self.where.limits:
            if depth <= above:
                out = np.minimum(out, self.where.room(depth, self._over(depth, domains)))
        return out

    def _over(self, depth: int, domains: Ints) -> Ints:
        """The domains of a broader depth in which these lie."""
        return self.tree.domain[depth][self.tree.start[self.task.above][domains]]

    def _read(self, part: Part, full: State, room: int) -> tuple[Key, State] | None:
        if self.fill > self.task.above:
            key = value(part, full)
            return None if key is None else (key, full)
        best: tuple[Key, State] | None = None
        for state in ((*full, r) for r in range(room + 1)):
            key = value(part, state)
            if key is not None and (best is None or key < best[0]):
                best = key, state
        return best

    def _constants(self, domains: Ints) -> list[Ints]:
        """Per word what the domains at and above the answer's depth add."""
        out = [np.zeros(len(domains), np.int64) for _ in range(self.packing.words)]
        for depth in range(1, self.task.above + 1):
            here = self._over(depth, domains)
            states = self.where.states(depth, here)
            for word, total in enumerate(out):
                total += np.array([touch[word] for touch in self.packing.touch[depth]], np.int64)[states]
            if depth == self.packing.last:
                out[-1] += np.where(states == TOUCHED, 0, self.where.held(depth, here))
        return out

    def _relabel(self, domains: range | list[int]) -> None:
        """Number the parts of the answer's depth, equal ones alike."""
        parts = self.parts[self.task.above]
        if len(self._labelled) > 4 * len(parts) + 64:
            self._labelled, self._label = [], {}
            domains = range(len(parts))
        for domain in domains:
            part = parts[domain]
            label = self._label.get(id(part))
            if label is None:
                label = self._label[id(part)] = len(self._labelled)
                self._labelled.append(part)
            self._labels[domain] = label


def _over(rung: Rung) -> range:
    return range(len(rung.parts[0]))
