"""What people and machines do to a simulated cluster, and what they see of it: by requests, as outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from muster.embedded.nodes.podlife import PREFIX, Delays, stamp
from muster.embedded.nodes.racks import OFF, ready_condition
from muster.embedded.wire import Request
from muster.sim.loop import NOBODY
from muster.sim.world import World

Object = dict[str, Any]
JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JOBS = "/apis/muster.dev/v1alpha1/{}trainingjobs"
TOPOLOGIES = "/apis/muster.dev/v1alpha1/clustertopologies"
GPU = "nvidia.com/gpu"
CLEAR_BLAME = "muster.dev/clear-blame"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class RefusedError(RuntimeError):
    """The API server refused what a script did; the message is its answer."""


class Deeds:
    """See the module. Jobs and pods are those of one namespace."""

    def __init__(self, world: World, namespace: str = "default") -> None:
        self.world = world
        self.namespace = namespace
        self._jobs = JOBS.format(f"namespaces/{namespace}/")
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    def call(
        self, method: str, path: str, body: object = None, kind: str = JSON, query: tuple[tuple[str, str], ...] = ()
    ) -> Object:
        """One request. Raises RefusedError."""
        data = b"" if body is None else _encode(body)
        answer = self.world.server.handle(Request(method, path, query, data, kind, agent="kubectl"))
        if answer.status >= 300:
            raise RefusedError(f"{method} {path}: {answer.status} {answer.body.decode()}")
        found: Object = _decode(answer.body)
        return found

    def find(self, path: str) -> Object | None:
        """An object, None if there is none."""
        answer = self.world.server.handle(Request("GET", path))
        return _decode(answer.body) if answer.status == 200 else None

    def items(self, path: str, selector: str = "") -> list[Object]:
        """The objects of a collection."""
        query = (("labelSelector", selector),) if selector else ()
        items: list[Object] = self.call("GET", path, query=query)["items"]
        return items

    # --- jobs -------------------------------------------------------------------------------------------------------

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Create a TrainingJob, strictly validated."""
        self.call("POST", self._jobs, manifest, query=(("fieldValidation", "Strict"),))

    def job(self, name: str) -> Object | None:
        """A job now."""
        return self.find(f"{self._jobs}/{name}")

    def jobs(self) -> list[Object]:
        """All jobs of all namespaces."""
        return self.items(JOBS.format(""))

    def phase(self, name: str) -> str:
        """A job's phase, `gone` if there is no such job."""
        found = self.job(name)
        return "gone" if found is None else str(found["status"]["phase"])

    def edit(self, name: str, spec: Mapping[str, Any]) -> None:
        """Merge into a job's spec."""
        self.call("PATCH", f"{self._jobs}/{name}", {"spec": spec}, MERGE)

    def delete_job(self, name: str, propagation: str = "Background") -> None:
        """Delete a job; Background, Foreground or Orphan."""
        self.call("DELETE", f"{self._jobs}/{name}", {"propagationPolicy": propagation})

    # --- pods -------------------------------------------------------------------------------------------------------

    def pods(self, job: str | None = None) -> list[Object]:
        """The pods of all namespaces, or those of one job."""
        return self.items("/api/v1/pods" if job is None else self._pods, f"muster.dev/job-name={job}" if job else "")

    def pod_of(self, job: str, rank: int, role: str = "worker") -> Object:
        """The newest pod of a rank. Raises LookupError."""
        wanted = {"muster.dev/job-name": job, "muster.dev/role": role, "muster.dev/rank": str(rank)}
        found = self.items(self._pods, ",".join(f"{key}={value}" for key, value in wanted.items()))
        if not found:
            raise LookupError(f"{job} has no pod of rank {rank} of {role}")
        return max(found, key=lambda pod: int(pod["metadata"]["labels"]["muster.dev/attempt"]))

    def delete_pod(self, name: str, grace: int | None = None) -> None:
        """Delete a pod."""
        self.call("DELETE", f"{self._pods}/{name}", {} if grace is None else {"gracePeriodSeconds": grace})

    def end(self, pod: str, code: int = 0, message: str = "", container: str = "") -> None:
        """The containers of a pod end by themselves, with this code; or one of them, and the others with 0."""
        wishes = {f"{PREFIX}run-seconds": "0"}
        if container:
            wishes[f"{PREFIX}exit-codes"] = _encode({container: code}).decode()
        else:
            wishes[f"{PREFIX}exit-code"] = str(code)
        if message:
            wishes[f"{PREFIX}message"] = message
        self.call("PATCH", f"{self._pods}/{pod}", {"metadata": {"annotations": wishes}}, MERGE)

    def pod_condition(self, pod: str, condition: str) -> None:
        """Somebody sets a condition of a pod to True, such as DisruptionTarget."""
        body = {"status": {"conditions": [{"type": condition, "status": "True", "lastTransitionTime": self._moment()}]}}
        self.call("PATCH", f"{self._pods}/{pod}/status", body, STRATEGIC)

    def foreign(self, name: str, node: str, gpus: int = 4, cpu: int = 0) -> None:
        """Somebody else's pod, bound to a node at once."""
        amounts = {GPU: str(gpus)} if gpus else {}
        amounts |= {"cpu": str(cpu)} if cpu else {}
        spec: Object = {"containers": [{"name": "main", "image": "x", "resources": {"limits": amounts}}]}
        spec |= {"nodeName": node, "tolerations": [{"operator": "Exists"}]}
        self.call("POST", self._pods, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})

    # --- machines ---------------------------------------------------------------------------------------------------

    def nodes(self) -> list[Object]:
        """All Node objects."""
        return self.items("/api/v1/nodes")

    def patch_node(self, name: str, body: Mapping[str, Any], sub: str = "", kind: str = MERGE) -> None:
        """Patch a Node."""
        self.call("PATCH", f"/api/v1/nodes/{name}{sub}", body, kind)

    def power(self, name: str, on: bool) -> None:
        """Switch a machine off or on, or cut it off and bring it back: nobody hears of it and of its pods. It becomes
        NotReady when it has been silent for long enough, and Ready when it is back."""
        self.patch_node(name, {"metadata": {"annotations": {OFF: None if on else "true"}}})

    def ready(self, name: str, status: str) -> None:
        """Set a node's Ready condition at once: True, False or Unknown."""
        moment = datetime.fromtimestamp(self.world.wall() / 1000, UTC)
        condition = ready_condition(status, moment)
        self.patch_node(name, {"status": {"conditions": [condition]}}, "/status", STRATEGIC)

    def condition(self, name: str, condition: str, status: str) -> None:
        """Set a condition of a node, as a health agent does."""
        body = {"type": condition, "status": status, "lastTransitionTime": self._moment()}
        self.patch_node(name, {"status": {"conditions": [body]}}, "/status", STRATEGIC)

    def clear_blame(self, name: str) -> None:
        """Say that a node is mended: what it was blamed for until now counts no more."""
        self.patch_node(name, {"metadata": {"annotations": {CLEAR_BLAME: self._moment()}}})

    def _moment(self) -> str:
        """Now, as an object in the API says it."""
        return stamp(self.world.wall())

    def cordon(self, name: str, on: bool = True) -> None:
        """Allow no new pods on a node, or allow them again."""
        self.patch_node(name, {"spec": {"unschedulable": on or None}})

    def taint(self, name: str, key: str, effect: str | None) -> None:
        """Put a taint on a node, or take it away (None)."""
        node = self.call("GET", f"/api/v1/nodes/{name}")
        taints = [each for each in node["spec"].get("taints") or () if each["key"] != key]
        if effect is not None:
            taints.append({"key": key, "effect": effect})
        self.patch_node(name, {"spec": {"taints": taints or None}})

    def relabel(self, name: str, labels: Mapping[str, str | None]) -> None:
        """Change labels of a node."""
        self.patch_node(name, {"metadata": {"labels": dict(labels)}})

    def delete_node(self, name: str) -> Object:
        """Delete a Node object; it, to be given to `add_node`."""
        node = self.call("GET", f"/api/v1/nodes/{name}")
        self.call("DELETE", f"/api/v1/nodes/{name}")
        return node

    def add_node(self, node: Mapping[str, Any]) -> None:
        """Create a Node, as its kubelet does when it registers."""
        meta = {key: node["metadata"][key] for key in ("name", "labels", "annotations") if node["metadata"].get(key)}
        self.call("POST", "/api/v1/nodes", {**node, "metadata": meta})

    # --- the control plane ------------------------------------------------------------------------------------------

    def restart_api(self, down: float = 1.0) -> None:
        """The API server ends and comes back after so many seconds: watches end, connections are refused meanwhile."""
        world = self.world
        self._reachable(world.seats, False)
        world.server.restart()
        world.loop.call_later(down, self._reachable, world.seats, True, context=NOBODY)

    def partition(self, seat: int, seconds: float) -> None:
        """An operator does not reach the API server for so long."""
        chosen = [self.world.seats[seat]]
        self._reachable(chosen, False)
        self.world.loop.call_later(seconds, self._reachable, chosen, True, context=NOBODY)

    def compact(self) -> None:
        """Make etcd forget the past: what begins there is answered by 410."""
        self.world.server.expire_history()

    def kubelets(self, start: float, stop: float) -> None:
        """From now on pods take so many seconds to start and to stop."""
        if self.world.cluster.kubelet is not None:
            self.world.cluster.kubelet.delay(Delays(start, stop))

    @staticmethod
    def _reachable(seats: Iterable[Any], on: bool) -> None:
        for seat in seats:
            seat.cut_off(not on)


def gang(
    name: str, replicas: int = 3, *, gpus: int = 4, topology: Mapping[str, Any] | None = None, **spec: Any
) -> Object:
    """A TrainingJob of one role `worker`; `topology` is the role's, `spec` further fields by their names in the API."""
    amounts = {GPU: str(gpus)}
    container = {"name": "main", "image": "trainer", "resources": {"requests": amounts, "limits": amounts}}
    role: Object = {"name": "worker", "replicas": replicas, "template": {"spec": {"containers": [container]}}}
    role |= {"topology": dict(topology)} if topology else {}
    return {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {"roles": [role]} | spec,
    }
