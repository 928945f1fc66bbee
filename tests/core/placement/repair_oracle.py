"""Small random gangs that lost ranks, and what CP-SAT proves to be the best repair.

Written from placement.md and the meaning of a repair alone: every rank is a choice of a node. It shares no code with
the solver beyond the vocabulary.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from ortools.sat.python import cp_model
from tests.core.placement.oracle import Spot, UnprovenError, depth_of, domain
from tests.support import cluster

from muster.core.inventory import Inventory
from muster.core.model import Level, Shape

LEVELS = ("spine", "leaf", "nvlink")
_WIDE = 64
"""More than any entry of a vector, but half as much as leftover may be."""


EFFORT = 0.0
"""What one solve may cost, in CP-SAT's deterministic seconds; 0 for no bound."""


@dataclass
class Part:
    """One role. `segments`: (level, sizes in rank order, the size if equal)."""

    count: int
    each: int = 1
    required: str | None = None
    preferred: str | None = None
    segments: list[tuple[str, list[int], int | None]] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)


@dataclass
class Broken:
    """A state with a placed gang some of whose ranks are lost. `used` on the spots is what others hold."""

    levels: list[Level]
    spots: list[Spot]
    parts: list[Part]
    required: str | None = None
    preferred: str | None = None

    def inventory(self) -> Inventory:
        nodes, pods = [], []
        for s in self.spots:
            labels = {
                cluster.PREFIX + level.name: value
                for level, value in zip(self.levels, s.path, strict=True)
                if value is not None
            }
            nodes.append(cluster.node(s.name, s.total, labels, cordoned=s.cordoned))
            if s.used:
                pods.append(cluster.pod(f"p-{s.name}", s.name, s.used))
        return cluster.inventory(nodes, cluster.topology(*self.levels), pods)

    def shape(self) -> Shape:
        roles = []
        for i, part in enumerate(self.parts):
            segments = [(level, size if size is not None else tuple(sizes)) for level, sizes, size in part.segments]
            roles.append(
                cluster.role(
                    part.count,
                    part.each,
                    name=f"r{i}",
                    required=part.required,
                    preferred=part.preferred,
                    segments=segments,
                )
            )
        return cluster.gang(*roles, required=self.required, preferred=self.preferred)

    def placed(self) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(part.nodes) for part in self.parts)

    def lost(self) -> frozenset[tuple[int, int]]:
        return frozenset((i, rank) for i, part in enumerate(self.parts) for rank in part.lost)


def random_broken(seed: int) -> Broken:
    """A gang placed at random (not well, as after some repairs), then broken: ranks lost with their nodes cordoned or
    gone, nodes taken by others, some relabelled."""
    for attempt in itertools.count():
        found = _attempt(random.Random(f"{seed}.{attempt}"))
        if found is not None:
            return found
    raise AssertionError


def _attempt(rng: random.Random) -> Broken | None:
    names = LEVELS[3 - rng.choice([1, 1, 2, 2, 3]) :]
    levels = [
        Level(
            name,
            (cluster.PREFIX + name,),
            boundary=i == 0 and rng.random() < 0.15,
            fill_limit=rng.randint(0, 4) if rng.random() < 0.15 else None,
            weight=rng.choice([None, None, None, 0, 2]),
        )
        for i, name in enumerate(names)
    ]
    deep = rng.choice([1, 1, 1, 2, 3])
    spots: list[Spot] = []

    def grow(path: tuple[str, ...]) -> None:
        if len(path) == len(names):
            for _ in range(rng.randint(1, 5)):
                used = rng.randint(1, deep) if rng.random() < 0.15 else 0
                spots.append(Spot(f"n{len(spots)}", tuple(path), deep, used))
            return
        for i in range(rng.randint(2, 4) if len(names) == 1 else rng.randint(1, 3)):
            grow((*path, f"{names[len(path)][0]}{i}"))

    grow(())
    spots = spots[:16]
    if len(spots) < 5:
        return None
    places = [*names, "node"] if deep > 1 else list(names)
    roles = 2 if rng.random() < 0.2 else 1
    parts = [_random_part(rng, places, names) for _ in range(roles)]
    if roles == 2 and deep > 1:
        parts[1].each = 2
    broken = Broken(levels, spots, parts)
    if rng.random() < 0.25:
        broken.required = rng.choice(names)
    if rng.random() < 0.15:
        broken.preferred = rng.choice(places)
    if not any(_place(broken, rng) for _ in range(30)):
        return None
    held: dict[str, int] = {}
    for part in parts:
        for name in part.nodes:
            held[name] = held.get(name, 0) + part.each
    # The world goes on: others take what is free, nodes are cordoned under running pods, labels change.
    for s in spots:
        free = s.total - s.used - held.get(s.name, 0)
        if free > 0 and rng.random() < rng.choice([0.2, 0.7]):
            s.used += rng.randint(1, free)
        elif rng.random() < 0.05:
            s.cordoned = True
        if rng.random() < 0.03:
            s.path = spots[rng.randrange(len(spots))].path
        if rng.random() < 0.02:
            s.path = (*s.path[:-1], None)
    everyone = [(i, rank) for i, part in enumerate(parts) for rank in range(part.count)]
    broken_nodes = {parts[i].nodes[rank] for i, rank in rng.sample(everyone, min(len(everyone), rng.randint(1, 3)))}
    if rng.random() < 0.15:
        unlucky = rng.choice(spots).path
        broken_nodes |= {s.name for s in spots if s.path == unlucky}
    for part in parts:
        part.lost = {rank for rank, name in enumerate(part.nodes) if name in broken_nodes}
    gone = rng.random() < 0.3
    for s in spots:
        if s.name in broken_nodes:
            s.cordoned = s.cordoned or rng.random() < 0.95
    if gone:
        broken.spots = [s for s in spots if s.name not in broken_nodes]
    rng.shuffle(broken.spots)
    return broken


