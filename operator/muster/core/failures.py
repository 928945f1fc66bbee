"""status.lastFailure: which ranks failed, in order, each with how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from muster.core.breaks import Break, Fault
from muster.core.model import LastFailure, Pod, RankFailure

GATHER = 10_000
"""Failures within this time (ms) after the first are told together."""
MOST_TOLD = 8
"""Failures that a status keeps."""


def told(time: int, reason: str, message: str, breaks: Sequence[Break], failed: Iterable[Pod]) -> LastFailure:
    """What ended the attempt: the first failures, earliest first. `failed` are pods that failed, `breaks` adds the
    ranks that broke without one: what ran on a node that is gone says nothing itself."""
    entries = [_of_pod(pod) for pod in failed]
    known = {(entry.role, entry.rank) for entry in entries}
    entries += [
        RankFailure(b.name, b.rank, b.node, None, None, None, b.why)
        for b in breaks
        if b.fault is not Fault.OWN and b.pod is None and (b.name, b.rank) not in known
    ]
    return LastFailure(time, reason, message, _first(entries))


def gathered(last: LastFailure | None, failed: Iterable[Pod], since: int | None) -> LastFailure | None:
    """The last failure with the ranks that have told their end meanwhile. Pods that ended because they were deleted
    after the decision (`since`, ms) did not fail: they were ended."""
    if last is None:
        return None
    first = min((f.finished_at for f in last.failures if f.finished_at is not None), default=last.time)
    own = [pod for pod in failed if not _ended_by_us(pod, since) and not _long_before(pod, first)]
    if not own:
        return last
    known = {(f.role, f.rank, f.finished_at) for f in last.failures}
    more = [entry for entry in map(_of_pod, own) if (entry.role, entry.rank, entry.finished_at) not in known]
    # A rank that was told to be lost without a word has one now.
    spoken = {(entry.role, entry.rank) for entry in more}
    kept = [f for f in last.failures if f.finished_at is not None or (f.role, f.rank) not in spoken]
    return replace(last, failures=_first([*kept, *more]))


def _first(entries: Iterable[RankFailure]) -> tuple[RankFailure, ...]:
    every = sorted(entries, key=_by_end)
    first = next((entry.finished_at for entry in every if entry.finished_at is not None), None)
    if first is not None:
        every = [entry for entry in every if entry.finished_at is None or entry.finished_at <= first + GATHER]
    return tuple(every[:MOST_TOLD])


def _by_end(failure: RankFailure) -> tuple[int, str, int]:
    return (failure.finished_at if failure.finished_at is not None else 1 << 60, failure.role, failure.rank)


def _of_pod(pod: Pod) -> RankFailure:
    failure = pod.failure
    return RankFailure(
        role=pod.role or "",
        rank=pod.rank or 0,
        node=pod.node or "",
        exit_code=failure.exit_code if failure else None,
        signal=failure.signal if failure else None,
        finished_at=failure.finished_at if failure else None,
        message=(failure.message or failure.reason) if failure else "",
    )


def _long_before(pod: Pod, first: int) -> bool:
    """It is a pod of an earlier attempt, kept for its log."""
    ended = pod.failure.finished_at if pod.failure is not None else None
    return ended is not None and ended < first - GATHER


def _ended_by_us(pod: Pod, since: int | None) -> bool:
    ended = pod.failure.finished_at if pod.failure is not None else None
    return pod.terminating and since is not None and (ended is None or ended >= since)
