"""What happens to pods, and what kubelets make of them."""

from __future__ import annotations

import random
from functools import partial

from muster.sim.scene import Scene
from muster.sim.strikes.kinds import kind


@kind
def _pod_fails(scene: Scene, draw: random.Random) -> None:
    """A pod ends with an exit code: its own fault, or what a rule says."""
    scene.deeds.end(scene.pod(draw, running=True), draw.choice([1, 9, 75]))


@kind
def _pods_fail(scene: Scene, draw: random.Random) -> None:
    """Many pods fail at nearly the same time, as a collective does."""
    for _ in range(3):
        scene.later(draw.uniform(0, 0.5), lambda: scene.deeds.end(scene.pod(draw, running=True), 1))


@kind
def _out_of_memory(scene: Scene, draw: random.Random) -> None:
    """A container is killed (137)."""
    scene.deeds.end(scene.pod(draw, running=True), 137, "OOMKilled")


@kind
def _pod_succeeds(scene: Scene, draw: random.Random) -> None:
    """One pod ends well before the others."""
    scene.deeds.end(scene.pod(draw, running=True))


@kind
def _gang_succeeds(scene: Scene, draw: random.Random) -> None:
    """All pods of a job end well."""
    for pod in scene.deeds.pods(scene.job(draw)):
        if pod["status"].get("phase") == "Running":
            name = pod["metadata"]["name"]
            scene.later(draw.uniform(0, 1), partial(scene.deeds.end, name))


@kind
def _pod_deleted(scene: Scene, draw: random.Random) -> None:
    """Somebody deletes a pod."""
    scene.deeds.delete_pod(scene.pod(draw))


@kind
def _pod_forced(scene: Scene, draw: random.Random) -> None:
    """Somebody deletes a pod by force."""
    scene.deeds.delete_pod(scene.pod(draw), 0)


@kind
def _new_pod_deleted(scene: Scene, draw: random.Random) -> None:
    """Somebody deletes pods of a gang that has not started."""

    def gated() -> None:
        found = [pod["metadata"]["name"] for pod in scene.deeds.pods() if pod["spec"].get("schedulingGates")]
        if found:
            scene.deeds.delete_pod(draw.choice(sorted(found)))
        elif scene.world.now < until:
            scene.later(0.01, gated)

    until = scene.world.now + 20
    gated()


@kind
def _disrupted(scene: Scene, draw: random.Random) -> None:
    """A pod is marked as a target of disruption and fails."""
    pod = scene.pod(draw, running=True)
    scene.deeds.pod_condition(pod, "DisruptionTarget")
    scene.later(draw.uniform(0, 3), lambda: scene.deeds.end(pod, 143))


@kind
def _kubelet_refuses(scene: Scene, draw: random.Random) -> None:
    """A kubelet refuses pods that it gets."""
    scene.wish(draw.randint(1, 3), refuse="UnexpectedAdmissionError")


@kind
def _image_missing(scene: Scene, draw: random.Random) -> None:
    """An image cannot be pulled, until somebody pushes it."""
    scene.wish(draw.randint(1, 3), image_pull_backoff="true", message="not found")


@kind
def _dies_at_start(scene: Scene, draw: random.Random) -> None:
    """Pods fail as soon as they run, while others are still starting."""
    scene.wish(draw.randint(1, 2), run_seconds="0", exit_code="1")


@kind
def _slow_start(scene: Scene, draw: random.Random) -> None:
    """Some pods need long to start."""
    scene.wish(draw.randint(1, 3), start_seconds=str(draw.randint(5, 25)))


@kind
def _slow_stop(scene: Scene, draw: random.Random) -> None:
    """Some pods do not heed SIGTERM until they are killed."""
    scene.wish(draw.randint(1, 4), stop_seconds="100")


@kind
def _slow_kubelets(scene: Scene, draw: random.Random) -> None:
    """All kubelets are slow for a while."""
    scene.deeds.kubelets(draw.uniform(1, 8), draw.uniform(0.5, 8))
    usual = scene.world.site.delays
    scene.later(draw.uniform(10, 40), lambda: scene.deeds.kubelets(usual.start, usual.stop))


@kind
def _foreign_pod(scene: Scene, draw: random.Random) -> None:
    """Somebody else's pod takes a node, past every claim; it may go again."""
    name = f"foreign-{next(scene.numbers)}"
    scene.deeds.foreign(name, scene.node(draw), gpus=draw.choice([1, 4]))
    if draw.random() < 0.8:
        scene.later(draw.uniform(2, 60), lambda: scene.deeds.delete_pod(name, 0))
