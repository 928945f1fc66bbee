"""Server-side apply, and who manages which fields.

A manager owns what it last applied or wrote. Applying puts its fields over the object, takes away those that it applied
before and nobody else owns, and conflicts with others over fields whose value it would change. Pods, nodes, leases and
events are written in such numbers that plain writes to them are only noted once somebody applies them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from muster.embedded.kinds import Kind
from muster.embedded.patching import merging
from muster.embedded.patching.fieldsets import Path, Paths, decode, encode, shown, with_ancestors
from muster.embedded.patching.typed import Place
from muster.embedded.schemas import schema
from muster.embedded.schemas.fielderrors import as_json, quoted
from muster.embedded.schemas.validation import same
from muster.embedded.wire import Object, StatusError, bad_request

BULK = frozenset([("", "pods"), ("", "nodes"), ("", "events"), ("coordination.k8s.io", "leases")])
"""Kinds whose plain writes are not noted before somebody applies."""
BEFORE = "before-first-apply"
KUBECTL = "kubectl"
"""The manager of `kubectl apply --server-side`, which the real server helps over from client-side apply."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
APPLY, UPDATE = "Apply", "Update"
_UNOWNED = frozenset(
    (
        "managedFields", "name", "generateName", "namespace", "selfLink", "uid", "generation", "resourceVersion",
        "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    )
)  # fmt: skip
"""Metadata that nobody owns."""


@dataclass(frozen=True, slots=True)
class Owner:
    """One entry of managedFields."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    paths: frozenset[Path]
    time: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What tells it from other entries."""
        return self.manager, self.operation, self.api_version, self.subresource

    def shown(self) -> str:
        """As a conflict names it."""
        out = quoted(self.manager)
        if self.subresource:
            out += f" with subresource {quoted(self.subresource)}"
        return f"{out} using {self.api_version}" if self.operation == UPDATE else out


def apply(
    kind: Kind, live: Object | None, patch: Object, *, manager: str, force: bool, now: int, subresource: str = ""
) -> Object:
    """Return the object that applying `patch` makes of `live` (None: of nothing), managedFields included.

    now -- ms since 1970. Nothing given is changed. Raises StatusError: 400 for a body that cannot be applied, 409 for
    conflicts, which `force` settles in favour of `manager`, 500 (as the real server) for a body that has no such type.
    """
    metadata = patch.get("metadata") or {}
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    for part, wanted in (("kind", kind.kind), ("apiVersion", kind.api_version)):
        if not patch.get(part):
            raise bad_request(f"error decoding patch: Object '{part}' is missing in the applied object")
        if patch[part] != wanted:
            raise bad_request(f"the applied object is a {patch['apiVersion']} {patch.get('kind')}, not a {kind.kind}")
    place = _root(kind)
    base = live if live is not None else _bare(patch)
    try:
        merging.check(place, patch)
        owners = _read(base)
        if live is not None and not owners:
            # Whatever was there before anybody applied belongs to one manager, so that it is not lost.
            paths = _owned(merging.fields(place, _content(kind, base, subresource)))
            owners = [Owner(BEFORE, UPDATE, kind.api_version, "", frozenset(paths), _time(now))]
        body = _content(kind, patch, subresource)
        mine = Owner(manager, APPLY, kind.api_version, subresource, frozenset(_owned(merging.fields(place, body))))
        last = next((o for o in owners if o.identity == mine.identity), None)
        others = [o for o in owners if o.identity != mine.identity]
        merged = merging.merge(place, base, body)
        changed, _ = merging.changes(place, base, merged)
        mine_before = _applied_by_client(place, live) if live is not None and manager == KUBECTL else set()
        others = _settle(others, _owned(changed), force, mine_before)
        if last is not None:
            held = with_ancestors(path for owner in (*others, mine) for path in owner.paths)
            merged = merging.without(place, merged, with_ancestors(last.paths) - held)
    except merging.Mistyped as error:
        raise _mistyped(kind, patch, str(error)) from error
    result: Object = {**merged, "metadata": dict(merged.get("metadata") or {})}
    if live is not None and manager == KUBECTL and _last_applied(live):
        result["metadata"]["annotations"] = {**result["metadata"]["annotations"], LAST_APPLIED: _configuration(patch)}
    # The time is that of the last change of the object, not of the entry.
    time = last.time if last is not None else ""
    if live is None or not same(_unmanaged(result), _unmanaged(live)):
        time = _time(now)
    _write(result, [*others, replace(mine, time=time)])
    return result


def manage(kind: Kind, new: Object, old: Object | None, *, manager: str, subresource: str = "", now: int = 0) -> None:
    """Note in `new.metadata.managedFields` what a plain write changed from `old`; for a create `old` is None.

    The entries start from those that `new` carries, as a client may send them: one empty entry (`[{}]`) forgets all.
    """
    metadata = new["metadata"]
    sent = metadata.get("managedFields")
    if sent == [{}]:
        metadata.pop("managedFields")
        return
    try:
        owners = _read(new)
    except (KeyError, TypeError, AttributeError):
        # As the real server does: what the client sends as managedFields and cannot be read does not count.
        owners = _read(old) if old is not None else []
    if not owners and (old is not None or (kind.group, kind.plural) in BULK):
        return
    place = _root(kind)
    try:
        changed, gone = merging.changes(place, old if old is not None else _bare(new), new)
    except merging.Mistyped:
        # An object that is no set of owned fields, such as a list with an entry twice that was valid once.
        return
    changed, gone = (_at(kind, _owned(paths), subresource) for paths in (changed, gone))
    if not changed and not gone:
        _write(new, owners)
        return
    identity = (manager, UPDATE, kind.api_version, subresource)
    out = []
    mine = Owner(*identity, frozenset())
    for owner in owners:
        if owner.identity == identity:
            mine = owner
            continue
        out.append(replace(owner, paths=owner.paths - changed - gone))
    paths = frozenset((mine.paths - gone) | changed)
    out.append(replace(mine, paths=paths, time=_time(now) if changed else mine.time))
    _write(new, out)


def _root(kind: Kind) -> Place:
    return Place.root(kind, schema.compiled(kind) if kind.crd is not None else None)


def _bare(value: Object) -> Object:
    """What an object is before anybody has set anything."""
    return {"apiVersion": value.get("apiVersion"), "kind": value.get("kind"), "metadata": {}}


def _content(kind: Kind, value: Object, subresource: str) -> Object:
    """What can be applied at this path: the status at its own, all else at the object's."""
    if not kind.status:
        return value
    if subresource == "status":
        return {name: part for name, part in value.items() if name in ("apiVersion", "kind", "metadata", "status")}
    return {name: part for name, part in value.items() if name != "status"}


def _at(kind: Kind, paths: Paths, subresource: str) -> Paths:
    """Of some paths those that a write at this path can set."""
    if not kind.status:
        return paths
    return {path for path in paths if (path[0] == "f:status") == (subresource == "status")}


def _unmanaged(value: Object) -> Object:
    return {**value, "metadata": {k: v for k, v in value["metadata"].items() if k != "managedFields"}}


def _owned(paths: Iterable[Path]) -> Paths:
    """Of some paths those that a manager can own."""
    out: Paths = set()
    for path in paths:
        if path[0] in ("f:apiVersion", "f:kind") or path == ("f:metadata",):
            continue
        if path[0] == "f:metadata" and path[1][2:] in _UNOWNED:
            continue
        out.add(path)
    return out


def _settle(others: list[Owner], changed: Paths, force: bool, free: Paths) -> list[Owner]:
    """Take from others what is changed, if `force` or all of it is in `free`. Raises StatusError (409) where not."""
    conflicts = [(owner, path) for owner in others for path in sorted(owner.paths & changed - free)]
    if conflicts and not force:
        raise _conflict(conflicts)
    return [replace(owner, paths=owner.paths - changed) for owner in others]


def _last_applied(live: Object) -> str:
    return str((live["metadata"].get("annotations") or {}).get(LAST_APPLIED) or "")


def _configuration(patch: Object) -> str:
    """What kubectl's annotation holds of an applied object."""
    metadata = {name: part for name, part in patch["metadata"].items() if name != "managedFields"}
    annotations = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if k != LAST_APPLIED}
    if annotations:
        metadata["annotations"] = annotations
    return as_json({**patch, "metadata": metadata}) + "\n"


