"""The workers of all jobs: where the loop hands over transitions and says whose duties may have changed.

A worker is one task while there is something to do for its job, and nothing but a little memory in between. It takes
the transitions of its job in order, and carries out duties only while none is waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from muster.core.duties import duties, expired
from muster.core.model import CreatePod, DeletePod, Duty, Job, Lost, Phase, Rejected, Transition
from muster.core.observe import outdated
from muster.core.world import World
from muster.kube.backoff import Backoff
from muster.kube.client import LeaseStale
from muster.worker.carry import Carrier, Memory
from muster.worker.commit import Committer, Outcome
from muster.worker.ledger import Ledger
from muster.worker.steps import Scene
from muster.worker.tools import Closed, Tools

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Who is told what the workers did, for metrics and Events; must not raise or block."""

    def settled(self, job: Job | Rejected, transition: Transition, outcome: Outcome, seconds: float) -> None:
        """A transition of `job` (as it was before) had this outcome, so long after it was decided."""
        ...

    def outlives(self, job: Job) -> None:
        """The job's ttl has passed: its pods go, the job stays since a GitOps tool tracks it. May be told again."""
        ...

    def defect(self, where: str) -> None:
        """A programming error was met, and survived."""
        ...


@dataclass(slots=True)
class _Order:
    """A transition on its way; `done` tells those that come after it."""

    transition: Transition
    after: tuple[asyncio.Future[Outcome], ...]
    done: asyncio.Future[Outcome]
    since: float


@dataclass(slots=True)
class Counts:
    """How much is going on: workers with a task, transitions not yet settled."""

    busy: int = 0
    waiting: int = 0


class Workers:
    """All workers. Belongs to the loop's event loop; `world` is only read."""

    def __init__(
        self,
        world: World,
        committer: Committer,
        carrier: Carrier,
        tools: Tools,
        observer: Observer,
        *,
        derive: Callable[[World, str, int], Sequence[Duty]] = duties,
    ) -> None:
        self._world = world
        self._committer = committer
        self._carrier = carrier
        self._tools = tools
        self._observer = observer
        self._derive = derive
        self._workers: dict[str, _Worker] = {}
        self._orders: dict[str, asyncio.Future[Outcome]] = {}
        """The last transition of each job that is not settled."""

    def submit(self, transition: Transition) -> None:
        """Commit this transition, after those of the jobs it names; it has been assumed in the world."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        after = tuple(self._orders[uid] for uid in transition.after if uid in self._orders)
        self._orders[transition.job] = done
        self._worker(transition.job).submit(_Order(transition, after, done, self._tools.clock()))

    def kick(self, uid: str) -> None:
        """The duties of this job may have changed."""
        job = self._world.acknowledged(uid)
        if uid in self._workers or (job is not None and self._world.serves(job.namespace)):
            self._worker(uid).wake()

    @property
    def counts(self) -> Counts:
        """For metrics."""
        busy = sum(worker.task is not None for worker in self._workers.values())
        return Counts(busy, len(self._orders))

    async def drain(self, seconds: float) -> bool:
        """Send nothing more, wait up to `seconds` until what is in flight is answered; whether all was."""
        self._tools.gate.close()
        tasks = [worker.task for worker in self._workers.values() if worker.task is not None]
        for worker in self._workers.values():
            worker.signal.set()
        if not tasks:
            return True
        _, left = await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return not left

    def _worker(self, uid: str) -> _Worker:
        worker = self._workers.get(uid)
        if worker is None:
            worker = self._workers[uid] = _Worker(self, uid)
        return worker

    # --- what a worker asks of the pool ---

    def ended(self, uid: str) -> None:
        """The worker's task has ended; of a job that is gone nothing is kept."""
        worker = self._workers[uid]
        if not worker.queue and self._world.acknowledged(uid) is None:
            del self._workers[uid]

    def settle(self, order: _Order, job: Job | Rejected | None, outcome: Outcome) -> None:
        """A transition has its outcome."""
        if self._orders.get(order.transition.job) is order.done:
            del self._orders[order.transition.job]
        if not order.done.done():
            order.done.set_result(outcome)
        if job is not None:
            self._observer.settled(job, order.transition, outcome, self._tools.clock() - order.since)

    def derive(self, uid: str) -> tuple[Job | Rejected | None, Scene | None, list[Duty]]:
        """The job, what its objects are rendered from, and its duties, all of one moment."""
        world = self._world
        job = world.acknowledged(uid)
        if job is None:
            return None, None, []
        due = list(self._derive(world, uid, self._tools.now()))
        if not isinstance(job, Job):
            return job, None, due
        nodes = {duty.node for duty in due if isinstance(duty, CreatePod)}
        return job, Scene(job, world.topology, {node: world.domains_of(node) for node in sorted(nodes)}), due

    def outlives(self, job: Job | Rejected, due: Sequence[Duty]) -> None:
        """Tell of a job that a GitOps tool tracks, where its pods are cleared away for its ttl."""
        if not isinstance(job, Job) or not job.gitops or not any(isinstance(duty, DeletePod) for duty in due):
            return
        if expired(job, self._tools.now()):
            self._observer.outlives(job)

    def standing(self, uid: str) -> tuple[Phase, int, bool, bool] | None:
        """What the duties of a batch hang on; when it changes, the rest of the batch is dropped."""
        job = self._world.job(uid)
        if job is None:
            return None
        orphaning = isinstance(job, Job) and job.orphaning
        return job.status.phase, job.status.attempt, job.deleting, orphaning

    @property
    def world(self) -> World:
        """Read only."""
        return self._world

    @property
    def tools(self) -> Tools:
        """The tools of all workers."""
        return self._tools

    @property
    def committer(self) -> Committer:
        """What commits."""
        return self._committer

    @property
    def carrier(self) -> Carrier:
        """What carries out."""
        return self._carrier

    def defect(self, where: str) -> None:
        """Count a programming error."""
        self._observer.defect(where)


