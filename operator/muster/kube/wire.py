"""What passes between the reflector and the parser: pages of a list and events of a watch, already decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from muster.core.model import Record


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `ids` are the uids (PriorityClass: the names) of every object on the page, also of those that
    parse to no record; `rv` is the list's resourceVersion, `next` the continue token, empty on the last page."""

    records: tuple[Record, ...]
    ids: tuple[str, ...]
    rv: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """A Kubernetes Status as an ERROR event of a watch carries it."""

    code: int
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch. `type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR; `record` is None for bookmarks,
    errors and objects that parse to nothing; `rv` is the object's resourceVersion (a bookmark's too); `status` comes
    only with ERROR."""

    type: str
    record: Record | None
    id: str
    rv: str
    status: Status | None = None


class Decoder(Protocol):
    """Turns the API's bytes into pages and events. Raises ValueError for what is no JSON of this shape."""

    def page(self, data: bytes) -> Page:
        """Decode one page of a list."""
        ...

    def event(self, line: bytes) -> Event:
        """Decode one line of a watch."""
        ...
