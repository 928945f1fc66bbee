"""A stand-in for all kubelets of the cluster, as one process: `python -m e2e.kubelet`.

One watch of the bound pods, one of the nodes, and a timer a pod. What is due follows from
the pod as last seen (`muster.embedded.nodes.podlife`), so a restart or a relist resumes where the API says.
A node that is annotated `fake.muster.dev/off: "true"`, or whose object does not exist, is a
dead machine: no status, no heartbeat, no acknowledged deletion.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from e2e.aio import AsyncClient
from muster.embedded.nodes.podlife import Delays, Step, next_step, state_of, status_after

log = logging.getLogger("kubelet")
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
OFF = "fake.muster.dev/off"
RETRY_SECONDS = 0.5
SYNCED = "kubelet: synced"
"""The line that says that pods and nodes have been listed."""


@dataclass(slots=True)
class Held:
    """A pod as last seen, the time since which it is in that state, and its timer."""

    pod: dict[str, Any]
    since: float
    timer: asyncio.TimerHandle | None = None
    busy: bool = False
    listed: bool = True


@dataclass(slots=True)
class Machine:
    """A node as far as its kubelet matters."""

    off: bool
    ready: bool
    listed: bool = True


@dataclass(slots=True)
class Kubelet:
    """All kubelets. `run` ends only by cancellation."""

    client: AsyncClient
    delays: Delays
    heartbeat_seconds: float | None = None
    pods: dict[str, Held] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    on_node: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    written: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _synced: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Follow the API until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_nodes())
            group.create_task(self._follow_pods())
            if self.heartbeat_seconds is not None:
                group.create_task(self._beat())

    async def _follow_pods(self) -> None:
        async for kind, pod in self.client.follow("/api/v1/pods", fieldSelector="spec.nodeName!="):
            if kind == "RESET":
                for held in self.pods.values():
                    held.listed = False
            elif kind == "SYNCED":
                for uid in [uid for uid, held in self.pods.items() if not held.listed]:
                    self._forget(uid)
                self._say_synced("pods")
            elif kind == "DELETED":
                self._forget(pod["metadata"]["uid"])
            else:
                self._see(pod)

    def _see(self, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        held = self.pods.get(uid)
        if held is None:
            held = self.pods[uid] = Held(pod, time.monotonic() - _age(pod))
            self.on_node[pod["spec"]["nodeName"]].add(uid)
        else:
            if state_of(held.pod) != state_of(pod):
                held.since = time.monotonic()
            held.pod, held.listed = pod, True
        self._schedule(uid)

    def _forget(self, uid: str) -> None:
        held = self.pods.pop(uid, None)
        if held is not None:
            self.on_node[held.pod["spec"]["nodeName"]].discard(uid)
            if held.timer is not None:
                held.timer.cancel()

    def _schedule(self, uid: str) -> None:
        """Set the pod's timer to what is due next, as of now."""
        held = self.pods.get(uid)
        if held is None or held.busy:
            return
        if held.timer is not None:
            held.timer.cancel()
            held.timer = None
        due = next_step(held.pod, self.delays) if self._alive(held) else None
        if due is not None:
            step, after = due
            wait = max(0.0, held.since + after - time.monotonic())
            held.timer = asyncio.get_running_loop().call_later(wait, self._begin, uid, step)

    def _alive(self, held: Held) -> bool:
        machine = self.machines.get(held.pod["spec"]["nodeName"])
        return machine is not None and not machine.off

    def _begin(self, uid: str, step: Step) -> None:
        held = self.pods.get(uid)
        if held is None or held.busy:
            return
        held.busy, held.timer = True, None
        task = asyncio.get_running_loop().create_task(self._act(uid, held, step))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, uid: str, held: Held, step: Step) -> None:
        before = held.pod
        try:
            code = await self._write(held.pod, step)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            log.info("%s of %s: %r", step.value, before["metadata"]["name"], error)
            code = 0
        held.busy = False
        self.written += 1
        if held.pod is not before:
            self._schedule(uid)
        elif code not in (200, 404, 409):
            # Nothing else would wake this pod: its record has not changed.
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._schedule, uid)
        # 200: the watch tells; 404 and 409: it is gone or another pod, the watch tells too.

    async def _write(self, pod: dict[str, Any], step: Step) -> int:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if step is Step.DELETE:
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
            code, text = await self.client.send("DELETE", path, options)
        else:
            body = {"metadata": {"uid": meta["uid"]}, "status": status_after(pod, step, datetime.now(UTC))}
            code, text = await self.client.send("PATCH", path + "/status", body, STRATEGIC)
        if code not in (200, 404, 409):
            log.warning("%s of %s: %d %s", step.value, meta["name"], code, text[:300])
        return code

    async def _follow_nodes(self) -> None:
        async for kind, node in self.client.follow("/api/v1/nodes"):
            if kind == "RESET":
                for machine in self.machines.values():
                    machine.listed = False
            elif kind == "SYNCED":
                for name in [name for name, machine in self.machines.items() if not machine.listed]:
                    self._change(name, None)
                self._say_synced("nodes")
            else:
                self._change(node["metadata"]["name"], None if kind == "DELETED" else _machine(node))

    def _change(self, name: str, machine: Machine | None) -> None:
        before = self.machines.get(name)
        if machine is None:
            self.machines.pop(name, None)
        else:
            self.machines[name] = machine
        if (before is None or before.off) != (machine is None or machine.off):
            for uid in self.on_node[name]:
                self._schedule(uid)

    def _say_synced(self, what: str) -> None:
        self._synced.add(what)
        if len(self._synced) == 2:
            print(SYNCED, flush=True)

    async def _beat(self) -> None:
        """Renew every living node's Lease, and put its Ready condition right."""
        assert self.heartbeat_seconds is not None
        while True:
            began = time.monotonic()
            living = [name for name, machine in self.machines.items() if not machine.off]
            await asyncio.gather(*(self._beat_once(name) for name in living))
            await asyncio.sleep(max(0.05, self.heartbeat_seconds - (time.monotonic() - began)))

    async def _beat_once(self, name: str) -> None:
        now = datetime.now(UTC)
        micro = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro}
        try:
            code, _ = await self.client.send("PATCH", f"{path}/{name}", {"spec": spec}, MERGE)
            if code == 404:
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
                await self.client.send("POST", path, lease | {"spec": spec})
            machine = self.machines.get(name)
            if machine is not None and not machine.ready and not machine.off:
                stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
                times = {"lastHeartbeatTime": stamp, "lastTransitionTime": stamp}
                ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "stand-in", **times}
                await self.client.send(
                    "PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": [ready]}}, STRATEGIC
                )
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            log.info("heartbeat of %s: %r", name, error)


