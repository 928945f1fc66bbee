"""Pods that are out of the API while what they started may still run: their machine did not answer at that time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from muster.core.model import Committed, Ghost, Job, Node, Phase, Pod, Rejected

Spot = tuple[str, int, str]
"""(role, rank, node)."""


LATELY = 60_000
"""Nodes and pods are watched apart: a pod may be seen to vanish so long (ms) before it is seen that its machine had
fallen silent by then."""
ENDS_STRAYS = 60_000
"""A machine that answers again has ended what the API does not show so long (ms) afterwards. Its kubelet reports that
it is ready before it knows what is to run: its watch of pods (client-go's reflector) retries after up to twice 30 s."""


class Ghosts:
    """All of them, at most one for each job, rank and node."""

    def __init__(self) -> None:
        self._found: dict[str, dict[Spot, Ghost]] = {}
        self._lately: dict[tuple[str, Spot], Ghost] = {}
        """Pods that vanished on machines that answered, as far as was known."""

    def __iter__(self) -> Iterator[Ghost]:
        yield from (ghost for ghosts in self._found.values() for ghost in ghosts.values())
        yield from self._lately.values()

    def of(self, job: str) -> Iterable[Ghost]:
        """Those of one job."""
        return self._found.get(job, {}).values()

    def vanished(self, pod: Pod, node: Node | None, owner: Job | Rejected | None, silent: int | None, at: int) -> None:
        """This pod left the API, bound to this machine if to any (`silent`: since when that one does not answer). On a
        machine that does not answer it may go on running; one that was given up because its machine had been silent
        for long enough is not waited for again."""
        if pod.job is None or pod.terminal or node is None or node.out_of_service:
            return
        ghost = Ghost(pod.job, pod.role or "", pod.rank if pod.rank is not None else -1, node.name, at)
        if node.unready_since is None:
            self.put(replace(ghost, sure=False))
            return
        patience = (
            owner.policy.unreachable_after if isinstance(owner, Job) and owner.policy.replaces_unreachable else None
        )
        if silent is None or patience is None or at < silent + patience:
            self.put(ghost)

    def look(self, job: Job, pods: Iterable[Pod], silent: Callable[[str], int | None]) -> None:
        """What vanished of a live job before this process watched: pods that were let start, by its status, on machines
        that do not answer (`silent`: since when), and that the API does not show. They count from when the silence was
        seen."""
        for role, rank, name in unseen(job.status, pods):
            since = silent(name)
            if since is not None:
                ghost = Ghost(job.id, role, rank, name, since)
                self._found.setdefault(job.id, {}).setdefault(_spot(ghost), ghost)

    def listen(self, known: Node | None, node: Node, at: int) -> Iterable[str]:
        """A node has changed; the jobs for which that may matter."""
        if node.out_of_service:  # the machine is off by the administrator's word
            return self.drop_node(node.name)
        if node.unready_since is None:
            return self.answers(node.name, at)
        if known is not None and known.unready_since is None:
            self.silent(node.name, at)
        return ()

    def put(self, ghost: Ghost) -> None:
        """This pod vanished; one that did before counts from now on."""
        if ghost.sure:
            self._found.setdefault(ghost.job, {})[_spot(ghost)] = ghost
            return
        for key in [key for key, other in self._lately.items() if other.since < ghost.since - LATELY]:
            del self._lately[key]
        self._lately[ghost.job, _spot(ghost)] = ghost

    def answers(self, node: str, at: int) -> list[str]:
        """This machine answers again; the jobs that have any there."""
        touched = []
        for job, ghosts in self._found.items():
            there = {spot: ghost for spot, ghost in ghosts.items() if spot[2] == node and ghost.heard is None}
            ghosts.update({spot: replace(ghost, heard=at) for spot, ghost in there.items()})
            if there:
                touched.append(job)
        return touched

    def silent(self, node: str, at: int) -> None:
        """This machine does not answer, and may not have answered a while ago."""
        for ghosts in self._found.values():
            for spot, ghost in list(ghosts.items()):
                if spot[2] != node or ghost.heard is None:
                    continue
                if at >= ghost.heard + ENDS_STRAYS:
                    del ghosts[spot]
                else:
                    ghosts[spot] = replace(ghost, since=at, heard=None)
        for key, ghost in [(key, ghost) for key, ghost in self._lately.items() if ghost.node == node]:
            del self._lately[key]
            if ghost.since >= at - LATELY:
                self.put(replace(ghost, since=at, sure=True))

    def drop_node(self, node: str) -> list[str]:
        """None of them runs on this node any more; the jobs that had any there."""
        touched = []
        for job, ghosts in list(self._found.items()):
            there = [spot for spot in ghosts if spot[2] == node]
            for spot in there:
                del ghosts[spot]
            if there:
                touched.append(job)
            if not ghosts:
                del self._found[job]
        return touched

    def drop_job(self, job: str) -> None:
        """Nobody asks about this job any more."""
        self._found.pop(job, None)
        for key in [key for key in self._lately if key[0] == job]:
            del self._lately[key]

    def shift(self, by: int) -> None:
        """The clock was set forward by so much (ms)."""
        for ghosts in self._found.values():
            for spot, ghost in ghosts.items():
                heard = ghost.heard + by if ghost.heard is not None else None
                ghosts[spot] = replace(ghost, since=ghost.since + by, heard=heard)
        for key, ghost in self._lately.items():
            self._lately[key] = replace(ghost, since=ghost.since + by)


def _spot(ghost: Ghost) -> Spot:
    return ghost.role, ghost.rank, ghost.node


def unseen(status: Committed, pods: Iterable[Pod]) -> Iterator[Spot]:
    """Where, by this status, pods ran of which none is among these: on the nodes of the placement those that were let
    start, and where ranks ran that have moved since. Some of them may have stopped in good order before they went."""
    placement = status.placement
    if placement is None:
        return
    # Pods that were born after the last start never left their gate.
    there = {(pod.role, pod.rank, pod.node) for pod in pods if pod.born is not None and pod.born <= status.opened}
    moved = {(role, rank) for role, rank, _ in status.leaving}
    ran = [
        (name, rank, node)
        for name, nodes, births in zip(placement.roles, placement.nodes, placement.born, strict=True)
        for rank, (node, born) in enumerate(zip(nodes, births, strict=True))
        # Of a rank that a repair makes anew in its place, what ran before it ran on the same node.
        if born <= status.opened or (status.phase is Phase.REPAIRING and (name, rank) not in moved)
    ]
    yield from (spot for spot in dict.fromkeys((*ran, *status.leaving)) if spot not in there)
