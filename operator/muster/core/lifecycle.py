"""The life of a job, as one table.

A row is (phases, condition over committed status and observed world, edits); rows are tried from top to bottom, the
first that holds is taken, and all its edits travel in one compare-and-set. Conditions are level-triggered: they look at
what is, never at what happened, so a lost message cannot lose a transition. Placing a job and saying why it waits are
rows too, but need the solver: `plan` takes them through `placed` and `waits`.

The first message about each row stands in `Row`; `explain` has the words for people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from muster.core import failures, recovery
from muster.core.breaks import Break, Fault
from muster.core.model import (
    ACTIVE,
    FINISHED,
    Blame,
    Committed,
    FailureAction,
    Found,
    Job,
    LastFailure,
    Phase,
    Placement,
    Reason,
    Rejected,
    Repaired,
    Reservation,
    StartFailures,
    Stopping,
    Verdict,
    Waiting,
)
from muster.core.observe import Seen

WAITING_INTERVAL = 60_000
"""A waiting message whose reason stays is rewritten at most this often (ms)."""
CREATE_SILENCE = "unknown"
"""The class of refusal with which the worker reports that creates have gone unanswered for too long."""
SAME_REFUSALS = 3
"""This many aborts with one message of the scheduler make the job Stalled."""
BLAMED_TWICE = 2
"""A node blamed so often by a job is avoided by it."""
MOST_BLAMED = 64
"""Nodes that a job's status keeps blame of."""


class Row(Enum):
    """The rows, by name: the `cause` of a transition."""

    RELEASED = "Released"
    DEADLINE = "DeadlineExceeded"
    SUCCEEDED = "Succeeded"
    EXHAUSTED = "Exhausted"
    SUSPENDING = "Suspending"
    VOID = "ClaimVoid"
    START_FAILED = "StartFailed"
    START = "Starting"
    RUNS = "Running"
    LOST = "Disrupted"
    OWN_FAILURE = "OwnFailure"
    FAIL_JOB = "FailedByRule"
    REPAIR = "Repairing"
    RESTART = "Restarting"
    RESERVATION_ENDED = "ReservationEnded"
    REQUEUED = "Requeued"
    RESUMED = "Resumed"
    SUSPENDED = "Suspended"
    PLACED = "Placed"
    WAITS = "Waiting"
    RELABELLED = "TopologyChanged"
    COUNTED = "Counted"


Rank = tuple[int, int]
"""(role, rank)."""


@dataclass(frozen=True, slots=True)
class Mend:
    """How a broken gang goes on where it is: its nodes, the ranks whose pods are made anew, those of them that move,
    and whether all are made anew. `found` is what the solver answered; None: every rank stays where it is."""

    nodes: tuple[tuple[str, ...], ...]
    renewed: frozenset[Rank]
    moved: tuple[Rank, ...]
    whole: bool
    found: Repaired | None


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing is decided yet: what its pods request is being asked, and the answer comes in a moment."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a row's condition and edits look at. `mend` is how a gang with breaks goes on; a verdict where the solver
    finds no way, None where it is not to."""

    job: Job
    seen: Seen
    now: int
    mend: Mend | Verdict | Hold | None = None
    term: str = ""

    @property
    def status(self) -> Committed:
        """The committed status."""
        return self.job.status


Condition = Callable[[Situation], bool]
Edit = Callable[[Situation], Committed]


def whole_seconds(now: int) -> int:
    """Persisted times carry whole seconds."""
    return now - now % 1000


def jitter(uid: str, attempt: int) -> float:
    """A number in [0, 1) that is the same for the same job and attempt, on every replica."""
    digest = hashlib.blake2b(f"{uid}/{attempt}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32


def backoff(job: Job, in_vain: int) -> int:
    """How long (ms) to wait after this many failures in a row: doubling from the base to the maximum, with up to a
    quarter of jitter."""
    if in_vain <= 0:
        return 0
    delay = min(job.policy.backoff_base << min(in_vain - 1, 30), job.policy.backoff_max)
    return delay + int(delay * 0.25 * jitter(job.id, job.status.attempt))


# --- Conditions -----------------------------------------------------------------------------------------------------


def running_time(s: Situation) -> int:
    """Running time (ms) of all attempts up to now."""
    since = s.status.running_since
    return s.status.running_ms + (max(0, s.now - since) if since is not None else 0)


def _deadline_passed(s: Situation) -> bool:
    limit = s.job.policy.active_deadline
    return limit is not None and running_time(s) >= limit


def in_row(s: Situation) -> int:
    """Own failures in a row, this attempt's not counted; an attempt that ran long enough starts the row anew."""
    since = s.status.running_since
    long_enough = since is not None and s.now - since >= s.job.policy.reset_after
    return 0 if long_enough else s.status.restarts_in_row


