"""What happens to machines and their Node objects."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from muster.sim.deeds import MERGE, TOPOLOGIES
from muster.sim.scene import AWAY, OUT, RULES, Scene
from muster.sim.strikes.kinds import kind


@kind
def _node_dies(scene: Scene, draw: random.Random) -> None:
    """A machine is switched off for a long time."""
    name = scene.node(draw, used=True)
    scene.deeds.power(name, False)
    scene.later(draw.uniform(30, 90), lambda: scene.deeds.power(name, True))


@kind
def _node_silent(scene: Scene, draw: random.Random) -> None:
    """A machine is cut off and comes back with its pods still running."""
    name = scene.node(draw, used=True)
    scene.deeds.power(name, False)
    scene.later(draw.uniform(2, 14), lambda: scene.deeds.power(name, True))


@kind
def _node_flaps(scene: Scene, draw: random.Random) -> None:
    """A machine falls silent and returns, twice."""
    name = scene.node(draw)
    for at in (0, 12):
        scene.later(at, lambda: scene.deeds.power(name, False))
        scene.later(at + draw.uniform(5, 9), lambda: scene.deeds.power(name, True))


@kind
def _node_deleted(scene: Scene, draw: random.Random) -> None:
    """A Node object is deleted, and registers again."""
    name = scene.node(draw, used=True)
    scene.deeds.delete_node(name)
    scene.later(draw.uniform(1, 60), lambda: scene.deeds.add_node(scene.nodes[name]))


@kind
def _rack_lost(scene: Scene, draw: random.Random) -> None:
    """All machines of a rack are switched off at once."""
    rack = scene.node(draw, used=True).partition("-")[0]
    names = [name for name in scene.nodes if name.startswith(rack)]
    for name in names:
        scene.later(0, partial(scene.deeds.power, name, False))
        scene.later(draw.uniform(20, 60), partial(scene.deeds.power, name, True))


@kind
def _out_of_service(scene: Scene, draw: random.Random) -> None:
    """A dead machine is declared out of service by the administrator."""
    name = scene.node(draw, used=True)
    scene.deeds.power(name, False)
    scene.later(draw.uniform(3, 10), lambda: scene.deeds.taint(name, OUT, "NoExecute"))
    back = draw.uniform(30, 60)
    scene.later(back, lambda: scene.deeds.power(name, True))
    scene.later(back + 1, lambda: scene.deeds.taint(name, OUT, None))


@kind
def _cordon(scene: Scene, draw: random.Random) -> None:
    """A node is cordoned, and uncordoned."""
    name = scene.node(draw)
    scene.deeds.cordon(name)
    scene.later(draw.uniform(5, 60), lambda: scene.deeds.cordon(name, False))


@kind
def _drain(scene: Scene, draw: random.Random) -> None:
    """A node is drained as kubectl does: cordoned, its pods deleted."""
    name = scene.node(draw, used=True)
    scene.deeds.cordon(name)
    for pod in scene.deeds.pods():
        if pod["spec"].get("nodeName") == name:
            path = pod["metadata"]["name"]
            scene.later(0.1, partial(scene.deeds.delete_pod, path))
    scene.later(draw.uniform(10, 60), lambda: scene.deeds.cordon(name, False))


@kind
def _no_execute(scene: Scene, draw: random.Random) -> None:
    """A NoExecute taint evicts what runs on a node."""
    name = scene.node(draw, used=True)
    scene.deeds.taint(name, AWAY, "NoExecute")
    scene.later(draw.uniform(5, 60), lambda: scene.deeds.taint(name, AWAY, None))


@kind
def _no_schedule(scene: Scene, draw: random.Random) -> None:
    """A NoSchedule taint comes on a node, perhaps between placing and binding."""
    name = scene.node(draw)
    scene.deeds.taint(name, AWAY, "NoSchedule")
    scene.later(draw.uniform(1, 30), lambda: scene.deeds.taint(name, AWAY, None))


@kind
def _relabel(scene: Scene, draw: random.Random) -> None:
    """A node is said to lie in another rack, and put right."""
    one, other = scene.node(draw, used=True), scene.node(draw)
    labels = scene.nodes[other]["metadata"]["labels"]
    scene.deeds.relabel(one, {"nvidia.com/gpu.clique": labels["nvidia.com/gpu.clique"]})
    mine = scene.nodes[one]["metadata"]["labels"]["nvidia.com/gpu.clique"]
    scene.later(draw.uniform(5, 60), lambda: scene.deeds.relabel(one, {"nvidia.com/gpu.clique": mine}))


@kind
def _condition(scene: Scene, draw: random.Random) -> None:
    """A health rule calls a node unfit, by a condition: Avoid or Drain."""
    name, what = scene.node(draw, used=True), draw.choice(["XIDErrors", "GPUMissing"])
    scene.deeds.condition(name, what, "True")
    scene.later(draw.uniform(1, 60), lambda: scene.deeds.condition(name, what, "False"))


@kind
def _health_label(scene: Scene, draw: random.Random) -> None:
    """A health rule drains a node at once, by a label."""
    name = scene.node(draw, used=True)
    scene.deeds.relabel(name, {"example.com/state": "broken"})
    scene.later(draw.uniform(5, 60), lambda: scene.deeds.relabel(name, {"example.com/state": None}))


@kind
def _health_rules_edited(scene: Scene, draw: random.Random) -> None:
    """The rules in the ClusterTopology are taken away, and put back."""
    _topology(scene, {"healthRules": []})
    scene.later(draw.uniform(5, 30), lambda: _topology(scene, {"healthRules": list(RULES)}))


@kind
def _nodes_added(scene: Scene, draw: random.Random) -> None:
    """A rack grows by a machine."""
    model = scene.nodes[scene.node(draw)]
    name = f"{model['metadata']['name'].partition('-')[0]}-x{next(scene.numbers):03}"
    labels = {**model["metadata"]["labels"], "kubernetes.io/hostname": name}
    made = {**model, "metadata": {"name": name, "labels": labels}}
    scene.deeds.add_node(made)
    scene.nodes[name] = made


@kind
def _nodes_removed(scene: Scene, draw: random.Random) -> None:
    """A machine is taken away for good."""
    if len(scene.nodes) > 6:
        name = scene.node(draw)
        scene.deeds.delete_node(name)
        scene.nodes.pop(name)


def _topology(scene: Scene, spec: dict[str, Any]) -> None:
    scene.deeds.call("PATCH", f"{TOPOLOGIES}/default", {"spec": spec}, MERGE)
