"""The three kinds of patch: merge (RFC 7386), JSON (RFC 6902), and Kubernetes' strategic merge.

They take decoded JSON, change nothing that they are given and may share parts of it with what they return. What cannot
be carried out raises StatusError with the code of the real server (400 for what is no patch, 422 for what does not fit
the object).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from muster.embedded.wire import Object, StatusError, bad_request

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
APPLY_CBOR = "application/apply-patch+cbor"

_OPERATIONS = 10_000
"""As many as the real server takes in one JSON patch."""


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result: Object = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(target: Object, operations: Any) -> Any:
    """Apply a JSON patch (RFC 6902); missing parents are not made, and a failed `test` refuses the whole."""
    if not isinstance(operations, list) or not all(isinstance(op, dict) for op in operations):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > _OPERATIONS:
        message = f"The allowed maximum operations in a JSON patch is {_OPERATIONS}, got {len(operations)}"
        raise StatusError(413, "RequestEntityTooLarge", message)
    document: Any = target
    for operation in operations:
        document = _operate(document, operation)
    return document


def _operate(document: Any, operation: Object) -> Any:
    name = operation.get("op")
    path = _pointer(operation.get("path"))
    match name:
        case "add" | "replace" | "test":
            if "value" not in operation and name != "test":
                raise _rejected(f"{name} operation does not have a value")
            value = operation.get("value")
            if name == "test":
                if _get(document, path, missing=None) != value:
                    raise _rejected(f"testing value {operation.get('path')} failed")
                return document
            return _edit(document, path, lambda parent, last: _set(parent, last, value, replace=name == "replace"))
        case "remove":
            return _edit(document, path, _remove)
        case "move" | "copy":
            source = _pointer(operation.get("from"))
            value = _get(document, source)
            if name == "move":
                document = _edit(document, source, _remove)
            return _edit(document, path, lambda parent, last: _set(parent, last, value, replace=False))
        case _:
            raise _rejected(f"Unexpected kind: {name}")


def _rejected(why: str) -> StatusError:
    # The real server says just this, whatever was wrong; ours adds why, after its words.
    message = f"the server rejected our request due to an error in our request: {why}"
    return StatusError(422, "Invalid", message, {})


def _pointer(text: Any) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _rejected(f"{text!r} is not a JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


_RAISE = object()


def _get(document: Any, path: list[str], missing: Any = _RAISE) -> Any:
    for part in path:
        try:
            document = document[_index(document, part)] if isinstance(document, list) else document[part]
        except (KeyError, TypeError, IndexError):
            if missing is not _RAISE:
                return missing
            raise _rejected(f"there is no /{'/'.join(path)}") from None
    return document


def _index(items: list[Any], part: str) -> int:
    if not part.isdigit() or int(part) >= len(items):
        raise IndexError(part)
    return int(part)


def _edit(document: Any, path: list[str], change: Callable[[Any, str], Any]) -> Any:
    """A copy of the document in which the parent of `path` is changed."""
    if not path:
        return change({"": document}, "")[""]
    if len(path) == 1:
        return change(document, path[0])
    try:
        if isinstance(document, list):
            index = _index(document, path[0])
            return [*document[:index], _edit(document[index], path[1:], change), *document[index + 1 :]]
        return {**document, path[0]: _edit(document[path[0]], path[1:], change)}
    except (KeyError, TypeError, IndexError):
        raise _rejected(f"there is no {path[0]!r}") from None


def _set(parent: Any, last: str, value: Any, *, replace: bool) -> Any:
    if isinstance(parent, dict):
        if replace and last not in parent:
            raise _rejected(f"replace operation does not apply: there is no {last!r}")
        return {**parent, last: value}
    if isinstance(parent, list):
        if last == "-" and not replace:
            return [*parent, value]
        if not last.isdigit() or int(last) > len(parent) - replace:
            raise _rejected(f"{last!r} is no index into a list of {len(parent)}")
        index = int(last)
        return [*parent[:index], value, *parent[index + replace :]]
    raise _rejected(f"{last!r} lies below what is no object")


def _remove(parent: Any, last: str) -> Any:
    if isinstance(parent, dict) and last in parent:
        return {key: value for key, value in parent.items() if key != last}
    if isinstance(parent, list) and last.isdigit() and int(last) < len(parent):
        return [*parent[: int(last)], *parent[int(last) + 1 :]]
    raise _rejected(f"remove operation does not apply: there is no {last!r}")


# --- strategic merge ---


def strategic(target: Object, patch: Object, keys: Mapping[str, str]) -> Object:
    """Apply a strategic merge patch; `keys` gives the merge key of each list that is merged (see kinds.Kind)."""
    return _merge_object(target, patch, "", keys)


def _merge_object(target: Any, patch: Object, path: str, keys: Mapping[str, str]) -> Object:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        said = " ".join(f"{key}:{value}" for key, value in sorted(patch.items()))
        raise StatusError(500, "", f"unknown patch type: {directive} in map: map[{said}]")
    result: Object = dict(target) if isinstance(target, dict) else {}
    retained = patch.get("$retainKeys")
    if retained is not None:
        for key in [k for k in result if k not in retained]:
            del result[key]
    for key, value in patch.items():
        if key in ("$patch", "$retainKeys") or key.startswith("$setElementOrder/"):
            continue
        below = f"{path}.{key}" if path else key
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [item for item in result.get(name) or () if item not in (value or ())]
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merge_object(result.get(key), value, below, keys)
        elif isinstance(value, list):
            result[key] = _merge_list(result.get(key), value, below, keys)
        else:
            result[key] = value
    for key, value in patch.items():
        if key.startswith("$setElementOrder/"):
            name = key.partition("/")[2]
            below = f"{path}.{name}" if path else name
            if name in result:
                result[name] = _ordered(result[name], value, keys.get(below))
    return result


def _unknown(directive: Any) -> StatusError:
    return StatusError(500, "", f"unknown patch type: {directive}")


def _merge_list(target: Any, patch: list[Any], path: str, keys: Mapping[str, str]) -> list[Any]:
    key = keys.get(path)
    current: list[Any] = list(target) if isinstance(target, list) else []
    if key is None:
        return [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    if key == "":
        return current + [item for item in dict.fromkeys(patch) if item not in current]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    added: list[Any] = []
    for item in patch:
        if not isinstance(item, dict):
            raise bad_request(f"{path}: a list that is merged by {key} holds objects")
        if item.get("$patch") not in (None, "delete", "merge"):
            raise _unknown(item["$patch"])
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        same = [index for index, held in enumerate(current) if isinstance(held, dict) and held.get(key) == item[key]]
        if item.get("$patch") == "delete":
            current = [held for index, held in enumerate(current) if index not in same]
        elif same:
            current[same[0]] = _merge_object(current[same[0]], item, path, keys)
        else:
            added.append(_merge_object({}, item, path, keys))
    # The real server puts what is new before what was there, unless the patch gives an order.
    return added + current


def _ordered(items: list[Any], order: list[Any], key: str | None) -> list[Any]:
    """Put the named ones in their order, the others where they stand relative to their neighbours."""

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = [identity(item) for item in order]
    known = {id_: place for place, id_ in enumerate(wanted)}
    named = sorted((item for item in items if identity(item) in known), key=lambda item: known[identity(item)])
    result: list[Any] = []
    left = iter(named)
    for item in items:
        if identity(item) in known:
            result.append(next(left))
        else:
            result.append(item)
    return result
