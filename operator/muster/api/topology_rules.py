"""Rules of a ClusterTopology between fields."""

from collections.abc import Mapping
from typing import Any

from muster.api.rules import Rule

NODE = "node"
HEALTH = "spec.healthRules[*]"
SIGNS = ("condition", "label", "taint")
STATUSES = ("True", "False", "Unknown")


def _distinct(levels: list[Mapping[str, Any]], field: str) -> bool:
    values = [level[field] for level in levels if field in level]
    return len(values) == len(set(values))


def _node_last(levels: list[Mapping[str, Any]]) -> bool:
    return all(level["name"] != NODE for level in levels[:-1])


TOPOLOGY_RULES = (
    Rule(
        path="",
        cel="self.metadata.name == 'default'",
        message="metadata.name must be default: no other ClusterTopology is used; rename it.",
        check=lambda topology: topology["metadata"]["name"] == "default",
        field="metadata.name",
    ),
    Rule(
        path=HEALTH,
        cel="(has(self.condition) ? 1 : 0) + (has(self.label) ? 1 : 0) + (has(self.taint) ? 1 : 0) == 1",
        message="give exactly one of condition, label and taint; write one rule for each.",
        check=lambda rule: sum(sign in rule for sign in SIGNS) == 1,
    ),
    Rule(
        path=HEALTH,
        cel="!has(self.condition) || (has(self.badWhen) && self.badWhen in ['True', 'False', 'Unknown'])",
        message='badWhen of a condition must be "True", "False" or "Unknown", in quotes: which of them is bad depends '
        "on who sets the condition.",
        check=lambda rule: "condition" not in rule or rule.get("badWhen") in STATUSES,
        field="badWhen",
    ),
    Rule(
        path=HEALTH,
        cel="!has(self.afterSeconds) || self.afterSeconds == 0 || self.action == 'Drain'",
        message="afterSeconds is for action Drain alone: Avoid lets pods stay. Remove it.",
        check=lambda rule: rule.get("afterSeconds", 0) == 0 or rule["action"] == "Drain",
        field="afterSeconds",
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
        "!(has(self.nodeLabel) || has(self.placeholderValues) || has(self.fillLimit) || "
        "(has(self.boundary) && self.boundary))",
        message="the level node is the node itself and takes only a weight: remove its other fields.",
        check=lambda level: (
            level["name"] != NODE
            or not ({"nodeLabel", "placeholderValues", "fillLimit"} & level.keys() or level.get("boundary"))
        ),
    ),
)
