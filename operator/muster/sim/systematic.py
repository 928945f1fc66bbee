"""Every fault once: from a run without faults, one plan for each thing that can go wrong at each point of it.

A point is a request or a watch event of the reference run, by channel and number. At each write: a crash before it,
after it, and with it on its way; no answer though it was carried out, or was not, or arrives later; every class of
answer; a process that stands still before, after, or with it on its way; caches that stand still from there on. At each
read, dry run and renewal of the lease: no answer, an error, a crash. At each event of a watch: late, twice, cut off
before and after it, 410 in its place, a crash. At each opening of a watch: refused, 410.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from muster.sim import trial
from muster.sim.faulty import Counts
from muster.sim.plan import Fault, Plan

Menu = tuple[tuple[str, float], ...]
"""What can happen at a point, and its value."""
WRITE: Menu = (
    ("crash-before", 0),
    ("crash-after", 0),
    ("crash-late", 0.3),
    ("crash-late", 20),
    ("lost", 0),
    ("lost", 40),
    ("lose-reply", 0),
    ("lose-reply", 40),
    ("late", 0.05),
    ("late", 2),
    ("slow", 1),
    ("refuse", 0),
    ("code", 409),
    ("code", 410),
    ("code", 429),
    ("code", 500),
    ("code-after", 504),
    ("freeze-before", 5),
    ("freeze-before", 25),
    ("freeze-after", 25),
    ("freeze-late", 25),
    ("stale", 1.5),
)
READ: Menu = (
    ("crash-before", 0),
    ("crash-after", 0),
    ("lose-reply", 0),
    ("lose-reply", 40),
    ("code", 429),
    ("code", 500),
    ("slow", 2),
    ("freeze-after", 25),
)
LEASE: Menu = (*READ, ("code", 409), ("late", 2), ("late", 20), ("crash-late", 2))
EVENT: Menu = (("lose-reply", 0), ("code", 500))
WATCHED: Menu = (
    ("delay", 1.5),
    ("double", 0),
    ("cut-before", 0),
    ("cut-after", 0),
    ("expire", 0),
    ("crash-before", 0),
    ("crash-after", 0),
    ("freeze-before", 25),
)
OPENED: Menu = (("refuse", 0), ("code", 410), ("code", 500), ("slow", 2))
MENU = {"write": WRITE, "dry": READ, "read": READ, "lease": LEASE, "event": EVENT}


def reference(run: str, seed: int = 0) -> tuple[Counts, ...]:
    """How far each channel of each seat comes when nothing goes wrong. Raises RuntimeError if something is wrong even
    then: the plans would tell nothing."""
    outcome = trial.run(Plan(run, seed))
    if not outcome.well:
        raise RuntimeError(f"{run} goes wrong without any fault: {'; '.join(outcome.faults())}")
    return outcome.counts


def singles(run: str, seed: int = 0) -> list[Plan]:
    """All plans of one fault."""
    return [Plan(run, seed, (fault,)) for fault in faults(reference(run, seed))]


def pairs(run: str, many: int, seed: int = 0) -> list[Plan]:
    """So many plans of two faults, drawn by the seed from all of them; the first in time first."""
    found = faults(reference(run, seed))
    draw = random.Random(f"{run}/{seed}/{many}")
    chosen: dict[tuple[int, int], None] = {}
    while len(chosen) < min(many, len(found) * (len(found) - 1) // 2):
        one, other = sorted(draw.sample(range(len(found)), 2))
        chosen[one, other] = None
    return [Plan(run, seed, (found[one], found[other])) for one, other in chosen]


def faults(counts: Sequence[Counts]) -> list[Fault]:
    """Every fault of the menus at every point that was reached."""
    return [fault for seat, each in enumerate(counts) for fault in _of_seat(seat, each)]


def _of_seat(seat: int, counts: Counts) -> Iterator[Fault]:
    for channel in sorted(counts.passed):
        for number in range(1, counts.passed[channel] + 1):
            yield from menu(seat, channel, number)


def menu(seat: int, channel: str, number: int) -> Iterator[Fault]:
    """What can go wrong at one point."""
    for what, value in MENU.get(channel, OPENED if channel.endswith("+") else WATCHED):
        yield Fault(seat, channel, number, what, value)
