"""Jobs of namespaces that are not served: never decided about, never written to; what they hold counts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.support.builders import START, admissions, changes, committed, job, node, pod, role

from muster.core.duties import duties, orphans
from muster.core.model import Child, Committed, Job, Phase, Readmit, Record, Rejected, Stage
from muster.core.plan import plan
from muster.core.world import World

NODES = [node("a"), node("b")]


def gang(name: str, namespace: str, **fields: object) -> Job:
    return job(name, role(count=1, gpus=4), namespace=namespace, **fields)


def world_of(*records: Record, served: Iterable[str] = ("ours",)) -> World:
    world = World(served=frozenset(served))
    asked = [a for of in records if isinstance(of, Job) and of.namespace == "ours" for a in admissions(of)]
    for change in changes(*NODES, *records, *asked):
        world.apply(change)
    return world


@pytest.mark.parametrize("phase", list(Phase))
def test_nothing_is_decided_and_nothing_is_due(phase: Phase) -> None:
    theirs = committed(gang("theirs", "other", deleting=phase is Phase.RUNNING), phase, [("a",)])
    world = world_of(theirs, pod(theirs, 0, Stage.RUNNING, "a"))
    for everything in (False, True):
        made = plan(world, START, everything=everything)
        assert made.transitions == ()
        assert made.errors == ()
    assert duties(world, theirs.id, START) == ()
    world.settle(plan(world, START))
    assert not world.due(START), "it is not looked at again and again"


def test_one_that_is_not_understood_is_not_told() -> None:
    bad = Rejected("uid-bad", "other", "bad", 1, 1, "spec.roles[0].replicas", "must be positive", Committed())
    assert plan(world_of(bad), START).transitions == ()


def test_what_it_holds_is_room_that_others_lack() -> None:
    theirs = committed(gang("theirs", "other"), Phase.PLACED, [("a",)])
    ours = [gang("first", "ours"), gang("second", "ours", created=START + 1)]
    made = plan(world_of(theirs, *ours), START)
    assert {t.job: t.cause for t in made.transitions} == {"uid-first": "Placed", "uid-second": "Waiting"}
    (placed,) = [t.status.placement for t in made.transitions if t.cause == "Placed"]
    assert placed is not None
    assert placed.nodes == (("b",),)


def test_its_pods_and_services_are_not_swept() -> None:
    gone = {name: gang(f"gone-{name}", name) for name in ("ours", "other")}
    pods = [pod(of, 0, Stage.RUNNING, "a", id=f"pod-{name}") for name, of in gone.items()]
    services = [Child(f"service-{name}", name, "s", 1, of.id) for name, of in gone.items()]
    world = world_of(*pods, *services)
    assert {orphan.id for orphan in orphans(world, START)} == {"pod-ours", "service-ours"}


def test_what_its_dry_run_would_say_is_not_waited_for() -> None:
    """It is never asked there, so it cannot hold up those who wait."""
    theirs = committed(gang("theirs", "other"), Phase.PLACED, [("a",)])
    world = world_of(theirs, gang("ours", "ours"))
    world.apply(Readmit("other"))
    assert {t.cause for t in plan(world, START).transitions} == {"Placed"}


def test_none_named_is_all() -> None:
    world = world_of(gang("theirs", "other"), served=())
    assert world.serves("any")
    assert duties(world, "uid-theirs", START), "its dry run is due"


def test_one_that_waits_keeps_no_room() -> None:
    theirs = [gang(f"theirs-{i}", "other", created=START - 1) for i in range(2)]
    ours = [gang("first", "ours"), gang("second", "ours")]
    made = plan(world_of(*theirs, *ours), START)
    assert {t.job: t.cause for t in made.transitions} == {"uid-first": "Placed", "uid-second": "Placed"}
