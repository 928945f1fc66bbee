"""Everything that the API shows at one revision of a history, and what a check of it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from muster.safety.objects import Object, Placement, is_gang_pod, placement_of
from muster.safety.record import Event

KINDS = ("TrainingJob", "Pod", "Node", "ClusterTopology", "Service")
SLACK_SECONDS = 2.0
"""How far a decision may lag behind what the API shows, where a stranger changed it: caches are allowed to."""


@dataclass(slots=True)
class World:
    """Everything the API shows at one revision; objects by kind and uid (nodes by name)."""

    objects: dict[str, dict[str, Object]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    placements: dict[str, dict[int, Placement]] = field(default_factory=dict)
    """By job uid, every placement seen, by attempt; jobs that are gone stay."""
    pods_of: dict[str, dict[str, Object]] = field(default_factory=dict)
    """By job uid, the gang pods that exist, by uid."""
    node_past: dict[str, list[tuple[float, Object | None]]] = field(default_factory=dict)
    """By name, every state of a node with the time it came; None: gone."""
    gaps: list[tuple[str, int, int]] = field(default_factory=list)
    slack: float = SLACK_SECONDS
    """How far decisions may lag here."""

    @property
    def jobs(self) -> dict[str, Object]:
        """TrainingJobs, by uid."""
        return self.objects["TrainingJob"]

    @property
    def pods(self) -> dict[str, Object]:
        """Pods, by uid."""
        return self.objects["Pod"]

    @property
    def nodes(self) -> dict[str, Object]:
        """Nodes, by name."""
        return self.objects["Node"]

    def apply(self, event: Event) -> Object | None:
        """Take the event in; return what the object was before."""
        kept = self.objects[event.kind]
        key = event.name if event.kind == "Node" else event.uid
        before = kept.get(key)
        gone = event.type == "DELETED"
        if gone:
            kept.pop(key, None)
        else:
            kept[key] = event.object
        if event.kind == "Node":
            self.node_past.setdefault(key, []).append((event.at, None if gone else event.object))
        elif event.kind == "Pod" and is_gang_pod(event.object):
            mates = self.pods_of.setdefault(event.object["metadata"]["labels"]["muster.dev/job-uid"], {})
            if gone:
                mates.pop(key, None)
            else:
                mates[key] = event.object
        elif event.kind == "TrainingJob" and not gone:
            found = placement_of(event.object)
            if found is not None:
                self.placements.setdefault(key, {})[found.attempt] = found
        return before

    def nodes_at(self, at: float) -> dict[str, Object]:
        """Return the nodes as they were at a moment of our clock."""
        past = {}
        for name, states in self.node_past.items():
            then = None
            for came, state in states:
                if came > at:
                    break
                then = state
            if then is not None:
                past[name] = then
        return past

    def moments(self, at: float) -> list[float]:
        """The moments up to this one, the latest first, by whose nodes a decision may go: `slack` before it, and every
        change of a node since."""
        since = at - self.slack
        changes = {came for states in self.node_past.values() for came, _ in states if since < came < at}
        return [*sorted(changes, reverse=True), since]

    def blind(self, kind: str, rv: int) -> bool:
        """Return whether changes of a kind at that revision went unseen."""
        return any(each == kind and first <= rv <= last for each, first, last in self.gaps)


class Check(Protocol):
    """One invariant."""

    invariant: str

    def see(self, event: Event, before: Object | None, world: World) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Yield (sentence, about) for what this event breaks; QUIET asks for the final checks."""
        ...
