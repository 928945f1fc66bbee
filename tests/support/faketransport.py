"""A scripted transport, and an event loop on which time is free.

`FakeTransport` answers each request from what was programmed for its method and path, in order; the last script of a
path repeats if it is wrapped in `forever`. A script for `send` is a Response, an exception, a function of the Request,
or HANG; one for `stream` is a list of lines (bytes or dicts), pauses (float, seconds), exceptions, HANG, or a Response
that refuses the stream.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from muster.kube.transport import Request, Response, StreamRefused, TransportError


class Hang:
    """Never answers; a request's own timeout ends it with a TransportError."""


HANG = Hang()
Script = Response | BaseException | Hang | Callable[[Request], Response]
Lines = Iterable[bytes | Mapping[str, Any] | float | BaseException | Hang] | Response


def ok(body: Any = None, code: int = 200) -> Response:
    """An object as the answer."""
    return Response(code, {"content-type": "application/json"}, msgspec.json.encode({} if body is None else body))


def plain(code: int, text: str, **headers: str) -> Response:
    """An answer that is no Status."""
    keys = {key.replace("_", "-"): value for key, value in headers.items()}
    return Response(code, {"content-type": "text/plain", **keys}, text.encode())


def status(
    code: int,
    reason: str = "",
    message: str = "",
    *,
    name: str = "",
    kind: str = "",
    causes: Iterable[Mapping[str, str]] = (),
    retry_after: float | None = None,
) -> Response:
    """A Kubernetes Status."""
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if kind:
        details["kind"] = kind
    if causes := list(causes):
        details["causes"] = causes
    headers = {"content-type": "application/json"}
    if retry_after is not None:
        details["retryAfterSeconds"] = retry_after
        headers["retry-after"] = str(retry_after)
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "details": details, "code": code}  # fmt: skip
    return Response(code, headers, msgspec.json.encode(body))


def missing(name: str, kind: str = "pods") -> Response:
    """The Status of an object that does not exist."""
    return status(404, "NotFound", f'{kind} "{name}" not found', name=name, kind=kind)


@dataclass
class forever:  # noqa: N801
    """Answers every further request the same way."""

    script: Any


@dataclass
class FakeTransport:
    """See the module. `requests` are all requests of `send`, `streams` those of `stream`, in order; `open` counts the
    streams not yet closed."""

    fallback: Callable[[Request], Response] | None = None
    requests: list[Request] = field(default_factory=list)
    streams: list[Request] = field(default_factory=list)
    open: int = 0
    _answers: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    _lines: dict[str, list[Any]] = field(default_factory=dict)

    def answer(self, method: str, path: str, *scripts: Script | forever) -> FakeTransport:
        """Program what follows on requests to a path."""
        self._answers.setdefault((method, path), []).extend(scripts)
        return self

    def streaming(self, path: str, *scripts: Lines | forever) -> FakeTransport:
        """Program what follows on watches of a path."""
        self._lines.setdefault(path, []).extend(scripts)
        return self

    def sent(self, method: str, path: str | None = None) -> list[Request]:
        """The requests of a method, to a path."""
        return [r for r in self.requests if r.method == method and path in (None, r.path)]

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        await asyncio.sleep(0)
        script = _next(self._answers.get((request.method, request.path)))
        if script is None:
            if self.fallback is None:
                raise AssertionError(f"nothing programmed for {request.method} {request.path}")
            script = self.fallback
        if script is HANG:
            await self._hang(request)
        if isinstance(script, BaseException):
            raise script
        answer: Response = script(request) if callable(script) else script
        return answer

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        self.streams.append(request)
        await asyncio.sleep(0)
        script = _next(self._lines.get(request.path))
        if script is None:
            raise AssertionError(f"no stream programmed for {request.path}")
        if isinstance(script, Response):
            raise StreamRefused(script)
        self.open += 1
        try:
            for item in script:
                if item is HANG:
                    await self._hang(request)
                elif isinstance(item, BaseException):
                    raise item
                elif isinstance(item, int | float):
                    await asyncio.sleep(item)
                else:
                    yield item if isinstance(item, bytes) else msgspec.json.encode(item)
        finally:
            self.open -= 1

    async def _hang(self, request: Request) -> None:
        await asyncio.sleep(1e9 if request.timeout is None else request.timeout)
        raise TransportError(f"{request.method} {request.path}: timed out", sent=True)


def _next(scripts: list[Any] | None) -> Any:
    if not scripts:
        return None
    if isinstance(scripts[0], forever):
        return scripts[0].script
    return scripts.pop(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("every task waits for something that will never happen")
        if timeout > 0:
            self._loop.now += timeout
        return super().select(0)


def now() -> float:
    """The virtual time, in seconds."""
    return asyncio.get_running_loop().time()


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in virtual time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