def _applied_by_client(place: Place, live: Object) -> Paths:
    """What is as kubectl itself applied it before, from the client's side, and so is in conflict with nobody."""
    text = _last_applied(live)
    if not text:
        return set()
    try:
        before = msgspec.json.decode(text)
        here = _owned(merging.fields(place, before))
        differing, _ = merging.changes(place, live, merging.merge(place, live, before))
    except (msgspec.DecodeError, merging.Mistyped, AttributeError):
        return set()
    return here - differing


def _conflict(conflicts: Sequence[tuple[Owner, Path]]) -> StatusError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {owner.shown()}", "field": shown(path)}
        for owner, path in conflicts
    ]
    if len(conflicts) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        by_owner: dict[str, list[str]] = {}
        for owner, path in conflicts:
            by_owner.setdefault(owner.shown(), []).append(f"- {shown(path)}")
        lines = [line for name in sorted(by_owner) for line in (f"conflicts with {name}:", *by_owner[name])]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return StatusError(409, "Conflict", message, {"causes": causes})


def _mistyped(kind: Kind, patch: Object, why: str) -> StatusError:
    meta = patch.get("metadata") or {}
    where = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}"
    message = f"failed to create typed patch object ({where}; {kind.api_version}, Kind={kind.kind}): {why}"
    return StatusError(500, "", message)


def _read(value: Object) -> list[Owner]:
    return [
        Owner(
            each["manager"],
            each["operation"],
            each["apiVersion"],
            each.get("subresource") or "",
            frozenset(decode(each.get("fieldsV1"))),
            each.get("time") or "",
        )
        for each in value["metadata"].get("managedFields") or ()
    ]


def _write(value: Object, owners: Sequence[Owner]) -> None:
    """Put entries into an object, in the order of the real server; one that owns nothing is left out."""
    ordered = sorted(
        (owner for owner in owners if owner.paths),
        key=lambda o: (o.operation, o.time, o.manager, o.api_version, o.subresource),
    )
    listed = []
    for owner in ordered:
        entry: Object = {"manager": owner.manager, "operation": owner.operation, "apiVersion": owner.api_version}
        if owner.time:
            entry["time"] = owner.time
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": encode(owner.paths)}
        if owner.subresource:
            entry["subresource"] = owner.subresource
        listed.append(entry)
    value["metadata"].pop("managedFields", None)
    if listed:
        value["metadata"]["managedFields"] = listed


def _time(now: int) -> str:
    return datetime.fromtimestamp(now // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
