"""What every node has, what is used on it and why it may not be used: the solver's picture of the cluster.

*Used on a node* = per owner the elementwise maximum of its claim and the sum of its pods there, plus the requests of
every other pod that holds something there (architecture.md). Amounts lie in one row a node (`rows`) and are corrected
as events come in; every event notes the rows it changed in one log (`changes`), for whoever keeps something made of
them. A fork shares everything until either side writes (`rows`, `overlay`).

What changes on a node changes its row, that it is gone included. Only a node that was not known before, a label or a
topology that is another begins a new *ground*: what is kept by position is then made anew.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muster.core.changes import Log, Mark
from muster.core.evidence import Evidence
from muster.core.health import Rulebook
from muster.core.model import Node, Pod, Resources, Taint, TopologySpec
from muster.core.overlay import Overlay
from muster.core.rows import Ints, Rows
from muster.core.topology import Levels, resolve, takes_part

UNBOUNDED = 1 << 50
"""Allocatable `pods` of a node that names none."""
HOST_PORT = "hostport/"

USABLE, CORDONED, NOT_READY, OUT_OF_SERVICE, OUTSIDE, ABSENT, BARRED, HELD, BLAMED = range(9)
CAUSES = (
    "",
    "cordoned",
    "NotReady",
    "out of service",
    "nodeSelector",
    "absent",
    "quarantined",
    "held back after flapping",
    "blamed by several jobs",
)
"""Why a node is not usable whatever the pod; index = the codes above. The causes of health rules follow them, see
`Inventory.words`."""

_BUSY, _CAUSE, _TAINTS, _RESOURCES = range(4)
"""Columns of a row: how many hold something there, why it is not usable, the number of its taints, and from here two a
resource."""
_DELTAS = 256
_GHOSTS = 64
"""Nodes that are gone whose rows are kept for them on one ground: so many, and one in so many that are here."""

Amounts = Mapping[str, int]
_NOTHING: Amounts = {}


@dataclass(frozen=True, slots=True)
class _Held:
    """What one pod holds: on which nodes, and for whom."""

    owner: str | None
    nodes: tuple[str, ...]
    requests: Resources
    daemon: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds what on a node. `owner`: a job of ours, None for the pods of nobody we know, which are one holder, and
    those of DaemonSets (and mirror pods) another (`daemon`). `pods`: how many pods are meant, none for a claim whose
    pods are not there yet."""

    owner: str | None
    amounts: Amounts
    pods: int
    daemon: bool = False


class Epoch:
    """Identity of the empty healthy cluster: two inventories with the same epoch object have the same nodes, labels,
    allocatable amounts, taints (Kubernetes' own health taints apart) and topology. Compare with `is`; caches keep it
    as a key."""

    __slots__ = ("__weakref__",)


class Ground:
    """Identity of rows and labels: in two inventories with the same ground object every row stands for the same node
    with the same labels, if it is there, and the levels are the same. Compare with `is`."""

    __slots__ = ("__weakref__",)


