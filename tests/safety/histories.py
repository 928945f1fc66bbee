"""Hand-made histories for the safety watcher: a small cluster, a gang that starts by the book, and ways to spoil it."""

from __future__ import annotations

import copy
from typing import Any

from muster.safety import Event, History, Violation, judge
from muster.safety.record import QUIET

Object = dict[str, Any]
GPUS = "4"


class Story:
    """Writes a history: each call is one event, one revision and a tenth of a second."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now = 1000.0
        self._rv = 0
        self._objects: dict[tuple[str, str], Object] = {}

    def _add(self, kind: str, name: str, what: str, thing: Object) -> None:
        self._rv += 1
        self.now += 0.1
        thing["metadata"]["resourceVersion"] = str(self._rv)
        self.events.append(Event(self._rv, kind, what, copy.deepcopy(thing), self.now))

    def put(self, kind: str, thing: Object) -> None:
        name = thing["metadata"]["name"]
        what = "MODIFIED" if (kind, name) in self._objects else "ADDED"
        self._objects[kind, name] = thing
        self._add(kind, name, what, thing)

    def drop(self, kind: str, name: str) -> None:
        self._add(kind, name, "DELETED", self._objects.pop((kind, name)))

    def get(self, kind: str, name: str) -> Object:
        return copy.deepcopy(self._objects[kind, name])

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def quiet(self) -> None:
        self.events.append(Event(self._rv, "TrainingJob", QUIET, {}, self.now))

    # The cluster.

    def nodes(self, racks: int = 2, each: int = 4) -> None:
        for rack in range(racks):
            for number in range(each):
                self.node(f"r{rack}-n{number}", rack)

    def node(self, name: str, rack: int, ready: str = "True", **more: str) -> None:
        labels = {"nvidia.com/gpu.clique": f"c.{rack}", "fabric.topograph.run/tier-0": "leaf0"} | more
        self.put(
            "Node",
            {
                "metadata": {"name": name, "labels": labels},
                "spec": {},
                "status": {
                    "allocatable": {"nvidia.com/gpu": GPUS, "pods": "10"},
                    "conditions": [{"type": "Ready", "status": ready}],
                },
            },
        )

    # A gang.

    def job(self, name: str = "a", replicas: int = 2, topology: Object | None = None, **spec: Any) -> None:
        template = {"spec": {"containers": [{"name": "m", "resources": {"limits": {"nvidia.com/gpu": GPUS}}}]}}
        role: Object = {"name": "w", "replicas": replicas, "template": template}
        role |= {"topology": topology} if topology else {}
        meta = {"name": name, "namespace": "ns", "uid": f"uid-{name}"}
        status = {"observedGeneration": -1, "phase": "Pending"}
        self.put("TrainingJob", {"metadata": meta, "spec": {"roles": [role], **spec}, "status": status})

    def status(self, name: str = "a", **status: Any) -> None:
        job = self.get("TrainingJob", name)
        job["status"] |= status
        self.put("TrainingJob", job)

    def place(
        self,
        nodes: str,
        name: str = "a",
        attempt: int = 1,
        born: str | None = None,
        gang_attempt: int | None = None,
        **status: Any,
    ) -> None:
        role = {"name": "w", "nodes": nodes} | ({"born": born} if born else {})
        placement = {"attempt": attempt, "gangAttempt": gang_attempt or attempt, "roles": [role]}
        self.status(name, **({"phase": "Placed"} | status), attempt=attempt, live=True, placement=placement)

    def pod(
        self, node: str, rank: int = 0, job: str = "a", born: int = 1, gated: bool = True, owned: bool = True
    ) -> None:
        name = pod_name(rank, job, born)
        labels = {"job-name": job, "job-uid": f"uid-{job}", "role": "w", "rank": str(rank), "attempt": str(born)}
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        spec: Object = {
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
            },
            "containers": [{"name": "m", "resources": {"requests": {"nvidia.com/gpu": GPUS}}}],
        }
        if gated:
            spec["schedulingGates"] = [{"name": "muster.dev/gang"}]
        meta: Object = {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "labels": {f"muster.dev/{key}": value for key, value in labels.items()},
        }
        if owned:
            meta["ownerReferences"] = [{"kind": "TrainingJob", "name": job, "uid": f"uid-{job}", "controller": True}]
        self.put("Pod", {"metadata": meta, "spec": spec, "status": {"phase": "Pending"}})

    def change_pod(self, rank: int = 0, job: str = "a", born: int = 1, **change: Any) -> None:
        """Change a pod: gated=False, node="r0-n0", phase="Running"."""
        pod = self.get("Pod", pod_name(rank, job, born))
        if change.get("gated") is False:
            pod["spec"].pop("schedulingGates", None)
        if "node" in change:
            pod["spec"]["nodeName"] = change["node"]
        if "phase" in change:
            running = change["phase"] == "Running" or change.get("still_running")
            state = {"running": {}} if running else {"terminated": {"exitCode": 1}}
            pod["status"] = {"phase": change["phase"], "containerStatuses": [{"name": "m", "state": state}]}
        self.put("Pod", pod)

    def run_pod(self, node: str, rank: int = 0, job: str = "a", born: int = 1) -> None:
        """Ungate, bind and run a pod that exists."""
        self.change_pod(rank, job, born, gated=False)
        self.change_pod(rank, job, born, node=node)
        self.change_pod(rank, job, born, phase="Running")

    def end_pod(self, rank: int = 0, job: str = "a", born: int = 1, phase: str = "Failed") -> None:
        """The containers end, and the pod goes."""
        self.change_pod(rank, job, born, phase=phase)
        self.drop("Pod", pod_name(rank, job, born))

    def repair(self, nodes: str, born: str, attempt: int = 2, gang_attempt: int | None = None, **status: Any) -> None:
        """Commit a repair of job a; with births of earlier attempts its gang goes on under its old name."""
        whole = born.startswith(f"{attempt}x") and "," not in born
        self.place(
            nodes,
            attempt=attempt,
            born=born,
            gang_attempt=gang_attempt or (attempt if whole else 1),
            **({"phase": "Repairing", "disruptions": attempt - 1} | status),
        )

    def delete_pod(self, rank: int = 0, job: str = "a", born: int = 1) -> None:
        """Its deletion has begun."""
        pod = self.get("Pod", pod_name(rank, job, born))
        pod["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
        self.put("Pod", pod)

    def start(self, nodes: list[str], job: str = "a", attempt: int = 1) -> None:
        """Take a gang from Pending to Running by the book."""
        self.place(",".join(nodes), job, attempt)
        for rank, node in enumerate(nodes):
            self.pod(node, rank, job, attempt)
        self.status(job, phase="Starting")
        for rank, node in enumerate(nodes):
            self.run_pod(node, rank, job, attempt)
        self.status(job, phase="Running")

    def foreign(self, name: str, node: str, gpus: str = GPUS) -> None:
        """A pod that is not muster's, bound and running."""
        containers = [{"name": "x", "resources": {"requests": {"nvidia.com/gpu": gpus}}}]
        meta = {"name": name, "namespace": "other", "uid": f"uid-{name}"}
        self.put(
            "Pod",
            {
                "metadata": meta,
                "spec": {"nodeName": node, "containers": containers},
                "status": {"phase": "Running"},
            },
        )

    def judged(self) -> list[Violation]:
        return judge(History.of(self.events))

    def broken(self) -> set[str]:
        """Return the names of the broken invariants."""
        return {violation.invariant for violation in self.judged()}


def pod_name(rank: int = 0, job: str = "a", born: int = 1) -> str:
    return f"{job}-w-{rank}-uid-{born}"
