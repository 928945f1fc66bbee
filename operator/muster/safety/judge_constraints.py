"""S4: hard constraints hold at every commit of a placement, by the labels of that moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from muster.safety.objects import Object, Placement, labels, placement_of, title
from muster.safety.record import QUIET, Event
from muster.safety.world import World

Found = Iterator[tuple[str, tuple[str, ...]]]
TOPOGRAPH = "fabric.topograph.run/tier-"
OLDER = "network.topology.nvidia.com/"
PRESET = (
    ("region", ("topology.kubernetes.io/region",), True),
    ("zone", ("topology.kubernetes.io/zone",), True),
    ("spine", (TOPOGRAPH + "1", OLDER + "spine"), False),
    ("leaf", (TOPOGRAPH + "0", OLDER + "leaf"), False),
    ("nvlink", ("nvidia.com/gpu.clique",), False),
)
"""The preset GB300, which is also what Auto finds on the nodes of `muster.embedded.nodes.racks`."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level of the topology: its label, and whether no gang may span two of its domains."""

    name: str
    label: str
    boundary: bool
    placeholders: tuple[str, ...] = ()


class Constraints:
    """S4, at each commit of a placement."""

    invariant = "S4"

    def see(self, event: Event, before: Object | None, world: World) -> Found:
        """See `replay.Check`."""
        if event.kind != "TrainingJob" or event.type in (QUIET, "DELETED") or event.listed:
            return
        placement = placement_of(event.object)
        if placement is None or (before is not None and placement == placement_of(before)):
            return
        now = self._broken(event.object, placement, world.nodes, world)
        if not now:
            return
        # A label changed by others a moment ago may not have been seen at the commit: then that commit
        # was right by the labels it could know, and the operator has to notice before Starting.
        for moment in world.moments(event.at):
            if not self._broken(event.object, placement, world.nodes_at(moment), world):
                return
        for sentence in now:
            yield f"{title(event.object)} attempt {placement.attempt}: {sentence}", (event.name, event.uid)

    def _broken(self, job: Object, placement: Placement, nodes: Mapping[str, Object], world: World) -> list[str]:
        levels = levels_of(world.objects["ClusterTopology"].values(), nodes.values())
        if levels is None:
            return []
        everyone = [name for names in placement.nodes.values() for name in names]
        unknown = sorted(set(everyone) - set(nodes))
        if unknown:
            return [f"there is no node {', '.join(unknown[:3])}"]
        broken = []
        for level in levels:
            if level.boundary:
                broken += _together(everyone, level.name, levels, nodes, f"boundary {level.name}", needed=False)
        spec = job["spec"]
        broken += _required(spec.get("topology"), everyone, levels, nodes, "the job")
        for role in spec["roles"]:
            names = placement.nodes.get(role["name"], ())
            broken += _required(role.get("topology"), names, levels, nodes, f"role {role['name']}")
            if len(names) != role["replicas"]:
                broken.append(f"role {role['name']} has {len(names)} nodes for {role['replicas']} pods")
            for segment in (role.get("topology") or {}).get("segments") or ():
                for first, last in _cuts(segment, len(names)):
                    who = f"segment {role['name']}/{first}-{last - 1}"
                    broken += _together(names[first:last], segment["level"], levels, nodes, who)
        return broken


def levels_of(topologies: Any, nodes: Any) -> list[Level] | None:
    """Return the levels in force, broadest first; None where this watcher does not know them (other presets)."""
    spec: dict[str, Any] = next((each["spec"] for each in topologies if each["metadata"]["name"] == "default"), {})
    given = spec.get("levels")
    if given:
        return [
            Level(
                each["name"],
                each.get("nodeLabel", ""),
                bool(each.get("boundary")),
                tuple(each.get("placeholderValues") or ()),
            )
            for each in given
            if each["name"] != "node"
        ]
    if spec.get("preset", "Auto") not in ("Auto", "GB300", "Azure"):
        return None
    carried = {label for node in nodes for label in labels(node)}
    return [
        Level(name, next(label for label in choice if label in carried), boundary)
        for name, choice, boundary in PRESET
        if any(label in carried for label in choice)
    ]


def _required(
    topology: Mapping[str, Any] | None, names: Sequence[str], levels: list[Level], nodes: Mapping[str, Object], who: str
) -> list[str]:
    level = ((topology or {}).get("required") or {}).get("level")
    return _together(names, level, levels, nodes, f"{who} requires one {level}") if level else []


def _together(
    names: Sequence[str],
    level: str,
    levels: list[Level],
    nodes: Mapping[str, Object],
    who: str,
    needed: bool = True,
) -> list[str]:
    """Return what is wrong if these nodes are not in one domain of a level (a domain is its whole path)."""
    if level == "node":
        return [f"{who}: it is on {len(set(names))} nodes"] if len(set(names)) > 1 else []
    depth = next((number for number, each in enumerate(levels) if each.name == level), None)
    if depth is None:
        return [f"{who}: there is no level {level}"]
    paths: dict[tuple[str, ...], str] = {}
    for name in names:
        path = []
        for each in levels[: depth + 1]:
            value = labels(nodes[name]).get(each.label)
            if not value or value in each.placeholders:
                if needed and each.name == level:
                    return [f"{who}: node {name} has no label {each.label}"]
                value = f"\0{name}"
            path.append(value)
        paths.setdefault(tuple(path), name)
    if len(paths) < 2:
        return []
    shown = [f"{node} in {path[-1]}" for path, node in list(paths.items())[:3]]
    return [f"{who}: it lies in {len(paths)} domains: {', '.join(shown)}"]


def _cuts(segment: Mapping[str, Any], count: int) -> list[tuple[int, int]]:
    """Return [first, last) of the ranks of each segment."""
    cuts = []
    first = 0
    sizes = list(segment.get("sizes") or ())
    while first < count:
        size = int(sizes.pop(0)) if sizes else int(segment.get("size") or count - first)
        cuts.append((first, min(count, first + size)))
        first += size
    return cuts
