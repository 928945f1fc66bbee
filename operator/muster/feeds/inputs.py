"""What only admission depends on."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from muster.core.model import Change, Child, Gone, Readmit, Synced, Upsert
from muster.feeds.door import Door
from muster.kube.wire import Event, Page, Status


class _ObjectMeta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    token: str = msgspec.field(name="continue", default="")


class _Spec(msgspec.Struct, rename="camel"):
    volume_name: str = ""


class _Object(msgspec.Struct):
    """An object of any kind, or the Status of an ERROR event."""

    metadata: _ObjectMeta = msgspec.field(default_factory=_ObjectMeta)
    spec: _Spec | None = None
    code: int = 0
    message: str = ""


class _Objects(msgspec.Struct):
    metadata: _ObjectMeta
    items: list[_Object] | None = None


class _Said(msgspec.Struct):
    type: str
    object: _Object


class AdmissionInputs:
    """Objects of one kind of which nothing needs to be known but that one changed, which makes what the dry runs
    answered out of date. A `Decoder` and the sink of its reflector in one; a Child stands for an object, in place of a
    job with what of the object matters.

    `matters` is what of an object has to differ for a change to count; `outdated` says what is to be asked again.
    """

    def __init__(
        self,
        door: Door,
        matters: Callable[[_Object], str],
        outdated: Callable[[str, str], Readmit],
    ) -> None:
        self._door = door
        self._matters = matters
        self._outdated = outdated
        self._held: dict[str, Child] = {}
        self._synced = False

    def page(self, data: bytes) -> Page:
        """See Decoder."""
        read = msgspec.json.decode(data, type=_Objects)
        records = tuple(map(self._record, read.items or ()))
        return Page(records, tuple(r.id for r in records), read.metadata.resource_version, read.metadata.token)

    def event(self, line: bytes) -> Event:
        """See Decoder."""
        read = msgspec.json.decode(line, type=_Said)
        meta = read.object.metadata
        if read.type == "ERROR":
            return Event("ERROR", None, "", "", Status(read.object.code, message=read.object.message))
        return Event(read.type, self._record(read.object) if meta.uid else None, meta.uid, meta.resource_version)

    def sink(self, change: Change) -> None:
        """What the reflector calls; passes on only Readmit, and none for the first list."""
        match change:
            case Upsert(Child() as seen):
                before = self._held.get(seen.id)
                if before is not None and before.rv >= seen.rv:
                    return
                self._held[seen.id] = seen
                if self._synced and (before is None or before.job != seen.job):
                    self._door.put(self._outdated(seen.namespace, seen.name))
            case Gone(_, id_):
                gone = self._held.pop(id_, None)
                if gone is not None:
                    self._door.put(self._outdated(gone.namespace, gone.name))
            case Synced():
                self._synced = True
            case _:
                pass

    def _record(self, item: _Object) -> Child:
        meta = item.metadata
        rv = int(meta.resource_version) if meta.resource_version.isdecimal() else 0
        return Child(meta.uid, meta.namespace, meta.name, rv, job=self._matters(item))


def rules(door: Door) -> AdmissionInputs:
    """LimitRanges, or RuntimeClasses: whatever changes of one, all pods of its namespace or cluster may differ."""
    return AdmissionInputs(
        door, lambda item: item.metadata.resource_version, lambda namespace, _: Readmit(namespace or None)
    )


def volume_claims(door: Door) -> AdmissionInputs:
    """PersistentVolumeClaims: which volume one is bound to matters to the pods that mount it."""
    return AdmissionInputs(door, lambda item: item.spec.volume_name if item.spec else "", Readmit)
