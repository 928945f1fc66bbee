"""What the API server does with a structural schema, without an API server: nulls, defaults, shapes and bounds.

`muster what-if` needs it. The messages are the API server's own words where a test can compare them, and each goes on
to say how to mend the field where that is not plain.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from muster.api.base import Schema

INT_BOUNDS = {"int32": 2**31, "int64": 2**63}


@dataclass(frozen=True, slots=True)
class FieldError:
    """A field that is refused: its path as kubectl prints it, and what is wrong and how to mend it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def fill(schema: Schema, value: Any) -> Any:
    """Return a copy of `value` as the API server would store it: nulls pruned, defaults set."""
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        rest = schema.get("additionalProperties")
        out: dict[str, Any] = {}
        for name, item in value.items():
            part = properties.get(name, rest)
            if item is None and part and not part.get("nullable"):
                continue
            out[name] = fill(part, item) if part else item
        for name, part in properties.items():
            if name not in out and "default" in part:
                out[name] = fill(part, part["default"])
        return out
    if isinstance(value, list) and "items" in schema:
        return [fill(schema["items"], item) for item in value]
    return value


def check(schema: Schema, value: Any, path: str = "") -> Iterator[FieldError]:
    """Yield every way in which a filled `value` does not match `schema`."""
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            yield FieldError(path, f"Invalid value: {_show(value)}: must be an integer or a string; put it in quotes")
        elif isinstance(value, str):
            yield from _string(schema, value, path)
        return
    match schema.get("type"):
        case "object":
            if isinstance(value, Mapping):
                yield from _object(schema, value, path)
                return
        case "array":
            if isinstance(value, list):
                yield from _array(schema, value, path)
                return
        case "string":
            if isinstance(value, str):
                yield from _string(schema, value, path)
                return
        case "integer":
            if isinstance(value, int) and not isinstance(value, bool):
                yield from _integer(schema, value, path)
                return
        case "boolean":
            if isinstance(value, bool):
                return
        case _:
            return
    yield FieldError(path, f"Invalid value: {_show(value)}: must be of type {schema['type']}")


def _show(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _child(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _object(schema: Schema, value: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    properties: Schema = schema.get("properties", {})
    rest = schema.get("additionalProperties")
    if len(value) > schema.get("maxProperties", len(value)):
        yield FieldError(path, f"Too many: {len(value)}: must have at most {schema['maxProperties']} items")
    for name in schema.get("required", ()):
        if name not in value:
            yield FieldError(_child(path, name), "Required value")
    for name, item in value.items():
        if not isinstance(name, str):
            yield FieldError(path, f"Invalid value: {_show(name)}: keys are strings; put it in quotes")
        elif name in properties:
            yield from check(properties[name], item, _child(path, name))
        elif rest:
            yield from check(rest, item, f"{path}[{name}]")
        elif not schema.get("x-kubernetes-preserve-unknown-fields"):
            near = difflib.get_close_matches(name, properties, n=1)
            hint = f'; is "{near[0]}" meant?' if near else "; remove it"
            yield FieldError(_child(path, name), f'unknown field "{_child(path, name)}"{hint}')


def _array(schema: Schema, value: list[Any], path: str) -> Iterator[FieldError]:
    if len(value) > schema.get("maxItems", len(value)):
        yield FieldError(path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items")
    if len(value) < schema.get("minItems", 0):
        yield FieldError(path, f"Invalid value: {len(value)}: should have at least {schema['minItems']} items")
    keys = schema.get("x-kubernetes-list-map-keys", ())
    unique = bool(keys) or schema.get("x-kubernetes-list-type") == "set"
    seen: list[Any] = []
    for index, item in enumerate(value):
        here = f"{path}[{index}]"
        yield from check(schema["items"], item, here)
        if not unique or (keys and not isinstance(item, Mapping)):
            continue
        identity = {key: item[key] for key in keys if key in item} if keys else item
        if identity in seen:
            yield FieldError(here, f"Duplicate value: {identity}")
        seen.append(identity)


def _string(schema: Schema, value: str, path: str) -> Iterator[FieldError]:
    if "enum" in schema and value not in schema["enum"]:
        names = ", ".join(f'"{name}"' for name in schema["enum"])
        yield FieldError(path, f"Unsupported value: {_show(value)}: supported values: {names}")
    if len(value) > schema.get("maxLength", len(value)):
        yield FieldError(path, f"Too long: may not be more than {schema['maxLength']} bytes")
    if len(value) < schema.get("minLength", 0):
        yield FieldError(path, f"should be at least {schema['minLength']} chars long")
    pattern = schema.get("pattern", "")
    # Python's $ also matches before a final newline; Go's does not.
    if pattern and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield FieldError(path, f"Invalid value: {_show(value)}: should match '{pattern}'")
    if schema.get("format") == "date-time":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            yield FieldError(
                path, f"Invalid value: {_show(value)}: must be of type date-time, such as 2026-01-31T12:00:00Z"
            )


def _integer(schema: Schema, value: int, path: str) -> Iterator[FieldError]:
    bound = INT_BOUNDS.get(schema.get("format", ""), 2**63)
    if "minimum" in schema and value < schema["minimum"]:
        yield FieldError(path, f"Invalid value: {value}: should be greater than or equal to {schema['minimum']}")
    elif "maximum" in schema and value > schema["maximum"]:
        yield FieldError(path, f"Invalid value: {value}: should be less than or equal to {schema['maximum']}")
    elif not -bound <= value < bound:
        yield FieldError(path, f"Invalid value: {value}: must be of type {schema.get('format', 'int64')}")
