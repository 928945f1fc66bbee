"""The real kopf in simulated time: a story told by its watch of our kinds in place of the reflectors'.

kopf runs in the operator's own event loop here, not in a thread beside it: what is tried is its listing, watching and
resuming against an API server that fails it, and our handlers and settings of it. Its order of requests is its own, so
nothing is said about determinism.
"""

from __future__ import annotations

import asyncio
import json as jsons
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import kopf
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from muster import app, handlers
from muster.core.model import Kind
from muster.kube.transport import Request, StreamRefused, Transport, TransportError
from muster.kube.wire import Decoder
from muster.sim import seat, trial
from muster.sim.plan import Plan
from muster.sim.world import START

SOON = 20.0
"""Seconds, from the beginning, in which the operator answers to a job; own kinds are listed anew after 300."""
HEADERS = 0.01
"""A refused watch is told within so many seconds; one that is not is open."""


class Content:
    """The body, as it comes."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        return self._chunks


class Answer:
    """What kopf uses of aiohttp.ClientResponse."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, lines: AsyncIterator[bytes]) -> None:
        self.status, self.headers, self._body = status, headers, body
        self.content = Content(lines)
        self.closed = False

    async def json(self, **_: Any) -> Any:
        return jsons.loads(self._body)

    async def text(self) -> str:
        return self._body.decode()

    async def read(self) -> bytes:
        return self._body

    def close(self) -> None:
        self.closed = True

    def raise_for_status(self) -> None:
        if self.status >= 400:
            url = URL("http://simulated")
            info = aiohttp.RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict()), url)
            raise aiohttp.ClientResponseError(info, (), status=self.status)

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


class Session:
    """What kopf uses of aiohttp.ClientSession, over a transport of the simulation."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.headers: dict[str, str] = {}
        self.closed = False

    async def request(self, *, method: str, url: str, json: Any, **_: Any) -> Answer:
        parts = urlsplit(url)
        body = None if json is None else jsons.dumps(json).encode()
        query = tuple(parse_qsl(parts.query))
        asked = Request(method.upper(), parts.path, query, body)
        try:
            if dict(query).get("watch") == "true":
                return await self._watch(asked)
            answer = await self._transport.send(asked)
        except TransportError as error:
            raise aiohttp.ClientConnectionError(str(error)) from error
        return Answer(answer.status, answer.headers, answer.body, nothing())

    async def _watch(self, asked: Request) -> Answer:
        stream = self._transport.stream(asked)
        first = asyncio.ensure_future(anext(stream, None))

        async def lines() -> AsyncIterator[bytes]:
            try:
                line = await first
                while line is not None:
                    yield line + b"\n"
                    line = await anext(stream, None)
            except TransportError as error:
                raise aiohttp.ClientPayloadError(str(error)) from error

        await asyncio.wait([first], timeout=HEADERS)
        error = first.exception() if first.done() else None
        if isinstance(error, StreamRefused):
            return Answer(error.response.status, error.response.headers, error.response.body, nothing())
        if isinstance(error, TransportError):
            raise error
        return Answer(200, {}, b"", lines())

    async def close(self) -> None:
        self.closed = True


class InLoop:
    """In place of handlers.KopfFeed: the same kopf, in the loop that it is made in."""

    starts = 0
    heard = 0
    ends: ClassVar[list[str]] = []
    """With which errors kopf ended."""

    def __init__(
        self,
        *,
        credentials: Callable[[], Transport],
        decoders: Mapping[Kind, Decoder],
        deliver: handlers.Deliver,
        now: Callable[[], int],
        on_start: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._transport, self._decoders, self._now = credentials(), decoders, now
        self._deliver, self._on_start, self._on_end = deliver, on_start, on_end
        self._flag = asyncio.Event()
        self.turned_at: float | None = None

    async def run(self) -> None:
        async def login() -> kopf.AiohttpSession:
            made: Any = Session(self._transport)
            return kopf.AiohttpSession(server="http://simulated", aiohttp_session=made)

        def hear(change: Any) -> None:
            type(self).heard += 1
            self._deliver(change)

        while not self._flag.is_set():
            type(self).starts += 1
            self._on_start()
            life = asyncio.create_task(self._live(hear, login))
            await asyncio.wait([life])
            if not life.cancelled() and life.exception() is not None:
                self.ends.append(repr(life.exception()))
            self._on_end()
            await asyncio.sleep(1)

    async def _live(
        self, hear: handlers.Deliver, login: Callable[[], Coroutine[Any, Any, kopf.AiohttpSession]]
    ) -> None:
        mine = asyncio.current_task()
        assert mine is not None

        def ended() -> None:  # as handlers has it: kopf would wait without end
            asyncio.get_running_loop().call_later(handlers.ENDING, mine.cancel)

        await kopf.operator(
            registry=handlers.registry(self._decoders, hear, login, self._now, ended),
            standalone=True,
            clusterwide=True,
            stop_flag=self._flag,
        )

    def restart(self) -> None:
        """Nobody asks for it in these stories."""

    async def stop(self) -> None:
        self._flag.set()


def told(plan: str) -> trial.Outcome:
    """Tell it in a thread of its own: in the main one kopf would want the process' signals."""
    outcomes: list[trial.Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(trial.run(Plan.parse(plan))))
    thread.start()
    thread.join()
    (outcome,) = outcomes
    return outcome


@pytest.mark.parametrize(
    "plan",
    [
        "start@0",
        "suspend@0",
        "requeue@0",
        "suspend@0 0/trainingjobs:2=cut-before",
        "suspend@0 0/trainingjobs:2=delay:1.5",
        "suspend@0 0/trainingjobs:2=expire",
        "suspend@0 0/trainingjobs+:1=code:500",
        "suspend@0 0/write:9=crash-after",
    ],
)
def test_a_story_goes_well_with_the_real_kopf(plan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = seat.Ports
    monkeypatch.setattr(app, "KopfFeed", InLoop)
    monkeypatch.setattr(seat, "Ports", lambda one, two, _, *rest, **more: plain(one, two, lambda: one, *rest, **more))
    before = InLoop.starts, InLoop.heard
    outcome = told(plan)
    assert outcome.well, outcome.faults()
    print(f"\n{plan}: {outcome.injected}, kopf started {InLoop.starts - before[0]} times, ended with {InLoop.ends}")
    InLoop.ends.clear()
    assert len(outcome.injected) == len(outcome.plan.faults)
    assert InLoop.starts > before[0]
    assert InLoop.heard > before[1]
    written = (each for each in outcome.record.written if each.kind == "TrainingJob" and each.by.startswith("op"))
    assert next(written).at < START / 1000 + SOON, "the job came after the first list: only a watch tells of it"