def _own_failure(s: Situation) -> bool:
    return bool(s.seen.failed) or s.seen.finish_timeout


def counted(s: Situation) -> bool:
    """An own failure counts against maxRestarts, unless the rule that matched the first pod to fail says otherwise."""
    own = sorted((b for b in s.seen.breaks if b.fault is Fault.OWN), key=_ended)
    return not own or own[0].rule is None or own[0].rule.counted


def _ended(b: Break) -> tuple[int, int, int]:
    at = b.pod.failure.finished_at if b.pod is not None and b.pod.failure is not None else None
    return (at if at is not None else 1 << 60, b.role, b.rank)


def _exhausted(s: Situation) -> bool:
    if s.seen.lost:
        return s.status.phase is not Phase.PLACED and s.status.disruptions + 1 > s.job.policy.max_disruptions
    own = s.status.phase is not Phase.PLACED and _own_failure(s) and s.seen.start_failure is None
    return own and counted(s) and in_row(s) + 1 > s.job.policy.max_restarts


def _repairs(s: Situation) -> bool:
    return bool(s.seen.lost) and isinstance(s.mend, Mend)


def _restarts(s: Situation) -> bool:
    return _own_failure(s) and s.seen.start_failure is None and isinstance(s.mend, Mend)


def _holds(s: Situation) -> bool:
    return isinstance(s.mend, Hold)


def _start_failed(s: Situation) -> bool:
    return s.seen.start_failure is not None


def _may_start(s: Situation) -> bool:
    seen = s.seen
    return seen.complete and seen.viewed and not seen.stale and not seen.terminating


# --- Edits ----------------------------------------------------------------------------------------------------------


def _move(s: Situation, phase: Phase, **edits: object) -> Committed:
    """The status with a new phase; what every transition writes besides its own edits."""
    at = whole_seconds(s.now)
    status = replace(
        s.status,
        phase=phase,
        phase_since=at if phase is not s.status.phase else s.status.phase_since,
        observed_generation=s.job.generation,
        counts=s.seen.counts,
        relabelled=s.seen.relabelled,
    )
    return replace(status, **edits)  # type: ignore[arg-type]


def _end_attempt(s: Situation, phase: Phase, **edits: object) -> Committed:
    return _move(s, phase, running_ms=running_time(s), running_since=None, placeable_since=None, **edits)


def _finish(s: Situation, phase: Phase, **edits: object) -> Committed:
    done = {"finished": whole_seconds(s.now), "waiting": None, "not_before": None, "stopping": None}
    return _end_attempt(s, phase, **done, **edits)


def last_failure(s: Situation, reason: str, message: str) -> LastFailure:
    """What ended the attempt: up to 8 failures, earliest first, those within 10 s of the first."""
    return failures.told(whole_seconds(s.now), reason, message, s.seen.breaks, s.seen.failed_pods)


def _fail_job(s: Situation) -> Committed:
    message = f"a rule of failurePolicy fails the job: {s.seen.ordered(FailureAction.FAIL_JOB)[0].why}"
    return _finish(s, Phase.FAILED, last_failure=last_failure(s, "FailedByRule", message), blamed=_blame(s))


def _exhaust(s: Situation) -> Committed:
    if s.seen.lost:
        message = (
            f"{s.status.disruptions + 1} disruptions, {s.job.policy.max_disruptions} are allowed; {s.seen.lost[0]}"
        )
        return _finish(
            s,
            Phase.FAILED,
            disruptions=s.status.disruptions + 1,
            last_failure=last_failure(s, "MaxDisruptions", message),
        )
    message = (
        f"failed {in_row(s) + 1} times in a row, {s.job.policy.max_restarts} restarts are allowed; {_own_words(s)}"
    )
    return _finish(s, Phase.FAILED, last_failure=last_failure(s, "MaxRestarts", message))


