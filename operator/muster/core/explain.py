"""Words for people: the only place where reasons and numbers become sentences."""

from __future__ import annotations

from dataclasses import dataclass

from muster.core.lifecycle import Row
from muster.core.model import (
    Action,
    ActionKind,
    Committed,
    Job,
    Phase,
    Placement,
    Reason,
    Rejected,
    Relaxation,
    Remedy,
    Transition,
    Verdict,
)

EXCLUSIONS_TOLD = 4
"""A sentence names at most this many causes of exclusion,"""
ACTIONS_TOLD = 3
"""and this many things to do."""


def sentence(verdict: Verdict, remedy: Remedy | None = None) -> str:
    """Say why a job waits, with the numbers a person can check, and what would start it."""
    facts = dict(verdict.numbers)
    kept = f"; {facts['kept']} healthy nodes are kept for it meanwhile" if "kept" in facts else ""
    words = f"{_reason(verdict.reason, facts)}{_excluded(verdict)}{kept}"
    return words if remedy is None else f"{words}{CHANGE}{change(verdict.reason, remedy)}"


def _reason(reason: Reason, facts: dict[str, int | str]) -> str:
    match reason:
        case Reason.INVALID:
            return f"{facts.get('field', 'spec')}: {facts.get('message', 'not valid')}"
        case Reason.SUSPENDED:
            return "spec.suspend is true"
        case Reason.PRIORITY_CLASS_MISSING:
            return f"PriorityClass {facts.get('class')} does not exist: create it, or name another in priorityClassName"
        case Reason.PRIORITY_CLASS_PREEMPTS:
            return (
                f"PriorityClass {facts.get('class')} may preempt other people's pods: "
                "name one with preemptionPolicy Never in priorityClassName"
            )
        case Reason.ADMISSION:
            return "asking the API server what its pods will request"
        case Reason.NAMESPACE_QUOTA:
            if "quota" in facts:
                return (
                    f"ResourceQuota {facts['quota']} leaves {facts['left']} of {facts['resource']}, "
                    f"the gang needs {facts['needs']}"
                )
            return str(facts.get("message", "the namespace's quota is used up"))
        case Reason.POLICY_REFUSED:
            role = f"role {facts['role']}: " if "role" in facts else ""
            return f"{role}the API server refuses its pods: {facts.get('message', '')}"
        case Reason.UNSATISFIABLE:
            return f"even the empty cluster could not hold it: {_impossible(facts)}"
        case Reason.INSUFFICIENT_CAPACITY:
            return f"needs {facts.get('pods')} free slots, {facts.get('free')} are free: {facts.get('missing')} missing"
        case Reason.FRAGMENTED:
            return _fragmented(facts)
        case Reason.WAITING_FOR_PREFERRED:
            return (
                f"it fits in {facts.get('domains')} domains of the preferred level; "
                f"waiting for {facts.get('least')} as on the empty cluster"
            )
        case Reason.SEARCH_LIMIT:
            return "the search for a placement ended without one, and without a proof that there is none"
        case Reason.START_FAILED | Reason.SCHEDULER_REFUSED | Reason.BACKING_OFF | Reason.IMAGE_PULL:
            return str(facts.get("message", f"attempt {facts.get('attempt')} ended; waiting before the next"))


def _impossible(facts: dict[str, int | str]) -> str:
    pods, largest, level = facts.get("pods"), facts.get("largest", "fewer"), facts.get("level")
    match facts.get("constraint"):
        case "nodes":
            return "no node matches its selector, affinity and tolerations"
        case "required" | "boundary" as constraint:
            rule = "required of it" if constraint == "required" else "no gang spans two"
            return f"no {level} holds all {pods} pods ({rule}); the largest that one holds has {largest}"
        case "segments" | "fillLimit" as constraint:
            return f"its {constraint} at {level} leave room for a gang of {largest} pods, not {pods}"
        case "roles":
            return "its roles do not fit together"
        case _:
            return f"the nodes that match have room for {largest} of {pods} pods"


def _fragmented(facts: dict[str, int | str]) -> str:
    free = f"{facts['free']} slots are free" if "free" in facts else "there are free slots"
    said = f"{free} for {facts.get('pods')} pods, but not in the required shape"
    if facts.get("domain"):
        said += f"; {facts.get('level')} {facts['domain']} comes nearest and lacks {facts.get('lacks')}"
    elif facts.get("level"):
        said += f"; no {facts['level']} has room for all of its roles"
    if facts.get("largest") is not None:
        said += f"; the largest gang of this shape that fits now has {facts['largest']} pods"
    return said


