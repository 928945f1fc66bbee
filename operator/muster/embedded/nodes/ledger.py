"""What the scheduler knows: every node with what pods hold of it, and the queue of the unbound pods.

Whoever was tried in vain is parked, and comes back into the queue when something changed on a node that may let it in:
for pods pinned to a node by name that is this node alone, which is what makes ten thousand of them cheap.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from muster.embedded.nodes.demands import Demand, HostPort, NodeItem, PodItem, demand_of, ports_of, requests_of
from muster.embedded.nodes.feed import RESET, SYNCED, Feed, Serving
from muster.embedded.nodes.seats import Seat

FINISHED = ("Succeeded", "Failed")

_pods = msgspec.json.Decoder(PodItem)
_nodes = msgspec.json.Decoder(NodeItem)


@dataclass(slots=True)
class Bound:
    """What a pod holds of a node."""

    seat: Seat
    requests: tuple[tuple[str, int], ...]
    ports: tuple[HostPort, ...]
    priority: int


@dataclass(slots=True)
class Waiting:
    """An unbound pod."""

    uid: str
    namespace: str
    name: str
    generation: int
    demand: Demand
    turn: int
    """Orders those of one priority."""
    gated: bool
    nominated: str
    parked: bool = False
    """Tried in vain, and nothing has changed since."""
    said: str = ""
    """The message last written into its status, and since when it has been unschedulable."""
    since: str = ""


class Ledger:
    """Kept up to date by `refresh`; `bind` notes a binding before the watch shows it."""

    def __init__(self, server: Serving, name: str) -> None:
        self._name = name
        self.nodes = Feed(server, "/api/v1/nodes")
        self.pods = Feed(server, "/api/v1/pods")
        self.seats: dict[str, Seat] = {}
        self.known = 0
        """Nodes that exist: `seats` also holds names that pods are bound to without there being a node."""
        self.bound: dict[str, Bound] = {}
        self._order: list[Seat] | None = None
        self._waiting: dict[str, Waiting] = {}
        self._queue: list[tuple[int, int, str]] = []
        self._later: list[tuple[int, str]] = []
        self._pinned: dict[str, set[str]] = {}
        self._unpinned: set[str] = set()
        self._turns = 0
        self._listed: set[str] | None = None

    def refresh(self, now: int) -> None:
        """Take in what came since the last call, and whose time has come."""
        self._take_nodes()
        self._take_pods()
        while self._later and self._later[0][0] <= now:
            self._wake((heapq.heappop(self._later)[1],))

    def pop(self) -> Waiting | None:
        """The next pod to schedule, out of the queue."""
        while self._queue:
            _, _, uid = heapq.heappop(self._queue)
            pod = self._waiting.get(uid)
            if pod is not None and not pod.parked and not pod.gated:
                return pod
        return None

    @property
    def busy(self) -> bool:
        """Whether pods are queued."""
        return bool(self._queue)

    @property
    def wake_at(self) -> int | None:
        """When a parked pod is to be tried again without news, ms."""
        return self._later[0][0] if self._later else None

    def order(self) -> list[Seat]:
        """The nodes that exist, in the order in which they came."""
        if self._order is None:
            self._order = [seat for seat in self.seats.values() if seat.known]
        return self._order

    def bind(self, pod: Waiting, seat: Seat) -> None:
        """The pod is bound."""
        self._forget(pod.uid)
        self._hold(pod.uid, Bound(seat, pod.demand.requests, pod.demand.ports, pod.demand.priority))

    def park(self, pod: Waiting, pins: frozenset[str] | None = None, until: int | None = None) -> None:
        """Leave it until a node changes (one of `pins`, if given), or until a moment (ms)."""
        pod.parked = True
        if pins is None:
            self._unpinned.add(pod.uid)
        for name in pins or ():
            self._pinned.setdefault(name, set()).add(pod.uid)
        if until is not None:
            heapq.heappush(self._later, (until, pod.uid))

    # --- news ---

    def _take_nodes(self) -> None:
        listed: set[str] = set()
        for kind, raw in self.nodes.pull():
            if kind == RESET:
                listed = set()
            elif kind == SYNCED:
                for name in [name for name, seat in self.seats.items() if seat.known and name not in listed]:
                    self._drop_node(name)
            else:
                item = _nodes.decode(raw)
                if kind == "DELETED":
                    self._drop_node(item.metadata.name)
                else:
                    listed.add(item.metadata.name)
                    self._put_node(item)

    def _put_node(self, item: NodeItem) -> None:
        seat = self._seat(item.metadata.name)
        if not seat.known:
            self.known += 1
            self._order = None
        if seat.describe(item):
            self._changed(seat.name)

    def _drop_node(self, name: str) -> None:
        seat = self.seats.get(name)
        if seat is None or not seat.known:
            return
        seat.vanish()
        self.known -= 1
        self._order = None
        if not seat.used and not seat.nominated:
            del self.seats[name]

    def _take_pods(self) -> None:
        for kind, raw in self.pods.pull():
            if kind == RESET:
                self._listed = set()
            elif kind == SYNCED:
                listed, self._listed = self._listed or set(), None
                for uid in [uid for uid in (*self.bound, *self._waiting) if uid not in listed]:
                    self._forget(uid)
            else:
                item = _pods.decode(raw)
                if self._listed is not None:
                    self._listed.add(item.metadata.uid)
                if kind == "DELETED" or item.status.phase in FINISHED:
                    self._forget(item.metadata.uid)
                elif item.spec.node_name:
                    self._see_bound(item)
                elif item.spec.scheduler_name == self._name:
                    self._see_waiting(item)

    def _see_bound(self, item: PodItem) -> None:
        uid, seat = item.metadata.uid, self._seat(item.spec.node_name)
        held = self.bound.get(uid)
        if held is None or held.seat is not seat:
            self._forget(uid)
            self._hold(uid, Bound(seat, requests_of(item.spec), ports_of(item.spec), item.spec.priority))

    def _see_waiting(self, item: PodItem) -> None:
        meta, uid = item.metadata, item.metadata.uid
        if uid in self.bound:
            # The watch is behind our own binding.
            return
        if meta.deletion_timestamp is not None:
            self._forget(uid)
            return
        gated, nominated = bool(item.spec.scheduling_gates), item.status.nominated_node_name
        before = self._waiting.get(uid)
        new = Waiting(uid, meta.namespace, meta.name, meta.generation, demand_of(item.spec), 0, gated, nominated)
        if before is not None:
            same = before.demand == new.demand and before.gated == gated and before.nominated == nominated
            if same:
                before.generation = new.generation
                return
            new.said, new.since = before.said, before.since
            self._forget(uid)
        self._turns += 1
        # A pod has its turn from when its last gate fell.
        new.turn = before.turn if before is not None and before.gated == gated else self._turns
        self._waiting[uid] = new
        if nominated:
            seat = self._seat(nominated)
            seat.nominated = (seat.nominated or {}) | {uid: new.demand}
        if not gated:
            heapq.heappush(self._queue, (-new.demand.priority, new.turn, uid))

    # --- bookkeeping ---

    def _seat(self, name: str) -> Seat:
        seat = self.seats.get(name)
        if seat is None:
            seat = self.seats[name] = Seat(name)
        return seat

    def _hold(self, uid: str, held: Bound) -> None:
        held.seat.add(held.requests, held.ports)
        self.bound[uid] = held

    def _forget(self, uid: str) -> None:
        """It is gone, has ended, or is about to be seen anew: what it held is free."""
        held = self.bound.pop(uid, None)
        if held is not None:
            held.seat.add(held.requests, held.ports, -1)
            self._freed(held.seat)
        pod = self._waiting.pop(uid, None)
        if pod is not None:
            self._unpark(pod)
            if pod.nominated:
                seat = self._seat(pod.nominated)
                if seat.nominated:
                    seat.nominated.pop(uid, None)
                self._freed(seat)

    def _freed(self, seat: Seat) -> None:
        if seat.known:
            self._changed(seat.name)
        elif not seat.used and not seat.nominated:
            self.seats.pop(seat.name, None)

    def _changed(self, name: str) -> None:
        """Something on a node may let a pod in now."""
        if self._pinned or self._unpinned:
            self._wake((*self._pinned.get(name, ()), *self._unpinned))

    def _wake(self, uids: Iterable[str]) -> None:
        for pod in self._parked(uids):
            self._unpark(pod)
            heapq.heappush(self._queue, (-pod.demand.priority, pod.turn, pod.uid))

    def _parked(self, uids: Iterable[str]) -> Iterator[Waiting]:
        for uid in uids:
            pod = self._waiting.get(uid)
            if pod is not None and pod.parked:
                yield pod

    def _unpark(self, pod: Waiting) -> None:
        if not pod.parked:
            return
        pod.parked = False
        self._unpinned.discard(pod.uid)
        for name in pod.demand.pins() or ():
            parked = self._pinned.get(name)
            if parked is not None:
                parked.discard(pod.uid)
                if not parked:
                    del self._pinned[name]
