"""Pods: the kind that there are most of, read straight into slim structs (about 11 us per 4.7 kB)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from muster.core.model import Admission, ContainerEnd, Failure, Pod, Stage
from muster.kube.parse_meta import Meta, Slim, millis, version
from muster.kube.plain import plain
from muster.kube.quantity import Written
from muster.kube.requests import (
    Actual,
    Affinity,
    Container,
    PodSpec,
    Wanted,
    filter_of,
    pinned_to,
    requests_of,
    template_requests,
)

GATE = "muster.dev/gang"
LABEL_ROLE = "muster.dev/role"
LABEL_RANK = "muster.dev/rank"
LABEL_ATTEMPT = "muster.dev/attempt"
MIRROR = "kubernetes.io/config.mirror"

REFUSALS = frozenset(
    {
        "UnexpectedAdmissionError",
        "TopologyAffinityError",
        "NodeAffinity",
        "NodeName",
        "NodePorts",
        "NodeShutdown",
        "Shutdown",
        "Terminated",
        "Evicted",
        "Preempting",
        "AppArmor",
        "PodOSSelectorNodeLabelDoesNotMatch",
        "PodOSNotSupported",
        "InvalidNodeInfo",
        "InitContainerRestartPolicyForbidden",
        "SupplementalGroupsPolicyNotSupported",
        "UnknownReason",
        "SysctlForbidden",
        "UnexpectedPredicateFailureType",
        "PodLevelResourcesNotSupported",
        "PodFeatureUnsupported",
        "VolumeAttachmentLimitExceeded",
    }
)
"""status.reason of pods that kubelet refused or ended; OutOf<resource> besides (its admissionRejectionReasons)."""
TROUBLES = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "CreateContainerConfigError",
        "CreateContainerError",
        "PreCreateHookError",
        "CreatePodSandboxError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
"""Reasons of waiting containers that do not start by themselves."""
LONGEST_MESSAGE = 1024


class _Gate(msgspec.Struct, gc=False):
    name: str


class _Metadata(Meta):
    annotations: dict[str, str] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    containers: list[Container] | None = None
    node_name: str | None = None
    init_containers: list[Container] | None = None
    overhead: dict[str, Written] | None = None
    resources: Wanted | None = None
    host_network: bool = False
    affinity: Affinity | None = None
    scheduling_gates: list[_Gate] | None = None


class _Condition(msgspec.Struct, gc=False):
    type: str
    status: str
    reason: str | None = None
    message: str | None = None


class _Waiting(msgspec.Struct, gc=False):
    reason: str | None = None
    message: str | None = None


class _Terminated(msgspec.Struct, gc=False, rename="camel"):
    exit_code: int = 0
    signal: int = 0
    reason: str | None = None
    message: str | None = None
    finished_at: str | None = None


class _State(msgspec.Struct, gc=False):
    waiting: _Waiting | None = None
    terminated: _Terminated | None = None


class _ContainerStatus(Actual):
    state: _State | None = None


class _Status(msgspec.Struct, rename="camel"):
    phase: str = "Pending"
    reason: str | None = None
    message: str | None = None
    conditions: list[_Condition] | None = None
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None
    nominated_node_name: str | None = None
    resources: Wanted | None = None
    allocated_resources: dict[str, Written] | None = None


class PodItem(Slim):
    """A Pod."""

    metadata: _Metadata
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)


class PodSpecs(Slim):
    """A Pod by the part that decides where it fits."""

    spec: PodSpec


def admission_of(item: PodSpecs, template: str, at: int) -> Admission:
    """The answer to a dry run."""
    return Admission(item.metadata.namespace, template, template_requests(item.spec), filter_of(item.spec), at=at)


def pod_of(item: PodItem) -> Pod:
    """The record of a pod."""
    meta, spec, status = item.metadata, item.spec, item.status
    stage = _stage(spec, status)
    labels = meta.labels or {}
    gates = [gate.name for gate in spec.scheduling_gates or ()]
    owner = next((o for o in meta.owner_references or () if o.controller), None)
    conditions = {c.type: c for c in status.conditions or ()}
    terminal = stage is Stage.SUCCEEDED or stage is Stage.FAILED
    finished = _finished_at(spec, status) if terminal else None
    node = spec.node_name or None
    nominated = status.nominated_node_name or None
    return Pod(
        id=meta.uid,
        namespace=meta.namespace,
        name=meta.name,
        rv=version(meta.resource_version),
        stage=stage,
        requests=_requests(spec, status, node is not None, conditions),
        node=node,
        pinned=None if node else pinned_to(spec.affinity) or nominated,
        terminating=meta.deletion_timestamp is not None,
        daemon=(owner is not None and owner.kind == "DaemonSet") or MIRROR in (meta.annotations or {}),
        our_gate=GATE in gates,
        foreign_gates=tuple(gate for gate in gates if gate != GATE),
        nominated=nominated,
        collected=_true(conditions, "DisruptionTarget", "DeletionByPodGC"),
        job=owner.uid if owner is not None and owner.is_job else None,
        role=labels.get(LABEL_ROLE),
        rank=_number(labels.get(LABEL_RANK)),
        born=_number(labels.get(LABEL_ATTEMPT)),
        failure=_failure(status, conditions) if stage is Stage.FAILED else None,
        finished_at=finished,
        cut_short=terminal and _cut_short(meta, finished),
        trouble=None if terminal else _trouble(status),
        unschedulable=None if node or terminal else _unschedulable(conditions),
    )


def _stage(spec: _Spec, status: _Status) -> Stage:
    if status.phase == "Succeeded":
        return Stage.SUCCEEDED
    if status.phase == "Failed":
        return Stage.FAILED
    if status.phase == "Running":
        return Stage.RUNNING
    if spec.node_name:
        return Stage.BOUND
    return Stage.GATED if spec.scheduling_gates else Stage.UNBOUND


def _requests(
    spec: _Spec, status: _Status, bound: bool, conditions: dict[str, _Condition]
) -> tuple[tuple[str, int], ...]:
    actual: dict[str, Actual] = {}
    if bound:
        # Without a resize kubelet reports what the spec says, and the second arithmetic is for nothing.
        reported: list[Actual] = [*(status.container_statuses or ()), *(status.init_container_statuses or ())]
        wanted = {c.name: c.resources for c in (*(spec.containers or ()), *(spec.init_containers or ()))}
        if status.allocated_resources is not None or any(_differs(wanted.get(s.name), s) for s in reported):
            actual = {s.name: s for s in reported}
    resize = conditions.get("PodResizePending")
    return requests_of(
        spec.containers or (),
        spec.init_containers or (),
        spec.overhead,
        spec.resources,
        spec.host_network,
        actual,
        (status.resources, status.allocated_resources) if bound else (None, None),
        infeasible=resize is not None and resize.reason == "Infeasible",
    )


def _differs(wanted: Wanted | None, status: Actual) -> bool:
    requests = wanted.requests if wanted is not None else None
    if status.allocated_resources is not None and status.allocated_resources != (requests or {}):
        return True
    return (
        status.resources is not None
        and status.resources.requests is not None
        and status.resources.requests != (requests or {})
    )


def _statuses(status: _Status) -> Iterator[_ContainerStatus]:
    yield from status.init_container_statuses or ()
    yield from status.container_statuses or ()


def _failure(status: _Status, conditions: dict[str, _Condition]) -> Failure:
    """The container that failed first, and what kubelet and the control plane say of the pod."""
    failed: _Terminated | None = None
    ends: list[ContainerEnd] = []
    for each in _statuses(status):
        end = each.state.terminated if each.state is not None else None
        if end is None:
            continue
        ends.append(ContainerEnd(each.name, end.exit_code, (end.message or "")[-LONGEST_MESSAGE:]))
        earlier = failed is None or (millis(end.finished_at) or 0) < (millis(failed.finished_at) or 0)
        if end.exit_code != 0 and earlier:
            failed = end
    reason = status.reason or ""
    words = (failed.message if failed is not None else None) or status.message or ""
    return Failure(
        exit_code=failed.exit_code if failed is not None else None,
        signal=_signal(failed) if failed is not None else None,
        reason=plain(reason or (failed.reason if failed is not None else None) or ""),
        message=plain(words)[-LONGEST_MESSAGE:],
        finished_at=millis(failed.finished_at) if failed is not None else None,
        refused=not ends and (reason in REFUSALS or reason.startswith("OutOf")),
        disrupted=reason == "Evicted" or _true(conditions, "DisruptionTarget"),
        ends=tuple(ends),
        conditions=tuple(sorted((c.type, c.status) for c in conditions.values())),
    )


def _signal(end: _Terminated) -> int | None:
    """Runtimes leave `signal` at 0 and answer 128 + signal, as a shell does: 137 is SIGKILL, out of memory too."""
    if end.signal:
        return end.signal
    return end.exit_code - 128 if 128 < end.exit_code < 160 else None


def _finished_at(spec: _Spec, status: _Status) -> int | None:
    """When the last container ended, if every container says that it has."""
    if len(status.container_statuses or ()) < len(spec.containers or ()):
        return None
    ends: list[int] = []
    for each in status.container_statuses or ():
        end = each.state.terminated if each.state is not None else None
        time = millis(end.finished_at) if end is not None else None
        if time is None:
            return None
        ends.append(time)
    return max(ends, default=None)


def _cut_short(meta: Meta, finished: int | None) -> bool:
    """Whether a pod that has ended had been told to. The timestamp of a deletion is that at which its grace ends; both
    times are on whole seconds, and of two in the same second the deletion counts as the first."""
    ends = millis(meta.deletion_timestamp)
    if ends is None:
        return meta.deletion_timestamp is not None
    return finished is None or finished >= ends - 1000 * (meta.deletion_grace_period_seconds or 0)


def _trouble(status: _Status) -> tuple[str, str] | None:
    for each in _statuses(status):
        waiting = each.state.waiting if each.state is not None else None
        if waiting is not None and waiting.reason in TROUBLES:
            return waiting.reason, plain(waiting.message or "")[-LONGEST_MESSAGE:]
    return None


def _unschedulable(conditions: dict[str, _Condition]) -> str | None:
    scheduled = conditions.get("PodScheduled")
    if scheduled is None or scheduled.status != "False" or scheduled.reason != "Unschedulable":
        return None
    return plain(scheduled.message or "")


def _true(conditions: dict[str, _Condition], kind: str, reason: str | None = None) -> bool:
    condition = conditions.get(kind)
    return condition is not None and condition.status == "True" and reason in (None, condition.reason)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and len(text) <= 9 and text.isascii() and text.isdigit() else None
