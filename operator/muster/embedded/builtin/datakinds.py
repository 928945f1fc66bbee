"""ConfigMaps and Secrets: data and its bound."""

from __future__ import annotations

import base64

from muster.embedded.builtin.behaviour import Behaviour, Causes
from muster.embedded.metadata import forbid
from muster.embedded.wire import Cause, Object

_LARGEST_DATA = 1 << 20
"""Bytes of a ConfigMap's values."""


class ConfigMaps(Behaviour):
    """Text and bytes that may be fixed for good."""

    def check(self, obj: Object) -> Causes:
        """What is wrong with its size."""
        return _bounded(obj)

    def check_change(self, new: Object, old: Object, subresource: str) -> Causes:
        """Its size, and what is fixed for good."""
        yield from _bounded(new)
        if old.get("immutable"):
            for part in ("data", "binaryData"):
                if new.get(part) != old.get(part):
                    yield forbid(part, "field is immutable when `immutable` is set")
            if not new.get("immutable"):
                yield forbid("immutable", "field is immutable when `immutable` is set")


def _bounded(obj: Object) -> Causes:
    size = sum(len(value) for part in ("data", "binaryData") for value in (obj.get(part) or {}).values())
    if size > _LARGEST_DATA:
        yield Cause("[]", f"Too long: may not be more than {_LARGEST_DATA} bytes", "FieldValueTooLong")


class Secrets(Behaviour):
    """Kept as they are, and shown to everybody."""

    def default(self, obj: Object) -> None:
        """Text is kept in base64, as data."""
        if not obj.get("type"):
            obj["type"] = "Opaque"
        if obj.get("stringData"):
            added = {key: base64.b64encode(str(text).encode()).decode() for key, text in obj.pop("stringData").items()}
            obj["data"] = {**(obj.get("data") or {}), **added}
