"""plan(world, now): what follows from all that is known. Synchronous, and pure in effect.

First the table is put to every job on the agenda. Then the waiting are put to the solver in their order, on a fork of
the inventory in which each placement takes its room before the next is looked at; equal shapes that were refused share
the refusal, since room only shrinks during one plan.
"""

from __future__ import annotations

from muster.core import lifecycle
from muster.core.claims import load_of
from muster.core.explain import sentence
from muster.core.inventory import Inventory
from muster.core.model import Committed, Found, Job, Phase, Plan, Reason, Rejected, Shape, Transition, Verdict
from muster.core.observe import observe
from muster.core.policy import queueing
from muster.core.world import World

REFUSED_COMMIT_AFTER = 30_000
"""A decision that the API server refused to take (rights, size) is made again this long (ms) after the refusal."""


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
    if everything or world.waiting_stale or planner.pending:
        planner.queue()
    return planner.plan()


class _Planner:
    """One pass; see `plan`."""

    def __init__(self, world: World, now: int) -> None:
        self._world = world
        self._now = now
        self._transitions: list[Transition] = []
        self._verdicts: list[tuple[str, Verdict]] = []
        self._wakes: dict[str, int | None] = {}
        self._errors: list[tuple[str, str]] = []
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
            stepped = lifecycle.step(job, seen, self._now)
        except Exception as error:  # a defect of ours must not stop the other jobs
            self._fail(uid, error)
            return
        self._wakes[uid] = seen.wake
        if stepped is not None:
            row, status = stepped
            self._transitions.append(Transition(uid, job.rv, row.value, status))
        elif job.status.phase is Phase.PENDING and not job.deleting:
            self.pending = True

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
        room = _Room(world)
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
                answer = room.find(shape)
                if answer is None or isinstance(answer, Verdict):
                    self._wait(job, answer)
                elif queueing.prefers_to_wait(job, answer, now):
                    self._prefer(job, answer)
                else:
                    room.take(job.id, shape, answer)
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

    def _wait(self, job: Job, verdict: Verdict | None) -> None:
        if verdict is None:
            return
        self._verdicts.append((job.id, verdict))
        self._tell(job, verdict)

    def _tell(self, job: Job | Rejected, verdict: Verdict) -> None:
        written = self._world.written_at(job.id)
        held_back = job.status.not_before is not None and job.status.not_before > self._now
        message = job.status.waiting.message if held_back and job.status.waiting else sentence(verdict)
        status = lifecycle.waits(job, verdict, message, self._now, written)
        if status is not None:
            self._transitions.append(Transition(job.id, job.rv, lifecycle.Row.WAITS.value, status))
            return
        waiting = job.status.waiting
        if waiting is None or waiting.verdict != verdict or waiting.message != message:
            self._wake(job.id, written + lifecycle.WAITING_INTERVAL)

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
        return Plan(
            transitions=tuple(self._transitions),
            verdicts=tuple(self._verdicts),
            wake_at=self._world.agenda.next_wake(self._wakes),
            wakes=tuple(sorted(self._wakes.items())),
            capacity=self._world.capacity,
            errors=tuple(self._errors),
        )


class _Room:
    """What is free for the waiting during one pass. It only shrinks, so a shape that was refused stays refused."""

    def __init__(self, world: World) -> None:
        self._solver = world.solver
        self._free = world.inventory.fork()
        self._left: Inventory | None = None
        """What is free once room is kept, if it is for any."""
        self._asking: list[Shape] = []
        self._kept = 0
        self._refused: dict[Shape, Verdict | None] = {}

    def keep(self, shape: Shape) -> None:
        """A gang that would be placed were its pods admitted as they are written, which is being asked: what it will
        have in a moment is not free for those behind it."""
        self._asking.append(shape)

    def find(self, shape: Shape) -> Found | Verdict | None:
        """A placement; the verdict, in numbers that leave kept room out of account, since they are told for longer than
        it is kept; or None if nothing but kept room is in the way."""
        if shape in self._refused:
            return self._refused[shape]
        self._keep_asked()
        answer = self._solver.place(self._free if self._left is None else self._left, shape)
        if isinstance(answer, Found):
            return answer
        if self._left is not None:
            alone = self._solver.place(self._free, shape)
            self._refused[shape] = alone if isinstance(alone, Verdict) else None
        else:
            self._refused[shape] = answer
        return self._refused[shape]

    def take(self, owner: str, shape: Shape, found: Found) -> None:
        """A gang is placed."""
        load = load_of(found.nodes, [role.requests for role in shape.roles])
        self._free.claim(owner, load)
        if self._left is not None:
            self._left.claim(owner, load)

    def _keep_asked(self) -> None:
        for shape in self._asking:
            if self._left is None:
                self._left = self._free.fork()
            found = self._solver.place(self._left, shape)
            if isinstance(found, Found):
                self._kept += 1
                self._left.claim(f"\0{self._kept}", load_of(found.nodes, [role.requests for role in shape.roles]))
        self._asking.clear()
