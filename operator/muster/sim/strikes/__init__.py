"""What a storm can do: every kind of fault, by name. `python -m muster.sim storms --kinds` lists them.

A strike is a function of the scene and a source of numbers of its own, so that leaving one out changes no other. It
raises LookupError or RefusedError where there is nothing to strike; the storm goes on. `made` makes the jobs.
"""

from muster.sim.strikes import jobs, machines, operators, plane, pods  # they enter themselves
from muster.sim.strikes.kinds import KINDS, SAID

__all__ = ["KINDS", "SAID", "jobs", "machines", "operators", "plane", "pods"]
