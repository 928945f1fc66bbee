"""A thin JSON client of the Kubernetes API for tests: what goes in is what goes out.

Synchronous and safe to use from several threads. It retries nothing and caches nothing,
so a test sees every answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import urllib3

Object = dict[str, Any]
T = TypeVar("T")
PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


class ApiError(Exception):
    """An answer of 400 or above; `status` is the code, `reason` the Status' reason, `body` its text."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        self.status = status
        self.body = body
        try:
            decoded = json.loads(body)
        except ValueError:
            decoded = {}
        self.reason = str(decoded.get("reason", "")) if isinstance(decoded, dict) else ""
        super().__init__(f"{method} {path}: {status} {body[:1000]}")


class NotInTimeError(AssertionError):
    """A condition did not come true in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply as it came."""

    status: int
    body: str
    headers: Mapping[str, str]

    def json(self) -> Object:
        decoded: Object = json.loads(self.body)
        return decoded


def core(plural: str, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
    """Return the path of a core/v1 resource, as in core("pods", "ns", "p", "status")."""
    return _path("/api/v1", plural, namespace, name, sub)


def muster(plural: str, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
    """Return the path of a muster.dev/v1alpha1 resource."""
    return _path("/apis/muster.dev/v1alpha1", plural, namespace, name, sub)


def group(api: str, plural: str, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
    """Return the path of a resource of a named group and version, as in group("apps/v1", "deployments")."""
    return _path(f"/apis/{api}", plural, namespace, name, sub)


def _path(prefix: str, plural: str, namespace: str | None, name: str | None, sub: str | None) -> str:
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{scope}/{plural}" + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")


class Client:
    """One identity at one API server."""

    def __init__(
        self,
        server: str,
        token: str | None,
        ca: Path | None,
        connections: int = 32,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        """Speak to a server with a token, or with a client certificate and its key."""
        self.server = server
        self.token = token
        self.ca = ca
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._pool = urllib3.PoolManager(
            num_pools=4,
            maxsize=connections,
            block=False,
            retries=False,
            ca_certs=str(ca) if ca else None,
            cert_file=str(certificate[0]) if certificate else None,
            key_file=str(certificate[1]) if certificate else None,
        )

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        **parameters: object,
    ) -> Answer:
        """Send one request and return whatever comes; raises only when there is no answer.

        Bytes are sent as they are, anything else as JSON. `headers` go over our own.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = self._headers | ({} if data is None else {"Content-Type": content_type}) | dict(headers or {})
        reply = self._pool.request(method, self._url(path, parameters), body=data, headers=given, timeout=timeout)
        return Answer(reply.status, reply.data.decode(), dict(reply.headers))

    def call(self, method: str, path: str, body: object = None, **more: Any) -> Object:
        """Send one request; return the decoded object, or raise ApiError."""
        answer = self.send(method, path, body, **more)
        if answer.status >= 400:
            raise ApiError(method, path, answer.status, answer.body)
        return answer.json()

    def get(self, path: str, **parameters: object) -> Object:
        return self.call("GET", path, **parameters)

    def find(self, path: str, **parameters: object) -> Object | None:
        """Get an object, or None where there is none (404)."""
        try:
            return self.get(path, **parameters)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, **parameters: object) -> list[Object]:
        """Return the items of a collection."""
        items: list[Object] = self.get(path, **parameters)["items"]
        return items

    def post(self, path: str, body: object, **parameters: object) -> Object:
        return self.call("POST", path, body, **parameters)

    def put(self, path: str, body: object, **parameters: object) -> Object:
        return self.call("PUT", path, body, **parameters)

    def patch(self, path: str, body: object, kind: str = "merge", **parameters: object) -> Object:
        """Patch; `kind` is merge, strategic, json or apply (server-side, field manager e2e, forced)."""
        if kind == "apply":
            parameters = {"fieldManager": "e2e", "force": "true"} | parameters
        return self.call("PATCH", path, body, content_type=PATCHES[kind], **parameters)

    def delete(
        self, path: str, uid: str | None = None, grace: int | None = None, propagation: str | None = None
    ) -> Object:
        """Delete by path; `propagation` is Background, Foreground or Orphan."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if propagation is not None:
            options["propagationPolicy"] = propagation
        return self.call("DELETE", path, options)

    def watch(
        self, path: str, resource_version: str, seconds: float = 300.0, **parameters: object
    ) -> Iterator[tuple[str, Object]]:
        """Yield (type, object) from a revision on; ends when the server ends it. ERROR events are yielded too."""
        parameters |= {"watch": "true", "resourceVersion": resource_version, "timeoutSeconds": int(seconds)}
        with self.stream(path, seconds + 10, **parameters) as reply:
            rest = b""
            for chunk in reply.stream(65_536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]

    def stream(
        self, path: str, timeout: float, headers: Mapping[str, str] | None = None, **parameters: object
    ) -> urllib3.BaseHTTPResponse:
        """Open a streaming GET; the caller closes it. Raises ApiError where it is refused."""
        url = self._url(path, parameters)
        given = self._headers | dict(headers or {})
        reply = self._pool.request("GET", url, headers=given, preload_content=False, timeout=timeout)
        if reply.status >= 400:
            text = reply.read().decode()
            reply.release_conn()
            raise ApiError("GET", path, reply.status, text)
        return reply

    def apply(self, path: str, body: Object) -> Object:
        """Create the object at a named path or change it (server-side apply)."""
        return self.patch(path, body, kind="apply")

    def _url(self, path: str, parameters: Mapping[str, object]) -> str:
        query = urlencode({key: value for key, value in parameters.items() if value is not None})
        return self.server + path + ("?" + query if query else "")


def concurrently(work: Callable[[T], object], items: list[T], workers: int = 16) -> None:
    """Do `work` on each item from several threads; the first exception is raised."""
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, items):
            pass


def wait_for(
    condition: Callable[[], T], timeout: float, what: str, pause: float = 0.05, seen: Callable[[], object] | None = None
) -> T:
    """Poll until `condition()` is true in the Python sense and return it.

    Raises NotInTimeError, with what `seen()` shows at the end.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            shown = f"; seen: {seen()}" if seen is not None else ""
            raise NotInTimeError(f"not within {timeout:.0f} s: {what}{shown}")
        time.sleep(pause)
