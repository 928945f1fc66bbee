"""CEL: a small cover over the library that evaluates it, with what Kubernetes adds and without what is not there.

A rule that uses anything unknown raises `Unsupported` when it is compiled, not a wrong answer when it runs. Values are
handed to the library once for all rules of a place, and only the fields that the rules name: handing over costs a
hundred times what a rule does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import cel

Mask = dict[str, "Mask | None"]
"""Fields that are needed: None is everything below."""

OPERATORS = frozenset(
    (
        "_&&_", "_||_", "!_", "-_", "_?_:_", "_==_", "_!=_", "_<_",
        "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_", "_%_",
        "@in", "_in_", "in", "_[_]", "@not_strictly_false",
    )
)  # fmt: skip
LIBRARY = frozenset(
    ["contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "type", "dyn", "bool"]
)
_LITERAL = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\""""
_SIZE = re.compile(rf"({_LITERAL})|\bsize\(")
_COUNT = "muster_size"
_NAME = r"[A-Za-z_]\w*"
_PATH = re.compile(rf"({_LITERAL})|(?<![\w.])(self|oldSelf)\b((?:\s*\.\s*{_NAME}(?!\w)(?!\s*\())*)")


class Unsupported(ValueError):  # noqa: N818 -- a refusal with a reason, raised to be shown
    """An expression that cannot be compiled here; the text says why."""


class EvaluationError(Exception):
    """An expression that has no value for these arguments; the text says why, as far as can be in cel-go's words."""


def _size(value: Any) -> int:
    # The library counts the bytes of a string, CEL its characters.
    return len(value)


def _smallest(value: list[Any]) -> Any:
    if not value:
        raise ValueError("min called on empty list")
    return min(value)


def _largest(value: list[Any]) -> Any:
    if not value:
        raise ValueError("max called on empty list")
    return max(value)


def _index_of(value: Any, wanted: Any) -> int:
    if isinstance(value, str):
        return value.find(wanted)
    return value.index(wanted) if wanted in value else -1


def _last_index_of(value: Any, wanted: Any) -> int:
    if isinstance(value, str):
        return value.rfind(wanted)
    return next((i for i in range(len(value) - 1, -1, -1) if value[i] == wanted), -1)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    _COUNT: _size,
    "sum": sum,
    "min": _smallest,
    "max": _largest,
    "isSorted": lambda value: value == sorted(value),
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "lowerAscii": lambda value: re.sub(r"[A-Z]+", lambda found: found[0].lower(), value),
    "upperAscii": lambda value: re.sub(r"[a-z]+", lambda found: found[0].upper(), value),
    "trim": lambda value: value.strip(),
    "replace": lambda value, old, new: value.replace(old, new),
    "split": lambda value, separator: value.split(separator) if separator else list(value),
    "join": lambda value, separator="": separator.join(value),
}
"""What Kubernetes' CEL has beyond the language, as far as it is offered here."""


class Values:
    """Arguments of expressions, handed over once for all that are evaluated with them."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        # The library asks for dicts.
        self._context = cel.Context(variables=dict(arguments), functions=FUNCTIONS)

    def evaluate(self, expression: Expression) -> Any:
        """The value of an expression. Raises EvaluationError."""
        try:
            return expression.program.execute(self._context)
        except KeyError as error:
            raise EvaluationError(f"no such key: {error.args[0] if error.args else ''}") from error
        except Exception as error:
            raise EvaluationError(str(error).partition("\n")[0]) from error


class Expression:
    """A compiled expression. Raises Unsupported where it does not parse or uses what is not offered."""

    __slots__ = ("program", "source", "uses_old")

    def __init__(self, source: str) -> None:
        self.source = source
        counted = _SIZE.sub(lambda found: found[1] or f"{_COUNT}(", source)
        try:
            self.program = cel.compile(counted)
        except ValueError as error:
            raise Unsupported(f"compilation failed: {error}") from error
        used = self.program.references()
        names = set(used["functions"]) - OPERATORS - LIBRARY - set(FUNCTIONS)
        if names:
            listed = ", ".join(sorted(names))
            raise Unsupported(f"compilation failed: the embedded server does not know {listed}")
        self.uses_old = "oldSelf" in used["variables"]


def needed(sources: Iterable[str]) -> dict[str, Mask | None]:
    """Which fields of `self` and `oldSelf` some expressions name; None for a variable that is used as a whole."""
    found: dict[str, Mask | None] = {}
    for source in sources:
        for match in _PATH.finditer(source):
            if match[1] is None:
                _add(found, [match[2], *(part.strip() for part in match[3].split(".")[1:])])
    return found


def _add(mask: Mask, path: list[str]) -> None:
    for depth, name in enumerate(path):
        if depth == len(path) - 1:
            mask[name] = None
            return
        below = mask.setdefault(name, {})
        if below is None:
            return
        mask = below


def masked(value: Any, mask: Mask | None) -> Any:
    """The part of a value that a mask names; the rest is shared, not copied."""
    if mask is None or not isinstance(value, dict):
        return value
    held = cast("dict[str, Any]", value)
    return {name: masked(held[name], below) for name, below in mask.items() if name in held}
