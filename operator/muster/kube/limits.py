"""How fast we write: one token bucket per purpose, so that creating a gang's pods delays no lease and no commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from enum import Enum

from muster.kube.backoff import Sleep


class Bucket(Enum):
    """What a request is for."""

    PODS = "pods"
    """Creates and patches of pods and of what goes with them."""
    COMMITS = "commits"
    """Compare-and-sets of our own status."""
    DELETES = "deletes"
    LEASE = "lease"
    EVENTS = "events"
    OTHERS = "others"
    """Reads and everything else."""


_SOON = 1e-6
"""A wait shorter than this is none: rounding may leave a rest that no clock can show."""


class TokenBucket:
    """Lets `rate` requests a second pass, after a burst of `burst`; rate 0 is no limit.

    `acquire` serves in order of arrival. `pause` holds everybody back for as long as the server asked. The clock is
    monotonic, in seconds.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if rate < 0 or (rate > 0 and burst < 1):
            raise ValueError(f"a rate of {rate} with a burst of {burst} lets nothing pass; 0 means no limit")
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._sleep = sleep
        self._tokens = self._burst
        self._filled = float("inf")
        self._paused_until = float("-inf")
        self._queue = asyncio.Lock()

    async def acquire(self) -> None:
        """Wait for our turn. May be cancelled; nothing is used up then."""
        async with self._queue:  # serves in order; only the first sleeps
            while (delay := self._delay()) > 0:
                await self._sleep(delay)
            self._tokens -= 1

    def pause(self, seconds: float) -> None:
        """The server asked for quiet."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _delay(self) -> float:
        now = self._clock()
        if self._paused_until - now > _SOON:
            return self._paused_until - now
        if self._rate == 0:
            self._tokens = self._burst
            return 0.0
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = now
        missing = (1 - self._tokens) / self._rate
        return missing if missing > _SOON else 0.0


DEFAULTS: Mapping[Bucket, tuple[float, int]] = {
    Bucket.PODS: (50, 100),
    Bucket.COMMITS: (100, 200),
    Bucket.DELETES: (100, 200),
    Bucket.LEASE: (0, 1),
    Bucket.EVENTS: (5, 25),
    Bucket.OTHERS: (100, 200),
}
"""(requests a second, burst)."""


class Limits:
    """One TokenBucket for each purpose; `rates` overrides DEFAULTS."""

    def __init__(
        self,
        rates: Mapping[Bucket, tuple[float, int]] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        chosen = {**DEFAULTS, **(rates or {})}
        self._buckets = {
            bucket: TokenBucket(rate, burst, clock=clock, sleep=sleep) for bucket, (rate, burst) in chosen.items()
        }

    def __getitem__(self, bucket: Bucket) -> TokenBucket:
        return self._buckets[bucket]
