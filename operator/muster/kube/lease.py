"""Leader election on a Lease (coordination.k8s.io/v1); architecture.md, Leaders.

Two clocks never meet: the leader counts from before it sends a renewal, the follower from when it saw the record
change, each on its own clock that runs in suspend; renewTime is for people. As the leader gives up `deadline` seconds
after a renewal was *begun* and the follower waits `lease_seconds` from when it *saw* one, the gap is always the
leader's. Losing is final: whoever has been stale once never leads again in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random as _random
import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec

from muster.kube import paths
from muster.kube.backoff import Random, Sleep
from muster.kube.client import Client
from muster.kube.errors import Answer, ApiError
from muster.kube.limits import Bucket

log = logging.getLogger(__name__)


_SOON = 1e-3
"""A pause shorter than this is none: rounding may leave a rest that no clock can show."""


def identity() -> str:
    """Who we are in the Lease: hostname_uuid, new for each process."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


def boottime() -> float:
    """Seconds on a clock that also runs in suspend (elsewhere than on Linux: the monotonic one)."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class _State(Enum):
    FOLLOWING = 1
    LEADING = 2
    OVER = 3


class Election:
    """One candidate for one Lease, on a client (and transport) of its own.

    `clock` in seconds must run in suspend; `wall` is the time in ms, written for people only. `on_leading(term)` and
    `on_lost()` are called from `run`, once at most each. `term` is the Lease's resourceVersion at our acquisition.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        on_leading: Callable[[str], None],
        on_lost: Callable[[], None],
        wall: Callable[[], int],
        lease_seconds: float = 15.0,
        renew_seconds: float = 5.0,
        deadline: float = 10.0,
        poll_seconds: float = 2.0,
        clock: Callable[[], float] = boottime,
        random: Random = _random.random,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if not renew_seconds < deadline < lease_seconds:
            raise ValueError(
                f"a lease of {lease_seconds} s with a deadline of {deadline} s, renewed every {renew_seconds} s, is "
                f"unsafe: renew_seconds < deadline < lease_seconds must hold"
            )
        self._client = client
        self._collection = paths.leases(namespace)
        self._path = paths.lease(namespace, name)
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._on_leading = on_leading
        self._on_lost = on_lost
        self._wall = wall
        self._lease_seconds = lease_seconds
        self._renew_seconds = renew_seconds
        self._deadline = deadline
        self._poll_seconds = poll_seconds
        self._timeout = (deadline - renew_seconds) / 2
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._state = _State.FOLLOWING
        self._until = float("-inf")
        self._record: dict[str, Any] | None = None
        self._observed: tuple[str, float] | None = None
        self._writing = asyncio.Lock()
        self.term: str | None = None
        self.holder = ""
        """Who led by the record last seen."""

    def fresh(self) -> bool:
        """Whether we lead, now: ask before every write."""
        return self._state is _State.LEADING and self._clock() < self._until

    async def run(self) -> None:
        """Stand for election, lead, and return when the lead is lost or released."""
        while self._state is _State.FOLLOWING:
            await self._follow()
            if self._state is _State.FOLLOWING:
                await self._sleep(self._poll_seconds * (0.75 + self._random() / 2))
        if self._state is _State.LEADING and self.term is not None:
            log.info("leading as %s, term %s", self._identity, self.term)
            self._on_leading(self.term)
        began = self._clock()
        while self._state is _State.LEADING:
            if self._clock() >= self._until:
                self._lose("the lease could not be renewed in time")
                break
            pause = self._renew_seconds - (self._clock() - began)
            if pause > _SOON:
                await self._sleep(min(pause, self._until - self._clock()))
                continue
            began = self._clock()
            renewed = False
            with contextlib.suppress(TimeoutError):  # whatever the transport does, we hear of our own end in time
                async with asyncio.timeout(self._until - began):
                    renewed = await self._renew()
            if not renewed and self._state is _State.LEADING:
                # Soon again, but not hot: the deadline leaves room for another attempt or two.
                await self._sleep(max(0.0, min(0.25 + self._random() / 4, self._until - self._clock())))
                began -= self._renew_seconds

    async def release(self) -> None:
        """Give the lead up at once, so that the other need not wait. Only when no write of ours is in flight. Best
        effort, never raises."""
        self._state = _State.OVER
        async with self._writing:
            record = self._record
            if record is None:
                return
            try:
                await self._client.replace(
                    self._path, self._edited(record, holder=""), bucket=Bucket.LEASE, within=self._timeout
                )
            except ApiError as error:
                log.warning("the lease was not released and will run out by itself: %s", error)

    # --- following ---

    async def _follow(self) -> None:
        try:
            record = await self._read()
            if record is None:
                if self._seen("", self._clock()):
                    await self._create()
                return
            spec = record.get("spec") or {}
            self.holder = spec.get("holderIdentity") or ""
            waited = self._seen(
                record["metadata"]["resourceVersion"],
                self._clock(),
                float(spec.get("leaseDurationSeconds") or self._lease_seconds),
            )
            if waited or self.holder in ("", self._identity):
                await self._take(record)
        except ApiError as error:
            if error.answer not in (Answer.CONFLICT, Answer.EXISTS):
                log.warning("no part in the election for now: %s", error)

    def _seen(self, version: str, at: float, duration: float | None = None) -> bool:
        """Whether the record has been unchanged long enough to be taken over. A missing Lease (version empty) may be
        made at once, unless it was held a moment ago: its holder does not know yet that it was deleted."""
        if self._observed is None and not version:
            return True
        if self._observed is None or self._observed[0] != version:
            self._observed = (version, at)
        return at - self._observed[1] >= (self._lease_seconds if duration is None else duration)

    async def _create(self) -> None:
        record = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
        }
        began = self._clock()
        async with self._writing:
            answer = await self._client.create(
                self._collection,
                self._edited(record, holder=self._identity, taking=True),
                bucket=Bucket.LEASE,
                within=self._timeout,
            )
            self._lead(answer, began)

    async def _take(self, record: dict[str, Any]) -> None:
        began = self._clock()
        async with self._writing:
            answer = await self._client.replace(
                self._path,
                self._edited(record, holder=self._identity, taking=True),
                bucket=Bucket.LEASE,
                within=self._timeout,
            )
            self._lead(answer, began)

    def _lead(self, answer: bytes, began: float) -> None:
        record = msgspec.json.decode(answer)
        self._record = record
        if self._state is not _State.FOLLOWING:  # released while we took it; release gives it back
            return
        self._until = began + self._deadline
        self.holder = self._identity
        self.term = str(record["metadata"]["resourceVersion"])
        self._state = _State.LEADING

    # --- leading ---

    async def _renew(self) -> bool:
        """One renewal; False if it is to be tried again soon."""
        async with self._writing:
            if self._state is not _State.LEADING or self._record is None:
                return True
            began = self._clock()
            try:
                answer = await self._client.replace(
                    self._path,
                    self._edited(self._record, holder=self._identity),
                    bucket=Bucket.LEASE,
                    within=min(self._timeout, max(0.1, self._until - began)),
                )
            except ApiError as error:
                log.warning("the lease was not renewed: %s", error)
                await self._look(error)
                return False
            if self._clock() >= self._until:  # stale for a moment, which others may have seen
                return True
            self._record = msgspec.json.decode(answer)
            self._until = began + self._deadline
            return True

    async def _look(self, error: ApiError) -> None:
        """What the record says after a conflict: an earlier renewal may have landed unanswered (its version is then
        ours to go on from), somebody may have labelled it, or somebody else holds it."""
        if error.answer not in (Answer.CONFLICT, Answer.GONE):
            return
        try:
            record = await self._read()
        except ApiError:
            return
        if record is None:
            self._lose("the Lease was deleted")
            return
        holder = (record.get("spec") or {}).get("holderIdentity") or ""
        if holder != self._identity:
            self.holder = holder
            self._lose(f"{holder or 'nobody'} holds the lease")
            return
        self._record = record

    def _lose(self, why: str) -> None:
        if self._state is not _State.LEADING:
            return
        self._state = _State.OVER
        self._record = None
        log.error("no longer leading: %s", why)
        self._on_lost()

    # --- the record ---

    async def _read(self) -> dict[str, Any] | None:
        try:
            data = await self._client.get(self._path, bucket=Bucket.LEASE, within=self._timeout, attempts=1)
        except ApiError as error:
            if error.answer is Answer.GONE:
                return None
            raise
        record: dict[str, Any] = msgspec.json.decode(data)
        return record

    def _edited(self, record: dict[str, Any], *, holder: str, taking: bool = False) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._wall() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = record.get("spec") or {}
        spec = {
            **old,
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._lease_seconds)) if holder else 1,
            "renewTime": now,
        }
        if taking and old.get("holderIdentity") != holder:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (old.get("leaseTransitions") or 0) + (1 if old else 0)
        return {**record, "spec": spec}
