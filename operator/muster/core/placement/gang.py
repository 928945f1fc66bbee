"""A gang's shape read against the levels: constraints as depths, segments as a ladder of bases.

A *basis* is a list of piece kinds with how many of each the gang has; a *rung* says how a piece of the outer basis is
made of pieces of the inner one. The innermost basis is the single pod. Equal segments of size s of n pods are the
basis (n // s whole, 1 shorter, if any); uneven ones have one kind per distinct make-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

from muster.core.model import RoleShape, Segments, Shape, Verdict
from muster.core.placement import verdicts
from muster.core.topology import Levels

Vector = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rung:
    """At `depth`, `counts[k]` pieces of kind k exist, each made of `parts[k]` pieces of the basis below; `order` lists
    the kinds by rank."""

    depth: int
    counts: Vector
    parts: tuple[Vector, ...]
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RoleGang:
    """One role with its constraints as depths. `required` is the depth at which all pods share a domain (0: none), the
    job's and boundary levels included; `preferred` how often each depth counts."""

    index: int
    shape: RoleShape
    count: int
    required: int
    segments: tuple[tuple[int, tuple[int, ...]], ...]
    """(depth, sizes in rank order), broadest first."""
    preferred: tuple[tuple[int, int], ...]
    needed: tuple[int, ...]

    @property
    def equal(self) -> bool:
        """Segments, if any, are of equal size but for a shorter last one."""
        return all(len(set(sizes[:-1])) <= 1 and sizes[-1] <= sizes[0] for _, sizes in self.segments)


@dataclass(frozen=True, slots=True)
class Gang:
    """A whole shape read. `required` is the depth at which all roles share a domain."""

    roles: tuple[RoleGang, ...]
    required: int
    preferred: int
    boundary: int
    """The narrowest boundary depth; 0 for none."""


def read(shape: Shape, levels: Levels) -> Gang | Verdict:
    """Judge a shape against the levels: the gang, or Invalid with field and sentence."""
    if levels.invalid:
        field, _, message = levels.invalid.partition(": ")
        return verdicts.invalid(f"ClusterTopology {field}" if message else "ClusterTopology", message or field)
    if not shape.roles:
        return verdicts.invalid("spec.roles", "A gang has at least one role.")
    boundary = max((i + 1 for i, level in enumerate(levels.levels) if level.boundary), default=0)
    known = ", ".join((*levels.names, "node"))

    def depth(name: str | None, field: str) -> int | Verdict:
        if name is None:
            return 0
        found = levels.depth(name)
        return verdicts.invalid(field, f"There is no level {name}; the levels are {known}.") if found is None else found

    required = depth(shape.required, "spec.topology.required.level")
    preferred = depth(shape.preferred, "spec.topology.preferred.level")
    for value in (required, preferred):
        if isinstance(value, Verdict):
            return value
    assert isinstance(required, int)
    assert isinstance(preferred, int)
    roles = []
    for index, role in enumerate(shape.roles):
        at = f"spec.roles[{index}].topology"
        own = depth(role.required, f"{at}.required.level")
        likes = depth(role.preferred, f"{at}.preferred.level")
        if isinstance(own, Verdict):
            return own
        if isinstance(likes, Verdict):
            return likes
        if role.count < 1:
            return verdicts.invalid(f"spec.roles[{index}].replicas", "A role has at least one pod.")
        entries: list[tuple[int, int, Segments, tuple[int, ...]]] = []
        for i, segment in enumerate(role.segments):
            where = depth(segment.level, f"{at}.segments[{i}].level")
            if isinstance(where, Verdict):
                return where
            sizes = _sizes(segment, role.count)
            if isinstance(sizes, str):
                return verdicts.invalid(f"{at}.segments[{i}]", sizes)
            entries.append((where, len(sizes), segment, sizes))
        entries.sort(key=lambda e: (e[0], e[1]))
        for (_, _, outer, a), (_, _, inner, b) in pairwise(entries):
            if not set(accumulate(a)) <= set(accumulate(b)):
                message = f"Every boundary of the segments of {outer.level} must be one of those of {inner.level}."
                return verdicts.invalid(f"{at}.segments", message)
        counted: dict[int, int] = {}
        for d in (preferred, likes):
            if d:
                counted[d] = counted.get(d, 0) + 1
        roles.append(
            RoleGang(
                index,
                role,
                role.count,
                max(required, own, boundary),
                tuple((d, sizes) for d, _, _, sizes in entries),
                tuple(sorted(counted.items())),
                tuple(sorted({d for d in (required, own, *(e[0] for e in entries)) if d})),
            )
        )
    return Gang(tuple(roles), required, preferred, boundary)


def _sizes(segment: Segments, count: int) -> tuple[int, ...] | str:
    if segment.sizes:
        if min(segment.sizes) < 1:
            return "A segment has at least one pod."
        total = sum(segment.sizes)
        if total != count:
            return f"The sizes add up to {total}, the role has {count} pods."
        return segment.sizes
    if segment.size < 1:
        return "A segment has at least one pod."
    return of_sizes(segment.size, count)


def of_sizes(size: int, count: int) -> tuple[int, ...]:
    """The sizes of equal segments, the last perhaps shorter."""
    whole, rest = divmod(count, size)
    return (size,) * whole + ((rest,) if rest else ())


def ladder(segments: tuple[tuple[int, tuple[int, ...]], ...], count: int, above: int) -> tuple[Rung, ...]:
    """The rungs of `count` pods in segments (depth, sizes in rank order), innermost first, as far as they lie below
    depth `above` (a segment at or above it is implied by all pods sharing that domain)."""
    rungs: list[Rung] = []
    inner: tuple[int, ...] = (1,) * count
    kinds: tuple[int, ...] = (0,) * count
    width = 1
    for depth, sizes in reversed(segments):
        if depth <= above:
            break
        made: list[Vector] = []
        at = 0
        for size in sizes:
            parts = [0] * width
            filled = 0
            while filled < size:
                parts[kinds[at]] += 1
                filled += inner[at]
                at += 1
            made.append(tuple(parts))
        order = sorted(set(made), key=lambda v: (-made.count(v), made.index(v)))
        index = {v: i for i, v in enumerate(order)}
        kinds = tuple(index[v] for v in made)
        rungs.append(Rung(depth, tuple(made.count(v) for v in order), tuple(order), kinds))
        inner, width = sizes, len(order)
    return tuple(rungs)


def prefix(role: RoleGang, count: int) -> RoleGang:
    """The same role with only its first `count` pods."""
    cut = []
    for depth, sizes in role.segments:
        left, kept = count, []
        for size in sizes:
            if left > 0:
                kept.append(min(size, left))
                left -= size
        cut.append((depth, tuple(kept)))
    return RoleGang(role.index, role.shape, count, role.required, tuple(cut), role.preferred, role.needed)
