"""Who waits: jobs alike stand in one group, each group in the order of the queue, kept up as jobs change.

20,000 waiting jobs are mostly some dozens of kinds. What holds for one of a kind holds for all of them, so a pass walks
the groups, not the jobs, and finds those whose message is out of date without looking at the others. A cache: it
changes what a pass costs, never what it decides.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from muster.core.model import Job, PriorityClass, RoleSpec, Verdict

Order = tuple[int, int, str]
"""(-priority, created, uid): the place in the queue."""
Kind = tuple[str, str, tuple[RoleSpec, ...], str | None, str | None]
"""What jobs of one group share: namespace, priority class, roles, and the required and preferred level."""
Told = tuple[Verdict, str]
"""What a job's status says: why it waits, and in which words."""
Written = tuple[int, str]
"""(when the status was last written (ms), uid)."""
T = TypeVar("T", Order, Written)


@dataclass(slots=True, eq=False)
class Group:
    """The waiting jobs of one kind that are looked at together; those with something of their own (`Line.apart`) are
    not in it. `told`: by what their status says, under None those whose status says nothing of this generation; each
    sorted by when it was written."""

    kind: Kind
    members: list[Order] = field(default_factory=list)
    told: dict[Told | None, list[Written]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Place:
    job: Job
    order: Order
    group: Group | None
    told: Told | None
    written: Written


class Line:
    """See the module. Jobs are named by uid."""

    def __init__(self) -> None:
        self.groups: dict[Kind, Group] = {}
        self.apart: list[Order] = []
        """In order, the waiting jobs that are looked at one by one."""
        self.flying: set[str] = set()
        """Of these the ones for which a decision is under way already."""
        self._written: list[Written] = []
        self._places: dict[str, _Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def put(self, job: Job, order: Order, written: int, *, alone: bool, flying: bool) -> None:
        """This job waits; `written` is when its status last changed. `alone`: it has something that others of its kind
        have not, and is looked at by itself; so is one whose next status is on its way to the API server (`flying`)."""
        before = self._places.get(job.id)
        if before is not None and before.job is job:
            now = (order, written, alone or flying, flying)
            if now == (before.order, before.written[0], before.group is None, job.id in self.flying):
                return
        waiting = job.status.waiting
        current = waiting is not None and job.status.observed_generation == job.generation
        told = (waiting.verdict, waiting.message) if waiting is not None and current else None
        self.drop(job.id)
        group = None
        if not (alone or flying):
            kind = (job.namespace, job.priority_class, job.roles, job.required, job.preferred)
            group = self.groups.get(kind)
            if group is None:
                group = self.groups[kind] = Group(kind)
            insort(group.members, order)
            insort(group.told.setdefault(told, []), (written, job.id))
        else:
            insort(self.apart, order)
            if flying:
                self.flying.add(job.id)
        insort(self._written, (written, job.id))
        self._places[job.id] = _Place(job, order, group, told, (written, job.id))

    def drop(self, uid: str) -> None:
        """This job does not wait."""
        place = self._places.pop(uid, None)
        if place is None:
            return
        _remove(self._written, place.written)
        if place.group is None:
            _remove(self.apart, place.order)
            self.flying.discard(uid)
            return
        group = place.group
        _remove(group.members, place.order)
        _remove(group.told[place.told], place.written)
        if not group.told[place.told]:
            del group.told[place.told]
        if not group.members:
            del self.groups[group.kind]

    def written_after(self, at: int) -> int:
        """How many of the waiting had their status written after this moment."""
        return len(self._written) - bisect_left(self._written, (at + 1, ""))

    def written_last(self, n: int) -> int | None:
        """When the status of the n-th latest (1: the latest) was written; None if fewer wait."""
        return self._written[-n][0] if 0 < n <= len(self._written) else None

    def uids(self) -> Iterable[str]:
        """Everybody who waits."""
        return self._places.keys()


def order_of(job: Job, classes: Mapping[str, PriorityClass]) -> Order:
    """Higher priority first (0 where the class is missing), then the older, then by uid."""
    known = classes.get(job.priority_class)
    return (-known.value if known is not None else 0, job.created, job.id)


def _remove(items: list[T], item: T) -> None:
    at = bisect_left(items, item)
    assert items[at] == item
    del items[at]
