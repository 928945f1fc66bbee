"""Which levels the cluster has, and in which domain of each a node lies.

`resolve` turns a ClusterTopology and the labels that nodes carry into `Levels`; `Levels.path` names a node's domains.
The label keys are those that the clouds and label makers document (see docs: Topograph, GKE compact placement, EKS
network topology, OKE RDMA labels, CoreWeave and Crusoe node labels).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from muster.core.model import Level, Node, TopologySpec

NODE = "node"
"""The implicit last level."""

CLIQUE = "nvidia.com/gpu.clique"
_FABRIC = "fabric.topograph.run/"
_OLDER = "network.topology.nvidia.com/"
_AWS = "topology.k8s.aws/"
_OCI = "oci.oraclecloud.com/"
_IB = "ib.coreweave.cloud/"
_GKE = "cloud.google.com/gce-topology-"

_REGION = Level("region", ("topology.kubernetes.io/region",), boundary=True)
_ZONE = Level("zone", ("topology.kubernetes.io/zone",), boundary=True)
_GB300 = (
    Level("spine", (_FABRIC + "tier-1", _OLDER + "spine")),
    Level("leaf", (_FABRIC + "tier-0", _OLDER + "leaf")),
    Level("nvlink", (CLIQUE,)),
)
_TOPOGRAPH = (
    Level("core", (_FABRIC + "tier-2", _OLDER + "core")),
    Level("spine", (_FABRIC + "tier-1", _OLDER + "spine")),
    Level("leaf", (_FABRIC + "tier-0", _OLDER + "leaf")),
    Level("nvlink", ("accelerator.topograph.run/domain", _OLDER + "accelerator")),
)

PRESETS: Mapping[str, tuple[Level, ...]] = {
    "GB300": _GB300,
    "Azure": _GB300,
    "GKE": (
        Level("spine", (_GKE + "block",)),
        Level("leaf", (_GKE + "subblock",)),
        Level("nvlink", (CLIQUE,)),
    ),
    "AWS": (
        Level("core", (_AWS + "network-node-layer-1",)),
        Level("spine", (_AWS + "network-node-layer-2",)),
        Level("leaf", (_AWS + "network-node-layer-3",)),
        Level("nvlink", (_AWS + "ultraserver-id",)),
    ),
    "OCI": (
        Level("core", (_OCI + "rdma.hpc_island_id",)),
        Level("spine", (_OCI + "rdma.network_block_id",)),
        Level("leaf", (_OCI + "rdma.local_block_id",)),
        Level("nvlink", (_OCI + "host.gpu_memory_fabric_id",), placeholders=("no-imds-data",)),
    ),
    "CoreWeave": (
        Level("core", (_IB + "fabric",)),
        Level("spine", (_IB + "superpod",)),
        Level("leaf", (_IB + "leafgroup",)),
        Level("nvlink", ("ds.coreweave.com/nvlink.domain",)),
    ),
    "Crusoe": (
        Level("leaf", ("crusoe.ai/ib.partition.id",)),
        Level("nvlink", ("crusoe.ai/pod.id", CLIQUE)),
    ),
    "Topograph": _TOPOGRAPH,
}
"""The levels of each preset below region and zone, broadest first."""

_CLOUDS = ("GKE", "AWS", "OCI", "CoreWeave", "Crusoe")
"""Presets that Auto tells by their own labels, in the order in which it looks."""

_DIGITS = re.compile(r"([0-9]+)")

NaturalKey = tuple[tuple[tuple[int, int, str], ...], str]


def natural(name: str) -> NaturalKey:
    """Sort key of natural order: runs of digits compare as numbers (`r2` before `r10`); plain order where that ties
    (`r01`, `r1`)."""
    parts = _DIGITS.split(name)
    return tuple((0, int(p), "") if i % 2 else (1, 0, p) for i, p in enumerate(parts) if p), name


@dataclass(frozen=True, slots=True)
class Levels:
    """The named levels in use, broadest first, each with one label and a weight; `preset` is the one in use or
    detected. With `invalid` (field and sentence) nothing new is placed."""

    levels: tuple[Level, ...] = ()
    node_weight: int = 0
    preset: str = ""
    invalid: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The named levels, broadest first, without `node`."""
        return tuple(level.name for level in self.levels)

    def depth(self, name: str) -> int | None:
        """1 for the broadest named level, one more than the last named for `node`, None for an unknown level."""
        if name == NODE:
            return len(self.levels) + 1
        for i, level in enumerate(self.levels):
            if level.name == name:
                return i + 1
        return None

    def value(self, level: Level, labels: Mapping[str, str]) -> str | None:
        """What a node's labels say at one level; None where missing, empty or a placeholder."""
        value = labels.get(level.labels[0]) or None
        return None if value in level.placeholders else value

    def path(self, labels: Mapping[str, str]) -> tuple[str | None, ...]:
        """A node's domain names, broadest first. From the first label that is missing on, all are None: there the node
        is a domain of its own."""
        out: list[str | None] = []
        gone = False
        for level in self.levels:
            value = None if gone else self.value(level, labels)
            gone = value is None
            out.append(value)
        return tuple(out)


