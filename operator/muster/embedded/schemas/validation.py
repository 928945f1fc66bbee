"""Structural validation: a value against its schema, in the words and the order of kube-openapi's validator.

On an update, what did not change is not judged again (CRD validation ratcheting): an object stays valid when its
definition becomes stricter. Parts of a list correspond to old ones only in lists of type `map`, by their keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from muster.embedded.ages import milliseconds
from muster.embedded.schemas import fielderrors as errors
from muster.embedded.schemas.structural import Node
from muster.embedded.wire import Cause

NOTHING = object()
"""In place of an old value where there is none to compare with."""
_sorted = msgspec.json.Encoder(order="sorted").encode
_INT32 = 2**31
_INT64 = 2**63


def same(new: Any, old: Any) -> bool:
    """Whether two decoded values are the same JSON; unlike `==`, which takes 1, 1.0 and true for each other."""
    return new is old or (new == old and _sorted(new) == _sorted(old))


def validate(node: Node, value: Any, old: Any = NOTHING, prefix: str = "") -> list[Cause]:
    """Every fault of a value, structure only.

    old -- what was there before, NOTHING where it is new.
    prefix -- the path of `value` in its object; the messages name paths below it, as the real server's do.
    """
    if old is not NOTHING and same(value, old):
        return []
    # What an alternative and the schema around it both say is said once.
    return list(dict.fromkeys(_Judge(prefix).judge(node, value, old, "")))


def child(path: str, name: str) -> str:
    """The path of a field."""
    return f"{path}.{name}" if path else name


def kind_of(value: Any) -> str:
    """The JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def fits(kinds: tuple[str, ...], value: Any) -> bool:
    """Whether a value is of one of these types; 1.0 is an integer and 1 a number."""
    found = kind_of(value)
    if found in kinds or (found == "integer" and "number" in kinds):
        return True
    return found == "number" and "integer" in kinds and value.is_integer()


def by_keys(node: Node, items: Any) -> dict[bytes, Any]:
    """The entries of a list of type `map`, by their keys; empty for other lists."""
    if node.list_type != "map" or not isinstance(items, list):
        return {}
    out: dict[bytes, Any] = {}
    for item in items:
        if isinstance(item, dict):
            out.setdefault(key_of(node, item), item)
    return out


def key_of(node: Node, item: dict[str, Any]) -> bytes:
    """What identifies an entry of a list of type `map`."""
    # An absent key is its default.
    inner = node.items.properties if node.items is not None else {}
    return _sorted([item[k] if k in item else inner[k].default if k in inner else None for k in node.list_keys])


