"""TrainingJob.status: the committed decisions and what was observed. Only the job's worker writes it."""

from typing import Annotated, Literal

from pydantic import Field

from muster.api.base import (
    ATOMIC,
    Anything,
    Condition,
    Count,
    LevelName,
    Message,
    Model,
    ObjectName,
    RoleName,
    Time,
    list_map,
)

Phase = Literal["Pending", "Placed", "Starting", "Running", "Repairing", "Stopping", "Suspended", "Succeeded", "Failed"]
Word = Annotated[str, Field(max_length=128)]
Text = Annotated[str, Field(max_length=1024)]
Levels = Annotated[dict[LevelName, Count], Field(max_length=17)]
# 30,000 node names of the longest kind are the most that one object takes; 10,000 pods stay well below.
HostList = Annotated[str, Field(max_length=1_200_000)]


class Summary(Model):
    """What `kubectl get` prints."""

    running: Word | None = Field(default=None, description="Running pods of all pods, as 128/128.")
    where: Text | None = Field(
        default=None, description="Domains touched / least possible on the empty cluster, per level."
    )


class Waiting(Model):
    """Why the job waits."""

    reason: Word = Field(description="One CamelCase word, such as Fragmented.")
    message: Message = Field(default="", description="The reason with its numbers, in words.")
    since: Time | None = Field(default=None, description="Since when the job waits for this reason.")
    next_attempt_time: Time | None = Field(default=None, description="No start is tried before this time.")
    details: Anything | None = Field(
        default=None,
        description="The numbers of the message: facts by name, excluded nodes by cause, the largest gang by level.",
    )


class PlacedRole(Model):
    """Nodes of one role, in rank order."""

    name: RoleName = Field(description="Name of the role.")
    nodes: HostList = Field(description="Nodes in rank order as a host list: a[0-3,07],b1.")
    born: Annotated[str, Field(max_length=131_072)] = Field(
        default="", description="Attempt in which each rank's pod was made, run-length coded: 1x6,2x1."
    )


class Placement(Model):
    """The committed decision where every rank runs."""

    attempt: Count = Field(description="Attempt that this placement belongs to.")
    gang_attempt: Count | None = Field(default=None, description="Attempt in which the whole gang was last made anew.")
    term: Word | None = Field(
        default=None, description="Lease version of the leader that decided; for the reader only."
    )
    generation: Count | None = Field(default=None, description="metadata.generation that was placed.")
    roles_hash: Word | None = Field(default=None, description="Hash of all that pods are rendered from.")
    objective: Anything | None = Field(
        default=None, description="The objective's values: what made this placement the best."
    )
    proven_optimal: bool | None = Field(default=None, description="Whether no better placement exists, by proof.")
    levels: list[LevelName] | None = Field(
        default=None, max_length=17, json_schema_extra=ATOMIC, description="Levels of the topology, broadest first."
    )
    domains: Levels | None = Field(default=None, description="Domains touched, by level.")
    least: Levels | None = Field(
        default=None, description="Fewest domains that any placement on the empty cluster would touch, by level."
    )
    roles: list[PlacedRole] = Field(
        default=[], max_length=16, json_schema_extra=list_map("name"), description="Nodes by role."
    )


class RoleStatus(Model):
    """Pods of one role, counted."""

    name: RoleName = Field(description="Name of the role.")
    pods: Count = Field(default=0, description="Pods wanted.")
    running: Count = Field(default=0, description="Pods running.")
    succeeded: Count = Field(default=0, description="Pods succeeded.")
    failed: Count = Field(default=0, description="Pods failed.")


class PodFailure(Model):
    """One pod that failed."""

    role: RoleName = Field(description="Role of the pod.")
    rank: Count = Field(description="Rank of the pod within its role.")
    node: ObjectName | None = Field(default=None, description="Node it ran on.")
    exit_code: int | None = Field(default=None, description="Exit code of the container that failed.")
    signal: int | None = Field(default=None, description="Signal that ended it.")
    finished_at: Time | None = Field(default=None, description="When it ended.")
    message: Message = Field(default="", description="Its termination message.")


class LastFailure(Model):
    """The latest failure of the job, with the pods that failed first."""

    time: Time | None = Field(default=None, description="When it was first seen.")
    reason: Word = Field(description="One CamelCase word.")
    message: Message = Field(default="", description="The reason in words.")
    failures: list[PodFailure] | None = Field(
        default=None, max_length=8, json_schema_extra=ATOMIC, description="Up to 8 pods, earliest first."
    )


class LastRepair(Model):
    """The last repair or restart in place, and when each of its stages was reached."""

    attempt: Count = Field(description="The attempt that it began.")
    cause: Literal["node", "disruption", "failure"] = Field(description="What broke.")
    how: Literal["place", "domain", "segment", "gang"] = Field(
        description=(
            "place: every rank kept its node; domain: replaced inside the domain of its segment; segment: a segment "
            "moved as a whole; gang: placed anew."
        )
    )
    moved: Count = Field(description="Ranks that changed their node.")
    kept: Count = Field(description="Ranks that kept it.")
    renewed: Count = Field(description="Pods made anew.")
    failed: Time = Field(description="When the failure happened by its own record, else when it was seen.")
    detected: Time = Field(description="When it was seen to be a failure.")
    decided: Time = Field(description="When the repair was decided.")
    deleted: Time | None = Field(default=None, description="When the last pod that it replaces had stopped.")
    created: Time | None = Field(default=None, description="When the last new pod existed.")
    running: Time | None = Field(default=None, description="When all pods ran again.")


