"""Committed -> TrainingJob.status, and the compare-and-set that writes it.

`parse_status.committed_from(status_of(...)) == committed` for every Committed on whole seconds whose numbers by level
are in one order. Nothing here decides: conditions and summary restate what was committed, for kubectl, kstatus and
people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from muster.core.model import (
    Blame,
    Committed,
    Job,
    LastFailure,
    LastRepair,
    Placement,
    RankFailure,
    Rejected,
    Verdict,
)
from muster.kube.conditions import conditions
from muster.kube.hostlist import compress, run_lengths
from muster.kube.parse_meta import instant, precise
from muster.kube.parse_values import mapping
from muster.kube.plain import clipped


def status_patch(job: Job | Rejected, committed: Committed, now: int, warnings: Sequence[str] = ()) -> bytes:
    """The JSON merge patch of the status subresource that makes `committed` (and `warnings`, a condition) the status.

    It holds only against the very object that `job` was parsed from: uid and resourceVersion are its preconditions. So
    it carries what differs from that object's status and no more, with null for what is to go.
    """
    before = _status_before(job)
    patch: dict[str, Any] = {"metadata": {"uid": job.id, "resourceVersion": str(job.rv)}}
    if changes := _difference(before, status_of(job, committed, now, warnings)):
        patch["status"] = changes
    return msgspec.json.encode(patch)


def status_of(job: Job | Rejected, committed: Committed, now: int, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """The whole status. Of the object's present status only its conditions are used: their transition times, and
    whether it was Stalled already."""
    c = committed
    status: dict[str, Any] = {
        "observedGeneration": c.observed_generation,
        "phase": c.phase.value,
        "conditions": conditions(_status_before(job), job.generation, c, now, warnings),
        "live": c.live,
        "attempt": c.attempt,
        "restarts": c.restarts,
        "restartsInRow": c.restarts_in_row,
        "disruptions": c.disruptions,
        "runningSeconds": c.running_ms // 1000,
        "summary": _summary(job, c),
        "roles": [
            {"name": n.name, "pods": n.pods, "running": n.running, "succeeded": n.succeeded, "failed": n.failed}
            for n in c.counts
        ],
    }
    times = {
        "phaseSince": c.phase_since,
        "runningSince": c.running_since,
        "placeableSince": c.placeable_since,
        "nextAttemptTime": c.not_before,
        "startTime": c.started,
        "completionTime": c.finished,
    }
    status |= {name: instant(time) for name, time in times.items() if time is not None}
    if c.placement is not None:
        status["placement"] = _placement(c.placement)
    if c.waiting is not None:
        status["waiting"] = {
            "reason": c.waiting.verdict.reason.value,
            "message": clipped(c.waiting.message),
            "since": instant(c.waiting.since),
            "details": _details(c.waiting.verdict),
        }
        if c.not_before is not None:
            status["waiting"]["nextAttemptTime"] = instant(c.not_before)
    if c.stopping is not None:
        status["stopping"] = {"reason": c.stopping.reason, "message": clipped(c.stopping.message)}
        if c.stopping.by:
            status["stopping"]["by"] = c.stopping.by
    if c.last_failure is not None:
        status["lastFailure"] = _last_failure(c.last_failure)
    if c.last_repair is not None:
        status["lastRepair"] = _last_repair(c.last_repair)
    if c.blamed:
        status["blamed"] = [_blame(blame) for blame in c.blamed]
    if c.reservation is not None:
        status["reservation"] = _reservation(c)
    if c.repairs:
        status["repairs"] = c.repairs
    if c.opened:
        status["opened"] = c.opened
    if c.leaving:
        status["leaving"] = _leaving(c)
    f = c.start_failures
    if f.count or f.same or f.message or f.reason:
        status["startFailures"] = {
            "count": f.count,
            "message": clipped(f.message),
            "sameMessage": f.same,
            "reason": f.reason,
        }
    return status


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The RFC 7386 merge patch from one object to another: lists as a whole, null for what is to go."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if inner := _difference(old, value):
                patch[name] = inner
        elif old != value or name not in before or type(old) is not type(value):
            patch[name] = value
    return patch


def _placement(p: Placement) -> dict[str, Any]:
    return {
        "attempt": p.attempt,
        "gangAttempt": p.gang_attempt,
        "term": p.term,
        "generation": p.generation,
        "rolesHash": p.roles_hash,
        "provenOptimal": p.proven,
        "levels": _order(p),
        "domains": dict(p.domains),
        "least": dict(p.least),
        "objective": {
            "preferred": p.objective.preferred,
            "cost": p.objective.cost,
            "nodes": p.objective.nodes,
            "intactOpened": dict(p.objective.intact),
            "leftover": p.objective.leftover,
        },
        "roles": [
            {"name": name, "nodes": compress(nodes), "born": run_lengths(born)}
            for name, nodes, born in zip(p.roles, p.nodes, p.born, strict=True)
        ],
    }


def _order(p: Placement) -> list[str]:
    """The levels that any of the numbers name, broadest first: each list is in that order, none need have all."""
    order: list[str] = []
    for numbers in (p.objective.intact, p.domains, p.least):
        at = 0
        for level, _ in numbers:
            if level in order:
                at = order.index(level) + 1
            else:
                order.insert(at, level)
                at += 1
    return order


def _details(verdict: Verdict) -> dict[str, Any]:
    return {
        "numbers": [{"name": name, "value": value} for name, value in verdict.numbers],
        "exclusions": [{"cause": cause, "nodes": nodes} for cause, nodes in verdict.exclusions],
        "largest": [{"level": level, "pods": pods} for level, pods in verdict.largest],
    }


def _last_failure(failure: LastFailure) -> dict[str, Any]:
    return {
        "time": instant(failure.time),
        "reason": failure.reason,
        "message": clipped(failure.message),
        "failures": [_rank_failure(one) for one in failure.failures],
    }


def _last_repair(repair: LastRepair) -> dict[str, Any]:
    r = repair
    written: dict[str, Any] = {
        "attempt": r.attempt,
        "cause": r.cause,
        "how": r.how,
        "moved": r.moved,
        "kept": r.kept,
        "renewed": r.renewed,
    }
    stages = {
        "failed": r.failed,
        "detected": r.detected,
        "decided": r.decided,
        "deleted": r.deleted,
        "created": r.created,
        "running": r.running,
    }
    return written | {name: precise(time) for name, time in stages.items() if time is not None}


def _blame(blame: Blame) -> dict[str, Any]:
    written: dict[str, Any] = {"node": blame.node, "count": blame.count, "time": instant(blame.at)}
    if blame.until is not None:
        written["until"] = instant(blame.until)
    return written


def _reservation(c: Committed) -> dict[str, Any]:
    kept = c.reservation
    assert kept is not None
    return {
        "until": instant(kept.until),
        "roles": [
            {"nodes": compress(nodes), "lost": [rank for mine, rank in kept.lost if mine == role]}
            for role, nodes in enumerate(kept.nodes)
        ],
    }


def _leaving(c: Committed) -> list[dict[str, Any]]:
    return [
        {
            "role": role,
            "ranks": [rank for name, rank, _ in c.leaving if name == role],
            "nodes": compress(node for name, _, node in c.leaving if name == role),
        }
        for role in dict.fromkeys(name for name, _, _ in c.leaving)
    ]


def _rank_failure(one: RankFailure) -> dict[str, Any]:
    written: dict[str, Any] = {"role": one.role, "rank": one.rank, "message": clipped(one.message)}
    if one.node:
        written["node"] = one.node
    if one.exit_code is not None:
        written["exitCode"] = one.exit_code
    if one.signal is not None:
        written["signal"] = one.signal
    if one.finished_at is not None:
        written["finishedAt"] = instant(one.finished_at)
    return written


def _summary(job: Job | Rejected, c: Committed) -> dict[str, Any]:
    """Running of wanted pods; and of the nearest level, and each broader one that the gang is spread over, the domains
    touched of the least possible, nearest first."""
    wanted = sum(role.count for role in job.roles) if isinstance(job, Job) else sum(n.pods for n in c.counts)
    summary = {"running": f"{sum(n.running for n in c.counts)}/{wanted}"}
    if c.placement is not None and c.live and c.placement.domains:
        least = dict(c.placement.least)
        nearest, *broader = reversed(c.placement.domains)
        shown = [nearest, *(level for level in broader if level[1] > 1)]
        where = ", ".join(f"{touched}/{least.get(level, touched)} {level}" for level, touched in shown)
        summary["where"] = clipped(where, 1024)
    return summary


def _status_before(job: Job | Rejected) -> Mapping[str, Any]:
    return mapping(mapping(job.manifest).get("status"))
