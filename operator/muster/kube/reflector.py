"""List and watch of one kind: what the API server holds, handed over as Changes.

The protocol is Kubernetes' own (API concepts, Efficient detection of changes): a consistent list in pages, then a watch
from its resourceVersion, resumed where it ended, and a new list whose difference is reported when that version is too
old (410). Only uids are kept, no objects; whoever takes the Changes drops what it already holds.
"""

from __future__ import annotations

import asyncio
import logging
import random as _random
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from muster.core.model import Change, Gone, Kind, Synced, Upsert
from muster.kube.backoff import Backoff, Random, Sleep
from muster.kube.client import Client
from muster.kube.errors import Answer, ApiError
from muster.kube.wire import Decoder, Status

log = logging.getLogger(__name__)

_RESUMABLE = frozenset({429, 503, 504})
"""ERROR events after which the watch goes on from where it was; after any other the kind is listed anew."""


class _Relist(Exception):  # noqa: N818  (a turn of the protocol, not a fault)
    """The watch cannot be resumed."""


class Reflector:
    """Follows one kind until cancelled.

    `sink` takes each Change; it must not block. `now` is the wall clock in ms for `Change.at`; `clock` and `sleep` are
    monotonic, in seconds. `on_missing` hears when the kind itself is absent (True: a removed CRD) and when it is served
    again; meanwhile nothing is reported as Gone.

    Attributes: `synced` after the first full list; `missing`; `contact` when the server was last heard (None: never);
    `lists` how many full lists have succeeded; `watches` how many watches were begun; `problem` the last error in
    words, empty while all is well.
    """

    def __init__(
        self,
        client: Client,
        kind: Kind,
        path: str,
        decoder: Decoder,
        sink: Callable[[Change], None],
        *,
        now: Callable[[], int],
        label_selector: str = "",
        field_selector: str = "",
        page: int = 500,
        watch_seconds: int = 300,
        settle: float = 5.0,
        on_missing: Callable[[bool], None] | None = None,
        random: Random = _random.random,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._kind = kind
        self._path = path
        self._decoder = decoder
        self._sink = sink
        self._now = now
        self._labels = label_selector
        self._fields = field_selector
        self._page = page
        self._watch_seconds = watch_seconds
        self._settle = settle
        self._on_missing = on_missing
        self._random = random
        self._sleep = sleep
        self._clock = clock
        self._held: set[str] = set()
        self._rv = ""
        self._asked: list[asyncio.Future[None]] = []
        self._scope: asyncio.Timeout | None = None
        self.synced = False
        self.missing = False
        self.contact: float | None = None
        self.lists = 0
        self.watches = 0
        self.problem = ""

    async def run(self) -> None:
        """List, watch, and again, until cancelled. Only a watch that lasted counts as health: whatever else ends is
        followed by a growing pause, also a stream that ends at once without an error."""
        backoff = Backoff(self._random, base=0.25, cap=30.0)
        while True:
            started: float | None = None
            least = 0.0
            try:
                while not self._rv or self._asked:
                    await self._list()
                started = self._clock()
                if await self._interrupted(self._watch()):
                    continue
            except _Relist as why:
                self._rv = ""
                self._report(str(why))
            except ApiError as error:
                least = self._refused(error)
            except ValueError as error:  # not of this shape: a broken proxy, or an event that cannot be resumed past
                self._rv = ""
                self._report(f"unreadable answer: {error}")
            if started is not None and self._clock() - started >= self._settle:
                backoff.reset()
                if least == 0.0:
                    continue
            await self._interrupted(self._sleep(max(backoff.next(), least)))

    async def relist(self) -> None:
        """List anew now, cutting the watch short; returns when a full list that began after the call has been handed
        over. For a new leader, and for a doubt that came up elsewhere."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(done)
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())
        await done

    async def _interrupted(self, work: Awaitable[None]) -> bool:
        """Await `work`; True if a call of relist cut it short."""
        try:
            async with asyncio.timeout(None) as self._scope:
                await work
        except TimeoutError:
            return True
        finally:
            self._scope = None
        return False

    async def _list(self) -> None:
        asked, self._asked = self._asked, []
        try:
            await self._pages()
        except BaseException:
            self._asked = asked + self._asked
            raise
        for done in asked:
            if not done.done():
                done.set_result(None)

    async def _pages(self) -> None:
        seen: set[str] = set()
        token = ""
        sink = self._sink
        while True:
            data = await self._client.list_page(
                self._path,
                label_selector=self._labels,
                field_selector=self._fields,
                limit=self._page,
                token=token,
            )
            page = self._decoder.page(data)
            self._heard()
            at = self._now()
            seen.update(page.ids)
            self._held.update(page.ids)
            for record in page.records:
                sink(Upsert(record, at))
            token = page.next
            if not token:
                break
        gone = self._held - seen
        if gone:
            at = self._now()
            for id in sorted(gone):
                sink(Gone(self._kind, id, at))
            self._held = seen
        self._rv = page.rv
        self.lists += 1
        if not self.synced:
            self.synced = True
            sink(Synced(self._kind))

    async def _watch(self) -> None:
        seconds = int(self._watch_seconds * (1 + self._random()))
        query = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._rv),
            ("timeoutSeconds", str(seconds)),
        ]
        if self._labels:
            query.append(("labelSelector", self._labels))
        if self._fields:
            query.append(("fieldSelector", self._fields))
        self.watches += 1
        decode, sink, now, clock, held, kind = (
            self._decoder.event,
            self._sink,
            self._now,
            self._clock,
            self._held,
            self._kind,
        )
        async with aclosing(self._client.watch(self._path, tuple(query))) as lines:
            async for line in lines:
                event = decode(line)
                type = event.type
                if type == "MODIFIED" or type == "ADDED":
                    held.add(event.id)
                    if event.record is not None:
                        sink(Upsert(event.record, now()))
                elif type == "DELETED":
                    held.discard(event.id)
                    sink(Gone(kind, event.id, now()))
                elif type == "ERROR":
                    _raise(event.status)
                if event.rv:
                    self._rv = event.rv
                self.contact = clock()
                self.problem = ""

    def _refused(self, error: ApiError) -> float:
        """Take note of a refusal; gives the least pause in seconds."""
        if error.answer is Answer.EXPIRED:
            self._rv = ""
        elif error.code == 404:
            self._rv = ""
            self._set_missing(True)
        self._report(str(error))
        return error.retry_after or 0.0

    def _heard(self) -> None:
        self.contact = self._clock()
        self.problem = ""
        self._set_missing(False)

    def _set_missing(self, missing: bool) -> None:
        if missing == self.missing:
            return
        self.missing = missing
        if self._on_missing is not None:
            self._on_missing(missing)

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s: %s", self._path, problem)
        self.problem = problem


def _raise(status: Status | None) -> None:
    if status is None:
        raise _Relist("the watch ended with an error that says nothing")
    if status.code in _RESUMABLE:
        raise ApiError(Answer.THROTTLED, code=status.code, reason=status.reason, message=status.message)
    raise _Relist(f"the watch cannot be resumed: {status.code} {status.message}")
