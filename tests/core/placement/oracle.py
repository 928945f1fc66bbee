"""Small random states, and what CP-SAT says is best for them: one solve per entry of the vector, each proven.

Written from placement.md alone: it shares no code with the solver beyond the vocabulary.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field, replace

from ortools.sat.python import cp_model
from tests.core.placement import rank_rules
from tests.support import cluster

from muster.core.inventory import Inventory
from muster.core.model import Level, Shape

LEVELS = ("spine", "leaf", "nvlink", "half")


@dataclass
class Spot:
    name: str
    path: tuple[str | None, ...]
    total: int
    used: int
    daemon: int = 0
    cordoned: bool = False


@dataclass
class State:
    """A random state and a gang of one role whose pods ask for one GPU each."""

    levels: list[Level]
    node_weight: int
    spots: list[Spot]
    count: int
    required: str | None = None
    job_preferred: str | None = None
    preferred: str | None = None
    segments: list[tuple[str, list[int], int | None]] = field(default_factory=list)
    """(level, sizes in rank order, the size if equal)."""

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
            if s.daemon:
                pods.append(cluster.pod(f"d-{s.name}", s.name, s.daemon, daemon=True))
        spec = cluster.topology(*self.levels, node_weight=self.node_weight)
        return cluster.inventory(nodes, spec, pods)

    def shape(self) -> Shape:
        segments = [(level, size if size is not None else tuple(sizes)) for level, sizes, size in self.segments]
        role = cluster.role(self.count, 1, required=self.required, preferred=self.preferred, segments=segments)
        return cluster.gang(role, preferred=self.job_preferred)

    def emptied(self) -> State:
        spots = [Spot(s.name, s.path, s.total, 0) for s in self.spots]
        return State(
            self.levels,
            self.node_weight,
            spots,
            self.count,
            self.required,
            self.job_preferred,
            self.preferred,
            self.segments,
        )


def random_state(seed: int, nodes: int = 0) -> State:
    """A state of a few nodes, or of exactly so many."""
    rng = random.Random(seed)
    depth = rng.randint(1, 4)
    names = LEVELS[:depth] if depth < 3 or rng.random() < 0.5 else LEVELS[:3]
    levels = [
        Level(
            name,
            (cluster.PREFIX + name,),
            boundary=i == 0 and rng.random() < 0.2,
            fill_limit=rng.randint(0, 5) if rng.random() < 0.15 else None,
            weight=rng.choice([None, None, 0, 1, 3]),
        )
        for i, name in enumerate(names)
    ]
    deep = rng.choice([1, 1, 2, 4])
    spots: list[Spot] = []

    def grow(path: tuple[str, ...]) -> None:
        if len(path) == len(names):
            busy = rng.choice([0.0, 0.2, 0.5, 0.9])
            for _ in range(rng.randint(4, 18) if nodes else rng.randint(1, 6)):
                used = rng.randint(0, deep) if rng.random() < busy else 0
                daemon = int(rng.random() < 0.05 and used < deep)
                own: list[str | None] = list(path)
                if rng.random() < 0.06:
                    own[rng.randrange(len(own))] = None
                name = f"n{len(spots)}"
                spots.append(Spot(name, tuple(own), deep, used, daemon, rng.random() < 0.05))
            return
        if nodes:
            # Enough to reach the number of nodes, in narrow or wide trees.
            fan = rng.randint(2, 3) + round((nodes / 8) ** (1 / len(names)))
        else:
            fan = rng.randint(1, 3) if len(names) > 2 else rng.randint(2, 5)
        for i in range(fan):
            if nodes and len(spots) >= nodes:
                return
            grow((*path, f"{names[len(path)][0]}{i}"))

    grow(())
    while len(spots) < nodes:
        spots.append(Spot(f"n{len(spots)}", spots[rng.randrange(len(spots))].path, deep, 0))
    spots = spots[: nodes or 48]
    rng.shuffle(spots)
    free = sum(s.total - s.used - s.daemon for s in spots if not s.cordoned)
    count = rng.randint(1, max(1, min(48 if nodes else 24, free + (free // 8 + 1 if rng.random() < 0.2 else 0))))
    places = [*names, "node"]
    state = State(levels, rng.choice([0, 0, 0, 1]), spots, count)
    if rng.random() < 0.3:
        state.required = rng.choice(places if rng.random() < 0.3 else list(names[:2]))
    if rng.random() < 0.3:
        state.preferred = rng.choice(places)
    if rng.random() < 0.15:
        state.job_preferred = rng.choice(places)
    kind = rng.choice(["none", "equal", "equal", "nested", "uneven", "uneven-nested"])
    where = sorted(rng.sample(range(len(places)), min(2, len(places))))
    if kind == "equal":
        size = rng.randint(1, max(1, min(8, count)))
        state.segments = [_equal(rng.choice(places), count, size)]
    elif kind == "nested":
        inner = rng.randint(1, 4)
        outer = inner * rng.randint(1, 4)
        state.segments = [_equal(places[where[-1]], count, inner), _equal(places[where[0]], count, outer)]
    elif kind.startswith("uneven"):
        count = state.count = min(count, 10)
        state.spots = spots = spots[:30]
        left, sizes = count, []
        while left:
            sizes.append(min(left, rng.choice([1, 2, 3, 5])))
            left -= sizes[-1]
        state.segments = [(places[where[-1]], sizes, None)]
        if kind == "uneven-nested":
            outer_sizes, rest = [], list(sizes)
            while rest:
                n = rng.randint(1, 3)
                outer_sizes.append(sum(rest[:n]))
                rest = rest[n:]
            state.segments.append((places[where[0]], outer_sizes, None))
    return state


def _equal(level: str, count: int, size: int) -> tuple[str, list[int], int]:
    whole, rest = divmod(count, size)
    return level, [size] * whole + ([rest] if rest else []), size


def rank_rule(state: State, nodes: tuple[str, ...]) -> str:
    """The rule on ranks that a placement breaks; empty if none."""
    paths = {s.name: s.path for s in state.spots}
    return rank_rules.broken(paths, nodes, [(depth_of(state, level), sizes) for level, sizes, _ in state.segments])


def domain(state: State, spot: Spot, depth: int) -> tuple[str | None, ...]:
    """Identity of a spot's domain at a depth (number of levels), `node` last."""
    if depth > len(state.levels) or None in spot.path[:depth]:
        return ("node", spot.name)
    return spot.path[:depth]


