"""L1, by what the API shows: when the faults have stopped, every job has started, or waits for a reason that is true.

Written apart from the solver, and simpler: it counts free places. Where that cannot tell (several levels at once), the
job is believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from muster.safety.amounts import Amounts, add, amounts, pod_requests

Object = Mapping[str, Any]
SETTLED = ("Running", "Succeeded", "Failed", "Suspended")
FOR_ROOM = ("InsufficientCapacity", "Fragmented", "Unsatisfiable")
LASTING = ("Invalid", "PriorityClassMissing", "PriorityClassPreempts", "NamespaceQuota", "PolicyRefused")
"""Reasons that somebody else has to mend."""
CLIQUE = "nvidia.com/gpu.clique"


def unfinished(jobs: Iterable[Object], nodes: Iterable[Object], pods: Iterable[Object]) -> list[str]:
    """Say, one sentence a job, which jobs have neither started nor a true reason to wait."""
    free = _free(nodes, pods)
    found = []
    for job in jobs:
        said = _unfinished(job, free)
        if said:
            found.append(f"{job['metadata']['name']} {said}")
    return found


def _unfinished(job: Object, free: Mapping[str, tuple[Object, Amounts]]) -> str:
    status = job.get("status") or {}
    phase = status.get("phase", "Pending")
    suspended = bool(job["spec"].get("suspend"))
    if job["metadata"].get("deletionTimestamp"):
        return f"is being deleted and stays, {phase}"
    if phase in ("Succeeded", "Failed") and status.get("live"):
        return f"has ended, {phase}, and does not give back what it held"
    if phase in SETTLED and suspended == (phase == "Suspended" or (suspended and phase in ("Succeeded", "Failed"))):
        return ""
    if phase != "Pending" or suspended:
        return f"stays in {phase}" + (", though it is suspended" if suspended else "")
    waiting = status.get("waiting") or {}
    reason = waiting.get("reason", "")
    if status.get("observedGeneration") != job["metadata"].get("generation"):
        return f"was not judged at generation {job['metadata'].get('generation')}"
    if reason in LASTING:
        return ""
    if reason in FOR_ROOM:
        return f"waits for {reason}, though there is room for it" if _fits(job, free) else ""
    return f"waits with {reason or 'no reason'}: {waiting.get('message', '')}"


def _free(nodes: Iterable[Object], pods: Iterable[Object]) -> dict[str, tuple[Object, Amounts]]:
    """By name, the nodes that take new pods, and what is free there."""
    held: dict[str, Amounts] = {}
    for pod in pods:
        name = pod["spec"].get("nodeName")
        if name and pod["status"].get("phase") not in ("Succeeded", "Failed"):
            add(held.setdefault(name, {}), pod_requests(pod["spec"]))
    found = {}
    for node in nodes:
        spec, name = node.get("spec") or {}, node["metadata"]["name"]
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions") or ())
        if spec.get("unschedulable") or spec.get("taints") or not ready:
            continue  # a taint may be tolerated; then the job is believed
        room = amounts(node["status"].get("allocatable"))
        for what, value in held.get(name, {}).items():
            room[what] = room.get(what, Fraction(0)) - value
        found[name] = (node, room)
    return found


def _fits(job: Object, free: Mapping[str, tuple[Object, Amounts]]) -> bool:
    """Whether the job certainly fits; False where counting cannot tell."""
    roles = job["spec"]["roles"]
    if len(roles) > 1 or (job["spec"].get("topology") or {}).get("required"):
        return False
    (role,) = roles
    if (role["template"]["spec"] or {}).get("nodeSelector") or (role["template"]["spec"] or {}).get("affinity"):
        return False
    asked = pod_requests(role["template"]["spec"])
    topology: Object = role.get("topology") or {}
    places = {name: _places(room, asked) for name, (_, room) in free.items()}
    required: Object | None = topology.get("required")
    segments: list[Object] = topology.get("segments") or []
    if not required and not segments:
        return sum(places.values()) >= int(role["replicas"])
    if len(segments) > 1 or (required and segments):
        return False
    level = required["level"] if required else segments[0]["level"]
    if level != "nvlink":
        return False
    by_domain: Counter[str] = Counter()
    for name, count in places.items():
        domain = free[name][0]["metadata"].get("labels", {}).get(CLIQUE)
        if domain:
            by_domain[domain] += count
    wanted = int(role["replicas"])
    if required:
        return max(by_domain.values(), default=0) >= wanted
    size = int(segments[0].get("size") or 0)
    if not size or wanted % size:
        return False
    return sum(count // size for count in by_domain.values()) >= wanted // size


def _places(room: Amounts, asked: Amounts) -> int:
    """How many such pods fit."""
    return max(0, min(int(room.get(name, Fraction(0)) / value) for name, value in asked.items() if value))
