"""One duty, one step: the requests it takes, and what their answers tell the world.

A step returns when the duty is done, whoever did it. It raises ApiError: unknown and throttled ask for the same step
again, every other answer is a refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from muster.core.model import (
    Admission,
    Admit,
    Child,
    CreatePod,
    DeleteJob,
    DeletePod,
    DropChild,
    Duty,
    EnsureChild,
    Gone,
    Job,
    Kind,
    Nominate,
    Pod,
    ReadView,
    Rejected,
    TopologySpec,
    Ungate,
    Upsert,
)
from muster.kube.errors import RETRYABLE, Answer, ApiError
from muster.worker.tools import Tools

T = TypeVar("T")

REFUSALS = frozenset(
    {
        Answer.QUOTA,
        Answer.POLICY,
        Answer.NAMESPACE_TERMINATING,
        Answer.INVALID,
        Answer.RBAC,
        Answer.TOO_LARGE,
    }
)
"""The answers that the table decides on."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the duties of one batch were derived from; objects are rendered from this and nothing newer. `domains` maps
    a node to its domains, level by level."""

    job: Job
    topology: TopologySpec
    domains: Mapping[str, Mapping[str, str]]


class Api(Protocol):
    """What of `api.Api` the steps need. All raise ApiError."""

    async def read_job(self, namespace: str, name: str) -> Job | Rejected: ...  # noqa: D102
    async def admit(self, scene: Scene, duty: Admit, at: int) -> Admission: ...  # noqa: D102
    async def create_pod(self, scene: Scene, duty: CreatePod) -> Pod: ...  # noqa: D102
    def pod_name(self, scene: Scene, duty: CreatePod) -> str: ...  # noqa: D102
    async def read_pod(self, namespace: str, name: str) -> Pod: ...  # noqa: D102
    async def create_service(self, scene: Scene) -> Child | None: ...  # noqa: D102
    def service_name(self, scene: Scene) -> str: ...  # noqa: D102
    async def read_service(self, namespace: str, name: str) -> Child | None: ...  # noqa: D102
    async def nominate(self, namespace: str, duty: Nominate) -> Pod: ...  # noqa: D102
    async def ungate(self, namespace: str, duty: Ungate) -> Pod: ...  # noqa: D102
    async def delete_pod(self, namespace: str, name: str, uid: str, grace: int | None) -> Pod | None: ...  # noqa: D102
    async def delete_service(self, namespace: str, name: str, uid: str) -> Child | None: ...  # noqa: D102
    async def delete_job(self, job: Job | Rejected, rv: int) -> Job | Rejected | None: ...  # noqa: D102


class View(Protocol):
    """What of `views.Views` the steps need."""

    async def read(self) -> None:
        """Read a view that begins after now; it went through the door when this returns."""
        ...


class Steps:
    """Performs single duties."""

    def __init__(self, api: Api, view: View, tools: Tools) -> None:
        self._api = api
        self._view = view
        self._tools = tools

    async def perform(self, scene: Scene | None, job: Job | Rejected, duty: Duty) -> None:
        """Carry out one duty of `job`. `scene` is None for a Rejected job, of which nothing can be rendered."""
        match duty:
            case DeletePod():
                await self._delete_pod(job, duty)
            case DropChild(uid, name):
                await self._drop(job, uid, name)
            case Ungate():
                await self._patch(duty.pod, self._api.ungate(job.namespace, duty))
            case Nominate():
                await self._patch(duty.pod, self._api.nominate(job.namespace, duty))
            case ReadView():
                await self._view.read()
            case DeleteJob(rv):
                await self._delete_job(job, rv)
            case Admit() | CreatePod() | EnsureChild():
                if scene is None:
                    raise TypeError(f"{duty} of a job that cannot be understood")
                await self._make(scene, duty)

    async def _make(self, scene: Scene, duty: Admit | CreatePod | EnsureChild) -> None:
        match duty:
            case Admit():
                await self._admit(scene, duty)
            case CreatePod():
                await self._create(scene, duty)
            case EnsureChild():
                await self._service(scene)

    # --- asking first ---

    async def _admit(self, scene: Scene, duty: Admit) -> None:
        try:
            admission = await self._api.admit(scene, duty, self._tools.now())
        except ApiError as error:
            if error.answer not in REFUSALS:
                raise
            admission = Admission(
                scene.job.namespace,
                duty.template,
                refused=error.answer.value,
                message=error.message,
                at=self._tools.now(),
            )
        self._upsert(admission)

    # --- creating ---

    async def _create(self, scene: Scene, duty: CreatePod) -> None:
        try:
            pod = await self._api.create_pod(scene, duty)
        except ApiError as error:
            if error.answer is not Answer.EXISTS:
                raise
            pod = await self._existing_pod(scene, duty)
        self._upsert(pod)

    async def _existing_pod(self, scene: Scene, duty: CreatePod) -> Pod:
        """The pod that bears our name, if it is the one we were to make."""
        job, name = scene.job, self._api.pod_name(scene, duty)
        self._tools.gate.check()
        pod = await self._look(self._api.read_pod(job.namespace, name), name)
        if pod.terminating:
            self._upsert(pod)
            raise _leftover(f"pod {name} is being deleted")
        if pod.job is not None and pod.job != job.id:
            # Of an earlier job of this name; the garbage collector removes it.
            raise _leftover(f"pod {name} belongs to another TrainingJob")
        if pod.job is None:
            raise _foreign(f"a pod named {name} exists that muster did not make: delete it")
        at = pod.node or pod.pinned
        if (pod.role, pod.rank, pod.born, at) != (job.roles[duty.role].name, duty.rank, duty.born, duty.node):
            self._upsert(pod)
            raise _foreign(
                f"pod {name} exists, but as rank {pod.rank} of {pod.role} made in attempt {pod.born} on {at}, "
                f"not as rank {duty.rank} made in attempt {duty.born} on {duty.node}"
            )
        return pod

    async def _service(self, scene: Scene) -> None:
        try:
            child = await self._api.create_service(scene)
        except ApiError as error:
            if error.answer is not Answer.EXISTS:
                raise
            child = await self._existing_service(scene)
        if child is not None:
            self._upsert(child)

    async def _existing_service(self, scene: Scene) -> Child:
        name = self._api.service_name(scene)
        self._tools.gate.check()
        child = await self._look(self._api.read_service(scene.job.namespace, name), name)
        if child is None:
            raise _foreign(f"a Service named {name} exists that muster did not make: delete it")
        if child.job != scene.job.id:
            raise _leftover(f"Service {name} belongs to another TrainingJob")
        self._upsert(child)
        if child.terminating:
            raise _leftover(f"Service {name} is being deleted")
        return child

    async def _look(self, read: Awaitable[T], name: str) -> T:
        try:
            return await read
        except ApiError as error:
            if error.answer is Answer.GONE:
                raise _leftover(f"{name} existed and is gone") from None
            raise

    # --- changing and deleting ---

    async def _patch(self, uid: str, patching: Awaitable[Pod]) -> None:
        try:
            pod = await patching
        except ApiError as error:
            if not _another(error):
                raise
            self._gone(Kind.POD, uid)
            return
        self._upsert(pod)

    async def _delete_pod(self, job: Job | Rejected, duty: DeletePod) -> None:
        grace = 0 if duty.force else duty.grace
        try:
            left = await self._api.delete_pod(job.namespace, duty.name, duty.pod, grace)
        except ApiError as error:
            if not _another(error):
                raise
            left = None
        if left is not None and left.terminating:
            self._upsert(left)
        else:
            self._gone(Kind.POD, duty.pod)

    async def _drop(self, job: Job | Rejected, uid: str, name: str) -> None:
        try:
            left = await self._api.delete_service(job.namespace, name, uid)
        except ApiError as error:
            if not _another(error):
                raise
            left = None
        if left is not None and left.terminating:
            self._upsert(left)
        else:
            self._gone(Kind.CHILD, uid)

    async def _delete_job(self, job: Job | Rejected, rv: int) -> None:
        try:
            left = await self._api.delete_job(job, rv)
        except ApiError as error:
            if error.answer is Answer.CONFLICT and not error.replaced:
                # It changed since: look, and let the core say whether it is still to go.
                self._tools.gate.check()
                self._upsert(await self._api.read_job(job.namespace, job.name))
                return
            if not _another(error):
                raise
            left = None
        if left is not None and left.deleting:
            self._upsert(left)
        else:
            self._gone(Kind.JOB, job.id)

    def _upsert(self, record: Pod | Child | Job | Rejected | Admission) -> None:
        self._tools.put(Upsert(record, self._tools.now()))

    def _gone(self, kind: Kind, uid: str) -> None:
        self._tools.put(Gone(kind, uid, self._tools.now()))


def retryable(error: ApiError) -> bool:
    """Whether the same step is to be tried again: nothing was refused for good."""
    return error.answer in RETRYABLE or error.answer not in REFUSALS


def _another(error: ApiError) -> bool:
    """The object of that uid is gone, or another bears its name."""
    return error.answer is Answer.GONE or (error.answer is Answer.CONFLICT and error.replaced)


def _leftover(message: str) -> ApiError:
    """Something is in the way that will go by itself: as if there had been no answer."""
    return ApiError(Answer.UNKNOWN, message=message)


def _foreign(message: str) -> ApiError:
    """Something is in the way that will not go by itself."""
    return ApiError(Answer.INVALID, message=message)
