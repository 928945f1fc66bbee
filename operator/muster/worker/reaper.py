"""Sweeps what jobs that are gone left behind (S6), carefully: what it takes for an orphan is only a suspicion.

Kubernetes' garbage collector does the same by ownerReferences, so each orphan is first left to it for a while. Then,
never before every kind has been synced, each is looked at again by consistent reads: the child must still be there and
still name the job as its owner (children orphaned on purpose do not), and the owner must be gone, replaced by another
uid, or (for a pod that is not terminal) at a later attempt than the pod's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from muster.core.duties import Orphan, orphans
from muster.core.model import Child, Gone, Job, Kind, Pod, Rejected, Upsert
from muster.core.world import World
from muster.kube.backoff import Backoff
from muster.kube.client import LeaseStale
from muster.kube.errors import Answer, ApiError
from muster.worker.tools import Closed, Tools

log = logging.getLogger(__name__)


class Owned(NamedTuple):
    """A child as it is now, and the name of the TrainingJob that is its controller; empty: none is."""

    child: Pod | Child
    owner: str


class Api(Protocol):
    """What of `api.Api` the reaper needs; all raise ApiError."""

    async def read_owned(self, orphan: Orphan) -> Owned | None: ...  # noqa: D102
    async def read_job(self, namespace: str, name: str) -> Job | Rejected: ...  # noqa: D102
    async def delete_pod(self, namespace: str, name: str, uid: str, grace: int | None) -> Pod | None: ...  # noqa: D102
    async def delete_service(self, namespace: str, name: str, uid: str) -> Child | None: ...  # noqa: D102


class Undecided(Exception):  # noqa: N818  (not a fault of ours)
    """The API server does not say what is; this sweep ends."""


class Reaper:
    """Sweeps every `interval` seconds, at most `at_most` children a time, each after `head_start` seconds of suspicion.

    A worker with no job: it acts only while the world leads and the lease is fresh.
    """

    def __init__(
        self,
        world: World,
        api: Api,
        tools: Tools,
        *,
        interval: float = 10.0,
        head_start: float = 20.0,
        at_most: int = 50,
        find: Callable[[World, int], Sequence[Orphan]] = orphans,
    ) -> None:
        self._world = world
        self._api = api
        self._tools = tools
        self._interval = interval
        self._head_start = head_start
        self._at_most = at_most
        self._find = find
        self._suspected: dict[str, float] = {}
        """Orphan -> since when (clock)."""

    async def run(self) -> None:
        """Sweep until the gate closes."""
        backoff = Backoff(self._tools.random, base=self._interval, cap=max(300.0, self._interval))
        delay = self._interval
        while True:
            try:
                await self._tools.gate.pause(delay)
                await self.sweep()
                backoff.reset()
                delay = self._interval
            except Closed:
                return
            except LeaseStale:
                self._tools.gate.stale()
                return
            except Undecided as reason:
                log.warning("left-over pods and Services are not looked at for now: %s", reason)
                delay = max(self._interval, backoff.next())
            except Exception:
                log.exception("defect while sweeping")
                delay = max(self._interval, backoff.next())

    async def sweep(self) -> None:
        """Look once. Raises Undecided when the API server does not say what is, Closed and LeaseStale."""
        if not (self._world.ready and self._world.leading):
            self._suspected.clear()
            return
        clock = self._tools.clock()
        found = self._find(self._world, self._tools.now())
        self._suspected = {orphan.id: self._suspected.get(orphan.id, clock) for orphan in found}
        ripe = [orphan for orphan in found if clock - self._suspected[orphan.id] >= self._head_start]
        for orphan in ripe[: self._at_most]:
            # To the end of the line: those that cannot go must not keep the others from their turn.
            self._suspected[orphan.id] = clock
            await self._judge(orphan)
            await asyncio.sleep(0)

    async def _judge(self, orphan: Orphan) -> None:
        tools = self._tools
        tools.gate.check()
        try:
            owned = await self._api.read_owned(orphan)
        except ApiError as error:
            if error.answer is not Answer.GONE:
                raise Undecided(str(error)) from error
            owned = None
        if owned is None or owned.child.id != orphan.id:
            tools.put(Gone(orphan.kind, orphan.id, tools.now()))
            return
        tools.put(Upsert(owned.child, tools.now()))
        if not owned.owner or owned.child.job != orphan.job or owned.child.terminating:
            return  # orphaned on purpose, or on its way out
        if await self._forsaken(orphan, owned):
            log.info("deleting %s, which a job that is gone left behind", orphan.name, extra={"job": orphan.job})
            await self._delete(orphan)

    async def _forsaken(self, orphan: Orphan, owned: Owned) -> bool:
        """By a consistent read of the owner: it will never take care of this child."""
        self._tools.gate.check()
        try:
            owner = await self._api.read_job(orphan.namespace, owned.owner)
        except ApiError as error:
            # Only a Status 404 with the name means gone; a kind that is not served says nothing about its objects.
            if error.answer is not Answer.GONE:
                raise Undecided(str(error)) from error
            return True
        self._tools.put(Upsert(owner, self._tools.now()))
        if owner.id != orphan.job:
            return True
        # It exists after all: its own worker takes over, unless the pod is of the past. Terminal pods of the past may
        # be kept for their logs, and those of a job being deleted are its worker's business.
        pod = owned.child
        return (
            isinstance(pod, Pod)
            and not pod.terminal
            and pod.born is not None
            and not owner.deleting
            and owner.status.attempt > pod.born
            and not _placed(owner, pod.born)
        )

    async def _delete(self, orphan: Orphan) -> None:
        tools = self._tools
        tools.gate.check()
        left: Pod | Child | None = None
        try:
            if orphan.kind is Kind.POD:
                left = await self._api.delete_pod(orphan.namespace, orphan.name, orphan.id, None)
            else:
                left = await self._api.delete_service(orphan.namespace, orphan.name, orphan.id)
        except ApiError as error:
            if error.answer is not Answer.GONE and not error.replaced:
                raise Undecided(str(error)) from error
        if left is not None and left.terminating:
            tools.put(Upsert(left, tools.now()))
        else:
            tools.put(Gone(orphan.kind, orphan.id, tools.now()))


def _placed(owner: Job | Rejected, born: int) -> bool:
    """The placement still counts on pods made in this attempt."""
    placement = owner.status.placement
    return placement is not None and any(born in ranks for ranks in placement.born)
