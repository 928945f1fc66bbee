"""Every namespace gets the service account `default`, as from kube-controller-manager: clients wait for it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from muster.embedded.nodes.feed import RESET, SYNCED, Feed, Serving
from muster.embedded.wire import Request

_BODY = b'{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}'


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    deletion_timestamp: str | None = None


class _Namespace(msgspec.Struct):
    metadata: _Meta


_namespaces = msgspec.json.Decoder(_Namespace)


class Accounts:
    """See the module."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._feed = Feed(server, "/api/v1/namespaces")

    def step(self) -> None:
        """Make those that are missing."""
        for kind, raw in self._feed.pull():
            if kind in (RESET, SYNCED, "DELETED"):
                continue
            meta = _namespaces.decode(raw).metadata
            if meta.deletion_timestamp is None:
                # 409: it is there; 403: the namespace is being terminated by now.
                path = f"/api/v1/namespaces/{meta.name}/serviceaccounts"
                self._server.handle(Request("POST", path, body=_BODY, content_type="application/json"))

    def listen(self, on_news: Callable[[], None]) -> None:
        """Have this called when there is something to do: in the middle of a write, so only to note it."""
        self._feed.on_news = on_news
