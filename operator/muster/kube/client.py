"""Requests to the Kubernetes API, on any transport: limits, one attempt per write, bounded retries of reads."""

from __future__ import annotations

import asyncio
import random as _random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from muster.kube import paths
from muster.kube.backoff import Random, Sleep, retrying
from muster.kube.errors import Answer, ApiError, classify, unanswered
from muster.kube.limits import Bucket, Limits
from muster.kube.transport import Request, StreamRefused, Transport, TransportError, Withheld

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
JSON = "application/json"

Observe = Callable[[str, str, float, str], None]
"""Called after each attempt with verb, plural, seconds and outcome: `ok`, a value of Answer, or `unsent`."""


class LeaseStale(Exception):  # noqa: N818  (a state, not a fault)
    """A write was about to be sent after the lease had run out. Nothing was sent."""


class _Meta(msgspec.Struct):
    next: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _Meta


_LIST = msgspec.json.Decoder(_List)


class Client:
    """The API server as muster uses it. Every call returns the answer's body and raises ApiError.

    A write is attempted exactly once: whoever writes knows what an unknown outcome means for it. Reads are repeated up
    to `attempts` times after unknown and throttled answers. `may_write` is asked right before each write leaves, after
    any wait for its bucket; if it says no, LeaseStale is raised. Clock and sleep in seconds, monotonic; `within` is the
    time-out of one attempt (None: the transport's own).
    """

    def __init__(
        self,
        transport: Transport,
        limits: Limits | None = None,
        *,
        may_write: Callable[[], bool] | None = None,
        observe: Observe | None = None,
        attempts: int = 5,
        random: Random = _random.random,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._limits = limits if limits is not None else Limits(clock=clock, sleep=sleep)
        self._may_write = may_write
        self._observe = observe
        self._attempts = attempts
        self._random = random
        self._sleep = sleep
        self._clock = clock

    # --- reads ---

    async def get(
        self,
        path: str,
        *,
        query: tuple[tuple[str, str], ...] = (),
        bucket: Bucket = Bucket.OTHERS,
        within: float | None = None,
        attempts: int | None = None,
    ) -> bytes:
        """Read an object, consistently unless the query says otherwise."""
        request = Request("GET", path, query, timeout=within)
        return await retrying(
            lambda: self._attempt("get" if paths.split(path)[1] else "list", request, bucket),
            attempts=self._attempts if attempts is None else attempts,
            random=self._random,
            sleep=self._sleep,
        )

    async def list_page(
        self,
        path: str,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        token: str = "",
        resource_version: str | None = None,
    ) -> bytes:
        """Read one page of a list; `token` continues an earlier one. Raises EXPIRED if the token is too old."""
        query = [("limit", str(limit))]
        if label_selector:
            query.append(("labelSelector", label_selector))
        if field_selector:
            query.append(("fieldSelector", field_selector))
        if token:
            query.append(("continue", token))
        elif resource_version is not None:
            query.append(("resourceVersion", resource_version))
        return await self.get(path, query=tuple(query))

    async def list_pages(
        self,
        path: str,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        resource_version: str | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Read a list page by page, as one snapshot; consistent if `resource_version` is None. Raises EXPIRED when the
        snapshot is compacted away in between: begin again."""
        token = ""
        while True:
            page = await self.list_page(
                path,
                label_selector=label_selector,
                field_selector=field_selector,
                limit=limit,
                token=token,
                resource_version=resource_version,
            )
            yield page
            try:
                token = _LIST.decode(page).metadata.next
            except msgspec.MsgspecError as error:
                raise ApiError(Answer.UNKNOWN, code=200, message=f"{path}: not a list: {error}") from error
            if not token:
                return

    async def watch(
        self, path: str, query: tuple[tuple[str, str], ...], *, within: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The lines of one watch. Close it with contextlib.aclosing. Raises ApiError when refused or broken off."""
        kind, name = paths.split(path)
        started = self._clock()
        try:
            await self._limits[Bucket.OTHERS].acquire()
            stream = self._transport.stream(Request("GET", path, query, timeout=within))
            try:
                async for line in stream:
                    yield line
            finally:  # at once, not when the garbage collector comes by
                close = getattr(stream, "aclose", None)
                if close is not None:
                    await close()
            self._note("watch", kind, started, None)
        except StreamRefused as refused:
            error = classify(refused.response, name, kind)
            self._note("watch", kind, started, error)
            raise error from None
        except TransportError as broken:
            error = unanswered(broken)
            self._note("watch", kind, started, error)
            raise error from broken

    # --- writes ---

    async def create(
        self,
        path: str,
        body: bytes | Mapping[str, Any],
        *,
        bucket: Bucket,
        dry_run: bool = False,
        field_validation: str | None = "Strict",
        within: float | None = None,
    ) -> bytes:
        """Create an object in the collection `path`."""
        request = Request("POST", path, _options(dry_run, field_validation), _bytes(body), JSON, within)
        return await self._write("create", request, bucket)

    async def patch(
        self,
        path: str,
        body: bytes | Mapping[str, Any],
        content_type: str = MERGE_PATCH,
        *,
        bucket: Bucket,
        dry_run: bool = False,
        field_validation: str | None = None,
        within: float | None = None,
    ) -> bytes:
        """Patch an object; put metadata.uid or metadata.resourceVersion into the body as preconditions."""
        request = Request("PATCH", path, _options(dry_run, field_validation), _bytes(body), content_type, within)
        return await self._write("patch", request, bucket)

    async def replace(
        self,
        path: str,
        body: bytes | Mapping[str, Any],
        *,
        bucket: Bucket,
        dry_run: bool = False,
        field_validation: str | None = None,
        within: float | None = None,
    ) -> bytes:
        """Replace an object; a compare-and-set if the body carries a resourceVersion."""
        request = Request("PUT", path, _options(dry_run, field_validation), _bytes(body), JSON, within)
        return await self._write("replace", request, bucket)

    async def delete(
        self,
        path: str,
        *,
        uid: str,
        resource_version: str | None = None,
        grace: int | None = None,
        propagation: str | None = None,
        bucket: Bucket = Bucket.DELETES,
        within: float | None = None,
    ) -> bytes:
        """Delete the object with this uid, never another of its name. `grace` in seconds; `propagation` Background |
        Foreground | Orphan."""
        preconditions = {"uid": uid}
        if resource_version is not None:
            preconditions["resourceVersion"] = resource_version
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if propagation is not None:
            options["propagationPolicy"] = propagation
        request = Request("DELETE", path, (), _bytes(options), JSON, within)
        return await self._write("delete", request, bucket)

    # --- one attempt ---

    async def _write(self, verb: str, request: Request, bucket: Bucket) -> bytes:
        return await self._attempt(verb, request, bucket, write=True)

    async def _attempt(self, verb: str, request: Request, bucket: Bucket, *, write: bool = False) -> bytes:
        limit = self._limits[bucket]
        await limit.acquire()
        if write and self._may_write is not None and not self._may_write():
            raise _stale(request)
        kind, name = paths.split(request.path)
        started = self._clock()
        try:
            response = await self._transport.send(replace(request, may_leave=self._may_write) if write else request)
        except Withheld:
            raise _stale(request) from None
        except TransportError as broken:
            error = unanswered(broken)
            self._note(verb, kind, started, error)
            raise error from broken
        if 200 <= response.status < 300:
            self._note(verb, kind, started, None)
            return response.body
        error = classify(response, name, kind)
        if error.answer is Answer.THROTTLED and error.code == 429:
            limit.pause(error.retry_after or 1.0)
        self._note(verb, kind, started, error)
        raise error

    def _note(self, verb: str, kind: str, started: float, error: ApiError | None) -> None:
        if self._observe is None:
            return
        outcome = "ok" if error is None else error.answer.value if error.sent else "unsent"
        self._observe(verb, kind, self._clock() - started, outcome)


def _stale(request: Request) -> LeaseStale:
    return LeaseStale(f"{request.method} {request.path} was not sent: the lease has run out")


def _bytes(body: bytes | Mapping[str, Any]) -> bytes:
    return body if isinstance(body, bytes) else msgspec.json.encode(body)


def _options(dry_run: bool, field_validation: str | None) -> tuple[tuple[str, str], ...]:
    query = (("dryRun", "All"),) if dry_run else ()
    return query if field_validation is None else (*query, ("fieldValidation", field_validation))
