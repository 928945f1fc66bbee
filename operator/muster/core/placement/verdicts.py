"""The verdicts that the solver gives, and the named numbers that each carries.

Every verdict on a gang of several roles also names `role` where one role alone is at fault.

- `Invalid`: `field` (as a person would write it), `message` (one sentence).
- `Unsatisfiable`: `pods`, `constraint` (`nodes`: no node matches; `capacity`; `required`, `segments`, `boundary`,
  `fillLimit`, or `roles` for what only holds for all roles together), `level` (the constraint's, or empty), `largest`
  (pods of the largest gang of this shape that the empty cluster holds; not for `roles`).
- `InsufficientCapacity`: `pods`, `free` (slots on eligible nodes), `missing`.
- `Fragmented`: `pods`, `free`, `level` and `domain` (the best domain), `lacks` (pods it lacks: for the whole gang where
  it must hold that, else for one more segment), `largest` (pods of the largest gang of this shape that fits now);
  of roles that find no room together only `pods`, `free` (pods of the gang that fit side by side whatever its shape;
  also for InsufficientCapacity) and the `level` that they must share; of segments of many kinds also `largest`.
- `SearchLimit`: `pods`, `steps`.

`InsufficientCapacity` and `Fragmented` of one role with equal segments, where no fill limit binds, also carry the
largest gang that one domain of each named level holds now (`Verdict.largest`).

`fits` (a committed placement judged again) answers `InsufficientCapacity` with `pods`, `missing` and exclusions for
nodes that are no longer eligible, or `Fragmented` with `pods`, `constraint`, `level`, `domain` for a constraint that
today's labels break.
"""

from __future__ import annotations

from dataclasses import replace

from muster.core.model import Reason, Verdict

Counts = tuple[tuple[str, int], ...]
Exclusions = Counts


def _verdict(reason: Reason, role: str, exclusions: Exclusions = (), **numbers: int | str) -> Verdict:
    named: dict[str, int | str] = {**numbers, **({"role": role} if role else {})}
    return Verdict(reason, tuple(named.items()), exclusions)


def invalid(field: str, message: str) -> Verdict:
    """The shape or the topology cannot be used."""
    return _verdict(Reason.INVALID, "", field=field, message=message)


def unsatisfiable(pods: int, constraint: str, level: str, largest: int | None, role: str, out: Exclusions) -> Verdict:
    """The empty healthy cluster could not hold it."""
    known = {} if largest is None else {"largest": largest}
    return _verdict(Reason.UNSATISFIABLE, role, out, pods=pods, constraint=constraint, level=level, **known)


def insufficient(pods: int, free: int, role: str, out: Exclusions, largest_in: Counts = ()) -> Verdict:
    """Fewer free slots than pods."""
    missing = max(pods - free, 0)
    told = _verdict(Reason.INSUFFICIENT_CAPACITY, role, out, pods=pods, free=free, missing=missing)
    return replace(told, largest=largest_in)


def fragmented(
    pods: int,
    free: int,
    level: str,
    domain: str,
    lacks: int,
    largest: int,
    role: str,
    out: Exclusions,
    largest_in: Counts = (),
) -> Verdict:
    """Enough free slots, not in the shape asked for."""
    told = _verdict(
        Reason.FRAGMENTED,
        role,
        out,
        pods=pods,
        free=free,
        level=level,
        domain=domain,
        lacks=lacks,
        largest=largest,
    )
    return replace(told, largest=largest_in)


def scattered(pods: int, free: int | None, level: str, largest: int | None = None) -> Verdict:
    """Roles that fit one by one, or segments of too many kinds, that find no room together in the shape asked for;
    `free` and `largest` are left out where they are not known."""
    known = {"free": free, "largest": largest}
    told: dict[str, int | str] = {name: value for name, value in known.items() if value is not None}
    return _verdict(Reason.FRAGMENTED, "", (), pods=pods, level=level, **told)


def search_limit(pods: int, steps: int) -> Verdict:
    """The search ended without a placement or a proof."""
    return _verdict(Reason.SEARCH_LIMIT, "", pods=pods, steps=steps)


def ineligible(pods: int, missing: int, role: str, out: Exclusions) -> Verdict:
    """A committed placement names nodes that are no longer eligible."""
    return _verdict(Reason.INSUFFICIENT_CAPACITY, role, out, pods=pods, missing=missing)


def broken(pods: int, constraint: str, level: str, domain: str, role: str) -> Verdict:
    """A committed placement breaks a constraint by today's labels."""
    return _verdict(Reason.FRAGMENTED, role, (), pods=pods, constraint=constraint, level=level, domain=domain)
