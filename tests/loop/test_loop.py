"""When the loop plans, and that nothing stops it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.support import builders as b
from tests.support.faketransport import now, virtual

from muster.core.inventory import CAUSES, HELD
from muster.core.model import Change, Leading, Phase, Plan, Transition, Upsert
from muster.core.world import World
from muster.loop import HEARTBEAT, Loop


class Seen:
    """Workers and Watcher in one; plans as scripted."""

    def __init__(self, plan: Callable[[World, int], Plan] | None = None) -> None:
        self.world = World()
        self.submitted: list[Transition] = []
        self.kicked: list[str] = []
        self.plans: list[float] = []
        self.defects: list[str] = []
        self.lags: list[tuple[int, float]] = []
        self._plan = plan or (lambda _world, _now: Plan())
        self.loop = Loop(self.world, self, now=self.now, clock=now, watcher=self, plan=self._planned)
        self.task = asyncio.create_task(self.loop.run())

    def now(self) -> int:
        return b.START + round(now() * 1000)

    def _planned(self, world: World, at: int) -> Plan:
        self.plans.append(round(now(), 4))
        return self._plan(world, at)

    def submit(self, transition: Transition) -> None:
        assert self.world.assumed(transition.job) == transition, "assumed before it is handed over"
        self.submitted.append(transition)

    def kick(self, uid: str) -> None:
        self.kicked.append(uid)

    def applied(self, changes: int, lag: float) -> None:
        self.lags.append((changes, lag))

    def planned(self, seconds: float, plan: Plan) -> None: ...

    def defect(self, where: str) -> None:
        self.defects.append(where)

    def start(self, *records: Any) -> None:
        for change in b.changes(*records):
            self.loop.put(change)

    async def end(self) -> None:
        self.loop.stop()
        await asyncio.wait_for(self.task, 1)


CHANGE: Change = Upsert(b.node("n0"), 0)


@virtual
async def test_plans_when_it_has_been_quiet_for_a_moment() -> None:
    t = Seen()
    t.loop.put(CHANGE)
    await asyncio.sleep(0.003)
    t.loop.put(CHANGE)
    await asyncio.sleep(1)
    assert t.plans == [0.008]
    await t.end()


@virtual
async def test_plans_at_the_latest_after_a_while() -> None:
    t = Seen()
    for _ in range(100):
        t.loop.put(CHANGE)
        await asyncio.sleep(0.001)
    assert t.plans[0] == 0.05
    assert len(t.plans) == 2 or t.plans[1] - t.plans[0] >= 0.05
    await t.end()


@virtual
async def test_wakes_when_the_plan_asked_for_it() -> None:
    t = Seen(lambda _w, at: Plan(wake_at=b.START + 10_000 if at < b.START + 10_000 else None))
    t.loop.put(CHANGE)
    await asyncio.sleep(100)
    assert t.plans == [0.005, 10.0]
    await t.end()


@virtual
async def test_what_ends_by_time_ends_before_the_plan_that_it_is_for() -> None:
    held: list[str] = []

    def plan(world: World, _at: int) -> Plan:
        held.append(world.inventory.cause("n0"))
        return Plan(wake_at=world.next_expiry)

    t = Seen(plan)
    for _ in range(2):
        t.loop.put(Upsert(b.node("n0", unready_since=b.START - 9), b.START - 9))
        t.loop.put(Upsert(b.node("n0"), b.START))
    await asyncio.sleep(100)
    assert (t.plans, held) == ([0.005, 60.0], [CAUSES[HELD], ""])
    await t.end()


@virtual
async def test_a_wake_that_stays_in_the_past_is_no_hot_loop() -> None:
    t = Seen(lambda _w, _at: Plan(wake_at=b.START - 1))
    t.loop.put(CHANGE)
    await asyncio.sleep(60)
    assert len(t.plans) < 100
    await t.end()


@virtual
async def test_decisions_are_assumed_handed_over_and_duties_asked_for() -> None:
    job, other = b.job("llm"), b.job("other")
    status = b.committed(job, Phase.PLACED, [["n0", "n1"]]).status
    move = Transition(job.id, job.rv, "Placed", status)
    plans = [Plan(transitions=(move,), wakes=(("uid-z", None),))]
    t = Seen(lambda _w, _at: plans.pop() if plans else Plan())
    t.start(job, other)
    await asyncio.sleep(1)
    assert t.submitted == [move]
    assert t.kicked == ["uid-llm", "uid-other", "uid-z"], "touched, and those whose time had come; in a fixed order"
    await t.end()


@virtual
async def test_a_follower_kicks_nobody() -> None:
    t = Seen()
    for change in b.changes(b.job("llm"), term=None):
        t.loop.put(change)
    await asyncio.sleep(1)
    assert not t.kicked
    t.loop.put(Leading("7"))
    await asyncio.sleep(1)
    assert t.kicked == ["uid-llm"]
    await t.end()


@virtual
async def test_a_defect_in_planning_is_backed_off_and_survived() -> None:
    left = [KeyError("defect")] * 4

    def plan(_world: World, _now: int) -> Plan:
        if left:
            raise left.pop()
        return Plan()

    t = Seen(plan)
    t.start(b.job("llm"))
    await asyncio.sleep(60)
    assert t.defects == ["plan"] * 4
    gaps = [late - early for early, late in zip(t.plans, t.plans[1:], strict=False)]
    assert len(gaps) == 4
    assert gaps == sorted(gaps)
    assert gaps[0] > 0.1
    assert t.kicked, "duties go on"
    await t.end()


@virtual
async def test_a_change_that_cannot_be_applied_does_not_stop_the_others() -> None:
    t = Seen()
    t.loop.put("nonsense")  # type: ignore[arg-type]
    t.loop.put(Upsert(object(), 0))  # type: ignore[arg-type]
    t.loop.put(Upsert(b.job("llm"), "when"))  # type: ignore[arg-type]
    t.start(b.job("other"))
    await asyncio.sleep(1)
    assert t.world.job("uid-other") is not None
    await t.end()


@virtual
async def test_a_decision_that_cannot_be_handed_over_is_not_left_standing() -> None:
    job = b.job("llm")
    move = Transition(job.id, job.rv, "Placed", job.status)
    plans = [Plan(transitions=(move,))]
    t = Seen(lambda _w, _at: plans.pop() if plans else Plan())

    def broken(_transition: Transition) -> None:
        raise KeyError("defect")

    t.submit = broken  # type: ignore[method-assign]
    t.start(job)
    await asyncio.sleep(1)
    assert t.defects == ["submit"]
    assert t.world.assumed(job.id) is None
    await t.end()


@virtual
async def test_the_heart_beats_when_nothing_happens() -> None:
    t = Seen()
    await asyncio.sleep(100)
    assert now() - t.loop.heartbeat <= HEARTBEAT
    assert not t.plans
    await t.end()


@virtual
async def test_many_changes_leave_room_for_others() -> None:
    t = Seen()
    for _ in range(5000):
        t.loop.put(CHANGE)
    assert t.loop.waiting == 5000
    await asyncio.sleep(1)
    assert [n for n, _ in t.lags] == [1000] * 5
    assert len(t.plans) == 1
    await t.end()
