"""Builders of nodes, pods and inventories for tests."""

from __future__ import annotations

from collections.abc import Iterable

from muster.core.inventory import Inventory
from muster.core.model import (
    Filter,
    Level,
    Node,
    Pod,
    Resources,
    RoleShape,
    Segments,
    Shape,
    Stage,
    Taint,
    TopologySpec,
)

GPU = "nvidia.com/gpu"
PREFIX = "example.com/"


def gpus(n: int, pods: int = 1) -> Resources:
    """Requests of pods that want n GPUs together."""
    return (*(((GPU, n),) if n else ()), ("pods", pods))


def topology(*levels: str | Level, node_weight: int | None = None) -> TopologySpec:
    """A Custom topology whose levels are labels of their own name, broadest first."""
    made = [level if isinstance(level, Level) else Level(level, (PREFIX + level,)) for level in levels]
    if node_weight is not None:
        made.append(Level("node", (), weight=node_weight))
    return TopologySpec("default", "t", 1, 1, "Custom", tuple(made))


def node(
    name: str,
    allocatable: int | Resources = 4,
    labels: dict[str, str] | None = None,
    *,
    taints: tuple[Taint, ...] = (),
    cordoned: bool = False,
    unready_since: int | None = None,
    **domains: str,
) -> Node:
    """A node with GPUs (or any amounts); keywords name its domains by level."""
    amounts = gpus(allocatable, 110) if isinstance(allocatable, int) else tuple(sorted(allocatable))
    every = {PREFIX + level: value for level, value in domains.items()} | (labels or {})
    return Node(name, f"uid-{name}", 1, every, amounts, taints, cordoned, unready_since)


def racks(count: int, nodes: int, per_leaf: int = 1000, gpus_each: int = 4) -> list[Node]:
    """Racks r0.. of nodes r0-n0.., so many racks a leaf."""
    return [
        node(f"r{r}-n{n}", gpus_each, leaf=f"l{r // per_leaf}", nvlink=f"r{r}")
        for r in range(count)
        for n in range(nodes)
    ]


def pod(
    id_: str,
    where: str | None,
    requests: int | Resources = 4,
    *,
    job: str | None = None,
    stage: Stage = Stage.RUNNING,
    daemon: bool = False,
    pinned: str | None = None,
    nominated: str | None = None,
) -> Pod:
    """A pod on a node."""
    amounts = gpus(requests) if isinstance(requests, int) else requests
    return Pod(id_, "ns", id_, 1, stage, amounts, where, pinned=pinned, nominated=nominated, daemon=daemon, job=job)


def inventory(nodes: Iterable[Node], spec: TopologySpec, pods: Iterable[Pod] = ()) -> Inventory:
    """An inventory of these."""
    out = Inventory()
    out.set_topology(spec)
    for n in nodes:
        out.put_node(n)
    for p in pods:
        out.use(p)
    return out


def role(
    count: int,
    requests: int | Resources = 4,
    *,
    name: str = "worker",
    required: str | None = None,
    preferred: str | None = None,
    segments: Iterable[tuple[str, int | tuple[int, ...]]] = (),
    filter_: Filter | None = None,
) -> RoleShape:
    """One role; segments as (level, size) or (level, sizes)."""
    return RoleShape(
        name,
        count,
        gpus(requests) if isinstance(requests, int) else requests,
        filter_ or Filter(),
        required,
        preferred,
        tuple(Segments(lv, s, ()) if isinstance(s, int) else Segments(lv, max(s), s) for lv, s in segments),
    )


def gang(*roles: RoleShape, required: str | None = None, preferred: str | None = None) -> Shape:
    """A gang of roles."""
    return Shape(roles, required, preferred)
