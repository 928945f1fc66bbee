"""Storms: many kinds of fault at once, drawn from a seed, and then calm, in which every job must come to its end.

Not every storm knows every kind: a few kinds by themselves meet in ways that they never would among seventy (swarm
testing, Groce et al., ISSTA 2012). A storm is a list of strikes, each with numbers of its own: leaving one out changes
no other, so a failing storm can be made small.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import partial

from muster.embedded.nodes.podlife import Delays
from muster.embedded.nodes.racks import Racks
from muster.sim import trial
from muster.sim.deeds import TOPOLOGIES, Deeds
from muster.sim.faulty import Chooser
from muster.sim.plan import Plan, Unreadable
from muster.sim.runs import Run
from muster.sim.scene import RULES, Scene
from muster.sim.strikes import KINDS
from muster.sim.strikes.made import job
from muster.sim.trial import Outcome
from muster.sim.weather import Sky, Weather
from muster.sim.world import Site

_STORM = re.compile(r"storm@(\d+)((?: -\d+)*)")


@dataclass(frozen=True, slots=True)
class Storm:
    """A storm by its seed; `without` some of its strikes, by number."""

    seed: int
    without: frozenset[int] = frozenset()

    def __str__(self) -> str:
        return " ".join((f"storm@{self.seed}", *(f"-{number}" for number in sorted(self.without))))

    @classmethod
    def parse(cls, text: str) -> Storm:
        """Read what `str` wrote. Raises Unreadable."""
        found = _STORM.fullmatch(text.strip())
        if found is None:
            raise Unreadable(f"{text!r} is no storm: write storm@SEED, or storm@SEED -3 -7 to leave out strikes")
        return cls(int(found[1]), frozenset(int(word[1:]) for word in found[2].split()))

    def strikes(self) -> list[tuple[float, str]]:
        """All strikes, those left out too: when (seconds after the beginning), and their kind."""
        draw = random.Random(f"storm/{self.seed}")
        kinds = draw.sample(list(KINDS), draw.choice([3, 6, 12, 24, len(KINDS)]))
        found: list[tuple[float, str]] = []
        at = 3.0
        lasting, gap = draw.choice([15.0, 40.0, 90.0]), draw.choice([0.3, 2.0, 6.0])
        while at < lasting and len(found) < 40:
            at += draw.expovariate(1 / gap)
            found.append((at, draw.choice(kinds)))
        return found


def run(storm: Storm) -> Outcome:
    """Let a storm pass, and judge what it left."""
    sky = Sky()
    draw = random.Random(f"site/{storm.seed}")
    site = Site(
        Racks(racks=draw.choice([2, 3]), nodes=draw.choice([3, 4])),
        operators=draw.choice([1, 2, 2]),
        delays=Delays(start=draw.choice([0.1, 0.5, 2.0]), stop=draw.choice([0.0, 0.2, 2.0])),
        grace_ms=draw.choice([500, 4_000]),
    )

    def choose(plan: Plan, seat: int) -> Chooser:
        return Weather(sky, seat, random.Random(f"weather/{storm.seed}/{seat}"))

    def story(deeds: Deeds) -> None:
        _pass(deeds, storm, sky)

    told = Run("a storm", site, story)
    return trial.run(Plan("storm", storm.seed), {"storm": told}, choose)


def _pass(deeds: Deeds, storm: Storm, sky: Sky) -> None:
    world = deeds.world
    head = {"apiVersion": "muster.dev/v1alpha1", "kind": "ClusterTopology", "metadata": {"name": "default"}}
    deeds.call("POST", TOPOLOGIES, head | {"spec": {"preset": "GB300", "healthRules": list(RULES)}})
    for seat in world.seats:
        if isinstance(seat.chooser, Weather):
            seat.chooser.now = lambda: world.now
    scene = Scene(deeds, sky)
    draw, strikes = random.Random(f"jobs/{storm.seed}"), storm.strikes()
    for number in range(draw.randint(1, 6)):
        made = job(f"first-{number}", draw)
        at = draw.choice([0.0, 2.5, draw.uniform(0, strikes[-1][0])])
        scene.later(at, partial(deeds.apply, made))
    for number, (at, kind) in enumerate(strikes, 1):
        if number not in storm.without:
            scene.later(at, partial(_strike, scene, storm, number, kind))
    world.start()
    scene.play()
    world.journal.note("storm: it is over; everything is put right")
    scene.heal()


def _strike(scene: Scene, storm: Storm, number: int, kind: str) -> None:
    scene.world.journal.note(f"storm: strike {number}, {kind}")
    KINDS[kind](scene, random.Random(f"strike/{storm.seed}/{number}"))


def smaller(storm: Storm) -> Storm:
    """A storm of which no single strike can be left out without it passing well; itself, if it does."""
    if run(storm).well:
        return storm
    found = storm
    for number in range(len(storm.strikes()), 0, -1):
        if number not in found.without:
            tried = Storm(found.seed, found.without | {number})
            if not run(tried).well:
                found = tried
    return found
