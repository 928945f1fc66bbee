"""What streams bytes between a container and us: its log, and a command run in it.

Apart from `transport` because neither is made of lines or of one answer. Commands go by WebSocket with the subprotocol
`v5.channel.k8s.io`, or v4, which cannot tell a command that its input has ended (Kubernetes: KEP-4006; the channel
numbers are those of k8s.io/apimachinery/pkg/util/remotecommand).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import IntEnum
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from muster.kube import paths
from muster.kube.errors import ApiError, classify, unanswered
from muster.kube.transport import Access, Credentials, Response, TransportError

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
CONNECT_SECONDS = 10.0
HEARTBEAT_SECONDS = 30.0
"""Between pings: a proxy on the way may close a connection on which nothing passes."""


class Channel(IntEnum):
    """The first byte of a message."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    STATUS = 3
    RESIZE = 4
    CLOSE = 255


class _Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    status: str = ""
    reason: str = ""
    message: str = ""
    details: _Details | None = None


class Refused(Exception):  # noqa: N818  (an answer, not a fault of ours)
    """The command could not be run, or how it ended is not known; the message is the server's."""


class Command:
    """A command that runs. Iterate for its output; then `code` is its exit code."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.code: int | None = None
        """None until it has ended."""

    @property
    def can_end_input(self) -> bool:
        """The server understands `end_input`."""
        return self._socket.protocol == V5

    async def output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        """STDOUT and STDERR as they come, until the command has ended. Raises Refused."""
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel in (Channel.STDOUT, Channel.STDERR):
                if data:
                    yield Channel(channel), data
            elif channel == Channel.STATUS:
                self.code = _exit_code(data)
        if self.code is None:
            why = self._socket.exception()
            raise Refused(f"the connection broke off before the command had ended{f': {why}' if why else ''}")

    async def write(self, data: bytes) -> None:
        """Give it input. What comes after its end is dropped."""
        await self._send(Channel.STDIN, data)

    async def end_input(self) -> None:
        """Its input ends here."""
        await self._send(Channel.CLOSE, bytes((Channel.STDIN,)))

    async def resize(self, columns: int, rows: int) -> None:
        """The terminal has this size now."""
        await self._send(Channel.RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())

    async def _send(self, channel: Channel, data: bytes) -> None:
        if not self._socket.closed:
            with suppress(aiohttp.ClientError, ConnectionError):  # `output` says how it ended
                await self._socket.send_bytes(bytes((channel,)) + data)


class Remote:
    """An async context: connections to containers, with the given credentials."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Remote:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def log(self, namespace: str, pod: str, query: Sequence[tuple[str, str]]) -> AsyncIterator[bytes]:
        """A container's log in pieces as they come; with `follow` until the container ends. Raises ApiError."""
        path = f"{paths.pod(namespace, pod)}/log"
        try:
            async with self._open(path, query, await self._credentials.current()) as response:
                if response.status != 200:
                    raise await _refusal(response, pod)
                async for piece in response.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unanswered("GET", path, error) from error

    @asynccontextmanager
    async def run(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> AsyncIterator[Command]:
        """Run a command in a container; it ends when the context does. With `tty` all output is STDOUT. Raises
        ApiError if the server refuses."""
        path = f"{paths.pod(namespace, pod)}/exec"
        query = [*(("command", word) for word in command), ("container", container)]
        query += [(name, "true") for name, on in (("stdin", stdin), ("tty", tty)) if on]
        query += [("stdout", "true"), *([] if tty else [("stderr", "true")])]
        access = await self._credentials.current()
        try:
            socket = await self._upgrade(path, query, access)
        except aiohttp.WSServerHandshakeError as refused:
            raise await self._why(path, query, access, pod, refused) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unanswered("GET", path, error) from error
        try:
            yield Command(socket)
        finally:
            await socket.close()

    async def _upgrade(
        self, path: str, query: Sequence[tuple[str, str]], access: Access
    ) -> aiohttp.ClientWebSocketResponse:
        assert self._session is not None, "enter the context first"
        return await self._session.ws_connect(
            _url(access, path, query),
            protocols=(V5, V4),
            headers=dict(access.headers),
            ssl=True if access.ssl is None else access.ssl,
            server_hostname=access.server_hostname,
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=0,
        )

    async def _why(
        self,
        path: str,
        query: Sequence[tuple[str, str]],
        access: Access,
        pod: str,
        refused: aiohttp.WSServerHandshakeError,
    ) -> ApiError:
        """The server's words. A refused upgrade comes without them, and the same request without an upgrade, which runs
        nothing, is refused for the same reason first."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self._open(path, query, access) as response:
                if response.status == refused.status:
                    return await _refusal(response, pod)
        headers = {key.lower(): value for key, value in (refused.headers or {}).items()}
        return classify(Response(refused.status, headers, refused.message.encode()), pod, "pods")

    def _open(self, path: str, query: Sequence[tuple[str, str]], access: Access) -> Any:
        assert self._session is not None, "enter the context first"
        return self._session.get(
            _url(access, path, query),
            headers=dict(access.headers),
            ssl=True if access.ssl is None else access.ssl,
            server_hostname=access.server_hostname,
            allow_redirects=False,
        )


def _url(access: Access, path: str, query: Sequence[tuple[str, str]]) -> URL:
    return URL(f"{access.base_url.rstrip('/')}{path}?{urlencode(query)}", encoded=True)


async def _refusal(response: aiohttp.ClientResponse, pod: str) -> ApiError:
    headers = {key.lower(): value for key, value in response.headers.items()}
    return classify(Response(response.status, headers, await response.read()), pod, "pods")


def _unanswered(method: str, path: str, error: Exception) -> ApiError:
    return unanswered(TransportError(f"{method} {path}: {str(error) or type(error).__name__}", sent=True))


def _exit_code(data: bytes) -> int:
    """The exit code in the Status that ends a command. Raises Refused if it says something else."""
    try:
        status = msgspec.json.decode(data, type=_Status)
    except msgspec.MsgspecError:
        raise Refused(f"the server ended the command with {data[:200]!r}") from None
    if status.status == "Success":
        return 0
    for cause in (status.details.causes if status.details is not None else None) or ():
        if cause.reason == "ExitCode" and cause.message.isdecimal():
            return int(cause.message)
    raise Refused(status.message or status.reason or "the server does not say how the command ended")
