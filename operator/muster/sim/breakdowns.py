"""The stories in which something breaks: what `runs` has besides starts and ends.

They hold as `runs` says: what is waited for need not come about, faults may be in the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from muster.sim.deeds import TOPOLOGIES, Deeds, gang

LONG = 120.0
"""Seconds that a story waits at most for one thing."""
IN_RACK: dict[str, Any] = {"required": {"level": "nvlink"}}
SOON: dict[str, Any] = {"unreachable": {"afterSeconds": 3}, "quarantineSeconds": 60, "failureGraceSeconds": 2}


def repair(deeds: Deeds) -> None:
    """The node of a gang in one rack is deleted; the rack has a spare."""
    _begin(deeds, failurePolicy=SOON)
    _lose(deeds, 1)
    _again(deeds, 2)


def second(deeds: Deeds) -> None:
    """While a repair is on its way, another node of the gang goes, and what replaced the first."""
    world = deeds.world
    _begin(deeds, failurePolicy=SOON)
    _lose(deeds, 0)
    world.until(lambda: deeds.phase("llm") == "Repairing", 30)
    _lose(deeds, 1)
    world.run(1.5)
    _lose(deeds, 0)
    world.run(20.0)


def silent(deeds: Deeds) -> None:
    """A machine falls silent, is replaced, and comes back with the old pod still running."""
    world = deeds.world
    _begin(deeds, failurePolicy=SOON)
    name = _node(deeds, 1)
    deeds.power(name, False)
    _again(deeds, 2)
    deeds.power(name, True)
    world.run(5.0)


def forced(deeds: Deeds) -> None:
    """On a machine that fell silent somebody takes the pod out of the API, where it may run on; the operator is killed,
    and the machine comes back later."""
    world = deeds.world
    _begin(deeds, failurePolicy=SOON | {"unreachable": {"afterSeconds": 40}})
    name = _node(deeds, 1)
    deeds.power(name, False)
    world.run(3.0)
    _with(deeds, 1, lambda pod: deeds.delete_pod(pod, 0))
    world.run(0.2)
    world.seats[0].crash()
    world.run(6.0)
    world.seats[0].crash()
    _again(deeds, 2)
    deeds.power(name, True)
    world.run(5.0)


def elastic(deeds: Deeds) -> None:
    """A pod fails and another is deleted, and only these are made anew; then a node goes."""
    world = deeds.world
    _begin(deeds, failurePolicy=SOON | {"restart": "FailedPods"})
    _fail(deeds, 2)
    _again(deeds, 2)
    _with(deeds, 0, deeds.delete_pod)
    _again(deeds, 3)
    _lose(deeds, 1)
    world.run(8.0)


def restart(deeds: Deeds) -> None:
    """A pod fails by the job's own fault: all are made anew where they were; the second time the job fails."""
    world = deeds.world
    _begin(deeds, failurePolicy=SOON | {"maxRestarts": 1})
    _fail(deeds, 0)
    _again(deeds, 2)
    _fail(deeds, 1)
    world.until(lambda: deeds.phase("llm") == "Failed", LONG)


def reserved(deeds: Deeds) -> None:
    """No replacement for a node that went: the others are kept for the job until it is back, and others want them."""
    world = deeds.world
    _begin(deeds, 7, {}, failurePolicy=SOON | {"waitForRepairSeconds": 60})
    deeds.foreign(
        "other", next(n["metadata"]["name"] for n in deeds.nodes() if n["metadata"]["name"] not in _on(deeds))
    )
    deeds.apply(gang("small", 2))
    gone = _lose(deeds, 3)
    world.until(lambda: deeds.phase("llm") == "Pending", LONG)
    world.run(10.0)
    if gone is not None:
        deeds.add_node(gone)
    _running(deeds)


