"""Reading: one object, lists and their pages, the beginning of a watch.

What resourceVersion and resourceVersionMatch mean: https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from muster.embedded.answers import forms
from muster.embedded.kinds import Kind
from muster.embedded.storage.selectors import fields as parse_fields
from muster.embedded.storage.selectors import labels as parse_labels
from muster.embedded.storage.state import Route, State
from muster.embedded.storage.store import ADDED, Entry, Expired, Snapshot, decode, encode
from muster.embedded.storage.watching import Filter, Hub, Watcher
from muster.embedded.wire import (
    Cause,
    Object,
    Request,
    Response,
    StatusError,
    Watch,
    bad_request,
    expired,
    invalid,
    too_large_version,
)

TOO_OLD = "The resourceVersion for the provided list is too old."
TOKEN_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class Reads:
    """The reading verbs."""

    def __init__(self, state: State, hub: Hub) -> None:
        self._state = state
        self._hub = hub
        self.stale: int | None = None
        """The revision that reads at resourceVersion=0 are served from, None for the present."""
        self.expired_as_status = False
        """Whether a watch from too old a revision is answered by HTTP 410, in place of an ERROR event."""

    def get(self, route: Route, request: Request) -> Response:
        """One object."""
        form = forms.of(request.accept)
        self._revision(request)
        if self.stale is not None and request.parameter("resourceVersion") == "0":
            entry = self._stale(route.kind).entries.get(route.key)
            if entry is None:
                raise route.missing()
        else:
            entry = route.entry(self._state)
        return form.one(self._state, route.kind, entry.data, request)

    def list(self, route: Route, request: Request) -> Response:
        """A list, or a page of one."""
        kind = route.kind
        form = forms.of(request.accept)
        chosen = self.filter(route, request)
        limit = self._number(request, "limit")
        token = request.parameter("continue")
        if request.parameter("resourceVersion") == "0" and not token:
            limit = 0  # as the real server, whose cache knows no pages
        snapshot, rv, after = self._snapshot(kind, request, token, limit)
        found: list[Entry] = []
        more = False
        if chosen.name and not token:
            key = f"{route.namespace}/{chosen.name}" if route.namespace else chosen.name
            if route.namespace or not kind.namespaced:
                one = snapshot.entries.get(key)
                found = [one] if one is not None and chosen.matches(one) else []
            else:
                found = [e for e in snapshot.scan("") if chosen.selects(e)]
        else:
            entries: Iterable[Entry] = snapshot.scan(route.namespace, after)
            if chosen.everything and not limit:
                found = list(entries)
            else:
                for entry in entries:
                    if not chosen.everything and not chosen.selects(entry):
                        continue
                    if limit and len(found) == limit:
                        more = True
                        break
                    found.append(entry)
        meta: Object = {"resourceVersion": str(rv)}
        if more:
            meta["continue"] = _token(rv, found[-1].key)
            if chosen.everything:
                meta["remainingItemCount"] = snapshot.count_after(route.namespace, found[-1].key)
        return form.many(self._state, kind, found, meta, request)

    def watch(self, route: Route, request: Request) -> Watch:
        """Begin a watch."""
        kind = route.kind
        state, hub = self._state, self._hub
        form = forms.of(request.accept)
        chosen = self.filter(route, request)
        text = request.parameter("resourceVersion")
        rv = self._revision(request)
        bookmarks = request.flag("allowWatchBookmarks")
        match = request.parameter("resourceVersionMatch")
        initial = request.parameter("sendInitialEvents")
        if initial == "" and match:
            raise _match("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        if initial != "" and match != "NotOlderThan":
            raise _match("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        table = state.store.table(kind)
        present = initial.lower() in ("true", "1") if initial else text in ("", "0")
        after = state.store.rv if present or not text or rv == 0 else rv
        events = []
        if not present and after < state.store.rv:
            try:
                state.store.check(after)
                events = table.since(after)
            except Expired:
                error = expired(f"too old resource version: {after} ({state.store.floor})")
                if self.expired_as_status:
                    raise error from None
                refused = Watch(content_type=form.watch_type)
                Watcher(refused, kind, chosen, after, False, None).error(error)
                return refused
        watcher = hub.open(
            table,
            kind,
            chosen,
            after=max(after, state.store.rv),
            bookmarks=bookmarks,
            render=form.renderer(state, kind, request),
            content_type=form.watch_type,
        )
        if present:
            for entry in table.scan(route.namespace):
                if chosen.matches(entry):
                    watcher.send(ADDED, entry)
            if initial and bookmarks:
                watcher.bookmark(state.store.rv, initial_end=True)
        hub.replay(watcher, events)
        return watcher.watch

    def filter(self, route: Route, request: Request) -> Filter:
        """What a request selects."""
        kind = route.kind
        known = ("metadata.name", "metadata.namespace")
        selectable = (*known, *kind.selectable)
        text = request.parameter("fieldSelector")
        labels = parse_labels(request.parameter("labelSelector"))
        if kind.selectable:
            terms = parse_fields(text, lambda path: path in selectable)
        else:
            terms = parse_fields(text, lambda path: _only_names(kind, path))
        if route.name:
            terms = (*terms, *parse_fields(f"metadata.name={route.name}", lambda _: True))
        return Filter(kind, route.namespace, labels, terms)

    def _snapshot(self, kind: Kind, request: Request, token: str, limit: int) -> tuple[Snapshot, int, str]:
        """The table to list from, its revision, and the key after which the page begins."""
        store = self._state.store
        table = store.table(kind)
        match = request.parameter("resourceVersionMatch")
        text = request.parameter("resourceVersion")
        if match and not text:
            raise _match("resourceVersionMatch is forbidden unless resourceVersion is provided")
        if match not in ("", "Exact", "NotOlderThan"):
            said = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"'
            cause = Cause("resourceVersionMatch", said, "FieldValueNotSupported")
            raise invalid("ListOptions", "meta.k8s.io", "", [cause])
        if token:
            rv, after = _parse_token(token)
            if text not in ("", "0"):
                raise bad_request("specifying resource version is not allowed when using continue")
            if rv < 0:
                return table, store.rv, after
            try:
                store.check(rv)
            except Expired:
                raise expired(TOKEN_TOO_OLD, _token(-1, after)) from None
            return table.at(rv), rv, after
        rv = self._revision(request)
        if match == "Exact" and rv == 0:
            raise _match('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
        if rv and (match == "Exact" or (limit and not match)):
            try:
                store.check(rv)
            except Expired:
                raise expired(TOO_OLD) from None
            return table.at(rv), rv, ""
        if text == "0" and self.stale is not None:
            return self._stale(kind), max(self.stale, store.floor), ""
        return table, store.rv, ""

    def _stale(self, kind: Kind) -> Snapshot:
        store = self._state.store
        assert self.stale is not None
        return store.table(kind).at(max(self.stale, store.floor))

    def _revision(self, request: Request) -> int:
        text = request.parameter("resourceVersion")
        if not text:
            return 0
        if not text.isascii() or not text.isdigit():
            why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
            if request.flag("watch"):
                # No client error to the real server, either.
                raise StatusError(500, "", why)
            raise bad_request(f"invalid resource version: {why}")
        rv = int(text)
        if rv > self._state.store.rv and not request.flag("watch"):
            raise too_large_version(rv, self._state.store.rv)
        return rv

    def _number(self, request: Request, name: str) -> int:
        text = request.parameter(name)
        if not text:
            return 0
        try:
            return max(0, int(text))
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _only_names(kind: Kind, path: str) -> bool:
    if path in ("metadata.name", "metadata.namespace"):
        return True
    if kind.crd is not None:
        return False
    raise bad_request(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def _match(why: str) -> StatusError:
    cause = Cause("resourceVersionMatch", f"Forbidden: {why}", "FieldValueForbidden")
    return invalid("ListOptions", "meta.k8s.io", "", [cause])


def _token(rv: int, key: str) -> str:
    data = encode({"v": "meta.k8s.io/v1", "rv": rv, "start": f"{key}\0"})
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _parse_token(token: str) -> tuple[int, str]:
    try:
        found = decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        rv, start, version = found["rv"], found["start"], found["v"]
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from None
    if version != "meta.k8s.io/v1" or not isinstance(rv, int) or not isinstance(start, str) or not rv:
        why = "incorrect encoded resourceVersion (version meta.k8s.io/v1)"
        raise bad_request(f"invalid continue token: continue key is not valid: {why}")
    return rv, start.removesuffix("\0")
