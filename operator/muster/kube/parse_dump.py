"""An object of a dump: which it is, its record, and what of it could not be read.

The API server admitted what a dump holds, but a dump may have been cut, filtered or edited since. So here, other than
in the reflectors' decoders, what cannot be read is told: an object that does not have the shape of its kind is left
out, and in one that has it, a field that says nothing counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from muster.core.model import ACTIVE, Phase, Record, Rejected, TopologySpec
from muster.kube.parse_cluster import ClassItem, NodeItem, QuotaItem, node_of, priority_class_of, quota_of
from muster.kube.parse_job import job_from
from muster.kube.parse_meta import GROUP
from muster.kube.parse_pod import PodItem, pod_of
from muster.kube.parse_topology import topology_from
from muster.kube.parse_values import mapping
from muster.kube.quantity import Malformed, Written, amount_of
from muster.kube.requests import malformed

KINDS: Mapping[str, str] = {
    "Node": "",
    "Pod": "",
    "ClusterTopology": GROUP,
    "TrainingJob": GROUP,
    "PriorityClass": "scheduling.k8s.io",
    "ResourceQuota": "",
    "LimitRange": "",
    "RuntimeClass": "node.k8s.io",
    "PersistentVolumeClaim": "",
    "PersistentVolume": "",
}
"""The kinds that decide about placement, and the group of each."""
_PATH = re.compile(r"^(.*?)(?: - at `(?:key in )?\$\.?(.*)`)?$", re.DOTALL)
_PHASES = frozenset(phase.value for phase in Phase)


class _Name(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _Head(msgspec.Struct, rename="camel"):
    kind: str = ""
    api_version: str = ""
    metadata: _Name = msgspec.field(default_factory=_Name)


class _Page(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Which object it is; `matters` if it is of one of KINDS, by name and group."""

    kind: str
    matters: bool
    namespace: str
    name: str

    @property
    def key(self) -> str:
        """namespace/name, for people."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Read:
    """A record, and what is doubtful about it, in words; no record: `doubt` says why it is left out, and is empty where
    there is nothing to record."""

    record: Record | None
    doubt: str = ""


def head(raw: msgspec.Raw | bytes, kind: str = "") -> Head:
    """Which object these bytes of JSON are; `kind` for one that does not say so, as the items of a PodList do not.

    Raises ValueError, with a sentence, for what is no object of Kubernetes.
    """
    try:
        read = _HEAD.decode(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except msgspec.ValidationError as error:
        raise ValueError(located(error)) from None
    group = read.api_version.rpartition("/")[0]
    named = read.kind or kind
    if not named:
        raise ValueError("kind is missing")
    matters = named in KINDS and (not read.api_version or KINDS[named] == group)
    return Head(named, matters, read.metadata.namespace, read.metadata.name)


def items(page: bytes) -> list[msgspec.Raw]:
    """The objects on a page of a list, each as its JSON. Raises ValueError for what is none."""
    return _PAGE.decode(page).items or []


def read(kind: str, raw: msgspec.Raw | bytes) -> Read:
    """The record of an object of one of KINDS. Never raises."""
    try:
        return _READERS[kind](raw)
    except msgspec.ValidationError as error:
        return Read(None, located(error))
    except (ValueError, RecursionError, OverflowError) as error:
        return Read(None, str(error) or "it cannot be read")


def located(error: msgspec.ValidationError) -> str:
    """What does not have its shape, field first."""
    match = _PATH.match(str(error))
    if match is None:
        return str(error)
    what = match[1][:1].lower() + match[1][1:]
    return f"{match[2]}: {what}" if match[2] else what


def _node(raw: msgspec.Raw | bytes) -> Read:
    item = _NODE.decode(raw)
    if not item.metadata.name:
        return Read(None, "metadata.name is missing")
    return Read(node_of(item), _no_quantity(item.status.allocatable, "status.allocatable"))


def _pod(raw: msgspec.Raw | bytes) -> Read:
    item = _POD.decode(raw)
    found = malformed(item.spec)
    doubt = f"spec.{found[0]}: {found[1].message}" if found is not None else ""
    return Read(pod_of(item), doubt or ("" if item.metadata.name else "metadata.name is missing"))


def _class(raw: msgspec.Raw | bytes) -> Read:
    item = _CLASS.decode(raw)
    return Read(priority_class_of(item)) if item.metadata.name else Read(None, "metadata.name is missing")


def _quota(raw: msgspec.Raw | bytes) -> Read:
    item = _QUOTA.decode(raw)
    record = quota_of(item)
    if record is None:
        return Read(None, "spec.scopes: a quota with scopes is not judged beforehand")
    doubt = _no_quantity(item.spec.hard, "spec.hard") or _no_quantity(item.status.hard, "status.hard")
    return Read(record, doubt or _no_quantity(item.status.used, "status.used"))


def _topology(raw: msgspec.Raw | bytes) -> Read:
    spec: TopologySpec = topology_from(_object(raw))
    return Read(spec, spec.invalid)


def _job(raw: msgspec.Raw | bytes) -> Read:
    obj = _object(raw)
    meta = dict(mapping(obj.get("metadata")))
    if not meta.get("uid"):
        # A dump that was edited may lack it; the name tells jobs apart as well.
        meta["uid"] = f"{meta.get('namespace')}/{meta.get('name')}"
    job = job_from({**obj, "metadata": meta})
    if isinstance(job, Rejected):
        return Read(job, f"{job.path}: {job.message}")
    return Read(job, next(_odd_status(obj.get("status"), job.status.placement is not None), ""))


def _odd_status(status: Any, placed: bool) -> Iterator[str]:
    """What of a status that was written by somebody else than muster counts as never written."""
    if status is None:
        return
    if not isinstance(status, Mapping):
        yield "status: expected an object; the job counts as new"
        return
    phase = status.get("phase")
    if phase is not None and phase not in _PHASES:
        yield f"status.phase: there is no phase {str(phase)[:40]!r}; the job counts as Pending"
    if status.get("placement") is not None and not placed:
        yield "status.placement: it cannot be read; only what the job's pods hold counts"
    elif status.get("live") is True and phase in {each.value for each in ACTIVE} and not placed:
        yield "status.placement: it is missing; only what the job's pods hold counts"


def _object(raw: msgspec.Raw | bytes) -> dict[str, Any]:
    whole = _ANY.decode(raw)
    if not isinstance(whole, dict):
        raise ValueError("expected an object")
    return whole


def _no_quantity(values: Mapping[str, Written] | None, path: str) -> str:
    for name, value in (values or {}).items():
        if isinstance(found := amount_of(name, value), Malformed):
            return f"{path}[{name}]: {found.message}"
    return ""


_PAGE = msgspec.json.Decoder(_Page)
_HEAD = msgspec.json.Decoder(_Head)
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_NODE = msgspec.json.Decoder(NodeItem)
_POD = msgspec.json.Decoder(PodItem)
_CLASS = msgspec.json.Decoder(ClassItem)
_QUOTA = msgspec.json.Decoder(QuotaItem)
_READERS: dict[str, Callable[[msgspec.Raw | bytes], Read]] = {
    "Node": _node,
    "Pod": _pod,
    "PriorityClass": _class,
    "ResourceQuota": _quota,
    "ClusterTopology": _topology,
    "TrainingJob": _job,
}
RECORDED = frozenset(_READERS)
"""The kinds that have a record; the others are only put to the dry run."""
