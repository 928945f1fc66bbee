"""Where a gang goes: `Solver.place(inventory, shape)` answers `Found` or the `Verdict` why not (placement.md).

The answer is a function of the inventory's contents and the shape alone; what a Solver keeps changes only its cost.
All or nothing: `Found.nodes[role][rank]` names a node for every pod, and every hard constraint holds. For one role
whose segments are equal (or of few uneven kinds) it is the exact optimum of the lexicographic objective and `proven`;
for several roles likewise within a budget counted in steps, else the best found with a `bound`. Nothing here writes
to the inventory: what-ifs run on forks. Nodes are looked at only through `tree` (domains as runs of nodes), `view`
(slots and causes, kept) and `field`; `search` adds up curves of least keys and refreshes them along marked paths
(`sums` by content, `packing` the key), `answer` and `ranks` number the pods; `kept` bounds what is kept, oldest out.
`basis` answers for one role alone and is what everything else stands on; `placer` places whole gangs: `judge`,
`largest` and `apart` say why not, `several` asks `exact`, and `sequence` (role after role) and `relax` (bounds) where
that ends.

`Solver.repair` mends a placement that lost ranks: fewest moved ranks, then the same objective. `repair` searches what
must give way, on a `repair_case`; `repair_parts` says what stays of a role and what is free, which `repair_try` puts
back by `repair_place` and `repair_fill`; `repair_anew` places the gang as a whole, `repair_verdict` says what lacked.
`Solver.remedy` is the smallest change that would make room: `remedy` and its parts.
"""

from muster.core.placement.placer import BUDGET
from muster.core.placement.solver import Solver

__all__ = ["BUDGET", "Solver"]
