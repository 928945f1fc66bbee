"""Pods that vanished on silent machines: what is remembered, and what a new leader infers from the status alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import START, changes, committed, gang, job, node, pod, role, topology

from muster.core.ghosts import ENDS_STRAYS, LATELY, Ghosts, unseen
from muster.core.model import FINISHED, Ghost, Gone, Job, Kind, Leading, Phase, Stage, Upsert
from muster.core.stopped import ghost_until
from muster.core.world import World

LLM = job("llm", role(count=2))
ON = [("a", "b")]
DEAD = node("a", unready_since=START - 99_000)
BOTH = [("worker", 0, "a"), ("worker", 1, "b")]


def of(phase: Phase, **fields: object) -> Job:
    return committed(LLM, phase, ON, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING, Phase.STOPPING, *sorted(FINISHED, key=str)])
def test_a_gang_that_was_let_start_ran_on_its_nodes(phase: Phase) -> None:
    mine = of(phase)
    assert list(unseen(mine.status, [])) == BOTH
    assert list(unseen(mine.status, [pod(mine, 0, Stage.RUNNING, "a")])) == BOTH[1:]
    assert list(unseen(mine.status, [pod(mine, 0, Stage.FAILED, "a")])) == BOTH[1:]


@pytest.mark.parametrize("phase", [Phase.PLACED, Phase.STOPPING, Phase.FAILED])
def test_one_that_was_not_did_not(phase: Phase) -> None:
    assert list(unseen(of(phase, opened=0).status, [])) == []


def test_of_a_repair_the_nodes_count_that_ranks_leave_and_not_those_they_go_to() -> None:
    left = ("worker", 1, "c")
    mine = of(Phase.REPAIRING, attempt=2, leaving=(left,))
    new = pod(mine, 1, Stage.GATED, "b", born=2)
    for pods in ([], [new]):
        assert list(unseen(mine.status, pods)) == [BOTH[0], left]
    old = pod(mine, 1, Stage.RUNNING, "c", born=1)
    assert list(unseen(mine.status, [old, new])) == BOTH[:1]


def lead(mine: Job, *records: object) -> World:
    """A process that is started, and leads."""
    return World.of(changes(topology(), node("b"), mine, *records))  # type: ignore[arg-type]


def test_a_new_leader_infers_them_from_when_it_saw_the_silence() -> None:
    mine = of(Phase.RUNNING)
    world = lead(mine, DEAD, gang(mine)[1])
    assert list(world.ghosts_of(mine.id)) == [Ghost(mine.id, "worker", 0, "a", START)]
    assert World.of(world.records()).fingerprint() == world.fingerprint()


@pytest.mark.parametrize(
    "machine", [node("a"), replace(DEAD, out_of_service=True), None], ids=["well", "out of service", "deleted"]
)
def test_nobody_haunts_a_machine_that_answers_or_is_off(machine: object) -> None:
    mine = of(Phase.RUNNING)
    world = lead(mine, gang(mine)[1], *([machine] if machine is not None else []))
    assert list(world.ghosts_of(mine.id)) == []


def test_what_is_known_is_not_inferred_anew() -> None:
    mine = of(Phase.RUNNING)
    world = lead(mine, DEAD, *gang(mine))
    world.apply(Gone(Kind.POD, gang(mine)[0].id, START + 20_000))
    found = [Ghost(mine.id, "worker", 0, "a", START + 20_000)]
    assert list(world.ghosts_of(mine.id)) == found
    world.apply(Leading("2"))
    assert list(world.ghosts_of(mine.id)) == found


@pytest.mark.parametrize(("lasts", "kept"), [(ENDS_STRAYS - 1, True), (ENDS_STRAYS, False)])
def test_a_machine_that_answers_again_needs_a_while_to_end_strays(lasts: int, kept: bool) -> None:
    mine = of(Phase.RUNNING)
    world = lead(mine, DEAD, *gang(mine))
    world.apply(Gone(Kind.POD, gang(mine)[0].id, START + 20_000))
    heard = START + 30_000
    world.apply(Upsert(node("a"), heard))
    [ghost] = world.ghosts_of(mine.id)
    assert ghost == Ghost(mine.id, "worker", 0, "a", START + 20_000, heard=heard)
    assert ghost_until(world, mine, ghost) == heard + ENDS_STRAYS
    world.apply(Upsert(DEAD, heard + lasts))
    found = [Ghost(mine.id, "worker", 0, "a", heard + lasts)] if kept else []
    assert list(world.ghosts_of(mine.id)) == found, "silent again: it counts anew"
    assert World.of(world.records()).fingerprint() == world.fingerprint()


@pytest.mark.parametrize(("later", "kept"), [(LATELY, True), (LATELY + 1, False)])
def test_a_machine_may_have_been_silent_before_that_was_seen(later: int, kept: bool) -> None:
    mine = of(Phase.RUNNING)
    world = lead(mine, node("a"), *gang(mine))
    world.apply(Gone(Kind.POD, gang(mine)[0].id, START + 1_000))
    assert list(world.ghosts_of(mine.id)) == []
    world.apply(Upsert(DEAD, START + 1_000 + later))
    found = [Ghost(mine.id, "worker", 0, "a", START + 1_000 + later)] if kept else []
    assert list(world.ghosts_of(mine.id)) == found
    assert World.of(world.records()).fingerprint() == world.fingerprint()


def test_a_clock_that_is_set_moves_them() -> None:
    ghosts = Ghosts()
    ghosts.put(Ghost("j", "worker", 0, "a", START))
    assert list(ghosts.answers("a", START + 5)) == ["j"]
    ghosts.shift(400)
    assert [(ghost.since, ghost.heard) for ghost in ghosts.of("j")] == [(START + 400, START + 405)]
    assert ghosts.drop_node("b") == []
    assert ghosts.drop_node("a") == ["j"]
    assert list(ghosts) == []
