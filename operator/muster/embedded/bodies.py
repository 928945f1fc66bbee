"""Reading requests: options, bodies, and what a body must have in common with its path."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import yaml

from muster.embedded import metadata, protobuf
from muster.embedded.kinds import Kind
from muster.embedded.patching.patches import APPLY, APPLY_CBOR, JSON_PATCH, MERGE, STRATEGIC
from muster.embedded.schemas import strictness
from muster.embedded.storage.state import Change, Route
from muster.embedded.wire import JSON, Cause, Object, Request, StatusError, bad_request, invalid, too_large

_KEPT = ("metadata", "spec", "status")
LARGEST_BODY = 3 * 1024 * 1024
YAML = "application/yaml"
_LONGEST_MANAGER = 128
_STRICTNESS = ("", "Ignore", "Strict", "Warn")
SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_decode = msgspec.json.Decoder().decode


def change_of(request: Request, kind: str) -> Change:
    """The options of a write; `kind` is CreateOptions, UpdateOptions or PatchOptions. StatusError (422)."""
    causes: list[Cause] = []
    dry = request.parameters("dryRun")
    if any(each != "All" for each in dry):
        causes.append(metadata.unsupported("dryRun", dry, ("All",)))
    strict = request.parameter("fieldValidation")
    if strict not in _STRICTNESS:
        causes.append(metadata.unsupported("fieldValidation", strict, _STRICTNESS))
    if len(request.parameter("fieldManager")) > _LONGEST_MANAGER:
        said = f"Too long: may not be more than {_LONGEST_MANAGER} bytes"
        causes.append(Cause("fieldManager", said, "FieldValueTooLong"))
    if causes:
        raise invalid(kind, "meta.k8s.io", "", causes)
    manager = request.parameter("fieldManager") or (request.agent or "unknown").partition("/")[0].partition(" ")[0]
    return Change(
        request=request, dry_run=bool(dry), strict=strict or "Warn", manager=manager, force=request.flag("force")
    )


def media(request: Request) -> str:
    """The media type of the body."""
    return request.content_type.partition(";")[0].strip().lower()


def decoded(request: Request, kind: str) -> Any:
    """The body, from JSON or YAML, which should be of this kind. StatusError (400, 413, 415)."""
    if len(request.body) > LARGEST_BODY:
        raise too_large(f"Request entity too large: limit is {LARGEST_BODY}")
    form = media(request)
    if form in (YAML, APPLY):
        try:
            return yaml.load(request.body, Loader=SafeLoader)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise bad_request(f"error decoding YAML: {error}") from None
    if form == protobuf.MEDIA:
        try:
            return protobuf.read(request.body)
        except protobuf.UnreadableError as error:
            raise StatusError(415, "UnsupportedMediaType", f"{error}; {_formats(JSON, YAML)}") from None
    if form not in ("", JSON, MERGE, JSON_PATCH, STRATEGIC):
        raise unsupported_media(JSON, YAML)
    try:
        return _decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unreadable(kind, _json_fault(request.body)) from None


def _unreadable(kind: str, why: str) -> StatusError:
    said = f"couldn't get version/kind; json parse error: {why}"
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {said}")


def _json_fault(body: bytes) -> str:
    """What is wrong with JSON, in Go's words."""
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        text = body.decode(errors="replace")
        if error.pos >= len(text.rstrip()):
            return "unexpected end of JSON input"
        return f"invalid character {text[error.pos]!r} looking for beginning of value"
    except (ValueError, RecursionError) as error:
        return str(error)
    return "the text is not UTF-8"


def unsupported_media(*read: str) -> StatusError:
    """415, in the words of the real server, with what is read here."""
    return StatusError(415, "UnsupportedMediaType", _formats(*read))


def _formats(*read: str) -> str:
    return f"the body of the request was in an unknown format - accepted media types include: {', '.join(read)}"


