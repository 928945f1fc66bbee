"""The cheapest way to mend a committed placement that lost some ranks.

Cheapest is fewest moved ranks, then the objective of placement.md of the whole new placement, then natural order. Moved
are all lost ranks and every survivor whose node changes. Hard constraints hold by today's labels; fill limits do not
bind, and a node that a survivor keeps need not be eligible.

The search is best first over *patterns*: which pieces (`repair_parts`) give up what survives of them. A pattern is
tried by putting back what it leaves free (`repair_place`); where a domain finds no room for what it must take, some
piece with survivors there has to give way, so these are the patterns tried next, each with a lower bound: what it
moves, and for every domain that still lacks room the least that has to give way there. Two pieces of one kind inside a
domain that lacks room cannot help each other, nor can anything inside a domain that has too few slots. All patterns
that move fewest are tried for the best vector, so the result is exact (`proven`) for one role unless the budget
(counted in patterns) ends first, or many pods go back at once into nodes that several share.

For several roles, each is placed exactly around the others, one after the other in several orders: proven where no
survivor moves and one role alone lost ranks. If the domain that the whole gang shares has no room, or no pattern is
found, the gang is placed anew (`repair_anew`): for one role by the exact search. Then ranks keep their nodes as far as
pieces of one kind can be exchanged, which is not proven to be the most.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from muster.core.inventory import Inventory
from muster.core.model import Repaired, Shape, Verdict
from muster.core.placement import repair_anew, repair_verdict
from muster.core.placement.placer import Placer
from muster.core.placement.repair_case import Case
from muster.core.placement.repair_parts import FREE, Choice, Left, Piece, Region, left
from muster.core.placement.repair_try import Answer, filled, worth
from muster.core.placement.tree import Ints

BUDGET = 400
"""Patterns that one repair may try; for several roles, which cost more, a quarter of it."""
Pattern = tuple[Choice, ...]
_PATIENCE = 8
"""Patterns after which it is asked whether there can be any repair at all."""
_WHOLE = -1
"""The role in a choice that is about the domain that all roles share."""


@dataclass(slots=True)
class _Tried:
    """What came of a pattern: an answer, or the patterns to try next; `bound`: ranks that it moves at least."""

    bound: int
    answer: Answer | None
    next: list[Pattern]
    lacking: list[tuple[int, Region]]
    known: bool


def repaired(
    placer: Placer,
    inventory: Inventory,
    shape: Shape,
    nodes: tuple[tuple[str, ...], ...],
    lost: frozenset[tuple[int, int]],
    budget: int,
) -> Repaired | Verdict:
    """See `Solver.repair`."""
    gang = placer.gang(inventory, shape)
    if isinstance(gang, Verdict):
        return gang
    if [len(mine) for mine in nodes] != [role.count for role in gang.roles]:
        raise ValueError("the placement to repair is not one of this shape")
    case = Case(placer, inventory, shape, gang, nodes, lost)
    search = _Search(case, budget)
    best = search.run()
    if best is None:
        return repair_verdict.refused(case, search.lacking, search.steps if search.cut else 0)
    proven = best.exact and not search.cut
    if len(gang.roles) > 1:
        proven = proven and best.moved == len(lost) and len({role for role, _ in lost}) <= 1
    return _told(case, nodes, best, proven)


class _Search:
    def __init__(self, case: Case, budget: int) -> None:
        self.case, self.budget = case, budget if len(case.gang.roles) == 1 else budget // 4
        self.steps = 0
        self.cut = False
        """The budget ended, or something could not be judged."""
        self.lacking: list[tuple[int, Region]] = []
        """What lacked room, (role, region), when nothing had given way yet."""
        self._tried: dict[Pattern, _Tried] = {}

    def run(self) -> Answer | None:
        best: Answer | None = None
        # The gang as a whole comes after all patterns that keep anything.
        queue: list[tuple[int, int, Pattern]] = [(0, 0, ())] if self.case.survivors else []
        while queue:
            bound, _, pattern = heapq.heappop(queue)
            if bound > best.moved if best is not None else bound == self.case.pods:
                break
            tried = self._tried.get(pattern)
            if tried is None:
                if self.steps >= self.budget:
                    self.cut = True
                    break
                self.steps += 1
                if best is None and self.steps == _PATIENCE and repair_anew.hopeless(self.case):
                    return None
                tried = self._tried[pattern] = self._try(pattern)
                if not pattern:
                    self.lacking = tried.lacking
                self.cut = self.cut or not tried.known
                if tried.bound > bound:
                    heapq.heappush(queue, (tried.bound, -len(pattern), pattern))
                    continue
            if tried.answer is not None:
                if best is None or worth(tried.answer) < worth(best):
                    best = tried.answer
                continue
            for following in tried.next:
                if following not in self._tried:
                    heapq.heappush(queue, (tried.bound, -len(following), following))
        if best is not None:
            return best
        if self.cut:
            best = self._dive()
        anew = repair_anew.placed(self.case, self.budget)
        return anew if best is None or (anew is not None and worth(anew) < worth(best)) else best

    def _dive(self) -> Answer | None:
        """The first answer when always the pattern that moves least is followed."""
        pattern: Pattern = ()
        while True:
            tried = self._tried.get(pattern) or self._try(pattern)
            if tried.answer is not None or not tried.next:
                return tried.answer
            pattern = min(tried.next, key=lambda p: (self._least(p), p))

    def _least(self, pattern: Pattern) -> int:
        return self.case.pods - sum(int(mine.sum()) for mine in self._marks(pattern))

    # --- One pattern ----------------------------------------------------------------------------------------------

    def _try(self, pattern: Pattern) -> _Tried:
        case, tree = self.case, self.case.tree
        marks = self._marks(pattern)
        bound = case.pods - sum(int(mine.sum()) for mine in marks)
        at = [np.where(mine, here, FREE) for mine, here in zip(marks, case.at, strict=True)]
        if bound == case.pods:
            return _Tried(bound, None, [], [], known=True)
        homes = tree.domain[case.together][np.concatenate([mine[mine != FREE] for mine in at])]
        shared = sorted(set(homes.tolist()))
        if len(shared) > 1:
            return self._torn(pattern, (_WHOLE, 0, 0), shared, bound)
        stays: list[Left] = []
        for index, (parts, mine) in enumerate(zip(case.parts, at, strict=True)):
            stay = left(tree, parts, mine, shared[0])
            if not isinstance(stay, Left):
                level, piece = stay
                lies = mine[parts.ranks(level, piece)]
                domains = sorted(set(tree.domain[parts.depths[level]][lies[lies != FREE]].tolist()))
                return self._torn(pattern, (index, level, piece), domains, bound)
            stays.append(stay)
        answer, lacking, known = filled(case, stays, at)
        if answer is not None:
            return _Tried(bound, answer, [], [], known)
        following, more = self._yielding(pattern, stays, at, lacking)
        return _Tried(bound + more, None, following, lacking, known)

    def _marks(self, pattern: Pattern) -> list[np.ndarray]:
        """Which ranks a pattern lets stay."""
        case, tree = self.case, self.case.tree
        marks = [mine != FREE for mine in case.at]
        for (role, level, piece), domain in pattern:
            if role == _WHOLE:
                for mine, at in zip(marks, case.at, strict=True):
                    mine &= tree.domain[case.together][at] == domain
                continue
            parts = case.parts[role]
            ranks = parts.ranks(level, piece)
            if domain == FREE:
                marks[role][ranks] = False
            else:
                marks[role][ranks] &= tree.domain[parts.depths[level]][case.at[role][ranks]] == domain
        return marks

    def _torn(self, pattern: Pattern, piece: Piece, domains: list[int], bound: int) -> _Tried:
        """Survivors that must share a domain lie in several, by today's labels: one of these is kept at first."""
        return _Tried(bound, None, [_with(pattern, (piece, domain)) for domain in domains], [], known=True)

    def _yielding(
        self, pattern: Pattern, stays: list[Left], at: list[Ints], lacking: list[tuple[int, Region]]
    ) -> tuple[list[Pattern], int]:
        """The patterns in which one more piece gives way in the first domain that lacks room, and how many ranks have
        to, at least, for all of them."""
        following: list[Pattern] = []
        more = 0
        for number, (index, region) in enumerate(lacking):
            pieces = self._pieces(stays[index], at, index, region)
            costs = [int((at[p[0]][self.case.parts[p[0]].ranks(p[1], p[2])] != FREE).sum()) for p in pieces]
            if not pieces:
                return [], more
            if len(self.case.gang.roles) == 1:
                more += min(costs)
            if not number:
                following = [_with(pattern, (piece, FREE)) for piece in self._unlike(pieces, at)]
        return following, more

    def _pieces(self, stay: Left, at: list[Ints], index: int, region: Region) -> list[Piece]:
        """The pieces that keep something in a domain that lacks room for a role, and may help by giving way."""
        case, (level, domain) = self.case, region
        depth = case.parts[index].depths[level - 1] if level else case.together
        out: list[Piece] = []
        for other, (parts, mine) in enumerate(zip(case.parts, at, strict=True)):
            inside = np.flatnonzero((mine != FREE) & (case.tree.domain[depth][mine] == domain))
            if not len(inside):
                continue
            levels = list(range(parts.last + 1))
            if other == index:
                roomy = len(at) > 1 or self._roomy(stay, at, index, region)
                levels = [i for i in levels if i < level or (roomy and i < parts.last and len(parts.pods[i]) > 1)]
            for at_level in levels:
                pieces = np.unique(np.searchsorted(parts.firsts[at_level], inside, "right") - 1)
                out += [(other, at_level, piece) for piece in pieces.tolist()]
        return out

    def _unlike(self, pieces: list[Piece], at: list[Ints]) -> list[Piece]:
        """Of innermost pieces that could change places with all their nodes only the first: of one kind and parent, in
        one domain of the last level, on nodes that are alike and that they do not share."""
        case, tree = self.case, self.case.tree
        if len(at) > 1:
            return pieces
        (parts,), (mine,), (base,) = case.parts, at, case.base
        pods = case.held(at)[0]
        seen: set[object] = set()
        out: list[Piece] = []
        for piece in pieces:
            _, level, number = piece
            spots = mine[parts.ranks(level, number)]
            spots = spots[spots != FREE]
            where, there = np.unique(spots, return_counts=True)
            bottoms = tree.domain[tree.depths - 1][where]
            sign: object = piece
            innermost = level == parts.last - 1
            if innermost and (bottoms == bottoms[0]).all() and (pods[where] == there).all():
                nodes = sorted(zip(there.tolist(), base[where].tolist(), case.busy[where].tolist(), strict=True))
                parent = int(parts.parents[level][number])
                sign = level, int(parts.kinds[level][number]), parent, int(bottoms[0]), tuple(nodes)
            if sign not in seen:
                seen.add(sign)
                out.append(piece)
        return out

    def _roomy(self, stay: Left, at: list[Ints], index: int, region: Region) -> bool:
        """Whether a domain has slots enough for all that it must take, so that shape alone can be what it lacks."""
        case, parts, tree = self.case, self.case.parts[index], self.case.tree
        depth = parts.depths[region[0] - 1] if region[0] else case.together
        start, stop = tree.start[depth][region[1]], tree.start[depth][region[1] + 1]
        wanted = 0
        for (level, domain), pieces in stay.free.items():
            first = tree.start[parts.depths[level - 1] if level else case.together][domain]
            if level >= region[0] and start <= first < stop:
                wanted += sum(parts.pods[level][int(parts.kinds[level][piece])] for piece in pieces)
        return int(case.ground(index, case.held(at)).slots[start:stop].sum()) >= wanted


def _told(case: Case, nodes: tuple[tuple[str, ...], ...], best: Answer, proven: bool) -> Repaired:
    """The answer in names."""
    names = case.tree.names
    found = tuple(tuple([names[at] for at in mine]) for mine in (positions.tolist() for positions in best.positions))
    moved = set(case.lost)
    for role, (before, after) in enumerate(zip(nodes, found, strict=True)):
        moved.update((role, rank) for rank, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
    here = dict(best.domains)
    known = case.placer.least(case.inventory, case.shape)
    least = best.domains if known is None else tuple((name, min(n, here[name])) for name, n in known[0])
    return Repaired(found, tuple(sorted(moved)), best.objective, proven, best.domains, least, best.how)


def _with(pattern: Pattern, choice: Choice) -> Pattern:
    return tuple(sorted((*pattern, choice)))
