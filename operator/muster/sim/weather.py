"""What storms do on the way between operators and API server: for a while, something befalls a part of what passes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from muster.kube.transport import Request, Response
from muster.sim.faulty import refusal
from muster.sim.plan import Fault

REQUESTS = ("lost", "lose-reply", "late", "slow", "refuse", "code", "code-after")
OPENINGS = ("refuse", "code", "slow")
EVENTS = ("delay", "double", "cut-before", "cut-after", "expire")


@dataclass(frozen=True, slots=True)
class Spell:
    """One kind of trouble.

    until -- loop time (seconds) of its end. share -- of what passes, 0 to 1. what, value -- as in `plan`.
    channels -- where; for watches, kinds in the plural, none: all of them. seat -- whose, None: everybody's.
    """

    until: float
    share: float
    what: str
    value: float = 0.0
    channels: frozenset[str] = frozenset()
    seat: int | None = None


class Sky:
    """The weather over all seats. `refusing` words: creates of pods are answered by 403 with them, while not empty."""

    def __init__(self) -> None:
        self.spells: list[Spell] = []
        self.refusing = ""

    def clear(self) -> None:
        """Trouble is over."""
        self.spells.clear()
        self.refusing = ""


class Weather:
    """A Chooser: what the sky does to one seat. `now` is the loop's time, given when there is one."""

    def __init__(self, sky: Sky, seat: int, draw: random.Random) -> None:
        self._sky = sky
        self._seat = seat
        self._draw = draw
        self.now: Callable[[], float] = lambda: 0.0

    def request(self, channel: str, number: int, request: Request) -> Fault | Response | None:
        """See faulty.Chooser."""
        if channel.endswith("+"):
            return self._strike(channel, OPENINGS)
        if self._sky.refusing and request.method == "POST" and request.path.endswith("/pods"):
            return refusal(403, request, self._sky.refusing)
        return self._strike(channel, REQUESTS)

    def event(self, channel: str, number: int, line: bytes) -> Fault | None:
        """See faulty.Chooser."""
        return self._strike(channel, EVENTS)

    def _strike(self, channel: str, fitting: tuple[str, ...]) -> Fault | None:
        now, seat = self.now(), self._seat
        for spell in self._sky.spells:
            if now >= spell.until or spell.what not in fitting or spell.seat not in (None, seat):
                continue
            if spell.channels and channel not in spell.channels:
                continue
            if self._draw.random() < spell.share:
                return Fault(seat, channel, 0, spell.what, spell.value)
        return None
