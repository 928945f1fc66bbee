"""What the world shows of one job's current attempt, as the rows of the table ask it. Pure reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from muster.core.eligibility import describe, unfit, untolerated
from muster.core.model import (
    ACTIVE,
    FINISHED,
    Job,
    Node,
    Phase,
    Placement,
    Pod,
    RoleCount,
    Shape,
    Stage,
    SuccessWhen,
)
from muster.core.world import SeenPod, World

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
    """A pod of an earlier attempt is not terminal yet."""
    complete: bool = False
    """Every rank has its pod."""
    terminating: bool = False
    """A pod of the attempt is being deleted."""
    viewed: bool = False
    """S2's consistent view contains the attempt's claim."""
    void: str | None = None
    """Why the claim of a Placed gang does not hold any more."""
    lost: list[str] = field(default_factory=list)
    """Ranks that were disrupted, each with why."""
    failed: list[str] = field(default_factory=list)
    """Ranks that failed by the job's own fault, each with why."""
    failed_pods: list[Pod] = field(default_factory=list)
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

    def at(self, when: int, now: int) -> bool:
        """Whether this moment has come; if not, it is one to wake for."""
        if when <= now:
            return True
        self.wake = when if self.wake is None else min(self.wake, when)
        return False


class _Claim:
    """What is asked about a claim for pod after pod, found once."""

    def __init__(self, world: World, job: Job) -> None:
        self._world = world
        self._job = job

    @cached_property
    def shape(self) -> Shape:
        """The job's shape."""
        return self._world.shape(self._job)

    @cached_property
    def overlaps(self) -> frozenset[str]:
        """The nodes on which others took the room."""
        return frozenset(self._world.inventory.overlaps(self._job.id))


def observe(world: World, job: Job, now: int) -> Seen:
    """Look at the job's pods, its nodes and its claim."""
    status = job.status
    seen = Seen()
    pods = list(world.seen_pods_of(job.id))
    seen.holding = sum(1 for s in pods if not _stopped(world, job, s, seen, now))
    placement = status.placement
    if placement is not None:
        ranks = _by_rank(placement, pods)
        seen.pods = sum(len(nodes) for nodes in placement.nodes)
        current = {s.pod.id for role in ranks for s in role if s is not None}
        seen.stale = any(not s.pod.terminal and s.pod.id not in current for s in pods)
        seen.complete = all(s is not None for role in ranks for s in role)
        seen.terminating = any(s is not None and s.pod.terminating for role in ranks for s in role)
        seen.viewed = world.viewed(job.id, status.attempt)
        seen.counts = _counts(placement, ranks)
        if status.phase in FINISHED and not status.live:
            seen.counts = status.counts  # what was counted stays told when the pods are cleared away
        if status.phase in ACTIVE:
            _judge(world, job, placement, ranks, seen, now)
    _deadlines(world, job, pods, seen, now)
    return seen


def _stopped(world: World, job: Job, s: SeenPod, seen: Seen, now: int) -> bool:
    """Whether nothing of the pod runs any more. That the pod garbage collector called a pod failed says nothing about
    its containers: on a machine that is out of reach they count as running for as long as those of any other pod."""
    if not s.pod.terminal:
        return False
    node = world.nodes.get(s.pod.node) if s.pod.collected and s.pod.node is not None else None
    if node is None or node.out_of_service or node.unready_since is None:
        return True
    return seen.at(s.since + job.policy.unreachable_after, now)


def _by_rank(placement: Placement, pods: Iterable[SeenPod]) -> list[list[SeenPod | None]]:
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
                    seen.start_failure = ("StartFailed", f"{_name(job, role, rank)} ended before the gang was started")
        return
    seen.relabelled = _relabelled(world, job, placement)
    claim = _Claim(world, job)
    for role, pods in enumerate(ranks):
        for rank, s in enumerate(pods):
            _judge_rank(world, job, placement, role, rank, s, seen, now, claim)
    if seen.failed and phase is Phase.STARTING:
        seen.start_failure = ("StartFailed", seen.failed[0])
    if phase is Phase.STARTING and seen.start_failure is None and not seen.lost:
        seen.start_failure = _slow_start(job, ranks, seen, now)
    seen.all_ran = all(
        s is not None and s.pod.stage in (Stage.RUNNING, Stage.SUCCEEDED) for role in ranks for s in role
    )
    seen.succeeded, first = _success(job, ranks)
    if not seen.succeeded and first is not None and phase is Phase.RUNNING and not seen.failed:
        seen.finish_timeout = seen.at(first + job.policy.linger, now)


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


