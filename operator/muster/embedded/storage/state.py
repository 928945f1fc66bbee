"""What the parts of the server share: the store, the kinds, the clock, and the source of names and uids."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from muster.embedded.kinds import Kind, Kinds
from muster.embedded.storage.store import Entry, Store, Table
from muster.embedded.wire import Object, Request, StatusError, not_found

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names: no vowels, nothing that looks like something else."""


class State:
    """See the module. `now` is the wall clock in ms; equal seeds and equal calls give equal uids and names."""

    def __init__(self, now: Callable[[], int], seed: int, history: int) -> None:
        self.now = now
        self.kinds = Kinds()
        self.store = Store(history)
        self._random = random.Random(seed)
        self._stamp = (-1, "")

    def timestamp(self, later: int = 0) -> str:
        """The time now, or some seconds later, as metadata carries it."""
        second = self.now() // 1000 + later
        if self._stamp[0] != second:
            self._stamp = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        return self._stamp[1]

    def uid(self) -> str:
        """A new uid."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self) -> str:
        """Five letters for a generated name."""
        return "".join(self._random.choices(_SUFFIX, k=5))

    def table(self, group: str, plural: str) -> Table:
        """The table of a built-in kind."""
        kind = self.kinds.get(group, "v1", plural)
        if kind is None:
            raise ValueError(f"{plural}.{group} is not served")
        return self.store.table(kind)

    def find(self, group: str, plural: str, name: str, namespace: str = "") -> Object | None:
        """An object of a built-in kind."""
        entry = self.table(group, plural).entries.get(f"{namespace}/{name}" if namespace else name)
        return None if entry is None else entry.object()


@dataclass(frozen=True, slots=True)
class Route:
    """What a path names."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> str:
        """The store's key of the object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def entry(self, state: State) -> Entry:
        """The object. Raises StatusError (404)."""
        found = state.store.table(self.kind).entries.get(self.key)
        if found is None:
            raise self.missing()
        return found

    def missing(self) -> StatusError:
        """There is no such object."""
        return not_found(self.kind.plural, self.kind.group, self.name)


NO_RESOURCE = StatusError(404, "NotFound", "the server could not find the requested resource", {})


def route(kinds: Kinds, path: str) -> Route | None:
    """What a path names; None: nothing that is served, not even its group. Raises StatusError (404) where the group is
    served and the resource is not."""
    parts = path.split("/")
    if len(parts) > 3 and parts[1] == "api":
        group, version, rest = "", parts[2], parts[3:]
    elif len(parts) > 4 and parts[1] == "apis":
        group, version, rest = parts[2], parts[3], parts[4:]
    else:
        return None
    if not rest[-1]:
        rest = rest[:-1]
    if not rest:
        return None
    namespace = ""
    # `namespaces/x` is the object, `namespaces/x/pods` a collection in it; `namespaces/x/status` is of the object.
    if rest[0] == "namespaces" and len(rest) > 2 and not (group == "" and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    kind = kinds.get(group, version, rest[0])
    if kind is None:
        if any(known.group == group and known.version == version and known.crd is None for known in kinds):
            raise NO_RESOURCE
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if bool(namespace) != kind.namespaced and (namespace or name):
        raise NO_RESOURCE
    if len(rest) > 3 or (subresource and subresource not in kind.subresources and subresource not in REFUSED):
        raise NO_RESOURCE
    return Route(kind, namespace, name, subresource)


REFUSED = {
    "exec": "running commands",
    "attach": "attaching",
    "portforward": "port forwarding",
    "proxy": "proxying",
    "ephemeralcontainers": "ephemeral containers",
    "resize": "resizing in place",
    "token": "issuing tokens",
}
"""Subresources that the real server has and this one refuses, in words."""


@dataclass(slots=True)
class Change:
    """One write on its way: what of the request it depends on, and what it says beside the answer."""

    request: Request
    dry_run: bool = False
    strict: str = "Warn"
    """fieldValidation: Strict, Warn or Ignore."""
    manager: str = "unknown"
    force: bool = False
    warnings: list[str] = field(default_factory=list)
