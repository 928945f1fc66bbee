"""The budget of a search, in counted steps."""

from __future__ import annotations

from dataclasses import dataclass

STEP = 1000
"""Additions of two keys that make a step."""


class OverBudget(Exception):  # noqa: N818  (an outcome, not an error)
    """What comes next would take more steps than are left."""


@dataclass(slots=True)
class Meter:
    """Counts additions of keys against `steps`. A step is counted before it is made and whatever is cached, so where a
    search ends depends on the snapshot alone."""

    steps: int
    made: int = 0
    """Additions so far."""

    def spend(self, additions: int) -> None:
        """Count so many additions; raises OverBudget if that is more than what is left."""
        if self.made + additions > self.steps * STEP:
            raise OverBudget
        self.made += additions

    @property
    def used(self) -> int:
        """Steps made, begun ones included."""
        return -(-self.made // STEP)
