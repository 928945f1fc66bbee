"""The servers that the suite runs against, each behind the same few words."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from e2e.client import Client, core, wait_for
from e2e.manifests import apply, documents

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Server:
    """A running API server with muster's CRDs.

    expire -- forget the history up to now, as a compaction of etcd does; it may take a few seconds to show.
    expires_watches -- watches can then begin only after it; else only where the server began to keep a kind.
    """

    client: Client
    expire: Callable[[], None]
    expires_watches: bool = False


@contextmanager
def embedded() -> Iterator[Server]:
    """`muster.embedded`, served over HTTP from a thread of this process."""
    from tests.conformance.embedded import serve

    with serve(ROOT / "crds") as (url, token, expire):
        yield Server(Client(url, token, None), expire, expires_watches=True)


@contextmanager
def real() -> Iterator[Server]:
    """The control plane of e2e."""
    from e2e.controlplane.cluster import ControlPlane

    with ControlPlane.start() as plane:
        apply(plane.client, documents(ROOT / "crds"))
        yield Server(plane.client, lambda: compact(plane.ports.etcd, plane.client))


@contextmanager
def given(kubeconfig: Path) -> Iterator[Server]:
    """A server that runs already, by a kubeconfig with a token; its etcd is out of reach."""
    config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = cluster.get("certificate-authority")
    client = Client(cluster["server"], user.get("token"), Path(ca) if ca else None)

    def expire() -> None:
        raise NotImplementedError("the history of this server cannot be expired from here")

    yield Server(client, expire)


def compact(port: int, client: Client) -> None:
    """Compact etcd at the newest revision, by its JSON gateway."""
    revision = client.get(core("namespaces"))["metadata"]["resourceVersion"]
    key = base64.b64encode(b"/registry/").decode()

    def post(path: str, body: object) -> dict[str, Any]:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v3/kv/{path}", data, method="POST")
        with urllib.request.urlopen(request, timeout=10) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    def reached() -> int:
        return int(post("range", {"key": key, "limit": 1})["header"]["revision"])

    wait_for(lambda: reached() >= int(revision), 5, "etcd is at the revision that the API server has shown")
    # The API servers agree on compactions by this key; without it the one here goes on to answer from its memory.
    value = base64.b64encode(revision.encode()).decode()
    post("put", {"key": base64.b64encode(b"compact_rev_key").decode(), "value": value})
    post("compaction", {"revision": revision, "physical": True})
