"""How fast placement decides, over eight fills of two clusters, and how much worse two common ways place.

`python -m benchmarks.placement [--racks 1024 4600] [--each N]`. Nothing here is asserted. CPU time is that of the
deciding thread; on a machine that others use it is higher than on a quiet one, hence the ratios and the yardstick.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np

from benchmarks import placement_baselines as baselines
from benchmarks.placement_world import FILLS, GPU, cluster, filled, gang, gangs, load, pod
from benchmarks.report import say, write
from muster.core.inventory import Inventory
from muster.core.model import Filter, Found, Requirement, Shape, Taint, Verdict
from muster.core.placement import Solver

T = TypeVar("T")
ENTRIES = ("cost", "nodes", "intact spines", "intact leaves", "intact racks", "intact nodes", "leftover")
TARGETS = {
    ("2-256", 1024): ("0.1 / 0.8", "0.5 / 2.5"),
    ("257-2,048", 1024): ("0.8 / 3", "5 / 15"),
    ("2-256", 4600): ("0.15 / 1", "0.9 / 4.5"),
    ("257-2,048", 4600): ("2 / 7", "20 / 95"),
    ("new requests", 0): ("10 / 35", ""),
    ("new filter", 0): ("10 / 35", ""),
    ("cannot be placed", 0): ("1", "3"),
    ("partial nodes, 2-256", 0): ("0.5 / 2", "3 / 8"),
}


@dataclass
class Times:
    """Milliseconds of CPU and wall clock."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def take(self, ask: Callable[[], T]) -> T:
        """Do it and note how long it took."""
        wall, cpu = time.perf_counter(), time.thread_time()
        answer = ask()
        self.cpu.append((time.thread_time() - cpu) * 1e3)
        self.wall.append((time.perf_counter() - wall) * 1e3)
        return answer

    def text(self, values: list[float]) -> str:
        """The median and the 99th percentile."""
        if not values:
            return ""
        return f"{np.percentile(values, 50):.2f} / {np.percentile(values, 99):.2f}"


Rows = dict[tuple[str, int, str], Times]


class Bench:
    """All measurements of one cluster size."""

    def __init__(self, racks: int, each: int, rows: Rows) -> None:
        self.racks, self.each, self.rows = racks, each, rows
        self.base = cluster(racks)
        self.solver = Solver()
        self.solver.tree(self.base)
        self.solver.emptied(self.base)
        self.worse: dict[str, list[tuple[int, int]]] = {}
        self.baseline = {"best-fit": Times(), "first-fit": Times(), "ours": Times()}
        self.compared: dict[str, list[bool]] = {}
        """By fill, whether best-fit was worse."""

    def times(self, row: str, mode: str) -> Times:
        """Where these measurements go."""
        return self.rows.setdefault((row, self.racks, mode), Times())

    def run(self) -> None:
        """Every fill."""
        for fill in FILLS:
            say(f"{self.racks * 18:,} nodes, {fill}")
            rng = random.Random(f"{fill} {self.racks}")
            inventory = filled(self.base, fill, self.solver)
            gc.collect()
            gc.freeze()
            for row, least, most in (("2-256", 2, 256), ("257-2,048", 257, 2048)):
                made = gangs(rng, least, most)
                shapes = [next(made) for _ in range(self.each)]
                self.kept(row, inventory, shapes, rng)
                self.stream(row, inventory.fork(), shapes, rng)
            self.never_seen(inventory, rng)
            self.compare(fill, inventory, rng)
            partial = filled(self.base, fill, self.solver, gpus=1)
            made = gangs(rng, 2, 256, gpus=1)
            shapes = [next(made) for _ in range(self.each)]
            self.kept("partial nodes, 2-256", partial, shapes, rng)
            self.stream("partial nodes, 2-256", partial.fork(), shapes, rng)

    def ask(self, row: str, mode: str, inventory: Inventory, shape: Shape) -> Found | Verdict:
        """One decision, noted under what came of it. The least that the empty cluster needs is kept per shape and asked
        before the clock starts."""
        self.solver.least(inventory, shape)
        times = Times()
        answer = times.take(lambda: self.solver.place(inventory, shape))
        kept = self.times(row if isinstance(answer, Found) else "cannot be placed", mode)
        kept.cpu += times.cpu
        kept.wall += times.wall
        return answer

    def kept(self, row: str, inventory: Inventory, shapes: list[Shape], rng: random.Random) -> None:
        """Nothing changes between the decisions."""
        for shape in shapes:
            self.solver.place(inventory, shape)
        for shape in rng.sample(shapes, len(shapes)):
            self.ask(row, "kept", inventory, shape)

    def stream(self, row: str, inventory: Inventory, shapes: list[Shape], rng: random.Random) -> None:
        """Each gang binds; another finishes when the cluster holds a third more than at first."""
        live: list[str] = []
        for i, shape in enumerate(shapes):
            answer = self.ask(row, "stream", inventory, shape)
            if isinstance(answer, Found):
                inventory.claim(f"new-{i}", load(answer, shape))
                live.append(f"new-{i}")
            if live and (isinstance(answer, Verdict) or len(live) > 8):
                inventory.release(live.pop(rng.randrange(len(live))))

    def never_seen(self, inventory: Inventory, rng: random.Random) -> None:
        """Requests that nobody has asked for, a filter likewise, and a solver that knows only the topology."""
        pods = rng.randint(2, 256)
        shape = gang(pods, cores=rng.randint(9, 100))
        self.times("new requests", "cold").take(lambda: self.solver.place(inventory, shape))
        unlike = Requirement("kubernetes.io/hostname", "NotIn", (f"r{rng.randrange(self.racks)}-n00",))
        other = gang(pods, filter_=Filter(affinity=(((unlike,),),)))
        self.times("new filter", "cold").take(lambda: self.solver.place(inventory, other))

    def compare(self, fill: str, inventory: Inventory, rng: random.Random) -> None:
        """The baselines beside the solver on the same states."""
        tree = self.solver.tree(inventory)
        for _ in range(self.each):
            segment = rng.choice((0, 16))
            pods = rng.randint(2, 256) if not segment else 16 * rng.randint(1, 16)
            shape = gang(pods, segment)
            self.solver.least(inventory, shape)
            found = self.baseline["ours"].take(lambda s=shape: self.solver.place(inventory, s))
            if not isinstance(found, Found):
                self.baseline["ours"].cpu.pop()
                self.baseline["ours"].wall.pop()
                continue
            free = inventory.room(GPU, tree.rows)
            assert free is not None
            here = baselines.state(free[0] // 4, ~inventory.intact(tree.rows))
            for name, place in (("best-fit", baselines.best_fit), ("first-fit", baselines.first_fit)):
                held = self.baseline[name].take(lambda h=here, f=place, p=pods, s=segment: f(h, p, s))
                assert held is not None, "a baseline must find what can be placed here"
                theirs, ours = baselines.vector(here, held), found.objective.vector[1:]
                assert ours <= theirs, (ours, theirs)
                worse = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b][:1]
                self.worse.setdefault(name, []).append(
                    (worse[0], theirs[worse[0]] - ours[worse[0]]) if worse else (-1, 0)
                )
                if name == "best-fit":
                    self.compared.setdefault(fill, []).append(bool(worse))


