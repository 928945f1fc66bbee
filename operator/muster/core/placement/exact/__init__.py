"""The exact optimum for several roles, or uneven segments, within a budget of counted steps.

The state of a domain is how many pieces of every role lie in it, so its curve has a block of axes per role: entry
[u1, .., v1, ..] is the least key of placing u1 pieces of the first role and v1 of the second there. Curves of siblings
are added by min-plus convolution, all pairs of a level at once and equal pairs once (domains of equal contents are
interchangeable, which is the symmetry of this problem); lifting a block turns pods into segments; the answer is read
off at the depth that all roles share and walked down.

`blocks` reads the gang as axes, `nodes` says what a node holds of all roles together, `keys` packs the objective,
`climb` adds up, `descend` walks down, `capacity` counts what fits without any shape, and `solve` puts it together.
Every addition is counted before it is made, and nothing is kept between
decisions, so the same snapshot ends at the same step.
"""

from muster.core.placement.exact.capacity import most
from muster.core.placement.exact.climb import Ground
from muster.core.placement.exact.meter import Meter, OverBudget
from muster.core.placement.exact.solve import Exact, ground_of, optimum, possible

__all__ = ["Exact", "Ground", "Meter", "OverBudget", "ground_of", "most", "optimum", "possible"]
