"""Deleting: preconditions, grace, finalizers, collections (apiserver's `registry/rest/delete.go`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from muster.embedded import bodies, metadata
from muster.embedded.answers import forms
from muster.embedded.builtin.behaviour import Behaviour
from muster.embedded.kinds import Kind
from muster.embedded.metadata import FOREGROUND, ORPHAN
from muster.embedded.storage.state import Route, State
from muster.embedded.storage.store import Entry, encode
from muster.embedded.storage.watching import Filter
from muster.embedded.wire import Object, Request, Response, bad_request, conflict, forbidden, invalid

IMMORTAL = ("default", "kube-public", "kube-system")
POLICIES = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True)
class Deletion:
    """DeleteOptions."""

    grace: int | None = None
    policy: str = ""
    uid: str = ""
    rv: str = ""
    dry_run: bool = False


class _Preconditions(msgspec.Struct, rename="camel"):
    uid: str | None = None
    resource_version: str | None = None


class _Options(msgspec.Struct, rename="camel"):
    grace_period_seconds: int | None = None
    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    preconditions: _Preconditions | None = None
    dry_run: list[str] | None = None


def options(request: Request) -> Deletion:
    """The DeleteOptions of a request, from its body or its query. StatusError (400, 422)."""
    found = _Options()
    if request.body:
        try:
            found = msgspec.convert(bodies.decoded(request, "DeleteOptions"), type=_Options)
        except msgspec.ValidationError as error:
            raise bad_request(f"DeleteOptions cannot be read: {error}") from None
    grace = found.grace_period_seconds
    if grace is None and (text := request.parameter("gracePeriodSeconds")):
        try:
            grace = int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    policy = found.propagation_policy or request.parameter("propagationPolicy")
    orphan = found.orphan_dependents
    causes = []
    if policy and policy not in POLICIES:
        causes.append(metadata.unsupported("propagationPolicy", policy, ("Foreground", "Background", "Orphan", "nil")))
    if policy and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(metadata.bad("propagationPolicy", policy, why))
    dry = found.dry_run or request.parameters("dryRun")
    if any(each != "All" for each in dry):
        causes.append(metadata.unsupported("dryRun", dry, ("All",)))
    if causes:
        raise invalid("DeleteOptions", "meta.k8s.io", "", causes)
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    wanted = found.preconditions or _Preconditions()
    return Deletion(grace, policy, wanted.uid or "", wanted.resource_version or "", bool(dry))


class Deletes:
    """The deleting verbs, for clients and for the controllers inside."""

    def __init__(self, state: State, behaviours: Callable[[Kind], Behaviour]) -> None:
        self._state = state
        self._behaviour = behaviours

    def delete(self, route: Route, request: Request) -> Response:
        """DELETE of one object."""
        asked = options(request)
        kind = route.kind
        if kind.plural == "namespaces" and not kind.group and route.name in IMMORTAL:
            raise forbidden("namespaces", "", route.name, "this namespace may not be deleted")
        entry = route.entry(self._state)
        if asked.uid and asked.uid != entry.uid:
            raise conflict(
                kind.kind,
                kind.group,
                route.name,
                f"the UID in the precondition ({asked.uid}) does not match the UID in record ({entry.uid}). "
                "The object might have been deleted and then recreated",
            )
        if asked.rv and asked.rv != str(entry.rv):
            raise conflict(
                kind.kind,
                kind.group,
                route.name,
                f"the ResourceVersion in the precondition ({asked.rv}) does not match the ResourceVersion in record "
                f"({entry.rv}). The object might have been modified",
            )
        gone, obj = self.remove(kind, entry, asked)
        if gone and not self._behaviour(kind).returns_deleted:
            details = {"name": route.name, "group": kind.group, "kind": kind.plural, "uid": entry.uid}
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "details": {key: value for key, value in details.items() if value},
            }
            return Response(200, encode(status))
        return forms.of(request.accept).one(self._state, kind, encode(obj), request)

    def delete_collection(self, route: Route, request: Request, chosen: Filter) -> Response:
        """DELETE of all that is selected; the list as it was."""
        asked = options(request)
        kind = route.kind
        table = self._state.store.table(kind)
        found = [entry for entry in table.scan(route.namespace) if chosen.matches(entry)]
        rv = self._state.store.rv
        for entry in found:
            self.remove(kind, entry, asked)
        return forms.of(request.accept).many(self._state, kind, found, {"resourceVersion": str(rv)}, request)

    def remove(self, kind: Kind, entry: Entry, asked: Deletion) -> tuple[bool, Object]:
        """Delete an object, or begin to; whether it is gone, and what it was or is."""
        obj = entry.object()
        meta = obj["metadata"]
        grace = self._behaviour(kind).grace(obj, asked.grace)
        finalizers = _finalizers(meta.get("finalizers") or [], asked.policy)
        if grace is not None and grace > 0 and not self._shorter(meta, grace):
            # It is on its way already, and this asks for nothing sooner.
            changed = finalizers != (meta.get("finalizers") or [])
            return False, self._keep(kind, entry, obj, finalizers, asked) if changed else obj
        waits = bool(finalizers) or (bool((obj.get("spec") or {}).get("finalizers")) and kind.plural == "namespaces")
        if grace is not None:
            self._mark(meta, grace)
        if waits or grace:
            if grace is None:
                self._mark(meta, None if kind.plural == "namespaces" else 0)
            if kind.plural == "namespaces":
                obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
            return False, self._keep(kind, entry, obj, finalizers, asked)
        _set(meta, finalizers)
        if not asked.dry_run:
            self.finish(kind, entry, obj)
        return True, obj

    def finish(self, kind: Kind, entry: Entry, obj: Object) -> Entry:
        """Remove an object for good. `obj` is its last state; what the answer shows of its revision stays as it is."""
        return self._state.store.remove(
            self._state.store.table(kind), {**obj, "metadata": dict(obj["metadata"])}, entry
        )

    def _keep(self, kind: Kind, entry: Entry, obj: Object, finalizers: list[str], asked: Deletion) -> Object:
        _set(obj["metadata"], finalizers)
        if not asked.dry_run and encode(obj) != entry.data:
            self._state.store.put(self._state.store.table(kind), obj, entry)
        return obj

    def _shorter(self, meta: Object, grace: int) -> bool:
        """Whether a grace ends sooner than the one under way, if one is."""
        if not meta.get("deletionTimestamp"):
            return True
        held = meta.get("deletionGracePeriodSeconds")
        return held is not None and grace < held

    def _mark(self, meta: Object, grace: int | None) -> None:
        """Say that the object is being deleted, and until when."""
        if not meta.get("deletionTimestamp"):
            meta["deletionTimestamp"] = self._state.timestamp(grace or 0)
            if meta.get("generation"):
                meta["generation"] += 1
        elif grace is not None and meta.get("deletionGracePeriodSeconds", 0) > grace:
            # As the real server counts: from the moment of the first request.
            until = datetime.fromisoformat(meta["deletionTimestamp"]).timestamp()
            until += grace - meta["deletionGracePeriodSeconds"]
            meta["deletionTimestamp"] = datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        else:
            return
        if grace is not None:
            meta["deletionGracePeriodSeconds"] = grace


def _finalizers(held: list[str], policy: str) -> list[str]:
    """The finalizers that a propagation policy leaves; without one those that are there decide."""
    if not policy:
        return held
    kept = [name for name in held if name not in (ORPHAN, FOREGROUND)]
    if policy == "Orphan":
        return [*kept, ORPHAN]
    return [*kept, FOREGROUND] if policy == "Foreground" else kept


def _set(meta: Object, finalizers: list[str]) -> None:
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
