"""S3: whether what a pod started may still run somewhere.

A pod has stopped when its last record shows all containers terminated, when it was never bound, or when its machine is
off by the administrator's word (the Node object is gone, or carries the out-of-service taint). On a machine that only
does not answer it may go on running; one that is out of the API also for a while after the machine answers again. With
the policy `Replace` it is given up after a time, which is counted from when this process first saw the node unready,
or, for a pod that somebody took out of the API meanwhile, from then: never by the clock of another machine.
"""

from __future__ import annotations

from muster.core.ghosts import ENDS_STRAYS
from muster.core.model import Ghost, Job, Node
from muster.core.pods import SeenPod
from muster.core.world import World

NEVER = 1 << 60
"""A patience (ms) that does not end."""


def patience(job: Job | None) -> int:
    """How long (ms) a machine that does not answer is waited for; nobody's pods are waited for for ever."""
    if job is None or not job.policy.replaces_unreachable:
        return NEVER
    return job.policy.unreachable_after


def silent(node: Node | None) -> bool:
    """The machine does not answer, and nobody has said that it is off."""
    return node is not None and not node.out_of_service and node.unready_since is not None


def off(world: World, name: str | None, patient: int, now: int) -> bool:
    """The machine of this name is off by the administrator's word, or has been silent for long enough."""
    if name is None:
        return False
    node = world.nodes.get(name)
    if node is None or node.out_of_service:
        return True
    since = world.silent_since(node)
    return since is not None and now >= since + patient


def stops_at(world: World, job: Job, seen: SeenPod) -> int | None:
    """When (ms) this pod counts as stopped: 0 for at once, None for not by time alone.

    That the pod garbage collector called a pod failed says nothing about its containers: on a silent machine they count
    as running for as long as those of any other pod.
    """
    pod = seen.pod
    if not pod.terminal:
        return None
    node = world.nodes.get(pod.node) if pod.collected and pod.node is not None else None
    if not silent(node):
        return 0
    return seen.since + patience(job)


def ghost_until(world: World, job: Job, ghost: Ghost) -> int:
    """Until when (ms) a pod that vanished from the API on a silent machine counts as running; 0: not any more."""
    node = world.nodes.get(ghost.node)
    if node is None or node.out_of_service:
        return 0
    if ghost.heard is not None:
        return ghost.heard + ENDS_STRAYS
    return ghost.since + patience(job)
