"""The operator's clock: the wall clock as it was, moved on by one that nobody can set, and corrected on purpose only.

How long a machine has been silent must not depend on somebody setting a clock meanwhile. So whoever measures by `now`
sees no jump; when the wall clock turns out to have been set, the loop corrects this clock between two turns and tells
the world by how much (`core.model.ClockSet`), which moves along whatever it has measured.
"""

from __future__ import annotations

from collections.abc import Callable

SLIGHT = 250
"""A difference (ms) that is let pass: time servers move clocks by less all the time."""


class OurClock:
    """See the module. `wall` in ms since 1970; `steady` in seconds since any moment, never set."""

    def __init__(self, wall: Callable[[], int], steady: Callable[[], float]) -> None:
        self._wall = wall
        self._steady = steady
        self._base = wall() - round(steady() * 1000)

    def now(self) -> int:
        """The time in ms since 1970, as this process counts it."""
        return self._base + round(self._steady() * 1000)

    def correct(self) -> int:
        """Follow the wall clock if it was set; by how much (ms), 0 for not."""
        by = self._wall() - self.now()
        if abs(by) < SLIGHT:
            return 0
        self._base += by
        return by
