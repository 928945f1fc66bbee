"""The queue at scale: 20,000 waiting jobs of 50 shapes on 1,152 full nodes, of which one is freed again and again.

In one process and in simulated time: what is applied, planned, assumed and acknowledged is what the loop would, one
after the other; API server and workers answer at once. `make bench-queue` writes benchmarks/results/queue.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.support.builders import admissions, changes, job, priority_class, role

from benchmarks.placement_world import LEVELS, RACK, asks, cluster, pod
from benchmarks.report import say, write
from muster.core.model import Gone, Job, Kind, Plan, Segments, TopologySpec, Upsert
from muster.core.plan import plan
from muster.core.world import World

START = 1_700_000_000_000
RACKS = 64
WAITING, SHAPES = 20_000, 50
EVERY = 5_000
"""A node is freed so often (ms, simulated)."""


@dataclass
class Figures:
    """What one run measured."""

    plans: list[float] = field(default_factory=list)
    """Seconds of each plan() after the first telling,"""
    cpu: list[float] = field(default_factory=list)
    """the same in CPU time, which says more where the machine is shared,"""
    turns: list[float] = field(default_factory=list)
    """and with what follows it in the loop: assume, settle, apply the answers."""
    freed: list[int] = field(default_factory=list)
    """Solver decisions after each freed node,"""
    asked: list[int] = field(default_factory=list)
    """and questions to it, those answered from memory included."""
    writes: list[int] = field(default_factory=list)
    """Status writes of waiting jobs in each simulated minute."""
    first: list[float] = field(default_factory=list)
    """Seconds of each plan() until all had been told once."""
    started: int = 0
    memory: float = 0.0
    """MiB of the process."""


class Bench:
    """One world, driven as the loop drives it."""

    def __init__(self, waiting: int, *, remember: bool = True, singles: bool = True) -> None:
        self.now = START
        self.rng = random.Random(17)
        self.figures = Figures()
        self.calls = 0
        self.remember = remember
        self.singles = singles
        """Some gangs need one node only, so that a freed node is taken at once."""
        self.world = World()
        self._fill(waiting)
        solver = self.world.solver
        place = solver.place

        def counted(*args: object) -> object:
            self.calls += 1
            return place(*args)  # type: ignore[arg-type]

        solver.place = counted  # type: ignore[method-assign,assignment]

    def _fill(self, waiting: int) -> None:
        nodes = list(cluster(RACKS).present())
        jobs = [self._job(i) for i in range(waiting)]
        levels = TopologySpec("default", "t", 1, 1, "Custom", LEVELS)
        kinds = {of.roles[0].template: of for of in jobs}.values()
        for change in changes(levels, priority_class(), *nodes, *(a for of in kinds for a in admissions(of)), *jobs):
            self.world.apply(change)
        self.busy = [node.name for node in nodes]
        for name in self.busy:
            self.world.apply(Upsert(pod(f"busy-{name}", name, 4), START))
        self.rng.shuffle(self.busy)

    def _job(self, i: int) -> Job:
        """Every tenth shape needs one node, the others up to eight racks, half of those in segments of 16."""
        shape = i % SHAPES
        nodes = 1 if self.singles and shape % 10 == 9 else 16 * (1 + shape % 9)
        segments = (Segments("nvlink", 16),) if nodes > 1 and shape % 2 else ()
        needs = asks(4, 8 + shape)
        worker = role(count=nodes, requests=needs, segments=segments, template=f"template-{shape}")
        return job(f"j{i:05}", worker, created=START - 1_000 * (WAITING - i))

    def turn(self) -> Plan:
        """One pass of the loop."""
        world = self.world
        if not self.remember:
            world.solver._refusals.clear()
        began, cpu = time.perf_counter(), time.process_time()
        made = plan(world, self.now)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        assert not made.errors, made.errors[:3]
        for transition in made.transitions:
            world.assume(transition)
        world.settle(made)
        for transition in made.transitions:
            was = world.acknowledged(transition.job)
            assert isinstance(was, Job)
            world.apply(Upsert(replace(was, rv=was.rv + 1, status=transition.status), self.now))
            if transition.cause == "Waiting":
                self.figures.writes[-1] += 1
            else:
                self.figures.started += 1
        world.take_touched()
        self.figures.plans.append(took)
        self.figures.cpu.append(cpu)
        self.figures.turns.append(time.perf_counter() - began)
        return made

    def rest(self, until: int) -> None:
        """Turn whenever the loop would, up to this moment."""
        made = self.turn()
        while made.transitions or (made.wake_at is not None and made.wake_at <= until):
            if not made.transitions and made.wake_at is not None:
                self.now = max(self.now + 10, made.wake_at)
            made = self.turn()
        self.now = until

    def run(self, freed: int) -> Figures:
        """Tell everybody once, then free so many nodes."""
        out = self.figures
        out.writes.append(0)
        self.rest(self.now + 50)
        out.first, out.plans, out.cpu, out.turns = out.plans, [], [], []
        say(f"  told {out.writes[0]} jobs in {len(out.first)} passes, {sum(out.first):.1f} s of planning")
        out.writes, begun = [0], self.now
        gc.collect()
        gc.freeze()
        for _ in range(freed):
            before = self._decided(), self.calls
            self.world.apply(Gone(Kind.POD, f"busy-{self.busy.pop()}", self.now))
            self.turn()
            until = begun + EVERY * (len(out.freed) + 1)
            self.rest(min(until, self.now + 1))
            out.freed.append(self._decided() - before[0])
            out.asked.append(self.calls - before[1])
            self.rest(until)
            if (until - begun) % 60_000 == 0:
                out.writes.append(0)
        if len(out.writes) > 1:
            out.writes.pop()
        out.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return out

    def _decided(self) -> int:
        return getattr(self.world.solver, "asked", self.calls)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def rows(out: Figures) -> dict[str, str]:
    """The figures in words."""
    return {
        "nodes freed, gangs started": f"{len(out.freed)}, {out.started}",
        "solver decisions a freed node: median, most": f"{median(out.freed):.0f}, {max(out.freed)}",
        "questions to the solver a freed node: median, most": f"{median(out.asked):.0f}, {max(out.asked)}",
        "plan(): p50, p99, most": _ms(out.plans),
        "plan() in CPU time: p50, p99, most": _ms(out.cpu),
        "plan(), assume, settle and apply: p50, p99, most": _ms(out.turns),
        "passes": str(len(out.plans)),
        "status writes of waiting jobs a minute: median, most": f"{median(out.writes):.0f}, {max(out.writes)}",
        "telling all once: passes, seconds of planning, longest plan()": (
            f"{len(out.first)}, {sum(out.first):.1f} s, {1000 * max(out.first):.0f} ms"
        ),
        "memory of the process": f"{out.memory:.0f} MiB",
    }


def _ms(values: Sequence[float]) -> str:
    return ", ".join(f"{1000 * v:.1f} ms" for v in (median(values), quantile(values, 0.99), max(values)))


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="benchmarks.queue", description=__doc__)
    parser.add_argument("--freed", type=int, default=240, help="nodes to free, one every 5 s of simulated time")
    parser.add_argument("--waiting", type=int, default=WAITING)
    parser.add_argument("--save", type=Path, help="write the figures here and no page")
    parser.add_argument("--forget", action="store_true", help="share refusals within a pass only")
    parser.add_argument("--beside", nargs=2, action="append", default=[], metavar=("TITLE", "FILE"))
    chosen = parser.parse_args()
    say(f"{chosen.waiting} waiting jobs of {SHAPES} shapes on {RACKS * RACK} nodes")
    mine = rows(Bench(chosen.waiting, remember=not chosen.forget).run(chosen.freed))
    for name, value in mine.items():
        say(f"  {name}: {value}")
    if chosen.save is not None:
        chosen.save.write_text(json.dumps(mine))
        return
    say("nobody needs one node alone: what is freed stays free")
    piling = rows(Bench(chosen.waiting, singles=False).run(max(1, chosen.freed // 5)))
    for name, value in piling.items():
        say(f"  {name}: {value}")
    columns = [
        ("now", mine),
        ("now, nobody needs one node alone", piling),
        *((title, json.loads(Path(file).read_text())) for title, file in chosen.beside),
    ]
    text = [
        (
            f"{chosen.waiting} waiting jobs of {SHAPES} shapes on {RACKS * RACK} full nodes; one node is freed every "
            f"{EVERY // 1000} s of simulated time. Every tenth shape needs one node, the others 16 to 144."
        ),
        "",
        (
            f"- {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
            f"load average {os.getloadavg()[0]:.1f}; measured {datetime.now(UTC):%Y-%m-%d}"
        ),
        "- `make bench-queue`; a decision is a question that the solver could not answer from memory",
    ]
    body = [[name, *(column.get(name, "") for _, column in columns)] for name in mine]
    write("queue", "The queue at scale", text, ["", *(title for title, _ in columns)], body)


if __name__ == "__main__":
    main()
