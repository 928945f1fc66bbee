"""Which jobs have to be looked at again, and when: a cache that changes the cost of planning, never its answer."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping


class Agenda:
    """Touched jobs and a heap of deadlines (ms, wall clock). Jobs are named by uid."""

    def __init__(self) -> None:
        self._to_plan: set[str] = set()
        self._to_serve: set[str] = set()
        self._wakes: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def touch(self, uid: str) -> None:
        """Something about this job changed."""
        self._to_plan.add(uid)
        self._to_serve.add(uid)

    def forget(self, uid: str) -> None:
        """The job is gone: nothing is left to plan, its worker has still to hear of it."""
        self._to_plan.discard(uid)
        self._wakes.pop(uid, None)
        self._to_serve.add(uid)

    def due(self, now: int) -> set[str]:
        """The jobs to look at: touched since they last were, or past their deadline."""
        due = set(self._to_plan)
        stack = [0] if self._heap else []
        while stack:  # the heap's own order: below an entry in the future there is none that is due
            i = stack.pop()
            at, uid = self._heap[i]
            if at > now:
                continue
            if self._wakes.get(uid) == at:
                due.add(uid)
            stack.extend(child for child in (2 * i + 1, 2 * i + 2) if child < len(self._heap))
        return due

    def take_touched(self) -> set[str]:
        """The jobs whose duties may have changed since this was last called."""
        touched, self._to_serve = self._to_serve, set()
        return touched

    def wake_of(self, uid: str, now: int) -> int | None:
        """The job's deadline, if it lies ahead."""
        at = self._wakes.get(uid)
        return at if at is not None and at > now else None

    def next_wake(self, besides: Mapping[str, int | None]) -> int | None:
        """The soonest deadline, with `besides` in place of what those jobs had."""
        times = [at for at in besides.values() if at is not None]
        heap = self._heap
        ahead = [(heap[0][0], 0)] if heap else []
        while ahead:  # the heap in its own order, as far as the first entry that still holds
            at, i = heapq.heappop(ahead)
            uid = heap[i][1]
            if uid not in besides and self._wakes.get(uid) == at:
                times.append(at)
                break
            for child in (2 * i + 1, 2 * i + 2):
                if child < len(heap):
                    heapq.heappush(ahead, (heap[child][0], child))
        return min(times, default=None)

    def settle(self, wakes: Iterable[tuple[str, int | None]], keep: frozenset[str]) -> None:
        """These jobs were looked at and have these deadlines now; those in `keep` stay on the agenda."""
        for uid, at in wakes:
            self._to_serve.add(uid)  # a deadline may have made a duty due
            if uid not in keep:
                self._to_plan.discard(uid)
            if at is None:
                self._wakes.pop(uid, None)
            elif self._wakes.get(uid) != at:
                self._wakes[uid] = at
                heapq.heappush(self._heap, (at, uid))
        while self._heap and self._wakes.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)

    def fingerprint(self) -> object:
        """Equal as long as nothing was touched, taken or settled."""
        return (frozenset(self._to_plan), frozenset(self._to_serve), dict(self._wakes))
