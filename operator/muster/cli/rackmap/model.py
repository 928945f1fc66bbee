"""The picture of a cluster that `rackmap` draws: groups of racks of cells, one cell a node, and the jobs in them.

Nothing here knows Kubernetes, a terminal or a clock. `world.picture` makes a Picture from a World; whoever
knows its cluster otherwise makes one by hand. A *rack* is a domain of the narrowest level (usually NVLink), a *group*
a domain of the level above it (usually a leaf); `slots` are accelerators.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum


class Health(Enum):
    """Whether a node may take new pods, and if not, why. The values are those of `-o json`."""

    OK = "ok"
    CORDONED = "cordoned"
    TAINTED = "tainted"
    """It carries a hard taint that the pod defaults do not tolerate."""
    NOT_READY = "notReady"
    OUT_OF_SERVICE = "outOfService"

    @property
    def usable(self) -> bool:
        """New pods may go there."""
        return self is Health.OK

    @property
    def broken(self) -> bool:
        """What runs there is lost, or may be."""
        return self in (Health.NOT_READY, Health.OUT_OF_SERVICE)


@dataclass(frozen=True, slots=True)
class Cell:
    """One node. `jobs` are the keys (namespace/name) of the TrainingJobs that hold it, `running` whether pods of theirs
    run there now, `others` whether pods that are no TrainingJob's hold something (DaemonSets apart). `free` of `slots`
    accelerators are not in use; a node that is not usable offers none of them (see `open`)."""

    node: str
    health: Health = Health.OK
    jobs: tuple[str, ...] = ()
    running: bool = False
    others: bool = False
    free: int = 0
    slots: int = 0

    @property
    def held(self) -> bool:
        """Somebody uses it."""
        return bool(self.jobs) or self.others

    @property
    def open(self) -> int:
        """Accelerators that a new pod could have."""
        return self.free if self.health.usable else 0


@dataclass(frozen=True, slots=True)
class Rack:
    """A domain of the narrowest level, its nodes in natural order. `name` is short enough to show, `domain` the label's
    value; empty for nodes that carry no such label and are only drawn together."""

    name: str
    cells: tuple[Cell, ...]
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A domain of the level above, its racks in natural order; `name` is empty where there is no such level."""

    name: str
    racks: tuple[Rack, ...]
    parent: str = ""
    """The domain of the level above that; groups of one parent follow each other."""


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job of the legend. `note` is said after the phase: where it is, or why it waits."""

    key: str
    phase: str
    nodes: int = 0
    racks: int = 0
    groups: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A cluster at one moment. `jobs` that hold nodes come first, in the order in which they get their letters."""

    groups: tuple[Group, ...] = ()
    jobs: tuple[JobLine, ...] = ()
    rack_level: str = "rack"
    group_level: str = ""
    unit: str = "GPU"
    """What a slot is called, in the singular."""
    warnings: tuple[str, ...] = field(default=())

    def racks(self) -> Iterator[Rack]:
        """All racks, in the order in which they are drawn."""
        return (rack for group in self.groups for rack in group.racks)

    def cells(self) -> Iterator[Cell]:
        """All nodes, in the order in which they are drawn."""
        return (cell for rack in self.racks() for cell in rack.cells)


class Marks:
    """The letters A to Z, given to jobs and kept: between two pictures a job keeps its letter, and a letter that came
    free is the last to be given again. Jobs beyond 26 share `MORE`."""

    LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    MORE = "+"

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._next: list[str] = list(self.LETTERS)

    def assign(self, keys: Iterable[str]) -> dict[str, str]:
        """Letters for these jobs, by key; earlier ones are served first."""
        wanted = list(dict.fromkeys(keys))
        for key in self._given.keys() - set(wanted):
            self._next.append(self._given.pop(key))
        for key in wanted:
            if key not in self._given and self._next:
                self._given[key] = self._next.pop(0)
        return {key: self._given.get(key, self.MORE) for key in wanted}
