"""Every state that a TrainingJob or a ClusterTopology can be in, as muster writes it, and what GitOps tools are to see.

The objects are made by the code that writes them, on the object that the API server would hold: with the CRD's default
status and the conditions of before.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from typing import Any

from tests.gitops.kstatus import CURRENT, FAILED, IN_PROGRESS, TERMINATING
from tests.kube import objects

from muster.core.explain import sentence
from muster.core.model import (
    Committed,
    LastFailure,
    Objective,
    Phase,
    Placement,
    Reason,
    RoleCount,
    StartFailures,
    Stopping,
    TopologyStatus,
    Verdict,
    Waiting,
)
from muster.kube import parse
from muster.kube.parse_topology import topology_from
from muster.kube.status import status_of
from muster.worker.topology import topology_patch

NOW = 1_772_366_400_000
HEALTHY, DEGRADED, PROGRESSING, SUSPENDED = "Healthy", "Degraded", "Progressing", "Suspended"
OLD = 1
"""A generation before the object's, which is 2."""


@dataclass(frozen=True)
class State:
    """One object, and what is to be seen of it. `says` is part of Argo CD's message."""

    name: str
    object: dict[str, Any]
    kstatus: str
    argo: str
    says: str = ""


FACTS: dict[Reason, tuple[tuple[str, int | str], ...]] = {
    Reason.INVALID: (("field", "spec.roles[0]"), ("message", "is wrong")),
    Reason.INSUFFICIENT_CAPACITY: (("pods", 64), ("free", 60), ("missing", 4)),
    Reason.FRAGMENTED: (("pods", 64), ("free", 82)),
    Reason.NAMESPACE_QUOTA: (("quota", "ten"), ("resource", "pods"), ("left", 3), ("needs", 7)),
}
STUCK = (
    Reason.INVALID,
    Reason.UNSATISFIABLE,
    Reason.PRIORITY_CLASS_PREEMPTS,
    Reason.SCHEDULER_REFUSED,
    Reason.POLICY_REFUSED,
)
"""Somebody has to change something: Failed."""
PLACEMENT = Placement(
    2, 1, "77", 2, "h+d", ("worker",), (("a", "b"),), ((1, 2),), Objective(1, 1, 2, (("nvlink", 1),), 0), True,
    (("nvlink", 1),), (("nvlink", 1),),
)  # fmt: skip
LIVE = Committed(Phase.PLACED, 2, True, 2, placement=PLACEMENT, counts=(RoleCount("worker", 2, 2, 0, 0),))
LOST = LastFailure(NOW, "Disrupted", "worker 1 lost its node b: the node was deleted")


