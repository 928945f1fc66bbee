"""Make the pictures of docs/placement.md from runs of the solver: `python docs/placement_pictures.py`.

The same code gives the same bytes; a test makes them again and compares.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from muster.cli.demo.greedy import best_fit
from muster.core.inventory import Inventory
from muster.core.model import Filter, Found, Level, Node, Pod, RoleShape, Segments, Shape, Stage, TopologySpec
from muster.core.placement import Solver

HERE = Path(__file__).parent
LEVELS = (Level("leaf", ("example.com/leaf",)), Level("rack", ("example.com/rack",)))
GPU = "nvidia.com/gpu"
ONE = ((GPU, 4), ("pods", 1))
STYLE = """
.paper { fill: #ffffff; stroke: #d0d7de }
text { fill: #1f2328; font: 11px ui-sans-serif, system-ui, sans-serif }
.head { font-weight: bold; font-size: 12px }
.small { font-size: 9px }
path { fill: none }
.free { stroke: #d8dee4 }
.used { stroke: #8c959f }
.gang { stroke: #0072b2 }
.next { stroke: #d55e00 }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117; stroke: #30363d }
text { fill: #e6edf3 }
.free { stroke: #30363d }
.used { stroke: #6e7681 }
.gang { stroke: #56b4e9 }
.next { stroke: #e69f00 }
}
"""
WIDE = 7
"""Pixels of a letter of a heading, about."""
FREE, USED, GANG, NEXT = "free", "used", "gang", "next"


class Cluster:
    """Racks of nodes that pods take whole. `leaves`: per leaf, per rack (nodes, of which the first so many in use)."""

    def __init__(self, leaves: Sequence[Sequence[tuple[int, int]]]) -> None:
        self.inventory = Inventory()
        self.inventory.set_topology(TopologySpec("default", "t", 1, 1, "Custom", LEVELS))
        self.racks: list[list[str]] = []
        self.leaves = [len(leaf) for leaf in leaves]
        for i, leaf in enumerate(leaves):
            for nodes, used in leaf:
                r = len(self.racks)
                names = [f"r{r:02}-n{n:02}" for n in range(nodes)]
                labels = {"example.com/leaf": f"l{i}", "example.com/rack": f"r{r:02}"}
                for name in names:
                    self.inventory.put_node(Node(name, name, 1, labels, ((GPU, 4), ("pods", 110))))
                for name in names[:used]:
                    self.inventory.use(Pod(name, "other", name, 1, Stage.RUNNING, ONE, name))
                self.racks.append(names)
        self.solver = Solver()

    def free(self) -> set[str]:
        """The nodes that nobody holds."""
        return {name for rack in self.racks for name in rack if self.inventory.free_on(name)[0][1] == 4}

    def optimal(self, pods: int, segment: int = 0) -> Found:
        """Where muster puts a gang."""
        found = self.solver.place(self.inventory, gang(pods, segment))
        assert isinstance(found, Found), found
        return found

    def greedy(self, pods: int) -> list[str]:
        """Where greedy best-fit puts one."""
        tree = self.solver.tree(self.inventory)
        free = self.free()
        slots = np.array([int(name in free) for name in tree.names], np.int64)
        found = best_fit(slots, tree.start[1 : tree.depths], pods)
        assert found is not None
        return [tree.names[at] for at in np.flatnonzero(found).tolist()]

    def fullest_first(self, pods: int) -> list[str]:
        """Where a scheduler puts one that fills the racks in use first, as bin packing does."""
        free = self.free()
        order = sorted(self.racks, key=lambda rack: sum(name in free for name in rack) - len(rack))
        return [name for rack in order for name in rack if name in free][:pods]

    def claim(self, owner: str, nodes: Iterable[str]) -> None:
        """A gang takes these nodes."""
        self.inventory.claim(owner, dict.fromkeys(nodes, ONE))


def gang(pods: int, segment: int = 0) -> Shape:
    """One role; each pod takes a node."""
    segments = (Segments("rack", segment),) if segment else ()
    return Shape((RoleShape("worker", pods, ONE, Filter(), None, None, segments),))


def worn(seed: int = 0) -> Cluster:
    """64 racks of 18 as 200 gangs of many sizes leave them that came and went, all placed by muster; at most four
    fifths in use."""
    cluster, rng = Cluster([[(18, 0)] * 8] * 8), random.Random(seed)
    live: list[tuple[str, int]] = []
    held = 0
    for i in range(200):
        pods = rng.choice((1, 2, 2, 4, 4, 6, 8, 8, 12, 16, 16, 24, 32, 32, 48, 64, 64, 96, 128))
        segment = 16 if pods >= 32 and rng.random() < 0.5 else 0
        while live and held + pods > 0.8 * 64 * 18:
            gone, size = live.pop(rng.randrange(len(live)))
            cluster.inventory.release(gone)
            held -= size
        found = cluster.solver.place(cluster.inventory, gang(pods, segment))
        if isinstance(found, Found):
            cluster.claim(f"gang-{i}", found.nodes[0])
            live.append((f"gang-{i}", pods))
            held += pods
    return cluster


# --- Drawing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Map:
    """Racks side by side, one square a node, a gap between leaves. `marks`: what holds each node (absent: nobody)."""

    head: str
    cluster: Cluster
    marks: dict[str, str]
    notes: tuple[str, ...] = ()
    """Below each rack."""


def cells(cluster: Cluster, free: set[str], gang_nodes: Sequence[str], segment: int = 0) -> dict[str, str]:
    """Marks: in use, or of the gang; its segments in turn in two colours."""
    marks = {name: USED for rack in cluster.racks for name in rack if name not in free}
    for rank, name in enumerate(gang_nodes):
        marks[name] = NEXT if segment and rank // segment % 2 else GANG
    return marks


def drawn(each: Map, left: int, top: int, size: int) -> tuple[str, int, int]:
    """The map, its right and its lower end. Columns are drawn as dashed lines, one dash a node."""
    runs: dict[str, list[str]] = {}
    x, tallest, rack = left, max(map(len, each.cluster.racks)), 0
    body = [f'<text class="head" x="{left}" y="{top + 10}">{each.head}</text>']
    top += 18
    for racks in each.cluster.leaves:
        for names in each.cluster.racks[rack : rack + racks]:
            y = top + (tallest - len(names)) * size
            at = 0
            for name in range(1, len(names) + 1):
                if name == len(names) or each.marks.get(names[name]) != each.marks.get(names[at]):
                    line = f"M{x + size // 2} {y + at * size}v{(name - at) * size}"
                    runs.setdefault(each.marks.get(names[at], FREE), []).append(line)
                    at = name
            if each.notes:
                middle = x + size // 2
                place = f'x="{middle}" y="{top + tallest * size + 11}" text-anchor="middle"'
                body.append(f'<text class="small" {place}>{each.notes[rack]}</text>')
            x += size + (size // 2 if not each.notes else 3 * size)
            rack += 1
        x += size
    dash = f'stroke-width="{size - 1}" stroke-dasharray="{size - 1} 1"'
    body += [f'<path class="{mark}" {dash} d="{"".join(lines)}"/>' for mark, lines in sorted(runs.items())]
    return "\n".join(body), x, top + tallest * size + (16 if each.notes else 4)


def svg(title: str, told: str, rows: Sequence[Sequence[Map]], size: int) -> str:
    """A picture of rows of maps, with its text alternative, on paper of its own for light and for dark."""
    body: list[str] = []
    width, top = 0, 14
    for row in rows:
        left, low = 16, top
        for each in row:
            text, right, bottom = drawn(each, left, top, size)
            body.append(text)
            left, low = max(right, left + WIDE * len(each.head)) + 16, max(low, bottom)
        width, top = max(width, left), low + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" height="{top}" '
        f'role="img" aria-labelledby="t d">\n<title id="t">{title}</title>\n<desc id="d">{told}</desc>\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{top - 1}" rx="6"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


# --- The pictures ---------------------------------------------------------------------------------------------------


def racks_of(cluster: Cluster, nodes: Iterable[str]) -> list[list[str]]:
    """The racks that these nodes touch."""
    mine = set(nodes)
    return [rack for rack in cluster.racks if not mine.isdisjoint(rack)]


def two_leaves() -> Cluster:
    """Two leaves of eight racks, partly in use: the worked example."""
    used = (2, 0, 18, 9, 2, 5, 0, 12), (0, 2, 0, 1, 2, 18, 3, 0)
    return Cluster([[(18, n) for n in leaf] for leaf in used])


def before_after() -> str:
    """64 pods in segments of 16 on two leaves of eight racks."""
    cluster = two_leaves()
    free = cluster.free()
    found = cluster.optimal(64, 16)
    order = list(found.nodes[0])
    ranks: list[str] = []
    for rack in cluster.racks:
        mine = [order.index(name) for name in rack if name in order]
        ranks.append(f"{min(mine)}-{max(mine)}" if mine else "")
    touched = dict(found.domains)
    told = (
        "Two leaves of eight racks with 18 nodes each, partly in use. A gang of 64 pods in segments of 16 is placed on "
        f"{touched['rack']} racks of {touched['leaf']} leaf, and leaves {found.objective.leftover} nodes over in them."
    )
    counts = tuple(str(sum(name in free for name in rack)) for rack in cluster.racks)
    rows = [
        [Map("before: free nodes below each rack", cluster, cells(cluster, free, ()), counts)],
        [Map("after: ranks below each rack", cluster, cells(cluster, free, order, 16), tuple(ranks))],
    ]
    return svg("A gang of 64 in segments of 16", told, rows, 9)


def traps() -> str:
    """Two small states in which a rule of thumb is worse."""
    one = Cluster([[(19, 0), (10, 0), (10, 0)]])
    two = Cluster([[(18, 0), (18, 9), (18, 9)]])
    rows = []
    told = []
    for cluster, pods, rule, wrong in (
        (one, 20, "most room first", one.greedy(20)),
        (two, 18, "racks in use first", two.fullest_first(18)),
    ):
        free = cluster.free()
        row = []
        for label, nodes in ((rule, wrong), ("optimum", cluster.optimal(pods).nodes[0])):
            touched = racks_of(cluster, nodes)
            head = f"{pods} by {label}: {len(touched)} rack{'s'[: len(touched) - 1]}"
            over = sum(name in free for rack in touched for name in rack) - pods
            row.append(Map(head, cluster, cells(cluster, free, nodes)))
            told.append(f"{head}, {over} nodes left over in them.")
        rows.append(row)
    return svg("Two traps for rules of thumb", " ".join(told), rows, 9)


def worn_racks() -> str:
    """A gang of 72 on a cluster that has been in use."""
    cluster, pods = worn(), 72
    free = cluster.free()
    theirs, ours = cluster.greedy(pods), cluster.optimal(pods).nodes[0]
    rows = []
    told = []
    for label, nodes in (("greedy best-fit", theirs), ("muster", ours)):
        head = f"{pods} pods by {label}: {len(racks_of(cluster, nodes))} racks"
        told.append(f"{head}.")
        rows.append([Map(head, cluster, cells(cluster, free, nodes))])
    return svg(
        "Greedy and optimal on a worn cluster", f"64 racks, {len(free)} of 1152 nodes free. {' '.join(told)}", rows, 6
    )


PICTURES = {
    "placement-before-after.svg": before_after,
    "placement-traps.svg": traps,
    "placement-worn.svg": worn_racks,
}


def main() -> int:
    """Write them."""
    for name, make in PICTURES.items():
        text = make()
        (HERE / name).write_text(text, encoding="utf-8")
        print(f"{HERE / name}: {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
