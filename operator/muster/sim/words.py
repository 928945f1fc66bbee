"""A history in words: what happened, when, by whom, and what the operators said meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from muster import safety
from muster.safety.replay import describe
from muster.sim.history import Written
from muster.sim.trial import Outcome
from muster.sim.world import START

UNTOLD = frozenset({"Lease", "Namespace", "ServiceAccount", "PriorityClass", "Event"})
"""Kinds that only `everything` shows."""


def tell(outcome: Outcome, *, everything: bool = False) -> Iterator[str]:
    """Yield the lines of a history: virtual seconds, who, what. The log of the operators lies between the writes."""
    yield f"plan: {outcome.plan}"
    lines = [(line.at, 1, f"{line.process or '-':8} | {line.text}") for line in outcome.log]
    lines += [
        (written.at - START / 1000, 0, f"{written.by:8} {_words(written)}")
        for written in outcome.record.written
        if everything or written.kind not in UNTOLD
    ]
    for at, _, text in sorted(lines, key=lambda line: line[:2]):
        yield f"{at:9.3f} {text}"
    for fault in outcome.injected:
        yield f"fault that came to pass: {fault}"
    for wrong in outcome.faults():
        yield f"WRONG: {wrong}"
    if outcome.well:
        yield f"all is well after {outcome.seconds:.0f} s"


def _words(written: Written) -> str:
    return describe(safety.Event(written.rv, written.kind, written.type, written.object(), written.at))
