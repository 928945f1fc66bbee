"""ClusterTopology: which labels name the levels of the network, which nodes take part, what pods get by default.

The one named `default` is used. What a preset means is decided in `muster.core.topology`; here is only its name.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from muster.api.base import (
    API_VERSION,
    ATOMIC,
    DAY,
    QUALIFIED_NAME,
    SET,
    Condition,
    Count,
    LabelValue,
    LevelName,
    Message,
    Metadata,
    Model,
    ObjectName,
    ResourceName,
    Time,
    list_map,
    quantity,
)
from muster.api.podtemplate import pod_template_schema

Preset = Literal["Auto", "GB300", "Azure", "GKE", "AWS", "OCI", "CoreWeave", "Crusoe", "Topograph", "Custom"]
Quantity = Annotated[str | int, WithJsonSchema(quantity())]

_POD = pod_template_schema()["properties"]["spec"]["properties"]
Toleration = Annotated[dict[str, Any], WithJsonSchema(_POD["tolerations"]["items"])]
EnvVar = Annotated[dict[str, Any], WithJsonSchema(_POD["containers"]["items"]["properties"]["env"]["items"])]


class Level(Model):
    """One level of the network."""

    name: LevelName = Field(
        description="DNS label by which jobs refer to the level, unique; `node`, allowed only as the last entry, is "
        "the node itself. No default."
    )
    node_label: Annotated[str, Field(min_length=1, max_length=317, pattern=QUALIFIED_NAME)] | None = Field(
        default=None, description="Node label whose value names the domain; each label at most once. No default."
    )
    boundary: bool = Field(default=False, description="True: no gang lies in two domains of this level. Default false.")
    placeholder_values: list[LabelValue] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=SET,
        description="Values of the label that name no domain; such nodes count as unlabelled. Default: none.",
    )
    fill_limit: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Placements leave at most this many nodes of a domain in use; repairs may go over. Default: none.",
    )
    weight: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None,
        description="Cost of each domain touched. Default: 1 for the nearest named level, 2 for every broader one, 0 "
        "for node.",
    )


class PodDefaults(Model):
    """Merged under each pod template that asks for an accelerator; the template wins. Defaults are those of GB300."""

    tolerations: list[Toleration] = Field(
        default=[
            {"key": "nvidia.com/gpu", "operator": "Exists"},
            {"key": "kubernetes.io/arch", "operator": "Equal", "value": "arm64", "effect": "NoSchedule"},
        ],
        max_length=64,
        json_schema_extra=ATOMIC,
        description="Tolerations added. Default: nvidia.com/gpu, and kubernetes.io/arch=arm64:NoSchedule.",
    )
    shared_memory: Literal["Memory", "None"] = Field(
        default="Memory",
        description="Memory: /dev/shm is a memory-backed emptyDir where the template mounts nothing there. Default "
        "Memory.",
    )
    env: list[EnvVar] = Field(
        default=[],
        max_length=128,
        json_schema_extra=list_map("name"),
        description="Environment variables of the containers that ask for an accelerator. Default: none.",
    )
    resources: dict[ResourceName, Quantity] = Field(
        default={},
        max_length=16,
        description='Resources those containers ask for besides, such as rdma/ib: "4". Default: none.',
    )


class HealthRule(Model):
    """A sign by which a node counts as unfit; exactly one of condition, label and taint is given."""

    condition: Annotated[str, Field(min_length=1, max_length=316)] | None = Field(
        default=None, description="Type of a condition of the Node. No default."
    )
    label: ResourceName | None = Field(default=None, description="Key of a label of the Node. No default.")
    taint: ResourceName | None = Field(default=None, description="Key of a taint of the Node. No default.")
    bad_when: LabelValue | None = Field(
        default=None,
        description='What is bad: the status of the condition ("True", "False" or "Unknown", in quotes), the value of '
        "the label or taint. Default: any value; a condition needs it.",
    )
    action: Literal["Avoid", "Drain"] = Field(
        description="Avoid: no new pods. Drain: no new pods, and what runs there is moved away. No default."
    )
    after_seconds: Annotated[int, Field(ge=0, le=DAY)] = Field(
        default=0, description="Drain: what runs there may stay this long. Default 0."
    )


class ClusterTopologySpec(Model):
    """Levels, nodes and pod defaults."""

    preset: Preset = Field(
        default="Auto",
        description="Labels of a known environment. Auto: found from the labels that the accelerator nodes carry. "
        "Custom: as `levels` says. Default Auto.",
    )
    levels: list[Level] | None = Field(
        default=None, max_length=16, json_schema_extra=ATOMIC, description="Levels, broadest first; only with Custom."
    )
    node_selector: dict[ResourceName, LabelValue] = Field(
        default={}, max_length=64, description="Labels of the nodes that take part. Default: all nodes."
    )
    accelerator_resources: list[ResourceName] = Field(
        default=["nvidia.com/gpu", "amd.com/gpu"],
        min_length=1,
        max_length=16,
        json_schema_extra=SET,
        description="Resources that count as accelerators. Default nvidia.com/gpu and amd.com/gpu.",
    )
    pod_defaults: PodDefaults = Field(
        default=PodDefaults(), description="What pods with accelerators get besides. Default: as each field says."
    )
    health_rules: list[HealthRule] | None = Field(
        default=None,
        max_length=64,
        json_schema_extra=ATOMIC,
        description="Signs by which nodes count as unfit, besides Kubernetes' own. Default: those of the preset; an "
        "empty list: none.",
    )


class LevelStatus(Model):
    """What was found of one level."""

    name: LevelName = Field(description="Name of the level.")
    domains: Count = Field(default=0, description="Domains.")
    nodes: Count = Field(default=0, description="Nodes that carry its label.")
    unlabelled_nodes: Count = Field(default=0, description="Nodes that take part but do not carry it.")


class Excluded(Model):
    """Nodes left out for one cause."""

    cause: Message = Field(description="Why.")
    count: Count = Field(default=0, description="How many.")


class NodesStatus(Model):
    """Nodes, counted."""

    total: Count = Field(default=0, description="Nodes of the cluster.")
    eligible: Count = Field(default=0, description="Nodes that take part and may be used.")
    excluded: list[Excluded] | None = Field(
        default=None, max_length=64, json_schema_extra=ATOMIC, description="The rest, by cause."
    )


class Avoided(Model):
    """A node avoided by all jobs."""

    node: ObjectName = Field(description="Name of the node.")
    jobs: Count = Field(default=0, description="Jobs that blamed it.")
    since: Time | None = Field(default=None, description="Since when.")


class ClusterTopologyStatus(Model):
    """What the operator found."""

    observed_generation: int = Field(
        default=-1, ge=-1, description="metadata.generation last judged. Default -1: none yet."
    )
    levels: list[LevelStatus] | None = Field(
        default=None, max_length=16, json_schema_extra=ATOMIC, description="Levels in use, broadest first."
    )
    nodes: NodesStatus | None = Field(default=None, description="Nodes, counted.")
    avoided: list[Avoided] | None = Field(
        default=None, max_length=4096, json_schema_extra=ATOMIC, description="Nodes avoided by all jobs."
    )
    detected_preset: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="Preset that is in effect."
    )
    conditions: list[Condition] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=list_map("type"),
        description="Ready, and Invalid with the field; Stalled for readers of kstatus.",
    )


class ClusterTopology(Model):
    """The levels of the cluster's network; the object named `default` is used."""

    api_version: Literal["muster.dev/v1alpha1"] = API_VERSION
    kind: Literal["ClusterTopology"] = "ClusterTopology"
    metadata: Metadata = Metadata()
    spec: ClusterTopologySpec = Field(default=ClusterTopologySpec(), description="Levels, nodes and pod defaults.")
    status: ClusterTopologyStatus = Field(
        default=ClusterTopologyStatus(), description="What the operator found; written by it alone."
    )
