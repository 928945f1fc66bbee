"""Every pod of the cluster as it was last seen, and which job each belongs to."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from muster.core.model import Pod, Stage


@dataclass(frozen=True, slots=True)
class SeenPod:
    """A pod, and since when (ms) it has been seen in its present stage."""

    pod: Pod
    since: int


def stage_of(pod: Pod) -> tuple[Stage, bool, str]:
    """What `SeenPod.since` is measured from: a change of stage, of the gates, or of a container's trouble."""
    return (pod.stage, pod.our_gate, pod.trouble[0] if pod.trouble else "")


class Pods:
    """All of them, by id and by the job that is their owner."""

    def __init__(self) -> None:
        self._seen: dict[str, SeenPod] = {}
        self._by_job: dict[str, dict[str, SeenPod]] = {}

    def __iter__(self) -> Iterator[SeenPod]:
        return iter(self._seen.values())

    def of(self, job: str) -> Iterable[SeenPod]:
        """Those of one job."""
        return self._by_job.get(job, {}).values()

    def without(self, jobs: Container[str]) -> Iterator[SeenPod]:
        """Those that name a job which is none of these."""
        return (seen for job, pods in self._by_job.items() if job not in jobs for seen in pods.values())

    def put(self, pod: Pod, at: int) -> Pod | None:
        """This pod is so now; gives it as it was."""
        known = self._seen.get(pod.id)
        since = known.since if known is not None and stage_of(known.pod) == stage_of(pod) else at
        if known is not None and known.pod.job != pod.job:
            self._disown(known.pod)
        self._keep(SeenPod(pod, since))
        return known.pod if known is not None else None

    def pop(self, id_: str) -> Pod | None:
        """This pod is gone; gives it as it was."""
        known = self._seen.pop(id_, None)
        if known is None:
            return None
        self._disown(known.pod)
        return known.pod

    def shift(self, by: int) -> None:
        """The clock was set forward by so much (ms)."""
        for seen in self._seen.values():
            self._keep(SeenPod(seen.pod, seen.since + by))

    def _keep(self, seen: SeenPod) -> None:
        self._seen[seen.pod.id] = seen
        if seen.pod.job is not None:
            self._by_job.setdefault(seen.pod.job, {})[seen.pod.id] = seen

    def _disown(self, pod: Pod) -> None:
        if pod.job is None:
            return
        pods = self._by_job[pod.job]
        del pods[pod.id]
        if not pods:
            del self._by_job[pod.job]
