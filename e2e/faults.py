"""What a fault proxy may do to a request: rules (which request) and actions (what happens).

Rule("POST", r"/pods$", drop_reply(), times=1)                 done, but nobody hears
Rule("PATCH", r"/trainingjobs/.+/status", answer(409))         refused
Rule("PUT", "", hold_before(), lambda seen: ...)               until rule.release()
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from e2e.process import Process

REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
POLL_SECONDS = 0.01


class CutOff(Exception):  # noqa: N818 - not an error: the proxy's way of saying 'hang up'
    """Close the connection without a reply."""


class Refuse(Exception):  # noqa: N818 - not an error: the proxy's own answer
    """Answer in the server's stead, without delivering."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


@dataclass(slots=True)
class Seen:
    """A request as the proxy saw it.

    at -- wall clock, seconds. path -- with query. body -- decoded JSON or None.
    delivered -- the API server has answered it. answer -- the status the client got, None if none.
    """

    at: float
    method: str
    path: str
    body: Any
    delivered: bool = False
    answer: int | None = None
    rule: Rule | None = None


@dataclass(slots=True, eq=False)
class Rule:
    """Which requests an action happens to.

    method -- a regex that the whole method matches; path -- a regex found in path and query.
    when -- a further test. skip -- let so many matching ones pass first; times -- act on at
    most so many (None: all). `hits` counts those acted on.
    """

    method: str
    path: str
    action: Action
    when: Callable[[Seen], bool] | None = None
    times: int | None = None
    skip: int = 0
    hits: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def claims(self, seen: Seen) -> bool:
        """Return whether this request is ours, and count it."""
        if self.times is not None and self.hits >= self.times:
            return False
        if not re.fullmatch(self.method, seen.method) or not re.search(self.path, seen.path):
            return False
        if self.when is not None and not self.when(seen):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.hits += 1
        return True

    def release(self) -> None:
        """Let go of everything held, now and from now on."""
        self.released.set()

    async def wait(self) -> None:
        """Wait for release; polled, since the release comes from another thread."""
        while not self.released.is_set():  # noqa: ASYNC110 - an asyncio.Event cannot be set from a thread
            await asyncio.sleep(POLL_SECONDS)


class Action:
    """Does something before a request is delivered and after the API server has answered it."""

    async def before(self, rule: Rule | None) -> None:
        """Run before delivery; may raise Refuse or CutOff."""

    async def after(self, rule: Rule | None) -> None:
        """Run after delivery, before the reply; may raise Refuse or CutOff."""


class Deliver(Action):
    """Nothing out of the ordinary."""


class Kill(Deliver):
    """Kills a process as a request of its arrives, which is delivered all the same."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def before(self, rule: Rule | None) -> None:
        """Kill -9; reaping it is the test's."""
        self._process.signal(signal.SIGKILL)


@dataclass(slots=True)
class _Steps(Action):
    delay_before: float = 0.0
    delay_after: float = 0.0
    held_before: bool = False
    held_after: bool = False
    end_before: Exception | None = None
    end_after: Exception | None = None

    async def before(self, rule: Rule | None) -> None:
        await asyncio.sleep(self.delay_before)
        if self.held_before and rule is not None:
            await rule.wait()
        if self.end_before is not None:
            raise self.end_before.with_traceback(None)

    async def after(self, rule: Rule | None) -> None:
        await asyncio.sleep(self.delay_after)
        if self.held_after and rule is not None:
            await rule.wait()
        if self.end_after is not None:
            raise self.end_after.with_traceback(None)


def drop_reply() -> Action:
    """Deliver, then hang up: the write is done and the writer does not know."""
    return _Steps(end_after=CutOff())


def drop_request() -> Action:
    """Hang up without delivering."""
    return _Steps(end_before=CutOff())


def delay_reply(seconds: float) -> Action:
    """Deliver at once, answer late."""
    return _Steps(delay_after=seconds)


def delay_request(seconds: float) -> Action:
    """Deliver late."""
    return _Steps(delay_before=seconds)


def hold_before() -> Action:
    """Deliver only when the rule is released."""
    return _Steps(held_before=True)


def hold_after() -> Action:
    """Deliver at once, answer only when the rule is released."""
    return _Steps(held_after=True)


def answer(
    status: int, message: str = "made up by the fault proxy", reason: str | None = None, retry_after: int | None = None
) -> Action:
    """Answer with a Kubernetes Status without delivering; `retry_after` sets the header."""
    return _Steps(end_before=refusal(status, message, reason, retry_after))


def lie(status: int, message: str = "made up by the fault proxy", reason: str | None = None) -> Action:
    """Deliver, and answer something else."""
    return _Steps(end_after=refusal(status, message, reason))


def answer_text(status: int, text: str) -> Action:
    """Answer in plain text without delivering, as a missing CRD's path or a broken balancer does."""
    return _Steps(end_before=Refuse(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8"}))


def refusal(status: int, message: str, reason: str | None = None, retry_after: int | None = None) -> Refuse:
    """Return the Status object of an answer, as an exception for an Action to raise."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason or REASONS.get(status, "Unknown"),
        "code": status,
    }
    headers = {"Content-Type": "application/json"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Refuse(status, json.dumps(body).encode(), headers)
