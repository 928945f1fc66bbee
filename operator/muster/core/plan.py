"""plan(world, now): what follows from all that is known. Synchronous, and pure in effect.

First the table is put to every job on the agenda. Then the waiting are put to the solver in their order; each placement
takes its room before the next is looked at (`policy.room`).
"""

from __future__ import annotations

from functools import cached_property

from muster.core import lifecycle
from muster.core.explain import CHANGE, sentence
from muster.core.inventory import Inventory
from muster.core.model import Committed, Found, Job, Phase, Plan, Reason, Rejected, Remedy, Shape, Transition, Verdict
from muster.core.observe import Seen, observe
from muster.core.placement.remedy import MENDED
from muster.core.policy import queueing, repair
from muster.core.policy.room import Room
from muster.core.world import World

REFUSED_COMMIT_AFTER = 30_000
"""A decision that the API server refused to take (rights, size) is made again this long (ms) after the refusal."""


REMEDIES = 4
"""For so many shapes a pass looks for the smallest change that would start them, at most;"""
REMEDY_LATER = 10_000
"""the others say why they wait, and this much (ms) later what would start them."""


def plan(world: World, now: int, *, everything: bool = False) -> Plan:
    """Decide what is to be decided now (`now`: ms, wall clock).

    `everything` looks at every job instead of those on the agenda: the answer is the same (a law that the tests hold).
    Nothing is decided before every kind is synced, or by a process that does not lead.
    """
    if not world.ready or world.term is None:
        return Plan(capacity=-1)
    planner = _Planner(world, now)
    looked_at = {job.id for job in world.jobs()} if everything else world.due(now)
    for uid in sorted(looked_at):
        planner.look(uid)
    planner.repair()
    if everything or world.waiting_stale or planner.pending:
        planner.queue()
    return planner.plan()


Asked = tuple[Inventory, Shape]
"""What a verdict of the solver's answered."""


