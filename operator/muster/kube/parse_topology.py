"""ClusterTopology -> TopologySpec. What cannot be used is said in `invalid`: then nothing new is placed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from muster.api.base import DAY
from muster.api.clustertopology import ClusterTopologySpec, PodDefaults, Preset
from muster.core.model import Avoided, HealthAction, HealthRule, Level, TopologySpec
from muster.kube.parse_meta import millis, version
from muster.kube.parse_values import canonical_hash, integer, items, mapping, optional_integer, text
from muster.kube.quantity import Malformed, amount_of

_PRESETS = frozenset(get_args(Preset))
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SIGNS = ("condition", "label", "taint")
_STATUSES = ("True", "False", "Unknown")
_DEFAULTS = ClusterTopologySpec()
_POD_DEFAULTS: dict[str, Any] = PodDefaults().model_dump(by_alias=True)


def topology_from(obj: Mapping[str, Any]) -> TopologySpec:
    """The record of a ClusterTopology. Never raises."""
    manifest = dict(obj)
    raw = mapping(manifest.get("metadata"))
    manifest["metadata"] = {k: v for k, v in raw.items() if k != "managedFields"}
    written = manifest.get("spec")
    spec = mapping(written)
    preset = text(spec.get("preset"), _DEFAULTS.preset)
    selector = mapping(spec.get("nodeSelector"))
    accelerators = items(spec.get("acceleratorResources")) or tuple(_DEFAULTS.accelerator_resources)
    levels = tuple(_level(mapping(level)) for level in items(spec.get("levels")))
    defaults = pod_defaults(manifest)
    try:
        defaults_hash = canonical_hash(defaults)
        invalid = _invalid(preset, levels, spec, defaults) if written is None or isinstance(written, Mapping) else ""
    except (TypeError, ValueError, RecursionError):
        defaults_hash, invalid = "", "spec.podDefaults: holds something that is not JSON; apply it again"
    if written is not None and not isinstance(written, Mapping):
        invalid = "spec: cannot be read; apply it again"
    return TopologySpec(
        name=text(raw.get("name")),
        uid=text(raw.get("uid")),
        rv=version(raw.get("resourceVersion")),
        generation=integer(raw.get("generation")),
        preset=preset,
        levels=levels,
        node_selector=tuple(sorted((str(k), text(v)) for k, v in selector.items())),
        accelerators=tuple(text(name) for name in accelerators if text(name)),
        invalid=invalid,
        pod_defaults=defaults_hash,
        manifest=manifest,
        health_rules=_health_rules(spec),
        avoided=_avoided(manifest),
    )


def _health_rules(spec: Mapping[str, Any]) -> tuple[HealthRule, ...] | None:
    """The rules as written, without those that `_invalid` complains about; None where the preset's hold."""
    if spec.get("healthRules") is None:
        return None
    rules = [mapping(rule) for rule in items(spec["healthRules"])]
    return tuple(_health_rule(rule) for rule in rules if not _wrong_rule(rule))


def _health_rule(rule: Mapping[str, Any]) -> HealthRule:
    (kind,) = [sign for sign in _SIGNS if rule.get(sign) is not None]
    bad = rule.get("badWhen")
    action = HealthAction(rule["action"])
    return HealthRule(kind, rule[kind], None if bad is None else bad, action, integer(rule.get("afterSeconds")) * 1000)


def _wrong_rule(rule: Mapping[str, Any]) -> str:
    """Field and sentence of the first fault of a health rule, empty if there is none."""
    signs = [sign for sign in _SIGNS if rule.get(sign) is not None]
    if len(signs) != 1:
        return ": give exactly one of condition, label and taint"
    if not text(rule[signs[0]]):
        return f".{signs[0]}: must be a text; name the {signs[0]}"
    bad, after = rule.get("badWhen"), rule.get("afterSeconds")
    if signs == ["condition"] and bad not in _STATUSES:
        return '.badWhen: must be "True", "False" or "Unknown", in quotes'
    if bad is not None and not isinstance(bad, str):
        return ".badWhen: must be a text; put it in quotes"
    if rule.get("action") not in [action.value for action in HealthAction]:
        return ".action: must be Avoid or Drain"
    if after is not None and not 0 <= integer(after, -1) <= DAY:
        return f".afterSeconds: must be a whole number from 0 to {DAY}"
    if after and rule["action"] != "Drain":
        return ".afterSeconds: is for action Drain alone; remove it"
    return ""


