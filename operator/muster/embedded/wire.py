"""What goes in and out of the server: requests, answers, refusals. Plain values, no I/O.

A refusal is a `StatusError`, which carries the body that the real server sends: a meta/v1 Status whose words are those
of k8s.io/apimachinery's `api/errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

Object = dict[str, Any]
"""A Kubernetes object, decoded from JSON."""

JSON = "application/json"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` is decoded and has no query; `accept` and `content_type` are the headers as they came."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = ""
    accept: str = ""
    user: str = "embedded"
    agent: str = ""
    """The User-Agent, whose first word names the field manager where the query names none."""

    def parameter(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        for key, value in self.query:
            if key == name:
                return value
        return default

    def parameters(self, name: str) -> list[str]:
        """Every value of a query parameter."""
        return [value for key, value in self.query if key == name]

    def flag(self, name: str) -> bool:
        """A boolean query parameter as Kubernetes reads it: present and neither `false` nor `0`."""
        for key, value in self.query:
            if key == name:
                return value.lower() not in ("false", "0")
        return False


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; header names as they are to be sent."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


SLOWEST = 500_000
"""Lines that may wait in a watch."""


class Watch:
    """An open watch: lines come in from the server, the transport takes them out. Not for two threads at once."""

    __slots__ = ("_lines", "_release", "closed", "content_type", "on_news")

    def __init__(self, release: Callable[[Watch], None] = lambda _: None, content_type: str = JSON) -> None:
        self._lines: list[bytes] = []
        self._release = release
        self.content_type = content_type
        self.closed = False
        """No line will be added any more; what is there can still be taken."""
        self.on_news: Callable[[], None] | None = None
        """Called synchronously, in the middle of a write, when lines came in or the watch was closed: only note it."""

    def take(self) -> list[bytes]:
        """The lines that came in since the last call, whole and without newline. They are shared: not to be changed."""
        lines, self._lines = self._lines, []
        return lines

    def put(self, line: bytes) -> None:
        """Add a line (for the server). A client that takes nothing for too long is cut off, as by the real server."""
        if self.closed:
            return
        self._lines.append(line)
        if len(self._lines) > SLOWEST:
            self._lines = []
            self.closed = True
            self._release(self)
        if self.on_news is not None:
            self.on_news()

    def end(self) -> None:
        """Close from the server's side."""
        if not self.closed:
            self.closed = True
            if self.on_news is not None:
                self.on_news()

    def close(self) -> None:
        """Close from the client's side: nothing more is kept for it."""
        if not self.closed:
            self.closed = True
            self._release(self)
        self._lines = []


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that is at fault; `message` is without the field's name, as in field.Error.ErrorBody."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class StatusError(Exception):
    """A refusal, as the meta/v1 Status that says so."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = None if details is None else dict(details)
        self.metadata = dict(metadata or {})
        self.headers = headers

    def body(self) -> Object:
        """The Status object."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    def response(self) -> Response:
        """The answer that carries it."""
        return Response(self.code, _encode(self.body()), headers=self.headers)


def qualified(plural: str, group: str) -> str:
    """A resource as messages name it: `pods`, `trainingjobs.muster.dev`."""
    return f"{plural}.{group}" if group else plural


def _details(name: str, group: str, kind: str, **more: Any) -> Object:
    found = {"name": name, "group": group, "kind": kind, **more}
    return {key: value for key, value in found.items() if value}


def not_found(plural: str, group: str, name: str) -> StatusError:
    """404: there is no object of this name."""
    return StatusError(404, "NotFound", f'{qualified(plural, group)} "{name}" not found', _details(name, group, plural))


def already_exists(plural: str, group: str, name: str) -> StatusError:
    """409: an object of this name exists."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, _details(name, group, plural))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(plural: str, group: str, name: str, why: str = MODIFIED) -> StatusError:
    """409: a precondition does not hold, by default the resourceVersion."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return StatusError(409, "Conflict", message, _details(name, group, plural))


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> StatusError:
    """422: the fields at fault, each with its reason; `kind` is the Kind, not the plural."""
    # apimachinery's Aggregate says the same words once.
    words = list(dict.fromkeys(str(cause) for cause in causes))
    said = words[0] if len(words) == 1 else f"[{', '.join(words)}]"
    listed = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    shown = f"{kind}.{group}" if group else kind
    details = _details(name, group, kind, causes=listed)
    return StatusError(422, "Invalid", f'{shown} "{name}" is invalid: {said}', details)


def bad_request(message: str) -> StatusError:
    """400."""
    return StatusError(400, "BadRequest", message)


def forbidden(plural: str, group: str, name: str, why: str, causes: Sequence[Cause] = ()) -> StatusError:
    """403: an admission plugin said no."""
    shown = qualified(plural, group) + (f' "{name}"' if name else "")
    listed = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    details = _details(name, group, plural, causes=listed)
    return StatusError(403, "Forbidden", f"{shown} is forbidden: {why}", details)


def method_not_allowed() -> StatusError:
    """405: the resource does not have this verb."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def expired(message: str, token: str = "") -> StatusError:
    """410: the resourceVersion or continue token is too old; `token` goes on from there, inconsistently."""
    return StatusError(410, "Expired", message, metadata={"continue": token} if token else None)


def too_large_version(asked: int, current: int) -> StatusError:
    """504: the resourceVersion lies in the future."""
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return StatusError(
        504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1}, headers=(("Retry-After", "1"),)
    )


def too_large(message: str) -> StatusError:
    """413: the request or the object is larger than what is stored."""
    return StatusError(413, "RequestEntityTooLarge", message)


def unsupported_media(accepted: Sequence[str]) -> StatusError:
    """415: a body in a form that is not read."""
    listed = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return StatusError(415, "UnsupportedMediaType", message)


def not_acceptable(accepted: Sequence[str]) -> StatusError:
    """406: an answer in a form that is not written."""
    return StatusError(
        406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {', '.join(accepted)}", {}
    )


def not_served() -> Response:
    """404 for a path behind which there is no resource: plain text, as the real server answers."""
    return Response(404, b"404 page not found\n", "text/plain; charset=utf-8")
