"""spec.failurePolicy: how a broken gang goes on. The rules between its fields stand in `failure_rules`."""

from typing import Annotated, Literal

from pydantic import Field

from muster.api.base import ATOMIC, DAY, SET, YEAR, Model

ContainerName = Annotated[str, Field(max_length=63)]


class OnExitCodes(Model):
    """Matches by the exit code of a container that failed."""

    container_name: ContainerName | None = Field(
        default=None, description="Container or init container asked about. Default: any."
    )
    operator: Literal["In", "NotIn"] = Field(description="In: the code is one of `values`; NotIn: none. No default.")
    values: list[Annotated[int, Field(ge=0, le=255)]] = Field(
        min_length=1, max_length=255, json_schema_extra=SET, description="Exit codes. No default."
    )


class OnTerminationMessage(Model):
    """Matches by what a container wrote before it ended."""

    container_name: ContainerName | None = Field(default=None, description="Container asked about. Default: any.")
    contains: str = Field(
        min_length=1,
        max_length=256,
        description="Part of the last 1,024 characters of the termination message. No default.",
    )


class OnPodCondition(Model):
    """Matches by a condition of the failed pod."""

    type: str = Field(min_length=1, max_length=316, description="Type of the condition. No default.")
    status: Literal["True", "False", "Unknown"] = Field(default="True", description="Its status. Default True.")


class FailureRule(Model):
    """What happens when a pod failed in this way; exactly one of the three `on...` fields is given."""

    action: Literal["FailJob", "Restart", "ReplaceNode", "Requeue"] = Field(
        description="FailJob: the job fails. Restart: on the same nodes. ReplaceNode: the node is blamed and replaced. "
        "Requeue: back to the queue. No default."
    )
    counted: bool = Field(
        default=True, description="False: a Restart by this rule does not count against maxRestarts. Default true."
    )
    on_exit_codes: OnExitCodes | None = Field(default=None, description="By exit code.")
    on_termination_message: OnTerminationMessage | None = Field(default=None, description="By termination message.")
    on_pod_conditions: list[OnPodCondition] | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        json_schema_extra=ATOMIC,
        description="By the pod's conditions: any of these.",
    )


class Unreachable(Model):
    """What happens to pods whose node does not answer."""

    action: Literal["Replace", "Wait"] = Field(
        default="Replace",
        description="Replace: after `afterSeconds` they are deleted by force and the gang is made anew with its own "
        "rendezvous, so that a process left over there cannot join. Wait: for the node. Default Replace.",
    )
    after_seconds: int = Field(
        default=60, ge=0, le=DAY, description="Seconds since the node became not ready. Default 60."
    )


class FailurePolicy(Model):
    """How a gang goes on when something breaks."""

    restart: Literal["Gang", "FailedPods"] = Field(
        default="Gang",
        description="Gang: every pod is made anew, ranks keep their nodes. FailedPods: only what failed; "
        "MUSTER_ATTEMPT and the rendezvous id stay (elastic launchers). Default Gang.",
    )
    node_failure: Literal["Repair", "Requeue"] = Field(
        default="Repair",
        description="Repair: what broke is replaced, every other rank keeps its node. Requeue: back to the queue. "
        "Default Repair.",
    )
    wait_for_repair_seconds: int = Field(
        default=0,
        ge=0,
        le=7 * DAY,
        description="Where no replacement is to be had: seconds that the healthy nodes are kept for the job before it "
        "is queued like any other. Default 0.",
    )
    max_restarts: int = Field(
        default=10, ge=0, le=1_000_000, description="Restarts in a row by the job's own fault. Default 10."
    )
    reset_after_seconds: int = Field(
        default=3600,
        ge=1,
        le=YEAR,
        description="An attempt that ran this many seconds sets the row of restarts back to 0. Default 3600.",
    )
    max_disruptions: int = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        description="Attempts ended by nodes, evictions or preemption over the job's life. Default 1000.",
    )
    failure_grace_seconds: int = Field(
        default=15,
        ge=0,
        le=DAY,
        description="Grace for the survivors of a broken gang; the template's terminationGracePeriodSeconds is for "
        "suspend, drain, preemption and deadline, where a checkpoint is worth waiting for. Default 15.",
    )
    rules: list[FailureRule] = Field(
        default=[],
        max_length=32,
        json_schema_extra=ATOMIC,
        description="Put to each failed pod; the first that matches wins. No match: Restart, counted. Default: none.",
    )
    unreachable: Unreachable = Field(default=Unreachable(), description="Pods on nodes that do not answer.")
    quarantine_seconds: int = Field(
        default=3600,
        ge=0,
        le=30 * DAY,
        description="A node blamed twice by this job is avoided by it for this many seconds. Default 3600.",
    )
