"""plan(world, now): what follows from all that is known. Synchronous, and pure in effect.

First the table is put to every job on the agenda. Then the waiting are put to the solver in their order; each placement
takes its room before the next is looked at (`policy.room`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heapify, heappop, heapreplace

from muster.core import lifecycle
from muster.core.line import Group, Order
from muster.core.model import Committed, Found, Job, Phase, Plan, Rejected, Shape, Transition, Verdict
from muster.core.observe import Seen, observe
from muster.core.policy import queueing, repair
from muster.core.policy.room import Room
from muster.core.telling import Teller
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
    planner.repair()
    if everything or world.waiting_stale or planner.pending or world.queue_due(now):
        planner.queue()
    return planner.plan()


@dataclass(slots=True, eq=False)
class _Turn:
    """Those of a group who have not been looked at yet, from `at` on; without a group one job by itself."""

    group: Group | None
    members: Sequence[Order]
    at: int = 0


class _Planner:
    """One pass; see `plan`."""

    def __init__(self, world: World, now: int) -> None:
        self._world = world
        self._now = now
        self._transitions: list[Transition] = []
        self._queued = False
        self._wakes: dict[str, int | None] = {}
        self._errors: list[tuple[str, str]] = []
        self._broken: list[tuple[Job, Seen]] = []
        self._teller = Teller(world, now)
        self.pending = False
        """A job on the agenda is waiting."""

    def look(self, uid: str) -> None:
        """Put the table to one job."""
        job = self._world.job(uid)
        if job is not None and not self._world.serves(job.namespace):
            self._wakes[uid] = None
            return
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
            self._wakes[job.id] = self._teller.tell(job, held.verdict)

    def queue(self) -> None:
        """Put the waiting to the solver, in their order: of a group the next, until one of it is refused, and with it
        all that are left of it."""
        self._queued = True
        line = self._world.line
        moved = {t.job for t in self._transitions}
        quotas, blind = queueing.QuotaBook(self._world), queueing.unknown_claims(self._world)
        turns = [(group.members[0], _Turn(group, group.members)) for group in line.groups.values()]
        turns += [(order, _Turn(None, (order,))) for order in line.apart]
        heapify(turns)
        refused: list[tuple[Group, Verdict, Shape | None]] = []
        while turns:
            (_, _, uid), turn = turns[0]
            over = True
            job = self._world.job(uid)
            assert isinstance(job, Job)
            try:
                if uid in moved or (turn.group is None and self._barred(uid)):
                    over = False
                    self._teller.spare(uid)
                else:
                    over = self._put(job, turn.group, quotas, blind, refused)
            except Exception as error:  # as above
                self._fail(uid, error)
                self._teller.spare(uid)
                over = False
            turn.at += 1
            if over or turn.at == len(turn.members):
                heappop(turns)
            else:
                heapreplace(turns, (turn.members[turn.at], turn))
        for group, verdict, shape in refused:
            try:
                self._tell(group, verdict, shape)
            except Exception as error:  # as above
                self._fail(group.members[0][2], error)
        self._teller.tell_numbers()

    def _tell(self, group: Group, verdict: Verdict, shape: Shape | None) -> None:
        if shape is None:
            self._teller.tell_group(group, verdict, None)
        else:
            final = self._room.in_the_end(shape, verdict)
            self._teller.tell_group(group, final, (self._room.free, shape))

    def _put(
        self,
        job: Job,
        group: Group | None,
        quotas: queueing.QuotaBook,
        blind: bool,
        refused: list[tuple[Group, Verdict, Shape | None]],
    ) -> bool:
        """Put one job to the solver, for its group if it has one. Says whether the same holds for the rest of it."""
        world, now, room = self._world, self._now, self._room
        held = queueing.held(world, job, now)
        shape = world.shape(job)
        if held is None:
            held = quotas.held(job, shape)
        if held is None and blind:
            held = queueing.Held(None)
        if held is not None:
            if held.verdict is not None:
                self._refuse(job, group, held.verdict, None, refused)
            if held.asking:
                room.keep(shape)
            return not held.asking
        if job.id in world.line.flying:
            room.keep(shape)
            return True
        own = repair.peculiar(job, now)
        answer = repair.find(world, room.left, job, shape, now) if own else room.find(shape)
        if not isinstance(answer, Found) and lifecycle.pauses(job, now):
            return True  # cut short for nothing: it goes on saying why it pauses
        if isinstance(answer, Verdict):
            # Of a job whose nodes are kept or avoided the change is not the one that its shape has in common.
            self._refuse(job, group, answer, None if own else shape, refused)
            return True
        if answer is None:
            return True
        self._teller.spare(job.id)
        if queueing.prefers_to_wait(job, answer, now):
            self._prefer(job, answer)
            return False
        room.take(job.id, shape, answer.nodes)
        quotas.take(job)
        self._decide(
            job, lifecycle.Row.PLACED, lifecycle.placed(job, answer, world.term or "", world.roles_hash(job), now)
        )
        return False

    def _refuse(
        self,
        job: Job,
        group: Group | None,
        verdict: Verdict,
        shape: Shape | None,
        refused: list[tuple[Group, Verdict, Shape | None]],
    ) -> None:
        if group is not None:
            refused.append((group, verdict, shape))
        else:
            self._teller.tell(job, verdict, None if shape is None else (self._room.free, shape))

    def _prefer(self, job: Job, found: Found) -> None:
        since = job.status.placeable_since
        until = (since if since is not None else lifecycle.whole_seconds(self._now)) + job.policy.prefer_wait
        verdict = queueing.short_of_preferred(found)
        self._teller.tell(job, replace(verdict, numbers=(*verdict.numbers, ("until", until))))
        self._wake(job.id, until)

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
        world = self._world
        queue_at = self._teller.wake_at
        if not self._queued and world.queue_at is not None:
            queue_at = world.queue_at if queue_at is None else min(queue_at, world.queue_at)
        times = (world.agenda.next_wake(self._wakes), world.next_expiry, queue_at)
        return Plan(
            transitions=(*self._transitions, *self._teller.transitions),
            wake_at=min((at for at in times if at is not None), default=None),
            wakes=tuple(sorted(self._wakes.items())),
            capacity=world.capacity,
            errors=tuple(self._errors),
            queued=self._queued,
            queue_at=queue_at,
        )