def training_job(committed: Committed | None, before: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A TrainingJob of generation 2 with this status; None: as created. `before` is the one it was written on."""
    obj = copy.deepcopy(before) if before is not None else objects.job()
    obj["metadata"] |= metadata
    if committed is None:
        obj["status"] = {"observedGeneration": -1, "phase": "Pending"}
    else:
        obj["status"] = json.loads(json.dumps(status_of(parse.job_from(obj), committed, NOW)))
    return obj


def _waiting(reason: Reason) -> Committed:
    verdict = Verdict(reason, FACTS.get(reason, ()))
    return Committed(Phase.PENDING, 2, waiting=Waiting(verdict, sentence(verdict), NOW))


def _refused(reason: Reason, times: int) -> Committed:
    again = StartFailures(times, "no such image", times, reason.value)
    return replace(_waiting(reason), attempt=times, start_failures=again)


def _jobs() -> list[State]:
    states = [
        State("just created", training_job(None), IN_PROGRESS, PROGRESSING, "not looked at"),
        State("about to be placed", training_job(Committed(Phase.PENDING, 2)), CURRENT, HEALTHY, "in the queue"),
        State("being deleted", training_job(LIVE, deletionTimestamp=objects.TIME), TERMINATING, PROGRESSING, "deleted"),
    ]
    for reason in Reason:
        stuck = reason in STUCK
        seen = (FAILED, DEGRADED) if stuck else (CURRENT, HEALTHY)
        states.append(State(f"Pending {reason.value}", training_job(_waiting(reason)), *seen, reason.value))
    active = {
        Phase.PLACED: LIVE,
        Phase.STARTING: replace(LIVE, phase=Phase.STARTING),
        Phase.RUNNING: replace(LIVE, phase=Phase.RUNNING),
        Phase.REPAIRING: replace(LIVE, phase=Phase.REPAIRING, last_failure=LOST),
        Phase.STOPPING: replace(LIVE, phase=Phase.STOPPING, stopping=Stopping("Disrupted", LOST.message)),
        Phase.SUCCEEDED: replace(LIVE, phase=Phase.SUCCEEDED, finished=NOW),
    }
    says = {Phase.RUNNING: "2/17", Phase.STOPPING: "lost its node b"}
    for phase, committed in active.items():
        words = says.get(phase, phase.value)
        states.append(State(phase.value, training_job(committed), CURRENT, HEALTHY, words))
        behind = training_job(replace(committed, observed_generation=OLD))
        states.append(State(f"{phase.value}, changed since", behind, IN_PROGRESS, PROGRESSING, "generation 2"))
    suspending = replace(LIVE, phase=Phase.STOPPING, stopping=Stopping("Suspended", "spec.suspend is true"))
    states += [
        State("being suspended", training_job(suspending), CURRENT, HEALTHY, "spec.suspend is true"),
        State("Suspended", training_job(Committed(Phase.SUSPENDED, 2)), CURRENT, SUSPENDED, "suspend"),
        State(
            "Suspended, changed since", training_job(Committed(Phase.SUSPENDED, OLD)), IN_PROGRESS, PROGRESSING, "gener"
        ),
        State(
            "Unsatisfiable, changed since",
            training_job(replace(_waiting(Reason.UNSATISFIABLE), observed_generation=OLD)),
            IN_PROGRESS,
            PROGRESSING,
            "generation 2",
        ),
    ]
    for reason in ("DeadlineExceeded", "MaxRestarts", "MaxDisruptions", "FailedByRule"):
        failed = replace(LIVE, phase=Phase.FAILED, last_failure=LastFailure(NOW, reason, f"because of {reason}"))
        states.append(State(f"Failed {reason}", training_job(failed), FAILED, DEGRADED, f"because of {reason}"))
    return states + _starts_in_vain()


def _starts_in_vain() -> list[State]:
    """A start that fails again and again in the same way is Stalled, and stays so while it is tried once more."""
    pulls = training_job(_refused(Reason.IMAGE_PULL, 3))
    counted = StartFailures(3, "no such image", 3, "ImagePull")
    tried = replace(LIVE, start_failures=counted)
    changed = copy.deepcopy(pulls)
    changed["metadata"]["generation"] = 3
    mended = replace(tried, observed_generation=3)
    return [
        State("image not there, twice", training_job(_refused(Reason.IMAGE_PULL, 2)), CURRENT, HEALTHY, "ImagePull"),
        State("image not there, thrice", pulls, FAILED, DEGRADED, "no such image"),
        State("image not there, once more", training_job(tried, pulls), FAILED, DEGRADED, "no such image"),
        State("image not there, mended", training_job(mended, changed), CURRENT, HEALTHY, "Placed"),
        State(
            "image found at last",
            training_job(replace(LIVE, phase=Phase.RUNNING), training_job(tried, pulls)),
            CURRENT,
            HEALTHY,
            "2/17",
        ),
        State("never stalled before", training_job(tried), CURRENT, HEALTHY, "Placed"),
    ]


def _topology(observed: int, invalid: str = "", **metadata: Any) -> dict[str, Any]:
    obj: dict[str, Any] = {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "ClusterTopology",
        "metadata": {"name": "default", "uid": "t", "resourceVersion": "9", "generation": 2} | metadata,
        "spec": {"preset": "GB300"},
        "status": {"observedGeneration": -1},
    }
    if observed >= 0:
        said = TopologyStatus((("nvlink", 4, 72, 0),), 72, 72, (), "GB300", invalid, observed)
        obj["status"] = topology_patch(topology_from(obj), said, NOW)["status"]
    return obj


JOBS = _jobs()
TOPOLOGIES = [
    State("just created", _topology(-1), IN_PROGRESS, PROGRESSING, "not looked at"),
    State("in use", _topology(2), CURRENT, HEALTHY, "GB300"),
    State("changed since", _topology(OLD), IN_PROGRESS, PROGRESSING, "generation 2"),
    State("invalid", _topology(2, "spec.levels: no"), FAILED, DEGRADED, "spec.levels: no"),
    State("invalid, changed since", _topology(OLD, "spec.levels: no"), IN_PROGRESS, PROGRESSING, "generation 2"),
    State("being deleted", _topology(2, deletionTimestamp=objects.TIME), TERMINATING, PROGRESSING, "deleted"),
]
