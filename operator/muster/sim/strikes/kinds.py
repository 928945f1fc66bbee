"""The kinds of strike, by name."""

from __future__ import annotations

import random
from collections.abc import Callable

from muster.sim.scene import Scene

Strike = Callable[[Scene, random.Random], object]
KINDS: dict[str, Strike] = {}
"""By name."""
SAID: dict[str, str] = {}
"""By name, what it is, in words."""


def kind(strike: Strike) -> Strike:
    """Enter a strike by its name."""
    name = strike.__name__.strip("_").replace("_", "-")
    KINDS[name] = strike
    SAID[name] = (strike.__doc__ or "").rstrip(".")
    return strike
