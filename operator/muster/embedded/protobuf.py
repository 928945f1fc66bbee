"""Bodies in protobuf, as kubectl sends what it makes itself (`create namespace`, `drain`, `auth can-i`, ...).

Only reading, and only the kinds below: answers are JSON, which every client takes. The numbers of the fields are those
of the generated.proto files of k8s.io/api and k8s.io/apimachinery; an unknown one is passed over, as protobuf has it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from muster.embedded.wire import Object

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"

STRING, INT, BOOL, BYTES, TIME, QUANTITY = "string", "int", "bool", "bytes", "time", "quantity"


@dataclass(frozen=True, slots=True)
class _Many:
    """A repeated field."""

    of: Any


@dataclass(frozen=True, slots=True)
class _Map:
    """A map from strings."""

    of: Any


Message = Mapping[int, tuple[str, Any]]
"""Number of a field -> its name in JSON and its type."""

_OWNER: Message = {
    1: ("kind", STRING),
    3: ("name", STRING),
    4: ("uid", STRING),
    5: ("apiVersion", STRING),
    6: ("controller", BOOL),
    7: ("blockOwnerDeletion", BOOL),
}
_META: Message = {
    1: ("name", STRING),
    2: ("generateName", STRING),
    3: ("namespace", STRING),
    5: ("uid", STRING),
    6: ("resourceVersion", STRING),
    7: ("generation", INT),
    8: ("creationTimestamp", TIME),
    9: ("deletionTimestamp", TIME),
    10: ("deletionGracePeriodSeconds", INT),
    11: ("labels", _Map(STRING)),
    12: ("annotations", _Map(STRING)),
    13: ("ownerReferences", _Many(_OWNER)),
    14: ("finalizers", _Many(STRING)),
}
_PRECONDITIONS: Message = {1: ("uid", STRING), 2: ("resourceVersion", STRING)}
_DELETE: Message = {
    1: ("gracePeriodSeconds", INT),
    2: ("preconditions", _PRECONDITIONS),
    3: ("orphanDependents", BOOL),
    4: ("propagationPolicy", STRING),
    5: ("dryRun", _Many(STRING)),
}
_ACCESS: Message = {
    1: ("namespace", STRING),
    2: ("verb", STRING),
    3: ("group", STRING),
    4: ("version", STRING),
    5: ("resource", STRING),
    6: ("subresource", STRING),
    7: ("name", STRING),
}
_REVIEW: Message = {
    1: ("resourceAttributes", _ACCESS),
    2: ("nonResourceAttributes", {1: ("path", STRING), 2: ("verb", STRING)}),
}
_KINDS: Mapping[tuple[str, str], Message] = {
    ("v1", "Namespace"): {1: ("metadata", _META)},
    ("v1", "ConfigMap"): {
        1: ("metadata", _META),
        2: ("data", _Map(STRING)),
        3: ("binaryData", _Map(BYTES)),
        4: ("immutable", BOOL),
    },
    ("v1", "Secret"): {
        1: ("metadata", _META),
        2: ("data", _Map(BYTES)),
        3: ("type", STRING),
        4: ("stringData", _Map(STRING)),
        5: ("immutable", BOOL),
    },
    ("v1", "ServiceAccount"): {1: ("metadata", _META)},
    ("v1", "ResourceQuota"): {
        1: ("metadata", _META),
        2: ("spec", {1: ("hard", _Map(QUANTITY)), 2: ("scopes", _Many(STRING))}),
    },
    ("scheduling.k8s.io/v1", "PriorityClass"): {
        1: ("metadata", _META),
        2: ("value", INT),
        3: ("globalDefault", BOOL),
        4: ("description", STRING),
        5: ("preemptionPolicy", STRING),
    },
    ("policy/v1", "Eviction"): {1: ("metadata", _META), 2: ("deleteOptions", _DELETE)},
    ("meta.k8s.io/v1", "DeleteOptions"): _DELETE,
    ("v1", "DeleteOptions"): _DELETE,
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): {1: ("metadata", _META), 2: ("spec", _REVIEW)},
    ("authentication.k8s.io/v1", "SelfSubjectReview"): {1: ("metadata", _META)},
}
_ENVELOPE: Message = {1: ("type", {1: ("apiVersion", STRING), 2: ("kind", STRING)}), 2: ("raw", BYTES)}


class UnreadableError(ValueError):
    """A body that is no protobuf, or of a kind that is read as JSON and YAML only."""


def read(body: bytes) -> Object:
    """The object in a protobuf body. Raises UnreadableError."""
    if not body.startswith(_MAGIC):
        raise UnreadableError("the body does not begin as Kubernetes' protobuf does")
    try:
        envelope = _message(body[len(_MAGIC) :], _ENVELOPE, raw=True)
        said = envelope.get("type") or {}
        version, kind = said.get("apiVersion", ""), said.get("kind", "")
        message = _KINDS.get((version, kind))
        if message is None:
            raise UnreadableError(f"the embedded server reads a {kind} of {version} as JSON or YAML only")
        return {"apiVersion": version, "kind": kind} | _message(envelope.get("raw", b""), message)
    except (IndexError, UnicodeDecodeError) as error:
        raise UnreadableError(f"the protobuf cannot be read: {error}") from None


def _message(data: bytes, fields: Message, *, raw: bool = False) -> Object:
    result: Object = {}
    for number, value in _parts(data):
        if number not in fields:
            continue
        name, kind = fields[number]
        if isinstance(kind, _Many):
            result.setdefault(name, []).append(_value(value, kind.of))
        elif isinstance(kind, _Map):
            pair = dict(_parts(_bytes(value)))
            result.setdefault(name, {})[_bytes(pair.get(1, b"")).decode()] = _value(pair.get(2, b""), kind.of)
        elif raw and kind is BYTES:
            result[name] = _bytes(value)
        else:
            found = _value(value, kind)
            # Go writes empty fields, too, which mean nothing.
            if found not in ("", None) and not (found == {} and kind is not _META):
                result[name] = found
    return result


def _value(value: int | bytes, kind: Any) -> Any:
    if isinstance(kind, Mapping):
        return _message(_bytes(value), kind)
    if kind is INT or kind is BOOL:
        if not isinstance(value, int):
            raise UnreadableError("the protobuf cannot be read: a number was expected")
        if kind is BOOL:
            return bool(value)
        return value - (1 << 64) if value >= 1 << 63 else value
    data = _bytes(value)
    if kind is BYTES:
        return base64.b64encode(data).decode()
    if kind is QUANTITY:
        return _bytes(dict(_parts(data)).get(1, b"")).decode()
    if kind is TIME:
        seconds = dict(_parts(data)).get(1)
        if not isinstance(seconds, int) or seconds >= 1 << 40:
            return None
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return data.decode()


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise UnreadableError("the protobuf cannot be read: bytes were expected")
    return value


def _parts(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: their numbers, and varints as numbers, all else as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        form = tag & 7
        if form == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if form == 2:
            size, at = _varint(data, at)
        elif form in (1, 5):
            size = 8 if form == 1 else 4
        else:
            raise UnreadableError(f"the protobuf cannot be read: wire type {form}")
        if at + size > len(data):
            raise UnreadableError("the protobuf cannot be read: it ends too early")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise UnreadableError("the protobuf cannot be read: a number is too long")
