"""Consistent lists: of any kind when asked, of our own kinds again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from muster import logs
from muster.core.model import Kind, Synced
from muster.feeds.door import Door
from muster.feeds.sources import Source
from muster.kube.errors import Answer, ApiError
from muster.kube.wire import Page

OWN_KINDS = (Kind.TOPOLOGY, Kind.JOB)

_log = logs.get("feeds")


class Lister(Protocol):
    """What of kube.client.Client lists."""

    def list_pages(self, path: str, *, label_selector: str = "", limit: int = 500) -> AsyncIterator[bytes]:
        """The pages of one consistent snapshot."""
        ...


class Lists:
    """Consistent lists that go through the door record by record, the difference at the end."""

    def __init__(self, client: Lister, sources: Mapping[Kind, Source], door: Door, page_size: int = 500) -> None:
        self._client = client
        self._sources = sources
        self._door = door
        self._page_size = page_size

    async def read(self, kind: Kind, tries: int = 3) -> None:
        """List one kind anew. Raises ApiError; then nothing was dropped, whatever of it came is taken in."""
        for left in reversed(range(tries)):
            try:
                await self._read(kind)
                return
            except ApiError as error:
                # The snapshot was compacted away between two pages.
                if error.answer is not Answer.EXPIRED or not left:
                    raise

    async def _read(self, kind: Kind) -> None:
        source = self._sources[kind]
        ids: set[str] = set()
        page: Page | None = None
        async for data in self._client.list_pages(
            source.path, label_selector=source.label_selector, limit=self._page_size
        ):
            try:
                page = source.decoder.page(data)
            except ValueError as error:
                raise ApiError(Answer.UNKNOWN, code=200, message=f"{source.path}: {error}") from error
            ids.update(page.ids)
            for record in page.records:
                self._door.upsert(record)
            await asyncio.sleep(0)  # a page of 500 jobs is 5 ms; others may be due
        if page is not None and not page.next:
            self._door.listed(kind, ids, page.rv)


class OwnKinds:
    """Lists our own kinds at the start, every `interval` seconds, and whenever asked (after a 404, after kopf ended).

    A kind whose CRD is gone is answered by a 404 without a name: that says nothing about any job, so nothing is
    dropped, `missing` names the kind and `on_missing` is told; `on_back` when all are listed again.
    """

    def __init__(
        self,
        lists: Lists,
        door: Door,
        *,
        interval: float,
        kinds: Iterable[Kind] = OWN_KINDS,
        on_missing: Callable[[], None] = lambda: None,
        on_back: Callable[[], None] = lambda: None,
        on_list: Callable[[Kind, bool], None] = lambda _kind, _ok: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        retry: float = 5.0,
    ) -> None:
        self._lists = lists
        self._door = door
        self._interval = interval
        self._kinds = tuple(kinds)
        self._on_missing = on_missing
        self._on_back = on_back
        self._on_list = on_list
        self._sleep = sleep
        self._retry = retry
        self._asked = asyncio.Event()
        self._listed: set[Kind] = set()
        self.synced = asyncio.Event()
        """Set once each kind was listed."""
        self.missing: frozenset[Kind] = frozenset()

    def ask(self) -> None:
        """List again soon."""
        self._asked.set()

    async def run(self) -> None:
        """List for ever."""
        while True:
            self._asked.clear()
            complete = await self.once()
            await self._wait(self._interval if complete else self._retry)

    async def once(self) -> bool:
        """List each kind; whether all were."""
        absent: set[Kind] = set()
        failed = False
        for kind in self._kinds:
            try:
                await self._lists.read(kind)
            except ApiError as error:
                self._on_list(kind, False)
                if error.absent_kind:
                    absent.add(kind)
                else:
                    failed = True
                    _log.warning("listing failed, will be repeated", kind=kind.value, answer=str(error))
                continue
            self._on_list(kind, True)
            if kind not in self._listed:
                self._listed.add(kind)
                self._door.put(Synced(kind))
        if len(self._listed) == len(self._kinds):
            self.synced.set()
        self._note(frozenset(absent), failed)
        return not absent and not failed

    def _note(self, absent: frozenset[Kind], failed: bool) -> None:
        if failed and not absent:
            return  # nothing was learnt about whether the kinds are there
        before, self.missing = self.missing, absent
        if absent and absent != before:
            _log.error(
                "the API server does not know "
                + " and ".join(sorted(kind.value for kind in absent))
                + ": nothing is decided until they are installed; do: muster crds | kubectl apply --server-side -f -"
            )
            self._on_missing()
        elif before and not absent:
            _log.info("the custom resources are installed")
            self._on_back()

    async def _wait(self, seconds: float) -> None:
        asked = asyncio.ensure_future(self._asked.wait())
        timer = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((asked, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (asked, timer):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
