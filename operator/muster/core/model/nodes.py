"""Nodes: what they offer, who may use them, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

Resources = tuple[tuple[str, int], ...]
"""Amounts by resource name, sorted by name, no zero entries. cpu in thousandths, all others in base units (memory in
bytes). A pod's requests contain `pods: 1`, and `hostport/<protocol>/<port>: 1` for each host port it opens; every node
offers one of each host port."""


@dataclass(frozen=True, slots=True)
class Taint:
    """A node's taint."""

    key: str
    value: str
    effect: str
    """NoSchedule | PreferNoSchedule | NoExecute."""
    since: int | None = field(default=None, compare=False)
    """When (ms) it was put on, where the API says so; taints that differ in this alone are the same."""


@dataclass(frozen=True, slots=True)
class Toleration:
    """A pod's toleration; an empty key with Exists tolerates everything, an empty effect matches every effect."""

    key: str
    operator: str
    """Exists | Equal | Lt | Gt."""
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """One node selector requirement: In, NotIn, Exists, DoesNotExist, Gt, Lt on a label. The pseudo key
    `metadata.name` names the node itself (matchFields)."""

    key: str
    operator: str
    values: tuple[str, ...]


Term = tuple[Requirement, ...]
"""Requirements that must all hold; a term without any matches nothing (Kubernetes: NodeSelectorTerm)."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which nodes a pod may use: every selector pair holds; of every group in `affinity` at least one term holds (the
    pod's own required node affinity, then one group per bound volume); untolerated NoSchedule and NoExecute taints
    exclude."""

    selector: tuple[tuple[str, str], ...] = ()
    affinity: tuple[tuple[Term, ...], ...] = ()
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the API shows it. `unready_since` is the time (ms) of the last change of its Ready condition to False
    or Unknown, None while Ready is True; a node without a Ready condition counts as unready since its creation."""

    name: str
    uid: str
    rv: int
    labels: Mapping[str, str]
    allocatable: Resources
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    unready_since: int | None = None
    out_of_service: bool = False
    """It carries the taint node.kubernetes.io/out-of-service: the administrator's word that the machine is off."""
    conditions: tuple[tuple[str, str, int], ...] = ()
    """(type, status, since in ms) of what health rules may name: all but the kubelet's own while those are well."""
    cleared: int | None = None
    """The time (ms) in its annotation muster.dev/clear-blame: what it was blamed for before counts no more."""


class HealthAction(Enum):
    """What a health rule that matches orders."""

    AVOID = "Avoid"
    """No new pods."""
    DRAIN = "Drain"
    """Nor may those stay that run there."""


@dataclass(frozen=True, slots=True)
class HealthRule:
    """A sign by which a node counts as unfit. `kind`: condition | label | taint; `key`: its type or key; `bad`: the
    status or value that is bad, None for any. `after`: how long (ms) pods may stay when the action is Drain."""

    kind: str
    key: str
    bad: str | None
    action: HealthAction
    after: int = 0

    @property
    def cause(self) -> str:
        """As exclusions count it: `condition GPUMissing=True`, `label example.com/state`."""
        return f"{self.kind} {self.key}" + ("" if self.bad is None else f"={self.bad}")


@dataclass(frozen=True, slots=True)
class Avoided:
    """A node that no job is placed on, because so many jobs blamed it within a day; `since` when (ms) the last of them
    did."""

    node: str
    jobs: int
    since: int


@dataclass(frozen=True, slots=True)
class NodePast:
    """What is remembered of a node, by name, beyond its record; see `pasts`. Times in ms.

    `returns`: when it came back from being unready, the latest ones; `held_until`: for that it gets no new pods before
    then. `silent`: while it is unready, the time of that by its record, and when that was first seen. `noticed`: by
    cause of a Drain rule since when a label or taint that carries no time has been seen. `blames`: of the jobs (uid)
    that blamed it last, when each did. `cleared`: the latest annotation seen on it.
    """

    name: str
    returns: tuple[int, ...] = ()
    held_until: int | None = None
    silent: tuple[int, int] | None = None
    noticed: tuple[tuple[str, int], ...] = ()
    blames: tuple[tuple[str, int], ...] = ()
    avoided: Avoided | None = None
    cleared: int | None = None
