"""Which nodes gained room, and when: what cuts a back-off short.

A job that lost its room pauses before its next attempt, so that two that want the same nodes, or a kubelet that
refuses, do not go round in circles. A node that is freed or comes back after the pause began is something new.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

LATEST = 1024
"""Nodes of which it is remembered; the earliest are forgotten."""


class FreedNodes:
    """When (ms) each node last gained room, the latest last."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}

    def note(self, nodes: Iterable[str], at: int) -> None:
        """These nodes gained room."""
        for node in nodes:
            at = max(at, self._at.pop(node, at))
            self._at[node] = at
        while len(self._at) > LATEST:
            del self._at[next(iter(self._at))]

    def since(self, at: int) -> Iterator[str]:
        """The nodes that gained room after this moment, the latest first."""
        return (node for node, freed in reversed(self._at.items()) if freed > at)

    def items(self) -> Iterable[tuple[str, int]]:
        """Node and time."""
        return self._at.items()
