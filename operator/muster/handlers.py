"""kopf: the watch of our own kinds. The only module that imports kopf.

kopf lives in a thread with an event loop of its own: in ours it would cancel our tasks when it stops, and one HTTP 410
on a watch ends it. It is supervised: when it ends it is started again after a growing pause, and `on_end` has our kinds
listed anew, since what was deleted meanwhile gives no event. The handlers translate and hand over; they decide nothing,
and kopf is set up so that it writes nothing to the cluster: no finalizers, no annotations, no events, no peering.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import kopf

from muster import logs
from muster.core.model import Change, Gone, Kind, Upsert
from muster.kube.transport import Access, Credentials
from muster.kube.wire import Decoder

GROUP = "muster.dev"
VERSION = "v1alpha1"
WATCHED = (Kind.JOB, Kind.TOPOLOGY)
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
STOP_PATIENCE = 10.0
"""Seconds that kopf is given to end; its thread is a daemon and dies with the process otherwise."""

ENDING = 2.0
"""Seconds from kopf's cleanup until its event loop is stopped, whatever still runs on it."""

Deliver = Callable[[Change], None]
"""Hands a change over; called in kopf's thread."""

_log = logs.get("handlers")


def translate(kind: Kind, decoder: Decoder, event: Mapping[str, Any], now: Callable[[], int]) -> Change | None:
    """The change that one kopf event is, None if none. `type` is None for what kopf listed at its start."""
    type_ = event.get("type") or "ADDED"
    read = decoder.event(json.dumps({"type": type_, "object": event["object"]}).encode())
    if type_ == "DELETED":
        return Gone(kind, read.id, now()) if read.id else None
    return Upsert(read.record, now()) if read.record is not None else None


def registry(
    decoders: Mapping[Kind, Decoder],
    deliver: Deliver,
    login: Callable[[], Awaitable[kopf.AiohttpSession]],
    now: Callable[[], int],
    ended: Callable[[], None] = lambda: None,
) -> kopf.OperatorRegistry:
    """The handlers, in a registry of their own: kopf's default one belongs to whoever imports it."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        return await login()

    @kopf.on.startup(registry=made)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)

    @kopf.on.cleanup(registry=made)
    async def clean(**_: Any) -> None:
        ended()

    def watch(kind: Kind, decoder: Decoder) -> None:
        @kopf.on.event(GROUP, VERSION, kind.value, id=kind.value, registry=made)
        async def seen(event: Mapping[str, Any], **_: Any) -> None:
            change = translate(kind, decoder, event, now)
            if change is not None:
                deliver(change)

    for kind in WATCHED:
        watch(kind, decoders[kind])
    return made


def configure(settings: kopf.OperatorSettings) -> None:
    """Everything that would write is off, and nothing waits for ever."""
    settings.posting.enabled = False
    settings.scanning.disabled = True  # no watch of CRDs: OwnKinds notices when one comes or goes
    settings.process.ultimate_exiting_timeout = None  # it would kill the process; ending is our business
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 600
    settings.watching.reconnect_backoff = 1
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    settings.queueing.idle_timeout = 1
    settings.queueing.exit_timeout = 1


async def session(credentials: Credentials, stale: Access | None) -> tuple[kopf.AiohttpSession, Access]:
    """The connection of kopf, by the same credentials as ours; `stale` is the access that was answered by 401."""
    access = await credentials.current() if stale is None else await credentials.refresh(stale)
    connector = aiohttp.TCPConnector(limit=0, ssl=True if access.ssl is None else access.ssl)
    made = aiohttp.ClientSession(connector=connector, headers=dict(access.headers))
    return kopf.AiohttpSession(server=access.base_url.rstrip("/"), aiohttp_session=made), access


class KopfFeed:
    """kopf in its thread, kept running.

    `credentials` makes a source of access for kopf's own event loop; `deliver` is called in kopf's thread; `on_start`
    in ours each time kopf is started, `on_end` each time it has ended without having been asked to.
    """

    def __init__(
        self,
        *,
        credentials: Callable[[], Credentials],
        decoders: Mapping[Kind, Decoder],
        deliver: Deliver,
        now: Callable[[], int],
        on_start: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._credentials = credentials
        self._decoders = decoders
        self._deliver = deliver
        self._now = now
        self._on_start = on_start
        self._on_end = on_end
        self._first_pause = first_pause
        self._run: _Run | None = None
        self._stopping = asyncio.Event()
        self.starts = 0
        """How often kopf has been started."""

    @property
    def turned_at(self) -> float | None:
        """When kopf's event loop last turned (time.monotonic), None while it does not run."""
        return self._run.turned_at if self._run is not None else None

    async def run(self) -> None:
        """Keep kopf running until `stop` or cancellation."""
        pause = self._first_pause
        try:
            while not self._stopping.is_set():
                self.starts += 1
                self._on_start()
                begun = time.monotonic()
                self._run = _Run(self._credentials, self._decoders, self._deliver, self._now)
                error = await self._run.ended()
                self._run = None
                if self._stopping.is_set():
                    return
                _log.warning("kopf ended and is started again", error=repr(error) if error else "", pause=pause)
                self._on_end()
                pause = self._first_pause if time.monotonic() - begun > LONGEST_PAUSE else pause
                await self._sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            if self._run is not None:
                self._run.stop()

    def restart(self) -> None:
        """End kopf so that it is started again: it looks for its kinds only when it starts."""
        if self._run is not None:
            self._run.stop()

    async def stop(self) -> None:
        """End kopf for good; returns when its thread has ended or patience has."""
        self._stopping.set()
        run = self._run
        if run is not None:
            run.stop()
            await asyncio.wait((run.done,), timeout=STOP_PATIENCE)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


