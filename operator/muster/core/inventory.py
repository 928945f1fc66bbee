"""What every node has, what is used on it and why it may not be used: the solver's picture of the cluster.

*Used on a node* = per owner the elementwise maximum of its claim and the sum of its pods there, plus the requests of
every other pod that holds something there (architecture.md). Amounts lie in one numpy row a node and are corrected as
events come in. Values inside the dictionaries are replaced, never written, so a fork shares everything until either
side writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from muster.core.model import Node, Pod, Resources, TopologySpec
from muster.core.topology import Levels, resolve, takes_part

Ints = npt.NDArray[np.int64]

UNBOUNDED = 1 << 50
"""Allocatable `pods` of a node that names none."""
HOST_PORT = "hostport/"

USABLE, CORDONED, NOT_READY, OUT_OF_SERVICE, OUTSIDE, ABSENT = range(6)
CAUSES = ("", "cordoned", "NotReady", "out of service", "nodeSelector", "absent")
"""Why a node is not usable whatever the pod; index = the codes above."""

HEALTH_TAINTS = "node.kubernetes.io/"
"""Taints of this prefix are Kubernetes' word on cordons and health: the empty healthy cluster has none."""

Amounts = Mapping[str, int]
_NOTHING: Amounts = {}


@dataclass(frozen=True, slots=True)
class _Held:
    """What one pod holds: on which nodes, and for whom."""

    owner: str | None
    nodes: tuple[str, ...]
    requests: Resources
    daemon: bool


class Epoch:
    """Identity of a state of the nodes: two inventories with the same epoch object have the same nodes, labels, taints,
    allocatable amounts and topology. Compare with `is`; caches keep it as a key."""

    __slots__ = ("__weakref__",)


