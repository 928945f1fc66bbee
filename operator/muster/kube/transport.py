"""The seam to the API server: bytes in, bytes out.

Everything above it (client, reflector, lease, events) knows only `Transport`; the embedded server, fault injection and
simulated time put their own in its place. `HttpTransport` is the real one, over aiohttp.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
from yarl import URL


def _version() -> str:
    try:
        return metadata.version("muster")
    except metadata.PackageNotFoundError:
        return "0"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` begins with a slash and is not escaped further; `timeout` in seconds, None for the
    transport's own: for `send` the whole exchange, for `stream` the longest silence. `may_leave` is asked when there is
    a connection, right before the first byte: waiting for one can take long (a frozen process thaws)."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str | None = None
    timeout: float | None = None
    may_leave: Callable[[], bool] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whatever its status; the keys of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransportError(Exception):
    """No answer came. `sent` is False only if the request certainly never reached the server."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Withheld(Exception):  # noqa: N818  (a state, not a fault)
    """`may_leave` said no; nothing was sent."""


class StreamRefused(Exception):  # noqa: N818  (an answer, not a fault)
    """A stream was answered with another status than 200."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"the stream was refused with {response.status}")
        self.response = response


class Transport(Protocol):
    """Carries requests; knows nothing of Kubernetes."""

    async def send(self, request: Request) -> Response:
        """Exchange one request for its answer. Raises TransportError when none comes, Withheld."""
        ...

    def stream(self, request: Request) -> AsyncIterator[bytes]:
        """The lines of a watch, without their newline, until the server ends it. The iterator is an async generator:
        close it (`contextlib.aclosing`). Raises StreamRefused and TransportError."""
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is and how it is spoken to. `server_hostname` is the name the certificate must carry, if
    not that of the URL."""

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    ssl: ssl.SSLContext | None = None
    server_hostname: str | None = None


class Credentials(Protocol):
    """The source of `Access`; see credentials.py for the real one."""

    async def current(self) -> Access:
        """The access to use now, renewed if it is about to expire."""
        ...

    async def refresh(self, stale: Access) -> Access:
        """After a 401: a newer access, or `stale` itself if there is none."""
        ...


class FixedCredentials:
    """An access that never changes."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def current(self) -> Access:
        """The access."""
        return self._access

    async def refresh(self, stale: Access) -> Access:
        """Nothing newer is to be had."""
        return stale


class HttpTransport:
    """HTTP/1.1 over a connection pool of its own; make one per purpose that must not starve another (the lease).

    Times in seconds. `read_timeout` is the longest silence on a stream: the API server sends a bookmark about once a
    minute, so a longer silence means a dead connection. One attempt per request, except that a 401, which proves that
    nothing was carried out, is repeated once with renewed credentials.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        connections: int = 100,
        timeout: float = 30.0,
        connect_timeout: float = 10.0,
        read_timeout: float = 120.0,
    ) -> None:
        self._credentials = credentials
        self._connections = connections
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._session: aiohttp.ClientSession | None = None
        self._agent = f"muster/{_version()}"

    async def send(self, request: Request) -> Response:
        """Exchange one request for its answer."""
        total = self._timeout if request.timeout is None else request.timeout
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=min(self._connect_timeout, total))
        try:
            response = await self._open(request, timeout)
            async with response:
                return Response(response.status, _headers(response), await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _transport_error(request, error) from error

    async def stream(self, request: Request) -> AsyncIterator[bytes]:
        """The lines of a watch; objects of any size (aiohttp's own line reader has a limit)."""
        silence = self._read_timeout if request.timeout is None else request.timeout
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout, sock_read=silence)
        try:
            response = await self._open(request, timeout)
            try:
                if response.status != 200:
                    raise StreamRefused(Response(response.status, _headers(response), await response.read()))
                parts: list[bytes] = []
                async for chunk in response.content.iter_any():
                    lines = chunk.split(b"\n")
                    if len(lines) == 1:
                        parts.append(chunk)
                        continue
                    parts.append(lines[0])
                    first = b"".join(parts)
                    if first:
                        yield first
                    for line in lines[1:-1]:
                        if line:
                            yield line
                    parts = [lines[-1]]
                rest = b"".join(parts)
                if rest:
                    yield rest
            finally:
                response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _transport_error(request, error) from error

    async def close(self) -> None:
        """Close every connection. The transport may be used again afterwards."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _open(self, request: Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        access = await self._credentials.current()
        response = await self._request(request, access, limits)
        if response.status != 401:
            return response
        renewed = await self._credentials.refresh(access)
        if renewed is access:
            return response
        response.close()
        return await self._request(request, renewed, limits)

    async def _request(self, request: Request, access: Access, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        session = self._session
        if session is None:
            session = self._session = aiohttp.ClientSession(
                connector=_Connector(limit=self._connections, ttl_dns_cache=30),
                headers={"User-Agent": self._agent, "Accept": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                read_bufsize=2**18,
            )
            # aiohttp repeats PUT and DELETE by itself when a kept-alive connection turns out to be closed. A repeated
            # compare-and-set would then report a conflict with our own first write. There is no public switch.
            session._retry_connection = False
        url = access.base_url.rstrip("/") + request.path
        if request.query:
            url += "?" + urlencode(request.query)
        headers = dict(access.headers)
        if request.content_type is not None:
            headers["Content-Type"] = request.content_type
        _MAY_LEAVE.set(request.may_leave)
        return await session.request(
            request.method,
            URL(url, encoded=True),
            data=request.body,
            headers=headers,
            timeout=limits,
            ssl=True if access.ssl is None else access.ssl,
            server_hostname=access.server_hostname,
            allow_redirects=False,
        )


_MAY_LEAVE: ContextVar[Callable[[], bool] | None] = ContextVar("may_leave", default=None)
"""Of the request that this task is about to send."""


class _Connector(aiohttp.TCPConnector):
    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (the library's own signature)
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        may_leave = _MAY_LEAVE.get()
        if may_leave is not None and not may_leave():
            connection.release()
            raise Withheld
        return connection


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {key.lower(): value for key, value in response.headers.items()}


def _transport_error(request: Request, error: Exception) -> TransportError:
    unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    words = str(error) or type(error).__name__
    return TransportError(f"{request.method} {request.path}: {words}", sent=not unsent)
