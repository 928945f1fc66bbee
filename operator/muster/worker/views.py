"""S2's consistent view, read once for everybody who waits for one.

First the jobs with status.live, then muster's pods, each one consistent list: a claim that was committed before the
first of them is in it, or was released, or lives on in the pods of a job that is gone. All of it goes through the door
before `Viewed` does, so the world holds what the view shows when it hears that there was one. Which claims a view
contains is read off the view itself: of every claim in the snapshot, all that were committed before it are in there
too, since etcd orders the commits. So it covers each claim whose commit was acknowledged before the list was sent, and
never one that was committed later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from muster.core.model import Job, Pod, Record, Rejected, Upsert, Viewed
from muster.kube.backoff import Backoff
from muster.kube.errors import Answer, ApiError
from muster.worker.tools import Tools

EXPIRED_AT_MOST = 3


class Lists(Protocol):
    """What of `api.Api` is needed here: pages of consistent snapshots. Both raise ApiError."""

    def live_jobs(self) -> AsyncIterator[Iterable[Record]]:
        """Every job with status.live."""
        ...

    def our_pods(self) -> AsyncIterator[Iterable[Record]]:
        """Every pod that muster made."""
        ...


class Views:
    """Reads one view at a time; who asks during a read waits for the next, which serves all who wait by then."""

    def __init__(self, lists: Lists, tools: Tools) -> None:
        self._lists = lists
        self._tools = tools
        self._reading: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def read(self) -> None:
        """Return when a view that was begun after this call has gone through the door. Raises ApiError and Closed."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._reading), name="view")
            # Those who asked may have turned to something newer; a failure then concerns nobody.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        # One waiter that is cancelled must not take the view from the others.
        await asyncio.shield(self._next)

    async def _after(self, reading: asyncio.Task[None] | None) -> None:
        if reading is not None:
            await asyncio.wait((reading,))
        self._reading, self._next = asyncio.current_task(), None
        await self._read()

    async def _read(self) -> None:
        backoff = Backoff(self._tools.random)
        for left in reversed(range(EXPIRED_AT_MOST)):
            try:
                claims = await self._jobs()
                await self._pods()
            except ApiError as error:
                # A snapshot that was compacted away between two pages is none: all over again.
                if error.answer is not Answer.EXPIRED or not left:
                    raise
                await self._tools.gate.pause(backoff.next())
                continue
            self._tools.put(Viewed(frozenset(claims)))
            return

    async def _jobs(self) -> list[tuple[str, int]]:
        self._tools.gate.check()
        claims: list[tuple[str, int]] = []
        async for page in self._lists.live_jobs():
            for record in page:
                self._tools.put(Upsert(record, self._tools.now()))
                if isinstance(record, Job | Rejected) and record.status.live:
                    claims.append((record.id, record.status.attempt))
            await asyncio.sleep(0)  # a page of jobs takes milliseconds to read; others may be due
        return claims

    async def _pods(self) -> None:
        self._tools.gate.check()
        async for page in self._lists.our_pods():
            for record in page:
                if isinstance(record, Pod):
                    self._tools.put(Upsert(record, self._tools.now()))
            await asyncio.sleep(0)
