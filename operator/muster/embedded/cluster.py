"""A whole cluster: the server, and beside it what a cluster's own processes do (scheduler, kubelets, controllers).

`step` does all that can be done now and says when to be called again: with a virtual clock a cluster is a function of
the calls it gets. `run` drives it on the wall clock, beside an HTTP server in the same event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from muster.embedded.nodes import podlog
from muster.embedded.nodes.binder import Binder
from muster.embedded.nodes.kubelet import Kubelet
from muster.embedded.nodes.nodecare import MONITOR_GRACE_MS, NodeCare
from muster.embedded.nodes.podlife import Delays
from muster.embedded.nodes.racks import Racks
from muster.embedded.server import Server
from muster.embedded.wire import Object, Request

CHUNK = 100
"""In `run`: writes of the scheduler and of the kubelets before requests get a turn."""
PAUSE_SECONDS = 0.002
"""In `run`: what comes within it is taken together."""
ROUNDS = 1_000
"""Of one step. A container that ends as soon as it starts, and is restarted, would otherwise never let it end."""

_encode = msgspec.json.Encoder().encode


class EmbeddedCluster:
    """See the module."""

    def __init__(
        self,
        server: Server,
        clock: Callable[[], int],
        delays: Delays = Delays(),  # noqa: B008  (frozen)
        *,
        kubelets: bool = True,
        lost_machines: bool = False,
        grace_ms: int = MONITOR_GRACE_MS,
    ) -> None:
        """Nothing is done before the first step.

        clock -- the server's, ms.
        delays -- the pods' common delays.
        kubelets -- without them pods are bound and nothing more, until others stand in for the kubelets.
        lost_machines -- a machine that is off becomes NotReady by itself, after `grace_ms`; without it whoever turns
            it off sets its condition, too.
        """
        self.server = server
        self._clock = clock
        self.binder = Binder(server)
        self.kubelet = Kubelet(server, delays) if kubelets else None
        self.care = NodeCare(server, lost_machines=lost_machines, grace_ms=grace_ms)
        server.pods.logs = podlog.source(clock)
        self._before = server.on_write
        server.on_write = self._note
        self._news = True
        self._called: asyncio.Event | None = None
        # Every write wakes; the controllers inside the server have no watches. Watches that end do so without one.
        for each in (self.binder, self.kubelet, self.care):
            if each is not None:
                each.listen(self._note)

    def add(self, racks: Racks, now: int) -> list[str]:
        """Create the nodes of some racks, Ready since `now` (ms); return their names.

        Raises RuntimeError where the server refuses one.
        """
        self._create("/api/v1/nodes", racks.objects(datetime.fromtimestamp(now / 1000, UTC)))
        return racks.names()

    def step(self, now: int, most: int | None = None) -> int | None:
        """Do all that can be done at `now` (ms); return when there is more to do without anybody's request.

        most -- writes of the scheduler and of the kubelets after which to stop: `now` is returned if that was too few.
        """
        for _ in range(ROUNDS):
            self._news = False
            due = self._round(now, most)
            if most is not None or (not self._news and (due is None or due > now)):
                return now if self._news else due
        return now + 1

    async def run(self) -> None:
        """Do what is due by the clock, until cancelled."""
        called = self._called = asyncio.Event()
        while True:
            called.clear()
            due = self.step(self._clock(), CHUNK)
            # Requests get their turn even while there is work.
            await asyncio.sleep(0 if due is not None and due <= self._clock() else PAUSE_SECONDS)
            left = None if due is None else (due - self._clock()) / 1000
            if left is None or left > 0:
                try:
                    async with asyncio.timeout(left):
                        await called.wait()
                except TimeoutError:
                    pass

    def _round(self, now: int, most: int | None) -> int | None:
        dues = [self.server.tick()]
        dues.append(self.binder.step(now, most))
        if self.kubelet is not None:
            dues.append(self.kubelet.step(now, most))
        dues.append(self.care.step(now))
        return min((due for due in dues if due is not None), default=None)

    def _create(self, path: str, objects: Iterable[Object]) -> None:
        for each in objects:
            answer = self.server.handle(Request("POST", path, body=_encode(each), content_type="application/json"))
            if answer.status != 201:
                raise RuntimeError(f"creating {each['metadata']['name']}: {answer.status} {answer.body.decode()}")

    def _note(self) -> None:
        self._news = True
        if self._before is not None:
            self._before()
        if self._called is not None:
            self._called.set()
