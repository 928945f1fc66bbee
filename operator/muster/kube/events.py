"""Kubernetes Events for people: best effort, bounded, deduplicated.

Written as core/v1, whose `involvedObject` and `message` are what `kubectl describe` selects by and shows. A repetition
of (job, attempt, reason) raises the count of the Event already written, at most once in a window.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from muster.kube import paths
from muster.kube.client import Client
from muster.kube.errors import Answer, ApiError
from muster.kube.limits import Bucket
from muster.kube.plain import plain

log = logging.getLogger(__name__)

_LONGEST = 1024
"""Bytes of a message; the API server's own bound."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The object an Event is about; `namespace` empty for cluster-scoped ones."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(slots=True)
class _Entry:
    subject: Subject
    attempt: int
    type: str
    reason: str
    message: str
    name: str
    first: int
    last: int
    count: int = 1
    written: float | None = None
    """When it was last written (clock); None: never."""
    queued: bool = False


class EventWriter:
    """Takes Events without ever blocking or raising, and writes them one by one.

    Not thread-safe: call `publish` on the loop. `now` is the wall clock in ms, `clock` monotonic in seconds. `dropped`
    counts what was given up because the queue was full or the server refused.
    """

    def __init__(
        self,
        client: Client,
        *,
        now: Callable[[], int],
        instance: str = "muster",
        window: float = 60.0,
        forget: float = 3600.0,
        queue: int = 1000,
        remember: int = 4096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._now = now
        self._instance = instance[:128]
        self._window = window
        self._forget = forget
        self._limit = queue
        self._remember = remember
        self._clock = clock
        self._known: OrderedDict[tuple[str, int, str], _Entry] = OrderedDict()
        self._queue: deque[_Entry] = deque()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False
        self.dropped = 0

    def publish(self, subject: Subject, attempt: int, reason: str, message: str, *, type: str = "Normal") -> None:
        """Say that something happened. `type` Normal | Warning; `reason` in CamelCase."""
        if self._closed:
            self.dropped += 1
            return
        now = self._now()
        key = (subject.uid, attempt, reason)
        entry = self._known.get(key)
        if entry is not None and now - entry.first < self._forget * 1000:
            entry.count += 1
            entry.last = now
            entry.message = _shortened(message)
            if entry.queued or (entry.written is not None and self._clock() - entry.written < self._window):
                return  # counted; said when it next is written
        else:
            seed = f"{subject.uid}/{attempt}/{reason}/{now}".encode()
            name = f"{subject.name[:200]}.{hashlib.blake2b(seed, digest_size=8).hexdigest()}"
            entry = _Entry(subject, attempt, type, reason[:128], _shortened(message), name, now, now)
            self._known[key] = entry
            self._known.move_to_end(key)
            if len(self._known) > self._remember:
                self._known.popitem(last=False)
        if len(self._queue) >= self._limit:
            self.dropped += 1
            return
        entry.queued = True
        self._queue.append(entry)
        self._empty.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write what is published, until cancelled or closed."""
        while not (self._closed and not self._queue):
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            entry = self._queue.popleft()
            entry.queued = False
            try:
                await self._write(entry)
            except Exception as error:
                self.dropped += 1
                log.debug("event %s not written: %s", entry.reason, error)
            if not self._queue:
                self._empty.set()

    async def close(self, within: float) -> None:
        """Take nothing more, and wait at most this many seconds until what was taken is written. `run` then returns."""
        self._closed = True
        self._wake.set()
        try:
            async with asyncio.timeout(within):
                await self._empty.wait()
        except TimeoutError:
            self.dropped += len(self._queue)
            self._queue.clear()
            self._empty.set()

    async def _write(self, entry: _Entry) -> None:
        namespace = entry.subject.namespace or "default"
        again = entry.written is not None
        entry.written = self._clock()
        if again:
            change = {"count": entry.count, "lastTimestamp": _time(entry.last), "message": entry.message}
            try:
                await self._client.patch(paths.event(namespace, entry.name), change, bucket=Bucket.EVENTS)
                return
            except ApiError as error:
                if error.answer is not Answer.GONE:  # the server keeps Events for an hour
                    raise
        try:
            await self._client.create(paths.events(namespace), self._body(entry, namespace), bucket=Bucket.EVENTS)
        except ApiError as error:
            if error.answer is not Answer.EXISTS:
                raise

    def _body(self, entry: _Entry, namespace: str) -> dict[str, Any]:
        subject = entry.subject
        involved = {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "name": subject.name,
            "uid": subject.uid,
        }
        if subject.namespace:
            involved["namespace"] = subject.namespace
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": entry.name, "namespace": namespace},
            "involvedObject": involved,
            "type": entry.type,
            "reason": entry.reason,
            "message": entry.message,
            "count": entry.count,
            "firstTimestamp": _time(entry.first),
            "lastTimestamp": _time(entry.last),
            "source": {"component": "muster"},
            "reportingComponent": "muster.dev/operator",
            "reportingInstance": self._instance,
        }


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shortened(message: str) -> str:
    message = plain(message)
    data = message.encode()
    if len(data) <= _LONGEST:
        return message
    return data[: _LONGEST - 3].decode("utf-8", "ignore") + "…"
