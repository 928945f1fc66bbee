"""What can be read off the world whenever somebody asks."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from muster.core.inventory import ABSENT, BLAMED, CAUSES, HELD, OUTSIDE, USABLE
from muster.core.model import Committed, Job, Phase
from muster.core.world import World

_BUCKETS = (1, 4, 16, 64, 256, 1024)
_SEGMENTS = (1, 4, 8, 16)
"""Nodes; 16 of a rack's 18 is what most gangs that talk over NVLink are cut into."""
_STATES = {
    Phase.RUNNING: "running",
    Phase.PLACED: "starting",
    Phase.STARTING: "starting",
    Phase.STOPPING: "starting",
    Phase.REPAIRING: "repairing",
}


def nodes_bucket(pods: int) -> str:
    """The size class of a gang, by pods (one a node, where gangs are large): `1`, `2-4`, `5-16`, ... `1025+`."""
    least = 1
    for most in _BUCKETS:
        if pods <= most:
            return str(most) if least == most else f"{least}-{most}"
        least = most + 1
    return f"{least}+"


def accelerators(world: World) -> dict[str, int]:
    """Accelerators by state: `running`, `starting` and `repairing` of live claims (the last until all pods run again),
    `reserved` for the nodes kept for gangs that wait for a replacement, `stranded` what is free on nodes that get no
    new pods, `idle` what is free on the others. What other people's pods use is in none of them."""
    names = set(world.topology.accelerators)
    held: Tally[str] = Tally({"running": 0, "starting": 0, "repairing": 0, "reserved": 0, "stranded": 0, "idle": 0})
    for job in world.jobs():
        if not isinstance(job, Job) or not world.serves(job.namespace):
            continue
        each = [sum(n for name, n in role.requests if name in names) for role in job.roles]
        if job.status.live:
            held[_state(job.status)] += sum(role.count * n for role, n in zip(job.roles, each, strict=True))
        elif (kept := job.status.reservation) is not None:
            # The spec may have got other roles meanwhile.
            ranks = [len(nodes) for nodes in kept.nodes]
            for role, _ in kept.lost:
                ranks[role] -= 1
            held["reserved"] += sum(count * n for count, n in zip(ranks, each, strict=False))
    causes = world.inventory.causes()
    usable = causes == USABLE
    stranded = ~usable & (causes != OUTSIDE) & (causes != ABSENT)
    for name in names:
        if (room := world.inventory.room(name)) is not None:
            held["idle"] += int(room[0][usable].sum())
            held["stranded"] += int(room[0][stranded].sum())
    return dict(held)


def _state(status: Committed) -> str:
    repair = status.last_repair
    if status.phase is Phase.STARTING and repair is not None and repair.attempt == status.attempt:
        return "repairing"
    return _STATES.get(status.phase, "starting")


class WorldGauges(Collector):
    """What can be read off the world whenever somebody asks."""

    def __init__(self, world: World, lag: Callable[[], Mapping[str, float]]) -> None:
        self._world = world
        self._lag = lag

    def describe(self) -> Iterable[Metric]:
        """Nothing is collected at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One pass over the jobs that are served."""
        waiting: Tally[tuple[str, str]] = Tally()
        excess: Tally[str] = Tally()
        phases: Tally[str] = Tally({phase.value: 0 for phase in Phase})
        for job in self._world.jobs():
            if not self._world.serves(job.namespace):
                continue
            status = job.status
            phases[status.phase.value] += 1
            if status.phase is Phase.PENDING:
                reason = status.waiting.verdict.reason.value if status.waiting is not None else "Unjudged"
                pods = sum(role.count for role in job.roles) if isinstance(job, Job) else 1
                waiting[reason, nodes_bucket(pods)] += 1
            for level, n in _excess(status):
                excess[level] += n
        yield _family("muster_jobs", "TrainingJobs by phase", ["phase"], {(p,): n for p, n in phases.items()})
        yield _family("muster_waiting_jobs", "Jobs in the queue by why they wait", ["reason", "nodes_bucket"], waiting)
        yield _family(
            "muster_excess_domains",
            "Domains that live gangs touch beyond the least that the empty cluster would need",
            ["level"],
            {(level,): n for level, n in excess.items()},
        )
        inventory = self._world.inventory
        placeable = self._world.solver.whole_nodes(inventory, self._world.topology.accelerators, _SEGMENTS)
        yield _family(
            "muster_placeable_gang_nodes",
            "Nodes of the largest gang of whole free nodes that one domain of a level can take now, in segments of so "
            "many nodes, each in one domain of the narrowest level",
            ["level", "segment"],
            {(level, str(size)): n for (level, size), n in placeable.items()},
        )
        nodes = dict(zip(inventory.words, np.bincount(inventory.causes(), minlength=len(inventory.words)), strict=True))
        bad = (CAUSES[BLAMED], CAUSES[HELD], *inventory.rulebook.causes)
        yield _family(
            "muster_nodes_blamed",
            "Nodes that get no new pods for their health rule, their flapping, or the blame of several jobs",
            ["cause"],
            {(cause,): nodes[cause] for cause in bad},
        )
        lag = {(kind,): seconds for kind, seconds in self._lag().items()}
        yield _family("muster_cache_lag_seconds", "Since the watch of a kind was last heard", ["kind"], lag)


def _excess(status: Committed) -> Iterator[tuple[str, int]]:
    if not status.live or status.placement is None:
        return
    least = dict(status.placement.least)
    for level, touched in status.placement.domains:
        yield level, max(0, touched - least.get(level, touched))


def _family(name: str, text: str, labels: list[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for labelled, value in sorted(values.items()):
        family.add_metric(labelled, value)
    return family
