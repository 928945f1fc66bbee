"""Growing delays with jitter, and the one retry helper (tenacity) for what may be repeated as it was."""

from __future__ import annotations

import asyncio
import random as _random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from muster.kube.errors import RETRYABLE, ApiError

T = TypeVar("T")
Random = Callable[[], float]
"""A uniform number in [0, 1)."""
Sleep = Callable[[float], Awaitable[None]]
"""Waits so many seconds."""


class Backoff:
    """Delays in seconds that double from `base` up to `cap`, each drawn between half and the whole of it."""

    def __init__(self, random: Random = _random.random, *, base: float = 0.25, cap: float = 30.0) -> None:
        self._random = random
        self._base = base
        self._cap = cap
        self._steps = 0

    def next(self) -> float:
        """The next delay."""
        delay = min(self._cap, self._base * 2.0 ** min(self._steps, 30))
        self._steps += 1
        return delay * (0.5 + self._random() / 2)

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._steps = 0


async def retrying(
    call: Callable[[], Awaitable[T]],
    *,
    attempts: int = 5,
    base: float = 0.1,
    cap: float = 5.0,
    random: Random = _random.random,
    sleep: Sleep = asyncio.sleep,
) -> T:
    """Await `call()` until it answers, at most `attempts` times, pausing in between; a Retry-After is kept to if it is
    longer. Only unknown and throttled answers are repeated: for reads and duties, never for a compare-and-set. Raises
    the last ApiError, and at once whatever else `call` raises."""
    backoff = Backoff(random, base=base, cap=cap)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, ApiError) else None
        return max(backoff.next(), asked or 0.0)

    async def attempt() -> T:  # tenacity does not await what a lambda returns
        return await call()

    retry = AsyncRetrying(
        sleep=sleep,
        stop=stop_after_attempt(attempts),
        wait=wait,
        retry=retry_if_exception(repeatable),
        reraise=True,
    )
    return await retry(attempt)


def repeatable(error: BaseException) -> bool:
    """Whether the same request may be sent again: unknown or throttled, but not an absent kind (that takes long)."""
    return isinstance(error, ApiError) and error.answer in RETRYABLE and not error.absent_kind