def resolve(spec: TopologySpec, nodes: Iterable[Node]) -> Levels:
    """The levels that `spec` means on these nodes.

    A preset's level is left out when no accelerator node (any node, if there is none) carries its label; Custom levels
    stay. Never raises: what cannot be used is told in `Levels.invalid`.
    """
    if spec.invalid:
        return Levels(preset=spec.preset, invalid=spec.invalid)
    selected = [n for n in nodes if takes_part(spec, n)]
    wanted = set(spec.accelerators)
    carriers = [n for n in selected if any(r in wanted and a > 0 for r, a in n.allocatable)] or selected
    carried: dict[str, set[str]] = {}
    for node in carriers:
        for key, value in node.labels.items():
            carried.setdefault(key, set()).add(value)

    if spec.preset == "Custom":
        return _custom(spec, carried)
    if spec.preset == "Auto":
        name = _detect(carried)
        candidates = tuple(_widened(level) for level in PRESETS[name])
    elif spec.preset in PRESETS:
        name, candidates = spec.preset, PRESETS[spec.preset]
    else:
        return Levels(preset=spec.preset, invalid=f"spec.preset: there is no preset {spec.preset}")
    if spec.levels:
        return Levels(preset=name, invalid="spec.levels: only the preset Custom takes levels")
    kept: list[Level] = []
    for level in (_REGION, _ZONE, *candidates):
        label = _first(level, carried)
        if label is not None and all(label != other.labels[0] for other in kept):
            kept.append(replace(level, labels=(label,)))
    return Levels(_weighted(kept), 0, name)


def takes_part(spec: TopologySpec, node: Node) -> bool:
    """Whether spec.nodeSelector takes the node."""
    return all(node.labels.get(key) == value for key, value in spec.node_selector)


def survey(levels: Levels, nodes: Iterable[Node]) -> tuple[tuple[str, int, int, int], ...]:
    """Per level, broadest first: (name, domains told by labels, nodes in them, nodes without the label)."""
    domains: list[set[tuple[str | None, ...]]] = [set() for _ in levels.levels]
    counts = [[0, 0] for _ in levels.levels]
    for node in nodes:
        path = levels.path(node.labels)
        for i, value in enumerate(path):
            counts[i][value is None] += 1
            if value is not None:
                domains[i].add(path[: i + 1])
    return tuple((level.name, len(domains[i]), counts[i][0], counts[i][1]) for i, level in enumerate(levels.levels))


def _first(level: Level, carried: Mapping[str, set[str]]) -> str | None:
    for label in level.labels:
        if any(v and v not in level.placeholders for v in carried.get(label, ())):
            return label
    return None


def _detect(carried: Mapping[str, set[str]]) -> str:
    def has(preset: str) -> bool:
        own = (level for level in PRESETS[preset])
        return any(
            _first(replace(level, labels=tuple(k for k in level.labels if k != CLIQUE)), carried) for level in own
        )

    for name in _CLOUDS:
        if has(name):
            return name
    if "accelerator.topograph.run/domain" in carried or _OLDER + "accelerator" in carried:
        return "Topograph"
    return "GB300" if CLIQUE in carried or not has("Topograph") else "Topograph"


def _widened(level: Level) -> Level:
    """Auto also takes what the label makers that run on every cloud write, where the cloud's own label is missing."""
    for other in _TOPOGRAPH:
        if other.name == level.name:
            more = (CLIQUE, *other.labels) if level.name == "nvlink" else other.labels
            return replace(level, labels=tuple(dict.fromkeys((*level.labels, *more))))
    return level


def _weighted(levels: list[Level]) -> tuple[Level, ...]:
    last = len(levels) - 1
    return tuple(
        level if level.weight is not None else replace(level, weight=1 if i == last else 2)
        for i, level in enumerate(levels)
    )


def _custom(spec: TopologySpec, carried: Mapping[str, set[str]]) -> Levels:
    levels = list(spec.levels)
    node_weight = 0
    if levels and levels[-1].name == NODE:
        last = levels.pop()
        node_weight = last.weight if last.weight is not None else 0
        if last.labels or last.boundary or last.placeholders or last.fill_limit is not None:
            return Levels(preset=spec.preset, invalid=f"spec.levels[{len(levels)}]: node carries only a weight")
    wrong = ""
    names: set[str] = set()
    labels: set[str] = set()
    for i, level in enumerate(levels):
        at = f"spec.levels[{i}]"
        if level.name == NODE:
            wrong = f"{at}.name: node may only end the list"
        elif level.name in names:
            wrong = f"{at}.name: the level {level.name} is named twice"
        elif not level.labels:
            wrong = f"{at}.nodeLabel: the level {level.name} has no label"
        elif labels.intersection(level.labels):
            wrong = f"{at}.nodeLabel: the label {level.labels[0]} is used by two levels"
        elif level.weight is not None and level.weight < 0:
            wrong = f"{at}.weight: a weight is at least 0"
        elif level.fill_limit is not None and level.fill_limit < 0:
            wrong = f"{at}.fillLimit: a limit is at least 0"
        if wrong:
            return Levels(preset=spec.preset, invalid=wrong)
        names.add(level.name)
        labels.update(level.labels)
    if node_weight < 0:
        return Levels(preset=spec.preset, invalid=f"spec.levels[{len(levels)}].weight: a weight is at least 0")
    kept = [replace(level, labels=(_first(level, carried) or level.labels[0],)) for level in levels]
    return Levels(_weighted(kept), node_weight, spec.preset)
