import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.support.faketransport import HANG, FakeTransport, forever, now, ok, plain, status, virtual

from muster.core.model import Child, Gone, Kind, Synced, Upsert
from muster.kube.client import Client
from muster.kube.reflector import Reflector
from muster.kube.transport import TransportError
from muster.kube.wire import Event, Page, Status

PATH = "/api/v1/services"


class Json:
    """A decoder of the barest objects: {"id": ..., "rv": ...}; ids that begin with x parse to no record."""

    @staticmethod
    def record(item):
        return None if item["id"].startswith("x") else Child(item["id"], "a", item["id"], int(item["rv"]), "job")

    def page(self, data):
        page = msgspec.json.decode(data)
        if not isinstance(page, dict):
            raise ValueError("not a list")
        records = (self.record(item) for item in page["items"])
        ids = tuple(item["id"] for item in page["items"])
        return Page(tuple(r for r in records if r), ids, page["rv"], page.get("next", ""))

    def event(self, line):
        event = msgspec.json.decode(line)
        item = event["object"]
        if event["type"] == "ERROR":
            return Event("ERROR", None, "", "", Status(item["code"], item.get("reason", ""), item.get("message", "")))
        if event["type"] == "BOOKMARK":
            return Event("BOOKMARK", None, "", item["rv"])
        return Event(event["type"], self.record(item), item["id"], item["rv"])


def page(*ids, rv="10", token=""):
    return ok({"items": [{"id": id, "rv": rv} for id in ids], "rv": rv, "next": token})


def event(type, id, rv):
    return {"type": type, "object": {"id": id, "rv": rv}}


def error(code, message=""):
    return {"type": "ERROR", "object": {"code": code, "message": message}}


def expired():
    return status(410, "Expired", "too old resource version: 10 (99)")


class Seen(list):
    def short(self):
        return [
            f"+{c.record.id}" if isinstance(c, Upsert) else f"-{c.id}" if isinstance(c, Gone) else "synced"
            for c in self
        ]


@asynccontextmanager
async def running(transport, **more):
    seen = Seen()
    client = Client(transport, clock=now, random=lambda: 0.5)
    reflector = Reflector(
        client,
        Kind.CHILD,
        PATH,
        Json(),
        seen.append,
        now=lambda: int(now() * 1000),
        clock=now,
        random=lambda: 0.5,
        **more,
    )
    task = asyncio.ensure_future(reflector.run())
    try:
        yield reflector, seen
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait([task])


@virtual
async def test_list_then_watch():
    transport = FakeTransport().answer("GET", PATH, page("a", "b", token="t"), page("x", rv="11"))
    told = [event("ADDED", "c", "12"), event("MODIFIED", "a", "13"), event("DELETED", "b", "14")]
    transport.streaming(PATH, [1.0, *told, HANG])
    async with running(transport, label_selector="l=1", field_selector="f=1") as (reflector, seen):
        await asyncio.sleep(2)
        assert seen.short() == ["+a", "+b", "synced", "+c", "+a", "-b"]
        assert seen[-1] == Gone(Kind.CHILD, "b", 1000)
        assert reflector.contact == 1.0
        query = dict(transport.streams[0].query)
        assert query == {
            "watch": "1", "allowWatchBookmarks": "true", "resourceVersion": "11", "timeoutSeconds": "450",
            "labelSelector": "l=1", "fieldSelector": "f=1",
        }  # fmt: skip
        assert "resourceVersion" not in dict(transport.requests[0].query)
    assert transport.open == 0


@virtual
async def test_a_watch_that_ends_is_resumed_where_it_was():
    transport = FakeTransport().answer("GET", PATH, page("a"))
    transport.streaming(PATH, [60.0, event("ADDED", "b", "12"), event("BOOKMARK", "", "40"), 240.0], [HANG])
    async with running(transport) as (reflector, seen):
        await asyncio.sleep(301)
        assert [dict(r.query)["resourceVersion"] for r in transport.streams] == ["10", "40"]
        assert seen.short() == ["+a", "synced", "+b"]
        assert reflector.lists == 1


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(lambda t: t.streaming(PATH, [60.0], expired(), [HANG]), id="http"),
        pytest.param(lambda t: t.streaming(PATH, [60.0, error(410, "too old")], [HANG]), id="event"),
        pytest.param(lambda t: t.streaming(PATH, [60.0, error(500, "etcd event without PrevKv")], [HANG]), id="500"),
        pytest.param(lambda t: t.streaming(PATH, [60.0, b"<html>"], [HANG]), id="unreadable"),
    ],
)
def test_what_cannot_be_resumed_is_listed_anew_with_its_difference(ending):
    @virtual
    async def run():
        transport = FakeTransport().answer("GET", PATH, page("a", "b", "x1", "x2"), page("b", "c", "x2", rv="99"))
        ending(transport)
        async with running(transport) as (reflector, seen):
            await asyncio.sleep(62)
            assert seen.short() == ["+a", "+b", "synced", "+b", "+c", "-a", "-x1"]
            assert reflector.lists == 2
            assert dict(transport.streams[-1].query)["resourceVersion"] == "99"

    run()


@pytest.mark.parametrize("code", [429, 503, 504])
def test_an_overloaded_server_is_not_listed_anew(code):
    @virtual
    async def run():
        transport = FakeTransport().answer("GET", PATH, page("a"))
        busy = status(code, "x", "", retry_after=9)
        transport.streaming(PATH, [event("ADDED", "b", "12"), error(code)], busy, [HANG])
        async with running(transport) as (reflector, _):
            await asyncio.sleep(8)
            assert [dict(r.query)["resourceVersion"] for r in transport.streams] == ["10", "12"]
            await asyncio.sleep(8)
            assert len(transport.streams) == 3
            assert reflector.lists == 1

    run()


