"""Two ways to place a gang that schedulers commonly use, written plainly, and the contract's vector of what they find.

First-fit takes free nodes in the order of their names. Greedy best-fit by domain is that of the demo, whose module
states its rule. Both see the free slots of each node for nothing; both keep hard constraints (segments stay in a rack).
Neither looks at intactness or leftover beyond the tightest fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.placement_world import LEAF, RACK, SPINE
from muster.cli.demo import greedy

Ints = npt.NDArray[np.int64]
WEIGHTS = (2, 2, 1)


@dataclass(frozen=True)
class State:
    """Per node in order of racks: free slots and whether it is used. `starts`: per level, broadest first."""

    slots: Ints
    used: npt.NDArray[np.bool_]
    starts: tuple[Ints, ...]


def state(slots: Ints, used: npt.NDArray[np.bool_]) -> State:
    """Of nodes ordered by rack."""
    racks = len(slots) // RACK
    return State(slots, used, tuple(np.arange(0, racks, step) * RACK for step in (LEAF * SPINE, LEAF, 1)))


def first_fit(here: State, pods: int, segment: int) -> Ints | None:
    """Pods per node."""
    out = np.zeros_like(here.slots)
    if not segment:
        before = np.cumsum(here.slots) - here.slots
        out = np.clip(pods - before, 0, here.slots)
        return out if int(out.sum()) == pods else None
    racks = here.slots.reshape(-1, RACK)
    pieces = racks.sum(axis=1) // segment
    before = np.cumsum(pieces) - pieces
    want = np.clip(pods // segment - before, 0, pieces) * segment
    if int(want.sum()) != pods:
        return None
    inside = np.cumsum(racks, axis=1) - racks
    found: Ints = np.clip(want[:, None] - inside, 0, racks).reshape(-1)
    return found


def best_fit(here: State, pods: int, segment: int) -> Ints | None:
    """Pods per node, by the rule that the demo also shows."""
    return greedy.best_fit(here.slots, [np.append(start, len(here.slots)) for start in here.starts], pods, segment or 1)


def vector(here: State, pods: Ints) -> tuple[int, ...]:
    """Cost, nodes, intact spines, leaves, racks, nodes, leftover (nothing is preferred here)."""
    cost, intact = 0, []
    for weight, start in zip(WEIGHTS, here.starts, strict=True):
        touched = np.add.reduceat(pods, start) > 0
        cost += weight * int(touched.sum())
        intact.append(int((touched & (np.add.reduceat(here.used.astype(np.int64), start) == 0)).sum()))
    nodes = pods > 0
    racks = nodes.reshape(-1, RACK).any(axis=1)
    left = int(here.slots.reshape(-1, RACK)[racks].sum()) - int(pods.sum())
    return cost, int(nodes.sum()), *intact, int((nodes & ~here.used).sum()), left