class Inventory:
    """Nodes, pods and claims of one cluster, or of a `what if` (see `fork`). Not thread safe."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._nodes: list[Node | None] = []
        self._row: dict[str, int] = {}
        self._spare_rows: list[int] = []
        self._column: dict[str, int] = {}
        self._allocatable: Ints = np.zeros((0, 0), np.int64)
        self._used: Ints = np.zeros((0, 0), np.int64)
        self._busy: Ints = np.zeros(0, np.int64)
        self._cause: Ints = np.zeros(0, np.int64)
        self._pods: dict[str, _Held] = {}
        self._owned: dict[tuple[str, str], Amounts] = {}
        self._claims: dict[str, Mapping[str, Resources]] = {}
        self._spec: TopologySpec | None = None
        self._levels: Levels | None = None
        self._healthy = False
        self.version = 0
        """Grows with every change that can matter to placement."""
        self.epoch = Epoch()
        self._sharers: WeakSet[Inventory] | None = None

    # --- Events ---------------------------------------------------------------------------------------------------

    def put_node(self, node: Node) -> None:
        """Add or replace a node."""
        row = self._row.get(node.name)
        old = None if row is None else self._nodes[row]
        if old is not None:
            cause = self._cause_of(node)
            same = old.allocatable == node.allocatable and old.taints == node.taints and old.labels == node.labels
            if same and cause == self._cause[self._row[node.name]]:
                self._write()
                self._nodes[self._row[node.name]] = node
                return
        else:
            same = False
        self._write()
        row = self._new_row(node.name) if row is None else row
        self._nodes[row] = node
        self._cause[row] = self._cause_of(node)
        if old is None or old.allocatable != node.allocatable:
            self._set_allocatable(row, node.allocatable)
        if not same:
            self._restart_epoch()

    def drop_node(self, name: str) -> None:
        """Forget a node; what pods and claims hold there still counts should it come back."""
        row = self._row.get(name)
        if row is None or self._nodes[row] is None:
            return
        self._write()
        self._nodes[row] = None
        self._cause[row] = ABSENT
        self._allocatable[row] = 0
        self._recycle(row)
        self._restart_epoch()

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
        self._write()
        if old is not None:
            self._hold(old, -1)
        self._pods[pod.id] = held
        self._hold(held, 1)

    def free(self, pod_id: str) -> None:
        """Forget a pod."""
        if pod_id not in self._pods:
            return
        self._write()
        self._hold(self._pods.pop(pod_id), -1)

    def claim(self, owner: str, load: Mapping[str, Resources]) -> None:
        """Replace an owner's live claim: node name to the summed requests of its pods there."""
        old = self._claims.get(owner, {})
        if old == load:
            return
        self._write()
        new = {name: load[name] for name in load if load[name]}
        for name in {**old, **new}:
            before, after = old.get(name, ()), new.get(name, ())
            if before == after:
                continue
            pods = self._owned.get((owner, name), _NOTHING)
            self._add(name, _most(before, pods), -1)
            self._add(name, _most(after, pods), 1)
            self._busy[self._row[name]] += bool(after) - bool(before)
            self._recycle(self._row[name])
        if new:
            self._claims[owner] = new
        else:
            self._claims.pop(owner, None)

    def release(self, owner: str) -> None:
        """End an owner's claim; its pods then count by themselves."""
        self.claim(owner, {})

    def claimed(self, owner: str) -> Mapping[str, Resources]:
        """The owner's live claim, node name to amounts; empty if it has none."""
        return self._claims.get(owner, {})

    def set_topology(self, spec: TopologySpec) -> None:
        """Use this ClusterTopology from now on; its nodeSelector says which nodes take part."""
        if spec == self._spec:
            return
        self._write()
        self._spec = spec
        for row, node in enumerate(self._nodes):
            if node is not None:
                self._cause[row] = self._cause_of(node)
        self._restart_epoch()

    # --- Questions ------------------------------------------------------------------------------------------------

    @property
    def levels(self) -> Levels:
        """The levels as the nodes that are here make them; found anew only after nodes or topology changed."""
        if self._levels is None:
            self._levels = (
                Levels(invalid="no ClusterTopology is known")
                if self._spec is None
                else resolve(self._spec, (n for n in self._nodes if n is not None))
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
        row = self._row.get(name)
        return None if row is None else self._nodes[row]

    def nodes(self) -> Iterator[tuple[int, Node]]:
        """The nodes that are here and take part, with their rows."""
        for row, node in enumerate(self._nodes):
            if node is not None and self._takes_part(node):
                yield row, node

    def present(self) -> Iterator[Node]:
        """All nodes that are here, whether or not they take part."""
        return (node for node in self._nodes if node is not None)

    def cause(self, name: str) -> str:
        """Why a node is not usable whatever the pod; empty if it is usable."""
        row = self._row.get(name)
        return CAUSES[ABSENT if row is None else int(self._cause[row])]

    def causes(self) -> Ints:
        """Per row a code of CAUSES. Read only."""
        return self._cause[: self.size]

    def intact(self) -> npt.NDArray[np.bool_]:
        """Per row: no claim and no pod but those of DaemonSets (and mirror pods) holds anything there."""
        found: npt.NDArray[np.bool_] = self._busy[: self.size] == 0
        return found

    def room(self, resource: str) -> tuple[Ints, Ints] | None:
        """Per row (free, allocatable) of a resource; None if no node offers it. Free is never below zero."""
        column = self._column.get(resource)
        if column is None and resource.startswith(HOST_PORT):
            one = np.ones(self.size, np.int64)
            return one, one
        if column is None:
            return None
        has = self._allocatable[: self.size, column]
        return np.maximum(has - self._used[: self.size, column], 0), has

    def free_on(self, name: str) -> Resources:
        """What is free on one node, for people and tests."""
        row = self._row[name]
        left = ((r, int(self._allocatable[row, c] - self._used[row, c])) for r, c in sorted(self._column.items()))
        return tuple((r, amount) for r, amount in left if amount > 0)

    def overlaps(self, owner: str) -> tuple[str, ...]:
        """Nodes on which this owner's claim and everything else that is used there exceed what the node has."""
        claims = self._claims.get(owner, {})
        rows = np.fromiter((self._row[name] for name in claims), np.intp, len(claims))
        # What the owner holds is within what is used, so only where too much is used can its claim be too much.
        full = {int(row) for row in rows[np.any(self._used[rows] > self._allocatable[rows], axis=1)]}
        out = []
        for name, claim in claims.items() if full else ():
            row = self._row[name]
            if row not in full or self._nodes[row] is None:
                continue
            own = _most(claim, self._owned.get((owner, name), _NOTHING))
            for resource, amount in claim:
                c = self._column[resource]
                if int(self._used[row, c]) - own.get(resource, 0) + amount > int(self._allocatable[row, c]):
                    out.append(name)
                    break
        return tuple(sorted(out))

    def fork(self) -> Inventory:
        """An independent copy for a `what if`: it shares everything until one of both is written."""
        other = Inventory.__new__(Inventory)
        other.__dict__.update(self.__dict__)
        if self._sharers is None:
            self._sharers = WeakSet((self,))
        self._sharers.add(other)
        other._sharers = self._sharers
        return other

    def emptied(self) -> Inventory:
        """The empty healthy cluster: the same nodes without pods, claims, cordons and unreadiness."""
        other = self.fork()
        other._write()
        other._used = np.zeros_like(other._used)
        other._busy = np.zeros_like(other._busy)
        other._pods, other._owned, other._claims = {}, {}, {}
        other._healthy = True
        for row, node in enumerate(other._nodes):
            other._cause[row] = ABSENT if node is None else other._cause_of(node)
        return other

    def fingerprint(self) -> str:
        """Equal for equal contents, in every process."""
        h = hashlib.blake2b(digest_size=16)
        for name in sorted(self._row):
            row = self._row[name]
            node = self._nodes[row]
            what = None if node is None else (sorted(node.labels.items()), node.allocatable, node.taints)
            used = [(r, int(self._used[row, c])) for r, c in sorted(self._column.items()) if self._used[row, c]]
            if what is not None or used:
                h.update(repr((name, what, int(self._cause[row]), int(self._busy[row]), used)).encode())
        h.update(repr(sorted((k, sorted(v.items())) for k, v in self._claims.items())).encode())
        h.update(repr(sorted(self._pods.items(), key=lambda item: item[0])).encode())
        h.update(repr((self._spec, self._healthy)).encode())
        return h.hexdigest()

    # --- Inside ---------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """Before any change: stop sharing, if another inventory still looks at the same arrays."""
        self.version += 1
        if self._sharers is None:
            return
        if len(self._sharers) > 1:
            self._names, self._nodes = list(self._names), list(self._nodes)
            self._row, self._column = dict(self._row), dict(self._column)
            self._spare_rows = list(self._spare_rows)
            self._allocatable, self._used = self._allocatable.copy(), self._used.copy()
            self._busy, self._cause = self._busy.copy(), self._cause.copy()
            self._pods, self._owned, self._claims = dict(self._pods), dict(self._owned), dict(self._claims)
        self._sharers.discard(self)
        self._sharers = None

    def _restart_epoch(self) -> None:
        self.epoch = Epoch()
        self._levels = None

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
        return USABLE if node.unready_since is None else NOT_READY

    def _new_row(self, name: str) -> int:
        if self._spare_rows:
            row = self._spare_rows.pop()
            self._names[row] = name
        else:
            row = len(self._names)
            self._names.append(name)
            self._nodes.append(None)
            if row >= len(self._busy):
                more = max(16, row)
                self._allocatable = np.pad(self._allocatable, ((0, more), (0, 0)))
                self._used = np.pad(self._used, ((0, more), (0, 0)))
                self._busy = np.pad(self._busy, (0, more))
                self._cause = np.pad(self._cause, (0, more))
        self._row[name] = row
        self._cause[row] = ABSENT
        for resource, column in self._column.items():
            self._allocatable[row, column] = resource.startswith(HOST_PORT)
        return row

    def _recycle(self, row: int) -> None:
        """Give a row free whose node is gone and on which nothing is held."""
        if self._nodes[row] is None and not self._busy[row] and not self._used[row].any():
            self._row.pop(self._names[row], None)
            if row not in self._spare_rows:
                self._spare_rows.append(row)

    def _columns(self, resource: str) -> int:
        column = self._column.get(resource)
        if column is None:
            column = self._column[resource] = len(self._column)
            if column >= self._used.shape[1]:
                self._allocatable = np.pad(self._allocatable, ((0, 0), (0, 4)))
                self._used = np.pad(self._used, ((0, 0), (0, 4)))
            if resource.startswith(HOST_PORT):
                self._allocatable[:, column] = 1
            elif resource == "pods":
                self._allocatable[:, column] = UNBOUNDED
        return column

    def _set_allocatable(self, row: int, amounts: Resources) -> None:
        self._columns("pods")
        for resource, _ in amounts:
            self._columns(resource)
        self._allocatable[row] = 0
        self._allocatable[row, self._column["pods"]] = UNBOUNDED
        for resource, amount in amounts:
            self._allocatable[row, self._column[resource]] = amount
        for resource, column in self._column.items():
            if resource.startswith(HOST_PORT):
                self._allocatable[row, column] = 1

    def _add(self, name: str, amounts: Amounts, sign: int) -> None:
        row = self._row.get(name)
        if row is None:
            row = self._new_row(name)
        for resource, amount in amounts.items():
            column = self._column.get(resource)
            if column is None:
                column = self._columns(resource)
            self._used[row, column] += sign * amount

    def _hold(self, held: _Held, sign: int) -> None:
        for name in held.nodes:
            if held.owner is None:
                self._add(name, dict(held.requests), sign)
            else:
                key = (held.owner, name)
                claim = self._claims.get(held.owner, {}).get(name, ())
                before = self._owned.get(key, _NOTHING)
                after = _plus(before, held.requests, sign)
                self._add(name, _most(claim, before), -1)
                self._add(name, _most(claim, after), 1)
                if after:
                    self._owned[key] = after
                else:
                    self._owned.pop(key, None)
            row = self._row[name]
            if not held.daemon:
                self._busy[row] += sign
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
