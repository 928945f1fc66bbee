"""Pods as the commands that look at ranks need them: which rank, where, how it is, which containers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from muster.kube.launchers import variable
from muster.kube.parse_pod import GATE, LABEL_ATTEMPT, LABEL_RANK, LABEL_ROLE
from muster.kube.render import LABEL_SEGMENT

DOMAIN = "MUSTER_DOMAIN_"
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


class _Env(msgspec.Struct):
    name: str
    value: str = ""


class _Container(msgspec.Struct):
    name: str
    env: list[_Env] | None = None


class _Gate(msgspec.Struct):
    name: str


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class _Spec(msgspec.Struct, rename="camel"):
    containers: list[_Container]
    init_containers: list[_Container] | None = None
    node_name: str = ""
    scheduling_gates: list[_Gate] | None = None


class _Ended(msgspec.Struct, rename="camel"):
    exit_code: int = 0
    reason: str | None = None


class _Waits(msgspec.Struct):
    reason: str | None = None


class _State(msgspec.Struct):
    waiting: _Waits | None = None
    terminated: _Ended | None = None


class _ContainerStatus(msgspec.Struct):
    name: str
    state: _State | None = None


class _Status(msgspec.Struct, rename="camel"):
    phase: str = "Pending"
    reason: str | None = None
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None


class _Pod(msgspec.Struct):
    metadata: _Meta
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)


class _Pods(msgspec.Struct):
    items: list[_Pod] | None = None


_PODS = msgspec.json.Decoder(_Pods)


@dataclass(frozen=True, slots=True)
class RankPod:
    """A pod of a rank. `attempt` is the one in which it was made; `domains` by level, broadest first, as its containers
    were told; `state` is its phase, or Gated or Terminating, `reason` the exit code or what it waits for."""

    role: str
    rank: int
    attempt: int
    name: str
    node: str
    segment: int
    domains: Mapping[str, str]
    state: str
    reason: str
    containers: tuple[str, ...]
    default_container: str

    @property
    def terminal(self) -> bool:
        """It has ended and is only kept for its logs."""
        return self.state in ("Succeeded", "Failed")


def ranked(page: bytes, levels: Iterable[str]) -> Iterator[RankPod]:
    """The ranks' pods on a page of a list. `levels` are the topology's names for what the pods' environment spells as
    variables. Raises msgspec.MsgspecError for what is no list of pods."""
    names_of = {variable(level): level for level in levels}
    for item in _PODS.decode(page).items or ():
        labels = item.metadata.labels or {}
        numbers = [labels.get(label, "") for label in (LABEL_RANK, LABEL_ATTEMPT, LABEL_SEGMENT)]
        if not all(number.isdecimal() for number in numbers[:2]):
            continue  # not one that muster made
        rank, attempt, segment = (int(number) if number.isdecimal() else 0 for number in numbers)
        names = [container.name for container in item.spec.containers]
        wanted = (item.metadata.annotations or {}).get(DEFAULT_CONTAINER)
        env = item.spec.containers[0].env if item.spec.containers else None
        named = {e.name.removeprefix(DOMAIN): e.value for e in env or () if e.name.startswith(DOMAIN)}
        domains = {names_of.get(level, level.lower()): value for level, value in named.items()}
        state, reason = _state(item)
        yield RankPod(
            role=labels.get(LABEL_ROLE, ""),
            rank=rank,
            attempt=attempt,
            name=item.metadata.name,
            node=item.spec.node_name,
            segment=segment,
            domains=domains,
            state=state,
            reason=reason,
            containers=(*names, *(container.name for container in item.spec.init_containers or ())),
            default_container=wanted if wanted in names else names[0] if names else "",
        )


def _state(pod: _Pod) -> tuple[str, str]:
    status = pod.status
    states = [
        each.state
        for each in (*(status.init_container_statuses or ()), *(status.container_statuses or ()))
        if each.state
    ]
    if status.phase in ("Succeeded", "Failed"):
        ended = [s.terminated for s in states if s.terminated is not None and s.terminated.exit_code]
        return status.phase, status.reason or (f"exit code {ended[0].exit_code}" if ended else "")
    if pod.metadata.deletion_timestamp is not None:
        return "Terminating", ""
    gates = [gate.name for gate in pod.spec.scheduling_gates or ()]
    if gates:
        foreign = ", ".join(gate for gate in gates if gate != GATE)
        return "Gated", f"by {foreign}" if foreign else ""
    waiting = [s.waiting.reason for s in states if s.waiting is not None and s.waiting.reason]
    return status.phase, waiting[0] if waiting else ""
