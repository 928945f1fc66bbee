"""What a container that does not exist would have written: the lines of `muster logs` on an embedded cluster.

A line when it starts, what it was told by muster (its MUSTER_ variables), a line for every second that it has run, and
a line when it ends; the annotation `fake.muster.dev/log` adds text of one's own before the seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from muster.embedded.nodes.podlife import wishes_of
from muster.embedded.wire import Object, Request, bad_request

LONGEST = 10_000
"""Lines of one log: older ones have been rotated away."""


def source(clock: Callable[[], int]) -> Callable[[Object, str, Request], str | None]:
    """The logs of a cluster whose clock (ms) this is, for `Server.pods.logs`.

    tailLines, limitBytes and timestamps are heeded. Raises StatusError (400) for what there is not.
    """

    def text(pod: Object, container: str, request: Request) -> str | None:
        if request.flag("previous"):
            name = pod["metadata"]["name"]
            raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        if request.flag("follow"):
            raise bad_request("the embedded server does not follow logs: ask again without follow")
        statuses = [
            *(pod["status"].get("containerStatuses") or ()),
            *(pod["status"].get("initContainerStatuses") or ()),
        ]
        state: Object = next((each.get("state", {}) for each in statuses if each["name"] == container), {})
        if not state or "waiting" in state:
            reason = state.get("waiting", {}).get("reason", "ContainerCreating")
            name = pod["metadata"]["name"]
            raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
        lines = list(_lines(pod, container, state, clock()))[-LONGEST:]
        tail = request.parameter("tailLines")
        if tail.isdigit():
            lines = lines[len(lines) - min(int(tail), len(lines)) :]
        stamped = request.flag("timestamps")
        shown = "".join(f"{_stamp(at)} {said}\n" if stamped else f"{said}\n" for at, said in lines)
        limit = request.parameter("limitBytes")
        return shown.encode()[: int(limit)].decode(errors="ignore") if limit.isdigit() else shown

    return text


def _lines(pod: Object, container: str, state: Object, now: int) -> Iterator[tuple[int, str]]:
    spec: Object = next(
        each
        for each in (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ()))
        if each["name"] == container
    )
    ended: Object | None = state.get("terminated")
    started = _ms((ended or state["running"])["startedAt"])
    yield started, f"[stand-in] {spec.get('image', '')} on node {pod['spec']['nodeName']}: nothing runs, this is told"
    told = {each["name"]: each.get("value") for each in spec.get("env") or ()}
    known = [f"{name}={value}" for name, value in told.items() if name.startswith("MUSTER_") and value is not None]
    if known:
        yield started, f"[stand-in] {' '.join(known)}"
    for line in wishes_of(pod).get("log", "").splitlines():
        yield started, line
    until = _ms(ended["finishedAt"]) if ended is not None else now
    for second in range(1, (until - started) // 1000 + 1):
        yield started + second * 1000, f"[stand-in] has run for {second} s"
    if ended is not None:
        # With FallbackToLogsOnError the termination message is the end of the log.
        for line in str(ended.get("message") or "").splitlines():
            yield until, line
        yield until, f"[stand-in] ended with code {ended['exitCode']}"


def _ms(text: Any) -> int:
    return round(datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() * 1000)


def _stamp(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
