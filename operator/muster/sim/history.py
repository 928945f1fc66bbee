"""What the API showed, write by write: what `muster.safety` judges, and nothing that an operator knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from muster import safety
from muster.embedded.server import Server
from muster.embedded.storage.store import Event, Table
from muster.embedded.wire import Request, Response, Watch
from muster.safety.record import QUIET
from muster.safety.world import KINDS

CLUSTER = "cluster"
"""Who writes what no request of an operator does: scheduler, kubelets, controllers, and the users of the script."""


@dataclass(frozen=True, slots=True)
class Written:
    """One write. `at` in seconds on a clock that nobody sets, `by` whose request it was; `data` the object as JSON."""

    rv: int
    kind: str
    type: str
    at: float
    by: str
    data: bytes

    def object(self) -> dict[str, Any]:
        """The object, decoded anew."""
        found: dict[str, Any] = json.loads(self.data)
        return found


class Record:
    """Keeps every write of a server from now on, of every kind. `now` in seconds."""

    def __init__(self, server: Server, now: Callable[[], float]) -> None:
        self.written: list[Written] = []
        self.by = CLUSTER
        """Whose request the server is answering."""
        self._now = now
        self._before = server.store.on_event
        server.store.on_event = self._note

    def _note(self, table: Table, event: Event) -> None:
        entry = event.entry
        self.written.append(Written(entry.rv, table.kind.kind, event.type, self._now(), self.by, entry.data))
        self._before(table, event)

    def history(self, *, quiet: bool) -> safety.History:
        """What the checker sees. `quiet`: nothing is in motion at its end, so the final checks hold there."""
        events = [
            safety.Event(each.rv, each.kind, each.type, each.object(), each.at)
            for each in self.written
            if each.kind in KINDS
        ]
        if quiet:
            last = self.written[-1]
            events.append(safety.Event(last.rv, "TrainingJob", QUIET, {}, self._now()))
        return safety.History.of(events)

    def dump(self) -> bytes:
        """All of it, the same bytes for the same history."""
        return b"".join(
            b"%d %s %s %.6f %s %s\n" % (w.rv, w.kind.encode(), w.type.encode(), w.at, w.by.encode(), w.data)
            for w in self.written
        )

    def since(self, position: int, by: str) -> Iterator[Written]:
        """The writes after the first `position` of whoever's name begins so."""
        for each in self.written[position:]:
            if each.by.startswith(by):
                yield each


class Known:
    """A server, as one client is served by it: its writes are known to be its own."""

    def __init__(self, server: Server, record: Record, name: str) -> None:
        self._server = server
        self._record = record
        self._name = name

    def handle(self, request: Request) -> Response:
        """See embedded.Server."""
        record = self._record
        record.by = self._name
        try:
            return self._server.handle(request)
        finally:
            record.by = CLUSTER

    def watch(self, request: Request) -> Watch | Response:
        """See embedded.Server."""
        return self._server.watch(request)

    def bookmark(self, watch: Watch) -> None:
        """See embedded.Server."""
        self._server.bookmark(watch)
