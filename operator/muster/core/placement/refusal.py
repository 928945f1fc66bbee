"""A refusal, and whether it still stands: equal questions about a cluster that shows the same are not decided twice.

The verdict on one role hangs on what its view shows of every node and on the empty cluster (the epoch, part of the key
under which refusals are kept). Roles that share nodes hang on more than each one's view; there any changed row counts.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from muster.core.changes import Mark, since
from muster.core.inventory import Inventory
from muster.core.model import Verdict
from muster.core.placement.basis import Basis
from muster.core.placement.gang import Gang
from muster.core.placement.tasks import tractable
from muster.core.placement.view import View


@dataclass(frozen=True, slots=True)
class Refusal:
    """A verdict; the rows as they were, and for one role its view and the step at which it was asked."""

    verdict: Verdict
    mark: Mark
    view: weakref.ref[View] | None
    step: int

    @classmethod
    def of(cls, basis: Basis, inventory: Inventory, gang: Gang, verdict: Verdict) -> Refusal:
        """The verdict that this inventory, as it is now, gave."""
        if not _alone(gang):
            return cls(verdict, inventory.mark(), None, 0)
        view = basis.view(inventory, gang.roles[0])
        return cls(verdict, inventory.mark(), weakref.ref(view), view.steps)

    def stands(self, basis: Basis, inventory: Inventory, gang: Gang) -> bool:
        """The same question would be answered the same now. `inventory` is of the same epoch."""
        if self.view is None:
            rows = since(self.mark, inventory.mark())
            return rows is not None and not rows
        view = basis.view(inventory, gang.roles[0])
        return view is self.view() and view.as_at(self.step)


def _alone(gang: Gang) -> bool:
    return len(gang.roles) == 1 and tractable(gang.roles[0])
