"""Go through a history event by event and put each to the checks.

A check is told the event, what the object was before, and the world after it. It keeps
what it needs to remember and returns sentences; `judge` turns them into violations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from muster.safety.hostlist import MalformedError
from muster.safety.judges import all_checks
from muster.safety.record import GAP, QUIET, Event, History
from muster.safety.world import SLACK_SECONDS, Check, World


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant: which, where in the history, in words, and whom it is about (names, uids)."""

    invariant: str
    rv: int
    sentence: str
    about: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.invariant} at {self.rv}: {self.sentence}"


def judge(history: History, checks: Iterable[Check] | None = None, slack: float = SLACK_SECONDS) -> list[Violation]:
    """Return the violations of a history, in order; a repeated sentence is reported once. `slack`: for how many seconds
    the caches of an operator may be stale in it."""
    chosen = list(all_checks() if checks is None else checks)
    world = World(gaps=history.gaps(), slack=slack)
    found: dict[tuple[str, str], Violation] = {}
    for event in history.ordered():
        for violation in _step(event, world, chosen):
            found.setdefault((violation.invariant, violation.sentence), violation)
    return list(found.values())


def _step(event: Event, world: World, checks: Iterable[Check]) -> Iterator[Violation]:
    if event.type == GAP:
        return
    before = None
    if event.type != QUIET:
        try:
            before = world.apply(event)
        except MalformedError as error:
            yield Violation("format", event.rv, f"{event.name}: {error}", (event.name, event.uid))
            return
    for check in checks:
        for sentence, about in check.see(event, before, world):
            yield Violation(check.invariant, event.rv, sentence, about)


def report(found: Iterable[Violation], history: History) -> str:
    """Return the violations in words, each with the history around it."""
    parts = []
    for violation in found:
        parts.append(str(violation))
        parts += [f"    {describe(event)}" for event in history.about(violation.about, violation.rv)]
    return "\n".join(parts)


def describe(event: Event) -> str:
    """Return one line about an event."""
    status = event.object.get("status") or {}
    meta = event.object.get("metadata") or {}
    facts = [str(status["phase"])] if "phase" in status else []
    if event.kind == "TrainingJob":
        facts += [f"attempt={status.get('attempt', 0)}"]
        roles = (status.get("placement") or {}).get("roles") or ()
        facts += [f"{each['name']}={each['nodes']} born={each.get('born')}" for each in roles]
    elif event.kind == "Pod":
        spec = event.object.get("spec") or {}
        facts += ["gated"] if spec.get("schedulingGates") else []
        facts += [f"on {spec['nodeName']}"] if spec.get("nodeName") else []
    facts += ["terminating"] if meta.get("deletionTimestamp") else []
    return f"{event.rv} {event.type:8} {event.kind} {event.name} {' '.join(facts)}"
