"""The same cases for kopf's watch and the reflector's: what the world hears must not depend on who watches."""

from __future__ import annotations

import pytest
from tests.feeds.conftest import Plain, World, client, kopf_feed
from tests.support.tinyapi import TinyApi

from muster.core.model import Gone, Kind, Rejected, Upsert
from muster.feeds import Lists, OwnKinds, Source

JOBS = "trainingjobs"
PATH = "/apis/muster.dev/v1alpha1/trainingjobs"


def heard(world: World) -> list[tuple[str, str, int]]:
    said = []
    for change in world.changes:
        match change:
            case Upsert(Rejected() as record):
                said.append(("upsert", record.id, record.rv))
            case Gone(Kind.JOB, uid):
                said.append(("gone", uid, 0))
    return said


async def test_added_modified_deleted(feed: str, api: TinyApi, world: World) -> None:
    await api.put(JOBS, "a")
    await world.until(lambda: len(heard(world)) == 1)
    await api.put(JOBS, "a", spec={"suspend": True})
    await world.until(lambda: len(heard(world)) == 2)
    await api.delete(JOBS, "a")
    await world.until(lambda: len(heard(world)) == 3)
    assert heard(world) == [("upsert", "uid-a", 101), ("upsert", "uid-a", 102), ("gone", "uid-a", 0)]


async def test_a_stale_record_is_dropped(feed: str, api: TinyApi, world: World) -> None:
    old = await api.put(JOBS, "a")
    new = await api.put(JOBS, "a", spec={"suspend": True})
    await world.until(lambda: ("upsert", "uid-a", 102) in heard(world))
    before = heard(world)
    await api.say(JOBS, "MODIFIED", old)
    await api.say(JOBS, "MODIFIED", new)
    await world.settle()
    assert heard(world) == before


async def test_an_answer_to_our_write_comes_before_the_watch(feed: str, api: TinyApi, world: World) -> None:
    made = await api.put(JOBS, "a")
    await world.until(lambda: len(heard(world)) == 1)
    api.silent.add(JOBS)
    changed = await api.put(JOBS, "a", spec={"suspend": True})
    api.silent.clear()
    world.door.upsert(Plain().record(changed))  # the answer
    await api.say(JOBS, "MODIFIED", changed)  # the watch, later
    await api.say(JOBS, "MODIFIED", made)
    await world.settle()
    assert heard(world) == [("upsert", "uid-a", 101), ("upsert", "uid-a", 102)]


async def test_a_record_after_the_deletion_does_not_raise_the_dead(feed: str, api: TinyApi, world: World) -> None:
    await api.put(JOBS, "a")
    await world.until(lambda: len(heard(world)) == 1)
    late = (await api.delete(JOBS, "a")) | {"spec": {"late": True}}
    await world.until(lambda: heard(world)[-1][0] == "gone")
    late["metadata"]["resourceVersion"] = "900"
    world.door.upsert(Plain().record(late))  # the answer to a write that was under way
    await world.settle()
    assert [said[0] for said in heard(world)] == ["upsert", "gone"]


async def test_the_name_may_come_back_with_another_uid(feed: str, api: TinyApi, world: World) -> None:
    await api.put(JOBS, "a", uid="first")
    await world.until(lambda: len(heard(world)) == 1)
    await api.delete(JOBS, "a")
    await api.put(JOBS, "a", uid="second")
    await world.until(lambda: len(heard(world)) == 3)
    assert heard(world) == [("upsert", "first", 101), ("gone", "first", 0), ("upsert", "second", 103)]


async def test_what_was_deleted_in_a_gap_is_dropped_by_our_list(feed: str, api: TinyApi, world: World) -> None:
    await api.put(JOBS, "a")
    await api.put(JOBS, "b")
    await world.until(lambda: len(heard(world)) == 2)
    api.silent.add(JOBS)
    await api.delete(JOBS, "a")
    reader, transport = client(api)
    await Lists(reader, {Kind.JOB: Source(PATH, Plain())}, world.door).read(Kind.JOB)
    await transport.close()
    assert heard(world)[2:] == [("gone", "uid-a", 0)]


async def test_kopf_writes_nothing(feed: str, api: TinyApi, world: World) -> None:
    await api.put(JOBS, "a")
    await api.put(JOBS, "a", spec={"suspend": True}, status={"phase": "Running"})
    await api.delete(JOBS, "a")
    await world.until(lambda: heard(world)[-1:] == [("gone", "uid-a", 0)])
    await world.settle()
    assert api.writes == []


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's user has no name, as in a container that runs as a number."""

    def nobody() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", nobody)


async def test_the_user_needs_no_name(nameless: None, feed: str, api: TinyApi, world: World) -> None:
    await api.put(JOBS, "a")
    await world.until(lambda: heard(world) == [("upsert", "uid-a", 101)])


async def test_kopf_ended_by_a_410_is_started_again_and_our_kinds_are_listed(api: TinyApi, world: World) -> None:
    import asyncio

    await api.put(JOBS, "a")
    await api.put(JOBS, "b")
    reader, transport = client(api)
    sources = {kind: Source(PATH.replace(JOBS, kind.value), Plain()) for kind in (Kind.JOB, Kind.TOPOLOGY)}
    own = OwnKinds(Lists(reader, sources, world.door), world.door, interval=1000)
    feed = kopf_feed(api, world, on_end=own.ask)
    tasks = [asyncio.create_task(feed.run()), asyncio.create_task(own.run())]
    await world.until(lambda: JOBS in api.watches and len(heard(world)) == 2)

    api.silent.add(JOBS)
    await api.delete(JOBS, "a")
    api.silent.clear()
    api.refuse_watches[JOBS] = [410]
    await api.cut()
    await world.until(lambda: feed.starts == 2 and ("gone", "uid-a", 0) in heard(world), 30)
    await world.until(lambda: feed.turned_at is not None)
    await api.put(JOBS, "c")
    await world.until(lambda: ("upsert", "uid-c", 104) in heard(world), 30)

    stopping = asyncio.create_task(feed.stop())
    await asyncio.sleep(0)
    await api.cut()
    await stopping
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await transport.close()
    assert api.writes == []
