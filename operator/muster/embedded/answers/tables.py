"""Tables: what `kubectl get` asks for, as the server prints it (meta/v1 Table).

The columns of a custom kind are those of its CustomResourceDefinition; those of the built-in kinds are in `printers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

import msgspec

from muster.embedded.ages import INVALID, duration, milliseconds
from muster.embedded.answers.cells import Cells, column
from muster.embedded.answers.printers import BUILT_IN
from muster.embedded.jsonpath import parse
from muster.embedded.kinds import Kind
from muster.embedded.wire import Object, bad_request

Columns = tuple[tuple[Object, ...], Cells]
INCLUDE = ("None", "Metadata", "Object")
_COMPLETED = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


def table(
    kind: Kind, objects: Sequence[Object], *, list_meta: Object, include: str, now: int, headers: bool = True
) -> Object:
    """The table of some objects of one kind.

    list_meta -- the metadata of the list (resourceVersion, continue); for one object its resourceVersion.
    include -- the query parameter includeObject: None, Metadata (also when empty) or Object.
    now -- ms since 1970; ages count from it.
    headers -- whether to describe the columns; in a watch only the first event needs to.
    Raises StatusError (400) for another `include`.
    """
    if include and include not in INCLUDE:
        raise bad_request(
            "meta.k8s.io/v1, Kind=TableOptions does not support "
            f'includeObject "{include}"; supported are None, Metadata and Object'
        )
    definitions, cells = _columns(kind)
    rows = [_row(kind, each, cells(each, now), include) for each in objects]
    out: Object = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_meta}
    out["columnDefinitions"] = list(definitions) if headers else []
    out["rows"] = rows
    return out


def _row(kind: Kind, each: Object, cells: list[Any], include: str) -> Object:
    row: Object = {"cells": cells}
    if kind.plural == "pods" and not kind.group:
        phase = str((each.get("status") or {}).get("phase"))
        if phase in _COMPLETED:
            done = {"type": "Completed", "status": "True", "reason": phase, "message": _COMPLETED[phase]}
            row["conditions"] = [done]
    match include:
        case "None":
            row["object"] = None
        case "Object":
            row["object"] = each
        case _:
            partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
            row["object"] = partial | {"metadata": each.get("metadata", {})}
    return row


def _columns(kind: Kind) -> Columns:
    if kind.crd is not None:
        # The columns hang on the definition, which is replaced and never changed: its columns name them.
        version = next(v for v in kind.crd["spec"]["versions"] if v["name"] == kind.version)
        return _custom(msgspec.json.encode(version.get("additionalPrinterColumns")))
    return BUILT_IN.get((kind.group, kind.plural), BUILT_IN["", ""])


@lru_cache(maxsize=64)
def _custom(encoded: bytes) -> Columns:
    given = cast("list[Object] | None", msgspec.json.decode(encoded))
    if not given:
        # Without columns of its own a custom kind has its name and age, and the age as a date.
        given = [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]
    definitions = [column("Name", fmt="name")]
    finders: list[tuple[str, Callable[[Any], Any]]] = []
    for each in given:
        shown = each.get("description") or f"Custom resource definition column (in JSONPath format): {each['jsonPath']}"
        definitions.append(
            column(each["name"], each["type"], each.get("format", ""), each.get("priority", 0), description=shown)
        )
        finders.append((each["type"], parse(each["jsonPath"])))

    def cells(item: Object, now: int) -> list[Any]:
        return [item.get("metadata", {}).get("name", ""), *(_cell(kind, find(item), now) for kind, find in finders)]

    return tuple(definitions), cells


def _cell(kind: str, value: Any, now: int) -> Any:
    """A value in a column of this type; what does not fit it is left empty."""
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "string":
            return _text(value)
        case "integer":
            return int(value) if number else None
        case "number":
            return float(value) if number else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date" if isinstance(value, str):
            at = milliseconds(value)
            return INVALID if at is None else duration(now - at)
    return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    # Go prints what is not a string as JSON, as the real server's jsonpath printer does.
    return msgspec.json.encode(value).decode()
