"""The composition root: builds everything, says in which order it starts and stops, and nothing else.

Start: caches warm up; whoever then gets the lease lists jobs, pods and nodes once more, consistently, before the world
hears `Leading`. Stop: no more decisions, writes in flight are answered, the lease is given back, kopf ends, Events go
out. Losing the lease is no such stop: whoever lost it may write nothing more, and ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random as _random
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from muster import logs
from muster.clock import OurClock
from muster.core.model import Change, Kind, Leading, Synced
from muster.core.world import World
from muster.feeds import SOURCES, Door, Lists, OwnKinds, Source, inputs
from muster.handlers import KopfFeed
from muster.kube import paths
from muster.kube.backoff import Backoff, Random
from muster.kube.client import Client
from muster.kube.credentials import KubeCredentials
from muster.kube.errors import ApiError
from muster.kube.events import EventWriter
from muster.kube.lease import Election, boottime
from muster.kube.limits import Bucket, Limits
from muster.kube.reflector import Reflector
from muster.kube.transport import Credentials, HttpTransport, Transport
from muster.kube.wire import Decoder
from muster.loop import Loop
from muster.settings import Settings
from muster.telemetry import Endpoints, Telemetry
from muster.worker.build import build
from muster.worker.report import Reporter

OWN = (Kind.TOPOLOGY, Kind.JOB)
BEFORE_DECIDING = (Kind.NODE, Kind.TOPOLOGY, Kind.JOB, Kind.POD)
"""What a new leader lists consistently before its first decision."""
MEASURE_SECONDS = 10.0
UNSEEN_MS = 60_000
"""An object that we made and that no watch has shown after this long may have vanished unseen."""
EVENTS_SECONDS = 2.0
"""How long a shutdown waits for Events."""

_log = logs.get("app")


def freeze_heap() -> None:
    """What was just loaded stays: full collections need not look at it again."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside, as the app uses it: two connections (the lease has its own), kopf's credentials (None: reflectors
    watch our own kinds too, as in simulated time), wall clock in ms, monotonic clock in seconds, how to close.

    lease_clock -- seconds on a clock that also runs in suspend. random -- in [0, 1), spreads retries and polls.
    on_synced -- called once, when all caches are filled.
    """

    transport: Transport
    lease_transport: Transport
    kopf: Callable[[], Credentials] | None
    now: Callable[[], int]
    clock: Callable[[], float]
    close: Callable[[], Awaitable[None]]
    lease_clock: Callable[[], float] = boottime
    random: Random = _random.random
    on_synced: Callable[[], None] = freeze_heap


async def ports(settings: Settings) -> Ports:
    """The real outside. Raises kube.credentials.ConfigurationError where there is no way to an API server."""

    def credentials() -> KubeCredentials:
        return KubeCredentials(kubeconfig=settings.kubeconfig or None, context=settings.context or None)

    shared = credentials()
    await shared.current()
    transport, lease = HttpTransport(shared), HttpTransport(shared, connections=2)

    async def close() -> None:
        await transport.close()
        await lease.close()

    return Ports(transport, lease, credentials, lambda: time.time_ns() // 1_000_000, time.monotonic, close)


class App:
    """One process of the operator. Build it inside a running event loop."""

    def __init__(self, settings: Settings, ports: Ports) -> None:
        self.settings = settings
        self._ports = ports
        clock = self._clock = OurClock(ports.now, ports.clock)
        self._identity = settings.identity_or_default()
        self.world = World(nominate=settings.nominate, served=settings.namespaces())
        self.telemetry = telemetry = Telemetry(self.world.serves)
        self._tasks: dict[asyncio.Task[None], None] = {}
        """In the order in which they were begun: a set of tasks has none."""
        self._ended = asyncio.Event()
        self._synced = asyncio.Event()
        self._kinds: set[Kind] = set()
        self._term: str | None = None
        self._taking_over: asyncio.Task[None] | None = None
        self.exit_code = 0

        unlimited = not settings.pods_qps or not settings.pods_burst
        rates = {Bucket.PODS: (0.0, 1) if unlimited else (settings.pods_qps, settings.pods_burst)}
        limits = Limits(rates, clock=ports.clock)
        reader = self._client(ports.transport, limits)  # Events too: they need no lease
        writer = self._client(ports.transport, limits, may_write=self._may_write)
        self._events = EventWriter(reader, now=clock.now, instance=self._identity, clock=ports.clock)
        self._election = self._stand(self._client(ports.lease_transport, Limits(clock=ports.clock)))
        self.door = Door(self._enter, clock.now)
        reporter = Reporter(
            self._events,
            on_outcome=lambda _cause, outcome, seconds: telemetry.settled(outcome.value, seconds),
            on_defect=telemetry.defect,
        )
        self._writers = build(
            self.world,
            writer,
            put=self.door.answer,
            now=clock.now,
            lease_fresh=self._may_write,
            on_stale=lambda: self._end(1, "the lease ran out before it could be renewed"),
            observer=reporter,
            tell=reporter.warn,
            in_flight=settings.creates_in_flight,
            page_size=settings.page_size,
            scheduler=settings.scheduler_name,
            reaper_interval=settings.reaper_seconds,
            topology_interval=settings.topology_status_seconds,
            clock=ports.clock,
            random=ports.random,
        )
        self._loop = Loop(
            self.world,
            self._writers.workers,
            now=clock.now,
            correct=clock.correct,
            clock=ports.clock,
            quiet=settings.plan_quiet_ms / 1000,
            latest=settings.plan_latest_ms / 1000,
            watcher=telemetry,
        )
        self._lists = Lists(reader, SOURCES, self.door, settings.page_size)
        self.own = OwnKinds(
            self._lists,
            self.door,
            interval=settings.relist_seconds,
            on_missing=self._kinds_missing,
            on_back=self._kinds_back,
            on_list=telemetry.listed,
        )
        watched = [kind for kind in SOURCES if ports.kopf is None or kind not in OWN]
        self._reflectors = {kind: self._reflect(reader, kind, SOURCES[kind], self.door.put) for kind in watched}
        self._inputs = [
            self._reflect(reader, Kind.CHILD, Source(path, followed), followed.sink)
            for path, followed in (
                (paths.limit_ranges(), inputs.rules(self.door)),
                (paths.runtime_classes(), inputs.rules(self.door)),
                (paths.volume_claims(), inputs.volume_claims(self.door)),
            )
        ]
        self._kopf = self._kopf_feed(ports.kopf) if ports.kopf is not None else None
        telemetry.watch_world(self.world, self._lag)
        self._endpoints = Endpoints(
            telemetry,
            host=settings.bind_host_or_default(),
            metrics_port=settings.metrics_bind_port,
            probe_port=settings.probe_bind_port,
            healthy=self.healthy,
            ready=self.ready,
        )

    # --- building ---------------------------------------------------------------------------------------------------

    def _client(self, transport: Transport, limits: Limits, may_write: Callable[[], bool] | None = None) -> Client:
        ports = self._ports
        return Client(
            transport,
            limits,
            may_write=may_write,
            observe=self.telemetry.api,
            random=ports.random,
            clock=ports.clock,
        )

    def _stand(self, client: Client) -> Election | None:
        s = self.settings
        if not s.leader_elect:
            return None
        return Election(
            client,
            s.lease_namespace_or_default(),
            s.lease_name,
            self._identity,
            on_leading=self._elected,
            on_lost=lambda: self._end(1, "the lease was lost"),
            wall=self._ports.now,
            lease_seconds=s.lease_seconds,
            renew_seconds=s.lease_seconds / 3,
            deadline=s.lease_seconds * 2 / 3,
            poll_seconds=min(2.0, s.lease_seconds / 5),
            clock=self._ports.lease_clock,
            random=self._ports.random,
        )

    def _reflect(self, client: Client, kind: Kind, source: Source, sink: Callable[[Change], None]) -> Reflector:
        return Reflector(
            client,
            kind,
            source.path,
            source.decoder,
            sink,
            now=self._clock.now,
            label_selector=source.label_selector,
            page=self.settings.page_size,
            random=self._ports.random,
            clock=self._ports.clock,
        )

    def _kopf_feed(self, credentials: Callable[[], Credentials]) -> KopfFeed:
        home = asyncio.get_running_loop()

        def deliver(change: Change) -> None:
            with contextlib.suppress(RuntimeError):  # our loop is closed: the process is ending
                home.call_soon_threadsafe(self.door.put, change)

        decoders: dict[Kind, Decoder] = {kind: SOURCES[kind].decoder for kind in OWN}
        return KopfFeed(
            credentials=credentials,
            decoders=decoders,
            deliver=deliver,
            now=self._clock.now,
            on_start=self.telemetry.kopf_starts.inc,
            on_end=self.own.ask,
        )

    # --- the life of the process ------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until stopped or until the lease is lost; the exit code. Raises OSError if a port is taken."""
        await self._endpoints.start()
        if self.world.served:
            _log.info("serving these namespaces alone", namespaces=sorted(self.world.served))
        self._spawn("loop", self._loop.run())
        self._spawn("own kinds", self.own.run())
        self._spawn("events", self._events.run())
        for reflector in (*self._reflectors.values(), *self._inputs):
            self._spawn("reflector", reflector.run())
        self._spawn("reaper", self._writers.reaper.run())
        self._spawn("topology status", self._writers.topology.run())
        self._spawn("measure", self._measure())
        self._spawn("unseen", self._look_for_unseen())
        if self._kopf is not None:
            self._spawn("kopf", self._watch_own(self._kopf))
        if self._election is not None:
            self._spawn("election", self._election.run())
        else:
            _log.warning("leader election is off: never run two of these")
            self._elected("none")
        try:
            await self._ended.wait()
        finally:
            await self._shut_down()
        return self.exit_code

    def stop(self) -> None:
        """End in good order; a second call ends at once."""
        if self._ended.is_set():
            os._exit(1)
        self._end(0, "asked to stop")

    def handle_signals(self) -> None:
        """Stop on SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)

    def _end(self, code: int, why: str) -> None:
        if not self._ended.is_set():
            self.exit_code = code
            (_log.error if code else _log.info)(f"ending: {why}")
            self._ended.set()

    async def _shut_down(self) -> None:
        self._loop.stop()
        if self._taking_over is not None:
            self._taking_over.cancel()
        answered = await self._writers.workers.drain(self.settings.shutdown_seconds if not self.exit_code else 0)
        if self._election is not None and answered and not self.exit_code:
            await self._election.release()  # otherwise it runs out by itself, after everything in flight has ended
        if self._kopf is not None:
            await self._kopf.stop()
        await self._events.close(EVENTS_SECONDS)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._endpoints.stop()
        await self._ports.close()
        _log.info("ended", code=self.exit_code)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("defect: a task ended", task=task.get_name(), exc_info=error)
            self._end(1, f"{task.get_name()} ended with {type(error).__name__}")

    # --- leading ----------------------------------------------------------------------------------------------------

    def _may_write(self) -> bool:
        return self._election is None or self._election.fresh()

    def _elected(self, term: str) -> None:
        self._term = term
        self._take_over()

    def _take_over(self) -> None:
        if self._taking_over is not None:
            self._taking_over.cancel()
        self._taking_over = self._spawn("taking over", self._lead())

    async def _lead(self) -> None:
        await self._synced.wait()
        backoff = Backoff(self._ports.random, base=0.5, cap=10)
        while True:
            try:
                for kind in BEFORE_DECIDING:
                    await self._lists.read(kind)
                break
            except ApiError as error:
                _log.warning("cannot list before deciding, trying again", answer=str(error))
                await asyncio.sleep(backoff.next())
        if not self.own.missing:
            _log.info("leading", term=self._term)
            self.door.put(Leading(self._term))

    def _kinds_missing(self) -> None:
        if self._taking_over is not None:
            self._taking_over.cancel()
        if self._term is not None:
            self.door.put(Leading(None))

    def _kinds_back(self) -> None:
        if self._kopf is not None:
            self._kopf.restart()
        if self._term is not None:
            self._take_over()

    # --- what goes in, and what is seen from outside ----------------------------------------------------------------

    def _enter(self, change: Change) -> None:
        self.telemetry.change(change)
        self._loop.put(change)
        if isinstance(change, Synced):
            self._kinds.add(change.kind)
            if len(self._kinds) == len(Kind) and not self._synced.is_set():
                self._synced.set()
                self._ports.on_synced()
                _log.info("all caches are synced", **{kind.value: self.door.held(kind) for kind in Kind})

    async def _watch_own(self, kopf: KopfFeed) -> None:
        """It looks for its kinds only when it starts, so it starts when they are there."""
        await self.own.synced.wait()
        await kopf.run()

    async def _measure(self) -> None:
        while True:
            self.telemetry.measure(self.world, round(self._ports.clock() * 1000))
            await asyncio.sleep(MEASURE_SECONDS)

    async def _look_for_unseen(self) -> None:
        while True:
            await asyncio.sleep(UNSEEN_MS / 2000)
            for kind in sorted(self.door.overdue(UNSEEN_MS), key=lambda kind: kind.value):
                with contextlib.suppress(ApiError):
                    await self._lists.read(kind)

    def _lag(self) -> dict[str, float]:
        now = self._ports.clock()
        return {kind.value: now - r.contact for kind, r in self._reflectors.items() if r.contact is not None}

    def healthy(self) -> str:
        """Why the process should be restarted; empty if it should not."""
        now, limit = self._ports.clock(), self.settings.stuck_seconds
        if now - self._loop.heartbeat > limit:
            return f"the loop has not turned for {now - self._loop.heartbeat:.0f} s"
        turned = self._kopf.turned_at if self._kopf is not None else None
        if turned is not None and now - turned > limit:
            return f"kopf has not turned for {now - turned:.0f} s"
        return ""

    def ready(self) -> str:
        """What is not ready yet; empty if all is. A follower with warm caches is ready."""
        if self.own.missing:
            return "not installed: " + ", ".join(sorted(kind.value for kind in self.own.missing))
        waiting = sorted(kind.value for kind in Kind if kind not in self._kinds)
        return "not synced yet: " + ", ".join(waiting) if waiting else ""
