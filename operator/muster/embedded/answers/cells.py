"""What the columns of all kinds are made with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from muster.embedded.ages import age
from muster.embedded.wire import Object

Cells = Callable[[Object, int], list[Any]]
"""From an object and the time (ms) to its cells."""
NONE = "<none>"


def column(name: str, kind: str = "string", fmt: str = "", priority: int = 0, *, description: str = "") -> Object:
    """A column's definition; priority 1 is shown with `-o wide` only."""
    return {"name": name, "type": kind, "format": fmt, "description": description or name, "priority": priority}


def defined(*names: str) -> tuple[Object, ...]:
    """Columns from `Name`, `Count:integer`, and `+Node` for one that is shown with `-o wide` only."""
    out = []
    for each in names:
        name, _, kind = each.removeprefix("+").partition(":")
        fmt = "name" if name == "Name" else ""
        out.append(column(name, kind or "string", fmt, int(each.startswith("+"))))
    return tuple(out)


def name(each: Object) -> str:
    """The name of an object, empty where it has none."""
    return str(each.get("metadata", {}).get("name", ""))


def age_of(each: Object, now: int) -> str:
    """The age of an object at `now` (ms)."""
    return age(each.get("metadata", {}).get("creationTimestamp"), now)


def part(each: Object, name: str) -> Mapping[str, Any]:
    """The spec, status or another part of an object, empty where it is absent."""
    return each.get(name) or {}