def _avoided(manifest: Mapping[str, Any]) -> tuple[Avoided, ...]:
    """status.avoided, as far as it can be read."""
    listed = [mapping(entry) for entry in items(mapping(manifest.get("status")).get("avoided"))]
    read = [(text(e.get("node")), integer(e.get("jobs")), millis(text(e.get("since")))) for e in listed]
    return tuple(Avoided(node, jobs, since) for node, jobs, since in read if node and since is not None)


def pod_defaults(manifest: Any) -> dict[str, Any]:
    """spec.podDefaults with the API's defaults filled in, which are those of GB300."""
    written = mapping(mapping(mapping(manifest).get("spec")).get("podDefaults"))
    defaults = _POD_DEFAULTS | {name: value for name, value in written.items() if value is not None}
    # Rendering must not stumble over what the schema would have refused.
    return defaults | {
        "tolerations": [dict(t) for t in items(defaults["tolerations"]) if isinstance(t, Mapping)],
        "env": [dict(e) for e in items(defaults["env"]) if isinstance(e, Mapping) and text(e.get("name"))],
        "resources": dict(mapping(defaults["resources"])),
    }


def _level(level: Mapping[str, Any]) -> Level:
    label = text(level.get("nodeLabel"))
    return Level(
        name=text(level.get("name")),
        labels=(label,) if label else (),
        boundary=level.get("boundary") is True,
        placeholders=tuple(text(value) for value in items(level.get("placeholderValues"))),
        fill_limit=optional_integer(level.get("fillLimit")),
        weight=optional_integer(level.get("weight")),
    )


def _invalid(preset: str, levels: tuple[Level, ...], spec: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Field and sentence of the first fault, empty if there is none."""
    if preset not in _PRESETS:
        return f"spec.preset: {preset[:40]} is not known; write one of {', '.join(sorted(_PRESETS))}"
    if preset == "Custom" and not levels:
        return "spec.levels: preset Custom needs levels; list them broadest first"
    if preset != "Custom" and levels:
        return "spec.levels: is for preset Custom only; set preset to Custom, or remove levels"
    for i, level in enumerate(levels):
        path = f"spec.levels[{i}]"
        if not _LABEL.fullmatch(level.name):
            return f"{path}.name: must be a DNS label; rename the level"
        if level.name in [other.name for other in levels[:i]]:
            return f"{path}.name: {level.name} is the name of an earlier level too; rename one"
        if level.name == "node":
            if i + 1 < len(levels):
                return f"{path}: node is the node itself, the nearest level of all; move it to the end"
            if level.labels:
                return f"{path}.nodeLabel: the level node takes only a weight; remove it"
        elif not level.labels:
            return f"{path}.nodeLabel: is missing; add the node label whose value names the domain"
        elif level.labels in [other.labels for other in levels[:i]]:
            return f"{path}.nodeLabel: {level.labels[0]} names an earlier level too; remove one of them"
        if (level.weight or 0) < 0:
            return f"{path}.weight: must be 0 or more"
        if level.fill_limit is not None and level.fill_limit < 1:
            return f"{path}.fillLimit: must be 1 or more"
    if not isinstance(spec.get("healthRules") or [], list | tuple):
        return "spec.healthRules: must be a list of rules"
    for i, rule in enumerate(items(spec.get("healthRules"))):
        wrong = _wrong_rule(mapping(rule))
        if wrong:
            return f"spec.healthRules[{i}]{wrong}"
    if not isinstance(spec.get("nodeSelector") or {}, Mapping):
        return "spec.nodeSelector: must be labels and their values"
    for name, value in mapping(defaults.get("resources")).items():
        quantity = amount_of(name, value) if isinstance(value, str | int | float) else Malformed("is not a quantity")
        if isinstance(quantity, Malformed):
            return f"spec.podDefaults.resources[{name}]: {quantity.message}"
    return ""


DEFAULT_TOPOLOGY = topology_from({"metadata": {"name": "default"}, "spec": {"preset": "Auto"}})
"""What holds while no ClusterTopology named `default` is applied."""
