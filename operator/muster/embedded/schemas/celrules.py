"""x-kubernetes-validations: the CEL rules of a schema against a value, and what a broken one says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from muster.embedded.schemas import fielderrors as errors
from muster.embedded.schemas.cel import EvaluationError, Values, masked
from muster.embedded.schemas.structural import Node, Rule, for_cel
from muster.embedded.schemas.validation import NOTHING, by_keys, child, key_of, same
from muster.embedded.wire import Cause

LONGEST_MESSAGE = 5120
"""Characters of a messageExpression; a longer one gives way to the message."""


def broken(node: Node, value: Any, old: Any = NOTHING, path: str = "") -> Iterator[Cause]:
    """Every rule that does not hold for a value.

    old -- what was there before, NOTHING where it is new. Transition rules (with oldSelf) are for what was there; the
        others are not asked again for what did not change.
    """
    if value is None or not node.deep_rules:
        return
    unchanged = old is not NOTHING and same(value, old)
    if unchanged and not node.deep_transitions:
        return
    if node.rules:
        yield from _here(node, value, old, unchanged, path)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) and not node.atomic_map else {}
        for name, item in cast("dict[str, Any]", value).items():
            part = node.properties.get(name)
            if part is not None:
                yield from broken(part, item, before.get(name, NOTHING), child(path, name))
            elif node.additional is not None:
                yield from broken(node.additional, item, before.get(name, NOTHING), f"{path}[{name}]")
    elif isinstance(value, list) and node.items is not None and node.items.deep_rules:
        known = by_keys(node, old)
        for index, item in enumerate(value):
            was = known.get(key_of(node, item), NOTHING) if known and isinstance(item, dict) else NOTHING
            yield from broken(node.items, item, was, f"{path}[{index}]")


def _here(node: Node, value: Any, old: Any, unchanged: bool, path: str) -> Iterator[Cause]:
    fresh = old is NOTHING or old is None
    rules = [rule for rule in node.rules if not (fresh if rule.expression.uses_old else unchanged)]
    if not rules:
        return
    arguments = {"self": _argument(node, value, "self")}
    if not fresh and "oldSelf" in node.masks:
        arguments["oldSelf"] = _argument(node, old, "oldSelf")
    values = Values(arguments)
    for rule in rules:
        try:
            if values.evaluate(rule.expression) is True:
                continue
        except EvaluationError as error:
            kind = node.types[0] if len(node.types) == 1 else ""
            yield errors.invalid(path, kind, f"{error} evaluating rule: {rule.message.removeprefix('failed rule: ')}")
            continue
        yield _fault(rule, values, node, value, path)


def _argument(node: Node, value: Any, name: str) -> Any:
    return masked(for_cel(node, value), node.masks.get(name, {}))


def _fault(rule: Rule, values: Values, node: Node, value: Any, path: str) -> Cause:
    where = path
    if rule.path:
        where = f"{path}{rule.path}" if rule.path.startswith("[") else child(path, rule.path)
    words = rule.message
    if rule.words is not None:
        try:
            said = values.evaluate(rule.words)
        except EvaluationError:
            said = ""
        # What is empty, too long or of several lines is no message.
        if isinstance(said, str) and said.strip() and len(said) <= LONGEST_MESSAGE and "\n" not in said:
            words = said.strip()
    match rule.reason:
        case "FieldValueForbidden":
            return errors.forbidden(where, words)
        case "FieldValueRequired":
            return errors.required(where, words)
        case "FieldValueDuplicate":
            return errors.duplicate(where, value)
        case _:
            shown = errors.OMIT if node.types in (("object",), ("array",)) else value
            return errors.invalid(where, shown, words)
