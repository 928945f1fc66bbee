"""TrainingJob: what a user asks for. The rules between fields stand in `job_rules` and `template_rules`.

Defaults are those of the CRD, so an object read back from the API server and a manifest parsed here are equal. Fields
that are reserved for later stand here by name and type; `job_rules.RESERVED` says of each what happens instead.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from muster.api.base import (
    API_VERSION,
    DAY,
    SET,
    YEAR,
    Anything,
    LevelName,
    Metadata,
    Model,
    ObjectName,
    RoleName,
    list_map,
)
from muster.api.failurepolicy import FailurePolicy
from muster.api.podtemplate import pod_template_schema
from muster.api.status import TrainingJobStatus

MAX_PODS = 10_000
MAX_ROLES = 16
Launcher = Literal["torchrun", "env", "jax", "none"]
PodTemplate = Annotated[dict[str, Any], WithJsonSchema(pod_template_schema())]


class RequiredLevel(Model):
    """A hard constraint: one domain of this level holds all pods."""

    level: LevelName = Field(description="Level of the ClusterTopology; all pods lie in one domain of it. No default.")


class PreferredLevel(Model):
    """A wish: as few domains of this level as can be."""

    level: LevelName = Field(description="Level of the ClusterTopology whose domains are kept few. No default.")
    wait_seconds: int = Field(
        default=0,
        ge=0,
        le=7 * DAY,
        description="Seconds to stay Pending (WaitingForPreferred) for a placement that touches no more domains than "
        "the empty healthy cluster would need, counted from when the job first fitted. Never delays a repair. "
        "Default 0: do not wait.",
    )


class Segment(Model):
    """Consecutive ranks that stay together in one domain; either `size` or `sizes`."""

    level: LevelName = Field(description="Level whose domains hold a segment each. No default.")
    size: int | None = Field(
        default=None,
        ge=1,
        le=MAX_PODS,
        description="Pods of a segment: ranks 0..size-1 lie in one domain, and so on; the last segment is shorter if "
        "replicas is not a multiple. No default; give either size or sizes.",
    )
    sizes: list[Annotated[int, Field(ge=1, le=MAX_PODS)]] | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="Pods of each segment, in rank order, adding up to replicas. No default; give size or sizes.",
    )


class JobTopology(Model):
    """Where the job as a whole may lie."""

    required: RequiredLevel | None = Field(default=None, description="Hard constraint. Default: none.")
    preferred: PreferredLevel | None = Field(default=None, description="Wish. Default: none.")
    exclusive: Anything | None = Field(
        default=None, description="Reserved: no other job in the domains used. Not supported yet."
    )


class RoleTopology(Model):
    """Where the pods of one role may lie."""

    required: RequiredLevel | None = Field(
        default=None, description="Hard constraint on this role's pods. Default: none."
    )
    preferred: PreferredLevel | None = Field(default=None, description="Wish for this role's pods. Default: none.")
    segments: list[Segment] | None = Field(
        default=None,
        max_length=8,
        json_schema_extra=list_map("level"),
        description="Groups of consecutive ranks that stay within one domain, at most one entry a level. They are read "
        "broadest level first; every boundary of a broader entry must be one of the narrower. Default: none.",
    )
    spares: Anything | None = Field(
        default=None, description="Reserved: nodes kept free per domain. Not supported yet."
    )


class Role(Model):
    """Pods of one template, numbered by rank."""

    name: RoleName = Field(
        description="DNS label of at most 16 characters, unique in the job; part of every pod's name. No default."
    )
    replicas: int = Field(
        ge=1, le=MAX_PODS, description="Pods of this role; all roles together at most 10,000. No default."
    )
    topology: RoleTopology | None = Field(default=None, description="Constraints on this role's pods. Default: none.")
    on_failure: Literal["RestartJob", "RestartRole", "Ignore"] = Field(
        default="RestartJob",
        description="How far an own failure of this role's pod reaches, after failurePolicy.rules. RestartJob: as "
        "failurePolicy.restart says. RestartRole: all ranks of this role. Ignore: the pod stays failed and the others "
        "go on. Default RestartJob.",
    )
    compute_domain: Anything | None = Field(
        default=None, description="Reserved: IMEX channel per role and attempt. Not supported yet."
    )
    template: PodTemplate = Field(
        description="PodTemplateSpec. Fields that muster sets itself or does not support are refused by name. "
        "restartPolicy defaults to Never, enableServiceLinks to false, dnsPolicy to ClusterFirstWithHostNet under "
        "hostNetwork, terminationMessagePolicy to FallbackToLogsOnError. No default.",
    )


class SuccessPolicy(Model):
    """When a run counts as done."""

    roles: list[RoleName] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_ROLES,
        json_schema_extra=SET,
        description="Roles whose success counts; the others are then ended with their grace. Default: all roles.",
    )
    when: Literal["AllPods", "AnyPod", "FirstRank"] = Field(
        default="AllPods", description="Which pods of each of these roles must succeed. Default AllPods."
    )
    linger_seconds: int = Field(
        default=300,
        ge=0,
        le=DAY,
        description="Pods that still run this many seconds after the first success end the attempt as FinishTimeout. "
        "Default 300.",
    )


class Backoff(Model):
    """Pauses after a start that failed: base, twice base, and so on up to max."""

    base_seconds: int = Field(default=5, ge=1, le=3600, description="First pause in seconds. Default 5.")
    max_seconds: int = Field(default=300, ge=1, le=DAY, description="Longest pause in seconds. Default 300.")


class PodRetention(Model):
    """Terminal pods that are kept for their logs: the first to fail, rank 0, then others."""

    failed_attempts: int = Field(default=2, ge=0, le=16, description="Ended attempts whose pods are kept. Default 2.")
    pods_per_attempt: int = Field(default=8, ge=0, le=64, description="Pods kept of each such attempt. Default 8.")


class TrainingJobSpec(Model):
    """A gang: every pod of every role gets a node at once, or none does."""

    suspend: bool = Field(
        default=False,
        description="True ends the run, with each pod's own grace, and keeps the job out of the queue until it is "
        "false again. May be changed at any time. Default false.",
    )
    priority_class_name: ObjectName = Field(
        default="muster-default",
        description="PriorityClass of the job and its pods; its preemptionPolicy must be Never. Default "
        "muster-default.",
    )
    queue: str | None = Field(default=None, max_length=253, description="Reserved: quota queue. Not supported yet.")
    launcher: Launcher = Field(
        default="none",
        description="Whose environment variables the containers get: torchrun (PET_*), env (RANK, WORLD_SIZE), jax "
        "(JAX_*), or none; MUSTER_* are always set. Default none.",
    )
    topology: JobTopology | None = Field(default=None, description="Constraints on the job as a whole. Default: none.")
    roles: list[Role] = Field(
        min_length=1,
        max_length=MAX_ROLES,
        json_schema_extra=list_map("name"),
        description="1 to 16 roles; placed together or not at all. No default.",
    )
    failure_policy: FailurePolicy = Field(
        default=FailurePolicy(),
        description="How the gang goes on when something breaks. May be changed at any time.",
    )
    success_policy: SuccessPolicy = Field(
        default=SuccessPolicy(),
        description="When the run counts as done. May be changed at any time. Default: all pods of all roles succeed.",
    )
    backoff: Backoff = Field(
        default=Backoff(),
        description="Pauses after a start that failed. May be changed at any time. Default 5 s to 300 s.",
    )
    bind_timeout_seconds: int = Field(
        default=30,
        ge=1,
        le=3600,
        description="Seconds from the last scheduling gate removed to all pods bound; beyond it the start is given up "
        "as a whole. May be changed at any time. Default 30.",
    )
    start_timeout_seconds: int = Field(
        default=1800,
        ge=1,
        le=DAY,
        description="Seconds from all pods bound to all running; beyond it the start is given up as a whole. May be "
        "changed at any time. Default 1800.",
    )
    active_deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        le=10 * YEAR,
        description="Seconds of running time, over all attempts, after which the job fails with DeadlineExceeded. May "
        "be changed at any time. Default: no limit.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=10 * YEAR,
        description="Seconds after which a finished job is deleted (only its pods, if a GitOps tool tracks it). May be "
        "changed at any time. Default: never.",
    )
    pod_retention: PodRetention = Field(
        default=PodRetention(),
        description="Terminal pods kept for their logs. May be changed at any time. Default 8 pods of 2 attempts.",
    )
    managed_by: str | None = Field(
        default=None, max_length=253, description="Reserved: multi-cluster. Not supported yet."
    )
    checkpoint: Anything | None = Field(default=None, description="Reserved: checkpoint signals. Not supported yet.")
    elastic: Anything | None = Field(default=None, description="Reserved: elastic size. Not supported yet.")


class TrainingJob(Model):
    """A training run of up to 10,000 pods that starts all at once, placed by topology."""

    api_version: Literal["muster.dev/v1alpha1"] = API_VERSION
    kind: Literal["TrainingJob"] = "TrainingJob"
    metadata: Metadata = Metadata()
    spec: TrainingJobSpec = Field(description="What is asked for.")
    status: TrainingJobStatus = Field(
        default=TrainingJobStatus(), description="What the operator observed and decided; written by it alone."
    )