def noting(inventory: Inventory) -> tuple[float, float]:
    """Microseconds for noting a pod that comes or goes, with every view and search of the runs kept; for a fork."""
    names = [node.name for node in inventory.present()][:2000]
    pods = [pod(f"e-{name}", name, 4) for name in names]
    start = time.thread_time()
    for each in pods:
        inventory.use(each)
    for each in pods:
        inventory.free(each.id)
    event = (time.thread_time() - start) / len(pods) / 2 * 1e6
    start = time.thread_time()
    for _ in range(200):
        inventory.fork()
    return event, (time.thread_time() - start) / 200 * 1e6


def failing(bench: Bench) -> str:
    """Milliseconds for what happens to one node, until three shapes have been decided on again."""
    inventory = filled(bench.base, "random 20 %", bench.solver)
    shapes = [gang(100), gang(64, 16), gang(200)]
    node = next(inventory.present())

    def decide() -> float:
        start = time.thread_time()
        for shape in shapes:
            bench.solver.place(inventory, shape)
        return (time.thread_time() - start) * 1e3

    def after(change: Callable[[], None]) -> str:
        decide()
        start = time.thread_time()
        change()
        event = (time.thread_time() - start) * 1e3
        return f"{event + decide():.2f}"

    ill = replace(node, taints=(Taint("node.kubernetes.io/unreachable", "", "NoExecute"),), unready_since=1)
    told = {
        "ill": after(lambda: inventory.put_node(ill)),
        "tainted": after(lambda: inventory.put_node(replace(node, taints=(Taint("a", "", "NoSchedule"),)))),
        "deleted": after(lambda: inventory.drop_node(node.name)),
        "back": after(lambda: inventory.put_node(node)),
        "new": after(lambda: inventory.put_node(replace(node, name=f"{node.name}-new"))),
    }
    return (
        f"- {bench.racks * 18:,} nodes: one node, until three shapes have been decided on again, ms of CPU: "
        + ", ".join(f"{what} {ms}" for what, ms in told.items())
        + f"; nothing {decide():.2f}"
    )


