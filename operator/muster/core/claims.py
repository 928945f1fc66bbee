"""What the live attempts of jobs hold on which nodes, kept equal to their acknowledged and assumed status together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from muster.core.inventory import Inventory
from muster.core.model import Resources

Nodes = Sequence[Sequence[str]]
"""Nodes by role; of a live placement by rank."""


def load_of(nodes: Nodes, requests: Sequence[Resources]) -> dict[str, Resources]:
    """What pods of each role on these nodes (`nodes[role][rank]`) request together, by node."""
    load: dict[str, dict[str, int]] = {}
    for names, wanted in zip(nodes, requests, strict=False):
        for name in names:
            _add(load.setdefault(name, {}), wanted)
    return {node: tuple(sorted(amounts.items())) for node, amounts in load.items()}


def _add(amounts: dict[str, int], more: Resources) -> None:
    for resource, amount in more:
        amounts[resource] = amounts.get(resource, 0) + amount


class Claims:
    """The claims in an Inventory, by job uid, and the way back from a node to the jobs that claim it."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._keys: dict[str, object] = {}
        self._nodes: dict[str, frozenset[str]] = {}
        self._jobs_on: dict[str, set[str]] = {}

    def jobs_on(self, node: str) -> Iterable[str]:
        """The jobs that claim room on this node."""
        return tuple(self._jobs_on.get(node, ()))

    def nodes_of(self, uid: str) -> frozenset[str]:
        """The nodes on which this job claims room."""
        return self._nodes.get(uid, frozenset())

    def put(self, uid: str, placements: Sequence[Nodes], requests: Sequence[Resources]) -> frozenset[str]:
        """Make the job's claim that of all these placements together (per resource the most that any of them asks);
        none: release it. Gives the nodes that are claimed now and were not before."""
        key = (*placements, tuple(requests)) if placements else ()
        if self._keys.get(uid, ()) == key:
            return frozenset()
        load: dict[str, Resources] = {}
        for placement in placements:
            for node, wanted in load_of(placement, requests).items():
                held = dict(load.get(node, ()))
                load[node] = tuple(sorted((held | {r: max(held.get(r, 0), n) for r, n in wanted}).items()))
        before, nodes = self._nodes.get(uid, frozenset()), frozenset(load)
        for node in before - nodes:
            self._jobs_on[node].discard(uid)
        for node in nodes - before:
            self._jobs_on.setdefault(node, set()).add(uid)
        if load:
            self._keys[uid], self._nodes[uid] = key, nodes
            self._inventory.claim(uid, load)
        else:
            self._keys.pop(uid, None)
            if self._nodes.pop(uid, None) is not None:
                self._inventory.release(uid)
        return nodes - before
