"""Keeps a World in step with a live cluster, as far as the rack map needs it: nodes, pods, jobs and the topology."""

from __future__ import annotations

import asyncio
import logging
import time
from types import TracebackType
from typing import Self

from muster.cli.output import Failed
from muster.core.model import Change, Kind
from muster.core.world import World
from muster.feeds import SOURCES, Door
from muster.kube.client import Client
from muster.kube.credentials import ConfigurationError
from muster.kube.reflector import Reflector

KINDS = (Kind.NODE, Kind.POD, Kind.TOPOLOGY, Kind.JOB)
NEEDED = frozenset({Kind.NODE, Kind.POD})
"""Without these there is no map; without the others it is drawn all the same."""
PATIENCE = 10.0
"""Seconds for which an error may last before the first list of a kind is given up."""


class Feed:
    """An async context: follows the cluster from entry to exit.

        async with Feed(client) as feed:
            await feed.ready()
            picture(feed.world, feed.warnings)

    `news` is set whenever the World has changed.
    """

    def __init__(self, client: Client, *, patience: float = PATIENCE) -> None:
        self.world = World()
        self.news = asyncio.Event()
        self._patience = patience
        # What goes wrong is told by `ready` and `warnings`; log lines would tear the picture apart.
        logging.getLogger("muster.kube.reflector").addHandler(logging.NullHandler())
        logging.getLogger("muster.kube.reflector").propagate = False
        door = Door(self._apply, _now)
        self._reflectors = {
            kind: Reflector(client, kind, SOURCES[kind].path, SOURCES[kind].decoder, door.put, now=_now)
            for kind in KINDS
        }
        self._tasks: dict[Kind, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._tasks = {kind: asyncio.create_task(each.run()) for kind, each in self._reflectors.items()}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def ready(self) -> None:
        """Wait until every kind has been listed, or is known not to be had. Raises Failed for those that are needed."""
        since = time.monotonic()
        while waiting := [kind for kind in KINDS if not self._settled(kind, time.monotonic() - since)]:
            self.check()
            await asyncio.sleep(0.02 if len(waiting) < len(KINDS) else 0.05)
        self.check()
        for kind in NEEDED:
            reflector = self._reflectors[kind]
            if not reflector.synced:
                raise Failed(f"cannot list {kind.value}: {reflector.problem}. Check --kubeconfig and --context.")

    def check(self) -> None:
        """Raises Failed if there is no way to the API server at all."""
        for kind, task in self._tasks.items():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                if isinstance(error, ConfigurationError):
                    raise Failed(str(error)) from None
                raise Failed(f"cannot read {kind.value}: {error}") from error

    @property
    def warnings(self) -> list[str]:
        """What the map lacks, in words."""
        said = []
        for kind, reflector in self._reflectors.items():
            if reflector.missing:
                said.append(f"the cluster does not serve {kind.value}; `muster crds` prints what to apply")
            elif reflector.problem:
                state = "out of date" if reflector.synced else "taken as none"
                said.append(f"cannot read {kind.value}, {state}: {reflector.problem}")
        return said

    def _apply(self, change: Change) -> None:
        self.world.apply(change)
        self.news.set()

    def _settled(self, kind: Kind, waited: float) -> bool:
        reflector = self._reflectors[kind]
        if reflector.synced or reflector.missing:
            return True
        # An answer is an answer: only silence and busy servers are worth another try.
        refused = "(403" in reflector.problem or "(401" in reflector.problem
        return bool(reflector.problem) and (refused or waited > self._patience)


def _now() -> int:
    return time.time_ns() // 1_000_000
