"""Writing: create, replace, patch, and server-side apply, in the order in which the real server does things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from muster.embedded import bodies, changes, metadata
from muster.embedded.answers import forms
from muster.embedded.bodies import PATCHES, change_of
from muster.embedded.builtin import quota
from muster.embedded.builtin.behaviour import Behaviour
from muster.embedded.kinds import CRDS, Kind
from muster.embedded.metadata import bad, required
from muster.embedded.patching import apply, patches
from muster.embedded.schemas import schema
from muster.embedded.storage.state import Change, Route, State
from muster.embedded.storage.store import Entry, encode
from muster.embedded.wire import (
    Cause,
    Object,
    Request,
    Response,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)

LARGEST = 1_572_864
"""Bytes of one object; etcd's own limit of a request."""
_ASK_SIZE = 512 * 1024
_LONGEST_BASE = 58
"""Characters of generateName that are kept."""


class Writes:
    """The writing verbs. `finish` removes an object that was only waiting for its finalizers."""

    def __init__(
        self,
        state: State,
        behaviours: Callable[[Kind], Behaviour],
        finish: Callable[[Kind, Entry, Object], Entry],
    ) -> None:
        self._state = state
        self._behaviour = behaviours
        self._finish = finish

    def create(self, route: Route, request: Request) -> Response:
        """POST on a collection."""
        change = change_of(request, "CreateOptions")
        obj = bodies.read(request, route.kind, change)
        data = self.make(route, obj, change)
        return _answer(self._state, route.kind, data, change, 201)

    def replace(self, route: Route, request: Request) -> Response:
        """PUT."""
        change = change_of(request, "UpdateOptions")
        kind = route.kind
        obj = bodies.read(request, kind, change)
        meta = obj["metadata"]
        if meta.get("name") != route.name:
            said = (
                f"the name of the object ({meta.get('name') or ''}) does not match the name on the URL ({route.name})"
            )
            raise bad_request(said)
        bodies.place(obj, route)
        entry = self._state.store.table(kind).entries.get(route.key)
        if entry is None:
            if route.subresource or not self._behaviour(kind).create_on_update:
                raise route.missing()
            if meta.get("uid"):
                raise self._other(route, meta["uid"], self._state.uid())
            meta.pop("resourceVersion", None)
            return _answer(self._state, kind, self.make(route, obj, change), change, 201)
        if not meta.get("resourceVersion") and not kind.unconditional:
            why = bad("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(kind.plural, kind.group, route.name, [why])
        if meta.get("uid") not in (None, "", entry.uid):
            raise self._other(route, meta["uid"], entry.uid)
        data = self.change(route, entry, entry.object(), obj, change)
        return _answer(self._state, kind, data, change, 200)

    def patch(self, route: Route, request: Request) -> Response:
        """PATCH, of whichever kind."""
        kind = route.kind
        media = bodies.media(request)
        if media not in PATCHES or (media == patches.STRATEGIC and kind.crd is not None):
            raise bodies.unsupported_patch(kind)
        if media == patches.APPLY_CBOR:
            raise StatusError(415, "UnsupportedMediaType", "the embedded server does not read CBOR")
        change = change_of(request, "PatchOptions")
        if change.force and media != patches.APPLY:
            cause = metadata.forbid("force", "may not be specified for non-apply patch")
            raise invalid("PatchOptions", "meta.k8s.io", "", [cause])
        body = bodies.decoded(request, kind.kind)
        entry = self._state.store.table(kind).entries.get(route.key)
        if media == patches.APPLY:
            return self._apply(route, entry, body, change)
        if entry is None:
            raise route.missing()
        live = entry.object()
        new = changes.patched(kind, live, body, media)
        obj = bodies.normal(new, kind, change)
        return _answer(self._state, kind, self.change(route, entry, live, obj, change), change, 200)

    def _apply(self, route: Route, entry: Entry | None, body: Any, change: Change) -> Response:
        kind = route.kind
        if not change.request.parameter("fieldManager"):
            cause = required("fieldManager", "is required for apply patch")
            raise invalid("PatchOptions", "meta.k8s.io", "", [cause])
        if not isinstance(body, dict):
            raise bad_request("error decoding YAML: the body is no object")
        if entry is None and route.subresource:
            raise route.missing()
        live = None if entry is None else entry.object()
        new = apply.apply(
            kind,
            live,
            body,
            manager=change.manager,
            force=change.force,
            now=self._state.now(),
            subresource=route.subresource,
        )
        obj = bodies.normal(new, kind, change)
        if obj["metadata"].get("name") not in (None, "", route.name):
            raise bad_request(
                f"the name of the object ({obj['metadata']['name']}) does not match the name on the URL ({route.name})"
            )
        obj["metadata"]["name"] = route.name
        if entry is None or live is None:
            if obj["metadata"].get("uid"):
                raise conflict(
                    kind.plural,
                    kind.group,
                    route.name,
                    "uid mismatch: the provided object specified uid "
                    f"{obj['metadata']['uid']}, and no existing object was found",
                )
            return _answer(self._state, kind, self.make(route, obj, change, managed=True), change, 201)
        data = self.change(route, entry, live, obj, change, managed=True)
        return _answer(self._state, kind, data, change, 200)

    # --- creating ---

    def make(self, route: Route, obj: Object, change: Change, *, managed: bool = False) -> bytes:
        """Create an object; its bytes. `managed`: its managedFields are as they should be."""
        state, kind = self._state, route.kind
        behaviour = self._behaviour(kind)
        bodies.place(obj, route)
        meta = obj["metadata"]
        if meta.get("resourceVersion"):
            # No client error to the real server, either.
            raise StatusError(500, "", "resourceVersion should not be set on objects to be created")
        name = meta.get("name") or ""
        if not name and meta.get("generateName"):
            name = meta["name"] = self._generated(route, meta["generateName"])
        if kind.namespaced:
            self._namespace(kind, route.namespace, name)
        for part in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "uid", "generation"):
            meta.pop(part, None)
        if kind.status and behaviour.status:
            obj.pop("status", None)
        if kind.crd is not None:
            obj = _custom(kind, obj, None, "", change)
            meta = obj["metadata"]
        behaviour.default(obj)
        behaviour.prepare(state, obj)
        behaviour.admit(state, obj, change)
        causes: list[Cause] = []
        if not name:
            causes.append(required("metadata.name", "name or generateName is required"))
        elif fault := behaviour.name_fault(name):
            causes.append(bad("metadata.name", name, fault))
        causes += metadata.check(meta, _built_in(kind))
        causes += behaviour.check(obj)
        if causes:
            raise invalid(kind.kind, kind.group, name, causes)
        table = state.store.table(kind)
        existing = table.entries.get(f"{route.namespace}/{name}" if route.namespace else name)
        if existing is not None:
            error = already_exists(kind.plural, kind.group, name)
            if existing.object()["metadata"].get("deletionTimestamp"):
                said = f"object is being deleted: {error.message}"
                error = StatusError(error.code, error.reason, said, error.details)
            raise error
        if kind.namespaced:
            quota.reserve(state, kind.plural, kind.group, obj, change.dry_run)
        self._stamp(obj, behaviour)
        if not managed:
            _manage(kind, obj, None, change, "", state.now())
        self._weigh(obj, change, 0)
        if change.dry_run:
            return encode(obj)
        return state.store.put(table, obj, None).data

    def _stamp(self, obj: Object, behaviour: Behaviour) -> None:
        """Put in what the server decides, in the order of the real one's output."""
        meta = obj["metadata"]
        head = {part: meta.pop(part) for part in ("name", "generateName", "namespace") if meta.get(part)}
        meta.pop("creationTimestamp", None)
        for part in ("generateName", "namespace"):
            meta.pop(part, None)
        rest = dict(meta)
        meta.clear()
        meta |= head
        meta["uid"] = self._state.uid()
        if behaviour.generation:
            meta["generation"] = 1
        meta["creationTimestamp"] = self._state.timestamp()
        meta |= rest

    def _generated(self, route: Route, base: str) -> str:
        entries = self._state.store.table(route.kind).entries
        for _ in range(8):
            name = base[:_LONGEST_BASE] + self._state.suffix()
            if (f"{route.namespace}/{name}" if route.namespace else name) not in entries:
                return name
        raise already_exists(route.kind.plural, route.kind.group, name)

    def _namespace(self, kind: Kind, namespace: str, name: str) -> None:
        found = self._state.find("", "namespaces", namespace)
        if found is None:
            raise not_found("namespaces", "", namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            said = f"namespace {namespace} is being terminated"
            cause = Cause("metadata.namespace", said, "NamespaceTerminating")
            raise forbidden(kind.plural, kind.group, name, why, [cause])

    # --- changing ---

    def change(
        self, route: Route, entry: Entry, old: Object, new: Object, change: Change, *, managed: bool = False
    ) -> bytes:
        """Put `new` in the place of `old`, the object of `entry`; the bytes of what is there then."""
        state, kind, subresource = self._state, route.kind, route.subresource
        behaviour = self._behaviour(kind)
        before, meta = old["metadata"], new["metadata"]
        if meta.get("resourceVersion") not in (None, "", "0", before["resourceVersion"]):
            raise conflict(kind.plural, kind.group, route.name)
        for part in metadata.FILLED:
            if not meta.get(part) and part in before:
                if part == "managedFields" and meta.get(part) == []:
                    continue
                meta[part] = before[part]
        for part in metadata.KEPT:
            if part in before:
                meta[part] = before[part]
            else:
                meta.pop(part, None)
        new = changes.split(kind, new, old, subresource)
        meta = new["metadata"]
        if kind.crd is not None:
            new = _custom(kind, new, old, subresource, change)
            meta = new["metadata"]
        behaviour.default(new)
        behaviour.prepare_change(state, new, old, subresource)
        causes = [*metadata.check(meta, _built_in(kind)), *metadata.check_change(meta, before)]
        causes += behaviour.check_change(new, old, subresource)
        if causes:
            raise invalid(kind.kind, kind.group, route.name, causes)
        if behaviour.generation and subresource != "status" and changes.changed(new, old):
            meta["generation"] = before.get("generation", 0) + 1
        if not managed and new != old:
            _manage(kind, new, old, change, subresource, state.now())
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds"):
            if not change.dry_run and not (new.get("spec") or {}).get("finalizers"):
                self._finish(kind, entry, new)
            return encode(new)
        if new == old:
            return entry.data
        self._weigh(new, change, len(entry.data))
        if change.dry_run:
            return encode(new)
        return state.store.put(state.store.table(kind), new, entry).data

    def _weigh(self, obj: Object, change: Change, before: int) -> None:
        if len(change.request.body) + before > _ASK_SIZE and len(encode(obj)) > LARGEST:
            raise StatusError(500, "", "etcdserver: request is too large")

    def _other(self, route: Route, asked: str, found: str) -> StatusError:
        where = f"{route.kind.group}/" if route.kind.crd is not None else ""
        key = f"/registry/{where}{route.kind.plural}/{route.key}"
        return conflict(
            route.kind.plural,
            route.kind.group,
            route.name,
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {asked}, UID in object meta: {found}",
        )


def _built_in(kind: Kind) -> bool:
    return kind.crd is None and kind.group != CRDS


def _custom(kind: Kind, new: Object, old: Object | None, subresource: str, change: Change) -> Object:
    """What the schema of a custom kind makes of an object."""
    patch = change.request.method == "PATCH"
    made, warnings = schema.admit(kind, new, old, subresource=subresource, strict=change.strict, patch=patch)
    change.warnings += warnings
    return made


def _manage(kind: Kind, new: Object, old: Object | None, change: Change, subresource: str, now: int) -> None:
    """Keep managedFields, which only those who apply server-side look at."""
    apply.manage(kind, new, old, manager=change.manager, subresource=subresource, now=now)


def _answer(state: State, kind: Kind, data: bytes, change: Change, status: int) -> Response:
    answer = forms.of(change.request.accept).one(state, kind, data, change.request, status)
    if not change.warnings:
        return answer
    headers = tuple(("Warning", f"299 - {metadata.shown(said)}") for said in dict.fromkeys(change.warnings))
    return Response(answer.status, answer.body, answer.content_type, answer.headers + headers)