def depth_of(state: State, level: str) -> int:
    return [lv.name for lv in state.levels].index(level) + 1 if level != "node" else len(state.levels) + 1


def slots(state: State) -> list[int]:
    needed = [depth_of(state, lv) for lv in ([state.required] if state.required else [])]
    needed += [depth_of(state, lv) for lv, _, _ in state.segments]
    out = []
    for s in state.spots:
        unlabelled = any(d <= len(state.levels) and None in s.path[:d] for d in needed)
        out.append(0 if unlabelled or s.cordoned else max(0, s.total - s.used - s.daemon))
    return out


def model(state: State, count: int | None = None) -> tuple[cp_model.CpModel, list[cp_model.LinearExprT]]:
    """The state as a CP-SAT model, and the entries of the vector in order."""
    count = state.count if count is None else count
    m = cp_model.CpModel()
    free = slots(state)
    spots, last = state.spots, len(state.levels)
    entries = [(depth_of(state, lv), _cut(sizes, count)) for lv, sizes, _ in state.segments]
    fixed = [depth_of(state, state.required)] if state.required else []
    fixed += [i + 1 for i, lv in enumerate(state.levels) if lv.boundary]
    entries += [(d, [count]) for d in fixed]
    # Equal segments: a domain's pods are a multiple of the size, plus the shorter one in one domain. (Two nested levels
    # agree on where the shorter ones are, since only there the remainders fit.) Uneven ones: piece by piece.
    equal = [e for e in entries if all(size == e[1][0] for size in e[1][:-1]) and e[1][-1] <= e[1][0]]
    if len(equal) == len(entries):
        entries = []
    else:
        equal = []
    cuts = sorted({sum(sizes[:i]) for _, sizes in entries for i in range(len(sizes) + 1)} | {0, count})
    pieces = [(a, b) for a, b in itertools.pairwise(cuts)]
    p = {
        (i, v): m.new_int_var(0, min(free[v], b - a), f"p{i}-{v}")
        for i, (a, b) in enumerate(pieces)
        for v in range(len(spots))
    }
    for i, (a, b) in enumerate(pieces):
        m.add(sum(p[i, v] for v in range(len(spots))) == b - a)
    for v in range(len(spots)):
        m.add(sum(p[i, v] for i in range(len(pieces))) <= free[v])
    for depth, sizes in entries:
        doms = sorted({domain(state, s, depth) for s in spots}, key=repr)
        start = 0
        for size in sizes:
            home = {d: m.new_bool_var("") for d in doms}
            m.add_exactly_one(home.values())
            for i, (a, b) in enumerate(pieces):
                if start <= a and b <= start + size:
                    for v, s in enumerate(spots):
                        m.add(p[i, v] == 0).only_enforce_if(home[domain(state, s, depth)].negated())
            start += size
    for depth, sizes in equal:
        groups: dict[tuple[str | None, ...], list[int]] = {}
        for v, s in enumerate(spots):
            groups.setdefault(domain(state, s, depth), []).append(v)
        short = sizes[-1] % sizes[0]
        flags = []
        for mine in groups.values():
            flags.append(m.new_bool_var(""))
            whole = m.new_int_var(0, count // sizes[0], "")
            m.add(sum(p[0, v] for v in mine) == sizes[0] * whole + short * flags[-1])
        m.add(sum(flags) == int(short > 0))
    # Touched domains per depth.
    touched: list[dict[tuple[str | None, ...], cp_model.IntVar]] = [{}]
    for depth in range(1, last + 2):
        here: dict[tuple[str | None, ...], cp_model.IntVar] = {}
        for v, s in enumerate(spots):
            t = here.setdefault(domain(state, s, depth), m.new_bool_var(""))
            for i in range(len(pieces)):
                m.add(p[i, v] == 0).only_enforce_if(t.negated())
        touched.append(here)
    used = [s.used > 0 for s in spots]
    for i, lv in enumerate(state.levels):
        if lv.fill_limit is None:
            continue
        for d in touched[i + 1]:
            mine = [v for v, s in enumerate(spots) if domain(state, s, i + 1) == d]
            new = [touched[last + 1]["node", spots[v].name] for v in mine if not used[v]]
            m.add(sum(new) <= max(0, lv.fill_limit - sum(used[v] for v in mine)))
    vector: list[cp_model.LinearExprT] = []
    likes = [depth_of(state, lv) for lv in (state.job_preferred, state.preferred) if lv is not None]
    vector.append(sum(sum(touched[d].values()) for d in likes))
    weights = [lv.weight if lv.weight is not None else (1 if i == last - 1 else 2) for i, lv in enumerate(state.levels)]
    weights.append(state.node_weight)
    vector.append(sum(w * sum(touched[d + 1].values()) for d, w in enumerate(weights)))
    vector.append(sum(touched[last + 1].values()))
    for depth in range(1, last + 2):
        busy = {domain(state, s, depth) for v, s in enumerate(spots) if used[v]}
        vector.append(sum(t for d, t in touched[depth].items() if d not in busy))
    room: dict[tuple[str | None, ...], int] = {}
    for v, s in enumerate(spots):
        room[domain(state, s, last)] = room.get(domain(state, s, last), 0) + free[v]
    vector.append(sum(room[d] * t for d, t in touched[last].items()) - count)
    return m, vector


def _cut(sizes: list[int], count: int) -> list[int]:
    out = []
    for size in sizes:
        if count > 0:
            out.append(min(size, count))
        count -= size
    return out


class UnprovenError(Exception):
    """CP-SAT found no proof within EFFORT."""


EFFORT = 0.0
"""What one solve may cost, in CP-SAT's deterministic seconds; 0 for no bound."""


def _solver() -> cp_model.CpSolver:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    if EFFORT:
        solver.parameters.max_deterministic_time = EFFORT
    return solver


def feasible(state: State, count: int | None = None) -> bool:
    m, _ = model(state, count)
    status = _solver().solve(m)
    if status == cp_model.UNKNOWN:
        raise UnprovenError
    assert status in (cp_model.OPTIMAL, cp_model.FEASIBLE, cp_model.INFEASIBLE)
    return status != cp_model.INFEASIBLE


def best(state: State) -> tuple[int, ...] | None:
    """The optimal vector, or None if the gang cannot be placed."""
    m, vector = model(state)
    out: list[int] = []
    for entry in vector:
        if isinstance(entry, int):
            out.append(entry)
            continue
        m.minimize(entry)
        solver = _solver()
        status = solver.solve(m)
        if status == cp_model.INFEASIBLE:
            return None
        if status in (cp_model.UNKNOWN, cp_model.FEASIBLE):
            raise UnprovenError
        assert status == cp_model.OPTIMAL
        out.append(round(solver.objective_value))
        m.add(entry == out[-1])
    return tuple(out)


def fewest(state: State, level: str) -> int:
    """The fewest domains of a level that any placement touches."""
    alone = replace(state, job_preferred=None, preferred=level)
    m, vector = model(alone)
    m.minimize(vector[0])
    solver = _solver()
    assert solver.solve(m) == cp_model.OPTIMAL
    return round(solver.objective_value)


def kind(state: State) -> str:
    """The verdict on a state that cannot be placed."""
    if not feasible(state.emptied()):
        return "Unsatisfiable"
    return "InsufficientCapacity" if sum(slots(state)) < state.count else "Fragmented"


def largest(state: State) -> int:
    """The pods of the longest prefix that fits."""
    n = state.count
    while n and not feasible(state, n):
        n -= 1
    return n


def check(state: State, nodes: tuple[str, ...]) -> tuple[int, ...]:
    """The vector of a placement, after checking every hard constraint."""
    free, spots, last = slots(state), {s.name: s for s in state.spots}, len(state.levels)
    assert len(nodes) == state.count
    load = {n: nodes.count(n) for n in set(nodes)}
    for v, s in enumerate(state.spots):
        assert load.get(s.name, 0) <= free[v]
    fixed = [depth_of(state, state.required)] if state.required else []
    fixed += [i + 1 for i, lv in enumerate(state.levels) if lv.boundary]
    for depth, sizes in [(d, [state.count]) for d in fixed] + [
        (depth_of(state, lv), sizes) for lv, sizes, _ in state.segments
    ]:
        at = 0
        for size in sizes:
            assert len({domain(state, spots[n], depth) for n in nodes[at : at + size]}) == 1
            at += size
    touched = [{domain(state, spots[n], d) for n in nodes} for d in range(last + 2)]
    busy = [{domain(state, s, d) for s in state.spots if s.used} for d in range(last + 2)]
    for i, lv in enumerate(state.levels):
        if lv.fill_limit is not None:
            for d in touched[i + 1]:
                mine = [s for s in state.spots if domain(state, s, i + 1) == d]
                new = sum(1 for s in mine if s.name in load and not s.used)
                assert new <= max(0, lv.fill_limit - sum(1 for s in mine if s.used))
    likes = [depth_of(state, lv) for lv in (state.job_preferred, state.preferred) if lv is not None]
    weights = [lv.weight if lv.weight is not None else (1 if i == last - 1 else 2) for i, lv in enumerate(state.levels)]
    weights.append(state.node_weight)
    rest = sum(
        free[v] - load.get(s.name, 0) for v, s in enumerate(state.spots) if domain(state, s, last) in touched[last]
    )
    return (
        sum(len(touched[d]) for d in likes),
        sum(w * len(touched[d + 1]) for d, w in enumerate(weights)),
        len(touched[last + 1]),
        *(len(touched[d] - busy[d]) for d in range(1, last + 2)),
        rest,
    )
