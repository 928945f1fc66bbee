"""A node as the scheduler keeps it: what it has, what pods hold of it, and whether one more fits.

The words of a refusal are those of kube-scheduler's plugins (NodeUnschedulable, TaintToleration, NodeAffinity,
NodePorts, NodeResourcesFit), asked in that order: the first that refuses a node gives its reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from muster.embedded.nodes.demands import Demand, HostPort, NodeItem, Taint
from muster.embedded.quantities import Amounts, amounts

HARD = ("NoSchedule", "NoExecute")


@dataclass(slots=True)
class Seat:
    """A node, and what pods hold of it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, int] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    known: bool = False
    """Whether there is a Node object; pods may be bound to a name that has none."""
    used: Amounts = field(default_factory=dict)
    ports: dict[HostPort, int] = field(default_factory=dict)
    nominated: dict[str, Demand] | None = None
    """By uid, unbound pods for which room is kept here."""

    def describe(self, item: NodeItem) -> bool:
        """Take in the Node object; whether anything changed that may let another pod in."""
        cordon = (Taint("node.kubernetes.io/unschedulable", "", "NoSchedule"),) if item.spec.unschedulable else ()
        hard = tuple(taint for taint in item.spec.taints or () if taint.effect in HARD)
        new = (item.metadata.labels or {}, amounts(item.status.allocatable), cordon + hard, True)
        changed = new != (self.labels, self.allocatable, self.taints, self.known)
        self.labels, self.allocatable, self.taints, self.known = new
        return changed

    def vanish(self) -> None:
        """The Node object is gone; what pods hold here stays."""
        self.labels, self.allocatable, self.taints, self.known = {}, {}, (), False

    def add(self, requests: Iterable[tuple[str, int]], ports: Iterable[HostPort], sign: int = 1) -> None:
        """A pod comes (1) or goes (-1)."""
        for name, value in requests:
            held = self.used.get(name, 0) + sign * value
            if held:
                self.used[name] = held
            else:
                self.used.pop(name, None)
        for port in ports:
            count = self.ports.get(port, 0) + sign
            if count:
                self.ports[port] = count
            else:
                self.ports.pop(port, None)

    def reasons(self, uid: str, wanted: Demand) -> tuple[str, ...]:
        """Why the pod cannot be put here, in kube-scheduler's words; empty: it can."""
        for taint in self.taints:
            if not any(each.covers(taint) for each in wanted.tolerations):
                cordoned = taint.key == "node.kubernetes.io/unschedulable" and not taint.value
                return ("node(s) were unschedulable",) if cordoned else ("node(s) had untolerated taint(s)",)
        selected = all(self.labels.get(key) == value for key, value in wanted.selector)
        terms = wanted.terms
        if not selected or (terms is not None and not any(t.admits(self.name, self.labels) for t in terms)):
            return ("node(s) didn't match Pod's node affinity/selector",)
        if wanted.ports and any(_clash(ours, theirs) for ours in wanted.ports for theirs in self._ports(uid, wanted)):
            return ("node(s) didn't have free ports for the requested pod ports",)
        return tuple("Too many pods" if name == "pods" else f"Insufficient {name}" for name in self._short(uid, wanted))

    def hopeless(self, wanted: Demand) -> bool:
        """Whether no eviction of others would make room."""
        return any(value > self.allocatable.get(name, 0) for name, value in wanted.requests)

    def score(self, wanted: Demand) -> float:
        """Share of cpu and memory left over after it (NodeResourcesFit, LeastAllocated); larger is better."""
        asked = dict(wanted.requests)
        total = 0.0
        # A pod without requests counts with these, 100m and 200 MB, or all would go to one node.
        for name, least in (("cpu", 100), ("memory", 209_715_200_000)):
            have = self.allocatable.get(name, 0)
            total += max(0, have - self.used.get(name, 0) - asked.get(name, least)) / have if have else 0.0
        return total

    def _short(self, uid: str, wanted: Demand) -> list[str]:
        held = self.used
        kept = self._kept(uid, wanted)
        if kept:
            held = dict(held)
            for other in kept:
                for name, value in other.requests:
                    held[name] = held.get(name, 0) + value
        have = self.allocatable
        return [name for name, value in wanted.requests if held.get(name, 0) + value > have.get(name, 0)]

    def _ports(self, uid: str, wanted: Demand) -> Iterable[HostPort]:
        yield from self.ports
        for other in self._kept(uid, wanted):
            yield from other.ports

    def _kept(self, uid: str, wanted: Demand) -> list[Demand]:
        """For whom room is kept against this pod: those nominated here of its own priority or a higher one."""
        if not self.nominated:
            return []
        return [d for other, d in self.nominated.items() if other != uid and d.priority >= wanted.priority]


def _clash(one: HostPort, other: HostPort) -> bool:
    same = one[1:] == other[1:]
    return same and (one[0] == other[0] or "0.0.0.0" in (one[0], other[0]))  # nosec B104  # compared, not bound