class _Planner:
    """One pass; see `plan`."""

    def __init__(self, world: World, now: int) -> None:
        self._world = world
        self._now = now
        self._transitions: list[Transition] = []
        self._verdicts: list[tuple[str, Verdict]] = []
        self._wakes: dict[str, int | None] = {}
        self._errors: list[tuple[str, str]] = []
        self._broken: list[tuple[Job, Seen]] = []
        self._remedies: dict[Shape, Remedy | None] = {}
        self._words: dict[int, tuple[Verdict, str]] = {}
        """What was made of verdicts, which are kept so that no other has their id."""
        self.pending = False
        """A job on the agenda is waiting."""

    def look(self, uid: str) -> None:
        """Put the table to one job."""
        job = self._world.job(uid)
        if job is None or self._world.assumed(uid) is not None or self._barred(uid):
            return
        if isinstance(job, Rejected):
            self._reject(job)
            return
        try:
            seen = observe(self._world, job, self._now)
            if seen.breaks or seen.finish_timeout:
                self._broken.append((job, seen))  # the solver is asked, in the order of the queue
                return
            self._step(job, seen, None)
        except Exception as error:  # a defect of ours must not stop the other jobs
            self._fail(uid, error)

    def repair(self) -> None:
        """Put the table to the gangs that are broken, those first that stand first in the queue; what one of them takes
        for its repair the next cannot have."""
        for job, seen in sorted(self._broken, key=lambda item: queueing.order(self._world, item[0])):
            try:
                mended = repair.mend(self._world, self._room.free, job, seen, self._now)
                if self._step(job, seen, mended) and isinstance(mended, lifecycle.Mend):
                    self._room.take(job.id, self._world.shape(job), mended.nodes)
            except Exception as error:  # as above
                self._fail(job.id, error)

    def _step(self, job: Job, seen: Seen, mended: lifecycle.Mend | Verdict | lifecycle.Hold | None) -> bool:
        """Put the table to one job; says whether it moves."""
        self._wakes[job.id] = seen.wake
        stepped = lifecycle.step(job, seen, self._now, mended, self._world.term or "")
        if stepped is not None:
            row, status = stepped
            self._transitions.append(Transition(job.id, job.rv, row.value, status))
        elif job.status.phase is Phase.PENDING and not job.deleting:
            self.pending = True
        return stepped is not None

    @cached_property
    def _room(self) -> Room:
        """The room in which what is decided is taken."""
        return Room(self._world)

    def _barred(self, uid: str) -> bool:
        """The API server refused the last decision about this job; the next one waits a while."""
        refusal = self._world.refused_commit(uid)
        if refusal is None or self._now >= refusal.at + REFUSED_COMMIT_AFTER:
            return False
        self._wakes[uid] = refusal.at + REFUSED_COMMIT_AFTER
        return True

    def _reject(self, job: Rejected) -> None:
        """A job that cannot be understood says so while it waits; whatever it was doing goes on."""
        self._wakes[job.id] = None
        if job.deleting or job.status.phase not in (Phase.PENDING, Phase.SUSPENDED):
            return
        held = queueing.held(self._world, job, self._now)
        if held is not None and held.verdict is not None:
            self._tell(job, held.verdict)

    def queue(self) -> None:
        """Put the waiting to the solver."""
        world, now = self._world, self._now
        moved = {t.job for t in self._transitions}
        waiting = [
            job
            for job in world.jobs()
            if isinstance(job, Job)
            and job.status.phase is Phase.PENDING
            and not job.deleting
            and not job.suspend
            and job.id not in moved
            and world.assumed(job.id) is None
            and not self._barred(job.id)
        ]
        waiting.sort(key=lambda job: queueing.order(world, job))
        room = self._room
        quotas = queueing.QuotaBook(world)
        blind = queueing.unknown_claims(world)
        for job in waiting:
            try:
                held = queueing.held(world, job, now)
                shape = world.shape(job)
                if held is None:
                    held = quotas.held(job, shape)
                if held is None and blind:
                    held = queueing.Held(None)
                if held is not None:
                    self._wait(job, held.verdict)
                    if held.asking:
                        room.keep(shape)
                    continue
                own = repair.peculiar(job, now)
                answer = repair.find(world, room.left, job, shape, now) if own else room.find(shape)
                if answer is None or isinstance(answer, Verdict):
                    # Of a job whose nodes are kept or avoided the change is not the one that its shape has in common.
                    self._wait(job, answer, None if own else (room.free, shape))
                elif queueing.prefers_to_wait(job, answer, now):
                    self._prefer(job, answer)
                else:
                    room.take(job.id, shape, answer.nodes)
                    quotas.take(job)
                    status = lifecycle.placed(job, answer, world.term or "", world.roles_hash(job), now)
                    self._decide(job, lifecycle.Row.PLACED, status)
            except Exception as error:  # as above
                self._fail(job.id, error)

    def _prefer(self, job: Job, found: Found) -> None:
        since = job.status.placeable_since
        until = (since if since is not None else lifecycle.whole_seconds(self._now)) + job.policy.prefer_wait
        numbers = (("domains", found.objective.preferred), ("least", found.preferred_least), ("until", until))
        self._wait(job, Verdict(Reason.WAITING_FOR_PREFERRED, numbers))
        self._wake(job.id, until)

    def _wait(self, job: Job, verdict: Verdict | None, asked: Asked | None = None) -> None:
        if verdict is None:
            return
        self._verdicts.append((job.id, verdict))
        self._tell(job, verdict, asked)

    def _tell(self, job: Job | Rejected, verdict: Verdict, asked: Asked | None = None) -> None:
        written = self._world.written_at(job.id)
        held_back = job.status.not_before is not None and job.status.not_before > self._now
        if held_back and job.status.waiting:
            message = job.status.waiting.message
        else:
            message = self._message(job, verdict, written, asked)
        status = lifecycle.waits(job, verdict, message, self._now, written)
        if status is not None:
            self._transitions.append(Transition(job.id, job.rv, lifecycle.Row.WAITS.value, status))
            return
        waiting = job.status.waiting
        if waiting is None or waiting.verdict != verdict or waiting.message != message:
            self._wake(job.id, written + lifecycle.WAITING_INTERVAL)

    def _message(self, job: Job | Rejected, verdict: Verdict, written: int, asked: Asked | None) -> str:
        """What to say of a job that waits. What would start it is looked for when it is about to be told, and stays as
        it was told while the verdict stays."""
        if asked is None or verdict.reason not in MENDED:
            return sentence(verdict)
        known = self._words.get(id(verdict))
        if known is None:  # shapes share their verdict, thousands of jobs a shape
            known = self._words[id(verdict)] = verdict, sentence(verdict)
        plain = known[1]
        waiting = job.status.waiting
        if waiting is not None and waiting.verdict == verdict and waiting.message.startswith(plain + CHANGE):
            return waiting.message
        if not lifecycle.tells(job, verdict, self._now, written):
            self._wake(job.id, written + lifecycle.WAITING_INTERVAL)
            return plain
        inventory, shape = asked
        if shape not in self._remedies:
            if len(self._remedies) == REMEDIES:
                self._wake(job.id, self._now + REMEDY_LATER)
                return plain
            self._remedies[shape] = self._world.remedy(inventory, shape, verdict)
        return sentence(verdict, self._remedies[shape])

    def _decide(self, job: Job, row: lifecycle.Row, status: Committed) -> None:
        self._transitions.append(Transition(job.id, job.rv, row.value, status))

    def _wake(self, uid: str, at: int) -> None:
        before = self._wakes[uid] if uid in self._wakes else self._world.agenda.wake_of(uid, self._now)
        self._wakes[uid] = at if before is None else min(before, at)

    def _fail(self, uid: str, error: Exception) -> None:
        self._errors.append((uid, f"{type(error).__name__}: {error}"))
        self._wakes[uid] = self._now + lifecycle.WAITING_INTERVAL

    def plan(self) -> Plan:
        """All that was decided."""
        times = (self._world.agenda.next_wake(self._wakes), self._world.next_expiry)
        return Plan(
            transitions=tuple(self._transitions),
            verdicts=tuple(self._verdicts),
            wake_at=min((at for at in times if at is not None), default=None),
            wakes=tuple(sorted(self._wakes.items())),
            capacity=self._world.capacity,
            errors=tuple(self._errors),
        )
