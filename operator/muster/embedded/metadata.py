"""What the API server demands of metadata (apimachinery's ValidateObjectMeta and ValidateObjectMetaUpdate)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from muster.embedded.storage.selectors import key_fault, value_fault
from muster.embedded.wire import Cause, Object

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
STANDARD_FINALIZERS = frozenset({ORPHAN, FOREGROUND, "kubernetes"})
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_ANNOTATIONS = 256 * 1024
KEPT = ("deletionTimestamp", "deletionGracePeriodSeconds", "generation")
"""What an update does not change, whatever it says."""
FILLED = ("namespace", "uid", "creationTimestamp", "resourceVersion", "managedFields")
"""What an update may leave out without changing it."""


def subdomain_fault(name: str) -> str:
    """What is wrong with a DNS subdomain, which most names are; empty if nothing is."""
    if len(name) > 253:
        return "must be no more than 253 bytes"
    return "" if _SUBDOMAIN.fullmatch(name) else SUBDOMAIN_RULE


def label_fault(name: str) -> str:
    """What is wrong with a DNS label, which the names of namespaces and services are."""
    if len(name) > 63:
        return "must be no more than 63 bytes"
    return "" if _LABEL.fullmatch(name) else LABEL_RULE


def shown(value: Any) -> str:
    """A value as field errors print it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def bad(field: str, value: Any, why: str) -> Cause:
    """A value that cannot be."""
    return Cause(field, f"Invalid value: {shown(value)}: {why}")


def required(field: str, why: str = "") -> Cause:
    """A value that is missing."""
    return Cause(field, f"Required value: {why}" if why else "Required value", "FieldValueRequired")


def forbid(field: str, why: str) -> Cause:
    """A value that may not be given."""
    return Cause(field, f"Forbidden: {why}", "FieldValueForbidden")


def unsupported(field: str, value: Any, supported: tuple[str, ...]) -> Cause:
    """A value out of a set."""
    listed = ", ".join(f'"{each}"' for each in supported)
    return Cause(field, f"Unsupported value: {shown(value)}: supported values: {listed}", "FieldValueNotSupported")


def duplicate(field: str, value: Any) -> Cause:
    """A value that is there twice."""
    return Cause(field, f"Duplicate value: {shown(value)}", "FieldValueDuplicate")


def check(meta: Object, built_in: bool = True) -> Iterator[Cause]:
    """What is wrong with labels, annotations, owners and finalizers; definitions and custom objects may carry
    finalizers without a domain."""
    for key, value in (meta.get("labels") or {}).items():
        if fault := key_fault(key):
            yield bad("metadata.labels", key, fault)
        if fault := value_fault(value):
            yield bad("metadata.labels", value, fault)
    size = 0
    for key, value in (meta.get("annotations") or {}).items():
        if fault := key_fault(key.lower()):
            yield bad("metadata.annotations", key, fault)
        size += len(key) + len(value)
    if size > _ANNOTATIONS:
        yield Cause("metadata.annotations", f"Too long: may not be more than {_ANNOTATIONS} bytes", "FieldValueTooLong")
    controllers: list[str] = []
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        path = f"metadata.ownerReferences[{index}]"
        for part in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(part):
                yield required(f"{path}.{part}", "must not be empty")
        if owner.get("controller"):
            controllers.append(str(owner.get("name")))
    if len(controllers) > 1:
        first, second = controllers[:2]
        why = "Only one reference can have Controller set to true. "
        why += f'Found "true" in references for {first} and {second}'
        yield bad("metadata.ownerReferences", meta["ownerReferences"], why)
    for index, name in enumerate(meta.get("finalizers") or ()):
        path = f"metadata.finalizers[{index}]"
        if fault := key_fault(name):
            yield bad(path, name, fault)
        elif built_in and "/" not in name and name not in STANDARD_FINALIZERS:
            yield bad(path, name, "name is neither a standard finalizer name nor is it fully qualified")


def check_change(new: Object, old: Object) -> Iterator[Cause]:
    """What of metadata may not change so."""
    if old.get("deletionTimestamp"):
        held = old.get("finalizers") or ()
        added = [name for name in new.get("finalizers") or () if name not in held]
        if added:
            listed = ", ".join(f'"{name}"' for name in sorted(added))
            why = "no new finalizers can be added if the object is being deleted, found new finalizers "
            yield forbid("metadata.finalizers", f"{why}[]string{{{listed}}}")
    for part in ("name", "namespace", "uid", "creationTimestamp"):
        if new.get(part) != old.get(part):
            yield bad(f"metadata.{part}", new.get(part), "field is immutable")
