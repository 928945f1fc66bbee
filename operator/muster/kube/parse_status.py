"""TrainingJob.status -> Committed: the inverse of `status.status_of`, exact on whatever that wrote.

A status may have been edited, or written by an older version: what cannot be read counts as never written, field by
field; a placement is read as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from muster.core.model import (
    Blame,
    Committed,
    LastFailure,
    LastRepair,
    Objective,
    Phase,
    Placement,
    RankFailure,
    Reason,
    Reservation,
    RoleCount,
    StartFailures,
    Stopping,
    Verdict,
    Waiting,
)
from muster.kube.hostlist import expand, from_run_lengths
from muster.kube.parse_meta import millis
from muster.kube.parse_values import integer, items, mapping, optional_integer, text
from muster.kube.quantity import Malformed

_PHASES = {phase.value: phase for phase in Phase}
_REASONS = {reason.value: reason for reason in Reason}


def committed_from(status: Any) -> Committed:
    """What was committed of a job. Never raises."""
    s = mapping(status)
    return Committed(
        phase=_PHASES.get(text(s.get("phase")), Phase.PENDING),
        observed_generation=integer(s.get("observedGeneration"), -1),
        live=s.get("live") is True,
        attempt=integer(s.get("attempt")),
        restarts=integer(s.get("restarts")),
        restarts_in_row=integer(s.get("restartsInRow")),
        disruptions=integer(s.get("disruptions")),
        start_failures=_start_failures(s.get("startFailures")),
        running_ms=integer(s.get("runningSeconds")) * 1000,
        phase_since=time(s.get("phaseSince")),
        running_since=time(s.get("runningSince")),
        placeable_since=time(s.get("placeableSince")),
        placement=placement_from(s.get("placement")),
        stopping=_stopping(s.get("stopping")),
        waiting=_waiting(s.get("waiting")),
        not_before=time(s.get("nextAttemptTime")),
        last_failure=_last_failure(s.get("lastFailure")),
        relabelled=_true_condition(s, "TopologyChanged"),
        counts=tuple(_count(mapping(role)) for role in items(s.get("roles"))),
        started=time(s.get("startTime")),
        finished=time(s.get("completionTime")),
        blamed=tuple(_blame(mapping(entry)) for entry in items(s.get("blamed"))),
        reservation=_reservation(s.get("reservation")),
        repairs=integer(s.get("repairs")),
        opened=integer(s.get("opened")),
        leaving=tuple(_leaving(s.get("leaving"))),
        last_repair=_last_repair(s.get("lastRepair")),
    )


def _true_condition(status: Any, kind: str) -> str:
    """The message of a condition that is True; empty if it is not."""
    for condition in map(mapping, items(status.get("conditions"))):
        if condition.get("type") == kind and condition.get("status") == "True":
            return text(condition.get("message"))
    return ""


def time(value: Any) -> int | None:
    """A time of the API in ms, None for what is none."""
    return millis(value) if isinstance(value, str) and len(value) <= 64 else None


def placement_from(value: Any) -> Placement | None:
    """A placement; None if any part that says where ranks run cannot be read."""
    p = mapping(value)
    names: list[str] = []
    nodes: list[tuple[str, ...]] = []
    born: list[tuple[int, ...]] = []
    for role in map(mapping, items(p.get("roles"))):
        expanded, made = expand(text(role.get("nodes"))), from_run_lengths(text(role.get("born")))
        if isinstance(expanded, Malformed) or isinstance(made, Malformed):
            return None
        names.append(text(role.get("name")))
        nodes.append(expanded)
        born.append(made)
    attempt = optional_integer(p.get("attempt"))
    if attempt is None:
        return None
    levels = tuple(text(level) for level in items(p.get("levels")))
    cost = mapping(p.get("objective"))
    return Placement(
        attempt=attempt,
        gang_attempt=integer(p.get("gangAttempt")),
        term=text(p.get("term")),
        generation=integer(p.get("generation")),
        roles_hash=text(p.get("rolesHash")),
        roles=tuple(names),
        nodes=tuple(nodes),
        born=tuple(born),
        objective=Objective(
            preferred=integer(cost.get("preferred")),
            cost=integer(cost.get("cost")),
            nodes=integer(cost.get("nodes")),
            intact=_by_level(levels, cost.get("intactOpened")),
            leftover=integer(cost.get("leftover")),
        ),
        proven=p.get("provenOptimal") is True,
        domains=_by_level(levels, p.get("domains")),
        least=_by_level(levels, p.get("least")),
    )


def _by_level(levels: tuple[str, ...], value: Any) -> tuple[tuple[str, int], ...]:
    """Numbers by level, broadest first: objects of the API have no order of their own, `levels` keeps it."""
    numbers = mapping(value)
    return tuple((level, integer(numbers[level])) for level in dict.fromkeys(levels) if level in numbers)


def _start_failures(value: Any) -> StartFailures:
    f = mapping(value)
    return StartFailures(
        integer(f.get("count")), text(f.get("message")), integer(f.get("sameMessage")), text(f.get("reason"))
    )


def _stopping(value: Any) -> Stopping | None:
    s = mapping(value)
    return Stopping(text(s.get("reason")), text(s.get("message")), text(s.get("by"))) if "reason" in s else None


def _waiting(value: Any) -> Waiting | None:
    w = mapping(value)
    reason = _REASONS.get(text(w.get("reason")))
    if reason is None:
        return None
    details = mapping(w.get("details"))
    numbers: list[tuple[str, int | str]] = []
    for fact in map(mapping, items(details.get("numbers"))):
        number = fact.get("value")
        numbers.append((text(fact.get("name")), number if isinstance(number, str) else integer(number)))
    exclusions = tuple(
        (text(e.get("cause")), integer(e.get("nodes"))) for e in map(mapping, items(details.get("exclusions")))
    )
    largest = tuple((text(e.get("level")), integer(e.get("pods"))) for e in map(mapping, items(details.get("largest"))))
    verdict = Verdict(reason, tuple(numbers), exclusions, largest)
    return Waiting(verdict, text(w.get("message")), time(w.get("since")) or 0)


def _blame(entry: Any) -> Blame:
    return Blame(
        text(entry.get("node")), integer(entry.get("count")), time(entry.get("time")) or 0, time(entry.get("until"))
    )


def _reservation(value: Any) -> Reservation | None:
    """What is kept; None if any part of it cannot be read: then nothing is."""
    kept = mapping(value)
    until = time(kept.get("until"))
    nodes: list[tuple[str, ...]] = []
    lost: list[tuple[int, int]] = []
    for role, entry in enumerate(map(mapping, items(kept.get("roles")))):
        expanded = expand(text(entry.get("nodes")))
        if isinstance(expanded, Malformed):
            return None
        nodes.append(expanded)
        lost += [(role, integer(rank)) for rank in items(entry.get("lost"))]
    return Reservation(tuple(nodes), tuple(lost), until) if until is not None and nodes else None


def _leaving(value: Any) -> Iterator[tuple[str, int, str]]:
    for entry in map(mapping, items(value)):
        nodes = expand(text(entry.get("nodes")))
        if not isinstance(nodes, Malformed):
            for rank, node in zip(items(entry.get("ranks")), nodes, strict=False):
                yield text(entry.get("role")), integer(rank), node


def _last_failure(value: Any) -> LastFailure | None:
    f = mapping(value)
    if "reason" not in f:
        return None
    failures = tuple(
        RankFailure(
            role=text(r.get("role")),
            rank=integer(r.get("rank")),
            node=text(r.get("node")),
            exit_code=optional_integer(r.get("exitCode")),
            signal=optional_integer(r.get("signal")),
            finished_at=time(r.get("finishedAt")),
            message=text(r.get("message")),
        )
        for r in map(mapping, items(f.get("failures")))
    )
    return LastFailure(time(f.get("time")) or 0, text(f.get("reason")), text(f.get("message")), failures)


def _last_repair(value: Any) -> LastRepair | None:
    r = mapping(value)
    failed, detected, decided = time(r.get("failed")), time(r.get("detected")), time(r.get("decided"))
    if failed is None or detected is None or decided is None:
        return None
    return LastRepair(
        attempt=integer(r.get("attempt")),
        cause=text(r.get("cause")),
        how=text(r.get("how")),
        moved=integer(r.get("moved")),
        kept=integer(r.get("kept")),
        renewed=integer(r.get("renewed")),
        failed=failed,
        detected=detected,
        decided=decided,
        deleted=time(r.get("deleted")),
        created=time(r.get("created")),
        running=time(r.get("running")),
    )


def _count(role: Any) -> RoleCount:
    return RoleCount(
        text(role.get("name")),
        integer(role.get("pods")),
        integer(role.get("running")),
        integer(role.get("succeeded")),
        integer(role.get("failed")),
    )
