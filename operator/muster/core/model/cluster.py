"""The cluster's other records: topology, priority classes, quotas, our children, answers of the dry run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from muster.core.model.job import Job, Rejected
from muster.core.model.nodes import Avoided, Filter, HealthRule, Node, Resources
from muster.core.model.pods import Pod


@dataclass(frozen=True, slots=True)
class Level:
    """A level of the topology as resolved: domains are told apart by the value of the first of `labels` that nodes
    carry. `weight` None: the default."""

    name: str
    labels: tuple[str, ...]
    boundary: bool = False
    placeholders: tuple[str, ...] = ()
    fill_limit: int | None = None
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class TopologySpec:
    """The ClusterTopology named `default` (or, with none applied, `Auto`). `levels` only for preset Custom; a level
    named `node` may end the list and carries only a weight."""

    name: str
    uid: str
    rv: int
    generation: int
    preset: str
    levels: tuple[Level, ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    accelerators: tuple[str, ...] = ("nvidia.com/gpu", "amd.com/gpu")
    invalid: str = ""
    """Field and sentence, if it cannot be used: nothing new is placed then."""
    pod_defaults: str = ""
    """Hash of spec.podDefaults."""
    manifest: Any = field(default=None, compare=False, repr=False)
    health_rules: tuple[HealthRule, ...] | None = None
    """None: those of the preset."""
    avoided: tuple[Avoided, ...] = field(default=(), compare=False)
    """As last written into its status."""


@dataclass(frozen=True, slots=True)
class PriorityClass:
    """A PriorityClass; `preempts` unless its preemptionPolicy is Never."""

    name: str
    rv: int
    value: int
    preempts: bool


@dataclass(frozen=True, slots=True)
class Quota:
    """A ResourceQuota without scopes: `hard` and `used` in the names of pod requests (`pods`, `cpu`, ...)."""

    namespace: str
    name: str
    uid: str
    rv: int
    hard: Resources
    used: Resources


@dataclass(frozen=True, slots=True)
class Child:
    """A Service that a job owns."""

    id: str
    namespace: str
    name: str
    rv: int
    job: str
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """What the dry run of a role's pod answered: what a pod of `template` in `namespace` really requests and where it
    may run, or the refusal (an error class of the adapter and the server's words). `template` is the role's template
    hash and the hash of the pod defaults, joined by `+`."""

    namespace: str
    template: str
    requests: Resources = ()
    filter: Filter = field(default_factory=Filter)
    refused: str = ""
    """Class of the refusal: quota, policy, invalid, rbac, namespace-terminating, too-large; empty when admitted."""
    message: str = ""
    at: int = 0
    claims: tuple[str, ...] = ()
    """The PersistentVolumeClaims that the pod mounts: the node affinity of the bound ones is part of `filter`."""


Record = Node | Pod | Job | Rejected | TopologySpec | PriorityClass | Quota | Child | Admission


class Kind(Enum):
    """The kinds that are watched; `Synced` names each."""

    NODE = "nodes"
    POD = "pods"
    JOB = "trainingjobs"
    TOPOLOGY = "clustertopologies"
    PRIORITY_CLASS = "priorityclasses"
    QUOTA = "resourcequotas"
    CHILD = "services"
