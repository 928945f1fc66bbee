"""A pod or Service that names a job of another namespace as its owner is a stranger's: uids are no secrets."""

from __future__ import annotations

from itertools import permutations

import pytest
from tests.support.builders import GPU, START, committed, job, node, pod, role

from muster.core.duties import duties, orphans
from muster.core.model import Child, EnsureChild, Failure, Kind, Leading, Phase, Record, Stage, Synced, Upsert
from muster.core.plan import plan
from muster.core.world import World

VICTIM = committed(job("llm", role(count=1, gpus=4), namespace="victims"), Phase.RUNNING, [("a",)])
OWN = pod(VICTIM, 0, Stage.RUNNING, "a")
FAILED = Failure(exit_code=1, reason="Error")


def world_of(*records: Record) -> World:
    world = World()
    for record in (node("a", gpus=8), node("b"), *records):
        world.apply(Upsert(record, START))
    for kind in Kind:
        world.apply(Synced(kind))
    world.apply(Leading("1"))
    return world


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_pod_from_elsewhere_is_no_rank(order: tuple[int, ...]) -> None:
    """Whatever is seen first."""
    forged = pod(VICTIM, 0, Stage.FAILED, "b", namespace="elsewhere", id="forged", failure=FAILED)
    records = (VICTIM, OWN, forged)
    world = world_of(*(records[i] for i in order))
    assert [p.id for p in world.pods_of(VICTIM.id)] == [OWN.id]
    assert not orphans(world, START), "nor is it ours to delete: the garbage collector does"


def test_its_good_end_is_not_the_jobs() -> None:
    """It came last, so of two pods of one rank it would be the one that counts."""
    forged = pod(VICTIM, 0, Stage.SUCCEEDED, "b", namespace="elsewhere", id="forged")
    assert not plan(world_of(VICTIM, OWN, forged), START).transitions


def test_it_holds_what_it_holds_beside_the_claim() -> None:
    forged = pod(VICTIM, 0, Stage.RUNNING, "a", namespace="elsewhere", id="forged")
    without, with_ = world_of(VICTIM, OWN), world_of(VICTIM, OWN, forged)
    assert [dict(w.inventory.free_on("a")).get(GPU, 0) for w in (without, with_)] == [4, 0]


def test_a_service_from_elsewhere_is_not_the_jobs() -> None:
    forged = Child("forged", "elsewhere", "llm", 1, VICTIM.id)
    assert EnsureChild() in duties(world_of(VICTIM, OWN, forged), VICTIM.id, START)
    own = Child("own", "victims", "llm", 1, VICTIM.id)
    assert EnsureChild() not in duties(world_of(VICTIM, OWN, own), VICTIM.id, START)
