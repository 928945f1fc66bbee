"""What the world shows of one job's current attempt, as the rows of the table ask it. Pure reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from muster.core import breaks
from muster.core.breaks import Break, Fault
from muster.core.model import (
    ACTIVE,
    FINISHED,
    FailureAction,
    Job,
    OnFailure,
    Phase,
    Placement,
    Pod,
    RoleCount,
    Stage,
    SuccessWhen,
    Transition,
)
from muster.core.pods import SeenPod
from muster.core.stopped import NEVER, ghost_until, patience, stops_at
from muster.core.world import World

COUNT_INTERVAL = 1_000
"""Counts in status are written at most this often (ms) a job, five times less often while it starts, and above"""
MANY_PODS = 1_000
"""so many pods."""
READMIT_AFTER = 30_000
"""A refused dry run is asked again this long (ms) after the refusal."""

REFUSALS = {
    "quota": "NamespaceQuota",
    "policy": "PolicyRefused",
    "rbac": "PolicyRefused",
    "namespace-terminating": "PolicyRefused",
    "too-large": "PolicyRefused",
    "invalid": "StartFailed",
    "unknown": "StartFailed",
}
"""What a refusal of the API server to create a pod makes the attempt end with, by the adapter's class."""


@dataclass(slots=True)
class Seen:
    """One job's current attempt as observed now. Sentences are for people; their order is that of the ranks."""

    pods: int = 0
    """Ranks of the placement."""
    holding: int = 0
    """Pods of the job, of whatever attempt, that have not stopped (S3)."""
    stale: bool = False
    """A pod that the committed placement has no place for has not stopped."""
    complete: bool = False
    """Every rank has its pod."""
    terminating: bool = False
    """A pod of the attempt is being deleted."""
    viewed: bool = False
    """S2's consistent view contains the attempt's claim."""
    void: str | None = None
    """Why the claim of a Placed gang does not hold any more."""
    breaks: list[Break] = field(default_factory=list)
    """What broke of an attempt that is under way."""
    failed_pods: list[Pod] = field(default_factory=list)
    """Failed pods of this attempt, and of the one before while it is cleared away."""
    start_failure: tuple[str, str] | None = None
    """(reason, message) that ends a start."""
    all_ran: bool = False
    """Every rank runs, or has run to its good end."""
    succeeded: bool = False
    """The success policy is met."""
    finish_timeout: bool = False
    relabelled: str = ""
    """Which hard constraint today's labels break, in words; the gang goes on (S4)."""
    counts: tuple[RoleCount, ...] = ()
    count_due: bool = False
    """The counts are to be told, though nothing else is."""
    wake: int | None = None
    """The soonest time (ms) from now on at which more may follow without any change."""
    stopped_at: int | None = None
    """Of a repair: when (ms) the last pod that it ended stopped,"""
    made_at: int | None = None
    """and when the last that it makes was seen."""

    @property
    def lost(self) -> list[str]:
        """Why ranks were disrupted, each in a sentence."""
        return [b.why for b in self.breaks if b.fault is not Fault.OWN]

    @property
    def failed(self) -> list[str]:
        """Why ranks failed by the job's own fault, each in a sentence."""
        return [b.why for b in self.breaks if b.fault is Fault.OWN]

    def ordered(self, action: FailureAction) -> list[Break]:
        """What broke and a rule orders this for."""
        return [b for b in self.breaks if b.action is action]

    def at(self, when: int, now: int) -> bool:
        """Whether this moment has come; if not, it is one to wake for."""
        if when <= now:
            return True
        if when < NEVER:
            self.wake = when if self.wake is None else min(self.wake, when)
        return False


