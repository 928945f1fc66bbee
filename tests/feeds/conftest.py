from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import pytest
from tests.support.tinyapi import TinyApi

from muster.core.model import Change, Committed, Kind, Rejected
from muster.feeds import Door
from muster.handlers import KopfFeed
from muster.kube.client import Client
from muster.kube.reflector import Reflector
from muster.kube.transport import Access, FixedCredentials, HttpTransport
from muster.kube.wire import Event, Page, Status


class Plain:
    """Reads just enough of an object to tell versions apart; the real decoder has its own tests."""

    def record(self, obj: Mapping[str, Any]) -> Rejected:
        meta = obj["metadata"]
        message = json.dumps(obj.get("spec", {}))
        rv = int(meta["resourceVersion"])
        return Rejected(meta["uid"], meta.get("namespace", ""), meta["name"], rv, 1, "", message, Committed())

    def page(self, data: bytes) -> Page:
        read = json.loads(data)
        items = read["items"]
        rv = read["metadata"]["resourceVersion"]
        return Page(tuple(map(self.record, items)), tuple(i["metadata"]["uid"] for i in items), rv)

    def event(self, line: bytes) -> Event:
        read = json.loads(line)
        obj = read["object"]
        if read["type"] == "ERROR":
            return Event("ERROR", None, "", "", Status(obj["code"]))
        meta = obj["metadata"]
        return Event(read["type"], self.record(obj), meta.get("uid", ""), meta["resourceVersion"])


class World:
    """What came through the door."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.door = Door(self.changes.append, lambda: 1000)

    async def until(self, holds: Callable[[], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 (what is waited for has no event)
                await asyncio.sleep(0.01)

    async def settle(self) -> None:
        """Time enough for what should not come."""
        await asyncio.sleep(0.3)


class Feed(Protocol):
    async def run(self) -> None: ...


def kopf_feed(api: TinyApi, world: World, on_end: Callable[[], None] = lambda: None) -> KopfFeed:
    loop = asyncio.get_running_loop()
    return KopfFeed(
        credentials=lambda: FixedCredentials(Access(api.url)),
        decoders={Kind.JOB: Plain(), Kind.TOPOLOGY: Plain()},
        deliver=lambda change: loop.call_soon_threadsafe(world.door.put, change) and None,
        now=lambda: 1000,
        on_end=on_end,
        first_pause=0.1,
    )


def client(api: TinyApi) -> tuple[Client, HttpTransport]:
    transport = HttpTransport(FixedCredentials(Access(api.url)))
    return Client(transport, attempts=1), transport


@pytest.fixture
async def api() -> AsyncIterator[TinyApi]:
    async with TinyApi() as made:
        yield made


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(params=["kopf", "reflector"])
async def feed(request: pytest.FixtureRequest, api: TinyApi, world: World) -> AsyncIterator[str]:
    """One of the two watches, running against `api` and feeding `world.door`."""
    transport: HttpTransport | None = None
    made: KopfFeed | None = None
    if request.param == "kopf":
        made = kopf_feed(api, world)
        task = asyncio.create_task(made.run())
    else:
        reader, transport = client(api)
        path = "/apis/muster.dev/v1alpha1/trainingjobs"
        reflector = Reflector(reader, Kind.JOB, path, Plain(), world.door.put, now=lambda: 1000, settle=0)
        task = asyncio.create_task(reflector.run())
    await world.until(lambda: "trainingjobs" in api.watches)
    yield request.param
    if made is not None:
        stopping = asyncio.create_task(made.stop())
        await asyncio.sleep(0)
        await api.cut()
        await stopping
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if transport is not None:
        await transport.close()
