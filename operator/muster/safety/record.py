"""The history: what the API showed, in the order in which it happened.

All kinds share etcd's one revision counter, so resourceVersions order events across kinds
(a DELETED event carries the revision of the deletion).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Object = dict[str, Any]

GAP = "GAP"
"""Type of a pseudo-event: the watch of `kind` broke, and revisions from object["from"] to `rv` went unseen."""
QUIET = "QUIET"
"""Type of a pseudo-event: the test says that nothing is in motion, so the final checks hold here."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    rv -- etcd's revision. kind -- of the object. type -- ADDED, MODIFIED, DELETED, GAP or QUIET.
    at -- our wall clock when it arrived, seconds. listed -- it comes from a list, not a
    watch: it is a state, and the changes that led to it were not seen.
    """

    rv: int
    kind: str
    type: str
    object: Object
    at: float
    listed: bool = False

    @property
    def uid(self) -> str:
        """Of the object."""
        return str(self.object.get("metadata", {}).get("uid", ""))

    @property
    def name(self) -> str:
        """Of the object."""
        return str(self.object.get("metadata", {}).get("name", ""))


@dataclass(slots=True)
class History:
    """Events in order of arrival; safe to add to from several threads."""

    events: list[Event] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, event: Event) -> None:
        """Add an event; its managedFields are dropped."""
        event.object.get("metadata", {}).pop("managedFields", None)
        with self._lock:
            self.events.append(event)

    def ordered(self) -> list[Event]:
        """Return the events by revision; pseudo-events after what shares theirs."""
        with self._lock:
            copy = list(self.events)
        return sorted(copy, key=lambda event: (event.rv, event.type in (GAP, QUIET)))

    def gaps(self) -> list[tuple[str, int, int]]:
        """Return (kind, first unseen revision, last unseen revision)."""
        return [(each.kind, int(each.object["from"]), each.rv) for each in self.events if each.type == GAP]

    def dump(self, path: Path) -> None:
        """Write one JSON line an event, in order."""
        with path.open("w") as out:
            for event in self.ordered():
                row = {"rv": event.rv, "kind": event.kind, "type": event.type, "at": event.at}
                row |= {"listed": event.listed, "object": event.object}
                out.write(json.dumps(row, separators=(",", ":")) + "\n")

    @classmethod
    def load(cls, path: Path) -> History:
        """Read what `dump` wrote."""
        with path.open() as lines:
            return cls.of(Event(**json.loads(line)) for line in lines)

    @classmethod
    def of(cls, events: Iterable[Event]) -> History:
        """Return a history of these events."""
        history = cls()
        for event in events:
            history.add(event)
        return history

    def about(self, words: Iterable[str], rv: int, before: int = 14, after: int = 3) -> Iterator[Event]:
        """Yield the events around a revision whose object's name, uid or labels contain one of the words."""
        wanted = set(words)
        near = [event for event in self.ordered() if _words(event) & wanted]
        position = sum(event.rv <= rv for event in near)
        yield from near[max(0, position - before) : position + after]


def _words(event: Event) -> set[str]:
    meta = event.object.get("metadata", {})
    return {meta.get("name", ""), meta.get("uid", ""), *(meta.get("labels") or {}).values()} - {""}
