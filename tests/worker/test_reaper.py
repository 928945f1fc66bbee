"""What the reaper takes for forsaken, and what it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support import builders as b
from tests.support.faketransport import virtual
from tests.worker import fake

from muster.core.duties import Orphan
from muster.core.model import Kind, Phase, Stage, Upsert
from muster.kube.errors import Answer
from muster.worker.reaper import Reaper, Undecided

POD = Orphan(Kind.POD, "u", "default", "p", "uid-llm", 1, 0)


@dataclass
class World:
    ready: bool = True
    leading: bool = True
    found: list[Orphan] = field(default_factory=lambda: [POD])


def reaper(**pod: Any) -> tuple[fake.Bench, World, Reaper]:
    bench, world = fake.Bench(), World()
    made = b.pod(b.job("llm"), 0, Stage.RUNNING, "n0", id="u", name="p", **pod)
    bench.api.pods["p"] = made
    bench.api.owners["p"] = "llm"

    def find(of: Any, _now: int) -> Sequence[Orphan]:
        return of.found

    return bench, world, Reaper(world, bench.api, bench.tools, head_start=20, find=find)  # type: ignore[arg-type]


async def sweeps(r: Reaper) -> None:
    await r.sweep()
    await asyncio.sleep(21)
    await r.sweep()


@virtual
async def test_a_child_of_a_job_that_is_gone_is_deleted_by_uid() -> None:
    t, _, r = reaper()
    await sweeps(r)
    assert t.api.deleted == [("u", None)]
    assert [m for m, _ in t.api.calls] == ["read_owned", "read_job", "delete_pod"]


@virtual
async def test_the_garbage_collector_goes_first() -> None:
    t, _, r = reaper()
    await r.sweep()
    await asyncio.sleep(19)
    await r.sweep()
    assert not t.api.calls


@pytest.mark.parametrize("state", ["ready", "leading"])
def test_nothing_is_swept_by_one_who_does_not_know_or_lead(state: str) -> None:
    @virtual
    async def run() -> None:
        t, world, r = reaper()
        setattr(world, state, False)
        await sweeps(r)
        assert not t.api.calls

    run()


@virtual
async def test_orphaned_on_purpose_stays() -> None:
    t, _, r = reaper(job=None)
    t.api.owners["p"] = ""
    await sweeps(r)
    assert not t.api.deleted


@virtual
async def test_another_object_of_the_name_stays() -> None:
    t, _, r = reaper()
    t.api.pods["p"] = b.pod(b.job("llm"), 0, Stage.RUNNING, "n0", id="new", name="p")
    await sweeps(r)
    assert not t.api.count("delete_pod")


@pytest.mark.parametrize(
    ("owner", "deleted"),
    [
        pytest.param(b.committed(b.job("llm"), Phase.RUNNING, [["n0", "n1"]]), False, id="alive at this attempt"),
        pytest.param(b.committed(b.job("llm"), Phase.RUNNING, [["n0", "n1"]], attempt=2), True, id="a later attempt"),
        pytest.param(b.committed(b.job("llm"), Phase.PENDING), False, id="waiting again, its own worker clears up"),
        pytest.param(b.job("llm", id="uid-new"), True, id="another uid"),
        pytest.param(b.job("llm", deleting=True, orphaning=True), False, id="being deleted, orphaning"),
    ],
)
def test_by_the_owner_as_it_is_now(owner: Any, deleted: bool) -> None:
    @virtual
    async def run() -> None:
        t, _, r = reaper()
        t.api.jobs["llm"] = owner
        await sweeps(r)
        assert bool(t.api.deleted) == deleted
        assert owner in [c.record for c in t.of(Upsert)], "the world is told of an owner it did not know"

    run()


@virtual
async def test_a_kind_that_is_not_served_decides_nothing() -> None:
    t, _, r = reaper()
    t.api.script("read_job", fake.error(Answer.UNKNOWN, code=404, absent_kind=True))
    with pytest.raises(Undecided):
        await sweeps(r)
    assert not t.api.deleted


@virtual
async def test_the_rate_is_bounded_and_everyone_has_a_turn() -> None:
    t, world, r = reaper()
    world.found = [Orphan(Kind.POD, f"u{i}", "default", f"p{i}", "uid-llm", 1, 0) for i in range(120)]
    await sweeps(r)
    assert t.api.count("read_owned") == 50
    await r.sweep()
    await r.sweep()
    assert len({name for _, name in t.api.calls}) == 120