def _judge_rank(
    world: World,
    job: Job,
    placement: Placement,
    role: int,
    rank: int,
    s: SeenPod | None,
    seen: Seen,
    now: int,
    claim: _Claim,
) -> None:
    if s is not None and s.pod.stage is Stage.SUCCEEDED:
        return
    where = placement.nodes[role][rank]
    if s is None:
        seen.lost.append(f"the pod of {_name(job, role, rank)} on {where} was deleted")
        return
    pod = s.pod
    node = world.nodes.get(where)
    if pod.stage is Stage.FAILED:
        seen.failed_pods.append(pod)
        gone = _node_lost(node, job, seen, now)
        failure = pod.failure
        if gone is not None or (failure is not None and (failure.refused or failure.disrupted)):
            why = gone or (f"{failure.reason}: {failure.message}" if failure else "")
            seen.lost.append(f"{_name(job, role, rank)} on {where} was disrupted: {why.rstrip(': ')}")
        else:
            seen.failed.append(f"{_name(job, role, rank)} on {where} failed: {_how(pod)}")
        return
    if pod.terminating:
        seen.lost.append(f"the pod of {_name(job, role, rank)} on {where} is being deleted")
        return
    if pod.node is None:
        _judge_unbound(claim, job, role, rank, pod, node, seen)
        return
    gone = _node_lost(node, job, seen, now) or _evicted(node, claim, role)
    if gone is not None:
        seen.lost.append(f"{_name(job, role, rank)} lost its node {where}: {gone}")
    elif job.status.phase is Phase.STARTING and pod.trouble is not None and pod.stage is not Stage.RUNNING:
        reason, message = pod.trouble
        if seen.at(s.since + job.policy.image_pull_after, now):
            kind = "ImagePull" if "Image" in reason else "StartFailed"
            seen.start_failure = (kind, f"{_name(job, role, rank)} on {where}: {reason}: {message}")


def _judge_unbound(claim: _Claim, job: Job, role: int, rank: int, pod: Pod, node: Node | None, seen: Seen) -> None:
    """A pod that left its gate and is not bound: on a node that no longer qualifies it never will be."""
    where = pod.pinned or ""
    cause = unfit(node, claim.shape.roles[role].filter)
    if cause is not None:
        seen.lost.append(f"{_name(job, role, rank)} cannot be bound: node {where}: {cause}")
    elif pod.stage is Stage.UNBOUND and where in claim.overlaps:
        seen.start_failure = (
            "StartFailed",
            f"others took the room of {_name(job, role, rank)} on {where} before it was bound",
        )


def _node_lost(node: Node | None, job: Job, seen: Seen, now: int) -> str | None:
    """Why what runs on this node counts as lost. While starting an unready node is enough; a gang that runs gets the
    time that a node may take to come back."""
    if node is None:
        return "the node was deleted"
    if node.out_of_service:
        return "the node is out of service"
    if node.unready_since is not None:
        if job.status.phase is Phase.STARTING:
            return "the node is not ready"
        if seen.at(node.unready_since + job.policy.unreachable_after, now):
            return f"the node has not been ready for {job.policy.unreachable_after // 1000} s"
    return None


def _evicted(node: Node | None, claim: _Claim, role: int) -> str | None:
    """A NoExecute taint that the role's pods do not tolerate, those of the node's own state apart."""
    if node is None or not any(taint.effect == "NoExecute" for taint in node.taints):
        return None
    executing = replace(node, taints=tuple(t for t in node.taints if t.effect == "NoExecute"))
    taint = untolerated(executing, claim.shape.roles[role].filter.tolerations)
    return f"taint {describe(taint)}" if taint is not None else None


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
    """Whether the success policy is met, and when the first of its pods succeeded."""
    wanted = job.policy.success_roles
    roles = [pods for spec, pods in zip(job.roles, ranks, strict=True) if not wanted or spec.name in wanted]
    done = [[s is not None and s.pod.stage is Stage.SUCCEEDED for s in pods] for pods in roles]
    times = [
        s.pod.finished_at if s.pod.finished_at is not None else s.since
        for pods in roles
        for s in pods
        if s is not None and s.pod.stage is Stage.SUCCEEDED
    ]
    match job.policy.success_when:
        case SuccessWhen.ALL_PODS:
            met = all(all(pods) for pods in done)
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
        if node is not None and node.unready_since is not None:
            seen.at(node.unready_since + job.policy.unreachable_after, now)
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
    # While pods are being made the next transition is near, and tells the counts itself.
    if seen.counts != status.counts and status.phase not in (Phase.PENDING, Phase.PLACED):
        often = status.phase is not Phase.STARTING and seen.pods <= MANY_PODS
        seen.count_due = seen.at(world.written_at(job.id) + (COUNT_INTERVAL if often else 5 * COUNT_INTERVAL), now)


def _name(job: Job, role: int, rank: int) -> str:
    return f"{job.roles[role].name} {rank}" if role < len(job.roles) else f"role {role} rank {rank}"


def _how(pod: Pod) -> str:
    failure = pod.failure
    if failure is None:
        return "no reason given"
    words = []
    if failure.exit_code is not None:
        words.append(f"exit code {failure.exit_code}")
    if failure.signal:
        words.append(f"signal {failure.signal}")
    if failure.reason and failure.reason != "Error":
        words.append(failure.reason)
    if failure.message:
        words.append(failure.message.strip().splitlines()[-1][:200])
    return ", ".join(words) or "no reason given"
