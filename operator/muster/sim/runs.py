"""The stories that are told in simulated time, by name: what is disturbed by a plan's faults.

A story is a function of `Deeds`: it does things and lets time pass, and must not mind if what it waits for does not
come about, since faults may be in the way. Whether all went well is judged afterwards (`trial`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from muster.embedded.nodes.racks import Racks
from muster.safety.world import SLACK_SECONDS
from muster.sim import breakdowns
from muster.sim.breakdowns import LONG
from muster.sim.deeds import Deeds, gang
from muster.sim.world import Site


@dataclass(frozen=True, slots=True)
class Run:
    """A story: what it shows, where it happens, and how it goes."""

    shows: str
    site: Site
    story: Callable[[Deeds], None]
    lag: float = SLACK_SECONDS
    """For how many seconds the operators' caches may be stale, by what the faults do to their watches."""
    expiries: int = 0
    """How often something may be told after the end because a time that was set in the story is over."""


SMALL = Racks(racks=2, nodes=3)
ROOMY = Racks(racks=2, nodes=4)
"""A gang of three has a spare in its rack."""


def _start(deeds: Deeds) -> None:
    world = deeds.world
    world.start()
    world.run(2.0)
    deeds.apply(gang("llm", 3, topology={"required": {"level": "nvlink"}}))
    world.until(lambda: deeds.phase("llm") == "Running", LONG)


def _two(deeds: Deeds) -> None:
    world = deeds.world
    world.start()
    world.run(2.0)
    deeds.apply(gang("one", 4))
    deeds.apply(gang("two", 4))
    world.until(lambda: "Running" in (deeds.phase("one"), deeds.phase("two")), LONG)


def _suspend(deeds: Deeds) -> None:
    world = deeds.world
    _start(deeds)
    deeds.edit("llm", {"suspend": True})
    world.until(lambda: deeds.phase("llm") == "Suspended", LONG)
    deeds.edit("llm", {"suspend": False})
    world.until(lambda: deeds.phase("llm") == "Running", LONG)


def _delete(deeds: Deeds) -> None:
    world = deeds.world
    _start(deeds)
    deeds.apply(gang("next", 3, topology={"required": {"level": "nvlink"}}))
    deeds.apply(gang("waiting", 6))
    world.until(lambda: deeds.phase("next") == "Running", LONG)
    deeds.delete_job("llm")
    deeds.delete_job("next", "Foreground")
    world.until(lambda: deeds.phase("waiting") == "Running", LONG)


def _requeue(deeds: Deeds) -> None:
    world = deeds.world
    world.start()
    world.run(2.0)
    deeds.apply(gang("llm", 6))
    world.until(lambda: deeds.phase("llm") == "Running", LONG)
    node = deeds.pod_of("llm", 1)["spec"]["nodeName"] if deeds.phase("llm") == "Running" else "r00-n01"
    gone = deeds.delete_node(node)
    world.run(20.0)
    deeds.add_node(gone)
    world.until(lambda: deeds.phase("llm") == "Running", LONG)


def _finish(deeds: Deeds) -> None:
    world = deeds.world
    _start(deeds)
    if deeds.phase("llm") == "Running":
        deeds.end(deeds.pod_of("llm", 0)["metadata"]["name"], code=3)
        world.run(1.0)
    world.until(lambda: deeds.phase("llm") == "Running", LONG)
    for pod in deeds.pods("llm"):
        deeds.end(pod["metadata"]["name"])
    world.until(lambda: deeds.phase("llm") == "Succeeded", LONG)


def _overtaken(deeds: Deeds) -> None:
    world = deeds.world
    _two(deeds)
    first = next((name for name in ("one", "two") if deeds.phase(name) == "Running"), "one")
    for pod in deeds.pods(first):
        deeds.end(pod["metadata"]["name"])
    # Its successor is on its way to be placed when somebody of higher priority comes.
    world.run(1.0)
    deeds.apply(gang("urgent", 4, priorityClassName="muster-high"))
    world.until(lambda: deeds.phase("urgent") == "Running", LONG / 2)


RUNS: dict[str, Run] = {
    "start": Run("a gang of three starts in one rack", Site(SMALL), _start),
    "contest": Run("two gangs of four want six nodes: one starts, the other waits", Site(SMALL), _two),
    "suspend": Run("a gang starts, is suspended, and resumed", Site(SMALL), _suspend),
    "delete": Run("two gangs are deleted, in two ways, and one that waited starts", Site(SMALL), _delete),
    "requeue": Run("a node is deleted under a gang that then waits until it is back", Site(SMALL), _requeue),
    "finish": Run("a pod of a gang fails, the next attempt ends well", Site(SMALL), _finish),
    "leaders": Run("a gang starts; a second operator follows the first", Site(SMALL, operators=2), _start),
    "overtaken": Run(
        "a gang that waited is placed when one of higher priority comes; two operators",
        Site(SMALL, operators=2),
        _overtaken,
    ),
    "repair": Run("the node of a gang is deleted and replaced in its rack", Site(ROOMY), breakdowns.repair),
    "second": Run("more nodes go while a gang is repaired", Site(ROOMY), breakdowns.second),
    "silent": Run(
        "a machine falls silent, is replaced and comes back; two operators",
        Site(ROOMY, operators=2, grace_ms=2_000),
        breakdowns.silent,
    ),
    "forced": Run(
        "a pod is taken out of the API on a silent machine, and nobody remembers it",
        Site(ROOMY, grace_ms=2_000),
        breakdowns.forced,
    ),
    "elastic": Run("only the pods that failed are made anew", Site(ROOMY), breakdowns.elastic),
    "restart": Run("a gang restarts where it was, and fails the second time", Site(SMALL), breakdowns.restart),
    "reserved": Run("a gang waits on its healthy nodes for a replacement", Site(ROOMY), breakdowns.reserved),
    "drain": Run("a health rule drains a node under a gang", Site(ROOMY), breakdowns.drain),
    "blame": Run("a node is blamed by a rule", Site(ROOMY), breakdowns.blame),
    "evicted": Run("a repaired gang is suspended and resumed", Site(ROOMY), breakdowns.evicted),
    "mended": Run(
        "the node of a gang is deleted; a second operator follows the first",
        Site(ROOMY, operators=2),
        breakdowns.repair,
    ),
    "rivals": Run("two gangs of four want six nodes, and two operators the lead", Site(SMALL, operators=2), _two),
}
