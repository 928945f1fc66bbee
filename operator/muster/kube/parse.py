"""Wire -> core: the one translator, and the reflectors' decoders of every kind.

It never raises on what an object says: builtin kinds become records (what is missing or unreadable there counts as
absent), a TrainingJob becomes a Job or Rejected, a ClusterTopology a TopologySpec that may carry `invalid`. Bytes that
are not a list, an event or an object of the API at all raise ValueError, as `wire.Decoder` says. Bytes and dicts
(kopf's) of one object give equal records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from muster.core.model import (
    Admission,
    Child,
    Job,
    Kind,
    Node,
    Pod,
    Record,
    Rejected,
    TopologySpec,
)
from muster.kube.parse_cluster import (
    ClassItem,
    NodeItem,
    QuotaItem,
    ServiceItem,
    child_of,
    node_of,
    priority_class_of,
    quota_of,
)
from muster.kube.parse_job import job_from
from muster.kube.parse_meta import Slim
from muster.kube.parse_pod import PodItem, PodSpecs, admission_of, pod_of
from muster.kube.parse_topology import DEFAULT_TOPOLOGY, topology_from
from muster.kube.wire import Decoder, Event, Page, Status

__all__ = [
    "DEFAULT_TOPOLOGY",
    "admission",
    "child",
    "decoder",
    "job",
    "job_from",
    "node",
    "pod",
    "record_from",
    "topology",
    "topology_from",
]

T = TypeVar("T")


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_token: str = msgspec.field(name="continue", default="")


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 0
    reason: str | None = None
    message: str | None = None


class _Items(msgspec.Struct, Generic[T]):
    metadata: _ListMeta
    items: list[T] | None = None


class _Decoder(Generic[T]):
    """A `wire.Decoder` of one kind: items of type T, and how an item becomes a record."""

    def __init__(self, item: type[T], record: Callable[[T], Record | None], named: bool = False) -> None:
        self._page = msgspec.json.Decoder(_Items[item])  # type: ignore[valid-type]
        self._item = msgspec.json.Decoder(item)
        self._record = record
        self._named = named

    def page(self, data: bytes) -> Page:
        page = _read(self._page, data)
        items = page.items or []
        records = tuple(record for item in items if (record := self._record(item)) is not None)
        ids = tuple(self._id(item) for item in items)
        return Page(records, ids, page.metadata.resource_version, page.metadata.continue_token)

    def event(self, line: bytes) -> Event:
        read = _read(_LINE, line)
        if read.type == "ERROR":
            status = _STATUS.decode(read.object)
            return Event(read.type, None, "", "", Status(status.code, status.reason or "", status.message or ""))
        if read.type == "BOOKMARK":
            return Event(read.type, None, "", _SLIM.decode(read.object).metadata.resource_version)
        item = _read(self._item, read.object)
        return Event(read.type, self._record(item), self._id(item), self._rv(item))

    def record(self, data: bytes) -> Record | None:
        """The record of one object alone, as create, get and patch answer."""
        return self._record(self._item.decode(data))

    def _id(self, item: T) -> str:
        assert isinstance(item, Slim)
        return item.metadata.name if self._named else item.metadata.uid

    def _rv(self, item: T) -> str:
        assert isinstance(item, Slim)
        return item.metadata.resource_version


class _RawDecoder(_Decoder[msgspec.Raw]):
    """Our own kinds: each object is decoded by itself and whole, since rendering needs all of it."""

    def __init__(self, record: Callable[[Mapping[str, Any]], Record]) -> None:
        super().__init__(msgspec.Raw, lambda raw: record(_whole(raw)))

    def _id(self, item: msgspec.Raw) -> str:
        return _SLIM.decode(item).metadata.uid

    def _rv(self, item: msgspec.Raw) -> str:
        return _SLIM.decode(item).metadata.resource_version


def _whole(raw: msgspec.Raw | bytes) -> dict[str, Any]:
    """An object as plain values."""
    whole = _read(_ANY, raw)
    if not isinstance(whole, dict):
        raise msgspec.ValidationError("an object of the API was expected")
    return whole


def _read(decoder: msgspec.json.Decoder[T], data: msgspec.Raw | bytes) -> T:
    """Decode; nesting that no schema of the API allows is no JSON of this shape either (ValueError)."""
    try:
        return decoder.decode(data)
    except RecursionError:
        raise ValueError("nested too deeply for an object of the API") from None


_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_LINE = msgspec.json.Decoder(_Line)
_STATUS = msgspec.json.Decoder(_Status)
_SLIM = msgspec.json.Decoder(Slim)

_NODES = _Decoder(NodeItem, node_of)
_PODS = _Decoder(PodItem, pod_of)
_SERVICES = _Decoder(ServiceItem, child_of)
_CLASSES = _Decoder(ClassItem, priority_class_of, named=True)
_QUOTAS = _Decoder(QuotaItem, quota_of)
_JOBS = _RawDecoder(job_from)
_TOPOLOGIES = _RawDecoder(topology_from)

_DECODERS: dict[Kind, Decoder] = {
    Kind.NODE: _NODES,
    Kind.POD: _PODS,
    Kind.JOB: _JOBS,
    Kind.TOPOLOGY: _TOPOLOGIES,
    Kind.PRIORITY_CLASS: _CLASSES,
    Kind.QUOTA: _QUOTAS,
    Kind.CHILD: _SERVICES,
}
_WATCHED = {
    "Node": (NodeItem, node_of),
    "Pod": (PodItem, pod_of),
    "Service": (ServiceItem, child_of),
    "PriorityClass": (ClassItem, priority_class_of),
    "ResourceQuota": (QuotaItem, quota_of),
}


def decoder(kind: Kind) -> Decoder:
    """The decoder of a kind's lists and watches."""
    return _DECODERS[kind]


def pod(data: bytes) -> Pod:
    """A Pod as the API answers it."""
    return pod_of(_PODS._item.decode(data))


def node(data: bytes) -> Node:
    """A Node as the API answers it."""
    return node_of(_NODES._item.decode(data))


def child(data: bytes) -> Child | None:
    """A Service as the API answers it; None if no TrainingJob owns it."""
    return child_of(_SERVICES._item.decode(data))


def job(data: bytes) -> Job | Rejected:
    """A TrainingJob as the API answers it."""
    return job_from(_whole(data))


def topology(data: bytes) -> TopologySpec:
    """A ClusterTopology as the API answers it."""
    return topology_from(_whole(data))


def admission(data: bytes, template: str, at: int) -> Admission:
    """What the dry run of `template` (hash+hash) answered: the pod as admitted, at `at` (ms)."""
    return admission_of(_ADMITTED.decode(data), template, at)


_ADMITTED = msgspec.json.Decoder(PodSpecs)


def record_from(obj: Mapping[str, Any]) -> Record | None:
    """The record of an object of any kind that muster reads, by its `kind`, as dumps of a cluster hold them; None for
    other kinds and for what parses to nothing. Raises ValueError for a builtin object that is none."""
    kind = obj.get("kind")
    if kind == "TrainingJob":
        return job_from(obj)
    if kind == "ClusterTopology":
        return topology_from(obj)
    for name, (item, record) in _WATCHED.items():
        if kind == name:
            read: Callable[[Any], Record | None] = record  # type: ignore[assignment]
            return read(msgspec.json.decode(msgspec.json.encode(dict(obj)), type=item))
    return None
