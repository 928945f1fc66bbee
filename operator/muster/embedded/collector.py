"""The controllers inside: garbage collection, namespaces and their service accounts, quota, definitions.

They note what a write may have made necessary and do it later, in `work`, in the order in which it was noted.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from muster.embedded.builtin import quota
from muster.embedded.builtin.definitions import CRD_FINALIZER
from muster.embedded.builtin.pods import TERMINAL
from muster.embedded.deletes import Deletes, Deletion
from muster.embedded.kinds import CRDS
from muster.embedded.metadata import FOREGROUND, ORPHAN
from muster.embedded.quantities import Amounts
from muster.embedded.storage.state import State
from muster.embedded.storage.store import ADDED, DELETED, Entry, Event, Table
from muster.embedded.wire import Object

BATCH = 500
"""Deletions in one turn: others may be due."""
EVENT_TTL = 3_600_000
"""ms."""
_Task = tuple[str, Any, str]


class Collector:
    """See the module. `pause` leaves the work undone, for tests of what a slow collector shows."""

    def __init__(self, state: State, deletes: Deletes, unserve: Callable[[Object], None]) -> None:
        self._state = state
        self._deletes = deletes
        self._unserve = unserve
        self._tasks: dict[_Task, None] = {}
        self._left = 0
        self._freed: dict[str, Amounts] = {}
        self._aging: deque[tuple[int, str, int]] = deque()
        pods = state.kinds.get("", "v1", "pods")
        self._phase = pods.selectable.index("status.phase") if pods is not None else 0
        self.paused = False

    @property
    def pending(self) -> bool:
        """Whether there is work."""
        return bool(self._tasks) and not self.paused

    def note(self, table: Table, event: Event) -> None:
        """Look at a write."""
        entry, kind = event.entry, table.kind
        if event.type == DELETED:
            self._add("gone", entry.uid)
            for uid in entry.owners:
                self._add("foreground", uid)
            if kind.namespaced and not self._active(entry.namespace):
                self._add("namespace", entry.namespace)
            if kind.crd is not None:
                self._add("definition", kind.crd["metadata"]["name"])
        else:
            if entry.owners and (event.old is None or event.old.owners != entry.owners):
                self._add("owners", table, entry.key)
            if b'"deletionTimestamp"' in entry.data:
                self._deleting(table, entry)
            if not kind.group and kind.plural == "events":
                self._aging.append((self._state.now() + EVENT_TTL, entry.key, entry.rv))
            if event.type == ADDED and kind.plural == "namespaces" and not kind.group:
                self._add("account", entry.name)
        if kind.namespaced:
            self._quota(table, event)

    def _deleting(self, table: Table, entry: Entry) -> None:
        if b'"orphan"' in entry.data:
            self._add("orphan", entry.uid)
        if b'"foregroundDeletion"' in entry.data:
            self._add("foreground", entry.uid)
        if table.kind.plural == "namespaces" and not table.kind.group:
            self._add("namespace", entry.name)
        if table.kind.group == CRDS:
            self._add("definition", entry.name)

    def _quota(self, table: Table, event: Event) -> None:
        plural, entry = table.kind.plural, event.entry
        if plural == "resourcequotas" and not table.kind.group:
            if event.type == ADDED or (event.old is not None and event.type != DELETED):
                self._add("quota", entry.namespace)
        elif event.old is not None and self._quotas(entry.namespace):
            kind = table.kind
            # What counts of a pod changes when it ends, and when it is gone; nothing else does.
            if event.type == DELETED or (plural == "pods" and entry.fields[self._phase] in TERMINAL):
                before = quota.charge(plural, kind.group, event.old.object())
                after = {} if event.type == DELETED else quota.charge(plural, kind.group, entry.object())
                freed = self._freed.setdefault(entry.namespace, {})
                for name, value in before.items():
                    freed[name] = freed.get(name, 0) + value - after.get(name, 0)
                self._add("freed", entry.namespace)

    def _quotas(self, namespace: str) -> bool:
        return any(True for _ in self._state.table("", "resourcequotas").scan(namespace))

    def _active(self, namespace: str) -> bool:
        entry = self._state.table("", "namespaces").entries.get(namespace)
        return entry is not None and b'"deletionTimestamp"' not in entry.data

    def _add(self, what: str, of: Any, key: str = "") -> None:
        self._tasks[what, of, key] = None

    def work(self) -> bool:
        """Do a batch of what is noted; whether some is left."""
        self._left = BATCH
        self._age()
        while self._tasks and self._left > 0 and not self.paused:
            task = next(iter(self._tasks))
            del self._tasks[task]
            what, of, key = task
            match what:
                case "gone":
                    self._gone(of)
                case "owners":
                    self._owners(of, key)
                case "orphan":
                    self._orphan(of)
                case "foreground":
                    self._foreground(of)
                case "namespace":
                    self._namespace(of)
                case "definition":
                    self._definition(of)
                case "account":
                    self._account(of)
                case "quota":
                    # Counted anew, with what was noted of it.
                    self._freed.pop(of, None)
                    quota.settle(self._state, of)
                case "freed":
                    quota.release(self._state, of, self._freed.pop(of, {}))
                case _:
                    raise ValueError(what)
        return self.pending

    @property
    def due(self) -> int | None:
        """When (ms) an Event is old enough to go."""
        return self._aging[0][0] if self._aging else None

    def _age(self) -> None:
        """Events live for an hour after their last change."""
        table = self._state.table("", "events")
        while self._aging and self._aging[0][0] <= self._state.now() and self._left > 0:
            _, key, rv = self._aging.popleft()
            entry = table.entries.get(key)
            if entry is not None and entry.rv == rv:
                self._left -= 1
                self._deletes.finish(table.kind, entry, entry.object())

    # --- owners and dependents ---

    def _gone(self, uid: str) -> None:
        """The object of this uid is no more: what depended on it goes."""
        for table, entry in self._state.store.dependents(uid):
            if self._left <= 0:
                self._add("gone", uid)
                return
            self._left -= 1
            self._collect(table, entry)

    def _owners(self, table: Table, key: str) -> None:
        """An object came with owners: if none of them is there, it goes."""
        entry = table.entries.get(key)
        if entry is not None:
            self._left -= 1
            self._collect(table, entry)
            for uid in entry.owners:
                self._add("foreground", uid)

    def _collect(self, table: Table, entry: Entry) -> None:
        obj = entry.object()
        meta = obj["metadata"]
        if meta.get("deletionTimestamp") and FOREGROUND not in (meta.get("finalizers") or ()):
            return
        owners = meta.get("ownerReferences") or []
        solid = [owner for owner in owners if self._there(entry, owner)]
        if len(solid) == len(owners):
            return
        if solid:
            meta["ownerReferences"] = solid
            self._state.store.put(table, obj, entry)
            return
        finalizers = meta.get("finalizers") or ()
        policy = "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"
        if not meta.get("deletionTimestamp"):
            self._deletes.remove(table.kind, entry, Deletion(policy=policy))

    def _there(self, entry: Entry, owner: Object) -> bool:
        """Whether an owner exists, where the dependent may look for it."""
        found = self._state.store.by_uid(owner.get("uid", ""))
        return found is not None and found[1].namespace in ("", entry.namespace) and found[1].name == owner.get("name")

    def _orphan(self, uid: str) -> None:
        found = self._state.store.by_uid(uid)
        if found is None:
            return
        for table, entry in self._state.store.dependents(uid):
            obj = entry.object()
            owners = [owner for owner in obj["metadata"]["ownerReferences"] if owner.get("uid") != uid]
            if owners:
                obj["metadata"]["ownerReferences"] = owners
            else:
                del obj["metadata"]["ownerReferences"]
            self._state.store.put(table, obj, entry)
        self._release(*found, ORPHAN)

    def _foreground(self, uid: str) -> None:
        """Delete what a foreground deletion waits for; end the wait when nothing is left."""
        found = self._state.store.by_uid(uid)
        if found is None or b'"foregroundDeletion"' not in found[1].data:
            return
        meta = found[1].object()["metadata"]
        if not meta.get("deletionTimestamp") or FOREGROUND not in (meta.get("finalizers") or ()):
            return
        blocking = False
        for table, entry in self._state.store.dependents(uid):
            child = entry.object()["metadata"]
            blocks = any(o.get("uid") == uid and o.get("blockOwnerDeletion") for o in child["ownerReferences"])
            others = [o for o in child["ownerReferences"] if o.get("uid") != uid and self._there(entry, o)]
            if others:
                continue
            if not child.get("deletionTimestamp"):
                if self._left <= 0:
                    self._add("foreground", uid)
                    return
                self._left -= 1
                policy = "Foreground" if self._state.store.dependents(entry.uid) else "Background"
                gone, _ = self._deletes.remove(table.kind, entry, Deletion(policy=policy))
                if gone:
                    continue
            blocking = blocking or blocks
        if not blocking:
            found = self._state.store.by_uid(uid)
            if found is not None:
                self._release(*found, FOREGROUND)

    def _release(self, table: Table, entry: Entry, finalizer: str) -> None:
        """Take a finalizer off; without one left the object is gone."""
        obj = entry.object()
        meta = obj["metadata"]
        if not meta.get("deletionTimestamp") or finalizer not in (meta.get("finalizers") or ()):
            return
        left = [name for name in meta["finalizers"] if name != finalizer]
        if left:
            meta["finalizers"] = left
        else:
            del meta["finalizers"]
        if left or meta.get("deletionGracePeriodSeconds"):
            self._state.store.put(table, obj, entry)
        else:
            self._deletes.finish(table.kind, entry, obj)

    # --- what goes as a whole ---

    def _namespace(self, name: str) -> None:
        """Delete all that is in a namespace under deletion; when nothing is left, the namespace."""
        table = self._state.table("", "namespaces")
        entry = table.entries.get(name)
        if entry is None or b'"deletionTimestamp"' not in entry.data:
            return
        left = False
        for content in self._state.store.tables():
            if not content.kind.namespaced:
                continue
            for held in list(content.scan(name)):
                if self._left <= 0:
                    self._add("namespace", name)
                    return
                if b'"deletionTimestamp"' in held.data:
                    left = True
                    continue
                self._left -= 1
                gone, _ = self._deletes.remove(content.kind, held, Deletion(policy="Background"))
                left = left or not gone
        if left:
            return
        obj = entry.object()
        obj["spec"]["finalizers"] = []
        if not obj["metadata"].get("finalizers"):
            self._deletes.finish(table.kind, entry, obj)

    def _account(self, namespace: str) -> None:
        """The service account that pods of a namespace run as unless they say otherwise."""
        table = self._state.table("", "serviceaccounts")
        if f"{namespace}/default" in table.entries or not self._active(namespace):
            return
        meta: Object = {"name": "default", "namespace": namespace, "uid": self._state.uid()}
        meta["creationTimestamp"] = self._state.timestamp()
        self._state.store.put(table, {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": meta}, None)

    def _definition(self, name: str) -> None:
        """Delete the objects of a definition under deletion; when none is left, the definition."""
        table = self._state.table(CRDS, "customresourcedefinitions")
        entry = table.entries.get(name)
        if entry is None or b'"deletionTimestamp"' not in entry.data:
            return
        obj = entry.object()
        spec = obj["spec"]
        kind = self._state.kinds.find(spec["group"], spec["names"]["plural"])
        if kind is not None:
            content = self._state.store.table(kind)
            for held in list(content.scan("")):
                if self._left <= 0:
                    self._add("definition", name)
                    return
                if b'"deletionTimestamp"' not in held.data:
                    self._left -= 1
                    self._deletes.remove(kind, held, Deletion(policy="Background"))
            if content.entries:
                return
            self._unserve(obj)
        self._release(table, entry, CRD_FINALIZER)
