"""How schedulers commonly place a gang, to compare with: greedy best-fit by domain.

The rule: the narrowest level at which one domain holds the whole gang, and of its domains the one with least room;
inside it by the same rule, and where no child holds what is left, the child with most room first. Segments stay inside
one domain of the narrowest level. The free slots of every node are known; what is intact and what is left over are not
looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def best_fit(slots: Ints, starts: Sequence[Ints], pods: int, segment: int = 1) -> Ints | None:
    """Pods per node, or None where there is no room.

    `slots`: per node, in an order in which every domain is a run; `starts`: per level, broadest first, the first node
    of each domain and the end of the last. `pods` is a multiple of `segment`: so many share a narrowest domain.
    """
    rooms = [np.add.reduceat(slots, starts[-1][:-1]) // segment * segment]
    below: list[Ints] = []
    for wide, narrow in zip(starts[-2::-1], starts[:0:-1], strict=True):
        below.insert(0, np.searchsorted(narrow, wide))
        rooms.insert(0, np.add.reduceat(rooms[0], below[0][:-1]))
    out = np.zeros_like(slots)
    last = len(starts) - 1

    def fill(level: int, first: int, stop: int, left: int) -> None:
        """Put pods into the domains first..stop of a level."""
        room = rooms[level][first:stop].copy()
        while left > 0:
            enough = np.flatnonzero(room >= left)
            at = int(enough[np.argmin(room[enough])]) if len(enough) else int(np.argmax(room))
            mine = min(left, int(room[at]))
            room[at] = 0
            left -= mine
            if level < last:
                fill(level + 1, int(below[level][first + at]), int(below[level][first + at + 1]), mine)
            else:
                start, end = int(starts[level][first + at]), int(starts[level][first + at + 1])
                held = slots[start:end]
                out[start:end] = np.clip(mine - (np.cumsum(held) - held), 0, held)

    if int(rooms[0].sum()) < pods:
        return None
    for level in range(last, -1, -1):
        enough = np.flatnonzero(rooms[level] >= pods)
        if len(enough):
            at = int(enough[np.argmin(rooms[level][enough])])
            fill(level, at, at + 1, pods)
            return out
    fill(0, 0, len(rooms[0]), pods)
    return out