class StartFailures(Model):
    """Starts that failed in a row."""

    count: Count = Field(default=0, description="Starts that failed since the last that succeeded.")
    message: Message = Field(default="", description="What the last one failed with.")
    same_message: Count = Field(default=0, description="How often in a row this message came.")
    reason: Word = Field(default="", description="One CamelCase word.")


class Stopping(Model):
    """Why the attempt is being stopped."""

    reason: Word = Field(description="One CamelCase word.")
    message: Message = Field(default="", description="The reason in words.")
    by: Text | None = Field(default=None, description="For whom, as namespace/name, if for another job.")


class ReservedRole(Model):
    """The nodes that one role had."""

    nodes: HostList = Field(description="Nodes in rank order as a host list, those of lost ranks included.")
    lost: list[Count] | None = Field(
        default=None, max_length=10_000, json_schema_extra=ATOMIC, description="Ranks whose node is not kept."
    )


class Reservation(Model):
    """Nodes kept for the job while it waits for a replacement."""

    roles: list[ReservedRole] = Field(
        default=[], max_length=16, json_schema_extra=ATOMIC, description="In the order of spec.roles."
    )
    until: Time | None = Field(default=None, description="When it lapses.")


class Left(Model):
    """Where ranks of a role ran before a repair moved them."""

    role: ObjectName = Field(description="Name of the role.")
    ranks: list[Count] = Field(
        max_length=10_000, json_schema_extra=ATOMIC, description="Ranks; one that moved twice stands here twice."
    )
    nodes: HostList = Field(description="Their nodes, in the same order, as a host list.")


class Blamed(Model):
    """A node that this job blames for failures."""

    node: ObjectName = Field(description="Name of the node.")
    count: Count = Field(default=0, description="How often.")
    time: Time | None = Field(default=None, description="When last.")
    until: Time | None = Field(default=None, description="Avoided by this job until then.")


class TrainingJobStatus(Model):
    """Everything decided and observed; the operator rebuilds itself from it."""

    observed_generation: int = Field(
        default=-1, ge=-1, description="metadata.generation last judged. Default -1: none yet."
    )
    phase: Phase = Field(default="Pending", description="Where the job is in its life. Default Pending.")
    phase_since: Time | None = Field(default=None, description="When the job came into this phase.")
    running_since: Time | None = Field(default=None, description="When the attempt became Running, while it is.")
    next_attempt_time: Time | None = Field(default=None, description="No start is tried before this time.")
    conditions: list[Condition] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=list_map("type"),
        description="Placed, Running, Complete, Failed, Suspended; Reconciling and Stalled for readers of kstatus.",
    )
    summary: Summary | None = Field(default=None, description="What kubectl get prints.")
    attempt: Count | None = Field(default=None, description="Grows with every start and resume.")
    restarts: Count | None = Field(default=None, description="Restarts by the job's own fault, in total.")
    restarts_in_row: Count | None = Field(default=None, description="Restarts since an attempt last ran long enough.")
    disruptions: Count | None = Field(
        default=None, description="Times that nodes, evictions or preemption ended an attempt."
    )
    waiting: Waiting | None = Field(default=None, description="Why the job waits, while it does.")
    live: bool | None = Field(default=None, description="Whether the job holds a claim on nodes.")
    placement: Placement | None = Field(default=None, description="The committed placement.")
    roles: list[RoleStatus] | None = Field(
        default=None, max_length=16, json_schema_extra=list_map("name"), description="Pods by role, counted."
    )
    last_failure: LastFailure | None = Field(default=None, description="The latest failure.")
    start_failures: StartFailures | None = Field(default=None, description="Starts that failed in a row.")
    repairs: Count | None = Field(default=None, description="Repairs since all pods last ran.")
    opened: Count | None = Field(default=None, description="The last attempt whose pods were let start.")
    leaving: list[Left] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=list_map("role"),
        description="Where ranks ran that moved since the gang last started: machines that do not answer may run them.",
    )
    last_repair: LastRepair | None = Field(
        default=None, description="The last repair or restart in place, with its times."
    )
    running_seconds: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Running time of ended attempts."
    )
    placeable_since: Time | None = Field(
        default=None, description="When the job first fitted, while it waits to be placed."
    )
    stopping: Stopping | None = Field(default=None, description="Why the attempt is being stopped.")
    reservation: Reservation | None = Field(default=None, description="Nodes kept for the job while it waits.")
    blamed: list[Blamed] | None = Field(
        default=None,
        max_length=64,
        json_schema_extra=list_map("node"),
        description="Nodes that this job blames; at most 64.",
    )
    start_time: Time | None = Field(default=None, description="When the first attempt was placed.")
    completion_time: Time | None = Field(default=None, description="When the job succeeded or failed.")