def _excluded(verdict: Verdict) -> str:
    if not verdict.exclusions:
        return ""
    told = [f"{cause}: {nodes}" for cause, nodes in verdict.exclusions[:EXCLUSIONS_TOLD]]
    more = len(verdict.exclusions) - EXCLUSIONS_TOLD
    if more > 0:
        told.append(f"{more} more causes")
    return f" (nodes without room by cause: {', '.join(told)})"


CHANGE = "; "
"""Between the reason and what would change it."""


def change(reason: Reason, remedy: Remedy) -> str:
    """Say what would start a gang that waits for this reason."""
    said = []
    if remedy.count is not None:
        nodes = f"{'' if remedy.proven else 'at most '}{_count(remedy.count, 'node')}"
        of = f" of {remedy.level} {remedy.domain}" if remedy.level else ""
        said.append(f"it would start if {nodes}{of} were free: {_told([doing(a) for a in remedy.actions])}")
    elif reason is not Reason.UNSATISFIABLE and remedy.proven:
        said.append("freeing nodes would not do: pods of DaemonSets take the room")
    elif remedy.add:
        where = f" in {remedy.level} {remedy.domain}" if remedy.level else ""
        said.append(f"{_count(remedy.add, 'node')} like the best there are would have to be added{where}")
    instead = [relaxed(r) for r in remedy.relax]
    if reason is Reason.INSUFFICIENT_CAPACITY and remedy.largest:
        instead.insert(0, f"with {_count(remedy.largest, 'pod')}")
    if instead:
        fits = "the empty cluster could hold it" if reason is Reason.UNSATISFIABLE else "it would fit now"
        said.append(f"{fits} {' or '.join(instead)}")
    return "; ".join(said) or "the smallest change that would start it is not known"


def doing(action: Action) -> str:
    """One thing to do, in words."""
    match action.kind:
        case ActionKind.UNCORDON:
            return f"uncordon {action.target}"
        case ActionKind.HEAL:
            return f"bring {action.target} back to health"
        case ActionKind.END:
            return f"end or move {action.target} ({_count(len(action.nodes), 'node')})"
        case ActionKind.FREE:
            return f"end or move {_count(action.pods, 'other pod')} on {action.target}"


def relaxed(relaxation: Relaxation) -> str:
    """One constraint that would have to give, in words."""
    level, before, after = relaxation.level, relaxation.before, relaxation.after
    match relaxation.constraint:
        case "segments":
            return f"with segments of {after} instead of {before} at {level}"
        case "required":
            return f"with {after or 'no level'} required instead of {before}"
        case _:
            return f"without the {relaxation.constraint} of {level}"


