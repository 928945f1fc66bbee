"""How bodies of built-in kinds are decoded: wrong types are refused, unknown and repeated fields told or refused.

The real server decodes them into Go's structures; here a walk along the fields that are known does the same.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from muster.embedded.kinds import Kind
from muster.embedded.schemas.fieldtables import META, Schema, schema
from muster.embedded.storage.state import Change
from muster.embedded.storage.store import encode
from muster.embedded.wire import Cause, Object, StatusError, bad_request, invalid

_METADATA = ""
"""In the place of a kind: metadata alone."""
_GO = {"integer": "int64", "boolean": "bool", "array": "[]", "object": "map[string]", "number": "float64"}
_PYTHON: dict[str, type] = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}


class _Node:
    """A schema made quick to walk. `wanted` is the exact Python type, None where more than one will do."""

    __slots__ = ("amount", "fields", "items", "keeps", "name", "quick", "values", "wanted")

    def __init__(self, known: Schema) -> None:
        self.name = known.get("type", "string")
        self.wanted = _PYTHON.get(known.get("type", ""))
        self.amount = bool(known.get("x-kubernetes-int-or-string")) or known.get("type") == "number"
        properties = known.get("properties")
        self.fields = None if properties is None else {name: _Node(below) for name, below in properties.items()}
        below = known.get("additionalProperties")
        self.values = _Node(below) if isinstance(below, dict) and below else None
        self.items = _Node(known["items"]) if known.get("items") else None
        # Values of these types need no further look; all do where nothing is known.
        self.quick: frozenset[type] = frozenset()
        if self.amount:
            self.quick = frozenset((str, int, float))
        elif self.wanted is None:
            self.quick = frozenset((str, int, float, bool, dict, list))
        elif self.wanted not in (dict, list) or not (properties is not None or self.values or self.items):
            self.quick = frozenset((self.wanted,))
        self.keeps = bool(known.get("x-kubernetes-preserve-unknown-fields"))


class _Wrong(Exception):  # noqa: N818  (carried up one field after the other)
    """A value of another type, and where it was found."""

    def __init__(self, value: Any, wanted: str) -> None:
        super().__init__()
        self.value = value
        self.wanted = wanted
        self.path: list[str] = []


@functools.cache
def _compiled(kind: str) -> _Node:
    return _Node(META if kind == _METADATA else schema(kind))


def enforce(kind: Kind, obj: Object, change: Change) -> None:
    """Drop the unknown fields of an object. StatusError (400) for a wrong type; unknown fields are refused under
    Strict (400, in a patch 422), under Warn each makes a warning."""
    unknown: list[str] = []
    try:
        _walk(_compiled(kind.kind), obj, unknown)
    except _Wrong as wrong:
        raise _mistyped(kind, wrong) from None
    if unknown:
        tell(kind, [f'unknown field "{path}"' for path in unknown], change)


def enforce_metadata(kind: Kind, obj: Object, change: Change) -> None:
    """The same for the metadata of a custom object, whose other fields are its schema's business."""
    unknown: list[str] = []
    try:
        _walk(_compiled(_METADATA), obj["metadata"], unknown)
    except _Wrong as wrong:
        wrong.path.append("metadata")
        raise _mistyped(kind, wrong) from None
    if unknown:
        tell(kind, [f'unknown field "metadata.{path}"' for path in unknown], change)


def tell(kind: Kind, words: list[str], change: Change) -> None:
    """Refuse, warn of, or pass over what is wrong with the fields of a body."""
    if change.strict == "Ignore":
        return
    if change.strict == "Warn":
        change.warnings += words
        return
    said = f"strict decoding error: {', '.join(words)}"
    if change.request.method == "PATCH":
        raise strict_patch(said)
    raise undecodable(kind, said)


def strict_patch(said: str) -> StatusError:
    """What the real server answers to a patch that makes what it would not decode; it shows the whole object, too."""
    return invalid("", "", "", [Cause("patch", f'Invalid value: "": {said}')])


def undecodable(kind: Kind, why: str) -> StatusError:
    """A body that is none of this kind."""
    return bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}')


def _walk(known: _Node, value: Any, unknown: list[str]) -> None:
    """Check a value and drop what is unknown in it; `unknown` takes the paths below it."""
    if type(value) in known.quick:
        return
    if type(value) is not known.wanted:
        raise _Wrong(value, known.name)
    if isinstance(value, dict):
        if known.fields is not None:
            _fields(known, known.fields, value, unknown)
        elif known.values is not None:
            below = known.values
            for item in value.values():
                if type(item) not in below.quick:
                    _walk(below, item, unknown)
    elif isinstance(value, list) and known.items is not None:
        below = known.items
        for index, item in enumerate(value):
            if type(item) in below.quick:
                continue
            before = len(unknown)
            try:
                _walk(below, item, unknown)
            except _Wrong as wrong:
                wrong.path.append(f"[{index}]")
                raise
            for place in range(before, len(unknown)):
                unknown[place] = f"[{index}].{unknown[place]}"


def _fields(known: _Node, fields: dict[str, _Node], value: Object, unknown: list[str]) -> None:
    extra: list[str] = []
    for name, item in value.items():
        below = fields.get(name)
        if below is None:
            extra.append(name)
            continue
        if item is None or type(item) in below.quick:
            continue
        before = len(unknown)
        try:
            _walk(below, item, unknown)
        except _Wrong as wrong:
            wrong.path.append(name)
            raise
        for place in range(before, len(unknown)):
            path = unknown[place]
            unknown[place] = f"{name}{path}" if path.startswith("[") else f"{name}.{path}"
    if extra and not known.keeps:
        for name in extra:
            unknown.append(name)
            del value[name]


def _mistyped(kind: Kind, wrong: _Wrong) -> StatusError:
    """In Go's words, which leave the indices out."""
    parts = [part for part in reversed(wrong.path) if not part.startswith("[")]
    plain, path = ".".join(parts), parts[0] if parts else ""
    wanted, value = wrong.wanted, wrong.value
    tops = {"spec": f"{kind.kind}Spec", "status": f"{kind.kind}Status", "metadata": "ObjectMeta"}
    go = _GO.get(wanted, wanted)
    if len(parts) < 2:
        struct = kind.kind
        go = f"v1.{tops[path]}" if path in tops else go
    elif len(parts) == 2:
        struct = tops.get(parts[0], kind.kind)
    else:
        # Go names the structure that the field belongs to; the list's own name is near enough.
        name = parts[-2]
        struct = name[:1].upper() + name[1:].removesuffix("s")
    found = type_of(value)
    return undecodable(kind, f"json: cannot unmarshal {found} into Go struct field {struct}.{plain} of type {go}")


def type_of(value: Any) -> str:
    """The type of a JSON value, in Go's words."""
    return {str: "string", dict: "object", list: "array", bool: "bool"}.get(type(value), "number")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object whose fields may be repeated."""


def repeated(body: bytes, decoded: Any) -> list[str]:
    """The paths of fields that a JSON body names more than once."""
    # A body without spaces and repetitions is as long as what it decodes to: the common case costs little.
    if len(encode(decoded)) == len(body):
        return []
    try:
        pairs = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return []
    found: list[str] = []
    _twice(pairs, "", found)
    return found


def _twice(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, item in value:
            below = f"{path}.{name}" if path else name
            if name in seen:
                found.append(below)
            seen.add(name)
            _twice(item, below, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _twice(item, f"{path}[{index}]", found)
