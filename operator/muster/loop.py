"""The loop: what comes in goes to the world, what follows from it goes to the workers.

One task, the only one that changes the world. It takes in whatever has arrived, plans when nothing has come for a
moment (or has kept coming for too long), assumes every decision at once and hands it to its job's worker. A defect in
planning is logged, counted and tried again later: the loop itself never ends before it is told to.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from muster.core import plan as planning
from muster.core.model import Change, ClockSet, Elapsed, Lost, Plan, Transition
from muster.core.world import World
from muster.kube.backoff import Backoff

log = logging.getLogger(__name__)

AT_ONCE = 1000
"""Changes applied in one go; then others may run (a pod takes about 10 us, so this is 10 ms)."""
SHARE = 3.0
"""After a plan the next may not begin for so many times as long as it took: planning leaves most of the time to those
who carry out, while news keep coming,"""
REST_AT_MOST = 0.25
"""but not more seconds than this."""
HEARTBEAT = 5.0
"""Seconds after which an idle loop turns, to show that it lives and to notice a wall clock that was set."""


class Workers(Protocol):
    """Where decisions go; see worker.pool.Workers."""

    def submit(self, transition: Transition) -> None:
        """Commit this transition."""
        ...

    def kick(self, uid: str) -> None:
        """The duties of this job may have changed."""
        ...


class Watcher(Protocol):
    """Who is told what the loop did, for metrics; must not raise or block."""

    def applied(self, changes: int, lag: float) -> None:
        """So many changes went into the world, the oldest of them after waiting for `lag` seconds."""
        ...

    def planned(self, seconds: float, plan: Plan) -> None:
        """A plan took this long."""
        ...

    def defect(self, where: str) -> None:
        """A programming error was met in apply, plan, a single job or a hand-over, and survived."""
        ...


class Unwatched:
    """A Watcher that does not care."""

    def applied(self, changes: int, lag: float) -> None:
        """See Watcher."""

    def planned(self, seconds: float, plan: Plan) -> None:
        """See Watcher."""

    def defect(self, where: str) -> None:
        """See Watcher."""


class Loop:
    """See the module. `now` is the operator's clock in ms, `correct` sets it by the wall clock (`OurClock`); `clock` is
    the event loop's, monotonic and in seconds; `quiet` and `latest` in seconds."""

    def __init__(
        self,
        world: World,
        workers: Workers,
        *,
        now: Callable[[], int],
        correct: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
        quiet: float = 0.005,
        latest: float = 0.05,
        watcher: Watcher | None = None,
        plan: Callable[[World, int], Plan] = planning.plan,
    ) -> None:
        self._world = world
        self._workers = workers
        self._now = now
        self._correct = correct
        self._clock = clock
        self._quiet = quiet
        self._latest = latest
        self._watcher: Watcher = watcher if watcher is not None else Unwatched()
        self._plan = plan
        self._inbox: deque[Change] = deque()
        self._oldest: float | None = None
        """When the oldest change in the inbox came."""
        self._first: float | None = None
        """When the oldest change that has not been planned came."""
        self._last = 0.0
        self._wake_at: int | None = None
        """When to plan even if nothing happens (ms, wall clock)."""
        self._blocked_until = float("-inf")
        self._backoff = Backoff(lambda: 0.5, base=0.25)
        self._idle = Backoff(lambda: 0.5, base=0.01, cap=1.0)
        self._signal = asyncio.Event()
        self._stopping = False
        self._beat = clock()

    # --- the way in ---

    def put(self, change: Change) -> None:
        """Take in a change; on the loop's own thread."""
        at = self._clock()
        if self._oldest is None:
            self._oldest = at
        if self._first is None:
            self._first = at
        self._last = at
        self._inbox.append(change)
        self._signal.set()

    # --- what is seen from outside ---

    @property
    def waiting(self) -> int:
        """Changes in the inbox."""
        return len(self._inbox)

    @property
    def heartbeat(self) -> float:
        """When (clock) the loop last turned; a loop that lives turns every few seconds."""
        return self._beat

    # --- running ---

    def stop(self) -> None:
        """Make `run` return after the turn under way; nothing is planned any more."""
        self._stopping = True
        self._signal.set()

    async def run(self) -> None:
        """Turn until stopped."""
        while not self._stopping:
            await self._wait()
            await self.turn()

    async def turn(self) -> None:
        """Apply what has come in; plan if it is time."""
        self._beat = self._clock()
        self._signal.clear()
        while self._inbox and not self._stopping:
            self._apply()
            self._beat = self._clock()
            if self._inbox:
                await asyncio.sleep(0)
            if self._due() <= 0:
                break  # changes that never end must not keep us from deciding
        if not self._inbox:
            self._set_clock()  # the times that came in are by the clock as it was
        if not self._stopping and self._due() <= 0:
            self._decide()
            self._beat = self._clock()

    async def _wait(self) -> None:
        """Until something has come in, or it is time to plan."""
        delay = self._due()
        if self._inbox or delay <= 0:
            await asyncio.sleep(0)
            return
        timer = asyncio.get_running_loop().call_later(min(delay, HEARTBEAT), self._signal.set)
        try:
            await self._signal.wait()
        finally:
            timer.cancel()

    def _due(self) -> float:
        """In how many seconds to plan, as things are."""
        at = float("inf")
        now = self._clock()
        if self._first is not None:
            at = min(self._last + self._quiet, self._first + self._latest)
        if self._wake_at is not None:
            at = min(at, now + (self._wake_at - self._now()) / 1000)
        return max(at, self._blocked_until) - now

    def _apply(self) -> None:
        lag = self._clock() - self._oldest if self._oldest is not None else 0.0
        batch = min(AT_ONCE, len(self._inbox))
        for _ in range(batch):
            change = self._inbox.popleft()
            try:
                self._world.apply(change)
            except Exception:
                log.exception("defect while applying %.500r", change)
                self._watcher.defect("apply")
        # What is left came after; at the latest now.
        self._oldest = self._clock() if self._inbox else None
        self._watcher.applied(batch, lag)

    def _set_clock(self) -> None:
        """Follow the wall clock if somebody set it; in one go, so that nobody sees a clock and a world that differ."""
        by = self._correct()
        if by:
            log.warning("the wall clock was set by %d ms; what was measured is moved along", by)
            self.put(ClockSet(by))
            self._apply()

    def _decide(self) -> None:
        """Plan, assume, hand over."""
        world = self._world
        began = self._clock()
        self._first = began if self._inbox else None
        looked_at: tuple[str, ...] = ()
        try:
            now = self._now()
            if world.next_expiry is not None and world.next_expiry <= now:
                world.apply(Elapsed(now))
            plan = self._plan(world, now)
        except Exception:
            log.exception("defect while planning; tried again later")
            self._watcher.defect("plan")
            self._blocked_until = self._clock() + self._backoff.next()
            self._first = self._last = self._clock()
        else:
            self._backoff.reset()
            took = self._clock() - began
            self._blocked_until = began + took + min(REST_AT_MOST, SHARE * took)
            self._watcher.planned(took, plan)
            self._take(plan)
            looked_at = tuple(uid for uid, _ in plan.wakes)
        self._kick(looked_at)

    def _take(self, plan: Plan) -> None:
        for uid, error in plan.errors:
            log.error("defect while planning: %s", error, extra={"job": uid})
            self._watcher.defect("job")
        for transition in plan.transitions:
            self._hand_over(transition)
        try:
            self._world.settle(plan)
        except Exception:
            log.exception("defect while settling a plan")
            self._watcher.defect("settle")
        self._wake_at = plan.wake_at
        if plan.transitions or plan.wake_at is None or plan.wake_at > self._now():
            self._idle.reset()
        else:
            # Its time has passed, yet nothing could be decided (a commit is still under way): not as a hot loop.
            self._blocked_until = self._clock() + self._idle.next()

    def _hand_over(self, transition: Transition) -> None:
        """Assume a decision and pass it on; one that cannot be passed on is not left standing."""
        try:
            self._world.assume(transition)
            self._workers.submit(transition)
        except Exception:
            log.exception("defect while handing over %s", transition.cause, extra={"job": transition.job})
            self._watcher.defect("submit")
            self.put(Lost(transition.job, transition.base_rv))

    def _kick(self, looked_at: tuple[str, ...]) -> None:
        """Wake the workers of all jobs that changed, and of those whose time had come."""
        touched = self._world.take_touched()
        if not self._world.leading:
            return  # whoever becomes the leader has every job touched
        for uid in sorted(touched.union(looked_at)):
            try:
                self._workers.kick(uid)
            except Exception:
                log.exception("defect while waking a worker", extra={"job": uid})
                self._watcher.defect("kick")
