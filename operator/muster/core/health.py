"""Health rules: by which conditions, labels and taints a node counts as unfit, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from muster.core.health_presets import preset_rules
from muster.core.model import HealthAction, HealthRule, Node, TopologySpec

HEALTH_TAINTS = "node.kubernetes.io/"
"""Taints of this prefix are Kubernetes' word on cordons and health: the empty healthy cluster has none."""

CONDITION, LABEL, TAINT = "condition", "label", "taint"


class Rulebook:
    """The health rules in force, found by what they look at. Equal rules make equal books."""

    __slots__ = ("_conditions", "_labels", "_taints", "causes", "rules")

    def __init__(self, rules: Iterable[HealthRule] = ()) -> None:
        self.rules = tuple(rules)
        self.causes = tuple(dict.fromkeys(rule.cause for rule in self.rules))
        """Each cause once, in the order of the rules."""
        self._conditions = frozenset(rule.key for rule in self.rules if rule.kind == CONDITION)
        self._labels = tuple(dict.fromkeys(rule.key for rule in self.rules if rule.kind == LABEL))
        self._taints = frozenset(rule.key for rule in self.rules if rule.kind == TAINT)

    @classmethod
    def of(cls, spec: TopologySpec | None) -> Rulebook:
        """Those of a ClusterTopology: as written, or else as its preset brings them."""
        if spec is None:
            return cls()
        return cls(preset_rules(spec.preset) if spec.health_rules is None else spec.health_rules)

    def is_health(self, taint: str) -> bool:
        """A taint of this key speaks of cordons or health: the empty healthy cluster has none."""
        return taint.startswith(HEALTH_TAINTS) or taint in self._taints

    def flaws(self, node: Node) -> Iterator[tuple[HealthRule, int | None]]:
        """The rules that match a node, in their order, each with since when (ms) what it looks at has been so, where
        the node says that."""
        shown = self._shown(node)
        if not shown:
            return
        for rule in self.rules:
            for value, since in shown.get((rule.kind, rule.key), ()):
                if rule.bad is None or value == rule.bad:
                    yield rule, since
                    break

    def flaw(self, node: Node) -> HealthRule | None:
        """The first rule that matches."""
        return next((rule for rule, _ in self.flaws(node)), None)

    def drains(self, node: Node) -> Iterator[tuple[HealthRule, int | None]]:
        """Those of `flaws` that order to drain."""
        return (found for found in self.flaws(node) if found[0].action is HealthAction.DRAIN)

    def cured(self, node: Node) -> Node:
        """The node without anything that speaks against its health: for a `what if`."""
        bad = {rule.key for rule, _ in self.flaws(node) if rule.kind == LABEL}
        return replace(
            node,
            cordoned=False,
            unready_since=None,
            out_of_service=False,
            conditions=(),
            labels={key: value for key, value in node.labels.items() if key not in bad} if bad else node.labels,
            taints=tuple(taint for taint in node.taints if not self.is_health(taint.key)),
        )

    def _shown(self, node: Node) -> dict[tuple[str, str], list[tuple[str, int | None]]]:
        """What the node shows of all that rules look at. Nearly always nothing."""
        shown: dict[tuple[str, str], list[tuple[str, int | None]]] = {}
        for type_, status, since in node.conditions:
            if type_ in self._conditions:
                shown.setdefault((CONDITION, type_), []).append((status, since))
        for key in self._labels:
            if key in node.labels:
                shown[LABEL, key] = [(node.labels[key], None)]
        for taint in node.taints:
            if taint.key in self._taints:
                shown.setdefault((TAINT, taint.key), []).append((taint.value, taint.since))
        return shown