def _machine(node: dict[str, Any]) -> Machine:
    conditions = node.get("status", {}).get("conditions", ())
    return Machine(
        off=(node["metadata"].get("annotations") or {}).get(OFF) == "true",
        ready=any(each["type"] == "Ready" and each["status"] == "True" for each in conditions),
    )


def _age(pod: dict[str, Any]) -> float:
    """Return how long a pod seen for the first time has been running already: after a restart of ours."""
    started = pod["status"].get("startTime")
    if pod["status"].get("phase") != "Running" or "deletionTimestamp" in pod["metadata"] or not started:
        return 0.0
    then = datetime.strptime(started, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return max(timedelta(), datetime.now(UTC) - then).total_seconds()


async def serve(kubeconfig: Path, delays: Delays, heartbeat_seconds: float | None) -> None:
    """Run until cancelled."""
    async with AsyncClient(kubeconfig) as client:
        await Kubelet(client, delays, heartbeat_seconds).run()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="stand in for every kubelet of the cluster")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--start-delay", type=float, default=0.0, help="seconds from bound to Running")
    parser.add_argument("--stop-delay", type=float, default=0.0, help="seconds from SIGTERM to ended")
    parser.add_argument("--heartbeats", type=float, default=None, metavar="SECONDS", help="renew node Leases")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(serve(chosen.kubeconfig, Delays(chosen.start_delay, chosen.stop_delay), chosen.heartbeats))


if __name__ == "__main__":
    main()
