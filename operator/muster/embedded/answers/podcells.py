"""The columns of a pod: what its STATUS says is worked out from its containers, as kube-apiserver does it."""

from __future__ import annotations

from typing import Any

from muster.embedded.ages import age, milliseconds
from muster.embedded.answers.cells import NONE
from muster.embedded.wire import Object

TERMINAL = ("Succeeded", "Failed")


class _Restarts:
    """How often containers restarted, and when last."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""

    def add(self, container: Object) -> None:
        self.count += container.get("restartCount", 0)
        ended = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
        if ended and (milliseconds(ended) or 0) > (milliseconds(self.last) or 0):
            self.last = ended

    def shown(self, now: int) -> str:
        return f"{self.count} ({age(self.last, now)} ago)" if self.count and self.last else str(self.count)


def _why_terminated(ended: Object) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _condition(status: Object, kind: str) -> Object:
    return next((c for c in status.get("conditions") or () if c.get("type") == kind), {})


def pod_cells(pod: Object, now: int) -> list[Any]:
    """Cells of a pod at `now` (ms): name, ready, status, restarts, age, IP, node, nominated node, readiness gates."""
    meta, spec, status = pod.get("metadata", {}), pod.get("spec") or {}, pod.get("status") or {}
    phase = status.get("phase", "")
    reason = status.get("reason") or phase
    if _condition(status, "PodScheduled").get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or ()) + len(sidecars)

    initialising, reason, ready, restarts, of_sidecars = _initialised(spec, status, reason, sidecars)
    if not initialising or _condition(status, "Initialized").get("status") == "True":
        restarts = of_sidecars
        reason, more = _running(status, reason, restarts)
        ready += more
    if meta.get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif phase not in TERMINAL:
            reason = "Terminating"
    return [
        meta.get("name", ""),
        f"{ready}/{total}",
        reason,
        restarts.shown(now),
        age(meta.get("creationTimestamp"), now),
        next((ip.get("ip") for ip in status.get("podIPs") or ()), None) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


def _initialised(
    spec: Object, status: Object, reason: str, sidecars: set[Any]
) -> tuple[bool, str, int, _Restarts, _Restarts]:
    restarts, of_sidecars, ready = _Restarts(), _Restarts(), 0
    for index, each in enumerate(status.get("initContainerStatuses") or ()):
        restarts.add(each)
        sidecar = each.get("name") in sidecars
        if sidecar:
            of_sidecars.add(each)
        state = each.get("state") or {}
        ended, waits = state.get("terminated"), (state.get("waiting") or {}).get("reason")
        if ended is not None and not ended.get("exitCode"):
            continue
        if sidecar and each.get("started"):
            ready += bool(each.get("ready"))
            continue
        if ended is not None:
            reason = f"Init:{_why_terminated(ended)}"
        elif waits and waits != "PodInitializing":
            reason = f"Init:{waits}"
        else:
            reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        return True, reason, ready, restarts, of_sidecars
    return False, reason, ready, restarts, of_sidecars


def _running(status: Object, reason: str, restarts: _Restarts) -> tuple[str, int]:
    ready, running, failed = 0, False, ""
    for each in reversed(status.get("containerStatuses") or ()):
        restarts.add(each)
        state = each.get("state") or {}
        ended, waits = state.get("terminated"), (state.get("waiting") or {}).get("reason")
        if waits:
            reason = waits
        elif ended is not None:
            reason = _why_terminated(ended)
            if ended.get("exitCode"):
                failed = reason
        elif each.get("ready") and state.get("running") is not None:
            running = True
            ready += 1
    if reason == "Completed":
        if running and _condition(status, "Ready").get("status") == "True":
            reason = "Running"
        elif failed:
            reason = failed
        elif running:
            reason = "NotReady"
    return reason, ready


def _gates(spec: Object, status: Object) -> str:
    gates = spec.get("readinessGates") or ()
    met = sum(_condition(status, gate.get("conditionType", "")).get("status") == "True" for gate in gates)
    return f"{met}/{len(gates)}" if gates else NONE
