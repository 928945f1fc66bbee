"""The order of the waiting, and the reasons to wait that do not need the solver.

Order: priority, then age, then uid. A job that does not fit does not block those behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from muster.core import lifecycle
from muster.core.eligibility import unfit
from muster.core.inventory import HOST_PORT
from muster.core.line import Order, order_of
from muster.core.model import Found, Job, Quota, Reason, Rejected, RoleShape, Shape, Verdict
from muster.core.world import World

REFUSED = {"quota": Reason.NAMESPACE_QUOTA}
"""Waiting reason by the class of a refused dry run; every other class is PolicyRefused."""


LOOKED_AT = 64
"""Of the nodes that gained room since a back-off began, the latest so many are looked at."""


@dataclass(frozen=True, slots=True)
class Held:
    """Not to be put to the solver now. `verdict` None: nothing to tell, it goes on in a moment by itself. `asking`: it
    only waits for the answer of its dry run, and nobody behind it is to take its room meanwhile."""

    verdict: Verdict | None
    asking: bool = False


def order(world: World, job: Job) -> Order:
    """Sorts the waiting: higher priority first, then the older, then by uid."""
    return order_of(job, world.priority_classes)


def held(world: World, job: Job | Rejected, now: int) -> Held | None:
    """Why this pending job is not to be put to the solver, if so."""
    if isinstance(job, Rejected):
        return Held(Verdict(Reason.INVALID, (("field", job.path), ("message", job.message))))
    problem = world.topology.invalid or world.inventory.levels.invalid
    if problem:
        return Held(Verdict(Reason.INVALID, (("field", "ClusterTopology/default"), ("message", problem))))
    known = world.priority_classes.get(job.priority_class)
    if known is None:
        return Held(Verdict(Reason.PRIORITY_CLASS_MISSING, (("class", job.priority_class),)))
    if known.preempts:
        return Held(Verdict(Reason.PRIORITY_CLASS_PREEMPTS, (("class", job.priority_class),)))
    status = job.status
    if lifecycle.pauses(job, now) and not cut_short(world, job):
        return Held(status.waiting.verdict if status.waiting is not None else None)
    return _not_admitted(world, job) or _still_there(world, job)


def cut_short(world: World, job: Job) -> bool:
    """Its back-off is for lost room, and since its status was written a node that could take one of its pods gained
    room or came back. Whether the gang fits is then for the solver to say."""
    if not lifecycle.lost_its_room(job):
        return False
    roles = world.shape(job).roles
    return any(
        _takes(world, node, role)
        for node in islice(world.freed.since(world.written_at(job.id)), LOOKED_AT)
        for role in roles
    )


def _takes(world: World, node: str, role: RoleShape) -> bool:
    known = world.inventory.node(node)
    if known is None or world.inventory.cause(node) or unfit(known, role.filter) is not None:
        return False
    free = dict(world.inventory.free_on(node))
    return all(free.get(name, 0) >= amount for name, amount in role.requests if not name.startswith(HOST_PORT))


def _not_admitted(world: World, job: Job) -> Held | None:
    for i in range(len(job.roles)):
        admission = world.admission(job.namespace, world.template_key(job, i))
        if admission is None:
            return Held(None, asking=True)
        if admission.refused:
            reason = REFUSED.get(admission.refused, Reason.POLICY_REFUSED)
            numbers = (("role", job.roles[i].name), ("message", admission.message))
            return Held(Verdict(reason, numbers))
    return None


def _still_there(world: World, job: Job) -> Held | None:
    """A pod of an earlier attempt that was made late, or a live attempt whose needs are not known yet."""
    if any(not pod.terminal for pod in world.pods_of(job.id)):
        return Held(None)
    return None


class QuotaBook:
    """What the ResourceQuotas of each namespace leave, what live attempts have still to create taken off.

    Gated pods count against quota, so two gangs that create at once under a quota that holds one would lock each other
    out: one attempt creates at a time.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._creating: dict[str, str] = {}
        for job in world.placed():
            if not job.deleting and _missing(world, job):
                self._creating.setdefault(job.namespace, job.key)

    def held(self, job: Job, shape: Shape) -> Held | None:
        """Why the job cannot be created under its namespace's quotas now."""
        quotas = list(self._world.quotas(job.namespace))
        if not quotas:
            return None
        if job.namespace in self._creating:
            return Held(None)
        for quota in quotas:
            short = _short(quota, shape)
            if short is not None:
                resource, needs, left = short
                numbers = (("quota", quota.name), ("resource", resource), ("needs", needs), ("left", left))
                return Held(Verdict(Reason.NAMESPACE_QUOTA, numbers))
        return None

    def take(self, job: Job) -> None:
        """This job has been placed: it creates now."""
        self._creating.setdefault(job.namespace, job.key)


def _missing(world: World, job: Job) -> bool:
    made = sum(1 for pod in world.pods_of(job.id) if pod.born == job.status.attempt)
    return made < sum(role.count for role in job.roles)


def _short(quota: Quota, shape: Shape) -> tuple[str, int, int] | None:
    """The first resource of the quota that the gang would exceed: (name, needed, left)."""
    used = dict(quota.used)
    for name, hard in quota.hard:
        needs = sum(role.count * dict(role.requests).get(name, 0) for role in shape.roles)
        left = hard - used.get(name, 0)
        if needs and needs > left:
            return name, needs, max(0, left)
    return None


def prefers_to_wait(job: Job, found: Found, now: int) -> bool:
    """The placement touches more domains of the preferred level than the empty cluster would need, and the job may
    still wait for better."""
    if job.policy.prefer_wait <= 0 or found.objective.preferred <= found.preferred_least:
        return False
    since = job.status.placeable_since
    return since is None or now < since + job.policy.prefer_wait


def short_of_preferred(found: Found) -> Verdict:
    """The verdict on a job that prefers to wait."""
    numbers = (("domains", found.objective.preferred), ("least", found.preferred_least))
    return Verdict(Reason.WAITING_FOR_PREFERRED, numbers)


def unknown_claims(world: World) -> bool:
    """Some live attempt has still to create pods whose real requests are not known: nothing may be placed beside it."""
    return any(
        job.status.live and not job.deleting and _missing(world, job) and world.unasked(job) for job in world.placed()
    )
