"""The stories that are told in simulated time, by name: what is disturbed by a plan's faults.

A story is a function of `Deeds`: it does things and lets time pass, and must not mind if what it waits for does not
come about, since faults may be in the way. Whether all went well is judged afterwards (`trial`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from muster.embedded.nodes.racks import Racks
from muster.sim.deeds import Deeds, gang
from muster.sim.world import Site

LONG = 120.0
"""Seconds that a story waits at most for one thing."""


@dataclass(frozen=True, slots=True)
class Run:
    """A story: what it shows, where it happens, and how it goes."""

    shows: str
    site: Site
    story: Callable[[Deeds], None]


SMALL = Racks(racks=2, nodes=3)


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


RUNS: dict[str, Run] = {
    "start": Run("a gang of three starts in one rack", Site(SMALL), _start),
    "contest": Run("two gangs of four want six nodes: one starts, the other waits", Site(SMALL), _two),
    "leaders": Run("a gang starts; a second operator follows the first", Site(SMALL, operators=2), _start),
}
