"""Where a gang goes: `Solver.place(inventory, shape)` answers `Found` or the `Verdict` why not (placement.md).

The answer is a function of the inventory's contents and the shape alone; what a Solver keeps changes only its cost. All
or nothing: `Found.nodes[role][rank]` names a node for every pod, and every hard constraint holds. For one role whose
segments are equal (or of few uneven kinds) it is the exact optimum of the lexicographic objective and `proven`; for
several roles the best found within a budget counted in searches. Nothing here writes to the inventory: what-ifs run on
forks. Nodes are looked at only through `tree` (domains as runs of nodes), `view` (slots and causes) and `scene`;
`search` adds up curves of least keys up the tree, `answer` reads the least of them off at its root, `kept` holds views
and searches between decisions and refreshes them along what changed, `ranks` numbers the pods, `judge` says why not,
`several` tries roles in turn. The seam is `place`, `fits`, `keeps`, `least`, `largest`, `slots`.
"""

from muster.core.placement.solver import BUDGET, Solver

__all__ = ["BUDGET", "Solver"]
