"""What people do to their jobs."""

from __future__ import annotations

import random

from muster.sim.scene import Scene
from muster.sim.strikes.kinds import kind
from muster.sim.strikes.made import job, policy


@kind
def _job_comes(scene: Scene, draw: random.Random) -> None:
    """A job is created."""
    scene.deeds.apply(job(f"job-{next(scene.numbers)}", draw))


@kind
def _job_suspended(scene: Scene, draw: random.Random) -> None:
    """A job is suspended, and resumed."""
    name = scene.job(draw)
    scene.deeds.edit(name, {"suspend": True})
    if draw.random() < 0.8:
        scene.later(draw.uniform(0.01, 20), lambda: scene.deeds.edit(name, {"suspend": False}))


@kind
def _job_edited(scene: Scene, draw: random.Random) -> None:
    """A job is edited in a way that is always allowed."""
    scene.deeds.edit(scene.job(draw), {"failurePolicy": policy(draw), "startTimeoutSeconds": draw.randint(20, 60)})


@kind
def _job_resized(scene: Scene, draw: random.Random) -> None:
    """A job that waits is edited in its roles; one that does not refuses."""
    name = scene.job(draw)
    scene.deeds.edit(name, {"roles": job(name, draw)["spec"]["roles"]})


@kind
def _job_deleted(scene: Scene, draw: random.Random) -> None:
    """A job is deleted, in one of the three ways."""
    scene.deeds.delete_job(scene.job(draw), draw.choice(["Background", "Background", "Foreground", "Orphan"]))


@kind
def _job_replaced(scene: Scene, draw: random.Random) -> None:
    """A job is deleted and created anew under its name, at once."""
    name = scene.job(draw)
    scene.deeds.delete_job(name)
    scene.later(draw.choice([0.0, 0.05, 2.0]), lambda: scene.deeds.apply(job(name, draw)))
