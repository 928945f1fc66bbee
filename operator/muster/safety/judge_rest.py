"""S5 and S6: what must hold when nothing is in motion any more."""

from __future__ import annotations

from collections.abc import Iterator

from muster.safety.objects import (
    ACTIVE,
    FINISHED,
    Object,
    born_of,
    bound_to,
    is_gang_pod,
    is_owned,
    is_silent,
    is_terminal,
    phase_of,
    placement_of,
    rank_of,
    title,
)
from muster.safety.record import QUIET, Event
from muster.safety.world import World

Found = Iterator[tuple[str, tuple[str, ...]]]


def _held_up(pod: Object, world: World) -> bool:
    """Return whether a pod is being deleted on a machine that does not answer."""
    node = bound_to(pod)
    silent = node is not None and is_silent(world.nodes.get(node))
    return silent and pod["metadata"].get("deletionTimestamp") is not None and not is_terminal(pod)


class NothingLost:
    """S5: each unfinished job is queued or has its attempt's pods."""

    invariant = "S5"

    def see(self, event: Event, before: Object | None, world: World) -> Found:
        """See `replay.Check`."""
        if event.type != QUIET:
            return
        for uid, job in world.jobs.items():
            about = (job["metadata"]["name"], uid)
            phase = phase_of(job)
            pods = world.pods_of.get(uid, {}).values()
            if job["metadata"].get("deletionTimestamp"):
                continue
            if phase == "Stopping" and all(is_terminal(pod) for pod in pods):
                yield f"{title(job)} stays in Stopping, and no pod of it holds anything", about
            if phase not in ACTIVE:
                continue
            placement = placement_of(job)
            if placement is None:
                yield f"{title(job)} is {phase} without a placement", about
                continue
            there = {(rank_of(pod), born_of(pod)) for pod in pods}
            # On a machine that does not answer it has to wait for the earlier pod to stop.
            waits = {rank_of(pod) for pod in pods if phase == "Repairing" and _held_up(pod, world)}
            missing = [
                str(rank) for rank, _, born in placement.ranks(uid) if (rank, born) not in there and rank not in waits
            ]
            if missing:
                yield f"{title(job)} is {phase} and lacks the pods of {', '.join(missing[:5])}", about


class NothingLeaks:
    """S6: pods and Services belong to a job's current attempt, but for terminal pods kept on purpose."""

    invariant = "S6"

    def see(self, event: Event, before: Object | None, world: World) -> Found:
        """See `replay.Check`."""
        if event.type != QUIET:
            return
        for service in world.objects["Service"].values():
            uid = (service["metadata"].get("labels") or {}).get("muster.dev/job-uid")
            if uid is not None and uid not in world.jobs and is_owned(service):
                yield f"Service {service['metadata']['name']} belongs to a job that is gone", (uid,)
        for pod in world.pods.values():
            # Orphaned on purpose, a pod is nobody's.
            if is_gang_pod(pod) and is_owned(pod) and rank_of(pod).job not in world.jobs:
                name = pod["metadata"]["name"]
                yield f"pod {name} belongs to a job that is gone", (name, rank_of(pod).job)
        for uid, job in world.jobs.items():
            yield from self._of_job(uid, job, world)

    def _of_job(self, uid: str, job: Object, world: World) -> Found:
        placement = placement_of(job) if phase_of(job) in (*ACTIVE, *FINISHED) else None
        current = {(rank, born) for rank, _, born in placement.ranks(uid)} if placement is not None else set()
        kept: dict[int, int] = {}
        for pod in world.pods_of.get(uid, {}).values():
            name, about = pod["metadata"]["name"], (pod["metadata"]["name"], uid)
            if not is_owned(pod):
                continue
            if not is_terminal(pod):
                if phase_of(job) in FINISHED:
                    yield f"{title(job)} is {phase_of(job)}, and its pod {name} has not ended", about
                elif phase_of(job) == "Repairing" and _held_up(pod, world):
                    continue
                elif (rank_of(pod), born_of(pod)) not in current and phase_of(job) != "Stopping":
                    yield f"pod {name} belongs to no current attempt of {title(job)}, {phase_of(job)}", about
            elif (rank_of(pod), born_of(pod)) not in current:
                kept[born_of(pod)] = kept.get(born_of(pod), 0) + 1
        wanted = job["spec"].get("podRetention") or {}
        attempts, pods = wanted.get("failedAttempts", 2), wanted.get("podsPerAttempt", 8)
        if len(kept) > attempts:
            yield f"{title(job)} keeps ended pods of {len(kept)} attempts, not {attempts}", (uid, title(job))
        for born, count in kept.items():
            if count > pods:
                yield f"{title(job)} keeps {count} ended pods of attempt {born}, not {pods}", (uid, title(job))
