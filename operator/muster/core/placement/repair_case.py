"""A gang that lost some ranks, as the search for its repair sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from muster.core.inventory import Inventory
from muster.core.model import Objective, Shape
from muster.core.placement import scene
from muster.core.placement.gang import Gang
from muster.core.placement.placer import Placer
from muster.core.placement.repair_curves import Ground
from muster.core.placement.repair_parts import FREE, Mask, parts_of
from muster.core.placement.tree import Ints

_OWNER = "\0gang"


class Case:
    """What does not change while repairs are tried. `inventory` holds nothing of the gang itself."""

    def __init__(
        self,
        placer: Placer,
        inventory: Inventory,
        shape: Shape,
        gang: Gang,
        nodes: Sequence[Sequence[str]],
        lost: frozenset[tuple[int, int]],
    ) -> None:
        self.placer, self.inventory, self.shape, self.gang, self.lost = placer, inventory, shape, gang, lost
        self.tree = tree = placer.tree(inventory)
        self.together = max(gang.required, gang.boundary)
        """The depth of the domain that all roles share; 0 for none."""
        self.parts = [parts_of(role, self.together) for role in gang.roles]
        self.old: list[Ints] = []
        """Per role and rank the position of its node; FREE where the node is not among those that take part."""
        self.at: list[Ints] = []
        """The same, FREE also for what is lost."""
        for index, mine in enumerate(nodes):
            old = np.array([tree.position.get(name, FREE) for name in mine], np.int64)
            left = old.copy()
            left[[rank for role, rank in lost if role == index]] = FREE
            self.old.append(old)
            self.at.append(left)
        self.pods = sum(len(mine) for mine in self.at)
        self.survivors = int(sum((mine != FREE).sum() for mine in self.at))
        self.busy: Mask = ~inventory.intact(tree.rows)
        self.base = [placer.view(inventory, role).slots.copy() for role in gang.roles]
        """Per role the slots of each position without the gang."""
        self._job_preferred = gang.preferred
        self._own = [
            (tree.levels.depth(role.shape.preferred) or 0) if role.shape.preferred is not None else 0
            for role in gang.roles
        ]

    def held(self, positions: Sequence[Ints]) -> list[Ints]:
        """Pods per role and position of ranks that are at these positions (FREE: nowhere)."""
        return [np.bincount(mine[mine != FREE], minlength=self.tree.count) for mine in positions]

    def ground(self, index: int, held: Sequence[Ints]) -> Ground:
        """What a role is placed on while these pods of the gang are there."""
        used = np.zeros(self.tree.count, bool)
        for mine in held:
            used |= mine > 0
        slots, fewer = self._slots(held)
        return Ground(
            self.tree,
            slots[index],
            slots[0] if len(slots) == 1 else np.sum(slots, axis=0),
            self.busy,
            used,
            held[index] > 0,
            self._job_preferred,
            self._own[index],
            lambda: self._codes(slots),
            None if fewer is None else fewer(index),
        )

    def _codes(self, slots: list[Ints]) -> Ints:
        """See `Ground`. How slots get fewer depends on what is free of every resource that a role asks for."""
        codes: Ints = slots[0] * 2 + self.busy
        if len(slots) > 1:
            asked = {resource for role in self.gang.roles for resource, _ in role.shape.requests}
            free = (self.inventory.room(resource, self.tree.rows) for resource in sorted(asked))
            for column in (*slots[1:], *(room[0] for room in free if room is not None)):
                _, mine = np.unique(column, return_inverse=True)
                _, codes = np.unique(codes, return_inverse=True)
                codes = codes * (int(mine.max(initial=0)) + 1) + mine
        return codes

    def objective(self, positions: Sequence[Ints]) -> tuple[Objective, tuple[tuple[str, int], ...]]:
        """The vector of a whole placement, and the domains that it touches."""
        held = self.held(positions)
        slots, _ = self._slots(held)
        leftover = sum(scene.left_over(self.tree, mine, held) for mine in slots)
        vector = scene.objective(self.tree, self.busy, self.gang, held, leftover)
        return vector, scene.touched_domains(self.tree, held)

    def _slots(self, held: Sequence[Ints]) -> tuple[list[Ints], Callable[[int], Callable[[int, int], int]] | None]:
        """Slots per role while these pods are there; for several roles also how they get fewer (see `Ground`)."""
        if len(held) == 1:
            return [np.maximum(self.base[0] - held[0], 0)], None
        here = self.inventory.fork()
        load: dict[str, dict[str, int]] = {}
        for role, mine in zip(self.gang.roles, held, strict=True):
            for at in np.flatnonzero(mine).tolist():
                there = load.setdefault(self.tree.names[at], {})
                for resource, amount in role.shape.requests:
                    there[resource] = there.get(resource, 0) + amount * int(mine[at])
        here.claim(_OWNER, {name: tuple(sorted(amounts.items())) for name, amounts in load.items()})
        slots = [self.placer.view(here, role).slots.copy() for role in self.gang.roles]
        return slots, lambda index: _fewer(self, here, slots, index)


def _fewer(case: Case, here: Inventory, slots: list[Ints], index: int) -> Callable[[int, int], int]:
    """How the slots of all roles on a position change when pods of one role are put there."""
    asks = [{r: n for r, n in role.shape.requests if n > 0} for role in case.gang.roles]
    rooms: dict[int, dict[str, int]] = {}

    def fewer(at: int, pods: int) -> int:
        free = rooms.get(at)
        if free is None:
            free = rooms[at] = {}
            for resource in {resource for wanted in asks for resource in wanted}:
                room = here.room(resource, case.tree.rows[at : at + 1])
                free[resource] = 0 if room is None else int(room[0][0])
        total = 0
        for wanted, mine in zip(asks, slots, strict=True):
            before = int(mine[at])
            if before:
                after = min((free[r] - pods * asks[index].get(r, 0)) // n for r, n in wanted.items())
                total += max(after, 0) - before
        return total

    return fewer
