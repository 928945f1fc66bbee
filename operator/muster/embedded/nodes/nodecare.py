"""What kube-controller-manager does about nodes and the pods on them: eviction by taints, pod garbage, lost machines.

Taint eviction: a pod is deleted when its node carries a NoExecute taint that it does not tolerate, or not for longer.
Pod garbage: pods whose Node object has long been gone, and terminating pods on a node that is out of service, are
removed. Lost machines (only if asked for): a machine that is off is found NotReady and tainted, and is put right again.
Its periods are those of kube-controller-manager's defaults.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable

import msgspec

from muster.embedded.nodes.demands import Taint, Toleration
from muster.embedded.nodes.feed import Serving
from muster.embedded.nodes.machines import UNREACHABLE, Machines
from muster.embedded.nodes.podlife import stamp
from muster.embedded.wire import Object, Request

log = logging.getLogger(__name__)
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
GARBAGE_PERIOD_MS = 20_000
QUARANTINE_MS = 40_000
"""A Node object must have been gone for so long before its pods are garbage."""
MONITOR_GRACE_MS = 50_000
"""A machine must have been silent for so long before it is NotReady (node-monitor-grace-period)."""

_encode = msgspec.json.Encoder().encode


class NodeCare:
    """See the module. `step` does what is due."""

    def __init__(self, server: Serving, *, lost_machines: bool = False, grace_ms: int = MONITOR_GRACE_MS) -> None:
        self._server = server
        self._lost_machines = lost_machines
        self._grace = grace_ms
        self._machines = Machines(server)
        self._heap: list[tuple[int, str, str]] = []
        self._swept = 0

    def step(self, now: int) -> int | None:
        """Take in the news and do what is due. Returns when to be called again even without news, ms."""
        for name in sorted(self._machines.refresh(now)):
            self._judge(name, now)
        while self._heap and self._heap[0][0] <= now:
            due, what, key = heapq.heappop(self._heap)
            if what == "evict":
                self._evict(key, due)
            elif what == "mark":
                self._mark(key, now)
        dues = [self._heap[0][0]] if self._heap else []
        garbage = self._sweep(now)
        return min([*dues, garbage]) if garbage is not None else min(dues, default=None)

    def listen(self, on_news: Callable[[], None]) -> None:
        """Have this called when there is something to do: in the middle of a write, so only to note it."""
        self._machines.listen(on_news)

    # --- doing ---

    def _judge(self, name: str, now: int) -> None:
        """A node or a pod on it has changed: find out when its pods are to go, and when it is to be marked."""
        machine = self._machines.nodes.get(name)
        if machine is None:
            return
        for uid in self._machines.on_node.get(name, ()):
            held = self._machines.pods[uid]
            stay = None if held.terminating else _stay(machine.taints, held.tolerations)
            if stay is None:
                held.evict_at = None
            elif held.evict_at is None or now + stay < held.evict_at:
                held.evict_at = now + stay
                heapq.heappush(self._heap, (held.evict_at, "evict", uid))
        if self._lost_machines:
            if machine.off_since is not None and machine.ready:
                heapq.heappush(self._heap, (machine.off_since + self._grace, "mark", name))
            elif machine.off_since is None and (machine.marked or not machine.ready):
                self._write_node(name, "True", now)

    def _evict(self, uid: str, due: int) -> None:
        held = self._machines.pods.get(uid)
        if held is None or held.evict_at != due:
            return
        held.evict_at = None
        self._disrupt(held.path, uid, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", due)
        self._delete(held.path, uid, None)

    def _mark(self, name: str, now: int) -> None:
        machine = self._machines.nodes.get(name)
        if machine is not None and machine.off_since is not None and now >= machine.off_since + self._grace:
            self._write_node(name, "Unknown", now)

    def _write_node(self, name: str, status: str, now: int) -> None:
        """Set Ready, and the taints that go with it."""
        reason, message = {
            "True": ("KubeletReady", "kubelet is posting ready status"),
            "Unknown": ("NodeStatusUnknown", "Kubelet stopped posting node status."),
        }[status]
        ready = {"type": "Ready", "status": status, "reason": reason, "message": message}
        if status == "True":
            ready["lastHeartbeatTime"] = stamp(now)
        body: Object = {"status": {"conditions": [ready | {"lastTransitionTime": stamp(now)}]}}
        self._send("PATCH", f"/api/v1/nodes/{name}/status", body, STRATEGIC)
        answer = self._server.handle(Request("GET", f"/api/v1/nodes/{name}"))
        if answer.status != 200:
            return
        node: Object = msgspec.json.decode(answer.body)
        taints = [taint for taint in node["spec"].get("taints") or () if taint["key"] != UNREACHABLE]
        if status != "True":
            taints += [
                {"key": UNREACHABLE, "effect": "NoSchedule", "timeAdded": stamp(now)},
                {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": stamp(now)},
            ]
        self._send("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": taints or None}}, MERGE)

    def _sweep(self, now: int) -> int | None:
        """Remove pod garbage; when to look again."""
        stuck = [
            uid
            for name in sorted(self._machines.out)
            if not self._machines.nodes[name].ready
            for uid in self._machines.on_node.get(name, ())
            if self._machines.pods[uid].terminating
        ]
        if not stuck and not self._machines.gone:
            return None
        turn = now // GARBAGE_PERIOD_MS
        if turn > self._swept:
            self._swept = turn
            for uid in stuck:
                self._collect(uid, "PodGC: node is out-of-service", now)
            for name, since in list(self._machines.gone.items()):
                if now - since >= QUARANTINE_MS:
                    for uid in list(self._machines.on_node.get(name, ())):
                        self._collect(uid, "PodGC: node no longer exists", now)
        return (turn + 1) * GARBAGE_PERIOD_MS

    def _collect(self, uid: str, message: str, now: int) -> None:
        held = self._machines.pods[uid]
        if not held.ended:
            self._disrupt(held.path, uid, "DeletionByPodGC", message, now, phase="Failed")
        self._delete(held.path, uid, 0)

    def _disrupt(self, path: str, uid: str, reason: str, message: str, now: int, phase: str = "") -> None:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        status: Object = {"conditions": [condition | {"lastTransitionTime": stamp(now)}]}
        status |= {"phase": phase} if phase else {}
        self._send("PATCH", f"{path}/status", {"metadata": {"uid": uid}, "status": status}, STRATEGIC)

    def _delete(self, path: str, uid: str, grace: int | None) -> None:
        options: Object = {"preconditions": {"uid": uid}}
        options |= {"gracePeriodSeconds": grace} if grace is not None else {}
        self._send("DELETE", path, options, "application/json")

    def _send(self, method: str, path: str, body: Object, content_type: str) -> None:
        answer = self._server.handle(Request(method, path, body=_encode(body), content_type=content_type))
        if answer.status not in (200, 202, 404, 409):
            log.warning("%s %s: %d %s", method, path, answer.status, answer.body[:300].decode())


def _stay(taints: tuple[Taint, ...], tolerations: tuple[Toleration, ...]) -> int | None:
    """For how long (ms) a pod may stay on a node with these taints; None: for ever."""
    shortest: int | None = None
    for taint in taints:
        covering = [each for each in tolerations if each.covers(taint)]
        if not covering:
            return 0
        for seconds in (each.toleration_seconds for each in covering):
            if seconds is not None:
                stay = max(0, seconds) * 1000
                shortest = stay if shortest is None else min(shortest, stay)
    return shortest
