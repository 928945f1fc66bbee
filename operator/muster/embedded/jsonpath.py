"""The part of JSONPath that CustomResourceDefinitions use: fields, quoted fields, indices, and one filter by equality.

.status.phase     .metadata.annotations['example.com/x']     .spec.roles[0].name
.status.conditions[?(@.type=="Ready")].status
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_PART = re.compile(
    r"""\.(?P<field>[A-Za-z_][-A-Za-z0-9_]*(?:\\\.[-A-Za-z0-9_]+)*(?:/[-A-Za-z0-9_]+)?)
      | \[(?P<quote>['"])(?P<quoted>[^'"]*)(?P=quote)\]
      | \[(?P<index>-?\d+)\]
      | \[\?\(\s*@\.(?P<key>[A-Za-z_]\w*)\s*==\s*(?P<mark>['"])(?P<value>[^'"]*)(?P=mark)\s*\)\]""",
    re.VERBOSE,
)
Step = Callable[[Any], Any]


class Unsupported(ValueError):  # noqa: N818 -- it is a refusal with a reason, raised to be shown
    """A path that is not understood here."""


def parse(path: str) -> Callable[[Any], Any]:
    """A function from an object to the first value at `path`, None where there is none. Raises Unsupported."""
    steps: list[Step] = []
    position = 0
    while position < len(path):
        found = _PART.match(path, position)
        if found is None:
            raise Unsupported(f"the embedded server does not understand the JSONPath {path!r} from {path[position:]!r}")
        steps.append(_step(found))
        position = found.end()
    if not steps:
        raise Unsupported("a JSONPath must not be empty")

    def find(value: Any) -> Any:
        for step in steps:
            if value is None:
                return None
            value = step(value)
        return value

    return find


def _step(found: re.Match[str]) -> Step:
    if found["index"] is not None:
        return _index(int(found["index"]))
    if found["key"] is not None:
        return _filter(found["key"], found["value"])
    field = found["field"]
    return _field(field.replace("\\.", ".") if field is not None else found["quoted"])


def _field(name: str) -> Step:
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _index(number: int) -> Step:
    return lambda value: value[number] if isinstance(value, list) and -len(value) <= number < len(value) else None


def _filter(key: str, wanted: str) -> Step:
    def pick(value: Any) -> Any:
        items = value if isinstance(value, list) else ()
        return next((item for item in items if isinstance(item, dict) and item.get(key) == wanted), None)

    return pick
