"""The way from an operator to the embedded server without I/O: a request arrives a moment later, so does its answer.

What has left a process arrives, whatever becomes of the process: arrivals belong to nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol
from urllib.parse import unquote

from muster.embedded.nodes.feed import Serving
from muster.embedded.wire import Request as WireRequest
from muster.embedded.wire import Response as WireResponse
from muster.embedded.wire import Watch
from muster.kube.transport import Request, Response, StreamRefused, TransportError, Withheld
from muster.sim.loop import NOBODY

AGENT = "muster/sim"
LONGEST_WATCH = 1800.0


class Server(Serving, Protocol):
    """What of embedded.Server is needed here."""

    def bookmark(self, watch: Watch) -> None:
        """Send a watch its bookmark, as before its end."""
        ...


class InProcess:
    """A Transport to a Server in the same (virtual) event loop.

    latency -- seconds that each way takes; called for each. user -- who the server is told it is.
    """

    def __init__(self, server: Server, latency: Callable[[], float], user: str = "muster") -> None:
        self._server = server
        self._latency = latency
        self._user = user
        self.down = False
        """Whether the server answers nobody: connections are refused."""

    async def send(self, request: Request) -> Response:
        """See kube.transport.Transport."""
        if request.may_leave is not None and not request.may_leave():
            raise Withheld
        if self.down:
            raise TransportError(f"{request.method} {request.path}: connection refused", sent=False)
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Response] = loop.create_future()
        loop.call_later(self._latency(), self._arrive, request, answered, context=NOBODY)
        return await answered

    async def stream(self, request: Request) -> AsyncIterator[bytes]:
        """See kube.transport.Transport."""
        if self.down:
            raise TransportError(f"{request.method} {request.path}: connection refused", sent=False)
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        await asyncio.sleep(self._latency())
        opened = self._server.watch(self._wire(request))
        if isinstance(opened, WireResponse):
            raise StreamRefused(_response(opened))
        watch = opened
        under_way = False

        def arrive() -> None:
            nonlocal under_way
            under_way = False
            news.set()

        def note() -> None:  # in the middle of a write
            nonlocal under_way
            if not under_way:
                under_way = True
                loop.call_later(self._latency(), arrive, context=NOBODY)

        watch.on_news = note
        end = loop.call_later(_seconds(request), self._end, watch, note, context=NOBODY)
        note()
        try:
            while True:
                await news.wait()
                news.clear()
                for line in watch.take():
                    yield line
                if watch.closed and not under_way:
                    return
        finally:
            end.cancel()
            watch.close()

    def _end(self, watch: Watch, note: Callable[[], None]) -> None:
        """The time that the client asked for is over."""
        self._server.bookmark(watch)
        watch.end()
        note()

    def _arrive(self, request: Request, answered: asyncio.Future[Response]) -> None:
        response = _response(self._server.handle(self._wire(request)))
        loop = answered.get_loop()
        loop.call_later(self._latency(), _answer, answered, response, context=NOBODY)

    def _wire(self, request: Request) -> WireRequest:
        return WireRequest(
            request.method,
            unquote(request.path),
            request.query,
            request.body or b"",
            request.content_type or "",
            user=self._user,
            agent=AGENT,
        )


def _answer(answered: asyncio.Future[Response], response: Response) -> None:
    if not answered.done():
        answered.set_result(response)


def _response(response: WireResponse) -> Response:
    headers = {name.lower(): value for name, value in response.headers}
    return Response(response.status, headers | {"content-type": response.content_type}, response.body)


def _seconds(request: Request) -> float:
    for name, value in request.query:
        if name == "timeoutSeconds" and value.isdecimal() and int(value):
            return float(value)
    return LONGEST_WATCH