def observe(world: World, job: Job, now: int) -> Seen:
    """Look at the job's pods, its nodes and its claim."""
    status = job.status
    seen = Seen()
    pods = list(world.seen_pods_of(job.id))
    running = [s.pod for s in pods if not _stopped(world, job, s, seen, now)]
    ghosts = [ghost for ghost in world.ghosts_of(job.id) if not seen.at(ghost_until(world, job, ghost), now)]
    seen.holding = len(running) + len(ghosts)
    placement = status.placement
    if placement is not None:
        ranks = by_rank(placement, pods)
        seen.pods = sum(len(nodes) for nodes in placement.nodes)
        current = {s.pod.id for role in ranks for s in role if s is not None}
        seen.stale = bool(ghosts) or any(pod.id not in current for pod in running)
        seen.complete = all(s is not None for role in ranks for s in role)
        seen.terminating = any(s is not None and s.pod.terminating for role in ranks for s in role)
        seen.viewed = world.viewed(job.id, status.attempt)
        seen.counts = _counts(placement, ranks)
        if status.phase in FINISHED and not status.live:
            seen.counts = status.counts  # what was counted stays told when the pods are cleared away
        if status.phase in ACTIVE:
            _judge(world, job, placement, ranks, seen, now)
        if status.phase is Phase.REPAIRING:
            _times(world, job, placement, ranks, [s for s in pods if s.pod.id not in current], seen)
            seen.failed_pods += [s.pod for s in pods if s.pod.stage is Stage.FAILED and s.pod.id not in current]
        elif status.phase is Phase.STOPPING:
            seen.failed_pods += [s.pod for s in pods if s.pod.stage is Stage.FAILED]
    _deadlines(world, job, pods, seen, now)
    return seen


def _stopped(world: World, job: Job, s: SeenPod, seen: Seen, now: int) -> bool:
    when = stops_at(world, job, s)
    return when is not None and seen.at(when, now)


def by_rank(placement: Placement, pods: Iterable[SeenPod]) -> list[list[SeenPod | None]]:
    """The pod of each role and rank that was made for this placement."""
    ranks: list[list[SeenPod | None]] = [[None] * len(nodes) for nodes in placement.nodes]
    index = {name: i for i, name in enumerate(placement.roles)}
    for seen in pods:
        pod = seen.pod
        role = index.get(pod.role or "")
        if role is None or pod.rank is None or not 0 <= pod.rank < len(ranks[role]):
            continue
        if pod.born == placement.born[role][pod.rank]:
            ranks[role][pod.rank] = seen
    return ranks


def _times(
    world: World, job: Job, placement: Placement, ranks: list[list[SeenPod | None]], others: list[SeenPod], seen: Seen
) -> None:
    ended = [s.since for s in others if s.pod.terminal]
    cleared = world.cleared(job.id)
    seen.stopped_at = max([*ended, *([cleared] if cleared is not None else [])], default=None)
    new = [s.since for pods in ranks for s in pods if s is not None and s.pod.born == placement.attempt]
    seen.made_at = max(new, default=None)


def _counts(placement: Placement, ranks: list[list[SeenPod | None]]) -> tuple[RoleCount, ...]:
    counts = []
    for name, role in zip(placement.roles, ranks, strict=True):
        stages = [s.pod.stage for s in role if s is not None]
        running = sum(1 for s in role if s is not None and s.pod.stage is Stage.RUNNING)
        counts.append(RoleCount(name, len(stages), running, stages.count(Stage.SUCCEEDED), stages.count(Stage.FAILED)))
    return tuple(counts)


