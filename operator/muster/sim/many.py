"""Many plans and storms, on several processors, and what came of them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from muster.sim import storms, trial
from muster.sim.plan import Plan
from muster.sim.storms import Storm
from muster.sim.trial import Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is kept of an outcome, for many: the plan, what is wrong, and whether its faults came to pass."""

    plan: str
    wrong: tuple[str, ...]
    came_to_pass: bool

    def __str__(self) -> str:
        return "\n".join([f"  {self.plan}", *(f"      {sentence}" for sentence in self.wrong)])


@dataclass(frozen=True, slots=True)
class Report:
    """What came of many plans."""

    tried: int
    idle: int
    """Plans whose faults never came to pass."""
    failed: tuple[Verdict, ...]
    seconds: float
    what: str = "plans"

    @property
    def head(self) -> str:
        """How many, how fast, and how many failed, in one line."""
        rate = self.tried / self.seconds if self.seconds else 0.0
        idle = f"{self.idle} without effect, " if self.what == "plans" else ""
        head = f"{self.tried} {self.what} in {self.seconds:.1f} s ({rate:.1f} a second), "
        return head + idle + f"{len(self.failed)} failed"

    def __str__(self) -> str:
        return "\n".join([self.head, *map(str, self.failed)])


def outcome_of(text: str) -> Outcome:
    """Carry out what one line says: a plan, or a storm. Raises Unreadable."""
    if text.startswith("storm@"):
        return storms.run(Storm.parse(text))
    return trial.run(Plan.parse(text))


def judge(text: str) -> Verdict:
    """Carry out one plan, or let one storm pass; what is to be kept of it."""
    try:
        outcome = outcome_of(text)
    except Exception as error:  # of the simulation itself: the plan that shows it must not be lost
        return Verdict(text, (f"the simulation ended with {error!r}",), True)
    return Verdict(text, tuple(outcome.faults()), len(outcome.injected) >= len(outcome.plan.faults))


def all_of(
    plans: Iterable[Plan | Storm],
    workers: int = 1,
    heard: Callable[[Verdict], None] = lambda _: None,
    what: str = "plans",
) -> Report:
    """Carry out plans, on so many processors; `heard` is told of each. Their order changes nothing."""
    texts = [str(plan) for plan in plans]
    begun = time.perf_counter()
    failed: list[Verdict] = []
    idle = 0
    for verdict in _judged(texts, workers):
        heard(verdict)
        idle += not verdict.came_to_pass
        if verdict.wrong:
            failed.append(verdict)
    return Report(len(texts), idle, tuple(failed), time.perf_counter() - begun, what)


def _judged(texts: list[str], workers: int) -> Iterator[Verdict]:
    if workers <= 1:
        yield from map(judge, texts)
        return
    # Forked: what has been imported and compiled is there already.
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap(judge, texts, chunksize=8)
