"""What a kubelet does with one bound pod: records in, the next status out. No I/O, no clock.

A pod without annotations starts and runs until it is deleted. Annotations (pod, or pod
template) ask for something else; all begin with `fake.muster.dev/`:

| annotation | meaning |
|---|---|
| run-seconds | the containers end by themselves after this long |
| exit-code, exit-codes | with this code (0); for some containers others, as JSON {"name": code} |
| message | written to the termination message; of an image that cannot be pulled: why |
| never-start | "true": stays Pending |
| start-seconds | starts this long after it was bound, instead of the common delay |
| image-pull-backoff | "true": stays Pending, waiting with ImagePullBackOff |
| refuse | Failed with this reason and no container status, as the kubelet's admission does |
| stop-seconds | how long the containers take to end after SIGTERM; past the grace: killed, 137 |
| stop-exit-code | what they end with on SIGTERM (143) |
| log | text in the container's log (embedded cluster) |
| only-rank, only-attempt | all the above holds only for pods with this `muster.dev/rank`, `muster.dev/attempt` |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from zlib import crc32

PREFIX = "fake.muster.dev/"
Pod = Mapping[str, Any]


class Step(Enum):
    """What is to be done next with a pod."""

    RUN = "run"
    BACK_OFF = "back-off"
    REFUSE = "refuse"
    FINISH = "finish"
    TERMINATE = "terminate"
    ABANDON = "abandon"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Delays:
    """Common delays in seconds: from bound to Running, from SIGTERM to ended."""

    start: float = 0.0
    stop: float = 0.0


def next_step(pod: Pod, delays: Delays) -> tuple[Step, float] | None:
    """Return what is due and how many seconds after the pod came into its present state; None: nothing."""
    wishes = wishes_of(pod)
    phase = pod["status"].get("phase", "Pending")
    deletion = pod["metadata"].get("deletionTimestamp")
    if deletion is not None:
        if phase == "Running":
            grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            return Step.TERMINATE, min(float(wishes.get("stop-seconds", delays.stop)), grace)
        return (Step.ABANDON if phase == "Pending" else Step.DELETE), 0.0
    if phase == "Running":
        return (Step.FINISH, float(wishes["run-seconds"])) if "run-seconds" in wishes else None
    if phase != "Pending" or wishes.get("never-start") == "true":
        return None
    if "refuse" in wishes:
        return Step.REFUSE, 0.0
    delay = float(wishes.get("start-seconds", delays.start))
    if wishes.get("image-pull-backoff") == "true":
        return None if pod["status"].get("containerStatuses") else (Step.BACK_OFF, delay)
    return Step.RUN, delay


def state_of(pod: Pod) -> tuple[object, ...]:
    """Return what tells one state from the next: delays are counted from when it changed."""
    restarts = sum(each.get("restartCount", 0) for each in pod["status"].get("containerStatuses", ()))
    return (pod["status"].get("phase"), "deletionTimestamp" in pod["metadata"], restarts)


def wishes_of(pod: Pod) -> dict[str, str]:
    """Return the annotations that concern this pod, without prefix."""
    meta = pod["metadata"]
    given = meta.get("annotations") or {}
    wishes = {key.removeprefix(PREFIX): value for key, value in given.items() if key.startswith(PREFIX)}
    labels = meta.get("labels") or {}
    for wish, label in (("only-rank", "muster.dev/rank"), ("only-attempt", "muster.dev/attempt")):
        if wish in wishes and wishes[wish] != labels.get(label):
            return {}
    return wishes


def status_after(pod: Pod, step: Step, now: datetime) -> dict[str, Any]:
    """Return the status patch (strategic merge) that carries out a step other than DELETE."""
    wishes = wishes_of(pod)
    match step:
        case Step.RUN:
            return _running(pod, now, restarts={})
        case Step.BACK_OFF:
            return _backing_off(pod, wishes.get("message", "ErrImagePull: not found"))
        case Step.REFUSE:
            reason = wishes["refuse"]
            return {"phase": "Failed", "reason": reason, "message": f"Pod was rejected: {reason}"}
        case Step.FINISH:
            codes = {name: int(wishes.get("exit-code", "0")) for name in _names(pod)}
            codes |= json.loads(wishes.get("exit-codes", "{}"))
            if any(codes.values()) and pod["spec"].get("restartPolicy") in ("OnFailure", "Always"):
                counts = {each["name"]: each["restartCount"] for each in pod["status"]["containerStatuses"]}
                return _running(pod, now, {name: count + (codes[name] != 0) for name, count in counts.items()})
            return _ended(pod, codes, wishes.get("message"), now)
        case Step.TERMINATE:
            grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            killed = float(wishes.get("stop-seconds", 0)) > grace
            code = 137 if killed else int(wishes.get("stop-exit-code", "143"))
            return _ended(pod, dict.fromkeys(_names(pod), code), None, now)
        case Step.ABANDON:  # as kubelets do, which let no pod go without a phase that is final (KEP-3329)
            lost = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}
            return {
                "phase": "Failed",
                "containerStatuses": [_container(pod, c, lost) for c in pod["spec"]["containers"]],
            }
        case Step.DELETE:
            raise ValueError("a deletion has no status")


def timestamp(now: datetime) -> str:
    """Return a moment as metav1.Time writes it: whole seconds, UTC."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(now: int) -> str:
    """Return a moment in ms as metav1.Time writes it."""
    return timestamp(datetime.fromtimestamp(now / 1000, UTC))


