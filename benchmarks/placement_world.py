"""Clusters, fills and gangs for the placement benchmark: racks of 18 nodes, 8 racks a leaf, 16 leaves a spine."""

from __future__ import annotations

import random
from collections.abc import Iterator

from muster.core.inventory import Inventory
from muster.core.model import (
    Filter,
    Found,
    Level,
    Node,
    Pod,
    Resources,
    RoleShape,
    Segments,
    Shape,
    Stage,
    TopologySpec,
)
from muster.core.placement import Solver

GPU = "nvidia.com/gpu"
RACK, LEAF, SPINE = 18, 8, 16
"""Nodes a rack, racks a leaf, leaves a spine."""
LEVELS = tuple(Level(name, (f"example.com/{name}",)) for name in ("spine", "leaf", "nvlink"))
FILLS = (
    "random 20 %",
    "random 50 %",
    "block-wise 10 %",
    "block-wise 30 %",
    "empty",
    "nearly empty",
    "nearly full",
    "after 500 gangs",
)


def cluster(racks: int) -> Inventory:
    """Nodes of four GPUs, 960 GB and 144 cores."""
    inventory = Inventory()
    inventory.set_topology(TopologySpec("default", "t", 1, 1, "Custom", LEVELS))
    has: Resources = (("cpu", 144_000), ("memory", 960 << 30), (GPU, 4), ("pods", 110))
    for r in range(racks):
        labels = {"spine": f"s{r // (LEAF * SPINE)}", "leaf": f"l{r // LEAF}", "nvlink": f"r{r}"}
        own = {f"example.com/{level}": value for level, value in labels.items()}
        for n in range(RACK):
            name = f"r{r}-n{n:02}"
            inventory.put_node(Node(name, name, 1, own | {"kubernetes.io/hostname": name}, has))
    return inventory


def pod(name: str, node: str, gpus: int) -> Pod:
    """A foreign pod."""
    return Pod(name, "other", name, 1, Stage.RUNNING, asks(gpus), node)


def asks(gpus: int, cores: int = 8) -> Resources:
    """What one pod requests."""
    return (("cpu", cores * 1000), ("memory", gpus * (64 << 30)), (GPU, gpus), ("pods", 1))


def gang(pods: int, segment: int = 0, gpus: int = 4, cores: int = 8, filter_: Filter | None = None) -> Shape:
    """A gang of one role; `segment`: its ranks share racks in such pieces."""
    segments = (Segments("nvlink", segment),) if segment else ()
    return Shape((RoleShape("worker", pods, asks(gpus, cores), filter_ or Filter(), None, None, segments),))


def gangs(rng: random.Random, least: int, most: int, gpus: int = 4) -> Iterator[Shape]:
    """Half of them in segments of 16."""
    while True:
        pods = rng.randint(least, most)
        yield gang(max(16, pods // 16 * 16), 16, gpus) if rng.random() < 0.5 else gang(pods, 0, gpus)


def filled(base: Inventory, fill: str, solver: Solver, gpus: int = 4) -> Inventory:
    """A fork of the empty cluster with other pods on it; with `gpus` 1 they fill a node only in part."""
    rng = random.Random(fill)
    inventory = base.fork()
    names = sorted(node.name for node in base.present())
    racks = len(names) // RACK

    def use(chosen: list[str]) -> None:
        for name in chosen:
            inventory.use(pod(f"p-{name}", name, 4 if gpus == 4 else rng.randint(1, 4)))

    match fill.split():
        case ["random", share, _]:
            use([name for name in names if rng.random() * 100 < int(share)])
        case ["block-wise", share, _]:
            # Whole leaves with one of their racks half used, as departed large jobs leave them.
            taken = {leaf for leaf in range(racks // LEAF) if rng.random() * 100 < int(share)}
            use([f"r{r}-n{n:02}" for r in range(racks) if r // LEAF in taken for n in range(9 if r % LEAF else RACK)])
        case ["nearly", "empty"]:
            use(rng.sample(names, len(names) // 100))
        case ["nearly", "full"]:
            use(rng.sample(names, len(names) * 95 // 100))
        case ["after", *_]:
            live: list[str] = []
            made = gangs(rng, 2, max(16, len(names) // 150), gpus)
            for i in range(500):
                shape = next(made)
                found = solver.place(inventory, shape)
                if isinstance(found, Found):
                    inventory.claim(f"old-{i}", load(found, shape))
                    live.append(f"old-{i}")
                if len(live) > 200:
                    inventory.release(live.pop(rng.randrange(len(live))))
    return inventory


def load(found: Found, shape: Shape) -> dict[str, Resources]:
    """What a placement claims on each node."""
    pods: dict[str, int] = {}
    for name in found.nodes[0]:
        pods[name] = pods.get(name, 0) + 1
    requests = shape.roles[0].requests
    once = {n: tuple((r, n * amount) for r, amount in requests) for n in set(pods.values())}
    return {name: once[n] for name, n in pods.items()}
