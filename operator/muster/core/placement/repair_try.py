"""One way to mend a gang, tried: what is free of each role is put back around what stays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, permutations

from muster.core.model import Objective
from muster.core.placement.repair_case import Case
from muster.core.placement.repair_parts import FREE, Left, Region
from muster.core.placement.repair_place import Lacking, put
from muster.core.placement.tree import Ints

_ORDERS = 6


@dataclass(slots=True)
class Answer:
    """A whole placement by position. `how` as in `Repaired`; `exact`: the best vector around what stays."""

    moved: int
    objective: Objective
    positions: list[Ints]
    domains: tuple[tuple[str, int], ...]
    how: str
    exact: bool


def worth(answer: Answer) -> tuple[int, ...]:
    """What answers are compared by; smaller is better."""
    return answer.moved, *answer.objective.vector


def answered(case: Case, positions: list[Ints], how: str, exact: bool) -> Answer:
    """A placement with what it costs."""
    stayed = sum(int(((a == b) & (b != FREE)).sum()) for a, b in zip(positions, case.at, strict=True))
    vector, domains = case.objective(positions)
    return Answer(case.pods - stayed, vector, positions, domains, how, exact)


def filled(case: Case, stays: list[Left], at: list[Ints]) -> tuple[Answer | None, list[tuple[int, Region]], bool]:
    """The best answer over several orders of the roles. If none finds room for all: what lacked room, (role, region),
    and whether that is certain."""
    wanting = [index for index, stay in enumerate(stays) if stay.free]
    segment = any(region[0] < case.parts[i].last for i, stay in enumerate(stays) for region in stay.free)
    best: Answer | None = None
    bad: list[tuple[int, Region]] = []
    known = True
    for order in islice(permutations(wanting), _ORDERS):
        positions, exact = [mine.copy() for mine in at], True
        for index in order:
            ground = case.ground(index, case.held(positions))
            role, parts = case.gang.roles[index], case.parts[index]
            found = put(case.placer, ground, role, parts, stays[index], case.together)
            if isinstance(found, Lacking):
                bad = bad or [(index, region) for region in found.regions]
                known = known and found.known
                break
            exact = exact and found.exact
            for rank, position in found.ranks.items():
                positions[index][rank] = position
        else:
            answer = answered(case, positions, "segment" if segment else "domain", exact)
            if best is None or worth(answer) < worth(best):
                best = answer
    return best, bad, known