def _judge(
    world: World, job: Job, placement: Placement, ranks: list[list[SeenPod | None]], seen: Seen, now: int
) -> None:
    phase = job.status.phase
    refusal = world.refusal(job.id, job.status.attempt)
    if refusal is not None and phase is not Phase.RUNNING:
        seen.start_failure = (REFUSALS.get(refusal.error, "StartFailed"), refusal.message)
    if phase is Phase.PLACED:
        seen.void = _void(world, job, placement)
        for role, pods in enumerate(ranks):
            for rank, s in enumerate(pods):
                if s is not None and s.pod.terminal:  # somebody took the gate off
                    ended = f"{breaks.name(job, role, rank)} ended before the gang was started"
                    seen.start_failure = ("StartFailed", ended)
        return
    if phase is Phase.REPAIRING and placement.roles_hash != world.roles_hash(job):
        seen.void = "the pod defaults changed before the gang was repaired"
    seen.relabelled = _relabelled(world, job, placement)
    found = breaks.find(world, job, placement, ranks, now, seen.at)
    seen.breaks = found.breaks
    seen.failed_pods = [*breaks.pods_of(found.breaks), *found.ignored]
    seen.start_failure = seen.start_failure or found.trouble
    if phase is Phase.STARTING:
        new = [b.why for b in found.breaks if b.fault is Fault.OWN and _fresh(job, placement, b)]
        if new:
            seen.start_failure = ("StartFailed", new[0])
        if seen.start_failure is None and not found.breaks:
            seen.start_failure = _slow_start(job, ranks, seen, now)
    ignored = {pod.id for pod in found.ignored}
    seen.all_ran = all(
        s is not None and (s.pod.stage is Stage.RUNNING or s.pod.done or s.pod.id in ignored)
        for role in ranks
        for s in role
    )
    seen.succeeded, first = _success(job, ranks)
    if not seen.succeeded and first is not None and phase is Phase.RUNNING and not seen.failed:
        seen.finish_timeout = seen.at(first + job.policy.linger, now)


def _fresh(job: Job, placement: Placement, broken: Break) -> bool:
    return placement.born[broken.role][broken.rank] == job.status.attempt


def _void(world: World, job: Job, placement: Placement) -> str | None:
    """Why a Placed gang cannot go on: what it was rendered from, its nodes, or their room changed."""
    if placement.roles_hash != world.roles_hash(job):
        return "the spec or the pod defaults changed before the gang was started"
    problem = world.solver.fits(world.inventory, world.shape(job), placement.nodes)
    if problem is not None:
        causes = ", ".join(f"{cause}: {nodes}" for cause, nodes in problem.exclusions)
        said = causes or problem.number("message") or f"{problem.number('constraint')} at {problem.number('level')}"
        return f"the nodes chosen do not qualify any more: {said}"
    taken = world.inventory.overlaps(job.id)
    if taken:
        return f"others took the room on {taken[0]}" + (f" and {len(taken) - 1} more nodes" if len(taken) > 1 else "")
    return None


def outdated(world: World, transition: Transition) -> bool:
    """Whether the world has moved on from under a placement that is decided and not written: its commit may have waited
    behind a request without an answer. Nothing of it was sent, so it is dropped and decided anew."""
    job, placement = world.acknowledged(transition.job), transition.status.placement
    if not isinstance(job, Job) or placement is None or placement == job.status.placement:
        return False
    if transition.status.phase is Phase.PLACED:
        return world.solver.fits(world.inventory, world.shape(job), placement.nodes) is not None
    if any(name not in world.nodes for names in placement.nodes for name in names):
        return True
    return world.broken_by_labels(job, placement) is not None


def _relabelled(world: World, job: Job, placement: Placement) -> str:
    """Which hard constraint of a gang that is under way today's labels break."""
    problem = world.broken_by_labels(job, placement)
    if problem is None:
        return ""
    role = problem.number("role")
    return (
        f"by today's labels the ranks{f' of {role}' if role else ''} are spread over more than one "
        f"{problem.number('level')} against {problem.number('constraint')}; the next attempt goes by the new labels"
    )