@virtual
async def test_a_token_that_expires_begins_the_list_again():
    transport = FakeTransport().answer("GET", PATH, page("a", token="t"), expired(), page("b", rv="20"))
    transport.streaming(PATH, [HANG])
    async with running(transport) as (reflector, seen):
        await asyncio.sleep(5)
        assert seen.short() == ["+a", "+b", "-a", "synced"]
        assert [dict(r.query).get("continue") for r in transport.requests] == [None, "t", None]
        assert reflector.lists == 1


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param([], id="ends-at-once"),
        pytest.param([event("BOOKMARK", "", "11")], id="bookmark-then-ends"),
        pytest.param([error(410)], id="always-too-old"),
        pytest.param([TransportError("reset", sent=True)], id="reset"),
        pytest.param(plain(502, "bad gateway"), id="bad-gateway"),
        pytest.param(expired(), id="always-410"),
        pytest.param([b"garbage"], id="garbage"),
    ],
)
def test_never_a_hot_loop(stream):
    @virtual
    async def run():
        transport = FakeTransport().answer("GET", PATH, forever(page("a"))).streaming(PATH, forever(stream))
        async with running(transport):
            await asyncio.sleep(600)
            assert 10 < len(transport.streams) < 45
            assert len(transport.requests) < 45

    run()


@virtual
async def test_a_server_that_is_down_is_asked_at_a_bounded_rate():
    transport = FakeTransport().answer("GET", PATH, forever(TransportError("refused", sent=False)))
    async with running(transport) as (reflector, seen):
        await asyncio.sleep(600)
        assert 10 < len(transport.requests) < 200
        assert seen == []
        assert not reflector.synced
        assert "refused" in reflector.problem


@virtual
async def test_a_watch_that_lasted_makes_the_next_pause_short_again():
    transport = FakeTransport().answer("GET", PATH, page("a"))
    transport.streaming(PATH, *[[]] * 8, [100.0], [], [], [HANG])
    async with running(transport):
        await asyncio.sleep(95)
        before = len(transport.streams)
        await asyncio.sleep(55)
        assert (before, len(transport.streams)) == (9, 12)  # 9 ends between 124 and 149 s


@virtual
async def test_a_hung_watch_is_noticed():
    transport = FakeTransport().answer("GET", PATH, page("a"))
    silence = TransportError("no data for 120 s", sent=True)
    transport.streaming(PATH, [100.0, silence], [event("ADDED", "b", "11"), HANG])
    async with running(transport) as (_, seen):
        await asyncio.sleep(101)
        assert seen.short()[-1] == "+b"


@virtual
async def test_an_absent_kind_takes_nothing_away():
    told = []
    absent = plain(404, "404 page not found\n")
    transport = FakeTransport().answer("GET", PATH, page("a", "b"), *[absent] * 4, page("b", rv="50"))
    transport.streaming(PATH, [60.0], absent, [HANG])
    async with running(transport, on_missing=told.append) as (reflector, seen):
        await asyncio.sleep(61)
        assert reflector.missing
        assert seen.short() == ["+a", "+b", "synced"]
        await asyncio.sleep(60)
        assert not reflector.missing
        assert told == [True, False]
        assert seen.short() == ["+a", "+b", "synced", "+b", "-a"]


@virtual
async def test_a_kind_that_is_absent_from_the_start_is_not_synced():
    transport = FakeTransport().answer("GET", PATH, forever(plain(404, "404 page not found\n")))
    async with running(transport) as (reflector, seen):
        await asyncio.sleep(600)
        assert reflector.missing
        assert not reflector.synced
        assert seen == []
        assert len(transport.requests) < 45


@virtual
async def test_relist_on_request_cuts_the_watch_short():
    transport = FakeTransport().answer("GET", PATH, page("a"), page("a", rv="20"))
    transport.streaming(PATH, [HANG], [event("ADDED", "b", "21"), HANG])
    async with running(transport) as (reflector, seen):
        await asyncio.sleep(10)
        await reflector.relist()
        assert now() == 10
        assert reflector.lists == 2
        await asyncio.sleep(1)
        assert seen.short() == ["+a", "synced", "+a", "+b"]
        assert transport.open == 1


@virtual
async def test_relist_during_a_list_waits_for_one_that_began_later():
    transport = FakeTransport(fallback=None).answer("GET", PATH, page("a", token="t"), page("b"), page("c", rv="30"))
    transport.streaming(PATH, [HANG])
    async with running(transport) as (reflector, seen):
        while not seen:  # noqa: ASYNC110  (to the step)
            await asyncio.sleep(0)
        await reflector.relist()
        assert reflector.lists == 2
        assert seen.short() == ["+a", "+b", "synced", "+c", "-a", "-b"]


@virtual
async def test_relist_while_the_server_is_down_is_answered_later():
    transport = FakeTransport().answer("GET", PATH, page("a"), *[plain(403, "no")] * 3, page("a", rv="20"))
    transport.streaming(PATH, [HANG], [HANG])
    async with running(transport) as (reflector, _):
        await asyncio.sleep(1)
        await reflector.relist()
        assert reflector.lists == 2
        assert now() > 1.5


@virtual
async def test_synced_is_said_once():
    transport = FakeTransport().answer("GET", PATH, forever(page("a"))).streaming(PATH, forever([error(410)]))
    async with running(transport) as (reflector, seen):
        await asyncio.sleep(60)
        assert reflector.lists > 3
        assert seen.count(Synced(Kind.CHILD)) == 1
