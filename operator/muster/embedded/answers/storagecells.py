"""The columns of the kinds of storage."""

from __future__ import annotations

from typing import Any

from muster.embedded.answers.cells import age_of, name, part
from muster.embedded.wire import Object

UNSET = "<unset>"
_CLASS = "volume.beta.kubernetes.io/storage-class"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(found: Any) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in (found or ()))


def _class(each: Object) -> str:
    annotations = each.get("metadata", {}).get("annotations") or {}
    return str(annotations.get(_CLASS) or part(each, "spec").get("storageClassName") or "")


def _phase(each: Object) -> str:
    if each.get("metadata", {}).get("deletionTimestamp"):
        return "Terminating"
    return str(part(each, "status").get("phase", ""))


def volume(each: Object, now: int) -> list[Any]:
    """Cells of a PersistentVolume."""
    spec = part(each, "spec")
    claim = spec.get("claimRef")
    return [
        name(each),
        (spec.get("capacity") or {}).get("storage", "0"),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(each),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _class(each),
        spec.get("volumeAttributesClassName") or UNSET,
        part(each, "status").get("reason", ""),
        age_of(each, now),
        spec.get("volumeMode") or UNSET,
    ]


def claim(each: Object, now: int) -> list[Any]:
    """Cells of a PersistentVolumeClaim."""
    spec, status = part(each, "spec"), part(each, "status")
    volume = spec.get("volumeName", "")
    return [
        name(each),
        _phase(each),
        volume,
        (status.get("capacity") or {}).get("storage", "0") if volume else "",
        _modes(status.get("accessModes")) if volume else "",
        _class(each),
        spec.get("volumeAttributesClassName") or UNSET,
        age_of(each, now),
        spec.get("volumeMode") or UNSET,
    ]


def storage_class(each: Object, now: int) -> list[Any]:
    """Cells of a StorageClass."""
    return [
        name(each),
        each.get("provisioner", ""),
        each.get("reclaimPolicy") or "Delete",
        each.get("volumeBindingMode") or "Immediate",
        bool(each.get("allowVolumeExpansion")),
        age_of(each, now),
    ]


def csi_node(each: Object, now: int) -> list[Any]:
    """Cells of a CSINode."""
    return [name(each), len(part(each, "spec").get("drivers") or ()), age_of(each, now)]