def _names(pod: Pod) -> list[str]:
    return [container["name"] for container in pod["spec"]["containers"]]


def _container(pod: Pod, container: Mapping[str, Any], state: Mapping[str, Any], restarts: int = 0) -> dict[str, Any]:
    running = "running" in state
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "" if "waiting" in state else "fake://image",
        "containerID": "" if "waiting" in state else f"fake://{pod['metadata']['uid']}/{container['name']}",
        "ready": running,
        "started": running,
        "restartCount": restarts,
        "state": dict(state),
    }


def _running(pod: Pod, now: datetime, restarts: Mapping[str, int]) -> dict[str, Any]:
    state = {"running": {"startedAt": timestamp(now)}}
    done = _terminated(0, None, now, now)
    init = [
        _container(pod, each, state if each.get("restartPolicy") == "Always" else {"terminated": done})
        for each in pod["spec"].get("initContainers", ())
    ]
    address = _address(pod)
    return {
        "phase": "Running",
        "startTime": pod["status"].get("startTime") or timestamp(now),
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": _conditions(ready=True, now=now),
        "containerStatuses": [_container(pod, c, state, restarts.get(c["name"], 0)) for c in pod["spec"]["containers"]],
        **({"initContainerStatuses": init} if init else {}),
    }


def _backing_off(pod: Pod, why: str) -> dict[str, Any]:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling image: {why}"}}
    return {"phase": "Pending", "containerStatuses": [_container(pod, c, state) for c in pod["spec"]["containers"]]}


def _ended(pod: Pod, codes: Mapping[str, int], message: str | None, now: datetime) -> dict[str, Any]:
    started = {
        each["name"]: each.get("state", {}).get("running", {}).get("startedAt")
        for each in pod["status"].get("containerStatuses", ())
    }
    counts = {each["name"]: each.get("restartCount", 0) for each in pod["status"].get("containerStatuses", ())}
    statuses = []
    for container in pod["spec"]["containers"]:
        name = container["name"]
        end = _terminated(codes.get(name, 0), message, started.get(name) or now, now)
        statuses.append(_container(pod, container, {"terminated": end}, counts.get(name, 0)))
    phase = "Failed" if any(codes.values()) else "Succeeded"
    conditions = _conditions(ready=False, now=now, reason="PodFailed" if any(codes.values()) else "PodCompleted")
    return {"phase": phase, "conditions": conditions, "containerStatuses": statuses}


def _terminated(code: int, message: str | None, started: datetime | str, now: datetime) -> dict[str, Any]:
    return {
        "exitCode": code,
        "reason": "Error" if code else "Completed",
        "startedAt": started if isinstance(started, str) else timestamp(started),
        "finishedAt": timestamp(now),
        **({"message": message} if message else {}),
    }


def _conditions(ready: bool, now: datetime, reason: str | None = None) -> list[dict[str, Any]]:
    common: dict[str, Any] = {"lastTransitionTime": timestamp(now)} | ({"reason": reason} if reason else {})
    steady = [{"type": kind, "status": "True", **common} for kind in ("PodReadyToStartContainers", "Initialized")]
    changing = [{"type": kind, "status": str(ready), **common} for kind in ("Ready", "ContainersReady")]
    return steady + changing


def _address(pod: Pod) -> str:
    """Return an address that nobody has: from 240.0.0.0/4, which no machine routes."""
    number = crc32(pod["metadata"]["uid"].encode())
    return f"240.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
