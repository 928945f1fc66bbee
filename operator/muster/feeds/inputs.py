"""What only admission depends on."""

from __future__ import annotations

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


class _Object(msgspec.Struct):
    """An object of any kind, or the Status of an ERROR event."""

    metadata: _ObjectMeta = msgspec.field(default_factory=_ObjectMeta)
    code: int = 0
    message: str = ""


class _Objects(msgspec.Struct):
    metadata: _ObjectMeta
    items: list[_Object] | None = None


class _Said(msgspec.Struct):
    type: str
    object: _Object


class AdmissionInputs:
    """LimitRanges and RuntimeClasses: nothing is known of them but that one changed, which makes what the dry runs
    answered out of date. A `Decoder` and the sink of its reflector in one; a Child without a job stands for an object.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._held: dict[str, tuple[str, int]] = {}
        self._synced = False

    def page(self, data: bytes) -> Page:
        """See Decoder."""
        read = msgspec.json.decode(data, type=_Objects)
        metas = [item.metadata for item in read.items or ()]
        records = tuple(map(self._record, metas))
        return Page(records, tuple(m.uid for m in metas), read.metadata.resource_version, read.metadata.token)

    def event(self, line: bytes) -> Event:
        """See Decoder."""
        read = msgspec.json.decode(line, type=_Said)
        meta = read.object.metadata
        if read.type == "ERROR":
            return Event("ERROR", None, "", "", Status(read.object.code, message=read.object.message))
        return Event(read.type, self._record(meta) if meta.uid else None, meta.uid, meta.resource_version)

    def sink(self, change: Change) -> None:
        """What the reflector calls; passes on only Readmit, and none for the first list."""
        match change:
            case Upsert(Child() as seen):
                before = self._held.get(seen.id)
                self._held[seen.id] = (seen.namespace, seen.rv)
                if self._synced and (before is None or before[1] < seen.rv):
                    self._door.put(Readmit(seen.namespace or None))
            case Gone(_, id_):
                namespace, _ = self._held.pop(id_, ("", 0))
                self._door.put(Readmit(namespace or None))
            case Synced():
                self._synced = True
            case _:
                pass

    @staticmethod
    def _record(meta: _ObjectMeta) -> Child:
        rv = int(meta.resource_version) if meta.resource_version.isdecimal() else 0
        return Child(meta.uid, meta.namespace, meta.name, rv, job="")
