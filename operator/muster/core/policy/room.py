"""What is free during one pass of the planner, for the broken and the waiting: a fork of the inventory."""

from __future__ import annotations

from collections.abc import Sequence

from muster.core.claims import load_of
from muster.core.inventory import Inventory
from muster.core.model import Found, Shape, Verdict
from muster.core.world import World


class Room:
    """What is free for the waiting during one pass. It only shrinks, so a shape that was refused stays refused."""

    def __init__(self, world: World) -> None:
        self._solver = world.solver
        self.free = world.inventory.fork()
        """After what this pass has placed; room that is kept is free here."""
        self._left: Inventory | None = None
        """The same without the room that is kept, if any is."""
        self._kept = 0
        self._taken = 0
        self._found: dict[Shape, Found] = {}
        """What fits as things are now."""
        self._refused: dict[Shape, tuple[Verdict | None, int]] = {}
        """The refusals of this pass, and how many gangs had been placed by then."""
        self._given: set[Shape] = set()
        """A gang of these has been placed."""
        self._tight: set[Shape] = set()
        """No room is left to be kept for these."""

    def keep(self, shape: Shape) -> None:
        """A gang that would be placed but for an answer that is on its way (its dry run, its last commit): what it will
        have in a moment is not free for those behind it."""
        if shape in self._tight or shape in self._refused:
            return
        found = self._solver.place(self.left, shape)
        if isinstance(found, Verdict):
            self._tight.add(shape)
            return
        if self._left is None:
            self._left = self.free.fork()
        self._kept += 1
        self._found.clear()
        self._left.claim(f"\0{self._kept}", load_of(found.nodes, [role.requests for role in shape.roles]))

    def find(self, shape: Shape) -> Found | Verdict | None:
        """A placement; the verdict, in numbers that leave kept room out of account, since they are told for longer than
        it is kept; or None if nothing but kept room is in the way."""
        if shape in self._refused:
            return self._refused[shape][0]
        if shape in self._found:
            return self._found[shape]
        answer = self._crowded(shape) or self._solver.place(self.left, shape)
        if isinstance(answer, Found):
            self._found[shape] = answer
            return answer
        if self._left is not None:
            alone = self._solver.place(self.free, shape)
            self._refused[shape] = alone if isinstance(alone, Verdict) else None, self._taken
        else:
            self._refused[shape] = answer, self._taken
        return self._refused[shape][0]

    def in_the_end(self, shape: Shape, verdict: Verdict) -> Verdict:
        """The verdict on a shape that this pass has refused with this one, in the numbers of now that all is placed:
        they are what the next pass will find too."""
        if self._refused[shape][1] != self._taken:
            # It does not fit: there is less room than when it was refused.
            answer = self._solver.restated(self.free, shape) or self._solver.place(self.free, shape)
            self._refused[shape] = answer if isinstance(answer, Verdict) else verdict, self._taken
        return self._refused[shape][0] or verdict

    def _crowded(self, shape: Shape) -> Verdict | None:
        """Behind one that was placed the next of its shape mostly finds too little: that needs no search."""
        return self._solver.crowded(self.free, shape) if shape in self._given and self._left is None else None

    @property
    def left(self) -> Inventory:
        """What is free for those who come now."""
        return self.free if self._left is None else self._left

    def take(self, owner: str, shape: Shape, nodes: Sequence[Sequence[str]]) -> None:
        """A gang is placed, or mended."""
        load = load_of(nodes, [role.requests for role in shape.roles])
        self._taken += 1
        self._given.add(shape)
        self._found.clear()
        self.free.claim(owner, load)
        if self._left is not None:
            self._left.claim(owner, load)
