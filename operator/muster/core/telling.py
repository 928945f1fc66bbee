"""What the waiting are told, and how much of it in one pass.

A reason that is new to a job is told at once; numbers that changed at most once a minute a job, and for all jobs
together at most so many a second: when one node is freed, the numbers of 20,000 jobs change. Who was told longest ago
comes first. All of it follows from what the jobs' status says and when it was written, so another process, or this one
after a restart, goes on where the last one was.
"""

from __future__ import annotations

from heapq import merge, nsmallest
from itertools import islice

from muster.core import lifecycle
from muster.core.explain import CHANGE, sentence
from muster.core.inventory import Inventory
from muster.core.line import Group, Told, Written
from muster.core.model import Job, Rejected, Remedy, Shape, Transition, Verdict
from muster.core.placement.remedy import MENDED
from muster.core.world import World

AT_ONCE = 500
"""So many jobs a pass are told a new reason, at most; the next pass goes on."""
A_SECOND = 20
"""Within any second the numbers of so many waiting jobs are rewritten, at most."""
SECOND = 1_000
REMEDIES = 4
"""For so many shapes a pass looks for the smallest change that would start them, at most."""

Asked = tuple[Inventory, Shape]
"""What a verdict of the solver's answered."""


class Teller:
    """What one pass tells: `transitions` are status writes, `wake_at` is when to look again even if nothing changes."""

    def __init__(self, world: World, now: int) -> None:
        self._world = world
        self._now = now
        self.transitions: list[Transition] = []
        self.wake_at: int | None = None
        self._news = AT_ONCE
        self._numbers = max(0, A_SECOND - world.line.written_after(now - SECOND) - len(world.line.flying))
        self._remedies: dict[Shape, Remedy | None] = {}
        self._words: dict[int, tuple[Verdict, str]] = {}
        """What was made of verdicts, which are kept so that no other has their id."""
        self._spoken: set[str] = set()
        """The jobs of which something else than the verdict on their group is to be said."""
        self._stale: list[tuple[Written, list[Written], Verdict, str, Asked | None]] = []

    def spare(self, uid: str) -> None:
        """Nothing is to be told to this job with its group."""
        self._spoken.add(uid)

    def tell(self, job: Job | Rejected, verdict: Verdict, asked: Asked | None = None) -> int | None:
        """Tell one job, if it is to be told now; when to look at it again if it could not be."""
        self._spoken.add(job.id)
        waiting = job.status.waiting
        plain = self._plain(verdict)
        new = lifecycle.is_news(job, verdict)
        told = (waiting.verdict, waiting.message) if waiting is not None and not new else None
        pausing = lifecycle.pauses(job, self._now)
        if told is not None and (_holds(told, verdict, plain, asked) or (pausing and told[0] == verdict)):
            return None
        ripe = self._world.written_at(job.id) + lifecycle.WAITING_INTERVAL
        message: str | None = None
        if not new and ripe > self._now:
            later: int | None = ripe
        elif (self._news if new else self._numbers) <= 0:
            later = self._now if new else self._next_numbers()
        else:
            message, later = self._message(verdict, asked, new), self._now
        if message is None:
            self._wake(later)
            return later
        self._write(job, verdict, message, new)
        return None

    def tell_group(self, group: Group, verdict: Verdict, asked: Asked | None) -> None:
        """Tell the jobs of a group, all of which wait for the same: the news now, numbers when all groups are known
        (`tell_numbers`)."""
        plain = self._plain(verdict)
        outdated = {
            told: at for told, at in group.told.items() if told is None or not _holds(told, verdict, plain, asked)
        }
        if not outdated:
            return
        news = [at for told, at in outdated.items() if told is None or told[0].reason is not verdict.reason]
        numbers = [at for told, at in outdated.items() if told is not None and told[0].reason is verdict.reason]
        if news:
            waiting = [item for at in news for item in at if item[1] not in self._spoken]
            if len(waiting) > self._news:
                waiting = nsmallest(self._news, waiting)
                self._wake(self._now)
            if waiting:
                message = self._message(verdict, asked, True)
                assert message is not None
                for _, uid in waiting:
                    self._write_to(uid, verdict, message, True)
        if numbers:
            lists = [[item for item in at if item[1] not in self._spoken] for at in numbers]
            oldest = list(merge(*lists)) if len(lists) > 1 else lists[0]
            if oldest:
                self._stale.append((oldest[0], oldest, verdict, plain, asked))

    def tell_numbers(self) -> None:
        """Rewrite what has changed in numbers alone: the group first that has the job told longest ago."""
        until = self._now - lifecycle.WAITING_INTERVAL
        for _, oldest, verdict, plain, asked in sorted(self._stale, key=lambda item: item[0]):
            if oldest[0][0] > until:
                self._wake(oldest[0][0] + lifecycle.WAITING_INTERVAL)
                continue
            if self._numbers <= 0:
                self._wake(self._next_numbers())
                return
            message = self._message(verdict, asked, False)
            if message is None:
                self._wake(self._now)
                continue
            if message == plain:  # nothing can be said of what would start it
                oldest = [item for item in oldest if not self._says(item[1], verdict, plain)]
            for written, uid in islice(oldest, self._numbers):
                if written > until:
                    break
                self._write_to(uid, verdict, message, False)
            later = next((item for item in oldest if item[1] not in self._spoken), None)
            ripe = None if later is None else later[0] + lifecycle.WAITING_INTERVAL
            if ripe is not None and (ripe > self._now or self._numbers > 0):
                self._wake(ripe)
            elif ripe is not None:
                self._wake(self._next_numbers())

    def _says(self, uid: str, verdict: Verdict, message: str) -> bool:
        job = self._world.job(uid)
        waiting = None if job is None else job.status.waiting
        return waiting is not None and (waiting.verdict, waiting.message) == (verdict, message)

    def _write_to(self, uid: str, verdict: Verdict, message: str, new: bool) -> None:
        job = self._world.job(uid)
        assert job is not None
        self._write(job, verdict, message, new)

    def _write(self, job: Job | Rejected, verdict: Verdict, message: str, new: bool) -> None:
        self._spoken.add(job.id)
        written = self._world.written_at(job.id)
        status = lifecycle.waits(job, verdict, message, self._now, written)
        if status is None:
            return
        if new:
            self._news -= 1
        else:
            self._numbers -= 1
        self.transitions.append(Transition(job.id, job.rv, lifecycle.Row.WAITS.value, status))

    def _message(self, verdict: Verdict, asked: Asked | None, new: bool) -> str | None:
        """What to say; None if that is not known in this pass and can wait."""
        if asked is None or verdict.reason not in MENDED:
            return self._plain(verdict)
        inventory, shape = asked
        if shape not in self._remedies:
            if len(self._remedies) == REMEDIES:
                return self._plain(verdict) if new else None
            self._remedies[shape] = self._world.remedy(inventory, shape, verdict)
        return sentence(verdict, self._remedies[shape])

    def _plain(self, verdict: Verdict) -> str:
        known = self._words.get(id(verdict))
        if known is None:
            known = self._words[id(verdict)] = verdict, sentence(verdict)
        return known[1]

    def _next_numbers(self) -> int | None:
        """When the next numbers may be rewritten; None: when something that is under way is done, which wakes us."""
        at = self._world.line.written_last(A_SECOND)
        return at + SECOND if at is not None and at + SECOND > self._now else None

    def _wake(self, at: int | None) -> None:
        if at is not None:
            self.wake_at = at if self.wake_at is None else min(self.wake_at, at)


def _holds(told: Told, verdict: Verdict, plain: str, asked: Asked | None) -> bool:
    """What was told is still so. What would start the job stays as it was told while the verdict stays."""
    if told[0] != verdict:
        return False
    if asked is None or verdict.reason not in MENDED:
        return told[1] == plain
    return told[1].startswith(plain + CHANGE)