@dataclass(slots=True)
class _Worker:
    """One job's worker."""

    pool: Workers
    uid: str
    queue: deque[_Order] = field(default_factory=deque)
    signal: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    memory: Memory = field(init=False)
    standing: tuple[Phase, int, bool, bool] | None = None
    losses: int = 0
    """Transitions lost or refused in a row."""

    def __post_init__(self) -> None:
        self.memory = Memory(Ledger(self.pool.tools.random))

    def submit(self, order: _Order) -> None:
        self.queue.append(order)
        self.wake()

    def wake(self) -> None:
        self.signal.set()
        if self.task is None and not self.pool.tools.gate.closed:
            self.task = asyncio.create_task(self._run(), name=f"worker {self.uid}")

    async def _run(self) -> None:
        backoff = Backoff(self.pool.tools.random, base=1.0)
        try:
            while True:
                try:
                    if not await self._turn():
                        return
                    backoff.reset()
                except Closed:
                    return
                except LeaseStale:
                    self.pool.tools.gate.stale()
                    return
                except Exception:
                    log.exception("defect in the worker of job %s", self.uid)
                    self.pool.defect("worker")
                    if not await self._rest(backoff.next()):
                        return
        finally:
            self.task = None
            self.pool.ended(self.uid)

    async def _turn(self) -> bool:
        """Do what is next; False: nothing is left to do."""
        pool = self.pool
        self.signal.clear()
        if pool.tools.gate.closed:
            return False
        if self.queue:
            await self._commit(self.queue.popleft())
            return True
        standing = pool.standing(self.uid)
        if standing != self.standing:
            self.standing = standing
            self.memory.clear()
        job, scene, duties_ = pool.derive(self.uid)
        if job is None or not duties_:
            return False
        due, delay = self.memory.ledger.due(duties_, pool.tools.clock())
        if due:
            pool.outlives(job, due)
            await pool.carrier.carry(job, scene, due, self.memory, self._superseded)
        else:
            await self._pause(delay or 0.0)
        return True

    def _superseded(self) -> bool:
        return bool(self.queue) or self.pool.tools.gate.closed or self.pool.standing(self.uid) != self.standing

    async def _commit(self, order: _Order) -> None:
        pool, transition = self.pool, order.transition
        job = None
        outcome = Outcome.LOST
        settled = False
        try:
            for earlier in order.after:
                # Shielded: what becomes of this job must not touch the others.
                if await asyncio.shield(earlier) is not Outcome.COMMITTED:
                    break
            else:
                if self.losses > 1:
                    await pool.tools.gate.pause(min(30.0, 0.25 * 2.0 ** min(self.losses, 10)))
                job = pool.world.acknowledged(self.uid)
                fresh = job is not None and job.rv == transition.base_rv  # else the test could only fail
                if job is not None and fresh and not outdated(pool.world, transition):
                    outcome = await pool.committer.commit(job, transition)
                    settled = True
        finally:
            if not settled:
                # Whatever happened, the assumption must not outlive the one who was to make it true.
                pool.tools.put(Lost(transition.job, transition.base_rv))
            self.losses = 0 if outcome is Outcome.COMMITTED else self.losses + 1
            pool.settle(order, job, outcome)

    async def _rest(self, seconds: float) -> bool:
        try:
            await self.pool.tools.gate.pause(seconds)
        except Closed:
            return False
        return True

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until something is new."""
        timer = asyncio.get_running_loop().call_later(seconds, self.signal.set)
        try:
            await self.signal.wait()
        finally:
            timer.cancel()
