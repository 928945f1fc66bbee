"""A cluster and the operators on it, in one virtual event loop; `deeds` is what people and machines do to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

from muster.api import crds
from muster.embedded.cluster import EmbeddedCluster
from muster.embedded.nodes.nodecare import MONITOR_GRACE_MS
from muster.embedded.nodes.podlife import Delays
from muster.embedded.nodes.racks import Racks
from muster.embedded.server import Server
from muster.sim.faulty import ByPlan, Chooser
from muster.sim.history import Known, Record
from muster.sim.journal import Journal
from muster.sim.loop import NOBODY, VirtualLoop
from muster.sim.seat import Seat
from muster.sim.transport import InProcess

START = 1_800_000_000_000
"""The wall clock at the beginning, ms."""
LATENCY = (0.0004, 0.0016)
"""Seconds, least and most, of one way between an operator and the API server."""
REACTION = 0.02
"""Seconds from a write to what scheduler, kubelets and controllers do about it."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Site:
    """What a world begins with.

    racks -- of machines; none: add them by hand. operators -- how many seats. delays -- of the pods.
    options -- settings of the operators over `seat.CONFIGURATION`.
    """

    racks: Racks | None = field(default_factory=lambda: Racks(racks=2, nodes=3))
    operators: int = 1
    delays: Delays = Delays(start=0.5, stop=0.2)  # noqa: RUF009  (frozen)
    options: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    grace_ms: int = MONITOR_GRACE_MS
    """How long a machine is silent before it is NotReady."""


class World:
    """See the module. Close it; or use it as a context.

    seed -- of all that is drawn: uids, latencies, jitter. choosers -- by seat, what their transports do.
    """

    def __init__(
        self, site: Site | None = None, seed: int = 0, choosers: Mapping[int, Chooser] = MappingProxyType({})
    ) -> None:
        self.site = site = Site() if site is None else site
        self.loop = VirtualLoop()
        self._random = random.Random(seed)
        self.random: Callable[[], float] = self._random.random
        self.ahead = 0
        """How far (ms) the wall clock of the cluster has been set forward."""
        self._stack = ExitStack()
        self.journal = Journal(self.loop.time)
        self._stack.enter_context(self.journal.open())
        self.server = Server(self.wall, seed=seed)
        self.server.adopt(_definitions())
        self.record = Record(self.server, lambda: START / 1000 + self.loop.time())
        self._due: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self.server.on_write = self._wrote
        self.cluster = EmbeddedCluster(self.server, self.wall, site.delays, lost_machines=True, grace_ms=site.grace_ms)
        self.server.install(_documents()["priorityclasses.yaml"])
        if site.racks is not None:
            self.cluster.add(site.racks, self.wall())
        chosen = [choosers.get(number, ByPlan(())) for number in range(site.operators)]
        self.seats = [Seat(self, number, chooser, dict(site.options)) for number, chooser in enumerate(chosen)]
        self._pump()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything."""
        try:
            for seat in self.seats:
                seat.close()
            self.loop.run(asyncio.sleep(0.001))
            self.loop.close()
        finally:
            self._stack.close()

    # --- what the seats need ----------------------------------------------------------------------------------------

    def wall(self) -> int:
        """The wall clock of the cluster, ms."""
        return START + self.ahead + round(self.loop.time() * 1000)

    def connect(self, user: str) -> InProcess:
        """A connection to the API server; its writes are recorded as the user's."""
        least, most = LATENCY
        return InProcess(Known(self.server, self.record, user), lambda: least + (most - least) * self.random(), user)

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.loop.time()

    def start(self) -> None:
        """Start all operators."""
        for seat in self.seats:
            seat.start()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.run(asyncio.sleep(seconds))

    def until(self, holds: Callable[[], bool], within: float) -> bool:
        """Let at most so many seconds pass until something holds, looked at after each change; whether it does."""
        return self.loop.run(self._until(holds, within))

    async def _until(self, holds: Callable[[], bool], within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return holds()
        return True

    def _wrote(self) -> None:
        """In the middle of a write: the cluster is to look, soon."""
        self._changed.set()
        self._pump_at(self.loop.time() + REACTION)

    def _pump_at(self, at: float) -> None:
        if self._due is not None:
            if self._due.when() <= at:
                return
            self._due.cancel()
        self._due = self.loop.call_at(at, self._pump, context=NOBODY)

    def _pump(self) -> None:
        """What the cluster's own processes have to do now."""
        self._due = None
        due = self.cluster.step(self.wall())
        if due is not None:
            self._pump_at(max(self.loop.time(), (due - START - self.ahead) / 1000))

    def jump(self, ms: int) -> None:
        """Set the wall clock of the whole cluster forward."""
        self.ahead += ms
        self._pump_at(self.loop.time())


@cache
def _documents() -> dict[str, list[dict[str, Any]]]:
    return crds.documents()


@cache
def _definitions() -> Server:
    """A server that knows our kinds: to compile them takes longer than a run."""
    server = Server(lambda: START)
    documents = _documents()
    server.install(documents["trainingjobs.yaml"] + documents["clustertopologies.yaml"])
    return server
