"""The committing half of the Answers table (architecture.md): one transition, one compare-and-set.

A status write that got no answer may have happened, may still happen, or may never happen. Which of these it is shows
in the object alone: its resourceVersion is past the one tested (then no write of ours can land any more), or it is not
(then the same compare-and-set is sent again, which at most one of the two can win).
"""

from __future__ import annotations

import logging
from enum import Enum
from typing import Protocol

from muster.core.model import Committed, Gone, Job, Kind, Lost, Refused, Rejected, Transition, Upsert
from muster.kube.backoff import Backoff
from muster.kube.errors import Answer, ApiError
from muster.worker.tools import Tools

log = logging.getLogger(__name__)

IN_FLIGHT_AT_MOST = 60.0
"""Seconds: the API server ends every request by then (its --request-timeout), so nothing of ours lands later."""


class Outcome(Enum):
    """What became of a transition."""

    COMMITTED = "committed"
    LOST = "lost"
    REFUSED = "refused"


class Statuses(Protocol):
    """What of `api.Api` is needed here. Both raise ApiError."""

    async def write_status(self, job: Job | Rejected, transition: Transition) -> Job | Rejected:
        """One attempt at the compare-and-set; the object as it is then."""
        ...

    async def read_job(self, namespace: str, name: str) -> Job | Rejected:
        """The object now, read consistently."""
        ...


class Committer:
    """Commits transitions, one call each; the outcome also goes through the door before the call returns."""

    def __init__(self, api: Statuses, tools: Tools) -> None:
        self._api = api
        self._tools = tools

    async def commit(self, job: Job | Rejected, transition: Transition) -> Outcome:
        """Write `transition` of `job` (as acknowledged). Raises Closed, and LeaseStale of the client."""
        return await _Attempt(self._api, self._tools, job, transition).run()


class _Attempt:
    """One transition on its way."""

    def __init__(self, api: Statuses, tools: Tools, job: Job | Rejected, transition: Transition) -> None:
        self._api = api
        self._tools = tools
        self._job = job
        self._transition = transition
        self._backoff = Backoff(tools.random)
        self._unanswered = False
        """A write of ours may have landed, or may still land."""
        self._may_land_until = float("-inf")

    async def run(self) -> Outcome:
        while True:
            self._tools.gate.check()
            try:
                record = await self._api.write_status(self._job, self._transition)
            except ApiError as error:
                outcome = await self._after(error)
                if outcome is not None:
                    return outcome
                await self._tools.gate.pause(max(self._backoff.next(), error.retry_after or 0.0))
                continue
            self._tools.put(Upsert(record, self._tools.now()))
            if record.rv == self._transition.base_rv:
                # The server found nothing to change, so no record will ever say that it happened.
                return self._lost()
            return Outcome.COMMITTED

    async def _after(self, error: ApiError) -> Outcome | None:
        """What a refusal means; None: test again."""
        match error.answer:
            case Answer.THROTTLED:
                return None
            case Answer.UNKNOWN | Answer.EXPIRED:
                if not error.sent:
                    return None
                self._unanswered = True
                self._may_land_until = self._tools.clock() + IN_FLIGHT_AT_MOST
                return await self._look()
            case Answer.CONFLICT | Answer.GONE | Answer.EXISTS:
                return await self._look()
            case (
                Answer.QUOTA
                | Answer.POLICY
                | Answer.NAMESPACE_TERMINATING
                | Answer.RBAC
                | Answer.INVALID
                | Answer.TOO_LARGE
            ):
                if self._tools.clock() < self._may_land_until:
                    # This try was refused, but an earlier one may still land: dropping the assumption now could give
                    # its nodes to another job.
                    return await self._look()
                return self._refused(error)

    async def _look(self) -> Outcome | None:
        """Find out by a consistent GET; None while our write may still be in flight, or nothing can be seen."""
        job, tools = self._job, self._tools
        tools.gate.check()
        try:
            shown = await self._api.read_job(job.namespace, job.name)
        except ApiError as error:
            if error.answer is Answer.GONE:
                return self._gone()
            log.warning("cannot see whether a commit happened: %s", error, extra={"job": job.key})
            return None
        tools.put(Upsert(shown, tools.now()))
        if shown.id != job.id:
            return self._gone()
        if shown.rv == self._transition.base_rv:
            return None
        if self._unanswered and carries(shown.status, self._transition.status):
            return Outcome.COMMITTED
        return self._lost()

    def _gone(self) -> Outcome:
        self._tools.put(Gone(Kind.JOB, self._job.id, self._tools.now()))
        return self._lost()

    def _lost(self) -> Outcome:
        self._tools.put(Lost(self._job.id, self._transition.base_rv))
        return Outcome.LOST

    def _refused(self, error: ApiError) -> Outcome:
        job = self._job
        log.error("the API server refuses to commit %s: %s", self._transition.cause, error, extra={"job": job.key})
        self._tools.put(
            Refused(job.id, job.status.attempt, error.answer.value, error.message, self._tools.now(), commit=True)
        )
        return Outcome.REFUSED


def carries(shown: Committed, sent: Committed) -> bool:
    """Whether a status is the one we sent, as far as others build on it: phase, attempt, placement and its term.

    Two that differ only in what people read count as the same; the record put beforehand shows what is true.
    """
    if shown.phase is not sent.phase or shown.attempt != sent.attempt:
        return False
    old, new = shown.placement, sent.placement
    if old is None or new is None:
        return old is new
    return (old.attempt, old.gang_attempt, old.term, old.nodes, old.born) == (
        new.attempt,
        new.gang_attempt,
        new.term,
        new.nodes,
        new.born,
    )
