"""What is to be written because of what is committed and observed: idempotent, in the order of importance.

A worker carries these out and never decides. Nothing follows from a decision that is not committed yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from muster.core.model import (
    ACTIVE,
    FINISHED,
    Admit,
    CreatePod,
    DeleteJob,
    DeletePod,
    DropChild,
    Duty,
    EnsureChild,
    Job,
    Kind,
    Nominate,
    Phase,
    Placement,
    Pod,
    ReadView,
    Rejected,
    Ungate,
)
from muster.core.observe import READMIT_AFTER
from muster.core.pods import SeenPod
from muster.core.stopped import ghost_until, off, patience, stops_at
from muster.core.world import World


@dataclass(frozen=True, slots=True)
class Orphan:
    """A pod or Service whose job is not in the world. `since`: when (ms) it was last seen to change; 0: not known."""

    kind: Kind
    id: str
    namespace: str
    name: str
    job: str
    born: int | None
    since: int


def duties(world: World, uid: str, now: int) -> tuple[Duty, ...]:
    """The writes that are due for this job now; empty while a decision about it is under way."""
    job = world.acknowledged(uid)
    if job is None or world.assumed(uid) is not None or not world.ready or not world.serves(job.namespace):
        return ()
    if isinstance(job, Rejected):
        # Not understood: what it had goes on; only what is being deleted is cleared away.
        return tuple(_end_pods(world, world.seen_pods_of(uid), now, None)) if job.deleting else ()
    if job.deleting:
        if job.orphaning:
            return ()
        return tuple(_end_pods(world, world.seen_pods_of(uid), now, None))
    phase, placement = job.status.phase, job.status.placement
    due: list[Duty] = list(_admissions(world, job, now))
    due += _stale(world, job, now)
    if phase in ACTIVE and placement is not None:
        if not any(not child.terminating for child in world.children_of(uid)):
            due.append(EnsureChild())
        if phase in (Phase.PLACED, Phase.REPAIRING):
            due += _start(world, job, placement, now)
        elif phase is Phase.STARTING:
            due += [
                Ungate(pod.id, pod.name)
                for pod in world.pods_of(uid)
                if pod.our_gate and has_place(placement, pod) and not pod.terminating
            ]
    elif phase is Phase.STOPPING:
        due += _end_pods(world, world.seen_pods_of(uid), now, _grace(job))
    elif phase in FINISHED:
        due += _finished(world, job, now)
    due += _trim(world, job)
    return tuple(dict.fromkeys(due))  # a pod can be too many for two reasons


def _admissions(world: World, job: Job, now: int) -> Iterable[Admit]:
    """Dry runs not asked yet, or refused a while ago, while their answer can still matter."""
    status = job.status
    if status.phase not in (Phase.PENDING, Phase.PLACED) and not (status.live and status.phase in ACTIVE):
        return
    for i in range(len(job.roles)):
        key = world.template_key(job, i)
        known = world.admission(job.namespace, key)
        again = known is not None and bool(known.refused) and now >= known.at + READMIT_AFTER
        if known is None or (again and status.phase is Phase.PENDING):
            yield Admit(i, key)


def has_place(placement: Placement, pod: Pod) -> bool:
    """The pod is the one that the committed placement wants for its rank."""
    if pod.role not in placement.roles or pod.rank is None:
        return False
    births = placement.born[placement.roles.index(pod.role)]
    return 0 <= pod.rank < len(births) and births[pod.rank] == pod.born


def _stale(world: World, job: Job, now: int) -> Iterable[DeletePod]:
    """Pods that the committed placement has no place for, and any pod that a waiting job still has. Pods of a *later*
    attempt than ours mean that our view is the old one: they are left alone."""
    status = job.status
    ended = status.phase in (Phase.PENDING, Phase.SUSPENDED)
    active = status.placement if status.phase in ACTIVE else None

    def too_many(pod: Pod) -> bool:
        if pod.born is None or pod.born > status.attempt:
            return False
        if active is not None:
            return not has_place(active, pod)
        return ended or pod.born < status.attempt

    yield from _end_pods(world, [s for s in world.seen_pods_of(job.id) if too_many(s.pod)], now, _grace(job))


def _start(world: World, job: Job, placement: Placement, now: int) -> Iterable[Duty]:
    """Create what is missing of this attempt, as soon as the earlier pod of its rank has stopped (S3); nominate what is
    made, then ask for the view."""
    made: dict[tuple[str | None, int | None], Pod] = {}
    before: set[tuple[str | None, int | None]] = set()
    for s in world.seen_pods_of(job.id):
        if has_place(placement, s.pod):
            made[s.pod.role, s.pod.rank] = s.pod
        else:
            when = stops_at(world, job, s)
            if when is None or now < when:
                before.add((s.pod.role, s.pod.rank))
    before |= {(ghost.role, ghost.rank) for ghost in world.ghosts_of(job.id) if now < ghost_until(world, job, ghost)}
    complete = True
    nominations: list[Duty] = []
    for role, nodes in enumerate(placement.nodes):
        for rank, node in enumerate(nodes):
            key = (placement.roles[role], rank)
            pod = made.get(key)
            born = placement.born[role][rank]
            if pod is None:
                complete = False
                if born == job.status.attempt and key not in before:
                    yield CreatePod(role, rank, node, born)
            elif world.nominate and pod.our_gate and pod.nominated != node and not pod.terminating:
                nominations.append(Nominate(pod.id, pod.name, node))
    yield from nominations
    if complete and not world.viewed(job.id, job.status.attempt):
        yield ReadView(job.status.attempt)


def _grace(job: Job) -> int | None:
    """Grace (s) for the pods of an attempt that ends: short for the survivors of a broken gang, the pod's own where
    there is a checkpoint to write."""
    stopping = job.status.stopping
    broken = stopping is not None and stopping.reason != "Suspended"
    return job.policy.failure_grace // 1000 if broken or job.status.phase is Phase.REPAIRING else None


def _end_pods(world: World, pods: Iterable[SeenPod], now: int, grace: int | None) -> Iterable[DeletePod]:
    """Delete every pod that is not terminal; those whose machine is off by force."""
    for seen in pods:
        pod = seen.pod
        if pod.terminal:
            continue
        job = world.acknowledged(pod.job) if pod.job else None
        if off(world, pod.node, patience(job if isinstance(job, Job) else None), now):
            yield DeletePod(pod.id, pod.name, 0, force=True)
        elif not pod.terminating:
            yield DeletePod(pod.id, pod.name, grace)


def expired(job: Job, now: int) -> bool:
    """It has finished and its ttlSecondsAfterFinished has passed."""
    status, ttl = job.status, job.policy.ttl
    return status.phase in FINISHED and ttl is not None and status.finished is not None and now >= status.finished + ttl


def _finished(world: World, job: Job, now: int) -> Iterable[Duty]:
    yield from _end_pods(world, world.seen_pods_of(job.id), now, None)
    status, over = job.status, expired(job, now)
    if over and not status.live and not job.gitops:
        yield DeleteJob(job.rv)
        return
    if status.live:
        return
    for child in world.children_of(job.id):
        if not child.terminating:
            yield DropChild(child.id, child.name)
    if over:  # a re-sync would run the job again, so only what it made goes
        for pod in world.pods_of(job.id):
            if pod.terminal and not pod.terminating:
                yield DeletePod(pod.id, pod.name)


def _trim(world: World, job: Job) -> Iterable[DeletePod]:
    """Terminal pods of past attempts beyond what podRetention keeps: of each attempt first those that failed first,
    then rank 0, then the others in rank order."""
    status = job.status
    past: dict[int, list[Pod]] = {}
    for pod in world.pods_of(job.id):
        if not pod.terminal or pod.born is None or pod.terminating:
            continue
        if status.placement is not None and has_place(status.placement, pod):
            continue
        past.setdefault(pod.born, []).append(pod)
    for nth, born in enumerate(sorted(past, reverse=True)):
        ranked = sorted(past[born], key=_worth)
        keep = job.policy.retain_pods if nth < job.policy.retain_attempts else 0
        for pod in ranked[keep:]:
            yield DeletePod(pod.id, pod.name)


def _worth(pod: Pod) -> tuple[int, int, str, int]:
    failed = pod.failure is not None
    ended = pod.finished_at if pod.finished_at is not None else 1 << 60
    return (0 if failed else 1 if pod.rank == 0 else 2, ended if failed else 0, pod.role or "", pod.rank or 0)


def orphans(world: World, now: int) -> tuple[Orphan, ...]:
    """Pods and Services in the namespaces served whose job is not in the world: for the reaper, which asks the API
    server before it acts."""
    if not world.ready:
        return ()
    pods = [
        Orphan(Kind.POD, s.pod.id, s.pod.namespace, s.pod.name, s.pod.job or "", s.pod.born, s.since)
        for s in world.pods_without_job()
        if not s.pod.terminating and world.serves(s.pod.namespace)
    ]
    services = [
        Orphan(Kind.CHILD, child.id, child.namespace, child.name, child.job, None, 0)
        for child in world.children()
        if world.acknowledged(child.job) is None and not child.terminating and world.serves(child.namespace)
    ]
    return tuple(pods + services)