class _Judge:
    """One validation; `prefix` is put before the paths of the errors and not into their messages."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def _at(self, path: str) -> str:
        if not path:
            return self._prefix
        return f"{self._prefix}.{path}" if self._prefix else path

    def judge(self, node: Node, value: Any, old: Any, path: str) -> Iterator[Cause]:
        if old is not NOTHING and same(value, old):
            return
        if node.types and not fits(node.types, value) and not (value is None and node.nullable):
            yield self._mistyped(node, value, path)
        if value is not None:
            yield from self._alternatives(node, value, path)
            match value:
                case str():
                    yield from self._string(node, value, path)
                case bool():
                    pass
                case int() | float():
                    yield from self._number(node, value, path)
                case list():
                    yield from self._array(node, value, old, path)
                case _:
                    pass
        if node.enum is not None and not any(same(value, each) for each in node.enum):
            yield errors.unsupported(self._at(path), value, node.enum)
        if isinstance(value, dict):
            yield from self._object(node, cast("dict[str, Any]", value), old, path)

    def _mistyped(self, node: Node, value: Any, path: str) -> Cause:
        if node.format and value is not None and not isinstance(value, str | list):
            # Of a type with a format the validator names the formats.
            found = {"integer": "int64", "number": "float64"}.get(kind_of(value), "")
            return errors.wrong_type(self._at(path), path, node.format, found)
        return errors.wrong_type(self._at(path), path, ",".join(node.types), kind_of(value))

    def _alternatives(self, node: Node, value: Any, path: str) -> Iterator[Cause]:
        if node.any_of:
            best = self._best(node.any_of, value, path)
            if best:
                yield errors.invalid("", "", f"{errors.quoted(path)} must validate at least one schema (anyOf)")
                yield from best
        if node.one_of:
            passed = sum(not [*self.judge(each, value, NOTHING, path)] for each in node.one_of)
            if passed != 1:
                found = f"Found {passed} valid alternatives" if passed else "Found none valid"
                why = f"{errors.quoted(path)} must validate one and only one schema (oneOf). {found}"
                yield errors.invalid("", "", why)
                if not passed:
                    yield from self._best(node.one_of, value, path)
        if node.all_of:
            faults = [[*self.judge(each, value, NOTHING, path)] for each in node.all_of]
            for each in faults:
                yield from each
            if any(faults):
                none = ". None validated" if all(faults) else ""
                yield errors.invalid("", "", f"{errors.quoted(path)} must validate all the schemas (allOf){none}")
        if node.none_of is not None and not [*self.judge(node.none_of, value, NOTHING, path)]:
            yield errors.invalid("", "", f"{errors.quoted(path)} must not validate the schema (not)")

    def _best(self, nodes: tuple[Node, ...], value: Any, path: str) -> list[Cause]:
        """The faults by the first alternative, none if any is met. kube-openapi tells of the one that fits most."""
        faults = [[*self.judge(each, value, NOTHING, path)] for each in nodes]
        return faults[0] if all(faults) else []

    def _string(self, node: Node, value: str, path: str) -> Iterator[Cause]:
        most, least = node.bounds.get("maxLength"), node.bounds.get("minLength")
        # The first of these that fails is the only one that is told.
        if most is not None and len(value) > most:
            yield errors.too_long(self._at(path), most)
        elif least is not None and len(value) < least:
            yield errors.invalid(self._at(path), value, f"{path} in body should be at least {least} chars long")
        elif node.pattern is not None and not node.pattern.search(value):
            yield errors.invalid(self._at(path), value, f"{path} in body should match '{node.pattern_text}'")
        if node.format == "date-time" and milliseconds(value) is None:
            yield errors.wrong_type(self._at(path), path, "date-time", value)

    def _number(self, node: Node, value: float, path: str) -> Iterator[Cause]:
        bounds = node.bounds
        limit = _INT32 if node.format == "int32" else _INT64
        if node.types[:1] == ("integer",) and not (-limit <= value < limit and value == int(value)):
            form = f"with format {node.format}" if node.format else "(default format)"
            yield errors.invalid("", "", f"Checked value must be of type integer {form} in {path}")
        if isinstance(value, int):
            # Against an integer bounds are cut to integers, a factor of one half to none.
            bounds = {name: b if isinstance(b, bool) else int(b) for name, b in bounds.items()}
        factor = bounds.get("multipleOf")
        if factor is not None and factor <= 0:
            why = f"factor MultipleOf declared for {path} must be positive: {errors.number(factor)}"
            yield errors.invalid(self._at(path), factor, why)
        elif factor is not None and value % factor:
            yield self._bound(path, value, "a multiple of", factor)
        least, over = bounds.get("minimum"), bounds.get("exclusiveMinimum")
        if least is not None and (value < least or (over and value == least)):
            yield self._bound(path, value, "greater than" if over else "greater than or equal to", least)
        most, under = bounds.get("maximum"), bounds.get("exclusiveMaximum")
        if most is not None and (value > most or (under and value == most)):
            yield self._bound(path, value, "less than" if under else "less than or equal to", most)

    def _bound(self, path: str, value: float, words: str, bound: float) -> Cause:
        shown = str(bound) if isinstance(value, int) else errors.number(bound)
        return errors.invalid(self._at(path), value, f"{path} in body should be {words} {shown}")

    def _array(self, node: Node, value: list[Any], old: Any, path: str) -> Iterator[Cause]:
        if node.items is not None:
            before = by_keys(node, old)
            for index, item in enumerate(value):
                known = before.get(key_of(node, item), NOTHING) if before and isinstance(item, dict) else NOTHING
                yield from self.judge(node.items, item, known, f"{path}[{index}]")
        least, most = node.bounds.get("minItems"), node.bounds.get("maxItems")
        if least is not None and len(value) < least:
            yield errors.invalid(self._at(path), len(value), f"{path} in body should have at least {least} items")
        if most is not None and len(value) > most:
            yield errors.too_many(self._at(path), len(value), most)

    def _object(self, node: Node, value: dict[str, Any], old: Any, path: str) -> Iterator[Cause]:
        least, most = node.bounds.get("minProperties"), node.bounds.get("maxProperties")
        if least is not None and len(value) < least:
            why = f"{path} in body should have at least {least} properties"
            yield errors.invalid(self._at(path), len(value), why)
        if most is not None and len(value) > most:
            yield errors.too_many(self._at(path), len(value), most)
        before = old if isinstance(old, dict) and not node.atomic_map else {}
        for name in sorted(value):
            if name in node.properties:
                continue
            if node.closed:
                why = f"{path}.{name} in body is a forbidden property"
                yield errors.invalid(self._at(path), name, why)
            elif node.additional is not None:
                # Joined by a dot whatever the key is, as the real server does.
                inner = f"{path}.{name}"
                yield from self.judge(node.additional, value[name], before.get(name, NOTHING), inner)
        for name, part in node.properties.items():
            if name in value:
                yield from self.judge(part, value[name], before.get(name, NOTHING), child(path, name))
        for name in node.required:
            if name not in value:
                yield errors.required(self._at(child(path, name)))


def duplicates(node: Node, value: Any, path: str = "") -> Iterator[Cause]:
    """Every entry that a list of type `set` or `map` has twice."""
    if not node.deep_lists:
        return
    if isinstance(value, list):
        if node.list_type == "set":
            yield from _twice([_sorted(item) for item in value], list(value), path)
        elif node.list_type == "map":
            yield from _twice_by_key(node, value, path)
        if node.items is not None:
            for index, item in enumerate(value):
                yield from duplicates(node.items, item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, item in cast("dict[str, Any]", value).items():
            if name in node.properties:
                yield from duplicates(node.properties[name], item, child(path, name))
            elif node.additional is not None:
                yield from duplicates(node.additional, item, f"{path}[{name}]")


def _twice_by_key(node: Node, value: list[Any], path: str) -> Iterator[Cause]:
    for index, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            yield errors.invalid(f"{path}[{index}]", item, "must be an object for an array of list-type map")
            return
    keys = [{key: item[key] for key in node.list_keys if key in item} if item else {} for item in value]
    yield from _twice([_sorted(key) for key in keys], keys, path)


def _twice(marks: list[bytes], values: list[Any], path: str) -> Iterator[Cause]:
    seen: dict[bytes, int] = {}
    for index, mark in enumerate(marks):
        seen[mark] = seen.get(mark, 0) + 1
        if seen[mark] == 2:
            yield errors.duplicate(f"{path}[{index}]", values[index])
