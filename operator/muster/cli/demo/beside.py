"""What a greedy scheduler would have made of the same story: the same nodes, gangs and moments, in its own cluster.

Read from what the API showed. Whenever muster commits a placement, greedy best-fit places the same gang among the gangs
that it has placed itself; whenever muster's claim ends, so does greedy's. It neither waits nor starts: a gang for which
it finds no room is counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from muster.cli.demo.greedy import best_fit
from muster.core.model import Job, Upsert
from muster.core.placement.tree import Tree
from muster.core.world import World
from muster.kube import parse
from muster.safety.record import Event

Mask = npt.NDArray[np.bool_]
RULE = (
    "the narrowest level at which one domain holds the whole gang, there the domain with least room; inside it "
    "the same, or where no child holds what is left the one with most room first"
)


@dataclass(frozen=True, slots=True)
class Racks:
    """The racks (domains of the narrowest level) that a placement uses, and how many of them nobody used before."""

    used: int
    opened: int


@dataclass(slots=True)
class Pair:
    """One gang's placements, ours and greedy's (None: it found no room). The last one where there were several."""

    ours: Racks
    greedy: Racks | None

    def text(self) -> str:
        """What greedy would have done, after its name."""
        if self.greedy is None:
            return "would have found no room for it"
        more = self.greedy.used - self.ours.used
        if not more:
            return f"would have used as many racks: {self.ours.used}"
        times = f"{abs(more)} {'more' if more > 0 else 'fewer'} than muster's {self.ours.used}"
        return f"would have used {self.greedy.used} racks for it, {times}"


@dataclass(slots=True)
class Sums:
    """Over all placements for which both found room; `without_room` counts those for which greedy did not."""

    placements: int = 0
    ours: list[int] = field(default_factory=lambda: [0, 0])
    greedy: list[int] = field(default_factory=lambda: [0, 0])
    without_room: int = 0

    def text(self) -> str:
        """In plain numbers."""
        (ours, opened), (theirs, theirs_opened) = self.ours, self.greedy
        more = theirs - ours
        out = (
            f"Greedy best-fit, given the same {self.placements} gangs in the same order, uses {theirs} racks for them, "
        )
        out += f"{abs(more)} {'more' if more > 0 else 'fewer'} than muster's {ours}" if more else "as muster does"
        out += f"; {theirs_opened} of them were empty before, of muster's {opened}."
        return f"{out} It finds no room for {self.without_room}." if self.without_room else out

    def as_json(self) -> dict[str, Any]:
        """For machines."""

        def racks(pair: list[int]) -> dict[str, int]:
            return {"used": pair[0], "opened": pair[1]}

        return {
            "rule": RULE,
            "placements": self.placements,
            "racks": racks(self.greedy),
            "ours": racks(self.ours),
            "withoutRoom": self.without_room,
        }


class _Cluster:
    """Whole nodes, taken and given back."""

    def __init__(self, tree: Tree) -> None:
        self._rack = tree.domain[tree.depths - 1]
        self._holders = np.zeros(tree.count, np.int64)
        self._held: dict[str, Mask] = {}

    @property
    def free(self) -> Mask:
        """The nodes that nobody holds."""
        free: Mask = self._holders == 0
        return free

    def take(self, job: str, nodes: Mask) -> Racks:
        """A gang takes these nodes."""
        racks = set(self._rack[nodes].tolist())
        out = Racks(len(racks), len(racks.difference(self._rack[self._holders > 0].tolist())))
        self._held[job] = nodes
        self._holders += nodes
        return out

    def give_back(self, job: str) -> None:
        """It holds nothing any more."""
        nodes = self._held.pop(job, None)
        if nodes is not None:
            self._holders -= nodes


class Beside:
    """Follows one story, in which every gang has one role, and every pod takes a whole node."""

    def __init__(self, nodes: Iterable[Mapping[str, Any]]) -> None:
        """`nodes`: the Node objects at the beginning."""
        world = World()
        for node in nodes:
            record = parse.record_from(node)
            if record is not None:
                world.apply(Upsert(record, 0))
        self._tree = tree = Tree(world.inventory)
        self._starts = tree.start[1 : tree.depths]
        self._here = np.ones(tree.count, bool)
        self._ours, self._greedy = _Cluster(tree), _Cluster(tree)
        self._attempt: dict[str, int] = {}
        self._nodes: dict[str, list[str]] = {}
        self._read = 0
        self.pairs: dict[str, Pair] = {}
        self.sums = Sums()

    def follow(self, events: list[Event]) -> None:
        """Read on from where it was left."""
        for event in events[self._read :]:
            if event.kind == "Node" and event.type == "DELETED" and event.name in self._tree.position:
                self._here[self._tree.position[event.name]] = False
            elif event.kind == "TrainingJob" and event.type in ("ADDED", "MODIFIED", "DELETED"):
                self._job(event)
        self._read = len(events)

    def _job(self, event: Event) -> None:
        name, status = event.name, event.object.get("status") or {}
        if event.type == "DELETED" or not status.get("live"):
            self._nodes.pop(name, None)
            self._ours.give_back(name)
            self._greedy.give_back(name)
        elif self._attempt.get(name) != status.get("attempt"):
            job = parse.record_from(event.object)
            if isinstance(job, Job) and job.status.placement is not None:
                self._attempt[name] = job.status.attempt
                nodes = [node for role in job.status.placement.nodes for node in role]
                if status.get("phase") != "Repairing" or self._nodes.get(name) != nodes:  # a restart places nothing
                    self._place(job, nodes)
                self._nodes[name] = nodes

    def _place(self, job: Job, names: list[str]) -> None:
        for cluster in (self._ours, self._greedy):
            cluster.give_back(job.name)
        nodes = np.zeros(self._tree.count, np.bool_)
        nodes[[self._tree.position[name] for name in names]] = True
        segments = job.roles[0].segments
        segment = min(segments[0].size, len(names)) if segments else 1
        ours = self._ours.take(job.name, nodes)
        found = best_fit((self._greedy.free & self._here).astype(np.int64), self._starts, len(names), segment)
        if found is None:
            self.pairs[job.name] = Pair(ours, None)
            self.sums.without_room += 1
            return
        greedy = self._greedy.take(job.name, found > 0)
        self.pairs[job.name] = Pair(ours, greedy)
        self.sums.placements += 1
        for total, mine in ((self.sums.ours, ours), (self.sums.greedy, greedy)):
            total[0] += mine.used
            total[1] += mine.opened
