"""What is done to a run, as a value of one line, so that a failing case is replayed by one command.

    start@0 0/write:7=crash-after 0/pods:3=delay:2.5

is: the run `start` with seed 0; the operator in seat 0 dies after its 7th write was carried out, before the answer; the
3rd event of its watch of pods comes 2.5 s late. Channels are counted from 1, through all lives of a seat:

| channel | is |
|---|---|
| write | every write but those below |
| dry | dry runs |
| read | lists and gets |
| lease, event | everything about the Lease; Kubernetes Events |
| pods, nodes, ... | events that watches of this kind deliver |
| pods+, nodes+, ... | openings of watches of this kind |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

REQUEST = frozenset(
    {
        "crash-before",
        "crash-after",
        "crash-late",
        "freeze-before",
        "freeze-after",
        "freeze-late",
        "lost",
        "lose-reply",
        "late",
        "slow",
        "refuse",
        "code",
        "code-after",
        "stale",
    }
)
"""What can happen to a request. crash and freeze: the process dies, or stops for so many seconds, before the request
leaves, after it was carried out, or with the request on its way: it then arrives after so many seconds (crash-late), or
when the process goes on (freeze-late). lost: it never arrives; lose-reply: it is carried out; late: it arrives after so
many seconds, all three without an answer. slow: it arrives late and is answered. refuse: no connection. code: answered
so and not carried out; code-after: carried out, and answered so. stale: the seat's watches are silent for so many
seconds from here on."""
EVENT = frozenset(
    {"delay", "double", "cut-before", "cut-after", "expire", "crash-before", "crash-after", "freeze-before"}
)
"""What can happen to an event of a watch. expire: in its place comes an ERROR of code 410."""
OPENING = frozenset({"refuse", "code", "slow"})
_FAULT = re.compile(r"(\d+)/([a-z]+)(\+?):(\d+)=([a-z-]+)(?::([0-9.]+))?")
_PLAN = re.compile(r"([a-z-]+)@(\d+)")


class Unreadable(ValueError):  # noqa: N818
    """A plan that cannot be read; the message says where and what would do."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: where (seat, channel, the how-manieth there) and what. `value` is seconds or an HTTP status."""

    seat: int
    channel: str
    number: int
    what: str
    value: float = 0.0

    @property
    def holds_back(self) -> float:
        """For how many seconds a write that was decided on is kept from arriving: no check before it leaves helps."""
        late = self.what in ("freeze-before", "freeze-late", "crash-late", "late", "slow")
        return self.value if late and self.channel == "write" else 0.0

    def __str__(self) -> str:
        return f"{self.seat}/{self.channel}:{self.number}={self.what}" + (f":{self.value:g}" if self.value else "")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read what `str` wrote. Raises Unreadable."""
        found = _FAULT.fullmatch(text)
        if found is None:
            raise Unreadable(
                f"{text!r} is no fault: write SEAT/CHANNEL:NUMBER=WHAT, or with :VALUE, as in 0/write:7=lost"
            )
        seat, channel, opening, number, what, value = found.groups()
        request = channel in ("write", "dry", "read", "lease", "event")
        known = OPENING if opening else REQUEST if request else EVENT
        if what not in known or (request and opening):
            raise Unreadable(f"{text!r}: {channel}{opening} knows {', '.join(sorted(known))}")
        return cls(int(seat), channel + opening, int(number), what, float(value or 0))


@dataclass(frozen=True, slots=True)
class Plan:
    """A run by its name, the seed of all that is drawn, and the faults."""

    run: str
    seed: int = 0
    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        return " ".join((f"{self.run}@{self.seed}", *map(str, self.faults)))

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Read what `str` wrote. Raises Unreadable."""
        head, *faults = text.split() or [""]
        found = _PLAN.fullmatch(head)
        if found is None:
            raise Unreadable(f"{head!r} is no run: write NAME@SEED, as in start@0")
        return cls(found[1], int(found[2]), tuple(map(Fault.parse, faults)))
