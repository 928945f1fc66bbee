"""Small objects, and what is said of answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from e2e.client import PATCHES, Answer, ApiError, Client, Object, core, group, muster

GATE = "muster.dev/gang"
HELD = "example.com/hold"
STRICT: dict[str, Any] = {"fieldValidation": "Strict"}
DRY: dict[str, Any] = {"dryRun": "All"}
LEASES = "coordination.k8s.io/v1"
CRDS = group("apiextensions.k8s.io/v1", "customresourcedefinitions")


def configmap(name: str, labels: Object | None = None, **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name} | ({"labels": labels} if labels else {}),
    } | ({"data": data} if data else {})


def pod(name: str, gates: tuple[str, ...] = (GATE,), meta: Object | None = None, **spec: Any) -> Object:
    """A pod that no scheduler will touch: gated, or of a scheduler that does not exist."""
    body: Object = {"containers": [{"name": "main", "image": "none"}], "restartPolicy": "Never"} | spec
    if gates:
        body["schedulingGates"] = [{"name": gate} for gate in gates]
    else:
        body.setdefault("schedulerName", "nobody")
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name} | (meta or {}), "spec": body}


def job(name: str, labels: Object | None = None, **spec: Any) -> Object:
    template = {"spec": {"containers": [{"name": "main", "image": "none"}]}}
    return {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name} | ({"labels": labels} if labels else {}),
        "spec": {"roles": [{"name": "worker", "replicas": 2, "template": template}]} | spec,
    }


def lease(name: str, holder: str = "a") -> Object:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15}
    return {"apiVersion": LEASES, "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def owned(body: Object, owner: Object, controller: bool = True, block: bool | None = None) -> Object:
    """The body with an ownerReference to an object as the server showed it."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": controller,
    } | ({} if block is None else {"blockOwnerDeletion": block})
    return body | {"metadata": body["metadata"] | {"ownerReferences": [reference]}}


def jobs(ns: str, name: str | None = None, sub: str | None = None) -> str:
    return muster("trainingjobs", ns, name, sub)


def maps(ns: str, name: str | None = None) -> str:
    return core("configmaps", ns, name)


def pods(ns: str, name: str | None = None, sub: str | None = None) -> str:
    return core("pods", ns, name, sub)


def leases(ns: str, name: str | None = None) -> str:
    return group(LEASES, "leases", ns, name)


def patch(api: Client, path: str, body: object, kind: str = "merge", **parameters: Any) -> Answer:
    return api.send("PATCH", path, body, PATCHES[kind], **parameters)


def delete(api: Client, path: str, query: Object | None = None, **options: Any) -> Answer:
    """Delete with DeleteOptions; `preconditions` and the like by their names."""
    body = {"apiVersion": "v1", "kind": "DeleteOptions"} | options
    return api.send("DELETE", path, body, **(query or {}))


def taken(answer: Answer, status: int = 200) -> Object:
    """The object of an answer that is no refusal."""
    assert answer.status == status, answer.body[:1000]
    return answer.json()


def refused(answer: Answer, status: int, reason: str, *words: str) -> Object:
    """The Status of a refusal, whose message contains each of the words."""
    assert answer.status == status, f"{answer.status} {answer.body[:1000]}"
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert (body["kind"], body["apiVersion"], body["status"]) == ("Status", "v1", "Failure")
    assert (body["code"], body.get("reason", "")) == (status, reason), body
    for word in words:
        assert word in body["message"], body["message"]
    return body


def causes(status: Object) -> list[tuple[str, str]]:
    """(field, reason) of each cause."""
    return [(each.get("field", ""), each.get("reason", "")) for each in status["details"].get("causes", ())]


def rv(item: Object) -> str:
    return str(item["metadata"]["resourceVersion"])


def uid(item: Object) -> str:
    return str(item["metadata"]["uid"])


def names(listed: Object) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


def seen(api: Client, path: str) -> Object | None:
    """The object, None where the server has none."""
    return api.find(path)


def bind(api: Client, ns: str, name: str, node: str, **meta: str) -> Answer:
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name} | meta, "target": target}
    return api.send("POST", pods(ns, name, "binding"), body)


@contextmanager
def watching(api: Client, path: str, version: str | None, seconds: int = 30, **more: Any) -> Iterator[Watched]:
    """An open watch. Its events are read by `next`, which fails after ten seconds of silence."""
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": seconds} | more
    reply = api.stream(path, 10, **query)
    try:
        yield Watched(reply)
    finally:
        reply.close()


class Watched:
    """The lines of one watch."""

    def __init__(self, reply: Any) -> None:
        self._reply = reply
        self._lines = self._read()

    def _read(self) -> Iterator[bytes]:
        rest = b""
        for chunk in self._reply.stream(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            yield rest

    def next(self) -> tuple[str, Object]:
        event = json.loads(next(self._lines))
        return event["type"], event["object"]

    def named(self) -> tuple[str, str]:
        """The next event as (type, name)."""
        kind, item = self.next()
        return kind, item["metadata"]["name"]

    def rest(self) -> list[tuple[str, Object]]:
        """What comes until the server ends the watch."""
        return [(event["type"], event["object"]) for event in map(json.loads, self._lines)]


__all__ = [name for name in dir() if not name.startswith("_")] + ["Answer", "ApiError", "Object"]
