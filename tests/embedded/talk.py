"""Requests to a server in few words."""

from __future__ import annotations

import json
from typing import Any

from muster.embedded.server import Server
from muster.embedded.wire import Object, Request, Response, Watch

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
START = 1_800_000_000_000


class Clock:
    """A clock that stands until it is moved; ms."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> int:
        return self.at

    def move(self, seconds: float) -> None:
        self.at += int(seconds * 1000)


class Talk:
    """A server and its clock."""

    def __init__(self, **more: Any) -> None:
        self.clock = Clock()
        self.server = Server(self.clock, **more)

    def send(
        self, method: str, path: str, body: object = None, content_type: str = "application/json", **query: object
    ) -> Response:
        data = b"" if body is None else json.dumps(body).encode()
        asked = tuple((key.rstrip("_"), str(value)) for key, value in query.items())
        return self.server.handle(Request(method, path, asked, data, content_type))

    def call(self, method: str, path: str, body: object = None, **more: Any) -> Object:
        answer = self.send(method, path, body, **more)
        decoded: Object = json.loads(answer.body)
        assert answer.status < 300, decoded
        return decoded

    def refused(self, code: int, method: str, path: str, body: object = None, **more: Any) -> Object:
        answer = self.send(method, path, body, **more)
        decoded: Object = json.loads(answer.body)
        assert answer.status == code, decoded
        return decoded

    def get(self, path: str, **query: object) -> Object:
        return self.call("GET", path, **query)

    def post(self, path: str, body: object, **more: Any) -> Object:
        return self.call("POST", path, body, **more)

    def merge(self, path: str, body: object) -> Object:
        return self.call("PATCH", path, body, content_type=MERGE)

    def names(self, path: str, **query: object) -> list[str]:
        return [item["metadata"]["name"] for item in self.get(path, **query)["items"]]

    def watch(self, path: str, **query: object) -> Watch:
        asked = (("watch", "true"), *((key, str(value)) for key, value in query.items()))
        opened = self.server.watch(Request("GET", path, asked))
        assert isinstance(opened, Watch), opened
        return opened

    def settle(self) -> None:
        """Let the controllers inside do all that they have to."""
        for _ in range(1000):
            self.server.tick()
            if not self.server.pending:
                return
        raise AssertionError("the controllers never come to rest")


def events(watch: Watch) -> list[tuple[str, Object]]:
    decoded = [json.loads(line) for line in watch.take()]
    return [(each["type"], each["object"]) for each in decoded]


def told(watch: Watch) -> list[tuple[str, str]]:
    """Types and names."""
    return [(type, obj["metadata"].get("name", "")) for type, obj in events(watch)]


MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def configmap(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, gates: tuple[str, ...] = (), **spec: Any) -> Object:
    body: Object = {"containers": [{"name": "main", "image": "none"}]} | spec
    if gates:
        body["schedulingGates"] = [{"name": gate} for gate in gates]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def owned(body: Object, owner: Object, block: bool = False) -> Object:
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    if block:
        reference["blockOwnerDeletion"] = True
    return body | {"metadata": body["metadata"] | {"ownerReferences": [reference]}}
