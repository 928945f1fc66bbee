"""What a broken gang does next: which ranks are made anew, which of them move, and where to.

First the rules of its failure policy and its roles' `onFailure`, then what is broken. Where nodes broke the solver
finds the cheapest repair that keeps every hard constraint; what did not break keeps its node and its rank.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from muster.core.breaks import Claim, Fault
from muster.core.inventory import Inventory
from muster.core.lifecycle import Hold, Mend, Rank
from muster.core.model import (
    FailureAction,
    Found,
    Job,
    OnFailure,
    Placement,
    Restart,
    Shape,
    Verdict,
)
from muster.core.observe import Seen
from muster.core.world import World

MOST_REPAIRS = 5
"""Repairs one after the other without all pods running; then the gang goes back to the queue, with its pause."""


def mend(world: World, inventory: Inventory, job: Job, seen: Seen, now: int) -> Mend | Verdict | Hold | None:
    """How this gang goes on where it is; where it cannot the verdict with which it will wait (that on placing it anew;
    on its repair, if it would only wait for that), None where it is not to (its policy, a rule, too many repairs).
    `inventory` is not changed."""
    placement = job.status.placement
    if placement is None or not _repairable(world, job, placement, seen):
        return None
    if world.unasked(job):
        return Hold()
    renewed = _renewed(job, placement, seen)
    lost = {(b.role, b.rank) for b in seen.breaks if b.fault is Fault.NODE}
    claim = Claim(world, job)
    for role, rank in renewed - lost:
        where = placement.nodes[role][rank]
        if claim.unfit(world.nodes.get(where), role) is not None or where in claim.overlaps:
            lost.add((role, rank))
    if not lost and not seen.relabelled:  # a new attempt goes by the labels of its moment
        return Mend(placement.nodes, frozenset(renewed), (), _whole(placement, renewed), None)
    here = without(world, inventory, job)
    here.bar(b.node for b in seen.breaks if b.fault is Fault.NODE)
    here.bar(quarantined(job, now))
    found = world.solver.repair(here, world.shape(job), placement.nodes, frozenset(lost))
    if isinstance(found, Verdict):
        return found if job.policy.wait_for_repair else _anew(world, inventory, job, now) or found
    renewed |= set(found.moved)
    return Mend(found.nodes, frozenset(renewed), found.moved, _whole(placement, renewed), found)


def _anew(world: World, inventory: Inventory, job: Job, now: int) -> Verdict | None:
    """The verdict on placing the gang as a whole: why it will wait; None: it will not."""
    here = without(world, inventory, job)
    here.bar(quarantined(job, now))
    found = world.solver.place(here, world.shape(job))
    return found if isinstance(found, Verdict) else None


def _repairable(world: World, job: Job, placement: Placement, seen: Seen) -> bool:
    if seen.ordered(FailureAction.REQUEUE) or job.status.repairs >= MOST_REPAIRS:
        return False
    if any(b.fault is not Fault.OWN for b in seen.breaks) and not job.policy.repairs:
        return False
    # Pods are rendered only from what the commit recorded: new pod defaults come with the next attempt from the queue.
    return placement.roles_hash == world.roles_hash(job)


def _renewed(job: Job, placement: Placement, seen: Seen) -> set[Rank]:
    """The ranks whose pods are made anew: by the policy all or what broke, by `onFailure` the role of what failed. A
    process that may still run on a silent machine must not meet the new one: then all are."""
    everyone = {(role, rank) for role, nodes in enumerate(placement.nodes) for rank in range(len(nodes))}
    broken = {(b.role, b.rank) for b in seen.breaks}
    if any(b.silent for b in seen.breaks) or seen.finish_timeout:
        return everyone
    reach = set(broken)
    for b in seen.breaks:
        if b.fault is not Fault.OWN or job.roles[b.role].on_failure is not OnFailure.RESTART_ROLE:
            if job.policy.restart is Restart.GANG:
                return everyone
        else:
            reach |= {(b.role, rank) for rank in range(len(placement.nodes[b.role]))}
    return reach


def _whole(placement: Placement, renewed: Iterable[Rank]) -> bool:
    return len(frozenset(renewed)) == sum(len(nodes) for nodes in placement.nodes)


def without(world: World, inventory: Inventory, job: Job) -> Inventory:
    """A fork in which this job holds nothing."""
    here = inventory.fork()
    here.release(job.id)
    for pod in world.pods_of(job.id):
        here.free(pod.id)
    return here


def peculiar(job: Job, now: int) -> bool:
    """The job cannot be placed by its shape alone: it avoids nodes, or some are kept for it."""
    return job.status.reservation is not None or bool(quarantined(job, now))


def find(world: World, inventory: Inventory, job: Job, shape: Shape, now: int) -> Found | Verdict:
    """Where a waiting gang goes whose nodes are kept, or that avoids some: back to the nodes that are kept, where there
    is a replacement for the lost ones. `inventory` is not changed."""
    here = without(world, inventory, job)
    here.bar(quarantined(job, now))
    kept = job.status.reservation
    if kept is None or [len(nodes) for nodes in kept.nodes] != [role.count for role in shape.roles]:
        return world.solver.place(here, shape)  # the spec may have changed meanwhile
    claim = Claim(world, job)
    lost = {
        (role, rank)
        for role, nodes in enumerate(kept.nodes)
        for rank, node in enumerate(nodes)
        if (role, rank) in kept.lost or claim.unfit(world.nodes.get(node), role) is not None
    }
    if not lost:
        return world.solver.place(here, shape)
    found = world.solver.repair(here, shape, kept.nodes, frozenset(lost))
    if isinstance(found, Verdict):
        keeps = len({n for role, nodes in enumerate(kept.nodes) for r, n in enumerate(nodes) if (role, r) not in lost})
        return replace(found, numbers=(*found.numbers, ("kept", keeps)))
    liked = found.objective.preferred
    return Found(found.nodes, found.objective, found.proven, found.domains, found.least, liked)


def quarantined(job: Job, now: int) -> list[str]:
    """The nodes that the job avoids now because it has blamed them twice."""
    return [blame.node for blame in job.status.blamed if blame.until is not None and blame.until > now]