class _Run:
    """One life of kopf: a thread, its loop, its stop flag."""

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        decoders: Mapping[Kind, Decoder],
        deliver: Deliver,
        now: Callable[[], int],
    ) -> None:
        self._credentials = credentials
        self._decoders = decoders
        self._deliver = deliver
        self._now = now
        self._home = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._stop_asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flag: asyncio.Event | None = None
        self._sessions: list[aiohttp.ClientSession] = []
        self.turned_at = time.monotonic()
        self.done: asyncio.Future[BaseException | None] = self._home.create_future()
        threading.Thread(target=self._thread, name="kopf", daemon=True).start()

    async def ended(self) -> BaseException | None:
        """Wait for the end; what it ended with."""
        return await asyncio.shield(self.done)

    def stop(self) -> None:
        """Ask kopf to end; from any thread."""
        with self._lock:
            self._stop_asked = True
            if self._loop is not None and self._flag is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._flag.set)

    def _thread(self) -> None:
        error: BaseException | None = None
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._operate())
        except BaseException as caught:
            error = caught
        with self._lock:
            self._loop = None
        try:
            self._tidy(loop)
        except BaseException as caught:
            error = error or caught
        try:
            self._home.call_soon_threadsafe(self._resolve, error)
        except RuntimeError:
            return  # our loop is closed: the process is ending, nobody listens

    def _tidy(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what kopf left running. Not asyncio.run, which would wait for it without end."""
        loop.set_exception_handler(lambda _loop, context: _log.debug("after kopf", what=str(context.get("message"))))
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        for made in self._sessions:
            loop.run_until_complete(made.close())
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=0.5))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def _resolve(self, error: BaseException | None) -> None:
        if not self.done.done():
            self.done.set_result(error)

    async def _operate(self) -> None:
        loop = asyncio.get_running_loop()
        flag = asyncio.Event()
        with self._lock:
            self._loop, self._flag = loop, flag
            if self._stop_asked:
                return
        credentials = self._credentials()
        stale: Access | None = None

        async def login() -> kopf.AiohttpSession:
            nonlocal stale
            made, stale = await session(credentials, stale)
            self._sessions.append(made.aiohttp_session)
            return made

        def ended() -> None:
            # When one watch ends kopf, it runs its cleanup, closes its connections, and then waits without end for the
            # other watch, which asks for a new login that nobody serves any more (kopf 1.45.2).
            loop.call_later(ENDING, loop.stop)

        def turn() -> None:
            self.turned_at = time.monotonic()
            loop.call_later(1, turn)

        turn()
        await kopf.operator(
            registry=registry(self._decoders, self._deliver, login, self._now, ended),
            standalone=True,
            clusterwide=True,
            stop_flag=flag,
            # Only peering reads it, which is off. Not given, kopf asks who this user is, and in a container whose user
            # stands in no passwd file that ends it.
            identity="muster",  # type: ignore[arg-type]
        )
