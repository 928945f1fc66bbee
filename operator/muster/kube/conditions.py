"""The conditions of a TrainingJob: what was committed, restated for people, `kubectl wait` and readers of kstatus.

To kstatus a job is InProgress until its generation is judged (Reconciling), then Current, also in the queue; Failed
where it failed, or where waiting does not help and somebody has to act (Stalled).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from muster.core.explain import repairing
from muster.core.lifecycle import SAME_REFUSALS
from muster.core.model import ACTIVE, Committed, Phase, Reason
from muster.kube.parse_meta import instant
from muster.kube.parse_values import items, mapping, text
from muster.kube.plain import clipped

STALLED = frozenset(
    {
        Reason.INVALID,
        Reason.UNSATISFIABLE,
        Reason.PRIORITY_CLASS_PREEMPTS,
        Reason.SCHEDULER_REFUSED,
        Reason.POLICY_REFUSED,
    }
)
"""Reasons that waiting does not cure: somebody has to change the job or the cluster."""
REPEATED = frozenset({"SchedulerRefused", "ImagePull", "StartFailed"})
"""Starts that ended like this, `SAME_REFUSALS` times in a row with one message, will again."""
_WORD = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]{0,126}[A-Za-z0-9_])?")


def conditions(
    known: Mapping[str, Any], generation: int, c: Committed, now: int, warnings: Sequence[str]
) -> list[dict[str, Any]]:
    """All conditions, recomputed; one whose status is unchanged keeps its transition time. `known` is the status that
    the object has, `generation` its own; `warnings` are sentences, `now` is in ms."""
    why, words = c.phase.value, ""
    if c.waiting is not None:
        why, words = c.waiting.verdict.reason.value, c.waiting.message
    elif c.stopping is not None:
        why, words = c.stopping.reason, c.stopping.message
    failed = c.phase is Phase.FAILED
    end, end_words = (c.last_failure.reason, c.last_failure.message) if c.last_failure is not None else (why, words)
    placed = c.live and c.placement is not None and c.phase in ACTIVE
    before = {text(mapping(old).get("type")): mapping(old) for old in items(known.get("conditions"))}
    stalled = _stalled(c, (end, end_words), before.get("Stalled", {}))
    judged = c.observed_generation >= generation
    rows = [
        ("Placed", placed, "Placed" if placed else why, "" if placed else words),
        ("Running", c.phase is Phase.RUNNING, why if c.phase is not Phase.RUNNING else "AllPodsRunning", repairing(c)),
        ("Complete", c.phase is Phase.SUCCEEDED, "SuccessPolicyMet" if c.phase is Phase.SUCCEEDED else why, ""),
        ("Failed", failed, end if failed else "NotFailed", end_words if failed else ""),
        ("Suspended", c.phase is Phase.SUSPENDED, "Suspended" if c.phase is Phase.SUSPENDED else "NotSuspended", ""),
        ("Reconciling", not judged, "Judged" if judged else "NewGeneration", ""),
        ("Stalled", stalled is not None, *(stalled or ("NotStalled", ""))),
    ]
    if warnings:
        rows.append(("Warning", True, "LauncherMismatch", " ".join(warnings)))
    if c.relabelled:
        rows.append(("TopologyChanged", True, "HardConstraintBroken", c.relabelled))
    made: list[dict[str, Any]] = []
    for kind, holds, reason, message in rows:
        status = "True" if holds else "False"
        old = before.get(kind, {})
        since = text(old.get("lastTransitionTime")) if old.get("status") == status else ""
        condition: dict[str, Any] = {
            "type": kind,
            "status": status,
            "lastTransitionTime": since or instant(now),
            "reason": reason if _WORD.fullmatch(reason) else "Unknown",
            "message": clipped(message),
        }
        if c.observed_generation >= 0:
            condition["observedGeneration"] = c.observed_generation
        made.append(condition)
    return made


def _stalled(c: Committed, end: tuple[str, str], before: Mapping[str, Any]) -> tuple[str, str] | None:
    """Reason and message of Stalled, None where it is not. `end` is what a failed job failed of, `before` the condition
    as it was."""
    if c.phase is Phase.FAILED:
        return end
    waits = c.waiting.verdict.reason if c.waiting is not None else None
    if c.waiting is not None and waits in STALLED:
        return c.waiting.verdict.reason.value, c.waiting.message
    last = c.start_failures
    if last.same < SAME_REFUSALS or last.reason not in REPEATED or c.phase is Phase.RUNNING:
        return None
    # Each further try must not look like a cure to readers of kstatus; a changed spec may be one.
    still = before.get("status") == "True" and before.get("observedGeneration") == c.observed_generation
    if still or waits in (Reason.IMAGE_PULL, Reason.START_FAILED):
        return last.reason, f"{last.same} starts in a row ended like this: {last.message}"
    return None
