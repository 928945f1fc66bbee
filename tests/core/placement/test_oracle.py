"""The solver against CP-SAT on random small states."""

from __future__ import annotations

import random

import pytest
from tests.core.placement import oracle

from muster.core.inventory import Inventory
from muster.core.model import Found, Verdict
from muster.core.placement import Solver, packing

KEPT = Solver()


@pytest.mark.parametrize("block", range(15))
def test_the_solver_finds_what_the_oracle_proves_to_be_best(block: int) -> None:
    for seed in range(block * 10, block * 10 + 10):
        compare(seed)


def compare(seed: int, nodes: int = 0) -> None:
    state = oracle.random_state(seed, nodes)
    answer = KEPT.place(state.inventory(), state.shape())
    want = oracle.best(state)
    if isinstance(answer, Found):
        got = oracle.check(state, answer.nodes[0])
        assert answer.objective.vector == got, seed
        assert got == want, seed
        assert answer.proven
        assert oracle.rank_rule(state, answer.nodes[0]) == "", seed
        assert Solver().place(state.inventory(), state.shape()) == answer, seed
        random.Random(seed).shuffle(state.spots)
        assert Solver().place(state.inventory(), state.shape()) == answer, seed
        return
    assert isinstance(answer, Verdict)
    assert want is None, (seed, answer)
    assert answer.reason.value == oracle.kind(state), (seed, answer)
    if answer.reason.value == "Unsatisfiable":
        assert answer.number("largest") == oracle.largest(state.emptied()), seed
    elif answer.reason.value == "Fragmented":
        assert answer.number("largest") == oracle.largest(state), seed
    else:
        assert answer.number("free") == sum(oracle.slots(state)), seed


def test_the_least_that_the_empty_cluster_needs_is_exact() -> None:
    for seed in range(300, 330):
        state = oracle.random_state(seed)
        answer = KEPT.place(state.inventory(), state.shape())
        if isinstance(answer, Found):
            for level, least in answer.least:
                assert least == oracle.fewest(state.emptied(), level), (seed, level)
            if state.preferred is not None and state.job_preferred is None:
                assert answer.preferred_least == oracle.fewest(state.emptied(), state.preferred), seed


def test_a_vector_that_takes_several_words_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [oracle.random_state(seed) for seed in range(100)]
    want = [KEPT.place(state.inventory(), state.shape()) for state in states]
    monkeypatch.setattr(packing, "INFINITE", 1 << 9)
    for state, one_word in zip(states, want, strict=True):
        assert Solver().place(state.inventory(), state.shape()) == one_word


def test_freeing_a_node_never_takes_a_placement_away() -> None:
    for seed in range(200, 260):
        state = oracle.random_state(seed)
        before = KEPT.place(state.inventory(), state.shape())
        used = [s for s in state.spots if s.used]
        if isinstance(before, Found) and used:
            random.Random(seed).choice(used).used = 0
            assert isinstance(KEPT.place(state.inventory(), state.shape()), Found), seed


def test_a_kept_solver_answers_as_a_fresh_one_through_many_events() -> None:
    rng = random.Random(7)
    state = oracle.random_state(11)
    inventory: Inventory = state.inventory()
    kept = Solver()
    for step in range(60):
        spot = rng.choice(state.spots)
        inventory.free(f"p-{spot.name}")
        spot.used = rng.randint(0, spot.total - spot.daemon)
        if spot.used:
            inventory.use(oracle.cluster.pod(f"p-{spot.name}", spot.name, spot.used))
        assert kept.place(inventory, state.shape()) == Solver().place(state.inventory(), state.shape()), step
