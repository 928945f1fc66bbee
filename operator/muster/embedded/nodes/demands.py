"""What the scheduler reads of pods and nodes.

https://kubernetes.io/docs/concepts/scheduling-eviction/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from muster.embedded.quantities import Container, Resources, Written, asked_of_node


def _integer(text: str) -> bool:
    """Whether Go's ParseInt reads it as an int64."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    return digits.isascii() and digits.isdigit() and len(digits) < 1000 and -(1 << 63) <= int(text) < 1 << 63


def _canonical(text: str) -> bool:
    """Whether it is an int64 as Go prints it, which is what tolerations compare."""
    return _integer(text) and text == str(int(text))


class Taint(msgspec.Struct, frozen=True, gc=False):
    """A node's taint."""

    key: str
    value: str = ""
    effect: str = ""


class Toleration(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A pod's toleration."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None

    def covers(self, taint: Taint) -> bool:
        """Whether the taint is tolerated."""
        if (self.effect and self.effect != taint.effect) or (self.key and self.key != taint.key):
            return False
        if self.operator == "Exists":
            return True
        if not self.key:
            return False
        if self.operator in ("Lt", "Gt"):
            if not (_canonical(self.value) and _canonical(taint.value)):
                return False
            ours, theirs = int(self.value), int(taint.value)
            return theirs < ours if self.operator == "Lt" else theirs > ours
        return self.operator in ("", "Equal") and self.value == taint.value


class Requirement(msgspec.Struct, frozen=True, gc=False):
    """One line of a node selector term."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, value: str | None) -> bool:
        """Whether a label's value (None: there is none) satisfies it."""
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                if value is None or len(self.values) != 1 or not (_integer(value) and _integer(self.values[0])):
                    return False
                ours, bound = int(value), int(self.values[0])
                return ours > bound if self.operator == "Gt" else ours < bound
            case _:
                return False


class Term(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A node selector term: all its lines hold; without any it matches nothing."""

    match_expressions: tuple[Requirement, ...] | None = None
    match_fields: tuple[Requirement, ...] | None = None

    def admits(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node matches."""
        expressions, fields = self.match_expressions or (), self.match_fields or ()
        if not expressions and not fields:
            return False
        # metadata.name is the only field there is.
        return all(r.holds(labels.get(r.key)) for r in expressions) and all(r.holds(name) for r in fields)

    def names(self) -> frozenset[str] | None:
        """The only nodes that can match, as far as the fields say; None: they do not."""
        found: frozenset[str] | None = None
        for line in self.match_fields or ():
            if line.key == "metadata.name" and line.operator == "In":
                found = frozenset(line.values) if found is None else found & frozenset(line.values)
        return found


class _Required(msgspec.Struct, gc=False, rename="camel"):
    node_selector_terms: tuple[Term, ...] = ()


class _NodeAffinity(msgspec.Struct, gc=False):
    required: _Required | None = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=None)


class _PodAffinity(msgspec.Struct, gc=False):
    required: list[msgspec.Raw] | None = msgspec.field(
        name="requiredDuringSchedulingIgnoredDuringExecution", default=None
    )


class _Affinity(msgspec.Struct, gc=False, rename="camel"):
    node_affinity: _NodeAffinity | None = None
    pod_affinity: _PodAffinity | None = None
    pod_anti_affinity: _PodAffinity | None = None


class _Spread(msgspec.Struct, gc=False, rename="camel"):
    when_unsatisfiable: str = ""


class _Claim(msgspec.Struct, gc=False, rename="camel"):
    claim_name: str = ""


class _Volume(msgspec.Struct, gc=False, rename="camel"):
    name: str = ""
    persistent_volume_claim: _Claim | None = None
    ephemeral: msgspec.Raw | None = None


class _Gate(msgspec.Struct, gc=False):
    name: str = ""


class PodSpec(msgspec.Struct, rename="camel"):
    """What of a pod's spec the scheduler reads."""

    containers: list[Container] = []
    init_containers: list[Container] | None = None
    resources: Resources | None = None
    overhead: dict[str, Written] | None = None
    node_name: str = ""
    node_selector: dict[str, str] | None = None
    affinity: _Affinity | None = None
    tolerations: tuple[Toleration, ...] | None = None
    scheduling_gates: list[_Gate] | None = None
    scheduler_name: str = "default-scheduler"
    priority: int = 0
    preemption_policy: str = "PreemptLowerPriority"
    host_network: bool = False
    topology_spread_constraints: list[_Spread] | None = None
    volumes: list[_Volume] | None = None
    resource_claims: list[_Gate] | None = None


class PodMeta(msgspec.Struct, rename="camel"):
    """Of its metadata."""

    name: str
    namespace: str
    uid: str
    generation: int = 0
    deletion_timestamp: str | None = None


class PodStatus(msgspec.Struct, rename="camel"):
    """Of its status."""

    phase: str = "Pending"
    nominated_node_name: str = ""


class PodItem(msgspec.Struct):
    """A Pod."""

    metadata: PodMeta
    spec: PodSpec
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class _NodeSpec(msgspec.Struct, gc=False):
    unschedulable: bool = False
    taints: tuple[Taint, ...] | None = None


class _NodeMeta(msgspec.Struct, gc=False):
    name: str
    labels: dict[str, str] | None = None


class _NodeStatus(msgspec.Struct, gc=False):
    allocatable: dict[str, Written] | None = None


class NodeItem(msgspec.Struct):
    """A Node."""

    metadata: _NodeMeta
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


HostPort = tuple[str, str, int]
"""Address, protocol, port."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What an unbound pod asks of a node."""

    requests: tuple[tuple[str, int], ...]
    ports: tuple[HostPort, ...]
    selector: tuple[tuple[str, str], ...]
    terms: tuple[Term, ...] | None
    tolerations: tuple[Toleration, ...]
    priority: int
    never: bool
    """preemptionPolicy Never."""
    claims: tuple[str, ...]
    """Names of the PersistentVolumeClaims."""
    refused: str
    """What the embedded scheduler cannot do for it; empty: nothing."""

    def pins(self) -> frozenset[str] | None:
        """The only nodes it can be put on by their names; None: any."""
        found: frozenset[str] = frozenset()
        for term in self.terms or ():
            names = term.names()
            if names is None:
                return None
            found |= names
        return found if self.terms else None


def requests_of(spec: PodSpec) -> tuple[tuple[str, int], ...]:
    """What it takes of its node; a quantity that the server let through and is none raises ValueError."""
    asked = asked_of_node(spec.containers, spec.init_containers or (), spec.resources, spec.overhead)
    return tuple(sorted((name, value) for name, value in asked.items() if value))


def ports_of(spec: PodSpec) -> tuple[HostPort, ...]:
    """The host's ports that it takes."""
    found = set()
    for container in (*spec.containers, *(c for c in spec.init_containers or () if c.restart_policy == "Always")):
        for port in container.ports or ():
            number = port.host_port or (port.container_port if spec.host_network else 0)
            if number:
                found.add((port.host_ip or "0.0.0.0", port.protocol, number))  # nosec B104  # compared, not bound
    return tuple(sorted(found))


def demand_of(spec: PodSpec) -> Demand:
    """What an unbound pod asks."""
    affinity = spec.affinity or _Affinity()
    node = affinity.node_affinity
    required = node.required if node is not None else None
    return Demand(
        requests=requests_of(spec),
        ports=ports_of(spec),
        selector=tuple(sorted((spec.node_selector or {}).items())),
        terms=required.node_selector_terms if required is not None else None,
        tolerations=spec.tolerations or (),
        priority=spec.priority,
        never=spec.preemption_policy == "Never",
        claims=tuple(v.persistent_volume_claim.claim_name for v in spec.volumes or () if v.persistent_volume_claim),
        refused=_refused(spec, affinity),
    )


def _refused(spec: PodSpec, affinity: _Affinity) -> str:
    between = (affinity.pod_affinity, affinity.pod_anti_affinity)
    if any(each is not None and each.required for each in between):
        return "the embedded scheduler does not read required affinity between pods"
    if any(each.when_unsatisfiable == "DoNotSchedule" for each in spec.topology_spread_constraints or ()):
        return "the embedded scheduler does not read topologySpreadConstraints with DoNotSchedule"
    if spec.resource_claims:
        return "the embedded scheduler allocates no resourceClaims"
    if any(volume.ephemeral is not None for volume in spec.volumes or ()):
        return "the embedded scheduler makes no ephemeral volumes"
    return ""