def _own_words(s: Situation) -> str:
    if s.seen.failed:
        return s.seen.failed[0]
    return f"pods still ran {s.job.policy.linger // 1000} s after the first success (FinishTimeout)"


def _stop(s: Situation, reason: str, message: str, **edits: object) -> Committed:
    return _end_attempt(s, Phase.STOPPING, stopping=Stopping(reason, message), waiting=None, **edits)


def _suspend(s: Situation) -> Committed:
    return _stop(s, "Suspended", "spec.suspend is true")


def _void(s: Situation) -> Committed:
    message = s.seen.void or ""
    return _stop(s, "ClaimVoid", message, start_failures=_one_more(s, "ClaimVoid", message))


def _blame(s: Situation) -> tuple[Blame, ...]:
    """The nodes blamed up to now: one blamed twice is avoided for quarantineSeconds. Of more than 64 the oldest go."""
    known = {blame.node: blame for blame in s.status.blamed}
    for node in sorted({b.node for b in s.seen.breaks if b.blames}):
        count = known[node].count + 1 if node in known else 1
        until = whole_seconds(s.now) + s.job.policy.quarantine if count >= BLAMED_TWICE else None
        known[node] = Blame(node, count, whole_seconds(s.now), until)
    latest = sorted(known.values(), key=lambda blame: (-blame.at, blame.node))[:MOST_BLAMED]
    return tuple(sorted(latest, key=lambda blame: blame.node))


def _repair(s: Situation) -> Committed:
    """Nodes or pods were lost: the same attempt number for all, new pods for those that need one."""
    return _mended(
        s,
        disruptions=s.status.disruptions + 1,
        restarts_in_row=in_row(s),
        last_failure=last_failure(s, "Disrupted", _lost_words(s)),
    )


def _restart(s: Situation) -> Committed:
    reason = "OwnFailure" if s.seen.failed else "FinishTimeout"
    counts = {"restarts": s.status.restarts + 1, "restarts_in_row": in_row(s) + 1} if counted(s) else {}
    return _mended(s, last_failure=last_failure(s, reason, _own_words(s)), **counts)


def _mended(s: Situation, **edits: object) -> Committed:
    """A new attempt with what the repair leaves and makes: each change of placement is committed like the first."""
    mend, old = s.mend, s.status.placement
    assert isinstance(mend, Mend)
    assert old is not None
    attempt = s.status.attempt + 1
    placement = replace(
        old,
        attempt=attempt,
        gang_attempt=attempt if mend.whole else old.gang_attempt,
        term=s.term,
        nodes=mend.nodes,
        born=tuple(
            tuple(attempt if (role, rank) in mend.renewed else born for rank, born in enumerate(births))
            for role, births in enumerate(old.born)
        ),
    )
    if mend.found is not None:
        found = mend.found
        placement = replace(
            placement, objective=found.objective, proven=found.proven, domains=found.domains, least=found.least
        )
    return _move(
        s,
        Phase.REPAIRING,
        attempt=attempt,
        placement=placement,
        running_ms=running_time(s),
        running_since=None,
        blamed=_blame(s),
        repairs=s.status.repairs + 1,
        phase_since=whole_seconds(s.now),
        last_repair=recovery.began(
            s.status, s.seen.breaks, placement, len(mend.renewed), mend.found.how if mend.found else "place", s.now
        ),
        leaving=_leaving(s, old, mend),
        **edits,
    )


def _leaving(s: Situation, old: Placement, mend: Mend) -> tuple[tuple[str, int, str], ...]:
    """Where ranks that move have run, those of repairs before that did not come to a start included; but for what was
    waited for for long enough, or is off."""
    over = {(b.role, b.rank) for b in s.seen.breaks if b.over}
    left = {(role, rank) for role, rank, _ in s.status.leaving}
    moved = {
        (old.roles[role], rank, old.nodes[role][rank])
        for role, rank in mend.moved
        if (role, rank) not in over
        # What this repair has moved already was never let start where it is now.
        and (old.born[role][rank] <= s.status.opened or (old.roles[role], rank) not in left)
    }
    return tuple(sorted({*s.status.leaving, *moved}))


