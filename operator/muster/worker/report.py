"""What people and Prometheus hear of the workers: Events about committed transitions, counts of the rest."""

from __future__ import annotations

from collections.abc import Callable

from muster.core.explain import TTL_KEPT, Announcement, announce
from muster.core.model import Job, Rejected, Transition
from muster.kube.events import EventWriter, Subject
from muster.worker.commit import Outcome

API_VERSION = "muster.dev/v1alpha1"


class Reporter:
    """A `pool.Observer`. `on_outcome` gets the row, the outcome and the seconds from decision to outcome; `on_defect`
    where a programming error was contained."""

    def __init__(
        self,
        events: EventWriter | None = None,
        *,
        on_outcome: Callable[[str, Outcome, float], None] = lambda _cause, _outcome, _seconds: None,
        on_defect: Callable[[str], None] = lambda _where: None,
    ) -> None:
        self._events = events
        self._on_outcome = on_outcome
        self._on_defect = on_defect

    def settled(self, job: Job | Rejected, transition: Transition, outcome: Outcome, seconds: float) -> None:
        """A transition of `job` (as it was before) had this outcome."""
        self._on_outcome(transition.cause, outcome, seconds)
        if outcome is not Outcome.COMMITTED:
            return
        said = announce(job, transition)
        if said is not None:
            self._publish(job, transition.status.attempt, said)

    def outlives(self, job: Job) -> None:
        """A job that a GitOps tool tracks stays, though its ttl has passed."""
        self._publish(job, job.status.attempt, TTL_KEPT)

    def _publish(self, job: Job | Rejected, attempt: int, said: Announcement) -> None:
        if self._events is None:
            return
        about = Subject(API_VERSION, "TrainingJob", job.namespace, job.name, job.id)
        self._events.publish(about, attempt, said.reason, said.message, type="Warning" if said.warning else "Normal")

    def warn(self, about: Subject, reason: str, message: str) -> None:
        """Something about an object that is no job of ours."""
        if self._events is not None:
            self._events.publish(about, 0, reason, message, type="Warning")

    def defect(self, where: str) -> None:
        """A programming error was contained."""
        self._on_defect(where)
