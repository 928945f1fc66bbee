"""What is free for the waiting during one pass of the planner: a fork of the inventory that fills up."""

from __future__ import annotations

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
        self._asking: list[Shape] = []
        self._kept = 0
        self._refused: dict[Shape, Verdict | None] = {}

    def keep(self, shape: Shape) -> None:
        """A gang that would be placed were its pods admitted as they are written, which is being asked: what it will
        have in a moment is not free for those behind it."""
        self._asking.append(shape)

    def find(self, shape: Shape) -> Found | Verdict | None:
        """A placement; the verdict, in numbers that leave kept room out of account, since they are told for longer than
        it is kept; or None if nothing but kept room is in the way."""
        if shape in self._refused:
            return self._refused[shape]
        self._keep_asked()
        answer = self._solver.place(self.free if self._left is None else self._left, shape)
        if isinstance(answer, Found):
            return answer
        if self._left is not None:
            alone = self._solver.place(self.free, shape)
            self._refused[shape] = alone if isinstance(alone, Verdict) else None
        else:
            self._refused[shape] = answer
        return self._refused[shape]

    def take(self, owner: str, shape: Shape, found: Found) -> None:
        """A gang is placed."""
        load = load_of(found.nodes, [role.requests for role in shape.roles])
        self.free.claim(owner, load)
        if self._left is not None:
            self._left.claim(owner, load)

    def _keep_asked(self) -> None:
        for shape in self._asking:
            if self._left is None:
                self._left = self.free.fork()
            found = self._solver.place(self._left, shape)
            if isinstance(found, Found):
                self._kept += 1
                self._left.claim(f"\0{self._kept}", load_of(found.nodes, [role.requests for role in shape.roles]))
        self._asking.clear()
