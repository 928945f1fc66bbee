"""The carrying half of the Answers table: the duties of one moment, in their order, a bounded number at a time.

A batch is what was due when it was asked for. It stops early, after what is in flight has been answered, when there is
something newer to do; whatever is left then is asked for again, if it still follows from what is committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from muster.core.lifecycle import CREATE_SILENCE
from muster.core.model import Admit, CreatePod, Duty, EnsureChild, Job, ReadView, Refused, Rejected
from muster.kube.client import LeaseStale
from muster.kube.errors import Answer, ApiError
from muster.worker.ledger import Ledger
from muster.worker.steps import Scene, Steps, retryable
from muster.worker.tools import Closed, Tools

log = logging.getLogger(__name__)

LOOK_UP = 0.2
"""Seconds between two looks for something newer while a read is waited for."""
SILENCE = 60.0
"""Seconds without an answer to any create after which an attempt to start is given up."""


class Memory:
    """What a worker remembers of one phase of its job."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.silent_since: float | None = None
        """When the first create was sent that, like all after it, was not answered."""

    def clear(self) -> None:
        """Another phase or attempt has begun."""
        self.ledger.clear()
        self.silent_since = None


class Carrier:
    """Performs batches; shared by all workers, so that `in_flight` bounds the requests of all of them together."""

    def __init__(
        self,
        steps: Steps,
        tools: Tools,
        *,
        in_flight: int = 32,
        on_defect: Callable[[str], None] = lambda _where: None,
    ) -> None:
        self._steps = steps
        self._tools = tools
        self._in_flight = in_flight
        self._slots = asyncio.Semaphore(in_flight)
        self._on_defect = on_defect

    async def carry(
        self,
        job: Job | Rejected,
        scene: Scene | None,
        duties: Sequence[Duty],
        memory: Memory,
        superseded: Callable[[], bool],
    ) -> None:
        """Perform `duties` of `job` once each, until `superseded` says that there is something newer. Raises Closed or
        LeaseStale, after what was in flight was answered."""
        batch = _Batch(self, job, scene, duties, memory, superseded)
        await batch.run(min(self._in_flight, len(duties)))

    async def step(self, scene: Scene | None, job: Job | Rejected, duty: Duty) -> None:
        """One request's worth of work, the lease checked."""
        self._tools.gate.check()
        await self._steps.perform(scene, job, duty)

    @property
    def slots(self) -> asyncio.Semaphore:
        """What bounds the requests in flight; first come, first served."""
        return self._slots

    @property
    def tools(self) -> Tools:
        """The tools of all workers."""
        return self._tools

    def defect(self, where: str) -> None:
        """Count a programming error."""
        self._on_defect(where)


class _Batch:
    """The duties of one job at one moment."""

    def __init__(
        self,
        carrier: Carrier,
        job: Job | Rejected,
        scene: Scene | None,
        duties: Sequence[Duty],
        memory: Memory,
        superseded: Callable[[], bool],
    ) -> None:
        self._carrier = carrier
        self._tools = carrier.tools
        self._job = job
        self._scene = scene
        self._todo = deque(duties)
        self._memory = memory
        self._superseded = superseded
        self._refused = False
        self._creates_refused = False
        self._halt: Closed | LeaseStale | None = None

    async def run(self, lanes: int) -> None:
        await asyncio.gather(*(self._lane() for _ in range(lanes)))
        if self._halt is not None:
            raise self._halt

    async def _lane(self) -> None:
        while self._todo and not self._stopped():
            if isinstance(self._todo[0], ReadView):
                # It mostly waits for a read that many share; a slot would be lost to those who create.
                await self._reading(self._todo.popleft())
                continue
            async with self._carrier.slots:
                if not self._todo or self._stopped():  # time has passed
                    return
                duty = self._todo.popleft()
                if self._creates_refused and isinstance(duty, CreatePod | EnsureChild):
                    self._memory.ledger.later(duty, self._tools.clock())
                    continue
                await self._one(duty)

    async def _reading(self, duty: Duty) -> None:
        """Unlike a write, a read need not be answered before something newer is begun: a view that hangs must not hold
        up giving up."""
        task = asyncio.ensure_future(self._one(duty))
        try:
            while not (await asyncio.wait((task,), timeout=LOOK_UP))[0]:
                if self._stopped():
                    return
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))

    def _stopped(self) -> bool:
        return self._halt is not None or self._superseded()

    async def _one(self, duty: Duty) -> None:
        clock, ledger = self._tools.clock, self._memory.ledger
        creating = isinstance(duty, CreatePod)
        sent = clock()
        try:
            await self._carrier.step(self._scene, self._job, duty)
        except (Closed, LeaseStale) as halt:
            self._halt = halt
        except ApiError as error:
            ledger.later(duty, clock(), error.retry_after or 0.0)
            if not retryable(error):
                self._refuse(duty, error)
            if creating:
                self._heard(sent, error.answer is not Answer.UNKNOWN)
            if retryable(error):
                log.info("%s: %s, will be repeated", type(duty).__name__, error, extra={"job": self._job.key})
        except Exception:
            # A defect of ours in one step must not keep the others from being taken.
            log.exception("defect while carrying out %s", duty, extra={"job": self._job.key})
            self._carrier.defect("duty")
            ledger.later(duty, clock(), 1.0)
        else:
            ledger.done(duty, clock())
            if creating:
                self._heard(sent, True)

    def _refuse(self, duty: Duty, error: ApiError) -> None:
        if isinstance(duty, CreatePod | EnsureChild):
            self._creates_refused = True  # its like would be refused too
        if self._refused or isinstance(duty, Admit):
            return
        self._refused = True
        self._report(error.answer.value, error.message)

    def _heard(self, sent: float, answered: bool) -> None:
        memory = self._memory
        if answered:
            memory.silent_since = None
        elif memory.silent_since is None:
            memory.silent_since = sent
        elif self._tools.clock() - memory.silent_since >= SILENCE:
            memory.silent_since = None
            self._report(CREATE_SILENCE, f"no create of a pod was answered for {SILENCE:.0f} s")

    def _report(self, error: str, message: str) -> None:
        job = self._job
        log.warning("refused (%s): %s", error, message, extra={"job": job.key, "attempt": job.status.attempt})
        self._tools.put(Refused(job.id, job.status.attempt, error, message, self._tools.now()))
