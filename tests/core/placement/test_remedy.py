"""What is said to start a waiting gang does, and nothing smaller does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from tests.core.placement import changes
from tests.support import cluster

from muster.core.inventory import Inventory
from muster.core.model import ActionKind, Filter, Pod, Remedy, Requirement, RoleShape, Verdict
from muster.core.placement import Solver

KEPT = Solver()
ON_A = Requirement("metadata.name", "In", ("r0-n0",))


@pytest.mark.parametrize("block", range(6))
def test_the_smallest_change_starts_the_gang_and_no_smaller_one_does(block: int) -> None:
    kinds = {changes.check(changes.case(seed), KEPT) for seed in range(block * 20, block * 20 + 20)}
    assert "whole" in kinds


def test_for_several_roles_the_nodes_that_are_named_are_enough() -> None:
    kinds = Counter(changes.check_joint(seed, KEPT) for seed in range(200))
    assert kinds["several"] > 20
    assert kinds["not known"] < kinds["several"] / 4


def racks(pods: Iterable[Pod] = ()) -> Inventory:
    return cluster.inventory(cluster.racks(2, 4), cluster.topology("leaf", "nvlink"), pods)


def remedy(inventory: Inventory, role: RoleShape) -> Remedy:
    shape = cluster.gang(role)
    verdict = Solver().place(inventory, shape)
    assert isinstance(verdict, Verdict)
    found = Solver().remedy(inventory, shape, verdict)
    assert found is not None
    return found


def test_what_daemon_sets_hold_is_never_asked_for() -> None:
    daemons = [cluster.pod(f"d{n}", f"r0-n{n}", 1, daemon=True) for n in range(4)]
    others = [cluster.pod(f"p{n}", f"r1-n{n}", 4) for n in range(4)]
    found = remedy(racks([*daemons, *others]), cluster.role(4, 4, required="nvlink"))
    assert {action.target for action in found.actions} == {f"r1-n{n}" for n in range(4)}
    daemons += [replace(pod, id=f"{pod.id}-1", node=f"r1-n{n}") for n, pod in enumerate(daemons)]
    found = remedy(racks(daemons), cluster.role(4, 4, required="nvlink"))
    assert (found.count, found.proven, found.actions) == (None, True, ())


def test_of_nodes_that_are_alike_those_of_the_fewest_jobs_are_freed() -> None:
    inventory = racks()
    for job, nodes in {"a": ("r0-n0", "r1-n0"), "b": ("r0-n1", "r0-n3"), "c": ("r0-n2", "r1-n1", "r1-n2")}.items():
        inventory.claim(job, dict.fromkeys(nodes, cluster.gpus(4)))
    found = remedy(inventory, cluster.role(3, 4, required="nvlink"))
    # r0 is full, of r1 the last is free: one of c's two there, and the other, rather than one of a's.
    assert [(action.target, action.nodes) for action in found.actions] == [("c", ("r1-n1", "r1-n2"))]


def test_only_what_stands_in_the_way_is_ended() -> None:
    small = (("cpu", 1000), ("pods", 1))
    nodes = [cluster.node("a", (("cpu", 8000), (cluster.GPU, 4), ("pods", 110)), nvlink="r0")]
    pods = [cluster.pod("logs", "a", small), cluster.pod("web", "a", small)]
    inventory = cluster.inventory(nodes, cluster.topology("nvlink"), pods)
    inventory.claim("j", {"a": cluster.gpus(1)})
    inventory.claim("k", {"a": cluster.gpus(3)})
    found = remedy(inventory, cluster.role(1, (("cpu", 6000), (cluster.GPU, 3), ("pods", 1))))
    assert [(action.kind, action.target) for action in found.actions] == [(ActionKind.END, "k")]


def test_a_node_that_is_cordoned_and_held_takes_two_actions_and_counts_once() -> None:
    inventory = racks()
    for name in ("r0-n0", "r0-n1", "r0-n2", "r0-n3"):
        inventory.claim(f"job-{name}", {name: cluster.gpus(4)})
    node = inventory.node("r0-n0")
    assert node is not None
    inventory.put_node(replace(node, cordoned=True, unready_since=1))
    inventory.claim("all", {f"r1-n{n}": cluster.gpus(4) for n in range(4)})
    found = remedy(inventory, cluster.role(1, 4, filter_=Filter(affinity=(((ON_A,),),))))
    assert found.count == 1
    kinds = [action.kind for action in found.actions]
    assert kinds == [ActionKind.UNCORDON, ActionKind.HEAL, ActionKind.END]


def test_a_cordon_that_only_the_taint_shows_yet_is_named() -> None:
    inventory = racks()
    inventory.claim("all", {f"r{r}-n{n}": cluster.gpus(4) for r in range(2) for n in range(4) if (r, n) != (1, 2)})
    node = inventory.node("r1-n2")
    assert node is not None
    inventory.put_node(replace(node, taints=(changes.UNSCHEDULABLE,)))
    found = remedy(inventory, cluster.role(1, 4))
    assert [(action.kind, action.target) for action in found.actions] == [(ActionKind.UNCORDON, "r1-n2")]