def unsupported_patch(kind: Kind) -> StatusError:
    """415 for a patch that the kind does not take."""
    if kind.crd is not None:
        return unsupported_media(JSON_PATCH, MERGE, APPLY)
    return StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type")


def read(request: Request, kind: Kind, change: Change) -> Object:
    """The object in a body, checked against its kind. StatusError (400)."""
    obj = decoded(request, kind.kind)
    if not isinstance(obj, dict):
        found = strictness.type_of(obj)
        raise _unreadable(kind.kind, f"json: cannot unmarshal {found} into Go value of type struct")
    if kind.crd is not None:
        _same_kind(obj, kind)
    found_kind, found_version = obj.get("kind") or kind.kind, obj.get("apiVersion") or kind.api_version
    if found_kind != kind.kind:
        version = str(found_version).rpartition("/")[2]
        raise bad_request(
            f'{found_kind} in version "{version}" cannot be handled as a {kind.kind}: converting '
            f"({version}.{found_kind}) to ({kind.kind}): unknown conversion"
        )
    if found_version != kind.api_version:
        version = str(found_version).rpartition("/")[2]
        raise bad_request(
            f'{kind.kind} in version "{version}" cannot be handled as a {kind.kind}: no kind "{kind.kind}" is '
            f'registered for version "{found_version}"'
        )
    if change.strict != "Ignore" and media(request) in ("", JSON) and (twice := strictness.repeated(request.body, obj)):
        strictness.tell(kind, [f'duplicate field "{path}"' for path in twice], change)
    return normal(obj, kind, change)


def _same_kind(obj: Object, kind: Kind) -> None:
    """A custom object must say what it is."""
    for part in ("kind", "apiVersion"):
        if not obj.get(part):
            word = part[0].upper() + part[1:]
            why = f"Object '{word}' is missing in '{msgspec.json.encode(obj)[:256].decode(errors='replace')}'"
            raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {why}")
    if obj["apiVersion"] != kind.api_version:
        said = f"the API version in the data ({obj['apiVersion']}) does not match the expected API version "
        raise bad_request(f"{said}({kind.api_version})")
    if obj["kind"] != kind.kind:
        raise bad_request(f"the kind in the data ({obj['kind']}) does not match the expected kind ({kind.kind})")


def normal(obj: Object, kind: Kind, change: Change) -> Object:
    """An object with its kind in front and its metadata in shape, its unknown fields told or refused (built-in kinds;
    those of custom kinds are the business of their schema)."""
    meta = obj.get("metadata")
    if meta is None:
        meta = {}
    shown = dict(meta) if isinstance(meta, dict) else meta
    result: Object = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": shown}
    for key, value in obj.items():
        if key not in result:
            result[key] = value
    if kind.crd is None:
        if b"null" in change.request.body:
            result = without_nulls(result)
            result["metadata"] = result.get("metadata") or {}
        strictness.enforce(kind, result, change)
        for key in [key for key, value in result.items() if value in ({}, []) and key not in _KEPT]:
            del result[key]
    else:
        strictness.enforce_metadata(kind, result, change)
        if None in result["metadata"].values():
            result["metadata"] = without_nulls(result["metadata"])
    own = result["metadata"]
    for key in [key for key, value in own.items() if value in ({}, []) and key != "managedFields"]:
        del own[key]
    return result


def without_nulls(value: Any) -> Any:
    """JSON without the fields that are null, which Go reads as absent."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def place(obj: Object, route: Route) -> None:
    """Put the namespace of the path into the object, and see that the object says nothing else. StatusError (400)."""
    meta = obj["metadata"]
    if not route.kind.namespaced:
        if meta.get("namespace"):
            raise bad_request("namespace is not allowed on a cluster-scoped object")
        meta.pop("namespace", None)
        return
    if meta.get("namespace") not in (None, "", route.namespace):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    meta["namespace"] = route.namespace


PATCHES = (JSON_PATCH, MERGE, STRATEGIC, APPLY, APPLY_CBOR)
