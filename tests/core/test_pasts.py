"""What is remembered of nodes: returns, blame, and since when signs were seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import START, job, node, role, topology

from muster.core.inventory import BLAMED, CAUSES, HELD
from muster.core.model import (
    Avoided,
    Blame,
    ClockSet,
    Committed,
    Elapsed,
    Gone,
    HealthAction,
    HealthRule,
    Job,
    Kind,
    Node,
    NodePast,
    Taint,
    Upsert,
)
from muster.core.pasts import BLAME_WINDOW, FIRST_HOLD, FLAP_WINDOW, INCIDENT, LONGEST_HOLD, hold
from muster.core.world import World

HOUR = 3_600_000
A = node("a")


def rebuilt(world: World) -> World:
    """The same from its records."""
    fresh = World.of(world.records())
    assert fresh.pasts.fingerprint() == world.pasts.fingerprint()
    assert [fresh.inventory.cause(n) for n in world.nodes] == [world.inventory.cause(n) for n in world.nodes]
    assert fresh.next_expiry == world.next_expiry
    return fresh


def flap(world: World, at: int, record: Node = A) -> None:
    """The node goes and comes back at this time."""
    world.apply(Upsert(replace(record, unready_since=at - 5_000), at - 5_000))
    world.apply(Upsert(record, at))


def blaming(name: str, at: int, *nodes: str) -> Job:
    return job(name, role(), status=Committed(blamed=tuple(Blame(n, 1, at) for n in nodes)))


def cause(world: World, name: str = "a") -> str:
    rebuilt(world)
    return world.inventory.cause(name)


def test_holds_double_from_the_second_return_on() -> None:
    assert [hold(n) for n in range(5)] == [0, 0, FIRST_HOLD, 2 * FIRST_HOLD, 4 * FIRST_HOLD]
    assert hold(8) == LONGEST_HOLD == hold(10_000)


def test_the_first_return_costs_nothing_and_old_ones_are_forgotten() -> None:
    world = World()
    world.apply(Upsert(A, START))
    for hours in range(1, 10):
        flap(world, START + hours * (FLAP_WINDOW + 1))
        assert cause(world) == ""
    assert world.next_expiry is None


def test_a_hold_ends_by_the_clock_alone() -> None:
    world = World()
    world.apply(Upsert(A, START))
    flap(world, START + 10_000)
    flap(world, START + 30_000)
    until = START + 30_000 + FIRST_HOLD
    assert (cause(world), world.next_expiry) == (CAUSES[HELD], until)
    version = world.inventory.version
    world.apply(Elapsed(until - 1))
    assert (cause(world), world.inventory.version) == (CAUSES[HELD], version)
    world.apply(Elapsed(until))
    assert (cause(world), world.next_expiry) == ("", None)
    assert world.inventory.version > version, "jobs that wait are not looked at again"


def test_a_hold_outlives_the_node_and_a_node_that_was_not_there_has_not_come_back() -> None:
    world = World()
    world.apply(Upsert(A, START))
    flap(world, START + 10_000)
    flap(world, START + 20_000)
    world.apply(Gone(Kind.NODE, A.uid, START + 21_000))
    rebuilt(world)
    world.apply(Upsert(replace(A, uid="again"), START + 22_000))
    assert (cause(world), world.next_expiry) == (CAUSES[HELD], START + 20_000 + FIRST_HOLD)


def test_three_jobs_within_a_day() -> None:
    world = World()
    world.apply(Upsert(A, START))
    world.apply(Upsert(blaming("one", START, "a"), START))
    world.apply(Upsert(replace(blaming("one", START + HOUR, "a"), rv=2), START))  # the same job again
    world.apply(Upsert(blaming("two", START + HOUR + INCIDENT, "a"), START))
    assert (cause(world), world.pasts.avoided()) == ("", ())
    world.apply(Upsert(blaming("three", START + 2 * HOUR, "a"), START))
    assert cause(world) == CAUSES[BLAMED]
    assert world.topology_status().avoided == (Avoided("a", 3, START + 2 * HOUR),)
    assert dict(world.topology_status().excluded) == {CAUSES[BLAMED]: 1}


def test_three_jobs_over_more_than_a_day_are_no_reason() -> None:
    world = World()
    world.apply(Upsert(A, START))
    for name, at in (("one", 0), ("two", HOUR), ("three", BLAME_WINDOW + 1)):
        world.apply(Upsert(blaming(name, START + at, "a"), START))
    assert cause(world) == ""
    world.apply(Upsert(blaming("four", START + BLAME_WINDOW + HOUR, "a"), START))
    assert cause(world) == CAUSES[BLAMED], "two, three and four lie within a day"


def test_one_incident_that_several_jobs_share_counts_once() -> None:
    world = World()
    world.apply(Upsert(A, START))
    for i in range(8):  # eight jobs of one device each
        world.apply(Upsert(blaming(f"small-{i}", START + i * (INCIDENT - 1) // 7, "a"), START))
    world.apply(Upsert(blaming("next", START + HOUR, "a"), START))
    assert cause(world) == ""
    world.apply(Upsert(blaming("last", START + HOUR + INCIDENT, "a"), START))
    assert cause(world) == CAUSES[BLAMED]
    assert world.pasts.avoided() == (Avoided("a", 10, START + HOUR + INCIDENT),)


def test_blame_outlives_the_jobs_and_the_node_object() -> None:
    world = World()
    for name, minute in (("one", 2), ("two", 1), ("three", 0)):
        world.apply(Upsert(A, START))
        blames = blaming(name, START - minute * 60_000, "a")
        world.apply(Upsert(blames, START))
        world.apply(Gone(Kind.JOB, blames.id, START))
        rebuilt(world)
        world.apply(Gone(Kind.NODE, A.uid, START))
    assert rebuilt(world).pasts.avoided() == (Avoided("a", 3, START),)
    world.apply(Upsert(A, START))
    assert cause(world) == CAUSES[BLAMED]


@pytest.mark.parametrize(("cleared", "avoided"), [(START - 1, True), (START, True), (START + 1, False)])
def test_the_annotation_clears_what_was_before_it(cleared: int, avoided: bool) -> None:
    world = World()
    for name, minute in (("one", 2), ("two", 1), ("three", 0)):
        world.apply(Upsert(blaming(name, START - minute * 60_000, "a"), START))
    world.apply(Upsert(replace(A, cleared=cleared), START))
    assert bool(cause(world)) == bool(world.pasts.avoided()) == avoided
    world.apply(Upsert(A, START))
    assert bool(cause(world)) == avoided, "it need not stay"
    if not avoided:
        for name, hours in (("four", 1), ("five", 2)):
            world.apply(Upsert(blaming(name, START + hours * HOUR, "a"), START))
        assert cause(world) == "", "what was cleared does not count again"
        world.apply(Upsert(blaming("six", START + 3 * HOUR, "a"), START))
        assert cause(world) == CAUSES[BLAMED]


def test_what_the_status_of_the_topology_says_is_known_again() -> None:
    world = World()
    world.apply(Upsert(A, START))
    told = topology(avoided=(Avoided("a", 3, START), Avoided("gone", 4, START)))
    world.apply(Upsert(told, START))
    ground = world.inventory.ground
    assert cause(world) == CAUSES[BLAMED]
    assert world.topology_status().avoided == told.avoided
    world.apply(Upsert(replace(told, rv=2, avoided=()), START))
    assert world.inventory.ground is ground, "the status is no reason to begin anew"
    assert cause(world) == CAUSES[BLAMED], "a status that was not written yet clears nothing"
    older = replace(told, rv=3, avoided=(Avoided("a", 3, START - 1), told.avoided[1]))
    world.apply(Upsert(older, START))
    assert world.topology_status().avoided == told.avoided, "what is known is newer than what was read late"
    world.apply(Upsert(replace(A, cleared=START + 1), START))
    world.apply(Upsert(replace(told, rv=4), START))
    assert [one.node for one in world.pasts.avoided()] == ["gone"]


def test_since_when_signs_without_a_time_were_seen() -> None:
    rules = (
        HealthRule("label", "example.com/state", None, HealthAction.DRAIN, 1_000),
        HealthRule("taint", "example.com/doomed", None, HealthAction.DRAIN),
        HealthRule("label", "example.com/other", None, HealthAction.AVOID),
    )
    shown = node("a", labels={"example.com/state": "x", "example.com/other": "x"})
    world = World()
    world.apply(Upsert(shown, START))
    assert list(world.pasts.records()) == [], "no rule asks for it"
    world.apply(Upsert(topology(health_rules=rules), START + 1))
    world.apply(Upsert(replace(shown, labels={**shown.labels, "example.com/state": "y"}), START + 2))
    assert world.pasts.noticed("a", rules[0].cause) == START + 1
    assert list(rebuilt(world).pasts.records()) == [NodePast("a", noticed=((rules[0].cause, START + 1),))]
    world.apply(Upsert(replace(shown, taints=(Taint("example.com/doomed", "", "NoSchedule", 5),)), START + 3))
    assert world.pasts.noticed("a", rules[1].cause) is None, "the taint says itself when it was put on"
    world.apply(Upsert(A, START + 4))
    assert list(world.pasts.records()) == []


# --- Silence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-300_000, 0, 300_000], ids=lambda ahead: f"our clock is {ahead / 1000:.0f} s ahead")
def test_how_long_a_machine_is_silent_is_counted_from_when_that_was_seen(ahead: int) -> None:
    world, seen = World(), START + ahead
    world.apply(Upsert(A, seen - 9))
    assert world.silent_since(A) is None
    gone = replace(A, unready_since=START)
    world.apply(Upsert(gone, seen))
    world.apply(Upsert(replace(gone, cordoned=True), seen + 5_000))
    assert rebuilt(world).silent_since(gone) == world.silent_since(gone) == seen
    world.apply(Upsert(A, seen + 9_000))
    assert (world.silent_since(A), world.pasts.silent_since("a")) == (None, None)


@pytest.mark.parametrize(
    "first", [Gone(Kind.NODE, A.uid, START + 5_000), None], ids=["another node", "another silence"]
)
def test_a_silence_of_which_the_end_went_unseen_is_not_added_to_the_next(first: Gone | None) -> None:
    world = World()
    world.apply(Upsert(replace(A, unready_since=START), START))
    if first is not None:
        world.apply(first)
    later = replace(A, unready_since=START + (0 if first is not None else 8_000))
    world.apply(Upsert(later, START + 9_000))
    assert world.silent_since(later) == START + 9_000


def test_a_clock_that_is_set_neither_lengthens_nor_shortens_what_was_measured() -> None:
    world, gone = World(), replace(node("b"), unready_since=START)
    world.apply(Upsert(A, START))
    world.apply(Upsert(gone, START))
    flap(world, START + 10_000)
    flap(world, START + 30_000)
    world.apply(ClockSet(400_000))
    assert world.silent_since(gone) == START + 400_000
    assert world.next_expiry == START + 430_000 + FIRST_HOLD
    assert rebuilt(world).fingerprint() != World().fingerprint()
    world.apply(ClockSet(-400_000))
    assert (world.silent_since(gone), world.next_expiry) == (START, START + 30_000 + FIRST_HOLD)
