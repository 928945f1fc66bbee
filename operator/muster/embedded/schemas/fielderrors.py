"""Field errors in the words of k8s.io/apimachinery (`field.Error`) and of kube-openapi's validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from muster.embedded.wire import Cause

NOWHERE = "<nil>"
"""The path of an error that belongs to the object as a whole."""
BLOCKING = frozenset(
    ["FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"]
)
"""With one of these no CEL rule is evaluated."""
UNCHECKED = Cause(
    NOWHERE,
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation",
)
OMIT = object()
"""In place of a value that is not to be shown."""


def at(path: str) -> str:
    """A path as it is printed."""
    return path or NOWHERE


def number(value: float) -> str:
    """A number as Go's %v prints a float64: without a fraction where it has none, with an exponent from 1e+21 on."""
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e21):
        whole = int(value)
        if abs(whole) < 1_000_000:
            return str(whole)
        digits = f"{abs(whole)}".rstrip("0")
        exponent = len(str(abs(whole))) - 1
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{'-' if whole < 0 else ''}{digits[0]}{fraction}e+{exponent:02d}"
    return repr(value)


def shown(value: Any) -> str:
    """A value as an error shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        return quoted(value)
    return as_json(value)


def as_json(value: Any) -> str:
    """A value as Go's encoding/json writes a map."""
    text = msgspec.json.encode(value, order="sorted").decode()
    # Go's encoding/json escapes what HTML would take for markup.
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def quoted(text: str) -> str:
    """A text as Go's %q prints it."""
    return msgspec.json.encode(text).decode()


def invalid(path: str, value: Any, why: str, reason: str = "FieldValueInvalid") -> Cause:
    """`Invalid value`."""
    return Cause(
        at(path), f"Invalid value: {why}" if value is OMIT else f"Invalid value: {shown(value)}: {why}", reason
    )


def wrong_type(path: str, where: str, wanted: str, found: str, value: Any = OMIT) -> Cause:
    """A value of another type; `where` is the path as kube-openapi has it."""
    why = f"{where} in body must be of type {wanted}: {quoted(found)}"
    return invalid(path, found if value is OMIT else value, why, "FieldValueTypeInvalid")


def required(path: str, why: str = "") -> Cause:
    """`Required value`."""
    return Cause(at(path), f"Required value: {why}" if why else "Required value", "FieldValueRequired")


def unsupported(path: str, value: Any, allowed: Sequence[Any]) -> Cause:
    """`Unsupported value`."""
    listed = ", ".join(quoted(v if isinstance(v, str) else msgspec.json.encode(v).decode()) for v in allowed)
    message = f"Unsupported value: {shown(value)}: supported values: {listed}"
    return Cause(at(path), message, "FieldValueNotSupported")


def too_long(path: str, most: int) -> Cause:
    """`Too long`."""
    # The server says bytes and counts characters.
    unit = "byte" if most == 1 else "bytes"
    return Cause(at(path), f"Too long: may not be more than {most} {unit}", "FieldValueTooLong")


def too_many(path: str, count: int, most: int) -> Cause:
    """`Too many`."""
    unit = "item" if most == 1 else "items"
    return Cause(at(path), f"Too many: {count}: must have at most {most} {unit}", "FieldValueTooMany")


def duplicate(path: str, value: Any) -> Cause:
    """`Duplicate value`."""
    return Cause(at(path), f"Duplicate value: {shown(value)}", "FieldValueDuplicate")


def forbidden(path: str, why: str) -> Cause:
    """`Forbidden`."""
    return Cause(at(path), f"Forbidden: {why}", "FieldValueForbidden")
