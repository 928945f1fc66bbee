"""Rules between fields, each written once: CEL and sentence for the API server, a function for everyone else.

One table of examples (`tests/api/examples.py`) is put to both sides.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from muster.api.base import Schema
from muster.api.structural import FieldError

# Words that CEL reserves; the API server has them as fields only when escaped.
_CEL_WORDS = frozenset(
    {"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"}
    | {"namespace", "null", "package", "return", "true", "var", "void", "while"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A condition on the value at `path`.

    `path` is dotted from the object's root ("" is the root itself), `[*]` stands for every entry of a list. The rule
    holds when `cel` is true, equally when `check(value)` is; with `transition` set, `check(value, old value)`, and it
    is judged on updates only. `field`, below `path`, is what the error points at; `forbidden` says that the field
    itself is refused, not its value. `message` is static: a messageExpression is refused for its cost.
    """

    path: str
    cel: str
    message: str
    check: Callable[..., bool]
    field: str = ""
    forbidden: bool = False
    transition: bool = False

    def schema(self) -> Schema:
        """Return the entry of `x-kubernetes-validations`."""
        out: Schema = {"rule": self.cel, "message": self.message}
        if self.field:
            out["fieldPath"] = "." + self.field
        if self.forbidden:
            out["reason"] = "FieldValueForbidden"
        return out


def refuse(path: str, field: str, message: str) -> Rule:
    """Return the rule that `field`, directly below `path`, is absent."""
    name = f"__{field}__" if field in _CEL_WORDS else field
    return Rule(
        path=path,
        cel=f"!has(self.{name})",
        message=message,
        check=lambda value: field not in value,
        field=field,
        forbidden=True,
    )


def attach(schema: Schema, rules: Iterable[Rule]) -> None:
    """Write the rules into the structural schema of a custom resource, in place."""
    for rule in rules:
        node = schema
        for name, every in _steps(rule.path):
            node = node["properties"][name]
            node = node["items"] if every else node
        node.setdefault("x-kubernetes-validations", []).append(rule.schema())


def broken(rules: Iterable[Rule], value: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[FieldError]:
    """Return the rules that `value`, of the right shape and with defaults set, breaks.

    Without `old` the rules on one object are judged, with it only those on the change from `old` to `value`; the
    latter stand at paths without lists.
    """
    errors = []
    for rule in rules:
        if rule.transition != (old is not None):
            continue
        for path, found in _find(value, rule.path):
            before = [item for _, item in _find(old, rule.path)] if old is not None else []
            if not rule.check(found, *before):
                errors.append(FieldError(f"{path}.{rule.field}".strip("."), rule.message))
    return errors


def _steps(path: str) -> Iterator[tuple[str, bool]]:
    for name, every in re.findall(r"([^.\[]+)(\[\*\])?", path):
        yield name, bool(every)


def _find(value: Any, path: str) -> list[tuple[str, Any]]:
    """Return the concrete path and the value of everything at `path`; what is absent has none."""
    found = [("", value)]
    for name, every in _steps(path):
        found = [(f"{at}.{name}".strip("."), item[name]) for at, item in found if name in item]
        if every:
            found = [(f"{at}[{index}]", item) for at, items in found for index, item in enumerate(items)]
    return found
