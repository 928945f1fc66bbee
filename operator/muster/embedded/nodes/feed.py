"""A kind as a controller inside this process follows it: listed, then watched, listed again when the watch breaks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Protocol

import msgspec

from muster.embedded.wire import Request, Response, Watch

RESET = "RESET"
"""A list begins: every object of it comes as ADDED, then SYNCED. What was held and is not among them is gone."""
SYNCED = "SYNCED"
PAGE = 5_000
NOTHING = msgspec.Raw(b"")


class Serving(Protocol):
    """What a controller needs of the server."""

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        ...

    def watch(self, request: Request) -> Watch | Response:
        """Open a watch, or say why not."""
        ...


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _ListMeta(msgspec.Struct, rename={"resource_version": "resourceVersion", "next": "continue"}):
    resource_version: str = ""
    next: str = ""


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw]


class _Code(msgspec.Struct):
    code: int = 0


_lines = msgspec.json.Decoder(_Line)
_lists = msgspec.json.Decoder(_List)
_codes = msgspec.json.Decoder(_Code)


class Feed:
    """The changes of one kind, in order. `pull` gives what came since the last call."""

    def __init__(self, server: Serving, path: str, selector: str = "") -> None:
        self._server = server
        self._path = path
        self._query = (("fieldSelector", selector),) if selector else ()
        self._watch: Watch | None = None
        self.on_news: Callable[[], None] | None = None
        """Called in the middle of a write: only note it."""

    def pull(self) -> Iterator[tuple[str, msgspec.Raw]]:
        """Yield (type, object as JSON): ADDED, MODIFIED, DELETED, and RESET and SYNCED around a list."""
        while True:
            if self._watch is None:
                version = yield from self._list()
                if not self._open(version):
                    continue
            assert self._watch is not None
            closed = self._watch.closed
            for raw in self._watch.take():
                line = _lines.decode(raw)
                if line.type == "ERROR":
                    # 410: the history went on without us. Whatever it is, a list is right again.
                    closed = True
                    break
                if line.type != "BOOKMARK":
                    yield line.type, line.object
            if not closed:
                return
            self.close()

    def close(self) -> None:
        """End the watch; the next `pull` lists anew."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _list(self) -> Generator[tuple[str, msgspec.Raw], None, str]:
        yield RESET, NOTHING
        token, version = "", ""
        while True:
            page = (("limit", str(PAGE)), *((("continue", token),) if token else ()))
            answer = self._server.handle(Request("GET", self._path, (*self._query, *page)))
            if answer.status != 200:
                raise RuntimeError(f"listing {self._path}: {answer.status} {answer.body[:300].decode()}")
            found = _lists.decode(answer.body)
            for item in found.items:
                yield "ADDED", item
            token, version = found.metadata.next, found.metadata.resource_version
            if not token:
                break
        yield SYNCED, NOTHING
        return version

    def _open(self, version: str) -> bool:
        query = (("watch", "true"), ("resourceVersion", version))
        opened = self._server.watch(Request("GET", self._path, (*self._query, *query)))
        if isinstance(opened, Response):
            if opened.status == 410:
                return False
            raise RuntimeError(f"watching {self._path}: {opened.status} {opened.body[:300].decode()}")
        opened.on_news = self._news
        self._watch = opened
        return True

    def _news(self) -> None:
        if self.on_news is not None:
            self.on_news()