def memory(racks: int) -> tuple[float, float, float]:
    """MB per 10,000 nodes: inventory, topology tree, and one view with one search for up to 256 pods."""
    tracemalloc.start()
    scale = 1e4 / (racks * 18) / 1e6
    inventory = cluster(racks)
    first = tracemalloc.get_traced_memory()[0]
    solver = Solver()
    solver.tree(inventory)
    second = tracemalloc.get_traced_memory()[0]
    fork = inventory.fork()
    rng = random.Random(1)
    for node in inventory.present():
        if rng.random() < 0.5:
            fork.use(pod(f"p-{node.name}", node.name, 4))
    before = tracemalloc.get_traced_memory()[0]
    role = gang(100).roles[0]
    solver.slots(fork, role.requests, role.filter)
    solver.place(fork, gang(100))
    third = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return first * scale, (second - first) * scale, (third - before) * scale


def yardstick() -> float:
    """Milliseconds for a fixed piece of work like that of a decision; tells how fast the machine was."""
    a = np.arange(257, dtype=np.int64)
    start = time.thread_time()
    for _ in range(100):
        (a[:, None] + a[None, :]).min(axis=1)
        sorted({i: i for i in range(300)}.items())
    return (time.thread_time() - start) * 10


def worse_lines(bench: Bench) -> list[str]:
    """How often, and by how much, each baseline is worse, by the first entry in which it differs."""
    out = []
    for name, seen in bench.worse.items():
        told = []
        for i, entry in enumerate(ENTRIES):
            mine = [by for at, by in seen if at == i]
            if mine:
                told.append(f"{entry} {100 * len(mine) / len(seen):.0f} % (by {np.mean(mine):.1f} in the mean)")
        share = 100 * sum(at >= 0 for at, _ in seen) / len(seen)
        times = bench.baseline[name]
        out.append(
            f"- {bench.racks * 18:,} nodes, {name}: {times.text(times.cpu)} ms of CPU, {times.text(times.wall)} by the "
            f"wall; worse in {share:.0f} % of {len(seen)}: {', '.join(told)}"
        )
    ours = bench.baseline["ours"]
    by_fill = [f"{fill} {100 * sum(seen) / len(seen):.0f} % of {len(seen)}" for fill, seen in bench.compared.items()]
    out.append(f"- {bench.racks * 18:,} nodes, best-fit is worse by fill: {', '.join(by_fill)}")
    out.append(
        f"- {bench.racks * 18:,} nodes, this solver on the same states, gangs not asked for before: "
        f"{ours.text(ours.cpu)} ms of CPU, {ours.text(ours.wall)} by the wall"
    )
    return out


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.placement", description="print figures and ratios")
    parser.add_argument("--racks", type=int, nargs="+", default=[1024, 4600])
    parser.add_argument("--each", type=int, default=40, help="gangs per fill and row")
    chosen = parser.parse_args()
    rows: Rows = {}
    lines: list[str] = []
    sticks = [yardstick()]
    for racks in chosen.racks:
        bench = Bench(racks, chosen.each, rows)
        bench.run()
        sticks.append(yardstick())
        event, fork = noting(bench.base)
        lines += worse_lines(bench)
        lines.append(f"- {racks * 18:,} nodes: noting a pod {event:.1f} us (at most 5 asked for), a fork {fork:.1f} us")
        lines.append(failing(bench))
        gc.unfreeze()
    held = memory(chosen.racks[0])
    lines.append(
        f"- memory per 10,000 nodes: inventory {held[0]:.1f} MB (records and labels in it), topology {held[1]:.1f} MB, "
        f"a view with a search for up to 256 pods {held[2]:.1f} MB"
    )
    table = []
    for (row, racks, mode), times in sorted(rows.items(), key=lambda item: (item[0][1], item[0][0], item[0][2])):
        target = TARGETS.get((row, racks)) or TARGETS.get((row, 0), ("", ""))
        asked = target[mode == "stream"]
        cpu, wall = times.text(times.cpu), times.text(times.wall)
        table.append((f"{racks * 18:,}", row, mode, asked, cpu, wall, str(len(times.cpu))))
    text = [
        "Milliseconds, p50 / p99, over eight fills: " + ", ".join(FILLS) + ". A decision is verdict, vector and node",
        "list. Half of the gangs are in segments of 16, their sizes multiples of it. What the empty cluster needs at",
        "least is kept per shape and asked before the clock starts. Answers are never taken from a cache of answers.",
        "",
        f"- {os.cpu_count()} cores ({platform.machine()}) shared with others, load average {os.getloadavg()[0]:.1f}",
        f"- Python {platform.python_version()}, numpy {np.__version__}, {datetime.now(UTC):%Y-%m-%d}",
        f"- yardstick (fixed work in numpy and Python) {min(sticks):.2f}-{max(sticks):.2f} ms",
        *lines,
    ]
    for line in lines:
        say(line)
    header = ("nodes", "gang", "state", "asked for", "CPU ms", "wall ms", "decisions")
    write("placement", "Placement: time and quality", text, header, table)


if __name__ == "__main__":
    main()
