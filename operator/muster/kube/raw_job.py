"""A TrainingJob as it comes over the wire: the fields that the parser reads, with the API room's defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from muster.api.failurepolicy import FailurePolicy, OnPodCondition, Unreachable
from muster.api.trainingjob import Backoff, PodRetention, SuccessPolicy, TrainingJobSpec
from muster.core.model import FailureAction, OnFailure, Restart, SuccessWhen
from muster.kube.parse_meta import Meta
from muster.kube.requests import PodSpec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]

_DEFAULT = {name: field.default for name, field in TrainingJobSpec.model_fields.items()}


class RawRequired(msgspec.Struct):
    level: str


class RawPreferred(msgspec.Struct, rename="camel"):
    level: str
    wait_seconds: Count = 0


class RawSegment(msgspec.Struct):
    level: str
    size: Positive | None = None
    sizes: list[Positive] | None = None


class RawTopology(msgspec.Struct):
    required: RawRequired | None = None
    preferred: RawPreferred | None = None
    segments: list[RawSegment] | None = None


class RawTemplate(msgspec.Struct):
    spec: PodSpec


class RawRenderedContainer(msgspec.Struct, rename="camel"):
    env: list[dict[str, Any]] | None = None
    volume_mounts: list[dict[str, Any]] | None = None


class RawRenderedSpec(msgspec.Struct, rename="camel"):
    containers: list[RawRenderedContainer]
    init_containers: list[RawRenderedContainer] | None = None
    volumes: list[dict[str, Any]] | None = None


class RawRenderedMetadata(msgspec.Struct):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class RawRendered(msgspec.Struct):
    """What the renderer edits in a template: it must have its shape."""

    spec: RawRenderedSpec
    metadata: RawRenderedMetadata | None = None


class RawRole(msgspec.Struct, rename="camel"):
    name: str
    replicas: Positive
    template: RawTemplate
    topology: RawTopology | None = None
    on_failure: OnFailure = OnFailure.RESTART_JOB


class RawSuccess(msgspec.Struct, rename="camel"):
    roles: list[str] | None = None
    when: SuccessWhen = SuccessWhen(SuccessPolicy().when)
    linger_seconds: Count = SuccessPolicy().linger_seconds


class RawBackoff(msgspec.Struct, rename="camel"):
    base_seconds: Count = Backoff().base_seconds
    max_seconds: Count = Backoff().max_seconds


class RawRetention(msgspec.Struct, rename="camel"):
    failed_attempts: Count = PodRetention().failed_attempts
    pods_per_attempt: Count = PodRetention().pods_per_attempt


class RawExitCodes(msgspec.Struct, rename="camel"):
    operator: Literal["In", "NotIn"]
    values: list[int]
    container_name: str | None = None


class RawMessage(msgspec.Struct, rename="camel"):
    contains: str
    container_name: str | None = None


class RawPodCondition(msgspec.Struct):
    type: str
    status: str = OnPodCondition(type="-").status


class RawRule(msgspec.Struct, rename="camel"):
    action: FailureAction
    counted: bool = True
    on_exit_codes: RawExitCodes | None = None
    on_termination_message: RawMessage | None = None
    on_pod_conditions: list[RawPodCondition] | None = None


class RawUnreachable(msgspec.Struct, rename="camel"):
    action: Literal["Replace", "Wait"] = Unreachable().action
    after_seconds: Count = Unreachable().after_seconds


class RawFailure(msgspec.Struct, rename="camel"):
    restart: Restart = Restart(FailurePolicy().restart)
    node_failure: Literal["Repair", "Requeue"] = FailurePolicy().node_failure
    wait_for_repair_seconds: Count = FailurePolicy().wait_for_repair_seconds
    max_restarts: Count = FailurePolicy().max_restarts
    reset_after_seconds: Count = FailurePolicy().reset_after_seconds
    max_disruptions: Count = FailurePolicy().max_disruptions
    failure_grace_seconds: Count = FailurePolicy().failure_grace_seconds
    rules: list[RawRule] | None = None
    unreachable: RawUnreachable | None = None
    quarantine_seconds: Count = FailurePolicy().quarantine_seconds


class RawSpec(msgspec.Struct, rename="camel"):
    roles: list[RawRole]
    suspend: bool = False
    priority_class_name: str = _DEFAULT["priority_class_name"]
    launcher: str = _DEFAULT["launcher"]
    topology: RawTopology | None = None
    success_policy: RawSuccess | None = None
    backoff: RawBackoff | None = None
    bind_timeout_seconds: Count = _DEFAULT["bind_timeout_seconds"]
    start_timeout_seconds: Count = _DEFAULT["start_timeout_seconds"]
    active_deadline_seconds: Count | None = None
    ttl_seconds_after_finished: Count | None = None
    pod_retention: RawRetention | None = None
    failure_policy: RawFailure | None = None


class RawMetadata(Meta):
    generation: int = 0
    finalizers: list[str] | None = None
    annotations: dict[str, str] | None = None