def _one_more(s: Situation, reason: str, message: str) -> StartFailures:
    before = s.status.start_failures
    same = before.same + 1 if before.message == message else 1
    return StartFailures(before.count + 1, message, same, reason)


def _fail_start(s: Situation) -> Committed:
    reason, message = s.seen.start_failure or ("StartFailed", "")
    told = last_failure(s, reason, message) if s.seen.failed_pods else s.status.last_failure
    return _stop(s, reason, message, start_failures=_one_more(s, reason, message), last_failure=told)


def _start(s: Situation) -> Committed:
    return _move(
        s,
        Phase.STARTING,
        last_failure=_gathered(s),
        last_repair=recovery.made(s.status, s.seen),
        opened=s.status.attempt,
        leaving=(),
    )


def _run(s: Situation) -> Committed:
    at = whole_seconds(s.now)
    return _move(
        s,
        Phase.RUNNING,
        running_since=at,
        started=s.status.started if s.status.started is not None else at,
        start_failures=StartFailures(),
        repairs=0,
        last_repair=recovery.ran(s.status, s.now),
    )


def _lost_words(s: Situation) -> str:
    return s.seen.lost[0] + (f" (and {len(s.seen.lost) - 1} more)" if len(s.seen.lost) > 1 else "")


def _lose(s: Situation) -> Committed:
    """Nothing repairs it: back to the queue, by policy with its healthy nodes kept for a while."""
    message = _lost_words(s)
    if isinstance(s.mend, Verdict):
        message += f"; no repair: {s.mend.reason.value}"
    # A kubelet that refuses would otherwise be asked again at once, for ever.
    going = s.status.phase is Phase.RUNNING
    starts = s.status.start_failures if going else _one_more(s, "Disrupted", message)
    return _stop(
        s,
        "Disrupted",
        message,
        disruptions=s.status.disruptions + 1,
        start_failures=starts,
        last_failure=last_failure(s, "Disrupted", message),
        blamed=_blame(s),
        reservation=_reserve(s),
    )


def _reserve(s: Situation) -> Reservation | None:
    placement, wait = s.status.placement, s.job.policy.wait_for_repair
    if not wait or placement is None or not isinstance(s.mend, Verdict):
        return None
    lost = tuple(sorted({(b.role, b.rank) for b in s.seen.breaks if b.fault is Fault.NODE}))
    return Reservation(placement.nodes, lost, whole_seconds(s.now) + wait)


def _own(s: Situation) -> Committed:
    reason = "OwnFailure" if s.seen.failed else "FinishTimeout"
    counts = {"restarts": s.status.restarts + 1, "restarts_in_row": in_row(s) + 1} if counted(s) else {}
    told = last_failure(s, reason, _own_words(s))
    return _stop(s, reason, _own_words(s), last_failure=told, blamed=_blame(s), **counts)


WAITING_REASON = {
    "ImagePull": Reason.IMAGE_PULL,
    "SchedulerRefused": Reason.SCHEDULER_REFUSED,
    "NamespaceQuota": Reason.NAMESPACE_QUOTA,
    "PolicyRefused": Reason.POLICY_REFUSED,
    "StartFailed": Reason.START_FAILED,
    "ClaimVoid": Reason.START_FAILED,
    "OwnFailure": Reason.BACKING_OFF,
    "FinishTimeout": Reason.BACKING_OFF,
    "Disrupted": Reason.BACKING_OFF,
}
"""What a job waits for after an attempt that was stopped for this."""


def _gathered(s: Situation) -> LastFailure | None:
    return failures.gathered(s.status.last_failure, s.seen.failed_pods, s.status.phase_since)


