"""What is remembered of nodes beyond their records: returns from being unready, blame, and since when signs were seen.

A node that keeps going away and coming back is held back, each time longer; one that several jobs blamed is avoided by
all. All of it follows from changes and their times alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from muster.core.inventory import BLAMED, HELD, Inventory
from muster.core.model import Avoided, Job, Node, NodePast, Rejected, TopologySpec

FLAP_WINDOW = 3_600_000
"""Returns within this long (ms) count together: what a reboot or an update of the kubelet costs, one return, is no
flapping; two in an hour are."""
FIRST_HOLD = 60_000
"""The second return holds a node back this long (ms), about as long as Kubernetes needs to notice that it is gone
again (50 s without a heartbeat);"""
LONGEST_HOLD = 3_600_000
"""each further one twice as long as the one before, up to this."""
BLAME_WINDOW = 86_400_000
"""A node is avoided that so many jobs"""
BLAMED_BY = 3
"""blamed within this long (ms; api.md), each for something of its own:"""
INCIDENT = 30_000
"""what comes within this long (ms) is taken for one incident. When a machine goes that several small jobs share, all of
them blame it in the same moment, and a single reboot must not take it away from everybody."""
_BLAMES = 16
"""Blames that are remembered of a node, the latest of each job."""


def hold(returns: int) -> int:
    """For how long (ms) a node is held back that came back so often within the window."""
    return 0 if returns < 2 else min(FIRST_HOLD << min(returns - 2, 16), LONGEST_HOLD)


class Pasts:
    """The pasts of all nodes that have one. Every method that takes in something returns the names of the nodes that
    are usable now and were not, or the other way round; the inventory has been told."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._pasts: dict[str, NodePast] = {}
        self._holds: dict[str, int] = {}

    # --- reading ----------------------------------------------------------------------------------------------------

    @property
    def next_expiry(self) -> int | None:
        """When (ms) the next hold ends."""
        return min(self._holds.values(), default=None)

    def noticed(self, node: str, cause: str) -> int | None:
        """Since when (ms) a sign that carries no time has been seen on a node."""
        past = self._pasts.get(node)
        return dict(past.noticed).get(cause) if past is not None else None

    def silent_since(self, node: str) -> int | None:
        """Since when (ms) a node has been seen to be unready without a break: by our own clock, for that in its record
        is another's, and counted anew by every process; None: it is ready, or not there."""
        past = self._pasts.get(node)
        return past.silent[1] if past is not None and past.silent is not None else None

    def avoided(self) -> tuple[Avoided, ...]:
        """The nodes that all jobs avoid, by name."""
        found = (past.avoided for past in self._pasts.values() if _counts(past))
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.node))

    def records(self) -> Iterator[NodePast]:
        """All of it."""
        return iter(self._pasts.values())

    def fingerprint(self) -> object:
        """Equal for equal contents."""
        return dict(self._pasts)

    # --- changing ---------------------------------------------------------------------------------------------------

    def put(self, past: NodePast) -> set[str]:
        """This and nothing else is remembered of a node."""
        return self._set(past)

    def see(self, before: Node | None, node: Node, at: int) -> set[str]:
        """A node is as it is now; `before` is how it was, None if it was not there."""
        old = self._pasts.get(node.name) or NodePast(node.name)
        past = replace(self._noticing(old, node, at), silent=_silence(old, node, at))
        if before is not None and before.unready_since is not None and node.unready_since is None:
            returns = (*(t for t in past.returns if t > at - FLAP_WINDOW), at)
            held = max(at + hold(len(returns)), past.held_until or 0)
            past = replace(past, returns=returns, held_until=held if held > at else None)
        if node.cleared is not None and node.cleared > (past.cleared or 0):
            past = replace(past, cleared=node.cleared)
        return set() if past == old else self._set(past)

    def gone(self, name: str, at: int) -> set[str]:
        """A node is not there any more; one of its name is taken for the same machine."""
        past = self._pasts.get(name)
        if past is None:
            return set()
        returns = tuple(t for t in past.returns if t > at - FLAP_WINDOW)
        return self._set(replace(past, noticed=(), returns=returns, silent=None))

    def blame(self, job: Job | Rejected) -> set[str]:
        """A job's status, with the nodes it blames."""
        changed: set[str] = set()
        for blame in job.status.blamed:
            past = self._pasts.get(blame.node) or NodePast(blame.node)
            blames = dict(past.blames)
            if blames.get(job.id, -1) >= blame.at:
                continue
            blames[job.id] = blame.at
            latest = tuple(sorted(blames.items(), key=lambda item: (item[1], item[0]))[-_BLAMES:])
            if latest != past.blames:
                changed |= self._set(_judged(replace(past, blames=latest)))
        return changed

    def read(self, spec: TopologySpec, nodes: Iterable[Node], at: int, *, rules: bool) -> set[str]:
        """A ClusterTopology: what its status says is avoided, known or not; `rules`: others may be in force now."""
        changed: set[str] = set()
        for one in spec.avoided:
            past = self._pasts.get(one.node) or NodePast(one.node)
            if past.avoided is None:
                changed |= self._set(replace(past, avoided=one))
        if rules:
            for node in nodes:
                old = self._pasts.get(node.name) or NodePast(node.name)
                past = self._noticing(old, node, at)
                if past != old:
                    changed |= self._set(past)
        return changed

    def elapse(self, at: int) -> set[str]:
        """The clock has come to `at`: holds that lasted until then are over."""
        changed: set[str] = set()
        for name in [name for name, until in self._holds.items() if until <= at]:
            changed |= self._set(replace(self._pasts[name], held_until=None))
        return changed

    def shift(self, by: int) -> None:
        """The clock was set forward by so much (ms): what was measured by it is moved along."""
        for past in list(self._pasts.values()):
            self._set(
                replace(
                    past,
                    returns=tuple(at + by for at in past.returns),
                    held_until=past.held_until + by if past.held_until is not None else None,
                    silent=(past.silent[0], past.silent[1] + by) if past.silent is not None else None,
                    noticed=tuple((cause, at + by) for cause, at in past.noticed),
                )
            )

    # --- inside -----------------------------------------------------------------------------------------------------

    def _noticing(self, past: NodePast, node: Node, at: int) -> NodePast:
        """Since when signs have been seen that carry no time, of rules for which that matters."""
        known = dict(past.noticed)
        shown = self._inventory.rulebook.drains(node)
        noticed = tuple((rule.cause, known.get(rule.cause, at)) for rule, since in shown if since is None)
        return past if noticed == past.noticed else replace(past, noticed=noticed)

    def _set(self, past: NodePast) -> set[str]:
        before = _cause(self._pasts.get(past.name))
        if past == NodePast(past.name):
            self._pasts.pop(past.name, None)
        else:
            self._pasts[past.name] = past
        if past.held_until is None:
            self._holds.pop(past.name, None)
        else:
            self._holds[past.name] = past.held_until
        after = _cause(past)
        if before == after:
            return set()
        self._inventory.withhold(past.name, after)
        return {past.name}


def _silence(past: NodePast, node: Node, at: int) -> tuple[int, int] | None:
    """A record that names another time is of another silence: in between the node may have been ready."""
    if node.unready_since is None:
        return None
    known = past.silent
    return known if known is not None and known[0] == node.unready_since else (node.unready_since, at)


def _cause(past: NodePast | None) -> int | None:
    if past is None:
        return None
    if _counts(past):
        return BLAMED
    return HELD if past.held_until is not None else None


def _counts(past: NodePast) -> bool:
    """It is avoided by all, and that has not been cleared since."""
    return past.avoided is not None and (past.cleared is None or past.avoided.since >= past.cleared)


def _judged(past: NodePast) -> NodePast:
    """Avoided from now on, if so many jobs blamed it within the window since it was last cleared."""
    if _counts(past) or not past.blames:
        return past
    last = past.blames[-1][1]
    counted = [
        at for _, at in past.blames if at >= last - BLAME_WINDOW and (past.cleared is None or at >= past.cleared)
    ]
    incidents: list[int] = []
    for at in counted:
        if not incidents or at >= incidents[-1] + INCIDENT:
            incidents.append(at)
    if len(incidents) < BLAMED_BY:
        return past
    return replace(past, avoided=Avoided(past.name, len(counted), last))