class Inventory:
    """Nodes, pods and claims of one cluster, or of a `what if` (see `fork`). Not thread safe."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._names_shared = False
        self._nodes: Overlay[str, Node] = Overlay()
        self._row: Overlay[str, int] = Overlay()
        self._spare_rows: tuple[int, ...] = ()
        self._gone: Overlay[str, Node] = Overlay()
        """Nodes that left on this ground, as they were: their rows are kept for them."""
        self._ghosts = 0
        self._taints: dict[tuple[Taint, ...], int] = {(): 0}
        """Number of each list of taints that was ever seen, the same in all forks."""
        self._evidence = Evidence(None)
        self._column: dict[str, int] = {}
        """Resource name to the column of what is used; what is allocatable lies right of it."""
        self._deltas: dict[Resources, Ints] = {}
        """What requests add to a row; forks begin anew, as they may number resources in another order."""
        self._rows = Rows(_RESOURCES)
        self._pods: Overlay[str, _Held] = Overlay()
        self._on: Overlay[str, tuple[str, ...]] | None = None
        """The pods that hold something on each node, by id; kept from when it is first asked for."""
        self._owned: Overlay[tuple[str, str], Amounts] = Overlay()
        self._claims: Overlay[str, Mapping[str, Resources]] = Overlay()
        self._log = Log()
        self._spec: TopologySpec | None = None
        self.rulebook = Rulebook()
        """The health rules in force."""
        self.words: tuple[str, ...] = CAUSES
        """Why a node may not be usable, by code: CAUSES, then those of the health rules. The same on one ground."""
        self._withheld: Overlay[str, int] = Overlay()
        """Nodes that get no new pods for what is remembered of them, here or not, with the code of the cause."""
        self._levels: Levels | None = None
        self._healthy = False
        self.version = 0
        """Grows with every change that can matter to placement."""
        self.epoch = Epoch()
        self.ground = Ground()

    # --- Events ---------------------------------------------------------------------------------------------------

    def put_node(self, node: Node) -> None:
        """Add or replace a node."""
        old = self._nodes.get(node.name)
        row = self._row.get(node.name)
        cause = self._cause_of(node)
        has = old is not None and old.allocatable == node.allocatable
        labels = old is not None and old.labels == node.labels
        taints = self._numbered(node.taints)
        self._nodes[node.name] = node
        if has and labels and row is not None:
            if cause != self._rows.at(row, _CAUSE):
                self.version += 1
                self._put(row, _CAUSE, cause)
            if taints != self._rows.at(row, _TAINTS):
                self.version += 1
                self._put(row, _TAINTS, taints)
                if old is not None and self._steady(old.taints) != self._steady(node.taints):
                    self.epoch = Epoch()
            return
        self.version += 1
        row = self._new_row(node.name) if row is None else row
        self._put(row, _CAUSE, cause)
        self._put(row, _TAINTS, taints)
        if not has:
            self._set_allocatable(row, node.allocatable)
        self.epoch = Epoch()
        if old is None and (before := self._gone.pop(node.name)) is not None:
            self._ghosts -= 1
            labels = before.labels == node.labels
        others = self._evidence.move(old, node)
        if others or not labels:
            self._restart_ground(others)

    def drop_node(self, name: str) -> None:
        """Forget a node; what pods and claims hold there still counts should it come back."""
        row = self._row.get(name)
        node = self._nodes.pop(name)
        if row is None or node is None:
            return
        self.version += 1
        self._put(row, _CAUSE, ABSENT)
        self._put(row, _TAINTS, 0)
        self._set_allocatable(row, ())
        self.epoch = Epoch()
        self._gone[name] = node
        self._ghosts += 1
        others = self._evidence.move(node, None)
        if others or self._ghosts > _GHOSTS + self.size // _GHOSTS:
            self._restart_ground(others)

    def bar(self, names: Iterable[str]) -> None:
        """Take no new pod on these nodes, for a reason that is the asker's own; mostly asked of a fork."""
        for name in names:
            row = self._row.get(name)
            if row is not None and self._rows.at(row, _CAUSE) == USABLE:
                self.version += 1
                self._put(row, _CAUSE, BARRED)

    def withhold(self, name: str, cause: int | None) -> None:
        """From now on a node of this name gets no new pods, for HELD or BLAMED; with None it does again."""
        if cause is None:
            self._withheld.pop(name)
        else:
            self._withheld[name] = cause
        node, row = self._nodes.get(name), self._row.get(name)
        if node is not None and row is not None and (code := self._cause_of(node)) != self._rows.at(row, _CAUSE):
            self.version += 1
            self._put(row, _CAUSE, code)

    def use(self, pod: Pod) -> None:
        """Note a pod as it is now: terminal pods, and unbound ones that are neither pinned nor nominated, hold
        nothing."""
        nodes: tuple[str, ...] = ()
        if not pod.terminal:
            if pod.node is not None:
                nodes = (pod.node,)
            elif pod.pinned is not None:
                nodes = (pod.pinned,) if pod.nominated in (None, pod.pinned) else (pod.pinned, pod.nominated or "")
            elif pod.nominated is not None:
                nodes = (pod.nominated,)
        if not nodes:
            self.free(pod.id)
            return
        held = _Held(pod.job, nodes, pod.requests, pod.daemon)
        old = self._pods.get(pod.id)
        if old == held:
            return
        self.version += 1
        if old is not None:
            self._hold(old, -1)
        self._pods[pod.id] = held
        self._hold(held, 1)
        if self._on is not None:
            self._move(pod.id, () if old is None else old.nodes, nodes)

    def free(self, pod_id: str) -> None:
        """Forget a pod."""
        held = self._pods.pop(pod_id)
        if held is None:
            return
        self.version += 1
        self._hold(held, -1)
        if self._on is not None:
            self._move(pod_id, held.nodes, ())

    def claim(self, owner: str, load: Mapping[str, Resources]) -> None:
        """Replace an owner's live claim: node name to the summed requests of its pods there."""
        old = self.claimed(owner)
        if old == load:
            return
        self.version += 1
        new = {name: load[name] for name in load if load[name]}
        for name in {**old, **new}:
            before, after = old.get(name, ()), new.get(name, ())
            if before == after:
                continue
            pods = self._owned.get((owner, name)) or _NOTHING
            row = self._change(name, _most(before, pods), _most(after, pods), bool(after) - bool(before))
            self._recycle(row)
        if new:
            self._claims[owner] = new
        else:
            self._claims.pop(owner)

    def release(self, owner: str) -> None:
        """End an owner's claim; its pods then count by themselves."""
        self.claim(owner, {})

    def claimed(self, owner: str) -> Mapping[str, Resources]:
        """The owner's live claim, node name to amounts; empty if it has none."""
        return self._claims.get(owner) or {}

    def claims(self) -> Iterator[tuple[str, Collection[str]]]:
        """Every owner of a live claim, and its nodes."""
        return ((owner, load.keys()) for owner, load in self._claims.items())

    def set_topology(self, spec: TopologySpec) -> None:
        """Use this ClusterTopology from now on; its nodeSelector says which nodes take part."""
        if spec == self._spec:
            return
        self.version += 1
        self._spec = spec
        self.rulebook = Rulebook.of(spec)
        self.words = (*CAUSES, *self.rulebook.causes)
        self._evidence = Evidence(spec, self.present())
        self._judge_all()
        self.epoch = Epoch()
        self._restart_ground(True)

    # --- Questions ------------------------------------------------------------------------------------------------

    @property
    def levels(self) -> Levels:
        """The levels as the nodes that are here make them; found anew only after nodes or topology changed."""
        if self._levels is None:
            self._levels = (
                Levels(invalid="no ClusterTopology is known")
                if self._spec is None
                else resolve(self._spec, self.present())
            )
        return self._levels

    @property
    def healthy(self) -> bool:
        """Whether this is the empty healthy cluster, in which Kubernetes' health taints do not count."""
        return self._healthy

    @property
    def size(self) -> int:
        """Rows in use; some may stand for nodes that are gone."""
        return len(self._names)

    def node(self, name: str) -> Node | None:
        """The record of a node, if it is here."""
        return self._nodes.get(name)

    def at_row(self, row: int) -> Node | None:
        """The record of the node of a row, if it is here and takes part."""
        node = self._nodes.get(self._names[row]) if row < len(self._names) else None
        return node if node is not None and self._row.get(node.name) == row and self._takes_part(node) else None

    def nodes(self) -> Iterator[tuple[int, Node]]:
        """The nodes that are here and take part, with their rows."""
        rows = dict(self._row.items())
        for name, node in self._nodes.items():
            if self._takes_part(node):
                yield rows[name], node

    def present(self) -> Iterator[Node]:
        """All nodes that are here, whether or not they take part."""
        return self._nodes.values()

    def cause(self, name: str) -> str:
        """Why a node is not usable whatever the pod; empty if it is usable."""
        row = self._row.get(name)
        return self.words[ABSENT if row is None else self._rows.at(row, _CAUSE)]

    def withheld(self, name: str) -> bool:
        """The node gets no new pods for what is remembered of it."""
        return name in self._withheld

    def causes(self, rows: Ints | None = None) -> Ints:
        """A code of `words` for every row, or for some."""
        return self._read(_CAUSE, rows)

    def intact(self, rows: Ints | None = None) -> npt.NDArray[np.bool_]:
        """Whether no claim and no pod but those of DaemonSets (and mirror pods) holds anything there, for every row or
        for some."""
        found: npt.NDArray[np.bool_] = self._read(_BUSY, rows) == 0
        return found

    def taints(self) -> list[tuple[Taint, ...]]:
        """Every list of taints that was ever seen here, by its number."""
        return list(self._taints)

    def look(self, rows: Ints, resources: Sequence[str]) -> tuple[Ints, Ints, Ints]:
        """Of some rows at once, in lines: how many hold something there, the code of `words`, the number of the taints;
        then a line a resource of what is free of it, and of what is allocatable, as `room` tells them (0 for what no
        node offers)."""
        columns = [_BUSY, _CAUSE, _TAINTS]
        known = [self._column.get(resource, -1) for resource in resources]
        columns += [max(column, 0) for column in known]
        columns += [max(column, -1) + 1 for column in known]
        lines = self._rows.block(columns, rows)
        used, has = lines[_RESOURCES : _RESOURCES + len(known)], lines[_RESOURCES + len(known) :]
        for i, resource in enumerate(resources):
            if resource.startswith(HOST_PORT):
                has[i] = 1
                if known[i] < 0:
                    used[i] = 0
            elif known[i] < 0:
                has[i] = 0
        return lines[:_RESOURCES], np.maximum(has - used, 0), has

    def room(self, resource: str, rows: Ints | None = None) -> tuple[Ints, Ints] | None:
        """(free, allocatable) of a resource for every row, or for some; None if no node offers it. Free is never below
        zero."""
        column = self._column.get(resource)
        if resource.startswith(HOST_PORT):
            has = np.ones(self.size if rows is None else len(rows), np.int64)
            return (has if column is None else np.maximum(has - self._read(column, rows), 0)), has
        if column is None:
            return None
        has = self._read(column + 1, rows)
        return np.maximum(has - self._read(column, rows), 0), has

    def mark(self) -> Mark:
        """Where the log of changed rows stands; see `changes.since`. Only for inventories of one ground."""
        return self._log.mark()

    def free_on(self, name: str) -> Resources:
        """What is free on one node, for people and tests."""
        row = self._row[name]
        left = ((r, self._has(row, r) - self._rows.at(row, c)) for r, c in sorted(self._column.items()))
        return tuple((r, amount) for r, amount in left if amount > 0)

    def overlaps(self, owner: str) -> tuple[str, ...]:
        """Nodes on which this owner's claim and everything else that is used there exceed what the node has."""
        out = []
        for name, claim in self.claimed(owner).items():
            row = self._row[name]
            # What the owner holds is within what is used, so only where too much is used can its claim be too much.
            line = self._rows.line(row)
            if not (line[_RESOURCES::2] > line[_RESOURCES + 1 :: 2]).any() or name not in self._nodes:
                continue
            own = _most(claim, self._owned.get((owner, name)) or _NOTHING)
            for resource, amount in claim:
                used = self._rows.at(row, self._column[resource])
                if used - own.get(resource, 0) + amount > self._has(row, resource):
                    out.append(name)
                    break
        return tuple(sorted(out))

    def index_pods(self) -> None:
        """Find the pods of each node at once from now on, here and in forks made later; see `holders`."""
        if self._on is None:
            found: dict[str, tuple[str, ...]] = {}
            for id_, held in self._pods.items():
                for name in held.nodes:
                    found[name] = (*found.get(name, ()), id_)
            self._on = Overlay()
            for name, ids in found.items():
                self._on[name] = ids

    def holders(self, names: Collection[str]) -> dict[str, list[Holder]]:
        """Who holds something on some nodes: the jobs in no order, then the other pods, then the DaemonSets'."""
        self.index_pods()
        assert self._on is not None
        wanted = set(names)
        owners: dict[str, dict[str, int]] = {name: {} for name in names}
        for owner, load in self._claims.items():
            for name in wanted & load.keys():
                owners[name][owner] = 0
        out: dict[str, list[Holder]] = {}
        for name, pods in owners.items():
            others: dict[bool, tuple[Amounts, int]] = {}
            for id_ in self._on.get(name) or ():
                held = self._pods[id_]
                if held.owner is not None:
                    pods[held.owner] = pods.get(held.owner, 0) + 1
                else:
                    amounts, n = others.get(held.daemon, (_NOTHING, 0))
                    others[held.daemon] = _plus(amounts, held.requests, 1), n + 1
            out[name] = [
                Holder(owner, _most(self.claimed(owner).get(name, ()), self._owned.get((owner, name)) or _NOTHING), n)
                for owner, n in pods.items()
            ]
            out[name] += [Holder(None, *others[daemon], daemon) for daemon in (False, True) if daemon in others]
        return out

    def fork(self) -> Inventory:
        """An independent copy for a `what if`: it shares everything that neither side has written since."""
        other = Inventory.__new__(Inventory)
        other.__dict__.update(self.__dict__)
        other._nodes, other._row = self._nodes.fork(), self._row.fork()
        other._column, other._deltas = dict(self._column), {}
        other._pods, other._owned, other._claims = self._pods.fork(), self._owned.fork(), self._claims.fork()
        other._on = None if self._on is None else self._on.fork()
        other._rows = self._rows.fork()
        other._log = Log(self._log.mark())
        other._gone, other._evidence = self._gone.fork(), self._evidence.fork()
        other._withheld = self._withheld.fork()
        self._names_shared = other._names_shared = True
        return other

    def emptied(self) -> Inventory:
        """The empty healthy cluster: the same nodes without pods, claims, cordons, and all that speaks against their
        health."""
        other = self.fork()
        other._log = Log()
        other._pods, other._owned, other._claims = Overlay(), Overlay(), Overlay()
        other._on = None
        other._healthy = True
        other._rows = self._rows.cleared()
        other._mirror(self, np.arange(self.size))
        return other

    def follow(self, base: Inventory, rows: array[int]) -> None:
        """This inventory, made by `emptied`, becomes the one of `base`, which is on the same ground and differs in
        these rows from the one it was made of."""
        self._names, self._names_shared = base._names, True
        base._names_shared = True
        self._nodes, self._row, self._gone = base._nodes.fork(), base._row.fork(), base._gone.fork()
        self._evidence = base._evidence.fork()
        self._spare_rows, self._ghosts = base._spare_rows, base._ghosts
        self._column, self._deltas = dict(base._column), {}
        self.version, self.epoch = base.version, base.epoch
        self._rows.reach(self.size)
        self._rows.widen(base._rows.columns)
        self._mirror(base, np.array(sorted({row for row in rows if row < base.size}), np.int64))

    def _mirror(self, base: Inventory, rows: Ints) -> None:
        """What `base` offers on these rows, without what it uses."""
        columns = list(range(base._rows.columns))
        wanted = base._rows.block(columns, rows)
        wanted[_BUSY] = 0
        wanted[_RESOURCES::2] = 0
        cause = wanted[_CAUSE]
        cause[(cause != ABSENT) & (cause != OUTSIDE)] = USABLE
        differ = (self._rows.block(columns, rows) != wanted).any(axis=0)
        self._rows.write(columns, rows[differ], wanted[:, differ])
        for row in rows[differ].tolist():
            self._log.note(row)

    def fingerprint(self) -> str:
        """Equal for equal contents, in every process."""
        h = hashlib.blake2b(digest_size=16)
        for name in sorted(self._row):
            row = self._row[name]
            node = self._nodes.get(name)
            what = None if node is None else (sorted(node.labels.items()), node.allocatable, node.taints)
            line = self._rows.line(row).tolist()
            used = [(r, line[c]) for r, c in sorted(self._column.items()) if line[c]]
            if what is not None or used:
                h.update(repr((name, what, line[_CAUSE], line[_BUSY], used)).encode())
        h.update(repr(sorted((k, sorted(v.items())) for k, v in self._claims.items())).encode())
        h.update(repr(sorted(self._pods.items(), key=lambda item: item[0])).encode())
        h.update(repr((self._spec, self._healthy)).encode())
        return h.hexdigest()

    # --- Inside ---------------------------------------------------------------------------------------------------

    def _put(self, row: int, column: int, value: int) -> None:
        self._rows.put(row, column, value)
        self._log.note(row)

    def _read(self, column: int, rows: Ints | None) -> Ints:
        return self._rows.column(column)[: self.size] if rows is None else self._rows.column(column, rows)

    def _has(self, row: int, resource: str) -> int:
        return 1 if resource.startswith(HOST_PORT) else self._rows.at(row, self._column[resource] + 1)

    def _judge_all(self) -> None:
        for name, node in self._nodes.items():
            row = self._row[name]
            self._put(row, _CAUSE, self._cause_of(node))

    def _restart_ground(self, levels: bool) -> None:
        """`levels`: these can be others now."""
        self.ground = Ground()
        if levels:
            self._levels = None
        self._gone, gone, self._ghosts = Overlay(), list(self._gone), 0
        for name in gone:
            self._recycle(self._row[name])

    def _numbered(self, taints: tuple[Taint, ...]) -> int:
        return self._taints.setdefault(taints, len(self._taints)) if taints else 0

    def _steady(self, taints: tuple[Taint, ...]) -> tuple[Taint, ...]:
        """Taints without those that tell of cordons and health."""
        return tuple([taint for taint in taints if not self.rulebook.is_health(taint.key)])

    def _takes_part(self, node: Node) -> bool:
        return self._spec is None or takes_part(self._spec, node)

    def _cause_of(self, node: Node) -> int:
        if not self._takes_part(node):
            return OUTSIDE
        if self._healthy:
            return USABLE
        if node.cordoned:
            return CORDONED
        if node.out_of_service:
            return OUT_OF_SERVICE
        if node.unready_since is not None:
            return NOT_READY
        flaw = self.rulebook.flaw(node)
        if flaw is not None:
            return len(CAUSES) + self.rulebook.causes.index(flaw.cause)
        return self._withheld.get(node.name) or USABLE

    def _new_row(self, name: str) -> int:
        if self._names_shared:
            self._names, self._names_shared = list(self._names), False
        if self._spare_rows:
            *spare, row = self._spare_rows
            self._spare_rows = tuple(spare)
            self._names[row] = name
        else:
            row = len(self._names)
            self._names.append(name)
            self._rows.reach(row + 1)
        self._row[name] = row
        self._put(row, _CAUSE, ABSENT)
        return row

    def _recycle(self, row: int) -> None:
        """Give a row free whose node is gone and on which nothing is held."""
        name = self._names[row]
        if name in self._nodes or name in self._gone or row in self._spare_rows:
            return
        line = self._rows.line(row)
        if not line[_BUSY] and not line[_RESOURCES::2].any():
            self._row.pop(name)
            self._spare_rows = (*self._spare_rows, row)

    def _columns(self, resource: str) -> int:
        column = self._column.get(resource)
        if column is None:
            column = self._column[resource] = _RESOURCES + 2 * len(self._column)
            self._rows.widen(column + 2)
        return column

    def _set_allocatable(self, row: int, amounts: Resources) -> None:
        columns = [(self._columns(resource), amount) for resource, amount in (("pods", UNBOUNDED), *amounts)]
        line = self._rows.writable(row)
        line[_RESOURCES + 1 :: 2] = 0
        for column, amount in columns:
            line[column + 1] = amount
        self._log.note(row)

    def _change(self, name: str, before: Amounts, after: Amounts, busy: int = 0) -> int:
        """What some owner holds on a node becomes another; `busy`: how many more hold something there. Returns the
        row."""
        row = self._row.get(name)
        if row is None:
            row = self._new_row(name)
        for resource in (*before, *after):
            if resource not in self._column:
                self._columns(resource)
        line = self._rows.writable(row)
        for resource, amount in before.items():
            line[self._column[resource]] -= amount
        for resource, amount in after.items():
            line[self._column[resource]] += amount
        line[_BUSY] += busy
        self._log.note(row)
        return row

    def _add(self, name: str, requests: Resources, sign: int, busy: int) -> int:
        """The same for requests that come or go whole, which most pods have in common with others."""
        row = self._row.get(name)
        if row is None:
            row = self._new_row(name)
        line = self._rows.writable(row)
        delta = self._deltas.get(requests)
        if delta is None or len(delta) != len(line):
            columns = [(self._columns(resource), amount) for resource, amount in requests]
            line = self._rows.writable(row)
            delta = np.zeros(len(line), np.int64)
            for column, amount in columns:
                delta[column] += amount
            if len(self._deltas) >= _DELTAS:
                self._deltas.clear()
            self._deltas[requests] = delta
        if sign > 0:
            line += delta
        else:
            line -= delta
        if busy:
            line[_BUSY] += busy
        self._log.note(row)
        return row

    def _move(self, pod: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        assert self._on is not None
        for name in before:
            if name not in after:
                left = tuple(id_ for id_ in self._on.get(name) or () if id_ != pod)
                if left:
                    self._on[name] = left
                else:
                    self._on.pop(name)
        for name in after:
            if name not in before:
                self._on[name] = (*(self._on.get(name) or ()), pod)

    def _hold(self, held: _Held, sign: int) -> None:
        busy = 0 if held.daemon else sign
        for name in held.nodes:
            if held.owner is None:
                row = self._add(name, held.requests, sign, busy)
            else:
                key = (held.owner, name)
                claim = self.claimed(held.owner).get(name, ())
                before = self._owned.get(key) or _NOTHING
                after = _plus(before, held.requests, sign)
                row = self._change(name, _most(claim, before), _most(claim, after), busy)
                if after:
                    self._owned[key] = after
                else:
                    self._owned.pop(key)
            if sign < 0:
                self._recycle(row)


def _plus(a: Amounts, b: Resources, sign: int) -> Amounts:
    out = dict(a)
    for resource, amount in b:
        total = out.get(resource, 0) + sign * amount
        if total:
            out[resource] = total
        else:
            out.pop(resource, None)
    return out


def _most(a: Resources, b: Amounts) -> Amounts:
    if not a:
        return b
    out = dict(a)
    for resource, amount in b.items():
        if amount > out.get(resource, 0):
            out[resource] = amount
    return out
