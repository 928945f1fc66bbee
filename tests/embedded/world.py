"""A server with a clock of its own, and the objects that its tests put there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from muster.embedded.cluster import EmbeddedCluster
from muster.embedded.nodes.podlife import Delays
from muster.embedded.nodes.racks import GPU, Racks
from muster.embedded.server import Server
from muster.embedded.wire import Request

Object = dict[str, Any]
START = 1_800_000_000_000
TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


class World:
    """One namespace `d`, whose cluster moves only when told."""

    def __init__(self, delays: Delays = Delays(), history: int = 100_000, **options: Any) -> None:  # noqa: B008
        self.now = START
        self.server = Server(lambda: self.now, history=history)
        self.cluster = EmbeddedCluster(self.server, lambda: self.now, delays, **options)
        self.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d"}})
        self.step()

    def step(self, seconds: float = 0.0) -> int | None:
        """Let time pass, doing what becomes due on the way; when next."""
        until = self.now + round(seconds * 1000)
        due = self.cluster.step(self.now)
        while due is not None and due <= until:
            self.now = max(due, self.now)
            due = self.cluster.step(self.now)
        self.now = until
        return self.cluster.step(self.now)

    def call(self, method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, Object]:
        data = b"" if body is None else json.dumps(body).encode()
        answer = self.server.handle(Request(method, path, body=data, content_type=kind))
        return answer.status, json.loads(answer.body)

    def must(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Object:
        status, found = self.call(method, path, body, kind)
        assert status < 300, (status, found)
        return found

    def post(self, path: str, body: object) -> Object:
        return self.must("POST", path, body)

    def patch(self, path: str, body: object, kind: str = "merge") -> Object:
        return self.must("PATCH", path, body, TYPES[kind])

    def racks(self, **options: Any) -> list[str]:
        return self.cluster.add(Racks(**({"racks": 1, "nodes": 2} | options)), self.now)

    def node(self, name: str) -> Object:
        return self.must("GET", f"/api/v1/nodes/{name}")

    def change_node(self, name: str, body: object, sub: str = "", kind: str = "merge") -> Object:
        return self.patch(f"/api/v1/nodes/{name}{sub}", body, kind)

    def pod(self, name: str, gpus: int = 1, pin: str | None = None, **more: Any) -> Object:
        return self.post("/api/v1/namespaces/d/pods", pod(name, gpus, pin, **more))

    def find(self, name: str) -> Object | None:
        status, found = self.call("GET", f"/api/v1/namespaces/d/pods/{name}")
        return found if status == 200 else None

    def get(self, name: str) -> Object:
        found = self.find(name)
        assert found is not None
        return found

    def where(self, name: str) -> str | None:
        found: str | None = self.get(name)["spec"].get("nodeName")
        return found

    def said(self, name: str) -> str:
        """The message of PodScheduled=False."""
        condition = self.condition(name, "PodScheduled")
        assert condition["status"] == "False"
        return str(condition["message"])

    def condition(self, name: str, kind: str) -> Object:
        (found,) = [each for each in self.get(name)["status"]["conditions"] if each["type"] == kind]
        return dict(found)

    def delete(self, name: str, grace: int | None = None) -> None:
        self.must(
            "DELETE", f"/api/v1/namespaces/d/pods/{name}", None if grace is None else {"gracePeriodSeconds": grace}
        )

    def phase(self, name: str) -> str | None:
        found = self.find(name)
        return None if found is None else str(found["status"]["phase"])


def pod(
    name: str,
    gpus: int = 1,
    pin: str | None = None,
    *,
    wishes: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    requests: Mapping[str, str] | None = None,
    ports: Sequence[int] = (),
    terms: Sequence[Object] = (),
    gated: bool = False,
    **spec: Any,
) -> Object:
    amounts = dict(requests or {}) | ({GPU: str(gpus)} if gpus else {})
    container: Object = {"name": "main", "image": "x", "resources": {"requests": amounts, "limits": amounts}}
    if ports:
        container["ports"] = [{"containerPort": port, "hostPort": port} for port in ports]
    if pin is not None:
        terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [pin]}]}]
    if terms:
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
        spec["affinity"] = {"nodeAffinity": required}
    if gated:
        spec["schedulingGates"] = [{"name": "test/gate"}]
    annotations = {f"fake.muster.dev/{key}": value for key, value in (wishes or {}).items()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations, "labels": dict(labels or {})},
        "spec": {"containers": [container], "restartPolicy": "Never", **spec},
    }
