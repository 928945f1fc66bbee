"""Watches: who gets which event, in which form. An event is serialised once for all plain watchers."""

from __future__ import annotations

from collections.abc import Callable

from muster.embedded.kinds import Kind
from muster.embedded.storage.selectors import Fields, Labels, match_labels
from muster.embedded.storage.store import ADDED, DELETED, MODIFIED, Entry, Event, Table, encode
from muster.embedded.wire import JSON, Object, StatusError, Watch

BOOKMARK_EVERY = 60_000
"""ms; as the real server does."""
INITIAL_END = "k8s.io/initial-events-end"

Render = Callable[[Object], Object]
"""From an object to what a watcher asked for in its place (a Table, its metadata)."""


class Filter:
    """What a list or a watch selects."""

    __slots__ = ("_fields", "_labels", "everything", "name", "namespace")

    def __init__(self, kind: Kind, namespace: str, labels: Labels, fields: Fields) -> None:
        self.namespace = namespace
        self._labels = labels
        self.name = ""
        terms: list[tuple[int, bool, str]] = []
        for term in fields:
            if term.path == "metadata.name":
                if term.equal:
                    self.name = term.value
                terms.append((-1, term.equal, term.value))
            elif term.path == "metadata.namespace":
                terms.append((-2, term.equal, term.value))
            else:
                terms.append((kind.selectable.index(term.path), term.equal, term.value))
        self._fields = tuple(terms)
        self.everything = not (labels or terms)

    def selects(self, entry: Entry) -> bool:
        """Whether an object is selected; its namespace is not looked at."""
        for index, equal, value in self._fields:
            held = entry.name if index == -1 else entry.namespace if index == -2 else entry.fields[index]
            if (held == value) != equal:
                return False
        return not self._labels or match_labels(self._labels, entry.labels)

    def matches(self, entry: Entry) -> bool:
        """Whether an object is selected and in the namespace."""
        if self.namespace and entry.namespace != self.namespace:
            return False
        return self.everything or self.selects(entry)


class Watcher:
    """One open watch of the hub."""

    __slots__ = ("after", "bookmarks", "filter", "kind", "render", "watch")

    def __init__(self, watch: Watch, kind: Kind, filter: Filter, after: int, bookmarks: bool, render: Render | None):
        self.watch = watch
        self.kind = kind
        self.filter = filter
        self.after = after
        self.bookmarks = bookmarks
        self.render = render

    def send(self, type: str, entry: Entry) -> None:
        """An event for this watcher alone."""
        self.watch.put(line(type, entry.data) if self.render is None else self._rendered(type, entry.object()))

    def bookmark(self, rv: int, initial_end: bool = False) -> None:
        """Say how far the watch has come."""
        meta: Object = {"resourceVersion": str(rv), "creationTimestamp": None}
        if initial_end:
            meta["annotations"] = {INITIAL_END: "true"}
        obj: Object = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": meta}
        self.watch.put(line("BOOKMARK", encode(obj)) if self.render is None else self._rendered("BOOKMARK", obj))

    def error(self, error: StatusError) -> None:
        """Say why the watch ends, and end it."""
        self.watch.put(line("ERROR", encode(error.body())))
        self.watch.end()

    def _rendered(self, type: str, obj: Object) -> bytes:
        assert self.render is not None
        return line(type, encode(self.render(obj)))


def line(type: str, data: bytes) -> bytes:
    """A watch event around an object's bytes."""
    return b'{"type":"%b","object":%b}' % (type.encode(), data)


class Hub:
    """All open watches."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._watchers: dict[Table, dict[Watch, Watcher]] = {}
        self._next_bookmark = now() + BOOKMARK_EVERY
        self.opened = 0

    def open(
        self,
        table: Table,
        kind: Kind,
        filter: Filter,
        *,
        after: int,
        bookmarks: bool,
        render: Render | None,
        content_type: str = JSON,
    ) -> Watcher:
        """A new watch of what is written after a revision, which must be no earlier than now."""
        watchers = self._watchers.setdefault(table, {})
        watch = Watch(lambda closed: self._release(table, closed), content_type)
        watcher = watchers[watch] = Watcher(watch, kind, filter, after, bookmarks, render)
        self.opened += 1
        return watcher

    def replay(self, watcher: Watcher, events: list[Event]) -> None:
        """Send what was written in the past."""
        for event in events:
            self._deliver(watcher, event, {})

    def publish(self, table: Table, event: Event) -> None:
        """Send an event to whom it concerns."""
        watchers = self._watchers.get(table)
        if not watchers:
            return
        lines: dict[str, bytes] = {}
        for watcher in list(watchers.values()):
            if event.entry.rv > watcher.after:
                self._deliver(watcher, event, lines)

    def _deliver(self, watcher: Watcher, event: Event, lines: dict[str, bytes]) -> None:
        """What the event is for this watcher: an object that comes into its selection is ADDED, one that leaves it
        DELETED, as it was, at the revision of the change."""
        filter = watcher.filter
        now = event.type != DELETED and filter.matches(event.entry)
        before = event.old is not None and filter.matches(event.old)
        if not (now or before):
            return
        type = MODIFIED if now and before else ADDED if now else DELETED
        if watcher.render is not None:
            obj = event.entry.object() if now or event.type == DELETED else _left(event)
            watcher.watch.put(line(type, encode(watcher.render(obj))))
            return
        found = lines.get(type)
        if found is None:
            data = event.entry.data if now or event.type == DELETED else encode(_left(event))
            found = lines[type] = line(type, data)
        watcher.watch.put(found)

    def tick(self, rv: int) -> int | None:
        """Send the bookmarks that are due; when next (ms), None without watchers that want any."""
        wanting = [w for ws in self._watchers.values() for w in ws.values() if w.bookmarks]
        now = self._now()
        if now >= self._next_bookmark:
            self._next_bookmark = now + BOOKMARK_EVERY
            for watcher in wanting:
                watcher.bookmark(max(rv, watcher.after))
        return self._next_bookmark if wanting else None

    def bookmark(self, watch: Watch, rv: int) -> None:
        """Send one watch its bookmark now, before it ends, if it wants any."""
        for watchers in self._watchers.values():
            watcher = watchers.get(watch)
            if watcher is not None and watcher.bookmarks:
                watcher.bookmark(max(rv, watcher.after))

    def end(self, table: Table | None = None) -> None:
        """End every watch, or those of a table."""
        for held in [table] if table is not None else list(self._watchers):
            for watcher in self._watchers.pop(held, {}).values():
                watcher.watch.end()

    def _release(self, table: Table, watch: Watch) -> None:
        watchers = self._watchers.get(table)
        if watchers is not None:
            watchers.pop(watch, None)


def _left(event: Event) -> Object:
    assert event.old is not None
    obj = event.old.object()
    obj["metadata"]["resourceVersion"] = str(event.entry.rv)
    return obj
