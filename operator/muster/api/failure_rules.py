"""Rules between the fields of a failure policy."""

from collections.abc import Mapping
from typing import Any

from muster.api.rules import Rule

RULE = "spec.failurePolicy.rules[*]"
WAYS = ("onExitCodes", "onTerminationMessage", "onPodConditions")


def _never(spec: Mapping[str, Any]) -> bool:
    if spec.get("failurePolicy", {}).get("restart") == "FailedPods":
        return True
    return all(role["template"]["spec"].get("restartPolicy", "Never") == "Never" for role in spec["roles"])


def _codes_need_never(spec: Mapping[str, Any]) -> bool:
    if not any("onExitCodes" in rule for rule in spec.get("failurePolicy", {}).get("rules", ())):
        return True
    return all(role["template"]["spec"].get("restartPolicy", "Never") == "Never" for role in spec["roles"])


_ALL_NEVER = "self.roles.all(r, !has(r.template.spec.restartPolicy) || r.template.spec.restartPolicy == 'Never')"

FAILURE_RULES = (
    Rule(
        path=RULE,
        cel="(has(self.onExitCodes) ? 1 : 0) + (has(self.onTerminationMessage) ? 1 : 0) + "
        "(has(self.onPodConditions) ? 1 : 0) == 1",
        message="give exactly one of onExitCodes, onTerminationMessage and onPodConditions; write one rule for each.",
        check=lambda rule: sum(way in rule for way in WAYS) == 1,
    ),
    Rule(
        path=RULE,
        cel="!has(self.counted) || self.counted || self.action == 'Restart'",
        message="counted: false is for action Restart alone: only restarts are counted. Remove it.",
        check=lambda rule: rule.get("counted", True) or rule["action"] == "Restart",
        field="counted",
    ),
    Rule(
        path=f"{RULE}.onExitCodes",
        cel="self.operator != 'In' || !(0 in self.values)",
        message="values must not hold 0 with operator In: a container that ends with 0 has not failed. Remove it.",
        check=lambda codes: codes["operator"] != "In" or 0 not in codes["values"],
        field="values",
    ),
    Rule(
        path="spec",
        cel=f"(has(self.failurePolicy) && self.failurePolicy.restart == 'FailedPods') || {_ALL_NEVER}",
        message="restartPolicy must be Never: a gang starts again as a whole. Remove it, or set failurePolicy.restart "
        "to FailedPods.",
        check=_never,
        field="roles",
    ),
    Rule(
        path="spec",
        cel="!has(self.failurePolicy) || !self.failurePolicy.rules.exists(r, has(r.onExitCodes)) || " + _ALL_NEVER,
        message="a rule on exit codes needs restartPolicy Never: kubelet would restart the container before anybody "
        "sees the code. Remove restartPolicy, or the rule.",
        check=_codes_need_never,
        field="failurePolicy.rules",
    ),
)
