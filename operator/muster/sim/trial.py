"""A plan, carried out: the run with its faults, then the faults stop, and the API's history is judged."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from muster import safety
from muster.safety.world import SLACK_SECONDS
from muster.sim import liveness
from muster.sim.deeds import TOPOLOGIES, Deeds
from muster.sim.faulty import ByPlan, Chooser, Counts
from muster.sim.history import Record
from muster.sim.journal import Line
from muster.sim.plan import Plan, Unreadable
from muster.sim.runs import RUNS, Run
from muster.sim.world import World

SETTLE_SECONDS = 900.0
"""In which every job must have started, or have a true reason: longer than any back-off."""
QUIET_SECONDS = 10.0
LATE_SECONDS = 65.0
"""As QUIET_SECONDS, where a job waits or there is a ClusterTopology: numbers in their status may be a minute old."""
STILL_SECONDS = 50.0
"""For so long nothing may be written, after QUIET_SECONDS in which the last word may still come."""
OURS = ("TrainingJob", "Pod", "Service", "ClusterTopology")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan.

    violations -- of S1-S7, by the checker. unfinished -- jobs without a start or a true reason (L1), and what was
    written although nothing changed (L3). defects -- programming errors that the operator or the loop met. injected --
    the faults that came to pass. counts -- by seat, how far each channel came.
    """

    plan: Plan
    record: Record
    violations: tuple[safety.Violation, ...]
    unfinished: tuple[str, ...]
    defects: tuple[str, ...]
    injected: tuple[str, ...]
    counts: tuple[Counts, ...]
    log: tuple[Line, ...]
    seconds: float

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.violations or self.unfinished or self.defects)

    def faults(self) -> list[str]:
        """What is wrong, in sentences."""
        return [*map(str, self.violations), *self.unfinished, *self.defects]


def run(plan: Plan, runs: Mapping[str, Run] = RUNS, choose: Callable[[Plan, int], Chooser] | None = None) -> Outcome:
    """Carry out a plan in a fresh world. `choose` makes the chooser of a seat, by default from the plan's faults.

    Raises Unreadable if there is no such run."""
    told = runs.get(plan.run)
    if told is None:
        raise Unreadable(f"there is no run {plan.run!r}: {', '.join(sorted(runs))} are known")
    make = choose if choose is not None else _by_plan
    choosers = {number: make(plan, number) for number in range(told.site.operators)}
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle would end what hangs in cycles at a time that no seed decides
    try:
        with World(told.site, plan.seed, choosers) as world:
            return _judged(plan, world, told)
    finally:
        if collecting:
            gc.enable()


def _by_plan(plan: Plan, seat: int) -> Chooser:
    return ByPlan(fault for fault in plan.faults if fault.seat == seat)


def _judged(plan: Plan, world: World, told: Run) -> Outcome:
    deeds = Deeds(world)
    told.story(deeds)
    for seat in world.seats:
        seat.counts.stopped = True
    unfinished = _settle(deeds)
    still = _stillness(deeds) if not unfinished else []
    for _ in range(told.expiries):
        still = _stillness(deeds) if still else []
    history = world.record.history(quiet=not unfinished)
    return Outcome(
        plan,
        world.record,
        tuple(safety.judge(history, slack=_lag(plan, told))),
        (*unfinished, *still),
        (*world.journal.defects, *world.loop.problems),
        tuple(each for seat in world.seats for each in seat.counts.injected),
        tuple(seat.counts for seat in world.seats),
        tuple(world.journal.lines),
        world.now,
    )


def _lag(plan: Plan, told: Run) -> float:
    """How far decisions may lag behind what the API shows: a write that was on its way for so long was right by what
    could be known when it left, and the API server, which compares the versions of one object alone, takes it."""
    return max(told.lag, *(SLACK_SECONDS + fault.holds_back for fault in plan.faults), 0.0)


def _settle(deeds: Deeds) -> list[str]:
    """Let the faults run out, and everything come to rest; what has not."""
    world = deeds.world

    def at_rest() -> bool:
        seats = world.seats
        return all(seat.settled for seat in seats) and any(seat.leading for seat in seats) and not left()

    def left() -> list[str]:
        return liveness.unfinished(deeds.jobs(), deeds.nodes(), deeds.pods())

    if world.until(at_rest, SETTLE_SECONDS):
        return []
    return left() or ["no operator leads"]


def _stillness(deeds: Deeds) -> list[str]:
    """L3: when nothing changes nothing is written."""
    world = deeds.world
    waits = any(job["status"]["phase"] == "Pending" for job in deeds.jobs())
    told = waits or bool(deeds.items(TOPOLOGIES))
    world.run(LATE_SECONDS if told else QUIET_SECONDS)
    written = len(world.record.written)
    world.run(STILL_SECONDS)
    return [
        f"{each.by} wrote {each.kind} at {each.rv}, though nothing had changed"
        for each in world.record.since(written, "op")
        if each.kind in OURS
    ]
