"""Objects in memory: one revision counter, tables by kind, a bounded history, and snapshots of the past.

An object is kept as the bytes that are sent, beside the few parsed fields that selecting needs. Entries are never
changed, only replaced, so that history and snapshots share them. A snapshot of an older revision is the present with
the history undone, which is exact as far back as the history reaches, and nothing has to be kept for a paged list.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from muster.embedded.kinds import Kind
from muster.embedded.wire import Object

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
HISTORY_BYTES = 512 * 1024 * 1024
"""What the remembered writes may weigh; the oldest are forgotten first."""
SNAPSHOTS = 4
"""Older revisions of a table that are kept at hand, for the next page of a list."""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class Expired(Exception):  # noqa: N818  (an answer, not a fault)
    """The history does not reach back to the revision asked for."""


class Entry:
    """One object at one revision. Not to be changed, nor what its attributes hold."""

    __slots__ = ("data", "fields", "key", "labels", "name", "namespace", "owners", "rv", "uid")

    def __init__(self, kind: Kind, obj: Object, rv: int) -> None:
        meta = obj["metadata"]
        self.rv = rv
        self.uid: str = meta["uid"]
        self.name: str = meta["name"]
        self.namespace: str = meta.get("namespace") or ""
        self.key = f"{self.namespace}/{self.name}" if self.namespace else self.name
        self.labels: Mapping[str, str] = meta.get("labels") or _EMPTY
        self.fields = _fields(kind, obj) if kind.selectable else ()
        self.owners: tuple[str, ...] = tuple(o.get("uid", "") for o in meta.get("ownerReferences") or ())
        self.data = encode(obj)

    def object(self) -> Object:
        """The object, decoded anew: the caller's own."""
        found: Object = decode(self.data)
        return found


_EMPTY: Mapping[str, str] = {}
_FIELD_DEFAULTS = {"spec.unschedulable": "false", "spec.hostNetwork": "false"}


