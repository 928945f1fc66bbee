"""What `kubectl get ... -A -o json` printed: its objects as records, and in counted sentences what is odd about it.

One pass over the bytes finds where each object lies, one over each object takes out what placement needs; no object is
ever held as a whole but those that admission is asked by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from muster.cli import files
from muster.cli.output import Failed
from muster.core.model import Node, Pod, Record, TopologySpec
from muster.kube import parse_dump
from muster.kube.parse_dump import Head

WANTED = {
    "Node": "nodes",
    "Pod": "pods",
    "ClusterTopology": "clustertopologies",
    "TrainingJob": "trainingjobs",
    "PriorityClass": "priorityclasses",
    "ResourceQuota": "resourcequotas",
    "RuntimeClass": "runtimeclasses",
    "LimitRange": "limitranges",
    "PersistentVolumeClaim": "pvc",
    "PersistentVolume": "pv",
}
"""Kinds that a full dump holds, by what `kubectl get` calls them."""
HOW = f"Make it with: kubectl get {','.join(WANTED.values())} -A -o json"
RULES = frozenset({"ResourceQuota", "RuntimeClass", "LimitRange", "PersistentVolumeClaim", "PersistentVolume"})
"""Kinds by which the API server judges or changes a new pod: kept as they are, for the dry run."""


class _ListMeta(msgspec.Struct):
    more: str = msgspec.field(name="continue", default="")


class _Top(msgspec.Struct, rename="camel"):
    kind: str = ""
    items: list[msgspec.Raw] | None = None
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    message: Any = None


_TOP = msgspec.json.Decoder(_Top)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


class Tally:
    """Oddities of many objects, told in one sentence a sort with the first as an example."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[Any]] = {}

    def add(self, kind: str, what: str, example: str) -> None:
        """Note one object; `what` completes 'N pods are ...'."""
        entry = self._found.setdefault((kind, what), [0, example])
        entry[0] += 1

    def sentences(self) -> list[str]:
        """All that was noted, in the order in which it first came."""
        return [f"{are(count, kind)} {what} (first: {first})" for (kind, what), (count, first) in self._found.items()]


def are(count: int, kind: str) -> str:
    """`1 Pod is`, `3 Pods are`."""
    if count == 1:
        return f"1 {kind} is"
    many = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
    return f"{count:,} {many} are"


@dataclass(slots=True)
class Dump:
    """The records of a dump, the objects of RULES as (head, JSON), the kinds that it holds, and what is odd."""

    records: list[Record] = field(default_factory=list)
    rules: list[tuple[Head, bytes]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)


def load(path: Path) -> Dump:
    """Read a dump. Raises Failed for what is none, and for one without nodes."""
    dump, tally = Dump(), Tally()
    data = files.read(path)
    seen: set[tuple[str, str, str]] = set()
    for place, raw, kind in _objects(path, data, dump):
        try:
            head = parse_dump.head(raw, kind)
        except ValueError as error:
            tally.add("item", "no object of Kubernetes and left out", f"{place}: {error}")
            continue
        dump.kinds[head.kind] += 1
        if not head.matters:
            continue
        where = f"{place}, {head.key}" if head.name else place
        if head.name:
            key = (head.kind, head.namespace, head.name)
            if key in seen:
                tally.add(head.kind, "in the dump more than once; the first one counts", where)
                continue
            seen.add(key)
        readable = head.kind not in parse_dump.RECORDED or _record(dump, tally, head.kind, raw, where)
        if head.kind in RULES and readable:
            dump.rules.append((head, bytes(raw)))
    _check(path, dump, tally.sentences())
    dump.warnings += tally.sentences()
    _strays(dump)
    return dump


def _record(dump: Dump, tally: Tally, kind: str, raw: msgspec.Raw | bytes, where: str) -> bool:
    """Take in the record of an object; whether it has one."""
    read = parse_dump.read(kind, raw)
    record, doubt = read.record, read.doubt
    if isinstance(record, TopologySpec) and record.name != "default":
        return False
    if doubt:
        what = "left out" if record is None else "not readable in part; that part counts as absent"
        tally.add(kind, what, f"{where}: {doubt}")
    if record is None:
        return False
    if isinstance(record, Pod) and not record.id:
        record = replace(record, id=where)
    dump.records.append(record)
    return True


def _objects(path: Path, data: bytes, dump: Dump) -> Iterator[tuple[str, msgspec.Raw | bytes, str]]:
    """Where each object stands, its JSON, and its kind where only the list says it."""
    if not files.looks_like_json(data):
        for number, document in enumerate(files.documents(path, data)):
            top = document if isinstance(document, Mapping) else {}
            items = document if isinstance(document, list) else top.get("items")
            at = f"document {number + 1}, " if number else ""
            if isinstance(items, list):
                for i, item in enumerate(items):
                    yield f"{at}items[{i}]", msgspec.json.encode(item), _of_list(top.get("kind"))
            else:
                yield f"document {number + 1}", msgspec.json.encode(document), ""
        return
    try:
        if files.looks_like_array(data):
            for i, raw in enumerate(_ARRAY.decode(data)):
                yield f"[{i}]", raw, ""
            return
        whole = _TOP.decode(data)
    except msgspec.ValidationError as error:
        raise Failed(f"{path} is no list of Kubernetes objects: {parse_dump.located(error)}. {HOW}") from None
    except (ValueError, RecursionError) as error:
        raise Failed(files.no_json(path, data, error)) from None
    if whole.kind == "Status":
        raise Failed(f"{path} is an answer of the API server, not a list: {whole.message}.")
    if whole.items is None:
        yield "the file", data, ""
        return
    if whole.metadata.more:
        dump.warnings.append("the list is one page of several: what is on the others is missing; ask without a limit")
    for i, raw in enumerate(whole.items):
        yield f"items[{i}]", raw, _of_list(whole.kind)


def _of_list(kind: Any) -> str:
    return kind.removesuffix("List") if isinstance(kind, str) and kind.endswith("List") else ""


def _check(path: Path, dump: Dump, said: list[str]) -> None:
    """Say what is missing. Raises Failed where that is the nodes."""
    if not any(isinstance(record, Node) for record in dump.records):
        if dump.kinds["Config"] and dump.kinds.total() == 1:
            raise Failed(f"{path} is a kubeconfig, not a dump: give it to --kubeconfig, or make a dump. {HOW}")
        if dump.kinds["Node"]:
            raise Failed(f"{path} holds no node that can be read: {'; '.join(said[:3])}. {HOW}")
        held = ", ".join(f"{count} {kind}" for kind, count in dump.kinds.most_common(5)) or "nothing"
        raise Failed(f"{path} holds no nodes, but {'; '.join([held, *said[:2]])}. {HOW}")
    absent = [plural for kind, plural in WANTED.items() if kind not in dump.kinds]
    if absent:
        dump.warnings.insert(0, f"not in the dump, taken as none: {', '.join(absent)}")


def _strays(dump: Dump) -> None:
    tally = Tally()
    nodes = {record.name for record in dump.records if isinstance(record, Node)}
    for record in dump.records:
        if isinstance(record, Pod) and record.node is not None and not record.terminal and record.node not in nodes:
            example = f"{record.namespace}/{record.name} on {record.node}"
            tally.add("Pod", "bound to nodes that are not in the dump", example)
    dump.warnings += tally.sentences()
