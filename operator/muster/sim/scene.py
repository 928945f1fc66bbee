"""Where a storm happens: the cluster, what is planned for later, what new pods are to do, and how all is put right."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from muster.embedded.nodes.podlife import PREFIX
from muster.embedded.nodes.racks import OFF
from muster.embedded.storage.store import ADDED, Event, Table
from muster.sim.deeds import MERGE, TOPOLOGIES, Deeds, Object, RefusedError
from muster.sim.loop import NOBODY
from muster.sim.weather import Sky

RULES = (
    {"condition": "XIDErrors", "badWhen": "True", "action": "Avoid"},
    {"condition": "GPUMissing", "badWhen": "True", "action": "Drain", "afterSeconds": 3},
    {"label": "example.com/state", "badWhen": "broken", "action": "Drain"},
)
AWAY = "example.com/away"
OUT = "node.kubernetes.io/out-of-service"


class Scene:
    """See the module.

    deeds -- what can be done. sky -- the weather. nodes -- every machine that there ever was, as it is in health.
    """

    def __init__(self, deeds: Deeds, sky: Sky) -> None:
        self.deeds = deeds
        self.world = deeds.world
        self.sky = sky
        self.numbers = itertools.count(1)
        self.nodes: dict[str, Object] = {node["metadata"]["name"]: node for node in deeds.nodes()}
        self._wishes: list[tuple[int, dict[str, str]]] = []
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._before = self.world.server.store.on_event
        self.world.server.store.on_event = self._wrote

    # --- time -------------------------------------------------------------------------------------------------------

    def later(self, seconds: float, what: Callable[[], object]) -> None:
        """Have something done after so many seconds."""
        heapq.heappush(self._agenda, (self.world.now + seconds, next(self.numbers), what))

    def play(self) -> None:
        """Do all that is planned, when it is due; what cannot be done is left out."""
        while self._agenda:
            at, _, what = heapq.heappop(self._agenda)
            if at > self.world.now:
                self.world.run(at - self.world.now)
            try:
                what()
            except (RefusedError, LookupError) as error:
                self.world.journal.note(f"not done: {error!s:.120}")

    # --- finding ----------------------------------------------------------------------------------------------------

    def node(self, draw: random.Random, *, used: bool | None = None) -> str:
        """A node; used: one with a pod of a job, if there is one. Raises LookupError if there is none at all."""
        names = sorted(node["metadata"]["name"] for node in self.deeds.nodes())
        if used is not None:
            held = {pod["spec"].get("nodeName") for pod in self.deeds.pods()}
            names = [name for name in names if (name in held) is used] or names
        return _any(draw, names, "node")

    def pod(self, draw: random.Random, *, running: bool = False) -> str:
        """A pod of a job, by name. Raises LookupError."""
        found = [
            pod["metadata"]["name"]
            for pod in self.deeds.pods()
            if "muster.dev/job-name" in pod["metadata"].get("labels", {})
            and (pod["status"].get("phase") == "Running" or not running)
        ]
        return _any(draw, sorted(found), "pod")

    def job(self, draw: random.Random) -> str:
        """A job, by name. Raises LookupError."""
        return _any(draw, sorted(job["metadata"]["name"] for job in self.deeds.jobs()), "job")

    # --- pods to come -----------------------------------------------------------------------------------------------

    def wish(self, pods: int, **wishes: str) -> None:
        """The next so many pods are to do this (podlife's annotations, `_` for `-`)."""
        self._wishes.append((pods, {f"{PREFIX}{key.replace('_', '-')}": value for key, value in wishes.items()}))

    def _wrote(self, table: Table, event: Event) -> None:
        self._before(table, event)
        # A stranger's pod that is to end at once would be started again without end, and no time pass.
        ours = table.kind.kind == "Pod" and b'"muster.dev/job-name"' in event.entry.data
        if ours and event.type == ADDED and self._wishes:
            pods, wishes = self._wishes.pop(0)
            if pods > 1:
                self._wishes.insert(0, (pods - 1, wishes))
            self.world.loop.call_soon(self._steer, event.entry.name, wishes, context=NOBODY)

    def _steer(self, name: str, wishes: dict[str, str]) -> None:
        path = f"/api/v1/namespaces/default/pods/{name}"
        with suppress(RefusedError):  # it is gone already
            self.deeds.call("PATCH", path, {"metadata": {"annotations": wishes}}, MERGE)

    # --- the end ----------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Put right what is broken: machines, labels, taints, rules, quotas, kubelets. Jobs stay as they are."""
        deeds = self.deeds
        self._agenda.clear()
        self._wishes.clear()
        self.sky.clear()
        there = {node["metadata"]["name"] for node in deeds.nodes()}
        for name, node in self.nodes.items():
            if name not in there:
                deeds.add_node(node)
        for node in deeds.nodes():
            self._mend(node)
        for pod in deeds.pods():
            if "muster.dev/job-name" in pod["metadata"].get("labels", {}):
                self._unwish(pod)
        for quota in deeds.items("/api/v1/namespaces/default/resourcequotas"):
            deeds.call("DELETE", f"/api/v1/namespaces/default/resourcequotas/{quota['metadata']['name']}")
        if deeds.find(f"{TOPOLOGIES}/default") is not None:
            deeds.call("PATCH", f"{TOPOLOGIES}/default", {"spec": {"healthRules": list(RULES)}}, MERGE)
        deeds.kubelets(self.world.site.delays.start, self.world.site.delays.stop)
        for seat in self.world.seats:
            seat.cut_off(False)

    def _mend(self, node: Object) -> None:
        deeds, name = self.deeds, node["metadata"]["name"]
        well = self.nodes.get(name, node)
        labels: dict[str, Any] = dict.fromkeys(node["metadata"].get("labels") or {})
        labels |= well["metadata"].get("labels") or {}
        deeds.patch_node(name, {"metadata": {"labels": labels, "annotations": {OFF: None}}})
        deeds.cordon(name, False)
        for taint in (AWAY, OUT):
            deeds.taint(name, taint, None)
        for condition in node["status"].get("conditions") or ():
            if condition["type"] in ("XIDErrors", "GPUMissing") and condition["status"] != "False":
                deeds.condition(name, condition["type"], "False")
        deeds.clear_blame(name)

    def _unwish(self, pod: Object) -> None:
        """Who waits for an image gets it."""
        given = pod["metadata"].get("annotations") or {}
        if any(key in given for key in (f"{PREFIX}image-pull-backoff", f"{PREFIX}never-start")):
            gone = {f"{PREFIX}image-pull-backoff": None, f"{PREFIX}never-start": None}
            path = f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}"
            self.deeds.call("PATCH", path, {"metadata": {"annotations": gone}}, MERGE)


def _any(draw: random.Random, names: Iterable[str], what: str) -> str:
    found = list(names)
    if not found:
        raise LookupError(f"there is no {what}")
    return draw.choice(found)