@lru_cache(maxsize=256)
def _paths(group: str, plural: str, selectable: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The selectable fields of a kind: the parts of each path, and what stands for an absent one."""
    found = []
    for path in selectable:
        default = _FIELD_DEFAULTS.get(path, "") if not group else ""
        # An event's source is told apart by its component.
        parts = ("source", "component") if (group, plural, path) == ("", "events", "source") else path.split(".")
        found.append((tuple(parts), default))
    return tuple(found)


def _fields(kind: Kind, obj: Object) -> tuple[str, ...]:
    """What field selectors compare: booleans and numbers in words, an absent field empty."""
    found: list[str] = []
    for parts, default in _paths(kind.group, kind.plural, kind.selectable):
        value: Any = obj
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
            if value is None:
                break
        if isinstance(value, str):
            found.append(value)
        elif value is None:
            found.append(default)
        else:
            found.append(("true" if value else "false") if isinstance(value, bool) else str(value))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Event:
    """One write. `entry` is the object after it (for DELETED: as it was, at the revision of its deletion); `old` is the
    entry before it."""

    type: str
    entry: Entry
    old: Entry | None


class Snapshot:
    """A table at one revision: entries by key, and the keys in order."""

    __slots__ = ("entries", "order")

    def __init__(self, entries: Mapping[str, Entry], order: list[str]) -> None:
        self.entries = entries
        self.order = order

    def scan(self, namespace: str, after: str = "") -> Iterator[Entry]:
        """The entries of a namespace (empty: of all), those whose keys come after `after`."""
        start = 0
        prefix = f"{namespace}/" if namespace else ""
        if prefix or after:
            start = bisect_left(self.order, max(prefix, after + "\0" if after else ""))
        entries = self.entries
        for index in range(start, len(self.order)):
            key = self.order[index]
            if prefix and not key.startswith(prefix):
                return
            yield entries[key]

    def count_after(self, namespace: str, after: str) -> int:
        """How many entries `scan` would give."""
        prefix = f"{namespace}/" if namespace else ""
        start = bisect_left(self.order, max(prefix, after + "\0"))
        # "0" is the character after "/".
        end = bisect_left(self.order, f"{namespace}0") if namespace else len(self.order)
        return max(0, end - start)


class Table(Snapshot):
    """The objects of one kind, now, with what was written lately."""

    __slots__ = ("_snapshots", "history", "kind", "last")
    entries: dict[str, Entry]

    def __init__(self, kind: Kind) -> None:
        super().__init__({}, [])
        self.kind = kind
        self.history: deque[Event] = deque()
        self.last = 0
        """Revision of the last write."""
        self._snapshots: OrderedDict[int, Snapshot] = OrderedDict()

    def at(self, rv: int) -> Snapshot:
        """The table as it was; the store has checked that the history reaches back so far."""
        if self.last <= rv:
            return self
        found = self._snapshots.get(rv)
        if found is not None:
            self._snapshots.move_to_end(rv)
            return found
        entries = dict(self.entries)
        moved: dict[str, bool] = {}
        for event in reversed(self.history):
            if event.entry.rv <= rv:
                break
            if event.old is None:
                del entries[event.entry.key]
                moved[event.entry.key] = False
            else:
                entries[event.entry.key] = event.old
                if event.type == DELETED:
                    moved[event.entry.key] = True
        order = sorted(entries) if moved else list(self.order)
        found = self._snapshots[rv] = Snapshot(entries, order)
        if len(self._snapshots) > SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return found

    def since(self, rv: int) -> list[Event]:
        """What was written after a revision, in order."""
        found: list[Event] = []
        for event in reversed(self.history):
            if event.entry.rv <= rv:
                break
            found.append(event)
        found.reverse()
        return found

    def forget(self) -> None:
        """Drop snapshots that the history can no longer vouch for."""
        self._snapshots.clear()


class Store:
    """All tables. `on_event` is called with each write, in order, before the write returns."""

    def __init__(self, history: int, history_bytes: int = HISTORY_BYTES) -> None:
        self._bytes = 0
        self._most_bytes = history_bytes
        self._tables: dict[tuple[str, str], Table] = {}
        self._order: deque[Table] = deque()
        self._limit = history
        self.rv = 1
        """The revision of the last write."""
        self.floor = 1
        """The oldest revision that can still be asked for."""
        self.on_event: Callable[[Table, Event], None] = lambda _table, _event: None
        self._dependents: dict[str, dict[tuple[Table, str], None]] = {}
        self._uids: dict[str, tuple[Table, str]] = {}

    def table(self, kind: Kind) -> Table:
        """The table of a kind."""
        found = self._tables.get((kind.group, kind.plural))
        if found is None:
            found = self._tables[kind.group, kind.plural] = Table(kind)
        return found

    def tables(self) -> list[Table]:
        """Every table."""
        return list(self._tables.values())

    def drop(self, kind: Kind) -> None:
        """Forget a kind that is served no longer; its objects must be gone."""
        table = self._tables.get((kind.group, kind.plural))
        if table is not None and not table.entries:
            # Its history stays counted in `_order`, and goes with it.
            del self._tables[kind.group, kind.plural]

    def reindex(self, kind: Kind) -> None:
        """Read the objects of a kind anew, for other selectable fields. Its history is forgotten."""
        table = self.table(kind)
        table.kind = kind
        for key, entry in table.entries.items():
            table.entries[key] = Entry(kind, entry.object(), entry.rv)
        self.expire()

    def put(self, table: Table, obj: Object, old: Entry | None) -> Entry:
        """Write an object; its metadata.resourceVersion is set here. `old` is the entry that it replaces."""
        self.rv += 1
        obj["metadata"]["resourceVersion"] = str(self.rv)
        entry = Entry(table.kind, obj, self.rv)
        if old is None:
            insort(table.order, entry.key)
            self._uids[entry.uid] = (table, entry.key)
        table.entries[entry.key] = entry
        self._owned(table, old, entry)
        self._record(table, Event(ADDED if old is None else MODIFIED, entry, old))
        return entry

    def remove(self, table: Table, obj: Object, old: Entry) -> Entry:
        """Delete an object; `obj` is its last state."""
        self.rv += 1
        obj["metadata"]["resourceVersion"] = str(self.rv)
        entry = Entry(table.kind, obj, self.rv)
        del table.entries[old.key]
        at = bisect_left(table.order, old.key)
        del table.order[at]
        self._uids.pop(old.uid, None)
        self._owned(table, old, None)
        self._record(table, Event(DELETED, entry, old))
        return entry

    def by_uid(self, uid: str) -> tuple[Table, Entry] | None:
        """The object of a uid."""
        found = self._uids.get(uid)
        return (found[0], found[0].entries[found[1]]) if found is not None else None

    def dependents(self, uid: str) -> list[tuple[Table, Entry]]:
        """What names the object of this uid as an owner, in the order in which it came to."""
        return [(table, table.entries[key]) for table, key in self._dependents.get(uid, ())]

    def expire(self) -> None:
        """Forget the history, as a compaction of etcd does."""
        self._order.clear()
        self._bytes = 0
        for table in self._tables.values():
            table.history.clear()
            table.forget()
        self.floor = self.rv

    def check(self, rv: int) -> None:
        """Raise Expired if the history does not reach back to a revision."""
        if rv < self.floor:
            raise Expired

    def _record(self, table: Table, event: Event) -> None:
        table.last = self.rv
        table.history.append(event)
        self._order.append(table)
        self._bytes += len(event.entry.data)
        while len(self._order) > self._limit or (self._bytes > self._most_bytes and len(self._order) > 1):
            gone = self._order.popleft().history.popleft()
            self._bytes -= len(gone.entry.data)
            self.floor = gone.entry.rv
        self.on_event(table, event)

    def _owned(self, table: Table, old: Entry | None, new: Entry | None) -> None:
        before = old.owners if old is not None else ()
        after = new.owners if new is not None else ()
        if before == after:
            return
        key = new.key if new is not None else old.key if old is not None else ""
        for uid in before:
            held = self._dependents.get(uid)
            if held is not None and uid not in after:
                held.pop((table, key), None)
                if not held:
                    del self._dependents[uid]
        for uid in after:
            self._dependents.setdefault(uid, {})[table, key] = None
