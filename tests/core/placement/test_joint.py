"""Several roles on one state: the solver against CP-SAT."""

from __future__ import annotations

import random
from collections import Counter
from unittest import mock

import pytest
from tests.core.placement import joint

from muster.core.model import Found, Verdict
from muster.core.placement import BUDGET, Solver, several
from muster.core.placement.exact import OverBudget

KEPT = Solver()


@pytest.mark.parametrize("block", range(6))
def test_several_roles_are_placed_as_well_as_the_oracle_proves_possible(block: int) -> None:
    for seed in range(block * 6, block * 6 + 6):
        compare(seed, 14 + seed % 3 * 3)


def compare(seed: int, nodes: int, budget: int = 0) -> str:
    """Put a state to both; what came of it. `budget`: steps, so that the search ends early."""
    state = joint.random_state(seed, nodes)
    more = {"budget": budget} if budget else {}
    answer = KEPT.place(state.inventory(), state.shape(), **more)
    want = joint.best(state)
    if isinstance(answer, Found):
        got = joint.check(state, answer.nodes)
        assert want is not None, seed
        assert answer.objective.vector == got, seed
        assert answer.bound is not None
        assert answer.bound <= want <= got, seed
        assert answer.proven == (answer.bound == got), seed
        assert answer.proven or budget, seed
        if answer.proven:
            assert joint.rank_rule(state, answer.nodes) == "", seed
        assert Solver().place(state.inventory(), state.shape(), **more) == answer, seed
        random.Random(seed).shuffle(state.spots)
        assert Solver().place(state.inventory(), state.shape(), **more) == answer, seed
        return "placed" if answer.proven else "placed, not proven"
    assert isinstance(answer, Verdict)
    if answer.reason.value == "SearchLimit":
        assert budget, seed
        return answer.reason.value
    assert want is None, (seed, answer)
    told, name = answer.reason.value, answer.number("role")
    if not budget:
        assert told == joint.kind(state), (seed, answer)
    if told == "InsufficientCapacity":
        free = answer.number("free")
        if name is None:
            assert free == joint.most(state), (seed, answer)
        else:
            (role,) = (role for role in state.roles if role.name == name)
            slots = [joint.room_for(role, joint.free(s)) for s in state.spots if joint.eligible(state, role, s)]
            assert free == sum(slots) < role.count, (seed, answer)
    return told


def compare_beside(seed: int, nodes: int) -> str:
    """The same with relaxations and role after role alone, as if the exact search had ended without anything."""
    with mock.patch.object(several, "optimum", side_effect=OverBudget):
        return compare(seed, nodes, BUDGET)


@pytest.mark.parametrize("block", range(2))
def test_what_stands_in_for_the_exact_search_never_claims_too_much(block: int) -> None:
    came = Counter(compare_beside(seed, 16) for seed in range(300 + block * 12, 312 + block * 12))
    assert came["placed"]
    assert came["placed, not proven"]


@pytest.mark.parametrize("budget", [1, 4, 16])
def test_a_search_that_ends_early_never_claims_too_much(budget: int) -> None:
    for seed in range(200, 208):
        compare(seed, 16, budget)
