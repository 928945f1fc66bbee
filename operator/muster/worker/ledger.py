"""When a duty may be tried again. It only spares requests: losing it costs some, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from muster.core.model import Duty
from muster.kube.backoff import Random

AFTER_SUCCESS = 2.0
"""Seconds until a duty that was done is believed to be due again: its answer has long been applied by then. If somebody
keeps undoing it, the delay doubles."""
AFTER_FAILURE = 0.25
LONGEST = 60.0
FORGET = 300.0
"""Seconds after which a duty that was not tried any more starts anew."""


class Ledger:
    """The duties of one job that were tried lately. `clock`s are in seconds, monotonic."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._tried: dict[Duty, tuple[int, float]] = {}
        """Duty -> (tries in a row, not before)."""

    def due(self, duties: Iterable[Duty], clock: float) -> tuple[list[Duty], float | None]:
        """The duties that may be tried now, in their order, and in how many seconds the next of the others may be."""
        due: list[Duty] = []
        next_: float | None = None
        for duty in duties:
            at = self._tried.get(duty, (0, clock))[1]
            if at <= clock:
                due.append(duty)
            elif next_ is None or at < next_:
                next_ = at
        return due, None if next_ is None else next_ - clock

    def done(self, duty: Duty, clock: float) -> None:
        """It was carried out; the world will soon show it."""
        self._note(duty, clock, AFTER_SUCCESS, 0.0)

    def later(self, duty: Duty, clock: float, at_least: float = 0.0) -> None:
        """It was not, and is not to be tried again at once."""
        self._note(duty, clock, AFTER_FAILURE, at_least)

    def _note(self, duty: Duty, clock: float, base: float, at_least: float) -> None:
        tries, until = self._tried.get(duty, (0, clock))
        if clock - until > FORGET:
            tries = 0
        delay = min(LONGEST, base * 2.0 ** min(tries, 30)) * (1 + self._random() / 2)
        self._tried[duty] = (tries + 1, clock + max(delay, at_least))

    def clear(self) -> None:
        """A new phase: everything may be tried at once."""
        self._tried.clear()
