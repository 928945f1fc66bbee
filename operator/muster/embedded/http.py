"""The server over HTTP on a loopback address: one thread, aiohttp, watches as chunked streams of lines.

A memory of no authority: whoever has the token may do everything. It is for demos and tests, not for a network.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import random
import time
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from muster.embedded.bodies import LARGEST_BODY
from muster.embedded.server import Server
from muster.embedded.wire import Request, Response, StatusError, Watch, too_large

LOOPBACK = "127.0.0.1"
LEAST_WATCH_SECONDS = 1800
"""A watch without timeoutSeconds ends after this long to twice as long, as the real server's."""
WRITE_LIMIT = 1 << 20
"""Bytes that are written to a watch at once."""
LAST_WORDS = 1.0
"""Seconds that the end of a watch may take when the server stops."""
_CLOSING = 2.0


class HttpServer:
    """A `Server` behind a socket.

    token -- the bearer token that a client must show; None: anybody may. drive -- whether this calls the server's
    `tick`; False if something else does, such as a whole cluster.
    """

    def __init__(self, server: Server, *, token: str | None = None, drive: bool = True) -> None:
        self.server = server
        self._token = token
        self._drive = drive
        self._runner: web.AppRunner | None = None
        self._driver: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._streams: set[asyncio.Task[Any]] = set()
        self._random = random.Random()
        self.url = ""
        """Where it listens, once started."""

    async def start(self, port: int = 0, host: str = LOOPBACK) -> str:
        """Listen; the URL. Port 0: any free one."""
        if self._drive:
            self.server.on_write = self._news.set
            self._driver = asyncio.create_task(self._run(), name="embedded-tick")
        # No access log, and no handler cancellation: a write that has begun is answered.
        self._runner = web.ServerRunner(
            web.Server(self._answer, access_log=None), handle_signals=False, shutdown_timeout=_CLOSING
        )  # type: ignore[assignment]
        assert self._runner is not None
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        address = self._runner.addresses[0]
        self.url = f"http://{address[0]}:{address[1]}"
        return self.url

    async def stop(self) -> None:
        """End every watch and stop listening."""
        if self._driver is not None:
            self._driver.cancel()
            with suppress(asyncio.CancelledError):
                await self._driver
        self.server.restart()
        # The restart has ended the watches; who does not take the end of one in time is cut off.
        if self._streams:
            _, late = await asyncio.wait(self._streams, timeout=LAST_WORDS)
            for stream in late:
                stream.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _run(self) -> None:
        """Give the controllers inside their turns, and send what is due."""
        while True:
            self._news.clear()
            due = self.server.tick()
            if self.server.pending:
                await asyncio.sleep(0)
                continue
            seconds = 60.0 if due is None else max(0.0, (due - time.time() * 1000) / 1000)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, 60.0)):
                    await self._news.wait()
            # Writes come in bursts; one turn for all of one.
            await asyncio.sleep(0.001)

    async def _answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        path = self._admitted(incoming, unquote(incoming.rel_url.raw_path))
        if path is None:
            error = StatusError(401, "Unauthorized", "Unauthorized")
            return _reply(error.response())
        body = await _body(incoming)
        if body is None:
            return _reply(too_large(f"Request entity too large: limit is {LARGEST_BODY}").response())
        headers = incoming.headers
        request = Request(
            incoming.method,
            path,
            tuple(incoming.rel_url.query.items()),
            body,
            headers.get("Content-Type", ""),
            headers.get("Accept", ""),
            agent=headers.get("User-Agent", ""),
        )
        if request.method == "GET" and request.flag("watch"):
            opened = self.server.watch(request)
            if isinstance(opened, Response):
                return _reply(opened)
            return await self._stream(incoming, request, opened)
        if request.method == "HEAD":
            return web.Response(status=405)
        return _reply(self.server.handle(request))

    @property
    def open_watches(self) -> int:
        """How many watches are being streamed."""
        return len(self._streams)

    def _admitted(self, incoming: web.BaseRequest, path: str) -> str | None:
        """The path that is asked for; None for who has not shown the token.

        The token is a bearer token or the first part of the path: kubectl sends no credentials without TLS.
        """
        if self._token is None:
            return path
        _, first, *rest = path.split("/", 2)
        if hmac.compare_digest(first.encode(), self._token.encode()):
            return "/" + "".join(rest)
        given = incoming.headers.get("Authorization", "")
        # kubectl asks for the schemas without the address' path; they are no secret.
        open_to_all = incoming.method == "GET" and path.startswith("/openapi/")
        return path if open_to_all or hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()) else None

    async def _stream(self, incoming: web.BaseRequest, request: Request, watch: Watch) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": watch.content_type, "Cache-Control": "no-cache, private"})
        reply.enable_chunked_encoding()
        news = asyncio.Event()
        watch.on_news = news.set
        task = asyncio.current_task()
        if task is not None:
            self._streams.add(task)
        try:
            await reply.prepare(incoming)
            loop = asyncio.get_running_loop()
            end = loop.time() + self._seconds(request)
            while True:
                news.clear()
                await _send(reply, watch.take())
                if watch.closed:
                    break
                left = end - loop.time()
                if left <= 0:
                    self.server.bookmark(watch)
                    await _send(reply, watch.take())
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await news.wait()
            await reply.write_eof()
        except (ConnectionError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and incoming.transport is not None:
                incoming.transport.abort()
        finally:
            watch.close()
            if task is not None:
                self._streams.discard(task)
        return reply

    def _seconds(self, request: Request) -> float:
        text = request.parameter("timeoutSeconds")
        with suppress(ValueError):
            if text and int(text) > 0:
                return float(int(text))
        return LEAST_WATCH_SECONDS * (1 + self._random.random())


async def _body(incoming: web.BaseRequest) -> bytes | None:
    """The body, None if it is larger than any that is read."""
    if not incoming.can_read_body:
        return b""
    parts: list[bytes] = []
    left = LARGEST_BODY
    async for part in incoming.content.iter_any():
        left -= len(part)
        if left >= 0:
            parts.append(part)
    return b"".join(parts) if left >= 0 else None


async def _send(reply: web.StreamResponse, lines: list[bytes]) -> None:
    """Write lines, many at once but not all: a client that reads slowly must not hold up the memory."""
    at = 0
    while at < len(lines):
        size, end = 0, at
        while end < len(lines) and size < WRITE_LIMIT:
            size += len(lines[end]) + 1
            end += 1
        await reply.write(b"\n".join(lines[at:end]) + b"\n")
        at = end


def _reply(response: Response) -> web.Response:
    reply = web.Response(status=response.status, body=response.body)
    reply.headers["Content-Type"] = response.content_type
    for name, value in response.headers:
        reply.headers.add(name, value)
    return reply


def kubeconfig(url: str, token: str | None = None, name: str = "embedded") -> str:
    """A kubeconfig for the server, which is JSON and so YAML; the token is in the address too, see `HttpServer`."""
    user = {"token": token} if token is not None else {}
    address = url if token is None else f"{url}/{token}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": address}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }
    return json.dumps(config, indent=2) + "\n"


def wall_clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