def _requeue(s: Situation) -> Committed:
    stopping = s.status.stopping or Stopping("Disrupted", "")
    released: dict[str, object] = {
        "live": False,
        "placement": None,
        "stopping": None,
        "last_failure": _gathered(s),
        "repairs": 0,
        "leaving": (),
    }
    if s.job.suspend:
        released["reservation"] = None
        return _move(s, Phase.SUSPENDED, not_before=None, waiting=None, counts=(), **released)
    in_vain = max(
        s.status.start_failures.count,
        s.status.restarts_in_row if stopping.reason in ("OwnFailure", "FinishTimeout") else 0,
    )
    delay = backoff(s.job, in_vain)
    waiting = None
    reason = WAITING_REASON.get(stopping.reason)
    if delay and reason is not None:
        if reason is Reason.SCHEDULER_REFUSED and s.status.start_failures.same < SAME_REFUSALS:
            reason = Reason.START_FAILED  # once or twice may be a race
        verdict = Verdict(reason, (("attempt", s.status.attempt),))
        waiting = Waiting(verdict, f"attempt {s.status.attempt}: {stopping.message}", whole_seconds(s.now))
    not_before = whole_seconds(s.now + delay + 999) if delay else None
    return _move(s, Phase.PENDING, not_before=not_before, waiting=waiting, counts=(), **released)


# --- The table ------------------------------------------------------------------------------------------------------


def _phases(*phases: Phase) -> frozenset[Phase]:
    return frozenset(phases)


P = Phase
TABLE: tuple[tuple[Row, frozenset[Phase], Condition, Edit], ...] = (
    (
        Row.RELEASED,
        FINISHED,
        lambda s: s.status.live and s.seen.holding == 0,
        lambda s: _move(s, s.status.phase, live=False, leaving=()),
    ),
    (
        Row.DEADLINE,
        _phases(P.RUNNING),
        _deadline_passed,
        lambda s: _finish(s, P.FAILED, last_failure=_over_deadline(s)),
    ),
    (Row.SUCCEEDED, ACTIVE, lambda s: s.seen.succeeded, lambda s: _finish(s, P.SUCCEEDED)),
    (
        Row.FAIL_JOB,
        _phases(P.STARTING, P.RUNNING, P.REPAIRING),
        lambda s: bool(s.seen.ordered(FailureAction.FAIL_JOB)),
        _fail_job,
    ),
    (Row.EXHAUSTED, ACTIVE, _exhausted, _exhaust),
    (Row.SUSPENDING, ACTIVE, lambda s: s.job.suspend, _suspend),
    (Row.VOID, _phases(P.PLACED, P.REPAIRING), lambda s: s.seen.void is not None, _void),
    (Row.REPAIR, _phases(P.STARTING, P.RUNNING, P.REPAIRING), _repairs, _repair),
    (
        Row.LOST,
        _phases(P.STARTING, P.RUNNING, P.REPAIRING),
        lambda s: bool(s.seen.lost) and not _holds(s),
        _lose,
    ),
    (Row.START_FAILED, _phases(P.PLACED, P.STARTING, P.REPAIRING), _start_failed, _fail_start),
    (Row.START, _phases(P.PLACED, P.REPAIRING), _may_start, _start),
    (Row.RUNS, _phases(P.STARTING), lambda s: s.seen.all_ran, _run),
    (Row.RESTART, _phases(P.STARTING, P.RUNNING, P.REPAIRING), _restarts, _restart),
    (
        Row.OWN_FAILURE,
        _phases(P.STARTING, P.RUNNING, P.REPAIRING),
        lambda s: _own_failure(s) and not _holds(s),
        _own,
    ),
    (Row.REQUEUED, _phases(P.STOPPING), lambda s: s.seen.holding == 0, _requeue),
    (Row.RESUMED, _phases(P.SUSPENDED), lambda s: not s.job.suspend, lambda s: _move(s, P.PENDING)),
    (
        Row.SUSPENDED,
        _phases(P.PENDING),
        lambda s: s.job.suspend,
        lambda s: _move(s, P.SUSPENDED, waiting=None, not_before=None, reservation=None),
    ),
    (
        Row.RESERVATION_ENDED,
        _phases(P.PENDING),
        lambda s: s.status.reservation is not None and s.now >= s.status.reservation.until,
        lambda s: _move(s, P.PENDING, reservation=None),
    ),
    (
        Row.RELABELLED,
        _phases(P.STARTING, P.RUNNING, P.REPAIRING),
        lambda s: s.seen.relabelled != s.status.relabelled,
        lambda s: _move(s, s.status.phase),
    ),
    (
        Row.COUNTED,
        frozenset(P) - _phases(P.PENDING),
        lambda s: s.status.observed_generation != s.job.generation or s.seen.count_due,
        lambda s: _move(s, s.status.phase),
    ),
)


