"""What broke of an attempt that is under way: rank by rank, why, and whose fault it is. Pure reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

from muster.core.eligibility import describe, unfit, untolerated
from muster.core.model import (
    Failure,
    FailureAction,
    FailureRule,
    Job,
    Node,
    OnFailure,
    Phase,
    Placement,
    Pod,
    Shape,
    Stage,
)
from muster.core.pods import SeenPod
from muster.core.rules import first_match
from muster.core.stopped import off, patience, silent
from muster.core.world import World

Ranks = Sequence[Sequence[SeenPod | None]]
"""Per role and rank the pod that was made for the committed placement."""


class Fault(Enum):
    """Whose fault it is that a rank does not run on."""

    NODE = "node"
    """The node was lost, is unfit for what runs there, or is to be replaced by a rule: the rank must move."""
    DISRUPTED = "disrupted"
    """The pod was evicted, preempted or deleted; the node may still serve."""
    OWN = "own"
    """The job's own."""


@dataclass(frozen=True, slots=True)
class Break:
    """One rank that does not run on. `why` is a sentence for people; `rule` the rule of the failure policy that matched
    its pod; `blames` the node by name; `silent`: its process may still run on a machine that does not answer; `over`:
    that was waited for for as long as the policy says, or the machine is off."""

    role: int
    rank: int
    node: str
    fault: Fault
    why: str
    rule: FailureRule | None = None
    blames: bool = False
    silent: bool = False
    pod: Pod | None = None
    name: str = ""
    """Of the role."""
    at: int | None = None
    """When (ms) it happened by its own record, and"""
    noticed: int | None = None
    """when it was seen to be a failure; None: now, as far as is known."""
    over: bool = False

    @property
    def action(self) -> FailureAction | None:
        """What the rule that matched orders."""
        return self.rule.action if self.rule is not None else None


@dataclass(slots=True)
class Broken:
    """All that is found out about the ranks of an attempt."""

    breaks: list[Break]
    ignored: list[Pod]
    """Pods that failed and whose role's failures are ignored."""
    trouble: tuple[str, str] | None = None
    """(reason, message) for which the start is to be given up."""


class Claim:
    """What is asked about a claim for rank after rank, found once."""

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

    def unfit(self, node: Node | None, role: int) -> str | None:
        """Why the node takes no new pod of this role; None: it does."""
        cause = self._world.inventory.cause(node.name) if node is not None else ""
        return unfit(node, self.shape.roles[role].filter) or cause or None


def find(
    world: World, job: Job, placement: Placement, ranks: Ranks, now: int, at: Callable[[int, int], bool]
) -> Broken:
    """Look at every rank of a gang that is Starting, Running or Repairing. `at` says whether a moment has come by now,
    and notes one that has not (`observe.Seen.at`)."""
    found = Broken([], [])
    claim = Claim(world, job)
    for role, pods in enumerate(ranks):
        for rank, seen in enumerate(pods):
            one = _Rank(world, job, placement, role, rank, claim, found, now, at)
            one.judge(seen)
    return found


def name(job: Job, role: int, rank: int) -> str:
    """`worker 17`."""
    return f"{job.roles[role].name} {rank}" if role < len(job.roles) else f"role {role} rank {rank}"


