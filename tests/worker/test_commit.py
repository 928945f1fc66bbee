"""The committing half of the Answers table, row by row."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.support import builders as b
from tests.support.faketransport import now, virtual
from tests.worker import fake

from muster.core.model import Gone, Kind, Lost, Phase, Refused, Transition, Upsert
from muster.kube.errors import Answer
from muster.worker.commit import Committer, Outcome, carries
from muster.worker.tools import Closed

PENDING = b.job("llm")
PLACED = b.committed(PENDING, Phase.PLACED, [["n0", "n1"]]).status
MOVE = Transition(PENDING.id, PENDING.rv, "Placed", PLACED)


def bench() -> fake.Bench:
    return fake.Bench(jobs={"llm": PENDING})


async def commit(bench: fake.Bench) -> Outcome:
    return await Committer(bench.api, bench.tools).commit(PENDING, MOVE)


@virtual
async def test_an_answer_is_applied() -> None:
    t = bench()
    assert await commit(t) is Outcome.COMMITTED
    assert [c.record.status.phase for c in t.of(Upsert)] == [Phase.PLACED]
    assert t.api.calls == [("write_status", "llm")]


@virtual
async def test_a_conflict_is_lost_after_a_look() -> None:
    t = bench()
    t.api.edit("llm", suspend=True)
    assert await commit(t) is Outcome.LOST
    assert [type(c) for c in t.told] == [Upsert, Lost], "the truth first, then that it was lost"
    assert t.api.count("write_status") == 1


@pytest.mark.parametrize("replaced", [False, True])
def test_a_job_that_is_gone_is_lost(replaced: bool) -> None:
    @virtual
    async def run() -> None:
        t = bench()
        if replaced:
            t.api.edit("llm", id="uid-another")
        else:
            del t.api.jobs["llm"]
        assert await commit(t) is Outcome.LOST
        assert [(g.kind, g.id) for g in t.of(Gone)] == [(Kind.JOB, "uid-llm")]
        assert t.told[-1] == Lost("uid-llm", PENDING.rv)

    run()


@virtual
async def test_a_lost_answer_of_a_write_that_landed_is_found_out() -> None:
    t = bench()
    t.api.script("write_status", fake.Lost())
    assert await commit(t) is Outcome.COMMITTED
    assert t.api.calls == [("write_status", "llm"), ("read_job", "llm")], "never written twice"
    assert t.of(Upsert)[-1].record.status == PLACED
    assert not t.of(Lost)


@virtual
async def test_a_write_that_did_not_land_is_tested_again_after_a_look_and_a_pause() -> None:
    t = bench()
    t.api.script("write_status", fake.error(Answer.UNKNOWN), fake.error(Answer.UNKNOWN))
    assert await commit(t) is Outcome.COMMITTED
    assert [m for m, _ in t.api.calls] == ["write_status", "read_job"] * 2 + ["write_status"]
    assert now() > 0.2


@virtual
async def test_a_write_that_lands_after_the_look_is_found_by_the_conflict_of_the_retry() -> None:
    t = bench()
    late = asyncio.Event()
    t.api.script("write_status", fake.Late(late))
    # It lands between the look and the second try.
    t.api.on_call = lambda method: late.set() if method == "read_job" else None
    assert await commit(t) is Outcome.COMMITTED
    assert t.of(Upsert)[-1].record.status == PLACED
    assert not t.of(Lost)


@virtual
async def test_a_write_overtaken_by_another_is_lost() -> None:
    t = bench()
    t.api.script("write_status", fake.error(Answer.UNKNOWN))
    t.api.on_call = lambda method: t.api.edit("llm", generation=2) if method == "read_job" else None
    assert await commit(t) is Outcome.LOST
    assert t.api.count("write_status") == 1, "its test can only fail"


@virtual
async def test_throttled_waits_as_asked_and_tries_again() -> None:
    t = bench()
    t.api.script("write_status", fake.error(Answer.THROTTLED, retry_after=7.0))
    assert await commit(t) is Outcome.COMMITTED
    assert now() >= 7
    assert not t.api.count("read_job")


@virtual
async def test_a_lease_that_goes_stale_while_waiting_ends_it() -> None:
    t = bench()
    t.api.script("write_status", fake.error(Answer.THROTTLED, retry_after=7.0))
    task = asyncio.create_task(commit(t))
    await asyncio.sleep(1)
    t.fresh = False
    with pytest.raises(Closed):
        await task
    assert t.api.count("write_status") == 1
    assert t.stale == 1


@pytest.mark.parametrize("answer", [Answer.RBAC, Answer.INVALID, Answer.TOO_LARGE, Answer.POLICY])
def test_refused_for_good_is_reported(answer: Answer) -> None:
    @virtual
    async def run() -> None:
        t = bench()
        t.api.script("write_status", fake.error(answer, message="why"))
        assert await commit(t) is Outcome.REFUSED
        assert t.of(Refused) == [Refused("uid-llm", 0, answer.value, "why", t.now(), commit=True)]
        assert t.api.count("write_status") == 1

    run()


@virtual
async def test_a_refusal_does_not_drop_a_write_that_may_still_land() -> None:
    t = bench()
    late = asyncio.Event()
    t.api.script("write_status", fake.Late(late), fake.error(Answer.RBAC))
    seen: list[str] = []

    def on_call(method: str) -> None:
        seen.append(method)
        if seen.count("read_job") == 2:
            late.set()

    t.api.on_call = on_call
    assert await commit(t) is Outcome.COMMITTED
    assert not t.of(Refused)


@virtual
async def test_a_write_that_changes_nothing_is_dropped() -> None:
    t = bench()
    t.api.rv = PENDING.rv - 1  # the server answers with the resourceVersion that was tested
    assert await commit(t) is Outcome.LOST


@virtual
async def test_an_api_server_that_cannot_be_read_keeps_the_assumption() -> None:
    t = bench()
    t.api.script("write_status", fake.Lost())
    t.api.script("read_job", *[fake.error(Answer.UNKNOWN, absent_kind=True)] * 3)
    t.api.script("write_status", *[fake.error(Answer.UNKNOWN)] * 3)
    assert await commit(t) is Outcome.COMMITTED
    assert not t.of(Lost)


def test_what_counts_as_the_same_status() -> None:
    assert carries(PLACED, replace(PLACED, observed_generation=9))
    assert PLACED.placement is not None
    assert not carries(PLACED, replace(PLACED, placement=replace(PLACED.placement, term="2")))
    assert not carries(PLACED, replace(PLACED, attempt=2))
    assert not carries(PENDING.status, PLACED)
