"""A small API server in a thread: lists, watches, logs and exec, answered from what a test puts into it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from muster.core.model import Committed, Objective, Phase, Placement
from muster.kube import parse, render
from muster.kube.remote import V4, V5
from muster.kube.status import status_of

Object = dict[str, Any]
JOBS = "/apis/muster.dev/v1alpha1/trainingjobs"
NAMESPACE = "research"
UID = "0b6f1f4e-5a3c-4d6e-9f57-2f1d6a0c1e11"


class FakeApi:
    """Objects by collection path without namespaces; what exec and log do is set by the test."""

    def __init__(self) -> None:
        self.objects: dict[str, list[Object]] = {"/api/v1/nodes": [], "/api/v1/pods": [], JOBS: []}
        self.objects["/apis/muster.dev/v1alpha1/clustertopologies"] = []
        self.refused: dict[str, tuple[int, str]] = {}
        """Path prefix -> (code, message) of a Status, or an empty message for a plain-text answer."""
        self.log = b""
        self.log_breaks = False
        self.protocols: tuple[str, ...] = (V5, V4)
        self.on_exec: Callable[[web.WebSocketResponse, list[bytes]], Awaitable[None]] | None = None
        self.requests: list[web.Request] = []
        self.events: list[tuple[str, Object]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._watches: list[tuple[str, asyncio.Queue[bytes]]] = []
        self.port = 0

    def start(self) -> FakeApi:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        return self

    def stop(self) -> None:
        for _, queue in self._watches:
            self._loop.call_soon_threadsafe(queue.put_nowait, b"")
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def kubeconfig(self, folder: Path, namespace: str | None = NAMESPACE) -> str:
        path = folder / f"kubeconfig-{namespace}"
        context: Object = {"cluster": "c", "user": "u"} | ({"namespace": namespace} if namespace else {})
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "x", "context": context}],
            "current-context": "x",
        }
        path.write_text(json.dumps(config))
        return str(path)

    def tell(self, path: str, kind: str, obj: Object) -> None:
        """An event to the watches of a collection."""
        line = json.dumps({"type": kind, "object": obj}).encode() + b"\n"
        for watched, queue in list(self._watches):
            if watched == path:
                self._loop.call_soon_threadsafe(queue.put_nowait, line)

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        path = request.path
        for prefix, (code, message) in self.refused.items():
            if path.startswith(prefix):
                return _status(code, message) if message else web.Response(status=code, text="nothing here")
        parts = path.split("/")
        namespace = ""
        if "namespaces" in parts:
            at = parts.index("namespaces")
            namespace = parts[at + 1]
            del parts[at : at + 2]
        for collection, items in self.objects.items():
            root = collection.split("/")
            if parts[: len(root)] == root:
                return await self._of(request, collection, items, namespace, parts[len(root) :])
        return web.Response(status=404, text="404 page not found")

    async def _of(
        self, request: web.Request, collection: str, items: list[Object], namespace: str, rest: list[str]
    ) -> web.StreamResponse:
        here = [o for o in items if namespace in ("", o["metadata"].get("namespace"))]
        if not rest and request.query.get("watch"):
            return await self._watch(request, collection)
        if not rest:
            wanted = dict(pair.split("=") for pair in request.query.get("labelSelector", "").split(",") if pair)
            kept = [o for o in here if wanted.items() <= o["metadata"].get("labels", {}).items()]
            return web.json_response({"metadata": {"resourceVersion": "100"}, "items": kept})
        name = rest[0]
        found = [o for o in here if o["metadata"]["name"] == name]
        if not found:
            return _status(404, f'{collection} "{name}" not found', "NotFound", name)
        if rest[1:] == ["log"]:
            return await self._log(request)
        if rest[1:] == ["exec"]:
            return await self._exec(request)
        return web.json_response(found[0])

    async def _watch(self, request: web.Request, collection: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._watches.append((collection, queue))
        while line := await queue.get():
            await response.write(line)
        return response

    async def _log(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for i in range(0, len(self.log), 7):
            await response.write(self.log[i : i + 7])
        if self.log_breaks:
            assert request.transport is not None
            request.transport.abort()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return _status(400, "Upgrade request required")
        socket = web.WebSocketResponse(protocols=self.protocols)
        await socket.prepare(request)
        received: list[bytes] = []
        assert self.on_exec is not None
        await self.on_exec(socket, received)
        await socket.close()
        return socket


def _status(code: int, message: str, reason: str = "", name: str = "") -> web.Response:
    details = {"name": name} if name else {}
    body = {"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code}
    return web.json_response(body | {"details": details}, status=code)


def node(name: str, rack: str = "c.0", leaf: str = "leaf-0", gpus: int = 4, **spec: Any) -> Object:
    labels = {"nvidia.com/gpu.clique": rack, "fabric.topograph.run/tier-0": leaf}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"u-{name}", "resourceVersion": "5", "labels": labels},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": "64", "pods": "110", "nvidia.com/gpu": str(gpus)},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def job(name: str = "train", roles: tuple[tuple[str, int], ...] = (("worker", 2),)) -> Object:
    def container(name: str) -> Object:
        return {"name": name, "image": "i", "resources": {"limits": {"nvidia.com/gpu": 4}}}

    return {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": UID,
            "resourceVersion": "7",
            "generation": 1,
            "creationTimestamp": "2026-03-01T12:00:00Z",
        },
        "spec": {
            "roles": [
                {
                    "name": role,
                    "replicas": count,
                    "topology": {"segments": [{"level": "nvlink", "size": 2}]},
                    "template": {"spec": {"containers": [container("main"), {"name": "side", "image": "i"}]}},
                }
                for role, count in roles
            ],
        },
    }


def placed(manifest: Object, attempt: int = 1, phase: Phase = Phase.RUNNING, live: bool = True) -> Object:
    """The job with a placement on r0-n0, r0-n1, ...: rank after rank, role after role."""
    read = parse.job_from(manifest)
    names = tuple(role["name"] for role in manifest["spec"]["roles"])
    nodes, at = [], 0
    for role in manifest["spec"]["roles"]:
        nodes.append(tuple(f"r0-n{at + i}" for i in range(role["replicas"])))
        at += role["replicas"]
    placement = Placement(
        attempt=attempt,
        gang_attempt=attempt,
        term="1",
        generation=1,
        roles_hash="h",
        roles=names,
        nodes=tuple(nodes),
        born=tuple((attempt,) * len(row) for row in nodes),
        objective=Objective(0, 0, at, (), 0),
        proven=True,
        domains=(("leaf", 1), ("nvlink", 1)),
        least=(("leaf", 1), ("nvlink", 1)),
    )
    status = Committed(phase=phase, observed_generation=1, live=live, attempt=attempt, placement=placement)
    return manifest | {"status": status_of(read, status, 0)}


def pods(manifest: Object, phase: str = "Running") -> list[Object]:
    """The pods of a placed job, as muster renders them, bound unless Pending."""
    read = parse.job_from(manifest)
    placement = read.status.placement
    assert placement is not None
    made = []
    for role, nodes in enumerate(placement.nodes):
        for rank, where in enumerate(nodes):
            body = render.pod(read, placement, role, rank, parse.topology_from({}), {"leaf": "l0", "nvlink": "c.0"})
            body["metadata"] |= {"uid": f"p-{role}-{rank}-{placement.attempt}", "resourceVersion": "9"}
            body["status"] = {"phase": phase}
            if phase != "Pending":
                body["spec"] |= {"nodeName": where, "schedulingGates": []}
            made.append(body)
    return made