@dataclass(slots=True)
class _Rank:
    """One rank, judged."""

    world: World
    job: Job
    placement: Placement
    role: int
    rank: int
    claim: Claim
    found: Broken
    now: int
    at: Callable[[int, int], bool]

    @property
    def where(self) -> str:
        return self.placement.nodes[self.role][self.rank]

    @property
    def who(self) -> str:
        return name(self.job, self.role, self.rank)

    @property
    def fresh(self) -> bool:
        """Its pod is one that this attempt makes."""
        return self.placement.born[self.role][self.rank] == self.job.status.attempt

    def judge(self, seen: SeenPod | None) -> None:
        phase = self.job.status.phase
        if phase is Phase.REPAIRING and self.fresh:
            self._judge_fresh(seen)
            return
        if seen is None:
            node = self.world.nodes.get(self.where)
            lost = self._node_lost(node)
            if lost is not None:
                why = f"{self.who} lost its node {self.where}: {lost[0]}"
                self._broke(Fault.NODE, why, blames=lost[1], silent=lost[2])
            else:
                why = f"the pod of {self.who} on {self.where} was deleted"
                self._broke(Fault.DISRUPTED, why, silent=silent(node))
        elif seen.pod.stage is Stage.FAILED:
            self._judge_failed(seen.pod, seen.since)
        elif seen.pod.stage is not Stage.SUCCEEDED:
            self._judge_living(seen)
        elif seen.pod.cut_short:
            why = f"the pod of {self.who} on {self.where} was deleted before it had finished"
            self._broke(Fault.DISRUPTED, why, pod=seen.pod, since=seen.since)

    def _judge_fresh(self, seen: SeenPod | None) -> None:
        """A rank of a repair whose pod is being made: its node has to take it still."""
        cause = self.claim.unfit(self.world.nodes.get(self.where), self.role)
        if cause is not None:
            why = f"{self.where}, chosen for {self.who}, does not qualify any more: {cause}"
            self._broke(Fault.NODE, why, pod=None)
        elif self.where in self.claim.overlaps:
            self._broke(Fault.NODE, f"others took the room of {self.who} on {self.where}", pod=None)
        elif seen is not None and seen.pod.terminal:
            self.found.trouble = ("StartFailed", f"{self.who} ended before the gang was started")

    def _judge_failed(self, pod: Pod, since: int) -> None:
        failure = pod.failure or Failure()
        rule = first_match(self.job.policy.rules, failure)
        node = self.world.nodes.get(self.where)
        lost = self._node_lost(node) or self._drained(node, already=True)
        if rule is not None and rule.action is FailureAction.REPLACE_NODE:
            why = f"{self.who} on {self.where} failed, a rule replaces the node: {how(pod)}"
            self._broke(Fault.NODE, why, rule=rule, blames=True, pod=pod, since=since)
        elif lost is not None:
            why = f"{self.who} on {self.where} was disrupted: {lost[0]}"
            self._broke(Fault.NODE, why, rule=rule, blames=lost[1], silent=lost[2], pod=pod, since=since)
        elif failure.refused or failure.disrupted:
            why = f"{self.who} on {self.where} was disrupted: {failure.reason}: {failure.message}".rstrip(": ")
            fault = Fault.NODE if failure.refused else Fault.DISRUPTED
            self._broke(fault, why, rule=rule, blames=failure.refused, pod=pod, since=since)
        elif pod.cut_short:
            why = f"the pod of {self.who} on {self.where} was deleted: {how(pod)}"
            self._broke(Fault.DISRUPTED, why, rule=rule, pod=pod, since=since)
        elif rule is None and self.job.roles[self.role].on_failure is OnFailure.IGNORE:
            self.found.ignored.append(pod)
        else:
            why = f"{self.who} on {self.where} failed: {how(pod)}"
            self._broke(Fault.OWN, why, rule=rule, pod=pod, since=since)

    def _judge_living(self, seen: SeenPod) -> None:
        pod = seen.pod
        node = self.world.nodes.get(self.where)
        if pod.node is None and not pod.terminating:
            self._judge_unbound(pod, node)
            return
        lost = self._node_lost(node) or self._taken_away(node) or self._drained(node)
        if lost is not None:
            why = f"{self.who} lost its node {self.where}: {lost[0]}"
            self._broke(Fault.NODE, why, blames=lost[1], silent=lost[2])
        elif pod.terminating:
            why = f"the pod of {self.who} on {self.where} is being deleted"
            self._broke(Fault.DISRUPTED, why, silent=silent(node))
        elif pod.trouble is not None and pod.stage is not Stage.RUNNING and self.job.status.phase is Phase.STARTING:
            reason, message = pod.trouble
            if self.at(seen.since + self.job.policy.image_pull_after, self.now):
                kind = "ImagePull" if "Image" in reason else "StartFailed"
                self.found.trouble = (kind, f"{self.who} on {self.where}: {reason}: {message}")

    def _judge_unbound(self, pod: Pod, node: Node | None) -> None:
        """A pod that left its gate and is not bound: on a node that no longer qualifies it never will be."""
        where = pod.pinned or ""
        cause = self.claim.unfit(node, self.role)
        if cause is not None:
            self._broke(Fault.NODE, f"{self.who} cannot be bound: node {where}: {cause}")
        elif pod.stage is Stage.UNBOUND and where in self.claim.overlaps:
            self._broke(Fault.NODE, f"others took the room of {self.who} on {where} before it was bound")

    def _node_lost(self, node: Node | None) -> tuple[str, bool, bool] | None:
        """(why what runs on this node counts as lost, whether the node is to blame, whether it may still run).

        While starting a node that is not ready is enough; a gang that runs gives it the time that it may take to come
        back."""
        if node is None:
            return "the node was deleted", False, False
        if node.out_of_service:
            return "the node is out of service", False, False
        if node.unready_since is not None:
            if self.job.status.phase is Phase.STARTING:
                return "the node is not ready", True, True
            since = self.world.silent_since(node)
            if since is not None and self.at(since + patience(self.job), self.now):
                return f"the node has not been ready for {self.job.policy.unreachable_after // 1000} s", True, True
        return None

    def _taken_away(self, node: Node | None) -> tuple[str, bool, bool] | None:
        """A NoExecute taint that the role's pods do not tolerate, those of the node's own state apart."""
        if node is None or not any(taint.effect == "NoExecute" for taint in node.taints):
            return None
        executing = replace(node, taints=tuple(t for t in node.taints if t.effect == "NoExecute"))
        taint = untolerated(executing, self.claim.shape.roles[self.role].filter.tolerations)
        return (f"taint {describe(taint)}", False, False) if taint is not None else None

    def _drained(self, node: Node | None, *, already: bool = False) -> tuple[str, bool, bool] | None:
        """A health rule that orders to drain the node, once its delay is over; `already`: the rank has failed there, so
        there is nothing to wait for."""
        if node is None:
            return None
        for rule, since in self.world.inventory.rulebook.drains(node):
            begun = since if since is not None else self.world.pasts.noticed(node.name, rule.cause)
            if already or begun is None or self.at(begun + rule.after, self.now):
                return f"the node is unfit: {rule.cause}", True, False
        return None

    def _broke(
        self,
        fault: Fault,
        why: str,
        *,
        rule: FailureRule | None = None,
        blames: bool = False,
        silent: bool = False,
        pod: Pod | None = None,
        since: int | None = None,
    ) -> None:
        at, noticed = self._times(fault, pod, since)
        name, over = self.placement.roles[self.role], off(self.world, self.where, patience(self.job), self.now)
        self.found.breaks.append(
            Break(self.role, self.rank, self.where, fault, why, rule, blames, silent, pod, name, at, noticed, over)
        )

    def _times(self, fault: Fault, pod: Pod | None, since: int | None) -> tuple[int | None, int | None]:
        """When it happened, and when that was known: a pod tells its end; a node counts as lost some time after it fell
        silent. What vanished tells nothing."""
        if pod is not None and since is not None:
            ended = pod.failure.finished_at if pod.failure is not None else None
            return ended if ended is not None else since, since
        node = self.world.nodes.get(self.where)
        if fault is not Fault.NODE or node is None or node.unready_since is None or node.out_of_service:
            return None, None
        waits = 0 if self.job.status.phase is Phase.STARTING else patience(self.job)
        since = self.world.silent_since(node)
        return node.unready_since, min((since if since is not None else self.now) + waits, self.now)


def how(pod: Pod) -> str:
    """How a pod ended: `exit code 1, the last line it wrote`."""
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


def pods_of(breaks: Iterable[Break]) -> list[Pod]:
    """The failed pods among what broke."""
    return [b.pod for b in breaks if b.pod is not None]