def _place(state: Broken, rng: random.Random) -> bool:
    """Put every rank somewhere, one after the other; whether that went well."""
    load: dict[str, int] = {}
    shared: list[tuple[int, tuple[str | None, ...]]] = []
    for part in state.parts:
        part.nodes = []
        able = slots(state, part)
        for rank in range(part.count):
            bound = list(shared)
            for depth, ranks in blocks(state, part):
                if rank in ranks and rank > ranks.start:
                    first = next(s for s in state.spots if s.name == part.nodes[ranks.start])
                    bound.append((depth, domain_(state, first, depth)))
            fit = [
                s
                for s, room in zip(state.spots, able, strict=True)
                if room
                and s.total - s.used - load.get(s.name, 0) >= part.each
                and all(domain_(state, s, depth) == home for depth, home in bound)
            ]
            if not fit:
                return False
            near = [s for s in fit if part.nodes and s.name == part.nodes[-1]] or fit[:1]
            chosen = rng.choice(near if rng.random() < 0.4 else fit)
            part.nodes.append(chosen.name)
            load[chosen.name] = load.get(chosen.name, 0) + part.each
            shared = [(depth, domain_(state, chosen, depth)) for depth in together(state)]
    return True


def _random_part(rng: random.Random, places: list[str], names: tuple[str, ...]) -> Part:
    part = Part(rng.randint(2, 10))
    if rng.random() < 0.2:
        part.required = rng.choice(places)
    if rng.random() < 0.2:
        part.preferred = rng.choice(places)
    kind = rng.choice(["none", "equal", "equal", "equal", "nested", "uneven", "uneven-nested"])
    where = sorted(rng.sample(range(len(places)), min(2, len(places))))
    inner, outer = places[where[-1]], places[where[0]]
    if kind in ("equal", "nested"):
        size = rng.randint(1, 4)
        part.segments = [_equal(inner, part.count, size)]
        if kind == "nested" and inner != outer:
            part.segments.append(_equal(outer, part.count, size * rng.randint(1, 3)))
    elif kind.startswith("uneven"):
        sizes: list[int] = []
        while sum(sizes) < part.count:
            sizes.append(min(part.count - sum(sizes), rng.choice([1, 2, 3, 4])))
        part.segments = [(inner, sizes, None)]
        if kind == "uneven-nested" and inner != outer:
            outer_sizes, rest = [], list(sizes)
            while rest:
                n = rng.randint(1, 2)
                outer_sizes.append(sum(rest[:n]))
                rest = rest[n:]
            part.segments.append((outer, outer_sizes, None))
    return part


def _equal(level: str, count: int, size: int) -> tuple[str, list[int], int]:
    whole, rest = divmod(count, size)
    return level, [size] * whole + ([rest] if rest else []), size


