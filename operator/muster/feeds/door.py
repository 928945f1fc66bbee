"""Lets only news through to the world."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import replace

from muster.core.model import (
    Admission,
    Change,
    Child,
    Gone,
    Job,
    Kind,
    Node,
    Pod,
    PriorityClass,
    Quota,
    Record,
    Rejected,
    TopologySpec,
    Upsert,
)

GONE_KEPT = 50_000
"""How many uids a kind remembers as gone; a late record comes within minutes, not after so many deletions."""
RV_MATTERS = frozenset({Kind.JOB, Kind.TOPOLOGY})
"""Kinds that we write by compare-and-set: the newest resourceVersion must be known even if nothing else changed."""
_NAMED = frozenset({Kind.PRIORITY_CLASS})
"""Kinds told apart by name, which may come back."""
TOPOLOGY = "default"
"""The one ClusterTopology that is used; others are no news to anybody."""

_Versioned = Node | Pod | Job | Rejected | TopologySpec | PriorityClass | Quota | Child


def identity(record: _Versioned) -> tuple[Kind, str]:
    """Which object a record is of: its kind, and the id that Gone would name."""
    match record:
        case Pod():
            return Kind.POD, record.id
        case Node():
            return Kind.NODE, record.uid
        case Job() | Rejected():
            return Kind.JOB, record.id
        case TopologySpec():
            return Kind.TOPOLOGY, record.uid
        case PriorityClass():
            return Kind.PRIORITY_CLASS, record.name
        case Quota():
            return Kind.QUOTA, record.uid
        case Child():
            return Kind.CHILD, record.id


class Door:
    """Lets what is news through to `world_put`, in order. Belongs to one event loop; other threads hand over by
    `call_soon_threadsafe`. `now` is the wall clock in ms."""

    def __init__(self, world_put: Callable[[Change], None], now: Callable[[], int], gone_kept: int = GONE_KEPT) -> None:
        self._put = world_put
        self._now = now
        self._gone_kept = gone_kept
        self._held: dict[Kind, dict[str, _Versioned]] = {kind: {} for kind in Kind}
        self._gone: dict[Kind, OrderedDict[str, None]] = {kind: OrderedDict() for kind in Kind}
        self._unseen: dict[tuple[Kind, str], int] = {}
        """What only an answer to a write of ours has shown so far, and since when."""

    def put(self, change: Change) -> None:
        """Take in one change; it may turn out to be no news."""
        match change:
            case Upsert(record, at) if not isinstance(record, Admission):
                self._unseen.pop(identity(record), None)
                self._upsert(record, at)
            case Gone(kind, id_, at):
                self._drop(kind, id_, at)
            case _:
                self._put(change)

    def answer(self, change: Change) -> None:
        """Take in what a request of ours was answered. An object that no watch has shown yet is remembered: should it
        vanish in a gap of the watch, the watch will never say so."""
        match change:
            case Upsert(record, at) if not isinstance(record, Admission):
                kind, id_ = identity(record)
                if id_ not in self._held[kind] and id_ not in self._gone[kind]:
                    self._unseen[kind, id_] = at
                self._upsert(record, at)
            case _:
                self.put(change)

    def overdue(self, ms: int) -> set[Kind]:
        """The kinds with an object that an answer has shown and no watch within `ms`: list them."""
        before = self._now() - ms
        return {kind for (kind, _), at in self._unseen.items() if at <= before}

    def upsert(self, record: Record) -> None:
        """A record as it was just read."""
        self.put(Upsert(record, self._now()))

    def gone(self, kind: Kind, id_: str) -> None:
        """An object was deleted."""
        self.put(Gone(kind, id_, self._now()))

    def listed(self, kind: Kind, ids: Collection[str], rv: str) -> None:
        """A complete and consistent list of the kind, taken at `rv`, held exactly `ids` (its records were put before):
        what is held beyond them and is not newer than the list is gone."""
        at = int(rv) if rv.isdecimal() else 0
        for id_ in [i for i, record in self._held[kind].items() if i not in ids and record.rv <= at]:
            self.gone(kind, id_)

    def held(self, kind: Kind) -> int:
        """How many objects of the kind are held."""
        return len(self._held[kind])

    def _upsert(self, record: _Versioned, at: int) -> None:
        kind, id_ = identity(record)
        if id_ in self._gone[kind] or (isinstance(record, TopologySpec) and record.name != TOPOLOGY):
            return
        held = self._held[kind].get(id_)
        if held is not None and record.rv <= held.rv:
            return
        self._held[kind][id_] = record
        if held is not None and kind not in RV_MATTERS and replace(held, rv=record.rv) == record:
            return
        self._put(Upsert(record, at))

    def _drop(self, kind: Kind, id_: str, at: int) -> None:
        gone = self._gone[kind]
        if kind not in _NAMED and id_ not in gone:
            gone[id_] = None
            if len(gone) > self._gone_kept:
                gone.popitem(last=False)
        self._unseen.pop((kind, id_), None)
        if self._held[kind].pop(id_, None) is not None:
            self._put(Gone(kind, id_, at))