def _slow_start(job: Job, ranks: list[list[SeenPod | None]], seen: Seen, now: int) -> tuple[str, str] | None:
    """Bind and start time-outs, measured from the last step that this process saw."""
    everyone = [s for role in ranks for s in role if s is not None]
    if any(s.pod.our_gate for s in everyone):
        return None
    since = job.status.phase_since or 0
    gated = [s for s in everyone if s.pod.foreign_gates]
    unbound = [s for s in everyone if s.pod.stage is Stage.UNBOUND]
    if unbound and not gated:
        begun = max(since, *(s.since for s in unbound))
        if seen.at(begun + job.policy.bind_timeout, now):
            said = next((s.pod.unschedulable for s in unbound if s.pod.unschedulable), None)
            waited = f"{len(unbound)} of {len(everyone)} pods were not bound within {job.policy.bind_timeout // 1000} s"
            return ("SchedulerRefused", said) if said else ("StartFailed", waited)
        return None
    late = [s for s in everyone if s.pod.stage not in (Stage.RUNNING, Stage.SUCCEEDED)]
    if late and seen.at(max(since, *(s.since for s in late)) + job.policy.start_timeout, now):
        gates = f"; {gated[0].pod.name} is held by the gate {gated[0].pod.foreign_gates[0]}" if gated else ""
        seconds = job.policy.start_timeout // 1000
        return ("StartFailed", f"{len(late)} of {len(everyone)} pods did not run within {seconds} s{gates}")
    return None


def _success(job: Job, ranks: list[list[SeenPod | None]]) -> tuple[bool, int | None]:
    """Whether the success policy is met, and when the first of its pods succeeded. A pod whose failure is ignored is
    not waited for, but never makes a success by itself."""
    wanted = job.policy.success_roles
    roles = [(spec, pods) for spec, pods in zip(job.roles, ranks, strict=True) if not wanted or spec.name in wanted]
    done = [[s is not None and s.pod.done for s in pods] for _, pods in roles]
    times = [
        s.pod.finished_at if s.pod.finished_at is not None else s.since
        for _, pods in roles
        for s in pods
        if s is not None and s.pod.done
    ]
    match job.policy.success_when:
        case SuccessWhen.ALL_PODS:
            over = [
                spec.on_failure is OnFailure.IGNORE and s is not None and s.pod.stage is Stage.FAILED
                for spec, pods in roles
                for s in pods
            ]
            well = [one for pods in done for one in pods]
            met = any(well) and all(a or b for a, b in zip(well, over, strict=True))
        case SuccessWhen.ANY_POD:
            met = any(any(pods) for pods in done)
        case SuccessWhen.FIRST_RANK:
            met = all(pods[0] for pods in done if pods)
    return met, min(times, default=None)


def _deadlines(world: World, job: Job, pods: Iterable[SeenPod], seen: Seen, now: int) -> None:
    """The other moments to wake for, those of duties included."""
    status = job.status
    for s in pods:
        node = world.nodes.get(s.pod.node) if s.pod.node is not None and not s.pod.terminal else None
        since = world.silent_since(node)
        if since is not None:
            seen.at(since + patience(job), now)
    if status.phase is Phase.PENDING:
        for role in range(len(job.roles)):
            admission = world.admission(job.namespace, world.template_key(job, role))
            if admission is not None and admission.refused:
                seen.at(admission.at + READMIT_AFTER, now)
    if status.phase is Phase.RUNNING and status.running_since is not None and job.policy.active_deadline is not None:
        seen.at(status.running_since + job.policy.active_deadline - status.running_ms, now)
    if status.phase in FINISHED and status.finished is not None and job.policy.ttl is not None:
        seen.at(status.finished + job.policy.ttl, now)
    if status.not_before is not None:
        seen.at(status.not_before, now)
    if status.reservation is not None:
        seen.at(status.reservation.until, now)
    for blame in status.blamed:
        if blame.until is not None and status.phase is Phase.PENDING:
            seen.at(blame.until, now)
    # While pods are being made the next transition is near, and tells the counts itself.
    if seen.counts != status.counts and status.phase not in (Phase.PENDING, Phase.PLACED, Phase.REPAIRING):
        often = status.phase is not Phase.STARTING and seen.pods <= MANY_PODS
        seen.count_due = seen.at(world.written_at(job.id) + (COUNT_INTERVAL if often else 5 * COUNT_INTERVAL), now)
