"""kube-scheduler in small: binds pods to nodes, and says in its words why it cannot.

It reads what is served here of a pod's wishes: selector and required affinity, taints, cordons, requests, ports of the
host, the room kept by nominatedNodeName, priority as the order of the queue. Among the nodes that fit it takes the one
with the most cpu and memory to spare. It evicts nobody, and says so where kube-scheduler would; preferences between
nodes are not read, and what it cannot judge keeps the pod waiting with a message.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import msgspec

from muster.embedded.nodes.feed import Serving
from muster.embedded.nodes.ledger import Ledger, Waiting
from muster.embedded.nodes.podlife import stamp
from muster.embedded.nodes.seats import Seat
from muster.embedded.wire import Request

log = logging.getLogger(__name__)
STRATEGIC = "application/strategic-merge-patch+json"
ENOUGH = 100
"""Nodes that fit are looked for until there are so many, from where the last search ended, as kube-scheduler does."""
RETRY_MS = 5_000
"""After this a pod is tried again whose hindrance no watch of ours would show gone."""

_encode = msgspec.json.Encoder().encode


class Binder:
    """The scheduler of one name. `step` does all that can be done now."""

    def __init__(self, server: Serving, name: str = "default-scheduler") -> None:
        self._server = server
        self._ledger = Ledger(server, name)
        self._start = 0
        self.bound = 0
        """Pods bound so far."""

    def step(self, now: int, most: int | None = None) -> int | None:
        """Take in the news and bind what can be bound, with at most so many writes.

        now -- wall clock, ms. Returns when to be called again even without news: `now` itself when work is left.
        """
        ledger = self._ledger
        ledger.refresh(now)
        writes = 0
        while most is None or writes < most:
            pod = ledger.pop()
            if pod is None:
                break
            writes += self._schedule(pod, now)
        return now if ledger.busy else ledger.wake_at

    def listen(self, on_news: Callable[[], None]) -> None:
        """Have this called when there is something to do: in the middle of a write, so only to note it."""
        self._ledger.nodes.on_news = self._ledger.pods.on_news = on_news

    # --- deciding ---

    def _schedule(self, pod: Waiting, now: int) -> bool:
        """Bind a pod or say why not; whether that was a write."""
        hindrance, again = self._hindrance(pod)
        if hindrance:
            self._ledger.park(pod, until=now + RETRY_MS if again else None)
            return self._say(pod, hindrance, now)
        pins = pod.demand.pins()
        chosen, refusals = self._search(pod, pins)
        if chosen is not None:
            return self._bind(pod, chosen, now)
        self._ledger.park(pod, pins)
        return self._say(pod, self._message(pod, refusals), now)

    def _hindrance(self, pod: Waiting) -> tuple[str, bool]:
        """What is in the way on every node, and whether to look again without news."""
        if not self._ledger.known:
            return "no nodes available to schedule pods", False
        why = pod.demand.refused
        again = False
        for claim in pod.demand.claims:
            path = f"/api/v1/namespaces/{pod.namespace}/persistentvolumeclaims/{claim}"
            answer = self._server.handle(Request("GET", path))
            again = True
            if answer.status == 404:
                # Their words, the repetition included.
                why = f'persistentvolumeclaim "{claim}" not found. not found'
                break
            why = why or "the embedded scheduler does not bind volumes"
        return (f"0/{self._ledger.known} nodes are available: {why}", again) if why else ("", False)

    def _search(self, pod: Waiting, pins: frozenset[str] | None) -> tuple[Seat | None, dict[str, tuple[str, ...]]]:
        """The node to take, or else by node the reasons against it."""
        refusals: dict[str, tuple[str, ...]] = {}
        if pins is not None:
            fitting = []
            for name in sorted(pins):
                seat = self._ledger.seats.get(name)
                if seat is not None and seat.known:
                    refusals[name] = seat.reasons(pod.uid, pod.demand)
                    if not refusals[name]:
                        fitting.append(seat)
        else:
            fitting = self._look_around(pod, refusals)
        if not fitting:
            return None, refusals
        own = next((seat for seat in fitting if seat.name == pod.nominated), None)
        return own or max(fitting, key=lambda seat: seat.score(pod.demand)), {}

    def _look_around(self, pod: Waiting, refusals: dict[str, tuple[str, ...]]) -> list[Seat]:
        order = self._ledger.order()
        count = len(order)
        fitting = []
        own = self._ledger.seats.get(pod.nominated)
        if own is not None and own.known and not own.reasons(pod.uid, pod.demand):
            return [own]
        for offset in range(count):
            seat = order[(self._start + offset) % count]
            reasons = seat.reasons(pod.uid, pod.demand)
            if reasons:
                refusals[seat.name] = reasons
                continue
            fitting.append(seat)
            if len(fitting) == ENOUGH:
                self._start = (self._start + offset + 1) % count
                break
        return fitting

    def _message(self, pod: Waiting, refusals: dict[str, tuple[str, ...]]) -> str:
        counts = Counter(reason for reasons in refusals.values() for reason in reasons)
        others = self._ledger.known - len(refusals)
        if others:
            counts["node(s) didn't satisfy plugin(s) [NodeAffinity]"] = others
        head = f"0/{self._ledger.known} nodes are available"
        said = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
        return f"{head}: {said}. preemption: {self._preemption(pod, refusals, head)}"

    def _preemption(self, pod: Waiting, refusals: dict[str, tuple[str, ...]], head: str) -> str:
        if pod.demand.never:
            return "not eligible due to preemptionPolicy=Never."
        room = ("Insufficient ", "Too many pods", "node(s) didn't have free ports")
        crowded = {
            name
            for name, reasons in refusals.items()
            if reasons[0].startswith(room) and not self._ledger.seats[name].hopeless(pod.demand)
        }
        victims = {
            held.seat.name for held in self._ledger.bound.values() if held.priority < pod.demand.priority
        } & crowded
        if victims:
            log.warning(
                "%s/%s: kube-scheduler might evict pods of lower priority on %s; the embedded scheduler evicts nobody",
                pod.namespace,
                pod.name,
                min(victims),
            )
            return f"the embedded scheduler evicts nobody, though {len(victims)} node(s) hold pods of lower priority."
        counts = {
            "No preemption victims found for incoming pod": len(crowded),
            "Preemption is not helpful for scheduling": self._ledger.known - len(crowded),
        }
        return f"{head}: {', '.join(sorted(f'{n} {reason}' for reason, n in counts.items() if n))}."

    # --- writes ---

    def _bind(self, pod: Waiting, seat: Seat, now: int) -> bool:
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/binding"
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": seat.name},
        }
        answer = self._server.handle(Request("POST", path, body=_encode(body), content_type="application/json"))
        if answer.status == 201:
            # Counted at once: the watch is behind.
            self._ledger.bind(pod, seat)
            self.bound += 1
            return True
        # 404, 409: it is gone or another pod, as the watch tells; 409 also as long as a gate is on.
        refused = answer.status not in (404, 409)
        if refused:
            log.warning("binding %s/%s: %d %s", pod.namespace, pod.name, answer.status, answer.body[:300].decode())
        self._ledger.park(pod, until=now + RETRY_MS if refused else None)
        return True

    def _say(self, pod: Waiting, message: str, now: int) -> bool:
        if pod.said == message:
            return False
        pod.said = message
        pod.since = pod.since or stamp(now)
        condition = {
            "type": "PodScheduled",
            "observedGeneration": pod.generation,
            "status": "False",
            "lastProbeTime": None,
            "lastTransitionTime": pod.since,
            "reason": "Unschedulable",
            "message": message,
        }
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/status"
        body = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
        answer = self._server.handle(Request("PATCH", path, body=_encode(body), content_type=STRATEGIC))
        if answer.status not in (200, 404, 409):
            log.warning("status of %s/%s: %d %s", pod.namespace, pod.name, answer.status, answer.body[:300].decode())
        return True
