"""The demo's view of the API: a small client, and a recorder that follows every kind from the first moment on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec

from muster.safety.record import GAP, QUIET, Event, History

Object = dict[str, Any]
GROUP = "/apis/muster.dev/v1alpha1"
PATHS = {
    "Node": "/api/v1/nodes",
    "ClusterTopology": f"{GROUP}/clustertopologies",
    "TrainingJob": f"{GROUP}/trainingjobs",
    "Pod": "/api/v1/pods",
    "Service": "/api/v1/services",
}
MERGE = "application/merge-patch+json"
_BUFFER = 1 << 20
_UNREAD = ("nodeInfo", "addresses", "images", "capacity")
"""Of a node's status; a cluster may have very many nodes, and nobody here reads these."""


class RefusedError(Exception):
    """An answer of 400 or above; `status` is its code, the text the server's message."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Api:
    """One server."""

    def __init__(self, server: str, token: str | None) -> None:
        """Inside a running event loop. `server` is the URL, `token` a bearer token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connector = aiohttp.TCPConnector(limit=64)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        self._session = aiohttp.ClientSession(server, headers=headers, connector=connector, timeout=timeout)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def call(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Object:
        """Send one request; the decoded answer. Raises RefusedError."""
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Accept": "application/json"} | ({"Content-Type": kind} if data is not None else {})
        async with self._session.request(method, path, data=data, headers=headers) as answer:
            found = await answer.read()
            if answer.status >= 400:
                raise RefusedError(answer.status, _message(found))
            decoded: Object = msgspec.json.decode(found)
            return decoded

    async def find(self, path: str) -> Object | None:
        """Get an object, None where there is none."""
        try:
            return await self.call("GET", path)
        except RefusedError as refused:
            if refused.status == 404:
                return None
            raise

    async def watch(self, path: str, version: str, take: Callable[[Object], None]) -> None:
        """Follow a kind from a revision on, until the server ends the watch."""
        query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        async with self._session.get(path, params=query, read_bufsize=_BUFFER) as answer:
            if answer.status >= 400:
                raise RefusedError(answer.status, _message(await answer.read()))
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    take(msgspec.json.decode(line))


def _message(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body[:500].decode(errors="replace")


class Recorder:
    """Everything that the API shows: as a history for the safety checker, and as it is now, by kind and uid."""

    def __init__(self, api: Api) -> None:
        self.history = History()
        self.now: dict[str, dict[str, Object]] = {kind: {} for kind in PATHS}
        self._api = api
        self._seen = dict.fromkeys(PATHS, 0)
        self._started: dict[str, asyncio.Event] = {kind: asyncio.Event() for kind in PATHS}
        self.changed = asyncio.Event()
        """Set with every event."""

    async def run(self) -> None:
        """Follow all kinds until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in PATHS:
                group.create_task(self._follow(kind))

    async def started(self) -> None:
        """Wait until every kind has been listed."""
        for event in self._started.values():
            await event.wait()

    async def catch_up(self) -> None:
        """Wait until all that has happened so far is in the history."""
        for kind, path in PATHS.items():
            found = await self._api.call("GET", f"{path}?limit=1")
            newest = int(found["metadata"]["resourceVersion"])
            # Bookmarks are rare, so what is asked is whether every object is known at least as new as it is now.
            if self._seen[kind] < newest:
                listed = (await self._api.call("GET", path))["items"]
                await self.until(lambda k=kind, items=listed: self._knows(k, items), 30)  # type: ignore[misc]

    async def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Wait until a condition on `now` holds; whether it did within that time."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return bool(condition())
        return True

    def quiet(self) -> None:
        """Note that nothing is in motion now."""
        last = max((event.rv for event in self.history.events), default=0)
        self.history.add(Event(last, "TrainingJob", QUIET, {}, time.time()))

    def _knows(self, kind: str, listed: list[Object]) -> bool:
        held = self.now[kind]
        current = {item["metadata"]["uid"]: int(item["metadata"]["resourceVersion"]) for item in listed}
        behind = any(uid not in held or _version(held[uid]) < version for uid, version in current.items())
        return not behind and not any(uid not in current for uid in held)

    async def _follow(self, kind: str) -> None:
        listing: Callable[[], Awaitable[None]] = lambda: self._list(kind)  # noqa: E731
        await listing()
        self._started[kind].set()
        while True:
            try:
                await self._api.watch(PATHS[kind], str(self._seen[kind]), lambda line: self._take(kind, line))
            except RefusedError as refused:
                if refused.status != 410:
                    raise
                await self._list(kind, again=True)
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(0.05)

    async def _list(self, kind: str, again: bool = False) -> None:
        answer = await self._api.call("GET", PATHS[kind])
        version = int(answer["metadata"]["resourceVersion"])
        if again:
            self.history.add(Event(version, kind, GAP, {"from": self._seen[kind] + 1}, time.time()))
        listed = set()
        for item in answer["items"]:
            # Items of a list do not say what they are.
            item |= {"kind": kind}
            listed.add(item["metadata"]["uid"])
            self._record(kind, "MODIFIED" if again else "ADDED", item, listed=True)
        for uid in [uid for uid in self.now[kind] if uid not in listed]:
            self._record(kind, "DELETED", self.now[kind][uid], version, listed=True)
        self._seen[kind] = version

    def _take(self, kind: str, line: Object) -> None:
        what, item = line["type"], line["object"]
        if what == "ERROR":
            raise RefusedError(int(item.get("code", 500)), str(item.get("message", item)))
        self._seen[kind] = max(self._seen[kind], _version(item))
        if what != "BOOKMARK":
            self._record(kind, what, item)

    def _record(self, kind: str, what: str, item: Object, version: int = 0, listed: bool = False) -> None:
        if kind == "Node":
            for part in _UNREAD:
                item.get("status", {}).pop(part, None)
        self.history.add(Event(version or _version(item), kind, what, item, time.time(), listed))
        uid = item["metadata"]["uid"]
        if what == "DELETED":
            self.now[kind].pop(uid, None)
        else:
            self.now[kind][uid] = item
        self.changed.set()


def _version(item: Object) -> int:
    return int(item["metadata"]["resourceVersion"])
