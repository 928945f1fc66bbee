"""The dry run that the operator asks of the API server, answered here from the objects that decide it.

Defaults and bounds of LimitRanges, overhead, selector and tolerations of a RuntimeClass, the namespace's quotas and the
node affinity of bound volumes: the embedded API server, which holds them as it would, answers the operator's own
request. Webhooks and Pod Security it does not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from muster.core.model import Admission, Admit, Job, PriorityClass, Resources, Upsert
from muster.core.world import World
from muster.embedded import wire
from muster.embedded.server import Server
from muster.kube import paths
from muster.kube.client import MERGE_PATCH, Client
from muster.kube.errors import Answer, ApiError
from muster.kube.parse_cluster import pod_resource
from muster.kube.parse_dump import Head
from muster.kube.quantity import Malformed, amount_of
from muster.kube.transport import Request, Response
from muster.worker.api import Api
from muster.worker.steps import REFUSALS, Scene

_KEPT = {
    "LimitRange": ("spec",),
    "ResourceQuota": ("spec",),
    "RuntimeClass": ("handler", "overhead", "scheduling"),
    "PersistentVolumeClaim": ("spec",),
    "PersistentVolume": ("spec",),
}
"""What of an object matters; the rest, which the server fills in itself, is left out."""
_VERSIONS = {"RuntimeClass": "node.k8s.io/v1", "PriorityClass": "scheduling.k8s.io/v1"}
_NAMESPACED = frozenset({"LimitRange", "ResourceQuota", "PersistentVolumeClaim"})


class DryRun:
    """See the module. `warn` is told of objects that cannot be applied. Objects come into the server when a pod is
    judged by them, since a cluster has many more volumes and namespaces than any question touches."""

    def __init__(
        self, world: World, rules: Iterable[tuple[Head, bytes]], scheduler: str, warn: Callable[[str], None]
    ) -> None:
        self._world = world
        self._server = Server(lambda: 0)
        self._api = Api(
            Client(_InProcess(self._server)), now=lambda: 0, topology=lambda: world.topology, scheduler=scheduler
        )
        self._warn = warn
        self._rules: dict[tuple[str, str], dict[str, bytes]] = {}
        for head, raw in rules:
            namespace = (head.namespace or "default") if head.kind in _NAMESPACED else ""
            self._rules.setdefault((head.kind, namespace), {})[head.name] = raw
        self._counted: dict[tuple[str, str], tuple[Mapping[str, Any], dict[str, Any]]] = {}
        """Of each quota in the server what it allows and what is used, as written."""
        self._there: set[tuple[str, str, str]] = set()

    def admit(self, job: Job) -> None:
        """Ask for every role of the job what its pods would be, and tell the world."""
        for i in range(len(job.roles)):
            template = self._world.template_key(job, i)
            if self._world.admission(job.namespace, template) is None:
                self._world.apply(Upsert(self._asked(job, Admit(i, template)), 0))

    def spend(self, namespace: str, amounts: Resources, sign: int = 1) -> None:
        """Count pods that ask for `amounts` in the namespace's quotas, or with `sign` -1 no longer."""
        for quota in list(self._world.quotas(namespace)):
            bounded, used = dict(quota.hard), dict(quota.used)
            for name, amount in amounts:
                if name in bounded:
                    used[name] = max(0, used.get(name, 0) + sign * amount)
            spent = tuple(sorted((name, amount) for name, amount in used.items() if amount))
            if spent != quota.used:
                self._world.apply(Upsert(replace(quota, used=spent), 0))
                if (namespace, quota.name) in self._counted:
                    self._count(namespace, quota.name)

    # --- inside ---

    def _asked(self, job: Job, duty: Admit) -> Admission:
        refused = ""
        try:
            self._prepare(job, duty.role)
            return asyncio.run(self._api.admit(Scene(job, self._world.topology, {}), duty, 0))
        except ApiError as error:
            # Whatever else it answers is due to an object that it took and nobody can read.
            refused = (error.answer if error.answer in REFUSALS else Answer.INVALID).value
            said = error.message
        except wire.StatusError as error:
            refused, said = "invalid", error.message
        return Admission(job.namespace, duty.template, refused=refused, message=said)

    def _prepare(self, job: Job, role: int) -> None:
        """Make all that a pod of this role is judged by: of a dump, and what no dump holds (service accounts)."""
        namespace = job.namespace
        if self._make("Namespace", "", namespace):
            for kind in ("LimitRange", "ResourceQuota"):
                for name in self._rules.get((kind, namespace), ()):
                    self._learn(kind, namespace, name)
        known = self._world.priority_classes.get(job.priority_class)
        if known is not None and not known.name.startswith("system-"):
            self._make("PriorityClass", "", known.name, _class(known))
        spec = job.manifest["spec"]["roles"][role]["template"]["spec"]
        self._make("ServiceAccount", namespace, spec.get("serviceAccountName") or "default")
        self._learn("RuntimeClass", "", spec.get("runtimeClassName"))
        for volume in spec.get("volumes") or ():
            mounted = volume.get("persistentVolumeClaim") or {}
            claim = self._learn("PersistentVolumeClaim", namespace, mounted.get("claimName"))
            if mounted and claim is None:
                self._warn(
                    f"{job.key} mounts the PersistentVolumeClaim {mounted.get('claimName')}, which is not known here: "
                    "its pods start only once it is there"
                )
            self._learn("PersistentVolume", "", ((claim or {}).get("spec") or {}).get("volumeName"))

    def _learn(self, kind: str, namespace: str, name: str | None) -> Mapping[str, Any] | None:
        """Put one of the known objects into the server; what is said of it, None if it is not known or not usable."""
        raw = self._rules.get((kind, namespace), {}).get(name) if name else None
        if raw is None or name is None:
            return None
        try:
            obj: Mapping[str, Any] = msgspec.json.decode(raw)
            if not isinstance(obj.get("spec"), dict) and "spec" in _KEPT[kind]:
                raise ValueError("spec: expected an object")
            made = self._make(kind, namespace, name, {k: obj[k] for k in _KEPT[kind] if obj.get(k) is not None})
            if made and kind == "ResourceQuota":
                status, spec = obj.get("status") or {}, obj.get("spec") or {}
                hard = _readable(status.get("hard") or spec.get("hard"))
                used = {k: v for k, v in _readable(status.get("used")).items() if k in hard}
                self._counted[namespace, name] = (hard, used)
                self._count(namespace, name)
        except wire.StatusError as error:
            self._warn(f"{kind} {name} is not applied to pods: {error.message}")
            return None
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            # The server trusts the shapes that the clients of a kind write; an edited dump may hold anything.
            self._warn(f"{kind} {name} is not applied to pods: it does not have the shape of its kind ({error})")
            return None
        return obj

    def _make(self, kind: str, namespace: str, name: str, rest: Mapping[str, Any] | None = None) -> bool:
        """Create an object; whether it is new. Raises StatusError where the server refuses it."""
        if (kind, namespace, name) in self._there:
            return False
        self._there.add((kind, namespace, name))
        meta = {"name": name} | ({"namespace": namespace} if namespace else {})
        self._server.install(
            [{"apiVersion": _VERSIONS.get(kind, "v1"), "kind": kind, "metadata": meta, **(rest or {})}]
        )
        return True

    def _count(self, namespace: str, name: str) -> None:
        """Write into the server what is used of a quota: as the core counts it, what it does not count as it was."""
        hard, used = self._counted[namespace, name]
        quota = next((quota for quota in self._world.quotas(namespace) if quota.name == name), None)
        for written in hard if quota is not None else ():
            counted = pod_resource(written)
            if quota is not None and counted is not None:
                used[written] = f"{dict(quota.used).get(counted, 0)}{'m' if counted == 'cpu' else ''}"
        body = msgspec.json.encode({"status": {"hard": hard, "used": used}})
        path = f"{paths.resource_quotas(namespace)}/{name}/status"
        answer = self._server.handle(wire.Request("PATCH", path, body=body, content_type=MERGE_PATCH))
        if answer.status != 200:
            raise ValueError(f"its status: {msgspec.json.decode(answer.body).get('message')}")


def _class(known: PriorityClass) -> dict[str, Any]:
    return {"value": known.value, "preemptionPolicy": "PreemptLowerPriority" if known.preempts else "Never"}


def _readable(amounts: Any) -> dict[str, Any]:
    """The quantities among what a dump gives as such; the others were warned of when it was read."""
    if not isinstance(amounts, dict):
        return {}
    return {
        name: value
        for name, value in amounts.items()
        if isinstance(value, str | int | float) and not isinstance(amount_of(name, value), Malformed)
    }


class _InProcess:
    """A transport to a server in this process."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def send(self, request: Request) -> Response:
        """See Transport."""
        answer = self._server.handle(
            wire.Request(
                request.method,
                request.path,
                request.query,
                request.body or b"",
                request.content_type or "",
                agent="muster",
            )
        )
        return Response(answer.status, dict(answer.headers), answer.body)

    def stream(self, request: Request) -> AsyncIterator[bytes]:
        """Nothing is watched here."""
        raise NotImplementedError
