"""States with several roles, and what CP-SAT says is best for them: one solve per entry of the vector, each proven.

Written from placement.md alone, without a line of the solver's: what a node holds is a table of every load that fits,
each with the slots that it leaves.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import dataclass, field, replace

from ortools.sat.python import cp_model
from tests.core.placement import rank_rules
from tests.core.placement.oracle import LEVELS, UnprovenError
from tests.support import cluster

from muster.core.inventory import Inventory
from muster.core.model import Filter, Level, Resources, Shape

Domain = tuple[str | None, ...]
EFFORT = 0.0
"""What one solve may cost, in CP-SAT's deterministic seconds; 0 for no bound."""


@dataclass
class Spot:
    """A node: its domains, and per resource what it has and what others use."""

    name: str
    path: tuple[str | None, ...]
    has: dict[str, int]
    used: dict[str, int]
    kind: str
    cordoned: bool = False

    @property
    def busy(self) -> bool:
        return bool(self.used)


@dataclass
class Role:
    """What one role asks for. `sizes`: (level, sizes in rank order, the size if equal)."""

    name: str
    count: int
    asks: dict[str, int]
    kind: str | None = None
    required: str | None = None
    preferred: str | None = None
    sizes: list[tuple[str, list[int], int | None]] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return all(size is not None for _, _, size in self.sizes)


@dataclass
class State:
    levels: list[Level]
    node_weight: int
    spots: list[Spot]
    roles: list[Role]
    required: str | None = None
    preferred: str | None = None

    @property
    def pods(self) -> int:
        return sum(role.count for role in self.roles)

    def inventory(self) -> Inventory:
        nodes, pods = [], []
        for s in self.spots:
            labels = {
                cluster.PREFIX + level.name: value
                for level, value in zip(self.levels, s.path, strict=True)
                if value is not None
            }
            nodes.append(cluster.node(s.name, _amounts(s.has), labels | {"kind": s.kind}, cordoned=s.cordoned))
            if s.used:
                pods.append(cluster.pod(f"p-{s.name}", s.name, _amounts(s.used)))
        spec = cluster.topology(*self.levels, node_weight=self.node_weight)
        return cluster.inventory(nodes, spec, pods)

    def shape(self) -> Shape:
        roles = []
        for role in self.roles:
            filter_ = Filter(selector=(("kind", role.kind),)) if role.kind else Filter()
            segments = [(level, size if size is not None else tuple(sizes)) for level, sizes, size in role.sizes]
            roles.append(
                cluster.role(
                    role.count,
                    _amounts(role.asks),
                    name=role.name,
                    required=role.required,
                    preferred=role.preferred,
                    segments=segments,
                    filter_=filter_,
                )
            )
        return cluster.gang(*roles, required=self.required, preferred=self.preferred)

    def emptied(self) -> State:
        return replace(self, spots=[replace(s, used={}, cordoned=False) for s in self.spots])


def _amounts(amounts: dict[str, int]) -> Resources:
    return tuple(sorted(amounts.items()))


