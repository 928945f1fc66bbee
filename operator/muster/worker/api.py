"""The requests that workers make, in the core's words: paths, bodies and answers of each in one place.

Every method sends what it says once (reads: until answered, a few times) and raises ApiError; an answer that cannot be
read counts as unknown, since what it confirms may have happened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import msgspec

from muster.core.duties import Orphan
from muster.core.model import (
    Admission,
    Admit,
    Child,
    CreatePod,
    Job,
    Kind,
    Nominate,
    Pod,
    Record,
    Rejected,
    Term,
    TopologySpec,
    TopologyStatus,
    Transition,
    Ungate,
)
from muster.kube import parse, paths, render, status, volumes
from muster.kube.client import MERGE_PATCH, STRATEGIC_MERGE_PATCH, Client
from muster.kube.errors import Answer, ApiError
from muster.kube.launchers import service_name
from muster.kube.limits import Bucket
from muster.kube.parse_meta import GROUP, JOB_KIND
from muster.worker.reaper import Owned
from muster.worker.steps import Scene
from muster.worker.topology import topology_patch

T = TypeVar("T")

UNCHECKED = "Ignore"
"""fieldValidation of what the dry run of the same template has passed strictly, and of patches of a field or two: to
check again for unknown fields costs the API server a sixth of a create."""
OURS = "app.kubernetes.io/managed-by=muster"
LIVE = "status.live=true"


class _Owner(msgspec.Struct, rename="camel"):
    kind: str = ""
    name: str = ""
    api_version: str = ""
    controller: bool | None = None


class _Meta(msgspec.Struct, rename="camel"):
    owner_references: list[_Owner] | None = None


class _Owners(msgspec.Struct):
    metadata: _Meta


class _Kind(msgspec.Struct):
    kind: str = ""


class Api:
    """See the module. `now` is the wall clock in ms, `topology` gives the current one; `page_size` is for the lists of
    a view, `scheduler` the schedulerName of pods."""

    def __init__(
        self,
        client: Client,
        *,
        now: Callable[[], int],
        topology: Callable[[], TopologySpec],
        page_size: int = 500,
        scheduler: str = render.SCHEDULER,
    ) -> None:
        self._client = client
        self._now = now
        self._topology = topology
        self._scheduler = scheduler
        self._page_size = page_size

    # --- TrainingJobs ---

    async def write_status(self, job: Job | Rejected, transition: Transition) -> Job | Rejected:
        """One attempt at the compare-and-set of a transition; `job` is as it was when that was decided, and carries the
        resourceVersion that is tested."""
        if job.rv != transition.base_rv:
            raise ValueError(f"{job.key} is at {job.rv}, the decision was made at {transition.base_rv}")
        warnings = render.warnings(job, self._topology()) if isinstance(job, Job) else ()
        body = status.status_patch(job, transition.status, self._now(), warnings)
        path = paths.trainingjob_status(job.namespace, job.name)
        answer = await self._client.patch(path, body, MERGE_PATCH, bucket=Bucket.COMMITS, field_validation=UNCHECKED)
        return _read(parse.job, answer)

    async def read_job(self, namespace: str, name: str) -> Job | Rejected:
        """A job now, read consistently."""
        return _read(parse.job, await self._client.get(paths.trainingjob(namespace, name)))

    async def delete_job(self, job: Job | Rejected, rv: int) -> Job | Rejected | None:
        """Delete a job as it was at `rv`; what is left of it, None if nothing."""
        answer = await self._client.delete(
            paths.trainingjob(job.namespace, job.name),
            uid=job.id,
            resource_version=str(rv),
            propagation="Background",
            bucket=Bucket.DELETES,
        )
        return _left(parse.job, answer)

    async def write_topology_status(self, topology: TopologySpec, said: TopologyStatus) -> TopologySpec:
        """One attempt at the compare-and-set of ClusterTopology.status."""
        body = topology_patch(topology, said, self._now())
        path = paths.clustertopology_status(topology.name)
        return _read(parse.topology, await self._client.patch(path, body, MERGE_PATCH, bucket=Bucket.COMMITS))

    # --- pods ---

    async def admit(self, scene: Scene, duty: Admit, at: int) -> Admission:
        """Ask by dry run what a pod of a role will be."""
        body = render.dry_run_pod(scene.job, duty.role, scene.topology, self._scheduler)
        answer = await self._client.create(
            paths.pods(scene.job.namespace), body, bucket=Bucket.PODS, dry_run=True, field_validation="Strict"
        )
        admission = _read(lambda data: parse.admission(data, duty.template, at), answer)
        claims = _read(volumes.claims_of, answer)
        bound = [await self._volume_terms(scene.job.namespace, claim) for claim in claims]
        affinity = (*admission.filter.affinity, *(terms for terms in bound if terms is not None))
        return replace(admission, claims=claims, filter=replace(admission.filter, affinity=affinity))

    async def _volume_terms(self, namespace: str, claim: str) -> tuple[Term, ...] | None:
        """Where the volume behind a claim may be used; None: anywhere, or not known yet (unbound, or not there: then
        kube-scheduler will say so)."""
        try:
            volume = _read(volumes.volume_of, await self._client.get(paths.volume_claim(namespace, claim)))
            if not volume:
                return None
            return _read(volumes.terms_of, await self._client.get(paths.volume(volume)))
        except ApiError as error:
            if error.answer is Answer.GONE:
                return None
            raise

    async def create_pod(self, scene: Scene, duty: CreatePod) -> Pod:
        """Create the gated, pinned pod of a rank."""
        job, placement = scene.job, scene.job.status.placement
        if placement is None or placement.nodes[duty.role][duty.rank] != duty.node:
            raise ValueError(f"{duty} does not follow from what is committed of {job.key}")
        domains = scene.domains.get(duty.node, {})
        body = render.pod(job, placement, duty.role, duty.rank, scene.topology, domains, self._scheduler)
        answer = await self._client.create(
            paths.pods(scene.job.namespace), body, bucket=Bucket.PODS, field_validation=UNCHECKED
        )
        return _read(parse.pod, answer)

    def pod_name(self, scene: Scene, duty: CreatePod) -> str:
        """The name of that pod."""
        return render.pod_name(scene.job, duty.role, duty.rank, duty.born)

    async def read_pod(self, namespace: str, name: str) -> Pod:
        """A pod now, read consistently."""
        return _read(parse.pod, await self._client.get(paths.pod(namespace, name)))

    async def nominate(self, namespace: str, duty: Nominate) -> Pod:
        """Set status.nominatedNodeName."""
        path, body = paths.pod_status(namespace, duty.name), render.nominate(duty.pod, duty.node)
        return await self._patch_pod(path, body, MERGE_PATCH)

    async def ungate(self, namespace: str, duty: Ungate) -> Pod:
        """Remove our gate, and no other's."""
        path, body = paths.pod(namespace, duty.name), render.ungate(duty.pod)
        return await self._patch_pod(path, body, STRATEGIC_MERGE_PATCH)

    async def _patch_pod(self, path: str, body: bytes, content_type: str) -> Pod:
        answer = await self._client.patch(path, body, content_type, bucket=Bucket.PODS, field_validation=UNCHECKED)
        return _read(parse.pod, answer)

    async def delete_pod(self, namespace: str, name: str, uid: str, grace: int | None) -> Pod | None:
        """Delete a pod by uid; what is left of it, None if nothing."""
        answer = await self._client.delete(paths.pod(namespace, name), uid=uid, grace=grace, bucket=Bucket.DELETES)
        return _left(parse.pod, answer)

    # --- Services ---

    async def create_service(self, scene: Scene) -> Child | None:
        """Create the job's headless Service."""
        body = render.service(scene.job)
        answer = await self._client.create(paths.services(scene.job.namespace), body, bucket=Bucket.PODS)
        return _read(parse.child, answer)

    def service_name(self, scene: Scene) -> str:
        """The name of that Service."""
        return service_name(scene.job.name, scene.job.id)

    async def read_service(self, namespace: str, name: str) -> Child | None:
        """A Service now, read consistently; None if no TrainingJob owns it."""
        return _read(parse.child, await self._client.get(paths.service(namespace, name)))

    async def delete_service(self, namespace: str, name: str, uid: str) -> Child | None:
        """Delete a Service by uid; what is left of it, None if nothing."""
        answer = await self._client.delete(paths.service(namespace, name), uid=uid, bucket=Bucket.DELETES)
        return _left(parse.child, answer)

    # --- for the reaper ---

    async def read_owned(self, orphan: Orphan) -> Owned | None:
        """A suspected orphan now, and the TrainingJob that is its controller; None if it names none."""
        pod = orphan.kind is Kind.POD
        path = (paths.pod if pod else paths.service)(orphan.namespace, orphan.name)
        data = await self._client.get(path)
        child: Pod | Child | None = _read(parse.pod, data) if pod else _read(parse.child, data)
        return None if child is None else Owned(child, _owner(data))

    # --- for the view (S2) ---

    async def live_jobs(self) -> AsyncIterator[Iterable[Record]]:
        """Every job with status.live, page by page of one consistent snapshot."""
        decoder = parse.decoder(Kind.JOB)
        async for data in self._client.list_pages(paths.trainingjobs(), field_selector=LIVE, limit=self._page_size):
            yield _read(decoder.page, data).records

    async def our_pods(self) -> AsyncIterator[Iterable[Record]]:
        """Every pod that muster made, likewise."""
        decoder = parse.decoder(Kind.POD)
        async for data in self._client.list_pages(paths.pods(), label_selector=OURS, limit=self._page_size):
            yield _read(decoder.page, data).records


def _read(parser: Callable[[bytes], T], data: bytes) -> T:
    try:
        return parser(data)
    except ValueError as error:
        raise ApiError(Answer.UNKNOWN, code=200, message=f"the answer cannot be read: {error}") from error


def _left(parser: Callable[[bytes], T], data: bytes) -> T | None:
    """What a delete answered: the object while something still holds it, or a Status once it is gone."""
    if _read(lambda d: msgspec.json.decode(d, type=_Kind), data).kind == "Status":
        return None
    return _read(parser, data)


def _owner(data: bytes) -> str:
    owners = _read(lambda d: msgspec.json.decode(d, type=_Owners), data).metadata.owner_references or []
    for owner in owners:
        if owner.controller and owner.kind == JOB_KIND and owner.api_version.partition("/")[0] == GROUP:
            return owner.name
    return ""