def slots(state: Broken, part: Part) -> list[int]:
    """What is free for a role's pods on each node without the gang, in pods; 0 where it may not run."""
    asked = [state.required, part.required, *(level for level, _, _ in part.segments)]
    depths = [depth_of_(state, level) for level in asked if level is not None]
    out = []
    for s in state.spots:
        unlabelled = any(d <= len(state.levels) and None in s.path[:d] for d in depths)
        out.append(0 if unlabelled or s.cordoned else max(0, s.total - s.used) // part.each)
    return out


def depth_of_(state: Broken, level: str) -> int:
    return depth_of(state, level)  # type: ignore[arg-type]


def domain_(state: Broken, spot: Spot, depth: int) -> tuple[str | None, ...]:
    return domain(state, spot, depth)  # type: ignore[arg-type]


def together(state: Broken) -> list[int]:
    """The depths at which the whole gang shares a domain."""
    fixed = [depth_of_(state, state.required)] if state.required else []
    return fixed + [i + 1 for i, level in enumerate(state.levels) if level.boundary]


def blocks(state: Broken, part: Part) -> list[tuple[int, range]]:
    """(depth, ranks that share a domain of it), of one role."""
    out = [(depth_of_(state, part.required), range(part.count))] if part.required else []
    for level, sizes, _ in part.segments:
        at = 0
        for size in sizes:
            out.append((depth_of_(state, level), range(at, at + size)))
            at += size
    return out


def solve(state: Broken) -> tuple[tuple[int, ...], list[list[str]]] | None:
    """The best repair: (moved, *vector) and the nodes; None if there is none."""
    m = cp_model.CpModel()
    spots, last = state.spots, len(state.levels)
    index = {s.name: v for v, s in enumerate(spots)}
    x = [[[m.new_bool_var("") for _ in spots] for _ in range(part.count)] for part in state.parts]
    moved: list[cp_model.LinearExprT] = []
    total: list[cp_model.LinearExprT] = [0] * len(spots)
    fresh: list[cp_model.LinearExprT] = [0] * len(spots)
    for part, choice in zip(state.parts, x, strict=True):
        able = slots(state, part)
        for rank, row in enumerate(choice):
            m.add_exactly_one(row)
            home = None if rank in part.lost or rank >= len(part.nodes) else index.get(part.nodes[rank])
            moved.append(1 if home is None else 1 - row[home])
            for v, var in enumerate(row):
                total[v] += part.each * var
                if v != home:
                    fresh[v] += var
                    if not able[v]:
                        m.add(var == 0)
        for depth, ranks in blocks(state, part):
            _share(m, state, depth, [choice[r] for r in ranks])
    for depth in together(state):
        _share(m, state, depth, [row for choice in x for row in choice])
    for v, s in enumerate(spots):
        # A node that holds too much already takes nothing new, but those on it may stay.
        new = m.new_bool_var("")
        m.add(fresh[v] == 0).only_enforce_if(new.negated())
        m.add(total[v] <= s.total - s.used).only_enforce_if(new)
    touched = [_touched(m, state, depth, [row for choice in x for row in choice]) for depth in range(last + 2)]
    vector: list[cp_model.LinearExprT] = [sum(moved)]
    liked: list[cp_model.LinearExprT] = []
    if state.preferred:
        liked += touched[depth_of_(state, state.preferred)].values()
    for part, choice in zip(state.parts, x, strict=True):
        if part.preferred:
            liked += _touched(m, state, depth_of_(state, part.preferred), choice).values()
    vector.append(sum(liked))
    weights = [lv.weight if lv.weight is not None else (1 if i == last - 1 else 2) for i, lv in enumerate(state.levels)]
    vector.append(sum(w * sum(touched[d + 1].values()) for d, w in enumerate(weights)))
    vector.append(sum(touched[last + 1].values()))
    for depth in range(1, last + 2):
        busy = {domain_(state, s, depth) for s in spots if s.used}
        vector.append(sum(t for d, t in touched[depth].items() if d not in busy))
    vector.append(sum(_leftover(m, state, part, total, touched[last]) for part in state.parts))
    # One number: an entry counts more than all that come after it together.
    *before, leftover = vector
    weighted: cp_model.LinearExprT = 0
    for entry in before:
        weighted = weighted * _WIDE + entry
    weighted = weighted * 2 * _WIDE + leftover
    m.minimize(weighted)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    if EFFORT:
        solver.parameters.max_deterministic_time = EFFORT
    status = solver.solve(m)
    if status == cp_model.INFEASIBLE:
        return None
    if status != cp_model.OPTIMAL:
        raise UnprovenError
    nodes = [
        [next(s.name for s, var in zip(spots, row, strict=True) if solver.value(var)) for row in choice] for choice in x
    ]
    return tuple(entry if isinstance(entry, int) else solver.value(entry) for entry in vector), nodes


def _share(m: cp_model.CpModel, state: Broken, depth: int, rows: list[list[cp_model.IntVar]]) -> None:
    home: dict[tuple[str | None, ...], cp_model.IntVar] = {}
    for v, s in enumerate(state.spots):
        here = home.setdefault(domain_(state, s, depth), m.new_bool_var(""))
        for row in rows:
            m.add(row[v] == 0).only_enforce_if(here.negated())
    m.add(sum(home.values()) == 1)


def _touched(
    m: cp_model.CpModel, state: Broken, depth: int, rows: list[list[cp_model.IntVar]]
) -> dict[tuple[str | None, ...], cp_model.IntVar]:
    """Whether each domain is touched: forced up only, since all is minimised."""
    out: dict[tuple[str | None, ...], cp_model.IntVar] = {}
    for v, s in enumerate(state.spots):
        here = out.setdefault(domain_(state, s, depth), m.new_bool_var(""))
        for row in rows:
            m.add_implication(row[v], here)
    for d, here in out.items():
        mine = [row[v] for v, s in enumerate(state.spots) if domain_(state, s, depth) == d for row in rows]
        m.add(sum(mine) >= 1).only_enforce_if(here)
    return out


def _leftover(
    m: cp_model.CpModel,
    state: Broken,
    part: Part,
    total: list[cp_model.LinearExprT],
    touched: dict[tuple[str | None, ...], cp_model.IntVar],
) -> cp_model.LinearExprT:
    """Slots of a role that are left on nodes of the touched domains of the last named level."""
    able, out = slots(state, part), []
    for v, s in enumerate(state.spots):
        if not able[v]:
            continue
        left = m.new_int_var(0, able[v], "")
        # The greatest whole number of pods that still fit.
        here = touched[domain_(state, s, len(state.levels))]
        m.add(part.each * left + part.each - 1 >= s.total - s.used - total[v]).only_enforce_if(here)
        out.append(left)
    return sum(out)


def check(state: Broken, nodes: tuple[tuple[str, ...], ...]) -> tuple[int, ...]:
    """(moved, *vector) of an answer, counted from the list, after checking every hard constraint."""
    spots, last = {s.name: s for s in state.spots}, len(state.levels)
    load: dict[str, int] = {}
    new: set[str] = set()
    moved = 0
    for part, mine in zip(state.parts, nodes, strict=True):
        assert len(mine) == part.count
        able = dict(zip((s.name for s in state.spots), slots(state, part), strict=True))
        for rank, name in enumerate(mine):
            load[name] = load.get(name, 0) + part.each
            if rank in part.lost or part.nodes[rank] != name:
                moved += 1
                new.add(name)
                assert able[name], name
        for depth, ranks in blocks(state, part):
            assert len({domain_(state, spots[mine[r]], depth) for r in ranks}) == 1
    for name in new:
        assert load[name] <= spots[name].total - spots[name].used, name
    everywhere = {name for mine in nodes for name in mine}
    for depth in together(state):
        assert len({domain_(state, spots[n], depth) for n in everywhere}) == 1
    touched = [{domain_(state, spots[n], d) for n in everywhere} for d in range(last + 2)]
    busy = [{domain_(state, s, d) for s in state.spots if s.used} for d in range(last + 2)]
    liked = len(touched[depth_of_(state, state.preferred)]) if state.preferred else 0
    for part, mine in zip(state.parts, nodes, strict=True):
        if part.preferred:
            liked += len({domain_(state, spots[n], depth_of_(state, part.preferred)) for n in mine})
    weights = [lv.weight if lv.weight is not None else (1 if i == last - 1 else 2) for i, lv in enumerate(state.levels)]
    left = 0
    for part in state.parts:
        for s, able_here in zip(state.spots, slots(state, part), strict=True):
            if able_here and domain_(state, s, last) in touched[last]:
                left += max(0, s.total - s.used - load.get(s.name, 0)) // part.each
    return (
        moved,
        liked,
        sum(w * len(touched[d + 1]) for d, w in enumerate(weights)),
        len(touched[last + 1]),
        *(len(touched[d] - busy[d]) for d in range(1, last + 2)),
        left,
    )