def _over_deadline(s: Situation) -> LastFailure:
    seconds = (s.job.policy.active_deadline or 0) // 1000
    return last_failure(s, "DeadlineExceeded", f"ran longer than activeDeadlineSeconds ({seconds} s)")


def step(
    job: Job, seen: Seen, now: int, mend: Mend | Verdict | Hold | None = None, term: str = ""
) -> tuple[Row, Committed] | None:
    """The first row of the table that holds, and the status it writes; None: nothing to write now. A job that is being
    deleted is not moved any more. `mend` is how a gang with breaks goes on, `term` that of this leader."""
    if job.deleting:
        return None
    situation = Situation(job, seen, now, mend, term)
    for row, phases, condition, edit in TABLE:
        if job.status.phase in phases and condition(situation):
            return row, edit(situation)
    return None


def placed(job: Job, found: Found, term: str, roles_hash: str, now: int) -> Committed:
    """Pending -> Placed: a new attempt with these nodes, every pod made anew."""
    attempt = job.status.attempt + 1
    placement = Placement(
        attempt=attempt,
        gang_attempt=attempt,
        term=term,
        generation=job.generation,
        roles_hash=roles_hash,
        roles=tuple(role.name for role in job.roles),
        nodes=found.nodes,
        born=tuple((attempt,) * len(nodes) for nodes in found.nodes),
        objective=found.objective,
        proven=found.proven,
        domains=found.domains,
        least=found.least,
    )
    return replace(
        job.status,
        phase=Phase.PLACED,
        phase_since=whole_seconds(now),
        observed_generation=job.generation,
        live=True,
        attempt=attempt,
        placement=placement,
        waiting=None,
        not_before=None,
        stopping=None,
        placeable_since=None,
        counts=(),
        reservation=None,
        repairs=0,
    )


def pauses(job: Job | Rejected, now: int) -> bool:
    """Its back-off is not over. A spec that was changed since ends it: the next attempt is another one."""
    status = job.status
    return status.not_before is not None and status.not_before > now and status.observed_generation == job.generation


def lost_its_room(job: Job) -> bool:
    """The back-off that runs is for what became of the nodes, not for something of the job's own (its image, a policy,
    its program): other nodes may do, so room that comes free ends it."""
    status = job.status
    told = status.waiting.verdict.reason if status.waiting is not None else None
    last = status.last_failure.reason if status.last_failure is not None else ""
    match status.start_failures.reason:
        case "ClaimVoid":
            return told is Reason.START_FAILED
        case "Disrupted":
            return told is Reason.BACKING_OFF and last == "Disrupted"
        case _:
            return False


def is_news(job: Job | Rejected, verdict: Verdict) -> bool:
    """What the status of a waiting job says is another reason, or was said of another generation: it is told at once,
    while numbers that changed are told later."""
    old = job.status.waiting
    same_reason = old is not None and old.verdict.reason is verdict.reason
    return not same_reason or job.status.observed_generation != job.generation


def waits(job: Job | Rejected, verdict: Verdict, message: str, now: int, written_at: int) -> Committed | None:
    """Pending -> Pending: why it waits, if that is to be written now. A changed reason is told at once, changed numbers
    at most once a minute."""
    status = job.status
    placeable = status.placeable_since
    if verdict.reason is Reason.WAITING_FOR_PREFERRED and placeable is None:
        placeable = whole_seconds(now)
    old = status.waiting
    same_reason = old is not None and old.verdict.reason is verdict.reason
    if (
        same_reason
        and status.observed_generation == job.generation
        and placeable == status.placeable_since
        and old is not None
        and ((old.verdict == verdict and old.message == message) or now - written_at < WAITING_INTERVAL)
    ):
        return None
    since = old.since if same_reason and old is not None else whole_seconds(now)
    return replace(
        status,
        observed_generation=job.generation,
        waiting=Waiting(verdict, message, since),
        placeable_since=placeable,
        not_before=status.not_before if pauses(job, now) else None,
    )
