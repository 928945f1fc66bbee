"""Writes ClusterTopology.status: one task, by compare-and-set, rarely, and only what has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from muster.core.model import TopologySpec, TopologyStatus, Upsert
from muster.core.world import World
from muster.kube.backoff import Backoff
from muster.kube.client import LeaseStale
from muster.kube.errors import Answer, ApiError
from muster.kube.events import Subject
from muster.kube.parse_cluster import CLEAR_BLAME
from muster.kube.parse_meta import instant
from muster.worker.tools import Closed, Tools

log = logging.getLogger(__name__)

MOST_AVOIDED = 4096
"""Nodes that the status names, those last blamed first (as the CRD bounds it)."""
Tell = Callable[[Subject, str, str], None]
"""Takes what a warning is about, its reason in CamelCase and its message."""


def untold(_about: Subject, _reason: str, _message: str) -> None:
    """Nobody listens."""


class Api(Protocol):
    """What of `api.Api` is needed here."""

    async def write_topology_status(self, topology: TopologySpec, said: TopologyStatus) -> TopologySpec:
        """One attempt at the compare-and-set. Raises ApiError."""
        ...


class TopologyWriter:
    """Writes every `interval` seconds at most. Nothing is written for the built-in Auto, which is no object, and
    nothing before every kind is synced or while another process leads. `tell` hears of each node that all jobs avoid
    from now on, once."""

    def __init__(self, world: World, api: Api, tools: Tools, *, interval: float = 30.0, tell: Tell = untold) -> None:
        self._world = world
        self._api = api
        self._tools = tools
        self._interval = interval
        self._tell = tell
        self._told: set[tuple[str, int]] = set()
        """(node, since) of those avoided that somebody was told of."""
        self._written: tuple[str, TopologyStatus] | None = None
        """Uid and what it was last told."""

    async def run(self) -> None:
        """Write until the gate closes."""
        backoff = Backoff(self._tools.random, base=self._interval, cap=max(300.0, self._interval))
        delay = min(self._interval, 2.0)
        while True:
            try:
                await self._tools.gate.pause(delay)
                await self.write()
                backoff.reset()
                delay = self._interval
            except Closed:
                return
            except LeaseStale:
                self._tools.gate.stale()
                return
            except ApiError as error:
                log.log(
                    logging.INFO if error.answer in (Answer.CONFLICT, Answer.GONE) else logging.WARNING,
                    "ClusterTopology.status was not written: %s",
                    error,
                )
                delay = backoff.next()
            except Exception:
                log.exception("defect while writing ClusterTopology.status")
                delay = backoff.next()

    async def write(self) -> None:
        """Write if there is something new to say. Raises ApiError; whatever that means, the next look decides anew."""
        world = self._world
        if not (world.ready and world.leading):
            return
        self._announce(world)
        if not world.topology.uid:
            return
        topology, status = world.topology, world.topology_status()
        if self._written == (topology.uid, status):
            return
        self._tools.gate.check()
        shown = await self._api.write_topology_status(topology, status)
        self._written = (topology.uid, status)
        self._tools.put(Upsert(shown, self._tools.now()))

    def _announce(self, world: World) -> None:
        """An Event at each node that is newly avoided; what the status says already was told by whoever wrote it."""
        before = self._told | {(one.node, one.since) for one in world.topology.avoided}
        avoided = world.pasts.avoided()
        self._told = {(one.node, one.since) for one in avoided}
        for one in avoided:
            node = world.nodes.get(one.node)
            if node is not None and (one.node, one.since) not in before:
                self._tell(
                    Subject("v1", "Node", "", node.name, node.uid),
                    "AvoidedByAll",
                    f"{one.jobs} jobs blamed this node within 24 h: no job is placed on it until its annotation "
                    f"{CLEAR_BLAME} is a time after {instant(one.since)}",
                )


def topology_patch(topology: TopologySpec, said: TopologyStatus, now: int) -> dict[str, Any]:
    """The JSON merge patch of the status subresource; uid and resourceVersion are its preconditions. Lists are replaced
    as a whole; `now` (ms) is for conditions that turn."""
    before = _conditions(topology)
    ready = "False" if said.invalid else "True"
    reason, message = ("Invalid", said.invalid) if said.invalid else ("Valid", "in use")
    invalid = "True" if said.invalid else "False"
    return {
        "metadata": {"uid": topology.uid, "resourceVersion": str(topology.rv)},
        "status": {
            "observedGeneration": said.observed_generation,
            "detectedPreset": said.detected_preset or None,
            "levels": [
                {"name": name, "domains": domains, "nodes": nodes, "unlabelledNodes": unlabelled}
                for name, domains, nodes, unlabelled in said.levels
            ],
            "nodes": {
                "total": said.total,
                "eligible": said.eligible,
                "excluded": [{"cause": cause[:1024], "count": count} for cause, count in said.excluded[:64]],
            },
            "avoided": [
                {"node": one.node, "jobs": one.jobs, "since": instant(one.since)}
                for one in sorted(said.avoided, key=lambda one: (-one.since, one.node))[:MOST_AVOIDED]
            ],
            "conditions": [
                _condition(before, type_, value, reason, message, said.observed_generation, now)
                # Stalled is for kstatus, to which a Ready that is False alone means that all will be well soon.
                for type_, value in (("Ready", ready), ("Invalid", invalid), ("Stalled", invalid))
            ],
        },
    }


def _condition(
    before: Mapping[str, Mapping[str, Any]],
    type_: str,
    value: str,
    reason: str,
    message: str,
    generation: int,
    now: int,
) -> dict[str, Any]:
    old = before.get(type_, {})
    since = old.get("lastTransitionTime") if old.get("status") == value else None
    return {
        "type": type_,
        "status": value,
        "reason": reason,
        "message": message[:1024],
        "observedGeneration": max(generation, 0),
        "lastTransitionTime": since or instant(now),
    }


def _conditions(topology: TopologySpec) -> dict[str, Mapping[str, Any]]:
    """The conditions of the object as it was read, by type; whatever cannot be read is left out."""
    status = topology.manifest.get("status") if isinstance(topology.manifest, Mapping) else None
    listed = status.get("conditions") if isinstance(status, Mapping) else None
    known = listed if isinstance(listed, list) else []
    return {str(c["type"]): c for c in known if isinstance(c, Mapping) and "type" in c}
