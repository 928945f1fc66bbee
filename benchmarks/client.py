"""The floor: a plain asyncio client, as a process of its own, that does what has to be done and nothing else.

    python -m benchmarks.client --kubeconfig FILE --namespace NS --pods pods.json [--gated]

Creates the pods of a JSON list; `--gated`: creates them all with the gate, then removes it from each, as no gang may
start before all of it exists. Prints {"began", "created", "ungated"} (seconds, wall clock).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from e2e.aio import AsyncClient

T = TypeVar("T")
GATE = "muster.dev/gang"
STRATEGIC = "application/strategic-merge-patch+json"


async def lanes(count: int, items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do `work` on every item, `count` at a time."""
    waiting = iter(items)

    async def lane() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(lane() for _ in range(count)))


async def run(kubeconfig: Path, namespace: str, pods: list[dict[str, Any]], gated: bool, in_flight: int) -> str:
    """Create, and ungate; return what is printed."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    uids: dict[str, str] = {}
    async with AsyncClient(kubeconfig, connections=in_flight) as client:

        async def create(pod: dict[str, Any]) -> None:
            code, body = await client.send("POST", path, pod)
            if code != 201:
                raise RuntimeError(f"create: {code} {body[:500]!r}")
            made = msgspec.json.decode(body, type=_Made).metadata
            uids[made.name] = made.uid

        async def ungate(name: str) -> None:
            patch = {
                "metadata": {"uid": uids[name]},
                "spec": {"schedulingGates": [{"$patch": "delete", "name": GATE}]},
            }
            code, body = await client.send("PATCH", f"{path}/{name}", patch, STRATEGIC)
            if code != 200:
                raise RuntimeError(f"ungate: {code} {body[:500]!r}")

        async def connect(_: int) -> None:
            await client.send("GET", "/version")

        await lanes(in_flight, range(in_flight), connect)
        began = time.time()
        await lanes(in_flight, pods, create)
        created = time.time()
        if gated:
            await lanes(in_flight, list(uids), ungate)
        return json.dumps({"began": began, "created": created, "ungated": time.time()})


class _Meta(msgspec.Struct):
    name: str
    uid: str


class _Made(msgspec.Struct):
    metadata: _Meta


def main() -> None:
    parser = argparse.ArgumentParser(description="create pods, and take their gates away")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--pods", type=Path, required=True)
    parser.add_argument("--gated", action="store_true")
    parser.add_argument("--in-flight", type=int, default=32)
    chosen = parser.parse_args()
    pods = json.loads(chosen.pods.read_text())
    print(asyncio.run(run(chosen.kubeconfig, chosen.namespace, pods, chosen.gated, chosen.in_flight)), flush=True)


if __name__ == "__main__":
    main()
