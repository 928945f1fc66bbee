"""Workers: order, waiting for others, going on after a commit, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.support import builders as b
from tests.support.faketransport import now, virtual
from tests.worker import fake

from muster.core.model import Change, CreatePod, Duty, Gone, Job, Kind, Lost, Phase, Stage, Transition, Upsert
from muster.core.world import World
from muster.kube.errors import Answer
from muster.worker.carry import Carrier
from muster.worker.commit import Committer, Outcome
from muster.worker.pool import Workers
from muster.worker.steps import Steps
from muster.worker.views import Views


class Pool:
    """Workers on a real world; what they tell it is applied at once, and they are kicked as the loop would."""

    def __init__(self, *jobs: Job, derive: Any = None) -> None:
        self.bench = fake.Bench(jobs={j.name: j for j in jobs})
        self.api = self.bench.api
        self.world = World()
        for change in b.changes(b.node("n0"), b.node("n1"), b.topology(), *jobs):
            self.world.apply(change)
        self.outcomes: list[tuple[str, Outcome]] = []
        self.defects: list[str] = []
        self.kept: list[str] = []
        tools = self.bench.tools
        steps = Steps(self.api, Views(self.api, tools), tools)
        more = {"derive": derive} if derive is not None else {}
        self.workers = Workers(self.world, Committer(self.api, tools), Carrier(steps, tools), tools, self, **more)
        self.bench.sink = self.take
        self.live = True

    def take(self, change: Change) -> None:
        self.bench.told.append(change)
        if self.live:
            self.world.apply(change)
            for uid in sorted(self.world.take_touched()):
                self.workers.kick(uid)

    def settled(self, job: Any, transition: Transition, outcome: Outcome, seconds: float) -> None:
        self.outcomes.append((job.name, outcome))

    def outlives(self, job: Job) -> None:
        self.kept.append(job.name)

    def defect(self, where: str) -> None:
        self.defects.append(where)

    def move(self, job: Job, phase: Phase, *after: Job) -> None:
        """Decide, as the loop does."""
        held = self.world.acknowledged(job.id)
        assert isinstance(held, Job)
        status = b.committed(held, phase, [["n0", "n1"]]).status
        transition = Transition(job.id, held.rv, phase.value, status, tuple(j.id for j in after))
        self.world.assume(transition)
        self.workers.submit(transition)


A, B = b.job("a"), b.job("b")


@virtual
async def test_commits_then_carries_out() -> None:
    t = Pool(A)
    t.move(A, Phase.PLACED)
    await asyncio.sleep(30)
    assert t.api.calls[0] == ("write_status", "a")
    assert t.outcomes == [("a", Outcome.COMMITTED)]
    assert {p.pinned for p in t.api.pods.values()} == {"n0", "n1"}
    assert t.world.viewed(A.id, 1)
    assert not t.defects
    calls = len(t.api.calls)
    await asyncio.sleep(3600)
    assert len(t.api.calls) == calls, "when nothing changes nothing is written"
    assert t.workers.counts.busy == 0


@pytest.mark.parametrize(("gitops", "wait", "told"), [(True, 61, ["a"]), (True, 50, []), (False, 61, [])])
def test_that_a_job_outlives_its_ttl_for_gitops_is_told(gitops: bool, wait: float, told: list[str]) -> None:
    ended = b.committed(b.job("a", ttl=60_000), Phase.SUCCEEDED, [["n0", "n1"]], live=False)
    job = replace(ended, gitops=gitops)

    @virtual
    async def scene() -> None:
        t = Pool(job)
        t.world.apply(Upsert(b.pod(job, 0, Stage.SUCCEEDED, "n0"), b.START))
        await asyncio.sleep(wait)
        t.workers.kick(job.id)
        await asyncio.sleep(1)
        t.workers.kick(job.id)
        await asyncio.sleep(1)
        assert t.kept == told

    scene()


@virtual
async def test_nothing_is_made_before_the_commit_is_known() -> None:
    t = Pool(A)
    t.api.script("write_status", *[fake.error(Answer.UNKNOWN)] * 4)
    t.move(A, Phase.PLACED)
    while t.api.count("write_status") < 5:
        assert not t.api.count("create_pod")
        await asyncio.sleep(0.01)
    await asyncio.sleep(10)
    assert t.api.pods


@virtual
async def test_one_that_comes_after_another_waits_for_it() -> None:
    t = Pool(A, B)
    t.api.script("write_status", fake.error(Answer.THROTTLED, retry_after=5.0))
    t.move(A, Phase.STOPPING)
    t.move(B, Phase.PLACED, A)
    await asyncio.sleep(4)
    assert t.api.count("write_status") == 1
    await asyncio.sleep(10)
    assert t.outcomes == [("a", Outcome.COMMITTED), ("b", Outcome.COMMITTED)]


@virtual
async def test_one_that_comes_after_a_lost_one_is_lost() -> None:
    t = Pool(A, B)
    t.api.edit("a", generation=2)
    t.move(A, Phase.STOPPING)
    t.move(B, Phase.PLACED, A)
    await asyncio.sleep(10)
    assert t.bench.of(Lost) == [Lost(A.id, A.rv), Lost(B.id, B.rv)]
    assert t.api.jobs["b"] == B, "never written"
    assert t.world.assumed(B.id) is None


@virtual
async def test_a_decision_about_an_older_record_is_not_even_sent() -> None:
    t = Pool(A)
    t.world.apply(Upsert(replace(A, rv=7), 0))
    t.workers.submit(Transition(A.id, A.rv, "Placed", A.status))
    await asyncio.sleep(1)
    assert not t.api.count("write_status")
    assert t.bench.of(Lost)


@virtual
async def test_a_new_transition_ends_a_batch_but_not_what_is_in_flight() -> None:
    job = b.committed(b.job("a", b.role(count=64)), Phase.PLACED, [[f"n{i}" for i in range(64)]])
    t = Pool(job)
    t.api.hold = asyncio.Event()
    t.workers.kick(job.id)
    await asyncio.sleep(1)
    assert t.api.busy == 32
    t.move(job, Phase.STOPPING)
    await asyncio.sleep(1)
    assert not t.api.count("write_status")
    t.api.hold.set()
    await asyncio.sleep(0.1)
    creates_and_service = [m for m, _ in t.api.calls[: t.api.calls.index(("write_status", "a"))]]
    assert len(creates_and_service) == 32
    await asyncio.sleep(60)
    assert not t.api.pods, "Stopping deletes them"


@virtual
async def test_a_duty_that_stays_due_is_never_a_hot_loop() -> None:
    placed = b.committed(A, Phase.PLACED, [["n0", "n1"]])
    duty = CreatePod(0, 0, "n0", 1)

    def derive(*_: Any) -> Sequence[Duty]:
        return (duty,)

    t = Pool(placed, derive=derive)
    t.workers.kick(A.id)
    for _ in range(1000):
        t.workers.kick(A.id)
        await asyncio.sleep(0.1)
    assert t.api.count("create_pod") < 12
    assert await t.workers.drain(1)


@virtual
async def test_a_defect_is_survived() -> None:
    placed = b.committed(A, Phase.PLACED, [["n0", "n1"]])
    broken = [True, True]

    def derive(*_: Any) -> Sequence[Duty]:
        if broken:
            broken.pop()
            raise KeyError("defect")
        return (CreatePod(0, 0, "n0", 1),) if not t.api.pods else ()

    t = Pool(placed, derive=derive)
    t.workers.kick(A.id)
    await asyncio.sleep(10)
    assert t.defects == ["worker", "worker"]
    assert t.api.pods


@virtual
async def test_a_stale_lease_stops_everybody_once() -> None:
    t = Pool(A, B)
    t.bench.fresh = False
    t.move(A, Phase.PLACED)
    t.move(B, Phase.PLACED)
    await asyncio.sleep(10)
    assert not t.api.calls
    assert t.bench.stale == 1
    assert t.workers.counts.busy == 0


@virtual
async def test_draining_waits_for_what_is_in_flight_and_sends_nothing_more() -> None:
    t = Pool(A, B)
    t.api.script("write_status", None, fake.error(Answer.THROTTLED, retry_after=100.0))
    t.move(A, Phase.PLACED)
    t.move(B, Phase.PLACED)
    await asyncio.sleep(0.0015)
    t.api.hold = asyncio.Event()
    calls = len(t.api.calls)
    asyncio.get_running_loop().call_later(2, t.api.hold.set)
    assert await t.workers.drain(20)
    assert now() < 5, "one that only waits to try again is not waited for"
    assert len(t.api.calls) <= calls + 2


@virtual
async def test_of_a_job_that_is_gone_nothing_is_kept() -> None:
    t = Pool(A)
    t.move(A, Phase.PLACED)
    await asyncio.sleep(0.0001)
    del t.api.jobs["a"]
    await asyncio.sleep(10)
    assert not t.workers._workers
    t.workers.kick("uid-never-seen")
    assert not t.workers._workers


@virtual
async def test_a_placement_whose_node_is_gone_meanwhile_is_not_written() -> None:
    t = Pool(A)
    t.world.apply(Gone(Kind.NODE, "node-n1", b.START))
    t.move(A, Phase.PLACED)
    await asyncio.sleep(1)
    assert t.outcomes == [("a", Outcome.LOST)]
    assert not t.api.count("write_status")
    assert t.world.assumed(A.id) is None
