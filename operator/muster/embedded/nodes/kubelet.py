"""All kubelets of the cluster in one object: bound pods start, run and end as `podlife` says.

What is due follows from the pod as the API shows it, so that a restart or a relist resumes where the API says. A node
annotated `fake.muster.dev/off: "true"`, or whose object does not exist, is a dead machine: no status, no acknowledged
deletion. There are no heartbeats: whether a node is Ready is told by its object alone.
"""

from __future__ import annotations

import heapq
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from muster.embedded.nodes.feed import RESET, SYNCED, Feed, Serving
from muster.embedded.nodes.podlife import Delays, Step, next_step, state_of, status_after
from muster.embedded.nodes.racks import OFF
from muster.embedded.wire import Object, Request

log = logging.getLogger(__name__)
STRATEGIC = "application/strategic-merge-patch+json"
RETRY_MS = 500

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Meta(msgspec.Struct, gc=False):
    name: str
    annotations: dict[str, str] | None = None


class _Node(msgspec.Struct, gc=False):
    metadata: _Meta


_nodes = msgspec.json.Decoder(_Node)


@dataclass(slots=True)
class _Held:
    """A bound pod, since when (ms) it is in its state, what is due after it, and the number of its timer."""

    path: str
    node: str
    state: tuple[object, ...]
    since: int
    plan: tuple[Step, float] | None
    timer: int = 0
    listed: bool = True


class Kubelet:
    """See the module. `step` does what is due."""

    def __init__(self, server: Serving, delays: Delays = Delays()) -> None:  # noqa: B008  (frozen)
        self._server = server
        self._delays = delays
        self._pods = Feed(server, "/api/v1/pods", "spec.nodeName!=")
        self._nodes = Feed(server, "/api/v1/nodes")
        self._held: dict[str, _Held] = {}
        self._on_node: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._off: dict[str, bool] = {}
        self._heap: list[tuple[int, int, str]] = []
        self._timers = 0
        self.written = 0
        """Requests that changed something."""

    def step(self, now: int, most: int | None = None) -> int | None:
        """Take in the news and do what is due, with at most so many writes.

        now -- wall clock, ms. Returns when to be called again even without news: `now` itself when work is left.
        """
        self._take_nodes(now)
        self._take_pods(now)
        writes = 0
        while self._heap and self._heap[0][0] <= now:
            if most is not None and writes >= most:
                return now
            _, number, uid = heapq.heappop(self._heap)
            held = self._held.get(uid)
            if held is not None and held.timer == number:
                held.timer = 0
                self._act(uid, held, now)
                writes += 1
        while self._heap and self._stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def delay(self, delays: Delays) -> None:
        """From now on pods that come or change take so long."""
        self._delays = delays

    def listen(self, on_news: Callable[[], None]) -> None:
        """Have this called when there is something to do: in the middle of a write, so only to note it."""
        self._pods.on_news = self._nodes.on_news = on_news

    # --- news ---

    def _take_pods(self, now: int) -> None:
        for kind, raw in self._pods.pull():
            if kind == RESET:
                for held in self._held.values():
                    held.listed = False
            elif kind == SYNCED:
                for uid in [uid for uid, held in self._held.items() if not held.listed]:
                    self._forget(uid)
            else:
                pod: Object = _decode(raw)
                if kind == "DELETED":
                    self._forget(pod["metadata"]["uid"])
                else:
                    self._see(pod, now)

    def _see(self, pod: Object, now: int) -> None:
        meta, state = pod["metadata"], state_of(pod)
        uid = meta["uid"]
        held = self._held.get(uid)
        if held is None:
            path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
            node = pod["spec"]["nodeName"]
            held = self._held[uid] = _Held(path, node, state, now - _age(pod, now), None)
            self._on_node[node][uid] = None
        elif held.state != state:
            held.state, held.since = state, now
        held.plan, held.listed = next_step(pod, self._delays), True
        self._schedule(uid, held, now)

    def _forget(self, uid: str) -> None:
        held = self._held.pop(uid, None)
        if held is not None:
            self._on_node[held.node].pop(uid, None)
            if not self._on_node[held.node]:
                del self._on_node[held.node]

    def _take_nodes(self, now: int) -> None:
        listed: set[str] = set()
        for kind, raw in self._nodes.pull():
            if kind == RESET:
                listed = set()
            elif kind == SYNCED:
                for name in [name for name in self._off if name not in listed]:
                    self._turn(name, None, now)
            else:
                meta = _nodes.decode(raw).metadata
                listed.add(meta.name)
                off = (meta.annotations or {}).get(OFF) == "true"
                self._turn(meta.name, None if kind == "DELETED" else off, now)

    def _turn(self, name: str, off: bool | None, now: int) -> None:
        """A node is off, on, or gone (None)."""
        before = self._off.get(name, True)
        if off is None:
            self._off.pop(name, None)
        else:
            self._off[name] = off
        if before != (off is not False):
            for uid in list(self._on_node.get(name, ())):
                self._schedule(uid, self._held[uid], now)

    # --- doing ---

    def _schedule(self, uid: str, held: _Held, now: int) -> None:
        """Set the pod's timer to what is due next."""
        held.timer = 0
        if held.plan is not None and not self._off.get(held.node, True):
            _, after = held.plan
            self._set(uid, held, max(now, held.since + round(after * 1000)))

    def _set(self, uid: str, held: _Held, due: int) -> None:
        self._timers += 1
        held.timer = self._timers
        heapq.heappush(self._heap, (due, held.timer, uid))

    def _stale(self, entry: tuple[int, int, str]) -> bool:
        held = self._held.get(entry[2])
        return held is None or held.timer != entry[1]

    def _act(self, uid: str, held: _Held, now: int) -> None:
        answer = self._server.handle(Request("GET", held.path))
        if answer.status != 200:
            return
        pod: Object = _decode(answer.body)
        due = next_step(pod, self._delays)
        if pod["metadata"]["uid"] != uid or due is None or state_of(pod) != held.state:
            # The watch will tell what it has become.
            return
        step, _ = due
        code = self._write(pod, held.path, step, now)
        self.written += 1
        if code not in (200, 404, 409):
            # Nothing else would wake this pod: its record has not changed.
            self._set(uid, held, now + RETRY_MS)

    def _write(self, pod: Object, path: str, step: Step, now: int) -> int:
        meta = pod["metadata"]
        if step is Step.DELETE:
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
            request = Request("DELETE", path, body=_encode(options), content_type="application/json")
        else:
            status = status_after(pod, step, datetime.fromtimestamp(now / 1000, UTC))
            body = _encode({"metadata": {"uid": meta["uid"]}, "status": status})
            request = Request("PATCH", path + "/status", body=body, content_type=STRATEGIC)
        answer = self._server.handle(request)
        if answer.status not in (200, 404, 409):
            log.warning("%s of %s: %d %s", step.value, path, answer.status, answer.body[:300].decode())
        return answer.status


def _age(pod: Mapping[str, Any], now: int) -> int:
    """Return for how long (ms) a pod seen for the first time has been running already: after a restart of ours."""
    started = pod["status"].get("startTime")
    if pod["status"].get("phase") != "Running" or "deletionTimestamp" in pod["metadata"] or not started:
        return 0
    then = datetime.strptime(started, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return max(0, now - round(then.timestamp() * 1000))
