"""Why a placement cannot be mended: the numbers are those of the pods that must be placed again."""

from __future__ import annotations

import numpy as np

from muster.core.model import Reason, Verdict
from muster.core.placement import judge, verdicts
from muster.core.placement.repair_case import Case
from muster.core.placement.repair_parts import FREE, Region
from muster.core.placement.tree import Ints


def refused(case: Case, lacking: list[tuple[int, Region]], steps: int) -> Verdict:
    """`lacking`: (role, region) that found no room while every survivor stayed. `steps`: of a search that ended without
    a proof, else 0. `pods` counts those that must be placed again, `free` the slots beside the survivors; where nothing
    survives, the verdict is that on placing the gang."""
    placer, gang, inventory = case.placer, case.gang, case.inventory
    if not case.survivors:
        verdict = placer.place(inventory, case.shape)
        pods = sum(role.count for role in gang.roles)
        return verdict if isinstance(verdict, Verdict) else verdicts.search_limit(pods, max(steps, 1))
    several = len(gang.roles) > 1
    held = case.held(case.at)
    slots = [case.ground(index, held).slots for index in range(len(gang.roles))]
    missing = [int((mine == FREE).sum()) for mine in case.at]
    for role, free, wanted in zip(gang.roles, slots, missing, strict=True):
        if int(free.sum()) < wanted:
            name = role.shape.name if several else ""
            return verdicts.insufficient(wanted, int(free.sum()), name, placer.view(inventory, role).exclusions)
    if steps or (several and _open(case)):
        return verdicts.search_limit(sum(missing), max(steps, 1))
    if lacking:
        index, region = lacking[0]
        role = gang.roles[index]
        seen = placer.view(inventory, role)
        level, domain, lacks = _nearest(case, index, region, slots[index])
        most = placer.longest(inventory, role, seen)
        name = role.shape.name if several else ""
        free_now = int(slots[index].sum())
        return verdicts.fragmented(missing[index], free_now, level, domain, lacks, most, name, seen.exclusions)
    if several:
        free_now = sum(int(mine.sum()) for mine in slots)
        return verdicts.scattered(sum(missing), free_now, case.tree.level(case.together))
    return judge.refused(placer, inventory, gang, gang.roles[0], placer.view(inventory, gang.roles[0]))


def _open(case: Case) -> bool:
    """Whether it is not known that several roles find no room, even without regard to what survives."""
    found = case.placer.place(case.inventory, case.shape)
    return not isinstance(found, Verdict) or found.reason is Reason.SEARCH_LIMIT


def _nearest(case: Case, index: int, region: Region, slots: Ints) -> tuple[str, str, int]:
    """The domain that lacks fewest pods: the region itself for what it must take, or another of its level for the
    whole piece; (level, domain, what it lacks)."""
    tree, parts, at = case.tree, case.parts[index], case.at[index]
    level, home = region
    depth = parts.depths[level - 1] if level else case.together
    start, stop = int(tree.start[depth][home]), int(tree.start[depth][home + 1])
    best: tuple[int, int, int] | None = None
    if depth:
        inside = _ranks_at_home(case, index, region)
        wanted = int((at[inside] == FREE).sum())
        best = wanted - int(slots[start:stop].sum()), depth, home
        if best[0] <= 0:
            best = None
    pieces = level - 1 if best is not None and level else level
    if pieces < parts.last:
        # Room for a whole piece elsewhere; for pieces that fit by number, the next of their own level.
        below = parts.depths[pieces]
        free = tree.sums(below, slots)
        size = min(parts.pods[pieces])
        within = np.arange(len(free))
        if best is None and depth:
            within = np.unique(tree.domain[below][start:stop])
        nearest = int(within[np.argmax(np.minimum(free[within], size))])
        lacks = size - int(free[nearest])
        if lacks > 0 and (best is None or lacks < best[0]):
            best = lacks, below, nearest
    if best is None:
        return tree.level(depth), tree.name(depth, home, case.inventory), 1
    return tree.level(best[1]), tree.name(best[1], best[2], case.inventory), best[0]


def _ranks_at_home(case: Case, index: int, region: Region) -> Ints:
    """The ranks of the pieces whose home is a region."""
    parts, at, (level, home) = case.parts[index], case.at[index], region
    if not level:
        return np.arange(len(at))
    lies = case.tree.domain[parts.depths[level - 1]][at]
    homes = np.maximum.reduceat(np.where(at != FREE, lies, FREE), parts.firsts[level - 1])
    runs = [parts.ranks(level - 1, piece) for piece in np.flatnonzero(homes == home).tolist()]
    return np.concatenate([np.arange(run.start, run.stop) for run in runs])
