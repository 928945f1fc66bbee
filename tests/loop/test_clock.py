"""The operator's clock, and what the loop does when somebody set the wall clock."""

from __future__ import annotations

import asyncio

import pytest
from tests.support import builders as b
from tests.support.faketransport import now, virtual

from muster.clock import SLIGHT, OurClock
from muster.core.model import Plan, Upsert
from muster.core.world import World
from muster.loop import HEARTBEAT, Loop


class Clocks:
    """Both clocks of a machine."""

    def __init__(self) -> None:
        self.set = 0
        self.passed = 0.0
        self.ours = OurClock(lambda: b.START + self.set + round(self.passed * 1000), lambda: 77.0 + self.passed)


def test_it_goes_on_with_time() -> None:
    clocks = Clocks()
    assert clocks.ours.now() == b.START
    clocks.passed = 12.5
    assert (clocks.ours.now(), clocks.ours.correct()) == (b.START + 12_500, 0)


@pytest.mark.parametrize("by", [400_000, -400_000, SLIGHT, -SLIGHT])
def test_it_jumps_only_when_it_is_corrected(by: int) -> None:
    clocks = Clocks()
    clocks.set, clocks.passed = by, 1.0
    assert clocks.ours.now() == b.START + 1_000
    assert clocks.ours.correct() == by
    assert (clocks.ours.now(), clocks.ours.correct()) == (b.START + 1_000 + by, 0)


def test_what_a_time_server_does_all_the_time_is_let_pass() -> None:
    clocks = Clocks()
    clocks.set = SLIGHT - 1
    assert (clocks.ours.correct(), clocks.ours.now()) == (0, b.START)


class Nobody:
    """Workers who do nothing."""

    def submit(self, transition: object) -> None: ...

    def kick(self, uid: str) -> None: ...


@virtual
async def test_a_machine_is_not_silent_for_longer_because_the_clock_was_set() -> None:
    world, ahead, plans = World(), 0, list[tuple[int, int | None]]()
    ours = OurClock(lambda: b.START + ahead + round(now() * 1000), now)
    gone = b.node("n0", unready_since=b.START)

    def plan(world: World, at: int) -> Plan:
        since = world.silent_since(gone)
        plans.append((at - b.START, None if since is None else at - since))
        return Plan()

    loop = Loop(world, Nobody(), now=ours.now, correct=ours.correct, clock=now, plan=plan)
    task = asyncio.create_task(loop.run())
    loop.put(Upsert(gone, ours.now()))
    await asyncio.sleep(HEARTBEAT / 2)
    ahead = 400_000
    loop.put(Upsert(b.node("n1"), ours.now()))  # by the clock as it was
    await asyncio.sleep(HEARTBEAT * 2)
    silences = [silence for _, silence in plans]
    assert silences[0] == 5
    assert all(silence is not None and silence <= 3 * HEARTBEAT * 1000 for silence in silences)
    assert plans[-1][0] > 400_000, "the clock was set, and a plan made by it, though nothing else came"
    loop.stop()
    await asyncio.wait_for(task, 10)
