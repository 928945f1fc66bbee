"""A fault proxy in front of the API server: rules say what happens to which request.

    with FaultProxy(plane.server, plane.authority.ca.certificate) as proxy:
        rule = proxy.add(Rule("POST", r"/pods$", drop_reply(), times=1))
        ...                       # an operator pointed at proxy.url
        assert rule.hits == 1

It runs in a thread of its own with its own event loop and ends TLS towards the API server;
towards the client it is plain HTTP on loopback (or TLS, with a serving pair). Requests
carry their own Authorization header through. Rules are tried in order; the first whose
method, path, body and count match acts. Rules match any request, watches included.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
import time
from collections.abc import Awaitable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from e2e.controlplane.certs import Pair
from e2e.faults import Action, CutOff, Deliver, Refuse, Rule, Seen

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade", "host", "content-encoding"}
LARGEST = 64 << 20


class FaultProxy:
    """One proxy on a loopback port; `url` is its address."""

    def __init__(self, upstream: str, ca: Path | None, serving: Pair | None = None) -> None:
        self.upstream = upstream
        self.url = ""
        self.seen: list[Seen] = []
        """Every request in order of arrival; `answer` is filled in when it is known (None: no reply)."""
        self._ca = ca
        self._serving = serving
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._streams: set[asyncio.Task[Any]] = set()

    def start(self) -> FaultProxy:
        """Listen. Returns itself."""
        self._thread.start()
        self._in_loop(self._start()).result(10)
        return self

    def stop(self) -> None:
        """Release what is held, close all connections, end the thread. Idempotent."""
        if not self._thread.is_alive():
            return
        for rule in self.rules:
            rule.release()
        self._in_loop(self._stop()).result(15)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def __enter__(self) -> FaultProxy:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def rules(self) -> list[Rule]:
        with self._lock:
            return list(self._rules)

    def add(self, rule: Rule) -> Rule:
        """Add a rule behind the others; it holds for requests that arrive from now on."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take a rule out and release what it holds."""
        with self._lock:
            self._rules.remove(rule)
        rule.release()

    def clear(self) -> None:
        """Take all rules out and release what they hold."""
        with self._lock:
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.release()

    def cut_watches(self) -> None:
        """Break every open watch in mid-stream."""
        self._in_loop(self._cut()).result(10)

    def count(self, method: str, path: str) -> int:
        """Return how many requests have been seen of a method (a regex) on paths that contain the regex."""
        return sum(1 for each in list(self.seen) if re.fullmatch(method, each.method) and re.search(path, each.path))

    def _in_loop(self, work: Awaitable[Any]) -> Future[Any]:
        async def run() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop)

    async def _start(self) -> None:
        context = ssl.create_default_context(cafile=str(self._ca)) if self._ca else False
        # auto_decompress off and no Accept-Encoding: bytes go through as they come.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=10),
        )
        server = web.Server(self._handle)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await self._runner.setup()
        inbound = None
        if self._serving is not None:
            inbound = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            inbound.load_cert_chain(self._serving.certificate, self._serving.key)
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=inbound)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"{'https' if inbound else 'http'}://{host}:{port}"

    async def _stop(self) -> None:
        await self._cut()
        await self._runner.cleanup()
        await self._session.close()

    async def _cut(self) -> None:
        for task in list(self._streams):
            task.cancel()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read(LARGEST)
        seen = Seen(time.time(), request.method, request.path_qs, _decoded(body))
        self.seen.append(seen)
        rule = self._claim(seen)
        action: Action = rule.action if rule is not None else Deliver()
        seen.rule = rule
        try:
            await action.before(rule)
            reply = await self._deliver(request, body, seen, action, rule)
        except Refuse as refusal:
            seen.answer = refusal.status
            return web.Response(status=refusal.status, body=refusal.body, headers=dict(refusal.headers))
        except (CutOff, aiohttp.ClientError):
            return _hang_up(request)
        return reply

    def _claim(self, seen: Seen) -> Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.claims(seen):
                    return rule
        return None

    async def _deliver(
        self, request: web.BaseRequest, body: bytes, seen: Seen, action: Action, rule: Rule | None
    ) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP}
        url = self.upstream + request.path_qs
        async with self._session.request(
            request.method, url, data=body or None, headers=headers, skip_auto_headers=("Accept-Encoding",)
        ) as answer:
            outgoing = {key: value for key, value in answer.headers.items() if key.lower() not in HOP}
            if "Content-Encoding" in answer.headers:
                outgoing["Content-Encoding"] = answer.headers["Content-Encoding"]
            if request.query.get("watch") in ("true", "1") and answer.status == 200:
                await action.after(rule)
                seen.answer = answer.status
                return await self._stream(request, answer, outgoing)
            content = await answer.read()
            seen.delivered = True
            await action.after(rule)
            seen.answer = answer.status
            return web.Response(status=answer.status, body=content, headers=outgoing)

    async def _stream(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        reply = web.StreamResponse(status=answer.status, headers=headers)
        reply.enable_chunked_encoding()
        await reply.prepare(request)
        task = asyncio.ensure_future(_copy(answer, reply))
        self._streams.add(task)
        try:
            await task
        except (asyncio.CancelledError, aiohttp.ClientError, ConnectionError):
            task.cancel()
            return _hang_up(request)
        finally:
            self._streams.discard(task)
        await reply.write_eof()
        return reply


async def _copy(answer: aiohttp.ClientResponse, reply: web.StreamResponse) -> None:
    async for chunk in answer.content.iter_any():
        await reply.write(chunk)


def _hang_up(request: web.BaseRequest) -> web.Response:
    """Close the connection without a reply: to the client an answer that never came."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None
