"""The asyncio half of the tests' API access: JSON requests and watches that heal themselves.

Used by the kubelet stand-in, whose load is thousands of small requests; tests use
`e2e.client`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import msgspec

log = logging.getLogger(__name__)
GAP_SECONDS = 0.2
"""Pause before a watch is opened again: an API server that is down is not hammered."""


class AsyncClient:
    """One identity at one API server, from a kubeconfig in JSON as e2e writes it."""

    def __init__(self, kubeconfig: Path, connections: int = 48) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server: str = cluster["server"]
        ca = cluster.get("certificate-authority")
        context = ssl.create_default_context(cafile=ca) if ca else None
        # Watches hold a connection each and must not wait behind requests.
        self._watching = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context or False), headers=self._headers(user)
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=context or False), headers=self._headers(user)
        )

    @staticmethod
    def _headers(user: Mapping[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {user['token']}", "Accept": "application/json"}

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(self._session.close(), self._watching.close())

    async def send(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Send one request; return status and body. Raises aiohttp.ClientError or TimeoutError without an answer."""
        data = None if body is None else msgspec.json.encode(body)
        headers = {} if data is None else {"Content-Type": content_type}
        timeout = aiohttp.ClientTimeout(total=30)
        async with self._session.request(
            method, self.server + path, data=data, headers=headers, timeout=timeout
        ) as reply:
            return reply.status, await reply.read()

    async def follow(self, path: str, **parameters: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield (type, object) for ever: first a list, then its watch, and again after every break.

        Types are those of a watch, and two more around each list: RESET, whose object is
        empty, before the items (as ADDED), and SYNCED after them. Whatever was known and
        does not come between the two is gone.
        """
        while True:
            try:
                async for event in self._list_and_watch(path, parameters):
                    yield event
            except (aiohttp.ClientError, TimeoutError, ConnectionError, ValueError) as error:
                log.info("watch of %s ends: %r", path, error)
            await asyncio.sleep(GAP_SECONDS)

    async def _list_and_watch(
        self, path: str, parameters: Mapping[str, str]
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        async with self._watching.get(
            self.server + path, params=dict(parameters), timeout=aiohttp.ClientTimeout(total=120)
        ) as reply:
            reply.raise_for_status()
            listed = msgspec.json.decode(await reply.read())
        yield "RESET", {}
        for item in listed["items"]:
            yield "ADDED", item
        yield "SYNCED", {}
        version = listed["metadata"]["resourceVersion"]
        while True:
            query = dict(parameters) | {
                "watch": "true",
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": "600",
            }
            async for kind, item in self._watch(path, query):
                if kind == "ERROR":
                    raise ValueError(f"watch of {path}: {item}")
                version = item["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    yield kind, item
            await asyncio.sleep(GAP_SECONDS)

    async def _watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=700, connect=10)
        async with self._watching.get(self.server + path, params=dict(query), timeout=timeout) as reply:
            reply.raise_for_status()
            rest = b""
            async for chunk in reply.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = msgspec.json.decode(line)
                    yield event["type"], event["object"]
