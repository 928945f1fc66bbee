"""A Transport that does what a plan says to what passes through it: the only place of faults.

It counts requests and watch events by channel (`plan`), and asks a `Chooser` at each what is to happen. The counts
outlive the process that it serves, so that a plan can name a write of the process' second life.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Protocol, cast

import msgspec

from muster.kube import paths
from muster.kube.transport import Request, Response, StreamRefused, Transport, TransportError, Withheld
from muster.sim.loop import NOBODY
from muster.sim.plan import Fault

REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
TIMEOUT = 30.0
"""Seconds that a request without a time of its own waits for its answer."""
_encode = msgspec.json.Encoder().encode


class Chooser(Protocol):
    """Says what happens to what passes. `number` counts the channel, from 1."""

    def request(self, channel: str, number: int, request: Request) -> Fault | Response | None:
        """A request is about to leave. A Response is given in place of the server's; nothing is carried out then."""
        ...

    def event(self, channel: str, number: int, line: bytes) -> Fault | None:
        """A watch is about to deliver a line."""
        ...


class ByPlan:
    """The faults of one seat, by channel and number."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = {(fault.channel, fault.number): fault for fault in faults}

    def request(self, channel: str, number: int, request: Request) -> Fault | None:
        """See Chooser."""
        return self._faults.get((channel, number))

    def event(self, channel: str, number: int, line: bytes) -> Fault | None:
        """See Chooser."""
        return self._faults.get((channel, number))


class Victim(Protocol):
    """The process at this end."""

    def crash(self) -> None:
        """Die, now."""
        ...

    def freeze(self, seconds: float) -> None:
        """Stop, now, and go on so much later."""
        ...


class Counts:
    """How far each channel of a seat has come, and what was done to it."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        """By channel, while there were faults."""
        self.injected: list[str] = []
        self.under_way = 0
        """Requests that will still arrive, though nobody waits for them."""
        self.silent_until = 0.0
        """When (loop time) the watches speak again."""
        self.stopped = False
        """Whether there are no faults any more; nothing is counted then."""


class Faulty:
    """See the module. `send` and `stream` are those of `inner`, disturbed."""

    def __init__(self, inner: Transport, chooser: Chooser, victim: Victim, counts: Counts) -> None:
        self._inner = inner
        self._chooser = chooser
        self._victim = victim
        self._counts = counts
        self.cut = False
        """Whether the process is dead: nothing leaves any more, nothing is answered."""

    # --- requests ---------------------------------------------------------------------------------------------------

    async def send(self, request: Request) -> Response:
        """See kube.transport.Transport."""
        if self.cut:
            return await _never()
        fault = self._at(channel_of(request), request)
        if fault is None:
            return await self._inner.send(request)
        if isinstance(fault, Response):
            return fault
        match fault.what:
            case "crash-before" | "crash-after" | "crash-late":
                return await self._crash(request, fault)
            case "freeze-before" | "freeze-after" | "freeze-late":
                return await self._freeze(request, fault)
            case "stale":
                self._counts.silent_until = asyncio.get_running_loop().time() + fault.value
                return await self._inner.send(request)
            case "slow":
                await asyncio.sleep(fault.value)
                return await self._inner.send(request)
            case "refuse":
                raise _broken(request, "connection refused", sent=False)
            case "code":
                return refusal(int(fault.value), request)
            case "code-after":
                await self._inner.send(request)
                return refusal(int(fault.value), request)
            case _:
                return await self._unanswered(request, fault)

    async def _unanswered(self, request: Request, fault: Fault) -> Response:
        """No answer comes: at once, or with a value after so many seconds (of `late`: it arrives then)."""
        if fault.what == "lose-reply":
            await self._inner.send(request)
        elif fault.what == "late":
            self._later(request, fault.value)
        if fault.what != "late" and fault.value:
            await asyncio.sleep(min(fault.value, request.timeout or TIMEOUT))
        raise _broken(request, "the connection broke")

    async def _crash(self, request: Request, fault: Fault) -> Response:
        if fault.what == "crash-after":
            await self._inner.send(request)
        elif fault.what == "crash-late":
            self._later(request, fault.value)
        self._victim.crash()
        return await _never()

    async def _freeze(self, request: Request, fault: Fault) -> Response:
        if fault.what == "freeze-late":
            self._later(request, fault.value)
            self._victim.freeze(fault.value)
            await asyncio.sleep(0)
            raise _broken(request, "the connection broke")
        if fault.what == "freeze-after":
            response = await self._inner.send(request)
            self._victim.freeze(fault.value)
            await asyncio.sleep(0)
            return response
        self._victim.freeze(fault.value)
        await asyncio.sleep(0)
        return await self._inner.send(request)

    def _later(self, request: Request, seconds: float) -> None:
        """The request is on its way, whatever becomes of its sender."""
        if request.may_leave is not None and not request.may_leave():
            raise Withheld
        loop = asyncio.get_running_loop()
        gone = Request(request.method, request.path, request.query, request.body, request.content_type)
        self._counts.under_way += 1
        loop.call_later(seconds, lambda: loop.create_task(self._deliver(gone)), context=NOBODY)

    async def _deliver(self, request: Request) -> None:
        try:
            await self._inner.send(request)
        except TransportError:
            pass  # whoever sent it is not there to hear
        finally:
            self._counts.under_way -= 1

    def _at(self, channel: str, request: Request) -> Fault | Response | None:
        counts = self._counts
        if counts.stopped:
            return None
        counts.passed[channel] += 1
        fault = self._chooser.request(channel, counts.passed[channel], request)
        if isinstance(fault, Fault):
            counts.injected.append(str(fault))
        return fault

    # --- watches ----------------------------------------------------------------------------------------------------

    async def stream(self, request: Request) -> AsyncIterator[bytes]:
        """See kube.transport.Transport."""
        if self.cut:
            await _never()
        channel = paths.split(request.path)[0]
        await self._open(request, self._at(f"{channel}+", request))
        # The inner one is a generator; the protocol cannot say so.
        stream = cast("AsyncGenerator[bytes, None]", self._inner.stream(request))
        async with aclosing(stream) as lines:
            async for line in lines:
                fault = self._event(channel, line)
                await self._silence()
                if fault is None:
                    yield line
                    continue
                match fault.what:
                    case "crash-before":
                        self._victim.crash()
                        await _never()
                    case "freeze-before":
                        self._victim.freeze(fault.value)
                        await asyncio.sleep(0)
                    case "cut-before":
                        raise _broken(request, "the stream broke")
                    case "expire":
                        yield b'{"type":"ERROR","object":%b}' % _status(410, "too old resource version")
                        return
                    case "delay":
                        await asyncio.sleep(fault.value)
                    case "double":
                        yield line
                    case _:
                        pass
                yield line
                if fault.what == "cut-after":
                    raise _broken(request, "the stream broke")
                if fault.what == "crash-after":
                    self._victim.crash()
                    await _never()

    async def _silence(self) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < self._counts.silent_until:  # noqa: ASYNC110  (a time that may be put off meanwhile)
            await asyncio.sleep(self._counts.silent_until - loop.time())

    async def _open(self, request: Request, fault: Fault | Response | None) -> None:
        if fault is None:
            return
        if isinstance(fault, Response):
            raise StreamRefused(fault)
        if fault.what == "refuse":
            raise _broken(request, "connection refused", sent=False)
        if fault.what == "code":
            raise StreamRefused(refusal(int(fault.value), request))
        await asyncio.sleep(fault.value)

    def _event(self, channel: str, line: bytes) -> Fault | None:
        if line.startswith(b'{"type":"BOOKMARK"'):
            return None
        counts = self._counts
        if counts.stopped:
            return None
        counts.passed[channel] += 1
        fault = self._chooser.event(channel, counts.passed[channel], line)
        if fault is not None:
            counts.injected.append(str(fault))
        return fault


def channel_of(request: Request) -> str:
    """The channel in which a request is counted."""
    kind = paths.split(request.path)[0]
    if kind == "leases":
        return "lease"
    if kind == "events":
        return "event"
    if request.method == "GET":
        return "read"
    return "dry" if ("dryRun", "All") in request.query else "write"


def refusal(code: int, request: Request, message: str = "") -> Response:
    """An answer of this status, as the API server words it."""
    headers = {"content-type": "application/json"} | ({"retry-after": "1"} if code in (429, 503) else {})
    return Response(code, headers, _status(code, message or f"{request.method} {request.path}: so on purpose"))


def _status(code: int, message: str) -> bytes:
    reason = REASONS.get(code, "")
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return _encode({**status, "reason": reason, "code": code})


def _broken(request: Request, why: str, *, sent: bool = True) -> TransportError:
    return TransportError(f"{request.method} {request.path}: {why}", sent=sent)


async def _never() -> Response:
    """Wait until cancelled: nothing happens to the dead."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable")
