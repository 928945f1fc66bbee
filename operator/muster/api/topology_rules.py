"""Rules of a ClusterTopology between fields."""

from collections.abc import Mapping
from typing import Any

from muster.api.rules import Rule, refuse

NODE = "node"


def _distinct(levels: list[Mapping[str, Any]], field: str) -> bool:
    values = [level[field] for level in levels if field in level]
    return len(values) == len(set(values))


def _node_last(levels: list[Mapping[str, Any]]) -> bool:
    return all(level["name"] != NODE for level in levels[:-1])


TOPOLOGY_RULES = (
    refuse(
        "spec",
        "healthRules",
        "spec.healthRules is not supported yet: only the Ready condition and taints make a node unfit. Remove it.",
    ),
    Rule(
        path="spec",
        cel="self.preset != 'Custom' || (has(self.levels) && size(self.levels) > 0)",
        message="preset Custom needs spec.levels: list them broadest first, or choose another preset.",
        check=lambda spec: spec["preset"] != "Custom" or bool(spec.get("levels")),
        field="levels",
    ),
    Rule(
        path="spec",
        cel="self.preset == 'Custom' || !has(self.levels) || size(self.levels) == 0",
        message="spec.levels is for preset Custom only: set preset to Custom, or remove levels.",
        check=lambda spec: spec["preset"] == "Custom" or not spec.get("levels"),
        field="levels",
    ),
    Rule(
        path="spec",
        cel="!has(self.levels) || self.levels.all(l, self.levels.exists_one(m, m.name == l.name))",
        message="two levels have the same name: rename one.",
        check=lambda spec: _distinct(spec.get("levels", []), "name"),
        field="levels",
    ),
    Rule(
        path="spec",
        cel="!has(self.levels) || self.levels.all(l, !has(l.nodeLabel) || "
        "self.levels.exists_one(m, has(m.nodeLabel) && m.nodeLabel == l.nodeLabel))",
        message="two levels use the same nodeLabel: each label names one level; remove one of them.",
        check=lambda spec: _distinct(spec.get("levels", []), "nodeLabel"),
        field="levels",
    ),
    Rule(
        path="spec",
        cel="!has(self.levels) || !self.levels.exists(l, l.name == 'node') || "
        "self.levels[size(self.levels) - 1].name == 'node'",
        message="the level node is the node itself, the nearest level of all: move it to the end.",
        check=lambda spec: _node_last(spec.get("levels", [])),
        field="levels",
    ),
    Rule(
        path="spec.levels[*]",
        cel="self.name == 'node' || has(self.nodeLabel)",
        message="a level needs nodeLabel, the node label whose value names the domain: add it.",
        check=lambda level: level["name"] == NODE or "nodeLabel" in level,
        field="nodeLabel",
    ),
    Rule(
        path="spec.levels[*]",
        cel="self.name != 'node' || "
        "!(has(self.nodeLabel) || has(self.placeholderValues) || has(self.fillLimit) || self.boundary)",
        message="the level node is the node itself and takes only a weight: remove its other fields.",
        check=lambda level: (
            level["name"] != NODE
            or not ({"nodeLabel", "placeholderValues", "fillLimit"} & level.keys() or level["boundary"])
        ),
    ),
)
