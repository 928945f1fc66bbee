"""What every part of a worker is given: the way back to the world, the clocks, and the right to go on."""

from __future__ import annotations

import asyncio
import random as _random
import time
from collections.abc import Callable
from dataclasses import dataclass

from muster.core.model import Change
from muster.kube.backoff import Random


class Closed(Exception):  # noqa: N818  (a state, not a fault)
    """No further request may be sent: the lease has run out, or the process is shutting down."""


class Gate:
    """Whether a request may still be sent. `on_stale` is called once, when the lease is first found to be stale."""

    def __init__(self, lease_fresh: Callable[[], bool], on_stale: Callable[[], None]) -> None:
        self._lease_fresh = lease_fresh
        self._on_stale = on_stale
        self._sleepers: dict[asyncio.Future[None], None] = {}
        self.closed = False

    def check(self) -> None:
        """Raise Closed unless a request may be sent now."""
        if not self.closed and not self._lease_fresh():
            self.stale()
        if self.closed:
            raise Closed

    async def pause(self, seconds: float) -> None:
        """Wait on the event loop's clock; raise Closed as soon as the gate is."""
        if self.closed:
            raise Closed
        loop = asyncio.get_running_loop()
        sleeper = loop.create_future()
        timer = loop.call_later(seconds, _wake, sleeper)
        self._sleepers[sleeper] = None
        try:
            await sleeper
        finally:
            timer.cancel()
            del self._sleepers[sleeper]
        if self.closed:
            raise Closed

    def stale(self) -> None:
        """The lease has run out: nothing more is sent from here on."""
        if not self.closed:
            self.close()
            self._on_stale()

    def close(self) -> None:
        """Shut down: what is in flight may end, nothing more is sent."""
        self.closed = True
        for sleeper in self._sleepers:
            _wake(sleeper)


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


@dataclass(frozen=True, slots=True)
class Tools:
    """`put` is the door; `now` the wall clock in ms; `clock` the event loop's, monotonic and in seconds; `random` in
    [0, 1) spreads retries."""

    put: Callable[[Change], None]
    now: Callable[[], int]
    gate: Gate
    clock: Callable[[], float] = time.monotonic
    random: Random = _random.random
