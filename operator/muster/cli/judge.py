"""One job's answer, as `what-if` and `explain` give it: the JSON element of api.md, a sentence, an exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from muster.cli.cluster import Known
from muster.core import explain
from muster.core.inventory import Inventory
from muster.core.model import (
    Committed,
    Found,
    Job,
    Objective,
    Phase,
    Placement,
    Reason,
    Rejected,
    Remedy,
    Verdict,
)
from muster.core.placement.remedy import MENDED
from muster.core.policy import queueing
from muster.core.world import World

Element = dict[str, Any]
NEVER = frozenset({Reason.INVALID, Reason.UNSATISFIABLE, Reason.PRIORITY_CLASS_PREEMPTS})
"""Reasons that no waiting mends."""
_WORST = (0, 2, 3, 1)


def worst(codes: Iterable[int]) -> int:
    """The worst exit code, in the order 0 < 2 < 3 < 1."""
    return max(codes, key=_WORST.index, default=0)


def code_of(element: Mapping[str, Any]) -> int:
    """The exit code of one answer."""
    if element["placed"]:
        return 0
    return 3 if element["reason"] in {reason.value for reason in NEVER} else 2


def judge(known: Known, job: Job | Rejected, inventory: Inventory | None = None) -> Element:
    """Put one job, alone, to the cluster as it is, or to an inventory made from it. Neither is changed."""
    world = known.world
    inventory = world.inventory.fork() if inventory is None else inventory
    if isinstance(job, Rejected):
        return refused(job.key, job.path, job.message)
    known.admit(job)
    held = queueing.held(world, job, 0)
    shape = world.shape(job)
    if held is None:
        held = queueing.QuotaBook(world).held(job, shape)
    if held is not None and held.verdict is not None:
        return waiting(job.key, held.verdict)
    if held is not None:
        return _element(job.key, message="another gang of its namespace is being created; it is looked at after that")
    answer = world.solver.place(inventory, shape)
    if isinstance(answer, Verdict):
        return waiting(job.key, answer, remedy=world.remedy(inventory, shape, answer))
    if queueing.prefers_to_wait(job, answer, 0):
        return waiting(job.key, queueing.short_of_preferred(answer))
    return found(world, job, answer)


def found(world: World, job: Job, answer: Found) -> Element:
    """It fits, so."""
    names = tuple(role.name for role in job.roles)
    text = f"fits now: {_summary(answer.nodes, answer.domains, answer.least)}"
    text += "" if answer.proven else " (the best found, not proven best)"
    return _placed(world, job.key, names, answer, text)


def placed(world: World, job: Job | Rejected, placement: Placement) -> Element:
    """It is placed, as committed."""
    text = f"{job.status.phase.value}, attempt {placement.attempt}: "
    text += _summary(placement.nodes, placement.domains, placement.least)
    if under_way := explain.repairing(job.status):
        text += f"; {under_way}"
    return _placed(world, job.key, placement.roles, placement, text)


def present(known: Known, job: Job | Rejected) -> Element | None:
    """What the committed status says of a job that is not placed; None if that is nothing. Where that is a verdict of
    the solver it is judged anew, for the numbers of this moment and the smallest change that would start it."""
    status: Committed = job.status
    if status.waiting is not None and status.phase is Phase.PENDING:
        verdict = status.waiting.verdict
        if verdict.reason in MENDED and isinstance(job, Job):
            now = judge(known, job)
            if now["reason"] == verdict.reason.value:
                return now
        return waiting(job.key, verdict, status.waiting.message)
    if status.phase is Phase.PENDING:
        return None
    stopping, last = status.stopping, status.last_failure
    why = stopping.message if stopping is not None else last.message if last is not None else ""
    return _element(job.key, reason=status.phase.value, message=f"{status.phase.value}{': ' if why else ''}{why}")


def waiting(key: str, verdict: Verdict, message: str = "", remedy: Remedy | None = None) -> Element:
    """It is not placed, for this reason; `remedy`: the smallest change that would place it, if that was asked for."""
    words = message or explain.sentence(verdict, remedy)
    element = _element(key, reason=verdict.reason.value, message=words, details=details_of(verdict))
    return element | {"change": None if remedy is None else change_of(remedy)}


def details_of(verdict: Verdict) -> Element:
    """The numbers of a verdict, as docs/commands.md tells them."""
    details: Element = dict(verdict.numbers)
    if verdict.largest:
        details["largestByLevel"] = dict(verdict.largest)
    if verdict.exclusions:
        details["exclusions"] = dict(verdict.exclusions)
    return details


def change_of(remedy: Remedy) -> Element:
    """The smallest change, as docs/commands.md tells it."""
    actions = [
        {
            "kind": action.kind.value,
            "target": action.target,
            "level": action.level,
            "domain": action.domain,
            "nodes": list(action.nodes),
            "pods": action.pods,
        }
        for action in remedy.actions
    ]
    relaxations = [
        {"constraint": r.constraint, "level": r.level, "before": r.before, "after": r.after} for r in remedy.relax
    ]
    return {
        "nodes": remedy.count,
        "names": list(remedy.nodes),
        "level": remedy.level,
        "domain": remedy.domain,
        "proven": remedy.proven,
        "actions": actions,
        "largest": remedy.largest,
        "addNodes": remedy.add,
        "relaxations": relaxations,
    }


def refused(key: str, path: str, message: str) -> Element:
    """It cannot be understood."""
    return _element(key, reason=Reason.INVALID.value, message=f"{path}: {message}" if path else message)


def _placed(world: World, key: str, roles: tuple[str, ...], answer: Found | Placement, message: str) -> Element:
    ranks = [
        {"role": role, "rank": rank, "node": node, "domains": world.domains_of(node)}
        for role, nodes in zip(roles, answer.nodes, strict=True)
        for rank, node in enumerate(nodes)
    ]
    element = _element(key, message=message)
    return element | {
        "placed": True,
        "provenOptimal": answer.proven,
        "objective": _objective(answer.objective),
        "domains": dict(answer.domains),
        "ranks": ranks,
        "bound": list(answer.bound) if isinstance(answer, Found) and answer.bound is not None else None,
    }


def _element(key: str, *, reason: str = "", message: str = "", details: dict[str, Any] | None = None) -> Element:
    return {
        "job": key,
        "placed": False,
        "provenOptimal": False,
        "objective": None,
        "domains": {},
        "ranks": [],
        "reason": reason,
        "message": message,
        "details": details or {},
        "change": None,
        "bound": None,
    }


def _objective(objective: Objective) -> Element:
    return {
        "preferred": objective.preferred,
        "cost": objective.cost,
        "nodes": objective.nodes,
        "intactOpened": dict(objective.intact),
        "leftover": objective.leftover,
    }


def _summary(
    nodes: tuple[tuple[str, ...], ...], domains: tuple[tuple[str, int], ...], least: tuple[tuple[str, int], ...]
) -> str:
    floor = dict(least)
    parts = [f"{n}/{floor.get(level, n)} {level}" for level, n in reversed(domains)]
    pods, used = sum(map(len, nodes)), len({node for role in nodes for node in role})
    return f"{pods} pods on {used} nodes" + (f", {', '.join(parts)} (touched/least possible)" if parts else "")
