"""The rules of a failure policy, put to one failed pod.

The idea is that of the pod failure policy of Kubernetes' Job (KEP-3329), for gangs.
"""

from __future__ import annotations

from collections.abc import Sequence

from muster.core.model import ContainerEnd, Failure, FailureRule


def first_match(rules: Sequence[FailureRule], failure: Failure) -> FailureRule | None:
    """The first rule that matches, None if none does."""
    return next((rule for rule in rules if matches(rule, failure)), None)


def matches(rule: FailureRule, failure: Failure) -> bool:
    """Whether one rule matches a failed pod."""
    if rule.operator:
        return any(_by_code(rule, end) for end in _named(rule, failure))
    if rule.contains:
        return any(rule.contains in end.message for end in _named(rule, failure))
    return any(condition in failure.conditions for condition in rule.conditions)


def _named(rule: FailureRule, failure: Failure) -> Sequence[ContainerEnd]:
    return [end for end in failure.ends if rule.container in ("", end.name)]


def _by_code(rule: FailureRule, end: ContainerEnd) -> bool:
    # As in a Job's policy, containers that ended well are not asked about.
    return end.exit_code != 0 and (end.exit_code in rule.codes) == (rule.operator == "In")
