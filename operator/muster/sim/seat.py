"""A place for one operator process, and its lives: start, stop, crash, freeze, and start again."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from muster import settings
from muster.app import App, Ports
from muster.kube.transport import Transport
from muster.sim.faulty import Chooser, Counts, Faulty
from muster.sim.journal import PROCESS
from muster.sim.loop import NOBODY, Process, VirtualLoop
from muster.sim.transport import InProcess

RESTART_SECONDS = 1.0
"""From the end of a process to the start of the next, as a kubelet would."""
CONFIGURATION: dict[str, Any] = {
    "lease_namespace": "kube-system",
    "metrics_bind_port": 0,
    "probe_bind_port": 0,
}


class Place(Protocol):
    """What a seat needs of the world."""

    loop: VirtualLoop

    def wall(self) -> int:
        """The wall clock, ms."""
        ...

    def random(self) -> float:
        """In [0, 1)."""
        ...

    def connect(self, user: str) -> InProcess:
        """A connection to the API server."""
        ...


class Seat:
    """See the module. `options` are settings of the operator over CONFIGURATION.

    Attributes: `counts` of all lives together; `skew` (ms) is how far the wall clock of this machine is ahead;
    `restart_after` (seconds) None: who dies stays dead; `ends` the exit codes of those who ended by themselves.
    """

    def __init__(self, world: Place, number: int, chooser: Chooser, options: dict[str, Any]) -> None:
        self._world = world
        self.number = number
        self.chooser = chooser
        defaults = {name: field.default for name, field in settings.Settings.model_fields.items()}
        # All of them are given: nothing may come from the environment.
        self._settings = settings.Settings(**(defaults | CONFIGURATION | options))
        self.counts = Counts()
        self.skew = 0
        self.restart_after: float | None = RESTART_SECONDS
        self.lives = 0
        self.ends: list[int] = []
        self.app: App | None = None
        self.process: Process | None = None
        self._wires: list[Faulty] = []
        self._links: list[InProcess] = []
        self._thaw: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """Of the process that lives here: `op0-1` is the first in seat 0."""
        return f"op{self.number}-{self.lives}"

    @property
    def settled(self) -> bool:
        """Whether a process lives here and goes on, and nothing of an earlier one is still to arrive; of one that is
        to be followed by nobody, whether it has ended."""
        if self.counts.under_way:
            return False
        if self.process is None:
            return self.restart_after is None
        return not self.process.frozen

    @property
    def leading(self) -> bool:
        """Whether the process here decides."""
        return self.process is not None and self.app is not None and self.app.world.leading

    def start(self) -> None:
        """Start a process; nothing if one lives."""
        if self.process is not None:
            return
        self.lives += 1
        self.process = process = Process(self.name)
        self._links = [self._world.connect(self.name) for _ in range(2)]
        self._wires = [Faulty(link, self.chooser, self, self.counts) for link in self._links]
        context = process.context()
        context.run(PROCESS.set, self.name)
        task = self._world.loop.create_task(self._live(), name=self.name, context=context)
        task.add_done_callback(lambda done: self._over(process, done), context=NOBODY)

    async def _live(self) -> int:
        world = self._world
        wires: list[Transport] = list(self._wires)

        async def close() -> None:
            return

        ports = Ports(
            wires[0],
            wires[1],
            None,
            lambda: world.wall() + self.skew,
            world.loop.time,
            close,
            lease_clock=world.loop.time,
            random=world.random,
            on_synced=lambda: None,
        )
        self.app = App(self._settings.model_copy(update={"identity": self.name}), ports)
        return await self.app.run()

    def _over(self, process: Process, task: asyncio.Task[int]) -> None:
        if self.process is not process:
            return  # it was killed
        if task.cancelled():
            code = -1
        elif (error := task.exception()) is not None:
            self._world.loop.problems.append(f"{process.name} ended with {error!r}")
            code = -1
        else:
            code = task.result()
        self.ends.append(code)
        self._vacate()

    def stop(self) -> None:
        """Ask the process to end in good order (SIGTERM); nobody follows it."""
        self.restart_after = None
        process = self.process
        if self.app is not None and process is not None:
            self._world.loop.call_soon(self.app.stop, context=process.context())

    def crash(self) -> None:
        """The process is killed; another starts in its place, after a while."""
        if self.process is not None:
            self._vacate()

    def freeze(self, seconds: float) -> None:
        """The process stands still for so long, and goes on."""
        process, loop = self.process, self._world.loop
        if process is None or process.frozen:
            return
        loop.freeze(process)
        self._thaw = loop.call_later(seconds, loop.thaw, process, context=NOBODY)

    def cut_off(self, on: bool) -> None:
        """Whether the process reaches the API server."""
        for link in self._links:
            link.down = on

    def close(self) -> None:
        """Kill the process; nobody follows it."""
        self.restart_after = None
        self.crash()

    def _vacate(self) -> None:
        process, loop = self.process, self._world.loop
        self.process = self.app = None
        if self._thaw is not None:
            self._thaw.cancel()
        for wire in self._wires:
            wire.cut = True
        if process is not None:
            loop.kill(process)
        if self.restart_after is not None:
            loop.call_later(self.restart_after, self.start, context=NOBODY)
