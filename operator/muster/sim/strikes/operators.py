"""What happens to the operators and to clocks."""

from __future__ import annotations

import random

from muster.sim.scene import Scene
from muster.sim.strikes.kinds import kind


@kind
def _crash(scene: Scene, draw: random.Random) -> None:
    """An operator is killed, and started again."""
    draw.choice(scene.world.seats).crash()


@kind
def _freeze(scene: Scene, draw: random.Random) -> None:
    """An operator stands still past its lease, and goes on."""
    draw.choice(scene.world.seats).freeze(draw.uniform(16, 40))


@kind
def _short_freeze(scene: Scene, draw: random.Random) -> None:
    """An operator stands still within its lease."""
    draw.choice(scene.world.seats).freeze(draw.uniform(0.1, 9))


@kind
def _frozen_with_old_news(scene: Scene, draw: random.Random) -> None:
    """The leader stands still, and hears old news first when it goes on."""
    seats = [seat for seat in scene.world.seats if seat.leading] or scene.world.seats
    seat, seconds = draw.choice(seats), draw.uniform(1, 30)
    seat.freeze(seconds)
    seat.counts.silent_until = max(seat.counts.silent_until, scene.world.now + seconds + 3)


@kind
def _partition(scene: Scene, draw: random.Random) -> None:
    """An operator does not reach the API server."""
    scene.deeds.partition(draw.choice(scene.world.seats).number, draw.uniform(1, 40))


@kind
def _clock_jumps(scene: Scene, draw: random.Random) -> None:
    """The wall clocks of all machines are set forward."""
    scene.world.jump(draw.choice([2_000, 30_000, 400_000]))


@kind
def _clock_skew(scene: Scene, draw: random.Random) -> None:
    """The wall clock of one operator goes wrong, by seconds or minutes, ahead or behind."""
    draw.choice(scene.world.seats).skew = draw.choice([-300_000, -2_000, 0, 1_500, 30_000, 600_000])
