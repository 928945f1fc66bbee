"""The laws of the core: what it keeps never changes what it decides, and its invariants hold in any order of events."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.laws.storm import Storm, unfinished
from tests.support.checker import Checker
from tests.support.corecluster import Operator

from muster.core.duties import duties, orphans
from muster.core.model import Plan, Transition
from muster.core.plan import plan
from muster.core.world import World

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
# What a change must pass does not hang on luck; by hand each run looks elsewhere.
IN_CI = bool(os.environ.get("CI"))
settings.register_profile("default", max_examples=25, deadline=None, derandomize=IN_CI, suppress_health_check=SLOW)
settings.register_profile("thorough", max_examples=3000, deadline=None, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

EVENTS = st.lists(st.integers(0, 1 << 20), min_size=40, max_size=160)
LONG = 3_000_000
"""Every job of a storm, one after the other, with the longest back-off between (ms)."""


def decided(made: Plan) -> dict[str, Transition]:
    assert not made.errors, made.errors
    return {transition.job: transition for transition in made.transitions}


@given(EVENTS)
def test_what_is_kept_decides_as_what_is_built_afresh(events: Sequence[int]) -> None:
    def compare(operator: Operator) -> None:
        world, now = operator.world, operator.api.now
        fresh = World.of(world.records(), world.assumptions())
        assert decided(plan(world, now)) == decided(plan(fresh, now, everything=True))

    Storm(compare).play(events)


@given(EVENTS)
def test_what_was_touched_decides_as_everything(events: Sequence[int]) -> None:
    def compare(operator: Operator) -> None:
        world, now = operator.world, operator.api.now
        some, every = plan(world, now), plan(world, now, everything=True)
        assert decided(some) == decided(every)
        assert every.wake_at is None or (some.wake_at is not None and some.wake_at <= every.wake_at), "sleeps too long"

    Storm(compare).play(events)


@given(EVENTS)
def test_reading_changes_nothing(events: Sequence[int]) -> None:
    def compare(operator: Operator) -> None:
        world, now = operator.world, operator.api.now
        before = world.fingerprint()
        plan(world, now)
        plan(world, now, everything=True)
        for job in list(world.jobs()):
            duties(world, job.id, now)
        orphans(world, now)
        world.topology_status()
        assert world.fingerprint() == before

    Storm(compare).play(events)


@given(EVENTS)
def test_the_invariants_hold_in_any_order_of_events(events: Sequence[int]) -> None:
    storm = Storm().play(events)
    assert Checker().feed(storm.api.history).violations == []


@given(EVENTS)
@example([0] * 34 + [1389, 0, 0, 109, 14, 478])  # a job being deleted whose pods are gone, and another on its nodes
def test_when_the_faults_stop_every_job_comes_to_its_end_and_all_is_quiet(events: Sequence[int]) -> None:
    storm = Storm().play(events)
    cluster = storm.calm()
    assert cluster.run(until=lambda: not unfinished(cluster.api), within=LONG), unfinished(cluster.api)
    cluster.run(within=60_000)
    assert Checker().feed(cluster.api.history).at_rest().violations == []
    written = cluster.api.rv
    cluster.run(within=600_000)
    assert cluster.api.rv == written
