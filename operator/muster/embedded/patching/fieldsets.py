"""Sets of field paths, as managedFields hold them (fieldsV1), and what a path looks like in a message.

A path is a tuple of elements in the words of fieldsV1: `f:spec` a field, `k:{"name":"a"}` an entry of a list by its
keys, `v:"a"` an entry of a set by its value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from muster.embedded.wire import Object

Path = tuple[str, ...]
Paths = set[Path]
_sorted = msgspec.json.Encoder(order="sorted").encode


def key_element(keys: Object) -> str:
    """The element of an entry with these keys."""
    return f"k:{_sorted(keys).decode()}"


def value_element(value: Any) -> str:
    """The element of a value in a set."""
    return f"v:{_sorted(value).decode()}"


def decode(fields: Object | None, before: Path = ()) -> Paths:
    """The paths of a fieldsV1."""
    out: Paths = set()
    for name, below in (fields or {}).items():
        if name == ".":
            out.add(before)
            continue
        path = (*before, name)
        if below:
            out |= decode(below, path)
        else:
            out.add(path)
    return out


def encode(paths: Iterable[Path]) -> Object:
    """The fieldsV1 of some paths."""
    root: Object = {}
    ordered = sorted(paths)
    for path in ordered:
        at = root
        for element in path:
            at = at.setdefault(element, {})
    # A member that has others below it says so by a dot.
    for path in ordered:
        at = root
        for element in path:
            at = at[element]
        if at:
            at["."] = {}
    return _ordered(root)


def _ordered(node: Object) -> Object:
    return {name: _ordered(node[name]) for name in sorted(node)}


def with_ancestors(paths: Iterable[Path]) -> Paths:
    """The paths and everything that they are within."""
    out: Paths = set()
    for path in paths:
        while path and path not in out:
            out.add(path)
            path = path[:-1]
    return out


def shown(path: Path) -> str:
    """A path as messages print it: `.spec.roles[name="worker"].replicas`."""
    out = []
    for element in path:
        kind, text = element[:1], element[2:]
        match kind:
            case "f":
                out.append(f".{text}")
            case "k":
                keys: Object = msgspec.json.decode(text)
                out.append("[" + ",".join(f"{k}={_sorted(v).decode()}" for k, v in sorted(keys.items())) + "]")
            case _:
                out.append(f"[={text}]")
    return "".join(out)
