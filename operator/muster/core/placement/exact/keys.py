"""The objective as one number: a mixed radix that leaves each entry the room that the optimum can need.

A placement whose entries overflow theirs only looks worse than it is, so the bounds need to hold for the optimum alone.
Where not all entries fit, the last are left out, and a second search has tighter bounds from what the first found.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST = 1 << 58
"""What the key of the optimum stays below."""


@dataclass(frozen=True, slots=True)
class Keys:
    """How much each entry of the vector (preferred, cost, nodes, intact per depth, leftover) counts; 0 for those that
    are left out, which are always the last."""

    weights: tuple[int, ...]
    length: int
    """How many entries are counted."""

    @property
    def whole(self) -> bool:
        """Nothing is left out."""
        return self.length == len(self.weights)

    def entries(self, key: int) -> tuple[int, ...]:
        """The entries that a key counts."""
        out = []
        for weight in self.weights[: self.length]:
            entry, key = divmod(key, weight)
            out.append(entry)
        return tuple(out)


def keys(bounds: tuple[int, ...]) -> Keys:
    """Keys in which each entry up to its bound has room, as many of them as there is room for."""
    length, room = 0, MOST
    for bound in bounds:
        room //= bound + 1
        if not room:
            break
        length += 1
    weights, weight = [0] * len(bounds), 1
    for i in range(length - 1, -1, -1):
        weights[i] = weight
        weight *= bounds[i] + 1
    return Keys(tuple(weights), length)


def nothing(entries: int) -> Keys:
    """Keys that count nothing: whether the gang can be placed at all."""
    return Keys((0,) * entries, 0)
