"""An API server in core records, scripted call by call: what `worker.api.Api` is to the workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.builders import START, placement
from tests.support.faketransport import now as virtual_now

from muster.core.duties import Orphan
from muster.core.model import (
    Admission,
    Admit,
    Change,
    Child,
    CreatePod,
    Job,
    Kind,
    Nominate,
    Pod,
    Record,
    Rejected,
    Stage,
    Transition,
    Ungate,
)  # fmt: skip
from muster.kube.errors import Answer, ApiError
from muster.worker.reaper import Owned
from muster.worker.steps import Scene
from muster.worker.tools import Gate, Tools


def error(answer: Answer, **more: Any) -> ApiError:
    """A refusal."""
    return ApiError(answer, code=more.pop("code", 0), message=more.pop("message", answer.value), **more)


@dataclass
class Lost:
    """The request is carried out, its answer is lost."""


@dataclass
class Late:
    """No answer; the request lands when `event` is set."""

    event: asyncio.Event


@dataclass
class FakeApi:
    """Objects, and a script of faults for each method; `calls` are (method, name) in order."""

    jobs: dict[str, Job] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    services: dict[str, Child] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    rv: int = 100
    calls: list[tuple[str, str]] = field(default_factory=list)
    deleted: list[tuple[str, int | None]] = field(default_factory=list)
    busy: int = 0
    most: int = 0
    hold: asyncio.Event | None = None
    on_call: Callable[[str], None] = lambda _method: None
    _scripts: dict[str, list[Any]] = field(default_factory=dict)
    _late: list[asyncio.Task[Any]] = field(default_factory=list)

    def script(self, method: str, *faults: Any) -> None:
        """What befalls the next calls: ApiError, Lost, Late or None for nothing."""
        self._scripts.setdefault(method, []).extend(faults)

    def count(self, method: str) -> int:
        return sum(called == method for called, _ in self.calls)

    async def _do(self, method: str, name: str, act: Callable[[], Any]) -> Any:
        self.calls.append((method, name))
        self.on_call(method)
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(0.001)
        if self.hold is not None:
            await self.hold.wait()
        self.busy -= 1
        script = self._scripts.get(method, [])
        fault = script.pop(0) if script else None
        if isinstance(fault, BaseException):
            raise fault
        if isinstance(fault, Late):
            self._late.append(asyncio.create_task(self._land(fault.event, act)))
            raise error(Answer.UNKNOWN)
        answer = act()
        if isinstance(fault, Lost):
            raise error(Answer.UNKNOWN)
        return answer

    async def _land(self, event: asyncio.Event, act: Callable[[], Any]) -> None:
        await event.wait()
        with suppress(ApiError):
            act()

    def _next(self) -> int:
        self.rv += 1
        return self.rv

    # --- jobs ---

    async def write_status(self, job: Job | Rejected, transition: Transition) -> Job | Rejected:
        def act() -> Job:
            held = self._job(job.name)
            if held.id != job.id or held.rv != transition.base_rv:
                raise error(Answer.CONFLICT, code=409)
            self.jobs[job.name] = replace(held, rv=self._next(), status=transition.status)
            return self.jobs[job.name]

        return await self._do("write_status", job.name, act)

    def edit(self, name: str, **changes: Any) -> None:
        """Somebody else writes."""
        self.jobs[name] = replace(self.jobs[name], rv=self._next(), **changes)

    async def read_job(self, namespace: str, name: str) -> Job | Rejected:
        return await self._do("read_job", name, lambda: self._job(name))

    def _job(self, name: str) -> Job:
        if name not in self.jobs:
            raise error(Answer.GONE, code=404)
        return self.jobs[name]

    async def delete_job(self, job: Job | Rejected, rv: int) -> Job | Rejected | None:
        def act() -> None:
            held = self._job(job.name)
            if held.rv != rv or held.id != job.id:
                raise error(Answer.CONFLICT, code=409, replaced=held.id != job.id)
            del self.jobs[job.name]

        return await self._do("delete_job", job.name, act)

    # --- pods ---

    async def admit(self, scene: Scene, duty: Admit, at: int) -> Admission:
        return await self._do("admit", duty.template, lambda: Admission(scene.job.namespace, duty.template, at=at))

    def pod_name(self, scene: Scene, duty: CreatePod) -> str:
        return f"{scene.job.name}-{duty.role}-{duty.rank}-{duty.born}"

    def made(self, scene: Scene, duty: CreatePod, **more: Any) -> Pod:
        """The pod that a duty makes."""
        name = self.pod_name(scene, duty)
        values: dict[str, Any] = {
            "id": f"uid-{name}-{self.rv}", "namespace": scene.job.namespace, "name": name, "rv": self._next(),
            "stage": Stage.GATED, "requests": (), "pinned": duty.node, "our_gate": True, "job": scene.job.id,
            "role": scene.job.roles[duty.role].name, "rank": duty.rank, "born": duty.born,
        }  # fmt: skip
        return Pod(**(values | more))

    async def create_pod(self, scene: Scene, duty: CreatePod) -> Pod:
        def act() -> Pod:
            name = self.pod_name(scene, duty)
            if name in self.pods:
                raise error(Answer.EXISTS, code=409)
            self.pods[name] = self.made(scene, duty)
            return self.pods[name]

        return await self._do("create_pod", self.pod_name(scene, duty), act)

    def _pod(self, name: str, uid: str | None = None) -> Pod:
        if name not in self.pods:
            raise error(Answer.GONE, code=404)
        if uid is not None and self.pods[name].id != uid:
            raise error(Answer.CONFLICT, code=409, replaced=True)
        return self.pods[name]

    async def read_pod(self, namespace: str, name: str) -> Pod:
        return await self._do("read_pod", name, lambda: self._pod(name))

    def _change(self, name: str, uid: str, **changes: Any) -> Pod:
        self.pods[name] = replace(self._pod(name, uid), rv=self._next(), **changes)
        return self.pods[name]

    async def nominate(self, namespace: str, duty: Nominate) -> Pod:
        return await self._do("nominate", duty.name, lambda: self._change(duty.name, duty.pod, nominated=duty.node))

    async def ungate(self, namespace: str, duty: Ungate) -> Pod:
        return await self._do(
            "ungate", duty.name, lambda: self._change(duty.name, duty.pod, our_gate=False, stage=Stage.UNBOUND)
        )

    async def delete_pod(self, namespace: str, name: str, uid: str, grace: int | None) -> Pod | None:
        def act() -> Pod | None:
            pod = self._pod(name, uid)
            self.deleted.append((uid, grace))
            if pod.node is not None and grace != 0:
                return self._change(name, uid, terminating=True)
            del self.pods[name]
            return None

        return await self._do("delete_pod", name, act)

    # --- Services ---

    async def create_service(self, scene: Scene) -> Child | None:
        def act() -> Child:
            name = self.service_name(scene)
            if name in self.services:
                raise error(Answer.EXISTS, code=409)
            made = Child(f"uid-{name}", scene.job.namespace, name, self._next(), scene.job.id)
            return self.services.setdefault(name, made)

        return await self._do("create_service", self.service_name(scene), act)

    def service_name(self, scene: Scene) -> str:
        return f"{scene.job.name}-svc"

    async def read_service(self, namespace: str, name: str) -> Child | None:
        return await self._do("read_service", name, lambda: self._service(name))

    def _service(self, name: str) -> Child:
        if name not in self.services:
            raise error(Answer.GONE, code=404)
        return self.services[name]

    async def delete_service(self, namespace: str, name: str, uid: str) -> Child | None:
        def act() -> None:
            if self._service(name).id != uid:
                raise error(Answer.CONFLICT, code=409, replaced=True)
            self.deleted.append((uid, None))
            del self.services[name]

        return await self._do("delete_service", name, act)

    # --- reaper and view ---

    async def read_owned(self, orphan: Orphan) -> Owned | None:
        def act() -> Owned:
            child = self._pod(orphan.name) if orphan.kind is Kind.POD else self._service(orphan.name)
            return Owned(child, self.owners.get(child.name, ""))

        return await self._do("read_owned", orphan.name, act)

    async def live_jobs(self) -> AsyncIterator[Iterable[Record]]:
        yield await self._do("live_jobs", "", lambda: [j for j in self.jobs.values() if j.status.live])

    async def our_pods(self) -> AsyncIterator[Iterable[Record]]:
        yield await self._do("our_pods", "", lambda: list(self.pods.values()))


class Bench:
    """A FakeApi, tools over the virtual clock, and what went through the door."""

    def __init__(self, **api: Any) -> None:
        self.api = FakeApi(**api)
        self.told: list[Change] = []
        self.fresh = True
        self.stale = 0
        self.gate = Gate(lambda: self.fresh, self._on_stale)
        self.sink: Callable[[Change], None] = self.told.append
        self.tools = Tools(lambda c: self.sink(c), self.now, self.gate, virtual_now, lambda: 0.5)

    def now(self) -> int:
        return START + int(virtual_now() * 1000)

    def _on_stale(self) -> None:
        self.stale += 1

    def of(self, *kinds: type) -> list[Any]:
        """What went through the door, of these types."""
        return [c for c in self.told if isinstance(c, kinds)]


__all__ = ["Bench", "FakeApi", "Late", "Lost", "error", "placement"]
