"""A tiny API server on a loopback port: discovery, list and watch of any kinds, one Lease, and nothing else to write.

Enough for kopf and for a reflector; faults are switched on by hand.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

Object = dict[str, Any]
CRDS = "apiextensions.k8s.io/v1"
MUSTER = "muster.dev/v1alpha1"
NEEDED = {
    "customresourcedefinitions": (CRDS, "CustomResourceDefinition", False),
    "namespaces": ("v1", "Namespace", False),
}
"""Kinds that kopf looks for before it begins."""
OWN = {"trainingjobs": (MUSTER, "TrainingJob", True), "clustertopologies": (MUSTER, "ClusterTopology", False)}


class TinyApi:
    """Start it with `async with`; `url` is where it listens."""

    def __init__(self, kinds: dict[str, tuple[str, str, bool]] | None = None) -> None:
        self.kinds = {**NEEDED, **(kinds or OWN)}
        self.objects: dict[str, dict[str, Object]] = {plural: {} for plural in self.kinds}
        self.history: list[tuple[int, str, str, Object]] = []
        self.rv = 100
        self.absent: set[str] = set()
        self.refuse_watches: dict[str, list[int]] = {}
        """HTTP codes with which the next watches of a kind are answered."""
        self.writes: list[str] = []
        self.lists: list[str] = []
        self.watches: list[str] = []
        self.silent: set[str] = set()
        """Kinds whose news are kept back: what a watch does that missed something."""
        self.lease: Object | None = None
        self.holders: list[str] = []
        """Who the Lease was written to be held by, one write after the other."""
        self._news = asyncio.Condition()
        self._cut = 0
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> TinyApi:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        assert self._runner is not None
        await self._runner.cleanup()

    # --- what happens -----------------------------------------------------------------------------------------------

    async def put(self, plural: str, name: str, uid: str = "", **more: Any) -> Object:
        """Create or change an object."""
        self.rv += 1
        before = self.objects[plural].get(name)
        version, kind, namespaced = self.kinds[plural]
        meta = {
            "name": name,
            "uid": uid or (before["metadata"]["uid"] if before else f"uid-{name}"),
            "resourceVersion": str(self.rv),
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **({"namespace": "default"} if namespaced else {}),
        }
        obj = {"apiVersion": version, "kind": kind, "metadata": meta, **more}
        self.objects[plural][name] = obj
        await self._tell(plural, "MODIFIED" if before else "ADDED", obj)
        return copy.deepcopy(obj)

    async def delete(self, plural: str, name: str) -> Object:
        """Delete an object."""
        self.rv += 1
        obj = copy.deepcopy(self.objects[plural].pop(name))
        obj["metadata"]["resourceVersion"] = str(self.rv)
        await self._tell(plural, "DELETED", obj)
        return obj

    async def say(self, plural: str, type_: str, obj: Object) -> None:
        """Send an event that says what is not (any more) so: a late or repeated one."""
        await self._tell(plural, type_, obj)

    async def cut(self) -> None:
        """End every watch."""
        self._cut += 1
        async with self._news:
            self._news.notify_all()

    async def _tell(self, plural: str, type_: str, obj: Object) -> None:
        if plural not in self.silent:
            self.history.append((self.rv, plural, type_, copy.deepcopy(obj)))
        async with self._news:
            self._news.notify_all()

    # --- HTTP -------------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if "/leases" in request.path:
            return await self._lease(request)
        if request.method != "GET":
            self.writes.append(f"{request.method} {request.path}")
            return web.Response(status=403, text="read only")
        path = request.path.strip("/")
        if path == "api":
            return web.json_response({"versions": ["v1"]})
        groups = sorted({version for version, _, _ in self.kinds.values() if "/" in version})
        if path == "apis":
            return web.json_response({"groups": [_group(version) for version in groups]})
        if path in ("api/v1", *(f"apis/{version}" for version in groups)):
            return web.json_response({"resources": list(self._resources(path.split("/", 1)[1]))})
        plural = path.rsplit("/", 1)[-1]
        if plural not in self.kinds or plural in self.absent:
            return web.Response(status=404, text="404 page not found\n")
        if "watch" not in request.query:
            self.lists.append(plural)
            items = list(self.objects[plural].values())
            return web.json_response({"metadata": {"resourceVersion": str(self.rv)}, "items": items})
        codes = self.refuse_watches.get(plural, [])
        if codes:
            body = {"kind": "Status", "status": "Failure", "reason": "Expired", "message": "too old"}
            return web.json_response({**body, "code": codes[0]}, status=codes.pop(0))
        return await self._watch(request, plural)

    async def _lease(self, request: web.Request) -> web.Response:
        """One Lease, by compare-and-set."""
        if request.method != "GET":
            sent = await request.json()
            held = self.lease["metadata"]["resourceVersion"] if self.lease else None
            if sent["metadata"].get("resourceVersion") != held:
                reason = "AlreadyExists" if request.method == "POST" else "Conflict"
                body = {"kind": "Status", "code": 409, "reason": reason, "message": "no"}
                return web.json_response(body, status=409)
            self.rv += 1
            sent["metadata"]["resourceVersion"] = str(self.rv)
            self.lease = sent
            self.holders.append(sent["spec"]["holderIdentity"])
        if self.lease is None:
            details = {"name": request.path.rsplit("/", 1)[-1], "kind": "leases"}
            body = {"kind": "Status", "code": 404, "reason": "NotFound", "message": "no", "details": details}
            return web.json_response(body, status=404)
        return web.json_response(self.lease)

    def _resources(self, wanted: str) -> Iterable[Object]:
        for plural, (version, kind, namespaced) in self.kinds.items():
            if version == wanted and plural not in self.absent:
                verbs = ["get", "list", "watch", "patch"]
                yield {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": namespaced,
                       "verbs": verbs}  # fmt: skip

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        self.watches.append(plural)
        response = web.StreamResponse()
        await response.prepare(request)
        since = int(request.query.get("resourceVersion") or 0)
        sent = 0
        cut = self._cut
        while cut == self._cut:
            for rv, kind, type_, obj in self.history[sent:]:
                if kind == plural and rv > since:
                    await response.write(json.dumps({"type": type_, "object": obj}).encode() + b"\n")
            sent = len(self.history)
            async with self._news:
                if sent == len(self.history) and cut == self._cut:
                    await self._news.wait()
        return response


def _group(version: str) -> Object:
    group, number = version.split("/")
    shown = {"groupVersion": version, "version": number}
    return {"name": group, "versions": [shown], "preferredVersion": shown}