def random_state(seed: int, nodes: int) -> State:
    """A state of exactly so many nodes, with one to three roles."""
    rng = random.Random(seed)
    depth = rng.randint(1, 3)
    names = LEVELS[:depth]
    levels = [
        Level(
            name,
            (cluster.PREFIX + name,),
            boundary=i == 0 and rng.random() < 0.2,
            fill_limit=rng.randint(3, 12) if rng.random() < 0.12 else None,
            weight=rng.choice([None, None, 0, 1, 3]),
        )
        for i, name in enumerate(names)
    ]
    gpus = rng.choice([1, 1, 2, 4])
    spots: list[Spot] = []
    paths: list[tuple[str, ...]] = [()]
    fans = []
    for i, name in enumerate(names):
        fan = rng.randint(2, 3) if i < len(names) - 1 else max(2, nodes // (6 * max(1, len(paths))))
        paths = [(*path, f"{name[0]}{k}") for path in paths for k in range(fan)]
        fans.append(len(paths))
    for path in paths:
        busy = rng.choice([0.0, 0.2, 0.5, 0.8])
        for _ in range(-(-nodes // len(paths)) + rng.randint(-1, 1)):
            own: list[str | None] = list(path)
            if rng.random() < 0.04:
                own[rng.randrange(len(own))] = None
            has = {cluster.GPU: gpus, "cpu": 4000, "pods": rng.choice([3, 110, 110])}
            used = {}
            if rng.random() < busy:
                used = {cluster.GPU: rng.randint(0, gpus), "cpu": rng.choice([500, 1000, 3000]), "pods": 1}
                used = {name: n for name, n in used.items() if n}
            kind = "big" if rng.random() < 0.8 else "small"
            spots.append(Spot(f"n{len(spots)}", tuple(own), has, used, kind, rng.random() < 0.04))
    while len(spots) < nodes:
        spots.append(replace(spots[rng.randrange(len(spots))], name=f"n{len(spots)}", used={}))
    spots = spots[:nodes]
    rng.shuffle(spots)
    places = [*names, "node"]
    each = rng.randint(1, gpus)
    room = sum((s.has[cluster.GPU] - s.used.get(cluster.GPU, 0)) // each for s in spots if not s.cordoned)
    main = Role("main", rng.randint(1, max(1, min(24, room * 3 // 4 + rng.choice([0, 0, 0, room])))), {})
    main.asks = {cluster.GPU: each, "cpu": rng.choice([500, 1000]), "pods": 1}
    roles = [main]
    if rng.random() < 0.9:
        same = rng.random() < 0.3
        asks = dict(main.asks) if same else {cluster.GPU: rng.randint(1, gpus), "cpu": 1000, "pods": 1}
        roles.append(Role("helper", rng.randint(1, 5), asks))
    if rng.random() < 0.5:
        roles.append(Role("launcher", rng.randint(1, 2), {"cpu": rng.choice([500, 1500]), "pods": 1}))
    rng.shuffle(roles)
    for role in roles:
        # Of launchers, which ask for no accelerator, two fit on a node or more.
        on_node = gpus // role.asks[cluster.GPU] if cluster.GPU in role.asks else 2
        holds = [on_node * (nodes // fan) * 2 // 3 for fan in fans] + [on_node]
        _dress(rng, role, places, holds, large=role is main)
    state = State(levels, rng.choice([0, 0, 0, 1]), spots, roles)
    if rng.random() < 0.3:
        state.required = rng.choice(places[:1] if rng.random() < 0.8 else places[:2])
    if rng.random() < 0.3:
        state.preferred = rng.choice(places)
    return state


def _dress(rng: random.Random, role: Role, places: list[str], holds: list[int], large: bool) -> None:
    """Give a role constraints, most of which a domain of the level (that holds about so many pods) can meet."""

    def fits(pods: int) -> list[int]:
        found = [i for i, most in enumerate(holds) if most >= pods]
        return found if found and rng.random() < 0.9 else list(range(len(places)))

    if rng.random() < 0.15:
        role.kind = "big"
    if rng.random() < (0.15 if large else 0.3):
        role.required = places[rng.choice(fits(role.count))]
    if rng.random() < 0.2:
        role.preferred = rng.choice(places)
    kind = rng.choice(["none", "equal", "nested", "uneven", "uneven-nested"] if large else ["none", "none", "equal"])
    if kind == "equal":
        size = rng.randint(1, max(1, min(8, role.count)))
        role.sizes = [_equal(places[rng.choice(fits(size))], role.count, size)]
    elif kind == "nested":
        inner = rng.randint(1, 4)
        outer = inner * rng.randint(1, 3)
        broad = rng.choice(fits(min(outer, role.count)))
        narrow = max(broad, rng.choice(fits(inner)))
        role.sizes = [_equal(places[narrow], role.count, inner), _equal(places[broad], role.count, outer)]
    elif kind.startswith("uneven"):
        role.count = min(role.count, 10)
        left, sizes = role.count, []
        while left:
            sizes.append(min(left, rng.choice([1, 2, 3, 5])))
            left -= sizes[-1]
        narrow = rng.choice(fits(max(sizes)))
        role.sizes = [(places[narrow], sizes, None)]
        if kind == "uneven-nested":
            outer_sizes, rest = [], list(sizes)
            while rest:
                n = rng.randint(1, 3)
                outer_sizes.append(sum(rest[:n]))
                rest = rest[n:]
            broad = min(narrow, rng.choice(fits(max(outer_sizes))))
            role.sizes.append((places[broad], outer_sizes, None))


def _equal(level: str, count: int, size: int) -> tuple[str, list[int], int]:
    whole, rest = divmod(count, size)
    return level, [size] * whole + ([rest] if rest else []), size


# --- What a state means ---------------------------------------------------------------------------------------------


def depth_of(state: State, level: str) -> int:
    return [lv.name for lv in state.levels].index(level) + 1 if level != "node" else len(state.levels) + 1


def domain(state: State, spot: Spot, depth: int) -> Domain:
    """Identity of a spot's domain; `node` is one deeper than the levels."""
    if depth > len(state.levels) or None in spot.path[:depth]:
        return ("node", spot.name)
    return spot.path[:depth]


def eligible(state: State, role: Role, spot: Spot) -> bool:
    needed = [lv for lv in (state.required, role.required, *(lv for lv, _, _ in role.sizes)) if lv is not None]
    unlabelled = any(d <= len(state.levels) and None in spot.path[:d] for d in (depth_of(state, lv) for lv in needed))
    return not (unlabelled or spot.cordoned or (role.kind and role.kind != spot.kind))


def room_for(role: Role, left: dict[str, int]) -> int:
    """How many pods of a role fit into what is left of a node."""
    return min(left[name] // amount for name, amount in role.asks.items() if amount)


def free(spot: Spot) -> dict[str, int]:
    return {name: max(0, n - spot.used.get(name, 0)) for name, n in spot.has.items()}


def loads(state: State, spot: Spot) -> dict[tuple[int, ...], int]:
    """Every load of a node by role, and the slots of all roles that it leaves."""
    able = [eligible(state, role, spot) for role in state.roles]
    have = free(spot)
    most = [min(role.count, room_for(role, have)) if ok else 0 for role, ok in zip(state.roles, able, strict=True)]
    out = {}
    for load in itertools.product(*(range(n + 1) for n in most)):
        left = dict(have)
        for role, n in zip(state.roles, load, strict=True):
            for name, amount in role.asks.items():
                left[name] -= amount * n
        if min(left.values()) >= 0:
            out[load] = sum(room_for(role, left) for role, ok in zip(state.roles, able, strict=True) if ok)
    return out


def weights(state: State) -> list[int]:
    """Per depth from 1 on."""
    last = len(state.levels) - 1
    return [
        *(lv.weight if lv.weight is not None else (1 if i == last else 2) for i, lv in enumerate(state.levels)),
        state.node_weight,
    ]


# --- CP-SAT ---------------------------------------------------------------------------------------------------------


def model(state: State, shape: bool = True) -> tuple[cp_model.CpModel, list[cp_model.LinearExprT], list]:
    """The state as a CP-SAT model, the entries of the vector in order, and the pods of each role on each spot."""
    m = cp_model.CpModel()
    spots, last = state.spots, len(state.levels)
    tables = [loads(state, spot) for spot in spots]
    held = [
        [m.new_int_var(0, max(load[r] for load in table), f"h{r}-{v}") for v, table in enumerate(tables)]
        for r in range(len(state.roles))
    ]
    left = [m.new_int_var(0, max(table.values()), f"l{v}") for v, table in enumerate(tables)]
    for v, table in enumerate(tables):
        rows = [(*load, slots) for load, slots in table.items()]
        m.add_allowed_assignments([*(mine[v] for mine in held), left[v]], rows)
    for role, mine in zip(state.roles, held, strict=True):
        m.add(sum(mine) == role.count)
        if shape:
            _shape(m, state, role, mine)
    together = [depth_of(state, state.required)] if state.required else []
    together += [i + 1 for i, lv in enumerate(state.levels) if lv.boundary]
    touched: list[dict[Domain, cp_model.IntVar]] = [{}]
    for depth in range(1, last + 2):
        touched.append(_touched(m, state, held, depth))
        if shape and depth in together:
            m.add(sum(touched[depth].values()) == 1)
    for i, lv in enumerate(state.levels):
        if lv.fill_limit is None or not shape:
            continue
        for d in touched[i + 1]:
            mine = [s for s in spots if domain(state, s, i + 1) == d]
            new = [touched[last + 1]["node", s.name] for s in mine if not s.busy]
            m.add(sum(new) <= max(0, lv.fill_limit - sum(s.busy for s in mine)))
    liked = sum(touched[depth_of(state, state.preferred)].values()) if state.preferred else 0
    for role, mine in zip(state.roles, held, strict=True):
        if role.preferred:
            liked += sum(_touched(m, state, [mine], depth_of(state, role.preferred)).values())
    vector = [liked, sum(w * sum(touched[d].values()) for d, w in enumerate(weights(state), 1))]
    vector.append(sum(touched[last + 1].values()))
    for depth in range(1, last + 2):
        busy = {domain(state, s, depth) for s in spots if s.busy}
        vector.append(sum(t for d, t in touched[depth].items() if d not in busy))
    rest = sum(left)
    for d, t in touched[last].items():
        raw = sum(
            table[(0,) * len(state.roles)]
            for s, table in zip(spots, tables, strict=True)
            if d == domain(state, s, last)
        )
        rest -= raw * (1 - t)
    vector.append(rest)
    return m, vector, held


def _touched(m: cp_model.CpModel, state: State, held: list, depth: int) -> dict[Domain, cp_model.IntVar]:
    """Per domain whether any of these roles has a pod in it, exactly."""
    groups: dict[Domain, list[int]] = {}
    for v, s in enumerate(state.spots):
        groups.setdefault(domain(state, s, depth), []).append(v)
    out = {}
    for d, mine in groups.items():
        t = out[d] = m.new_bool_var("")
        every = [pods[v] for pods in held for v in mine]
        for pods in every:
            m.add(pods == 0).only_enforce_if(t.negated())
        m.add(sum(every) >= 1).only_enforce_if(t)
    return out


def _shape(m: cp_model.CpModel, state: State, role: Role, held: list) -> None:
    """Required domain and segments of one role, piece by piece: pieces are what no boundary cuts."""
    entries = [(depth_of(state, lv), sizes) for lv, sizes, _ in role.sizes]
    if role.required:
        entries.append((depth_of(state, role.required), [role.count]))
    if role.equal and role.sizes:
        # Equal segments: a domain holds a multiple of the size, and one of them the shorter last one besides.
        for level, sizes, size in role.sizes:
            assert size is not None
            short = sizes[-1] % size
            flags = []
            for d in {domain(state, s, depth_of(state, level)) for s in state.spots}:
                mine = [held[v] for v, s in enumerate(state.spots) if domain(state, s, depth_of(state, level)) == d]
                flags.append(m.new_bool_var(""))
                m.add(sum(mine) == size * m.new_int_var(0, role.count, "") + short * flags[-1])
            m.add(sum(flags) == int(short > 0))
        entries = entries[len(role.sizes) :]
    cuts = sorted({sum(sizes[:i]) for _, sizes in entries for i in range(len(sizes) + 1)} | {0, role.count})
    pieces = list(itertools.pairwise(cuts))
    p = {(i, v): m.new_int_var(0, b - a, "") for i, (a, b) in enumerate(pieces) for v in range(len(state.spots))}
    for i, (a, b) in enumerate(pieces):
        m.add(sum(p[i, v] for v in range(len(state.spots))) == b - a)
    for v, pods in enumerate(held):
        m.add(sum(p[i, v] for i in range(len(pieces))) == pods)
    for depth, sizes in entries:
        start = 0
        for size in sizes:
            homes: dict[Domain, cp_model.IntVar] = {}
            for v, s in enumerate(state.spots):
                home = homes.setdefault(domain(state, s, depth), m.new_bool_var(""))
                for i, (a, b) in enumerate(pieces):
                    if start <= a and b <= start + size:
                        m.add(p[i, v] == 0).only_enforce_if(home.negated())
            m.add_exactly_one(homes.values())
            start += size


def _solver() -> cp_model.CpSolver:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    if EFFORT:
        solver.parameters.max_deterministic_time = EFFORT
    return solver


def feasible(state: State, shape: bool = True) -> bool:
    m, _, _ = model(state, shape)
    status = _solver().solve(m)
    if status == cp_model.UNKNOWN:
        raise UnprovenError
    return status != cp_model.INFEASIBLE


def best(state: State) -> tuple[int, ...] | None:
    """The optimal vector, or None if the gang cannot be placed."""
    m, vector, _ = model(state)
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
        if status != cp_model.OPTIMAL:
            raise UnprovenError
        out.append(round(solver.objective_value))
        m.add(entry == out[-1])
    return tuple(out)


def most(state: State) -> int:
    """The most pods of all roles that fit side by side, whatever the shape."""
    m = cp_model.CpModel()
    tables = [loads(state, spot) for spot in state.spots]
    held = [[m.new_int_var(0, role.count, "") for _ in tables] for role in state.roles]
    for v, table in enumerate(tables):
        m.add_allowed_assignments([mine[v] for mine in held], list(table))
    for role, mine in zip(state.roles, held, strict=True):
        m.add(sum(mine) <= role.count)
    m.maximize(sum(pods for mine in held for pods in mine))
    solver = _solver()
    if solver.solve(m) != cp_model.OPTIMAL:
        raise UnprovenError
    return round(solver.objective_value)


def kind(state: State) -> str:
    """The verdict on a state that cannot be placed."""
    if not feasible(state.emptied()):
        return "Unsatisfiable"
    return "InsufficientCapacity" if most(state) < state.pods else "Fragmented"


# --- A placement judged ---------------------------------------------------------------------------------------------


def check(state: State, nodes: tuple[tuple[str, ...], ...]) -> tuple[int, ...]:
    """The vector of a placement, after checking every hard constraint."""
    spots, last = {s.name: s for s in state.spots}, len(state.levels)
    assert [len(mine) for mine in nodes] == [role.count for role in state.roles]
    counts = [Counter(mine) for mine in nodes]
    left = 0
    every = [name for mine in nodes for name in mine]
    touched = [{domain(state, spots[n], d) for n in every} for d in range(last + 2)]
    busy = [{domain(state, s, d) for s in state.spots if s.busy} for d in range(last + 2)]
    for s in state.spots:
        table = loads(state, s)
        load = tuple(mine[s.name] for mine in counts)
        assert load in table, (s.name, load)
        left += table[load] if domain(state, s, last) in touched[last] else 0
    for role, mine in zip(state.roles, nodes, strict=True):
        entries = [(lv, sizes) for lv, sizes, _ in role.sizes]
        entries += [(role.required, [role.count])] if role.required else []
        for level, sizes in entries:
            at = 0
            for size in sizes:
                assert len({domain(state, spots[n], depth_of(state, level)) for n in mine[at : at + size]}) == 1
                at += size
    together = [depth_of(state, state.required)] if state.required else []
    together += [i + 1 for i, lv in enumerate(state.levels) if lv.boundary]
    assert all(len(touched[d]) == 1 for d in together)
    for i, lv in enumerate(state.levels):
        if lv.fill_limit is not None:
            for d in touched[i + 1]:
                mine = [s for s in state.spots if domain(state, s, i + 1) == d]
                new = sum(1 for s in mine if s.name in every and not s.busy)
                assert new <= max(0, lv.fill_limit - sum(s.busy for s in mine))
    liked = len(touched[depth_of(state, state.preferred)]) if state.preferred else 0
    for role, mine in zip(state.roles, nodes, strict=True):
        if role.preferred:
            liked += len({domain(state, spots[n], depth_of(state, role.preferred)) for n in mine})
    return (
        liked,
        sum(w * len(touched[d]) for d, w in enumerate(weights(state), 1)),
        len(touched[last + 1]),
        *(len(touched[d] - busy[d]) for d in range(1, last + 2)),
        left,
    )


def rank_rule(state: State, nodes: tuple[tuple[str, ...], ...]) -> str:
    """The rule on ranks that a placement breaks, with the role's name; empty if none."""
    paths = {s.name: s.path for s in state.spots}
    for role, mine in zip(state.roles, nodes, strict=True):
        why = rank_rules.broken(paths, mine, [(depth_of(state, level), sizes) for level, sizes, _ in role.sizes])
        if why:
            return f"{role.name}: {why}"
    return ""