def _told(words: list[str]) -> str:
    more = len(words) - ACTIONS_TOLD
    return ", ".join(words[:ACTIONS_TOLD]) + (f", and {more} more" if more > 0 else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a Kubernetes Event about a committed transition says."""

    reason: str
    message: str
    warning: bool = False


TTL_KEPT = Announcement(
    "TTLKeptForGitOps",
    "ttlSecondsAfterFinished has passed: its pods are deleted. The job itself stays, since Argo CD or Flux tracks it "
    "and its next sync would run it again; take it out of the source to have it deleted.",
)
"""The Event where a job outlives its ttlSecondsAfterFinished."""


def announce(job: Job | Rejected, transition: Transition) -> Announcement | None:
    """The Event for a transition, None for those that nobody needs to hear of. `job` is as it was before."""
    status = transition.status
    match row := Row(transition.cause):
        case Row.PLACED if status.placement is not None:
            return Announcement("Placed", f"attempt {status.attempt}: {placement_words(transition)}")
        case Row.START:
            return Announcement("Starting", f"attempt {status.attempt}: all pods exist, their gates are being removed")
        case Row.RUNS:
            return Announcement("Running", f"attempt {status.attempt}: all pods run{_took(status)}")
        case Row.SUCCEEDED:
            return Announcement("Succeeded", f"attempt {status.attempt}: the success policy is met")
        case Row.REPAIR | Row.RESTART if status.placement is not None and status.last_failure is not None:
            moved = _moved(job, status.placement)
            made = sum(births.count(status.attempt) for births in status.placement.born)
            all_ = sum(len(nodes) for nodes in status.placement.nodes)
            where = f" ({', '.join(moved[:4])}{', ...' if len(moved) > 4 else ''})" if moved else ""
            kept = f"{all_ - len(moved)} of {all_} ranks keep their nodes{where}"
            said = f"attempt {status.attempt}: {made} of {all_} pods are made anew, {kept}"
            return Announcement(
                row.value, f"{said}; {status.last_failure.message}{_avoided(job, status)}", warning=True
            )
        case Row.RESERVATION_ENDED:
            return Announcement("ReservationEnded", "no replacement came in time; the healthy nodes are given up")
        case Row.DEADLINE | Row.EXHAUSTED | Row.FAIL_JOB:
            last = status.last_failure
            return Announcement("Failed", last.message if last is not None else "", warning=True)
        case Row.VOID | Row.START_FAILED | Row.LOST | Row.OWN_FAILURE | Row.SUSPENDING:
            stopping = status.stopping
            reason = stopping.reason if stopping is not None else "Stopping"
            message = (stopping.message if stopping is not None else "") + _avoided(job, status) + _reserved(status)
            return Announcement(reason, f"attempt {status.attempt} is ended: {message}", reason != "Suspended")
        case Row.REQUEUED:
            if status.phase is Phase.SUSPENDED:
                return Announcement("Suspended", f"attempt {status.attempt} has ended; no pod holds anything")
            return Announcement("Requeued", f"attempt {status.attempt} has ended; back in the queue")
        case Row.RESUMED:
            return Announcement("Resumed", "back in the queue")
        case Row.SUSPENDED:
            return Announcement("Suspended", "spec.suspend is true")
        case Row.RELABELLED:
            message = status.relabelled or "by today's labels the gang keeps its hard constraints again"
            return Announcement("TopologyChanged", message, warning=bool(status.relabelled))
        case Row.WAITS if status.waiting is not None:
            old = job.status.waiting
            if old is not None and old.verdict.reason is status.waiting.verdict.reason:
                return None
            return Announcement(status.waiting.verdict.reason.value, status.waiting.message, warning=True)
        case _:
            return None


def repairing(status: Committed) -> str:
    """What a repair that is under way does, and why; empty where none is."""
    repair, last = status.last_repair, status.last_failure
    if status.phase not in (Phase.REPAIRING, Phase.STARTING) or repair is None or repair.attempt != status.attempt:
        return ""
    why = f"; {last.message}" if last is not None else ""
    return f"{_count(repair.moved, 'rank')} moved, {repair.kept} on their nodes, {repair.renewed} pods made anew{why}"


def _took(status: Committed) -> str:
    """How long a repair took, for the Event that ends it."""
    r = status.last_repair
    if r is None or r.attempt != status.attempt or r.running is None:
        return ""
    named = (("seen", r.detected), ("decided", r.decided), ("old pods gone", r.deleted), ("new pods made", r.created))
    stages = ", ".join(f"{name} {(at - r.failed) / 1000:.1f}" for name, at in named if at is not None)
    went = f"{_count(r.moved, 'rank')} moved, {r.kept} kept their nodes"
    return f" again {(r.running - r.failed) / 1000:.1f} s after the failure ({stages}); {went}"


def _avoided(job: Job | Rejected, status: Committed) -> str:
    """The nodes that the job avoids from now on."""
    before = {blame.node for blame in job.status.blamed if blame.until is not None}
    new = [blame for blame in status.blamed if blame.until is not None and blame.node not in before]
    if not new:
        return ""
    names = ", ".join(blame.node for blame in new[:4]) + (", ..." if len(new) > 4 else "")
    seconds = max((blame.until or 0) - blame.at for blame in new) // 1000
    return f"; blamed {new[0].count} times, avoided by this job for {seconds} s: {names}"


def _reserved(status: Committed) -> str:
    kept = status.reservation
    if kept is None or status.phase_since is None:
        return ""
    nodes = len(
        {n for role, names in enumerate(kept.nodes) for rank, n in enumerate(names) if (role, rank) not in kept.lost}
    )
    seconds = (kept.until - status.phase_since) // 1000
    return f"; {_count(nodes, 'healthy node')} kept for it for {seconds} s, in wait of a replacement"


def _moved(job: Job | Rejected, after: Placement) -> list[str]:
    """Which ranks change their node, in words."""
    before = job.status.placement
    if before is None:
        return []
    return [
        f"{name} {rank}: {old} -> {new}"
        for name, olds, news in zip(after.roles, before.nodes, after.nodes, strict=False)
        for rank, (old, new) in enumerate(zip(olds, news, strict=False))
        if old != new
    ]


def placement_words(transition: Transition) -> str:
    """`8/8 nvlink, 2/1 leaf`: domains touched and the least possible, nearest level first."""
    placement = transition.status.placement
    if placement is None:
        return ""
    least = dict(placement.least)
    parts = [f"{n}/{least.get(level, n)} {level}" for level, n in reversed(placement.domains)]
    pods = sum(len(nodes) for nodes in placement.nodes)
    nodes = len({node for role in placement.nodes for node in role})
    return f"{pods} pods on {nodes} nodes" + (f" ({', '.join(parts)})" if parts else "")
