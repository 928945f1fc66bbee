"""The forms of an answer that an Accept header asks for: the object, a Table, the metadata alone; JSON or YAML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import yaml

from muster.embedded.answers import tables
from muster.embedded.kinds import Kind
from muster.embedded.storage.state import State
from muster.embedded.storage.store import Entry, decode, encode
from muster.embedded.wire import JSON, Object, Request, Response, not_acceptable

YAML = "application/yaml"
TABLE, PARTIAL = "Table", "PartialObjectMetadata"
_META = "meta.k8s.io"


class Form:
    """The plain form, JSON."""

    watch_type = JSON

    def one(self, state: State, kind: Kind, data: bytes, request: Request, status: int = 200) -> Response:
        """The answer with one object."""
        return Response(status, data)

    def many(self, state: State, kind: Kind, entries: Sequence[Entry], meta: Object, request: Request) -> Response:
        """The answer with a list."""
        return Response(200, list_bytes(kind, entries, meta))

    def renderer(self, state: State, kind: Kind, request: Request) -> Callable[[Object], Object] | None:
        """What a watch puts in the place of each object; None: the object itself."""
        return None


class _Table(Form):
    watch_type = f"{JSON};as=Table;v=v1;g={_META}"

    def one(self, state: State, kind: Kind, data: bytes, request: Request, status: int = 200) -> Response:
        obj = decode(data)
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return Response(status, encode(_table(state, kind, [obj], meta, request)))

    def many(self, state: State, kind: Kind, entries: Sequence[Entry], meta: Object, request: Request) -> Response:
        return Response(200, encode(_table(state, kind, [e.object() for e in entries], meta, request)))

    def renderer(self, state: State, kind: Kind, request: Request) -> Callable[[Object], Object] | None:
        first = True

        def render(obj: Object) -> Object:
            nonlocal first
            headers, first = first, False
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return _table(state, kind, [obj], meta, request, headers)

        return render


class _Partial(Form):
    watch_type = f"{JSON};as={PARTIAL};v=v1;g={_META}"

    def one(self, state: State, kind: Kind, data: bytes, request: Request, status: int = 200) -> Response:
        return Response(status, encode(_partial(decode(data))))

    def many(self, state: State, kind: Kind, entries: Sequence[Entry], meta: Object, request: Request) -> Response:
        items = [_partial(entry.object()) for entry in entries]
        body = {"kind": f"{PARTIAL}List", "apiVersion": f"{_META}/v1", "metadata": meta, "items": items}
        return Response(200, encode(body))

    def renderer(self, state: State, kind: Kind, request: Request) -> Callable[[Object], Object] | None:
        return _partial


class _Yaml(Form):
    """For people: not for large lists."""

    def one(self, state: State, kind: Kind, data: bytes, request: Request, status: int = 200) -> Response:
        return Response(status, yaml.safe_dump(decode(data)).encode(), YAML)

    def many(self, state: State, kind: Kind, entries: Sequence[Entry], meta: Object, request: Request) -> Response:
        return Response(200, yaml.safe_dump(decode(list_bytes(kind, entries, meta))).encode(), YAML)


PLAIN = Form()


@lru_cache(maxsize=256)
def of(accept: str) -> Form:
    """The first form of an Accept header that is served. Raises StatusError (406)."""
    if not accept:
        return PLAIN
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        asked = dict(p.partition("=")[::2] for p in parameters)
        shape = asked.get("as", "")
        if media == YAML and not shape:
            return _Yaml()
        if media not in (JSON, "application/*", "*/*"):
            continue
        if not shape:
            return PLAIN
        if asked.get("g") == _META and asked.get("v") == "v1":
            if shape == TABLE:
                return _Table()
            if shape in (PARTIAL, f"{PARTIAL}List"):
                return _Partial()
    raise not_acceptable((JSON, YAML))


def list_bytes(kind: Kind, entries: Sequence[Entry], meta: Object) -> bytes:
    """A list of objects, put together from their bytes. The items of built-in kinds do not repeat their kind."""
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        kind.list_kind.encode(),
        kind.api_version.encode(),
        encode(meta),
    )
    if kind.crd is not None:
        return head + b",".join([entry.data for entry in entries]) + b"]}"
    if not entries:
        return head + b"]}"
    skip = len(prefix(kind))
    return head + b"{" + b",{".join([memoryview(entry.data)[skip:] for entry in entries]) + b"]}"


def prefix(kind: Kind) -> bytes:
    """How the bytes of every object of a kind begin."""
    return b'{"kind":"%b","apiVersion":"%b",' % (kind.kind.encode(), kind.api_version.encode())


def _partial(obj: Object) -> Object:
    return {"kind": PARTIAL, "apiVersion": f"{_META}/v1", "metadata": obj["metadata"]}


def _table(
    state: State, kind: Kind, objects: Sequence[Object], meta: Object, request: Request, headers: bool = True
) -> Object:
    include = request.parameter("includeObject") or "Metadata"
    return tables.table(kind, objects, list_meta=meta, include=include, now=state.now(), headers=headers)
