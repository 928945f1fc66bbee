"""How bodies of built-in kinds are decoded: wrong types are refused, unknown and repeated fields told or refused.

The real server decodes them into Go's structures; here a walk along the fields that are known does the same.
"""

from __future__ import annotations

import json
from typing import Any

from muster.embedded.fieldtables import ANY, META, Schema, schema
from muster.embedded.kinds import Kind
from muster.embedded.state import Change
from muster.embedded.store import encode
from muster.embedded.wire import Cause, Object, StatusError, bad_request, invalid

_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "number": (int, float),
}
_GO = {"integer": "int64", "boolean": "bool", "array": "[]", "object": "map[string]", "number": "float64"}


def enforce(kind: Kind, obj: Object, change: Change) -> None:
    """Drop the unknown fields of an object. StatusError (400) for a wrong type; unknown fields are refused under
    Strict (400, in a patch 422), under Warn each makes a warning."""
    unknown: list[str] = []
    _walk(schema(kind.kind), obj, "", unknown, kind)
    if unknown:
        tell(kind, [f'unknown field "{path}"' for path in unknown], change)


def enforce_metadata(kind: Kind, obj: Object, change: Change) -> None:
    """The same for the metadata of a custom object, whose other fields are its schema's business."""
    unknown: list[str] = []
    _walk(META, obj["metadata"], "metadata", unknown, kind)
    if unknown:
        tell(kind, [f'unknown field "{path}"' for path in unknown], change)


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


def _walk(known: Schema, value: Any, path: str, unknown: list[str], kind: Kind) -> None:
    wanted = known.get("type")
    if wanted is not None:
        right = isinstance(value, _PYTHON[wanted]) and not (wanted == "integer" and isinstance(value, bool))
        if not right:
            raise _wrong(kind, path, value, wanted)
    elif known.get("x-kubernetes-int-or-string") and (
        not isinstance(value, str | int | float) or isinstance(value, bool)
    ):
        raise _wrong(kind, path, value, "string")
    if wanted == "object":
        properties = known.get("properties")
        if properties is None:
            below = known.get("additionalProperties")
            if isinstance(below, dict) and below:
                for item in value.values():
                    _walk(below, item, path, unknown, kind)
            return
        for name in [name for name in value if name not in properties]:
            if not known.get("x-kubernetes-preserve-unknown-fields"):
                unknown.append(f"{path}.{name}" if path else name)
                del value[name]
        for name, item in value.items():
            if item is not None:
                _walk(properties.get(name, ANY), item, f"{path}.{name}" if path else name, unknown, kind)
    elif wanted == "array":
        items = known.get("items")
        if items:
            for index, item in enumerate(value):
                _walk(items, item, f"{path}[{index}]", unknown, kind)


def _wrong(kind: Kind, path: str, value: Any, wanted: str) -> StatusError:
    plain = "".join(part.partition("]")[2] if index else part for index, part in enumerate(path.split("[")))
    parts = path.split(".")
    tops = {"spec": f"{kind.kind}Spec", "status": f"{kind.kind}Status", "metadata": "ObjectMeta"}
    go = _GO.get(wanted, wanted)
    if len(parts) == 1:
        struct = kind.kind
        go = f"v1.{tops[path]}" if path in tops else go
    elif len(parts) == 2:
        struct = tops.get(parts[0], kind.kind)
    else:
        # Go names the structure that the field belongs to; the list's own name is near enough.
        name = parts[-2].partition("[")[0]
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