def drain(deeds: Deeds) -> None:
    """A health rule drains a node under a gang, and then another one, that recovers."""
    rules = [{"condition": "XIDErrors", "badWhen": "True", "action": "Drain", "afterSeconds": 2}]
    head = {"apiVersion": "muster.dev/v1alpha1", "kind": "ClusterTopology", "metadata": {"name": "default"}}
    deeds.call("POST", TOPOLOGIES, head | {"spec": {"preset": "GB300", "healthRules": rules}})
    _begin(deeds, failurePolicy=SOON)
    bad = _node(deeds, 1)
    deeds.condition(bad, "XIDErrors", "True")
    _again(deeds, 2)
    other = _node(deeds, 0)
    deeds.condition(other, "XIDErrors", "True")
    deeds.world.run(1.0)
    deeds.condition(other, "XIDErrors", "False")
    deeds.condition(bad, "XIDErrors", "False")
    deeds.world.run(3.0)


def blame(deeds: Deeds) -> None:
    """A rule blames a node twice; the job avoids it then."""
    world = deeds.world
    rule = {"action": "ReplaceNode", "onExitCodes": {"operator": "In", "values": [9]}}
    _begin(deeds, failurePolicy=SOON | {"rules": [rule]})
    _fail(deeds, 0, 9)
    _again(deeds, 2)
    _fail(deeds, 1, 9)
    _again(deeds, 3)
    _fail(deeds, 0, 9)
    world.run(10.0)


def evicted(deeds: Deeds) -> None:
    """A NoExecute taint evicts a pod while others start; it goes; the job is suspended in the middle of the repair."""
    world = deeds.world
    _begin(deeds, failurePolicy=SOON)
    name = _node(deeds, 2)
    deeds.taint(name, "example.com/away", "NoExecute")
    world.until(lambda: deeds.phase("llm") == "Repairing", 30)
    deeds.edit("llm", {"suspend": True})
    world.until(lambda: deeds.phase("llm") == "Suspended", LONG)
    deeds.taint(name, "example.com/away", None)
    deeds.edit("llm", {"suspend": False})
    _running(deeds)


# --- words ------------------------------------------------------------------------------------------------------------


def _begin(deeds: Deeds, replicas: int = 3, topology: dict[str, Any] | None = None, **spec: Any) -> None:
    world = deeds.world
    world.start()
    world.run(2.0)
    deeds.apply(gang("llm", replicas, topology=IN_RACK if topology is None else topology, **spec))
    _running(deeds)


def _running(deeds: Deeds) -> None:
    deeds.world.until(lambda: deeds.phase("llm") == "Running", LONG)


def _again(deeds: Deeds, attempt: int) -> None:
    """Until it runs in this attempt, or a later one."""

    def holds() -> bool:
        job = deeds.job("llm")
        status = job["status"] if job is not None else {}
        return status.get("phase") == "Running" and status.get("attempt", 0) >= attempt

    deeds.world.until(holds, LONG)


def _on(deeds: Deeds) -> set[str]:
    return {pod["spec"].get("nodeName", "") for pod in deeds.pods("llm")}


def _node(deeds: Deeds, rank: int) -> str:
    """The node of a rank; the first of all where nothing is bound, so that the story goes on."""
    first: str = deeds.nodes()[0]["metadata"]["name"]
    try:
        return str(deeds.pod_of("llm", rank)["spec"].get("nodeName", first))
    except LookupError:
        return first


def _lose(deeds: Deeds, rank: int) -> dict[str, Any] | None:
    """Delete the node of a rank; the Node, to give back."""
    name = _node(deeds, rank)
    if all(node["metadata"]["name"] != name for node in deeds.nodes()):
        return None
    return dict(deeds.delete_node(name))


def _fail(deeds: Deeds, rank: int, code: int = 3) -> None:
    _with(deeds, rank, lambda pod: deeds.end(pod, code))


def _with(deeds: Deeds, rank: int, what: Callable[[str], None]) -> None:
    """Do something to the pod of a rank, if there is one."""
    try:
        name = deeds.pod_of("llm", rank)["metadata"]["name"]
    except LookupError:
        return
    what(name)
