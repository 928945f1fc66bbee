"""Random states in which a gang waits, and checks of what the solver says would start it.

What can be held against the solver is counted here anew, from the nodes and what is on them: slots, feasibility (equal
segments only), every smaller set of nodes. Nothing but the vocabulary is shared.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tests.core.placement import joint, oracle
from tests.support import cluster

from muster.core.inventory import HELD, Inventory
from muster.core.model import Action, ActionKind, Found, Node, Pod, Reason, Remedy, Segments, Shape, Taint, Verdict
from muster.core.placement import Solver

SMALL = 12
"""Nodes up to which every smaller set is tried."""
SETS = 4000
"""A state with more sets than this to try is not tried whole."""
PRESSURE = Taint("node.kubernetes.io/disk-pressure", "", "NoSchedule")
UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
ILL = (("XIDErrors", "True", 5),)
"""What a health rule of the presets Auto and Custom calls bad."""
FENCED = Taint("example.com/fenced", "", "NoSchedule")


@dataclass
class Case:
    """A gang and a cluster. `now` and `then`: slots of each node as it is and when it is free."""

    seed: int
    state: oracle.State
    inventory: Inventory
    shape: Shape
    pods: list[Pod]
    jobs: list[str]
    now: list[int]
    then: list[int]

    @property
    def equal(self) -> bool:
        return all(size is not None for _, _, size in self.state.segments)

    @property
    def limited(self) -> bool:
        return any(level.fill_limit is not None for level in self.state.levels)


def case(seed: int) -> Case:
    """A state of at most SMALL nodes for two of three seeds, else of up to 48."""
    rng = random.Random(f"change {seed}")
    state = oracle.random_state(seed)
    if seed % 3:
        state.spots = state.spots[:SMALL]
    if rng.random() < 0.7:
        state.levels = [replace(level, fill_limit=None) for level in state.levels]
    state.segments = [
        (level, sizes, size if _equal(sizes) is None else _equal(sizes)) for level, sizes, size in state.segments
    ]
    jobs = [f"job-{i}" for i in range(rng.randint(1, 4))]
    claims: dict[str, dict[str, int]] = {job: {} for job in jobs}
    nodes: list[Node] = []
    pods: list[Pod] = []
    now, then = [], []
    withheld: list[str] = []
    busy = rng.choice([0.3, 0.6, 0.9])
    needed = oracle.slots(replace(state, spots=[oracle.Spot(s.name, s.path, 1, 0) for s in state.spots]))
    for spot, eligible in zip(state.spots, needed, strict=True):
        spot.used, left = 0, spot.total - spot.daemon
        if spot.daemon:
            pods.append(cluster.pod(f"d-{spot.name}", spot.name, spot.daemon, daemon=True))
        holding: set[str] = set()
        while left and rng.random() < busy:
            amount = rng.randint(1, left)
            others = [job for job in jobs if job not in holding]
            if rng.random() < 0.3 or not others:
                pods.append(cluster.pod(f"f-{spot.name}-{left}", spot.name, amount))
            else:
                # By a claim, by its pods (an attempt that ended), or by both.
                job = rng.choice(others)
                holding.add(job)
                how = rng.choice(["claim", "pod", "both"])
                if how != "pod":
                    claims[job][spot.name] = amount
                if how != "claim":
                    pods.append(cluster.pod(f"j-{spot.name}-{left}", spot.name, amount, job=job))
            spot.used += amount
            left -= amount
        taints: list[Taint] = []
        spot.cordoned = rng.random() < 0.15
        if spot.cordoned and rng.random() < 0.7:
            taints.append(UNSCHEDULABLE)
        if rng.random() < 0.05:
            taints.append(PRESSURE)
        fenced = rng.random() < 0.05
        if fenced:
            taints.append(FENCED)
        labels = {
            cluster.PREFIX + level.name: value
            for level, value in zip(state.levels, spot.path, strict=True)
            if value is not None
        }
        node = cluster.node(
            spot.name,
            spot.total,
            labels,
            taints=tuple(taints),
            cordoned=spot.cordoned,
            unready_since=5 if rng.random() < 0.08 else None,
        )
        ill = rng.random() < 0.05
        node = replace(node, out_of_service=rng.random() < 0.03, conditions=ILL if ill else ())
        if rng.random() < 0.05:
            withheld.append(spot.name)
        nodes.append(node)
        then.append(0 if fenced or not eligible else spot.total - spot.daemon)
        well = not node.cordoned and node.unready_since is None and not node.out_of_service and not taints and not ill
        well = well and spot.name not in withheld
        now.append(min(then[-1], left) if well else 0)
    inventory = cluster.inventory(nodes, cluster.topology(*state.levels, node_weight=state.node_weight), pods)
    for name in withheld:
        inventory.withhold(name, HELD)
    for job, load in claims.items():
        inventory.claim(job, {name: cluster.gpus(n, 1) for name, n in load.items()})
    made = Case(seed, state, inventory, state.shape(), pods, jobs, now, then)
    if made.equal and rng.random() < 0.95:
        # A size that would fit free nodes and does not fit as things are, if there is one.
        waits = [n for n in range(1, sum(then) + 1) if not fits(made, now, n) and fits(made, then, n)]
        apart = [n for n in waits if n <= sum(now)]
        if waits:
            state.count = rng.choice(apart if apart and rng.random() < 0.7 else waits)
            state.segments = [(level, _sizes(size or 1, state.count), size) for level, _, size in state.segments]
            made.shape = state.shape()
    return made


def _equal(sizes: list[int]) -> int | None:
    return sizes[0] if len({*sizes[:-1]}) < 2 and sizes[-1] <= sizes[0] else None


def _sizes(size: int, count: int) -> list[int]:
    whole, rest = divmod(count, size)
    return [size] * whole + ([rest] if rest else [])


# --- Feasibility, for equal segments and no fill limits ---------------------------------------------------------------


def fits(case_: Case, slots: list[int], count: int | None = None, shape: Shape | None = None) -> bool:
    """Whether the gang (or its first `count` pods, or another shape of one role) fits these slots."""
    state = case_.state
    role = (shape or case_.shape).roles[0]
    total = role.count if count is None else count
    depths = [oracle.depth_of(state, name) for name in (role.required, (shape or case_.shape).required) if name]
    depths += [i + 1 for i, level in enumerate(state.levels) if level.boundary]
    entries = sorted((oracle.depth_of(state, s.level), -s.size) for s in role.segments)
    sizes = [(depth, -size) for depth, size in entries]
    groups = _groups(state, [i for i in range(len(slots)) if slots[i]], max(depths, default=0))
    return any(_hold(state, slots, group, sizes, total) for group in groups)


def _groups(state: oracle.State, places: list[int], depth: int) -> list[list[int]]:
    found: dict[object, list[int]] = {}
    for i in places:
        key = oracle.domain(state, state.spots[i], depth) if depth else ()
        found.setdefault(key, []).append(i)
    return list(found.values())


def _hold(state: oracle.State, slots: list[int], places: list[int], sizes: list[tuple[int, int]], pods: int) -> bool:
    """Whether these places hold so many pods, in segments (depth, size), broadest first. Sizes nest, so of the pods in
    a domain of an outer level as many lie in whole segments of the inner one as there can be."""
    if sum(slots[i] for i in places) < pods:
        return False
    if not sizes:
        return True
    (depth, size), *inner = sizes
    wanted, short = divmod(pods, size)
    groups = _groups(state, places, depth)

    def pieces(group: list[int], tail: int) -> int:
        n = -1
        while n < wanted and _hold(state, slots, group, inner, (n + 1) * size + tail):
            n += 1
        return n

    plain = [pieces(group, 0) for group in groups]
    if not short:
        return sum(plain) >= wanted
    tailed = [pieces(group, short) for group in groups]
    return any(t >= 0 and sum(plain) - plain[i] + t >= wanted for i, t in enumerate(tailed))


# --- Checks -----------------------------------------------------------------------------------------------------------


def check(case_: Case, solver: Solver) -> str:
    """Everything that can be held against the answer for one state; gives what kind of case it was."""
    verdict = solver.place(case_.inventory.fork(), case_.shape)
    if isinstance(verdict, Found):
        return "placed"
    if verdict.reason is Reason.INVALID:
        assert solver.remedy(case_.inventory, case_.shape, verdict) is None
        return "invalid"
    assert [(level, n) for level, n in verdict.largest] == _largest(case_, verdict), (case_.seed, verdict)
    before = case_.inventory.fingerprint()
    remedy = solver.remedy(case_.inventory, case_.shape, verdict)
    assert remedy == solver.remedy(case_.inventory.fork(), case_.shape, verdict)
    assert remedy == Solver().remedy(case_.inventory, case_.shape, verdict)
    assert case_.inventory.fingerprint() == before
    assert remedy is not None
    _relaxations(case_, solver, verdict, remedy)
    if verdict.reason is Reason.UNSATISFIABLE:
        return _never(case_, solver, remedy)
    if not case_.equal or case_.limited:
        if remedy.count is not None:
            _applied(case_, solver, remedy)
        assert case_.limited or remedy.proven
        return "limited" if case_.limited else "uneven"
    assert remedy.proven
    if remedy.count is None:
        assert not fits(case_, case_.then), case_.seed
        return "daemons"
    _applied(case_, solver, remedy)
    assert remedy.largest == max(n for n in range(case_.shape.roles[0].count) if not n or fits(case_, case_.now, n))
    return "whole" if _exhausted(case_, remedy) else "applied"


def check_joint(seed: int, solver: Solver) -> str:
    """For several roles the nodes that are named are enough; gives what kind of state it was."""
    rng = random.Random(f"joint change {seed}")
    state = joint.random_state(seed, rng.randint(6, 24))
    for spot in state.spots:
        if not spot.used and rng.random() < 0.6:
            spot.used = {cluster.GPU: rng.randint(1, spot.has[cluster.GPU]), "cpu": 1000, "pods": 1}
        spot.cordoned = spot.cordoned or rng.random() < 0.1
    inventory, shape = state.inventory(), state.shape()
    for i in range(3):
        mine = [spot.name for spot in state.spots if rng.random() < 0.15]
        inventory.claim(f"job-{i}", dict.fromkeys(mine, (("cpu", 500), ("pods", 1))))
    verdict = solver.place(inventory, shape)
    if isinstance(verdict, Found) or verdict.reason not in (Reason.INSUFFICIENT_CAPACITY, Reason.FRAGMENTED):
        return "placed" if isinstance(verdict, Found) else verdict.reason.value
    remedy = solver.remedy(inventory, shape, verdict)
    assert remedy is not None
    if remedy.count is None:
        return "not known"
    assert remedy == Solver().remedy(inventory, shape, verdict)
    assert {name for action in remedy.actions for name in action.nodes} == set(remedy.nodes), seed
    after = inventory.fork()
    for action in remedy.actions:
        node = after.node(action.target)
        if action.kind is ActionKind.END:
            after.release(action.target)
        elif action.kind is ActionKind.FREE:
            after.free(f"p-{action.target}")
        else:
            assert node is not None
            after.put_node(replace(node, cordoned=False))
    assert isinstance(solver.place(after, shape), Found), (seed, remedy)
    return "several" if len(shape.roles) > 1 else "one"


def _applied(case_: Case, solver: Solver, remedy: Remedy) -> None:
    """Doing what is said makes the gang fit, and it frees the nodes that are named."""
    assert len(remedy.nodes) == remedy.count
    assert {name for action in remedy.actions for name in action.nodes} == set(remedy.nodes), case_.seed
    after = case_.inventory.fork()
    for action in remedy.actions:
        apply(case_, after, action)
    assert isinstance(solver.place(after, case_.shape), Found), (case_.seed, remedy)


def apply(case_: Case, after: Inventory, action: Action) -> None:
    """Do what an action says."""
    if action.kind is ActionKind.END:
        after.release(action.target)
        for pod in case_.pods:
            if pod.job == action.target:
                after.free(pod.id)
        return
    assert action.nodes == (action.target,)
    node = after.node(action.target)
    assert node is not None
    if action.kind is ActionKind.FREE:
        mine = [p for p in case_.pods if p.node == node.name and p.job is None and not p.daemon]
        assert len(mine) == action.pods
        for pod in mine:
            after.free(pod.id)
    elif action.kind is ActionKind.UNCORDON:
        taints = tuple(t for t in node.taints if t != UNSCHEDULABLE)
        after.put_node(replace(node, cordoned=False, taints=taints))
    else:
        taints = tuple(t for t in node.taints if t != PRESSURE)
        after.withhold(node.name, None)
        after.put_node(replace(node, unready_since=None, out_of_service=False, taints=taints, conditions=()))


def _exhausted(case_: Case, remedy: Remedy) -> bool:
    """No set of one node less does; sets of fewer still are within those. False if there are too many to try."""
    able = [i for i, (now, then) in enumerate(zip(case_.now, case_.then, strict=True)) if then > now]
    assert remedy.count is not None
    assert remedy.count > 0
    sets = list(itertools.islice(itertools.combinations(able, remedy.count - 1), SETS + 1))
    if len(sets) > SETS:
        return False
    for chosen in sets:
        slots = [case_.then[i] if i in chosen else n for i, n in enumerate(case_.now)]
        assert not fits(case_, slots), (case_.seed, [case_.state.spots[i].name for i in chosen], remedy)
    return True


def _largest(case_: Case, verdict: Verdict) -> list[tuple[str, int]]:
    """By level, the most pods of this shape that one domain holds."""
    if not case_.equal or not verdict.largest:
        return []
    out = []
    total = case_.shape.roles[0].count
    for i, level in enumerate(case_.state.levels):
        best = 0
        for group in _groups(case_.state, list(range(len(case_.now))), i + 1):
            slots = [n if j in group else 0 for j, n in enumerate(case_.now)]
            best = max(best, *(n for n in range(total + 1) if not n or fits(case_, slots, n)))
        out.append((level.name, best))
    return out


def _never(case_: Case, solver: Solver, remedy: Remedy) -> str:
    """So many nodes more, in the domain that is named, and it fits; with one less it does not."""
    assert remedy.count is None
    if not remedy.add:
        return "never"
    nodes = [node for _, node in case_.inventory.emptied().nodes()]
    like = max((n for n in nodes if FENCED not in n.taints), key=lambda n: dict(n.allocatable).get(cluster.GPU, 0))
    homes = [like.labels]
    if remedy.level:
        depth = oracle.depth_of(case_.state, remedy.level)
        paths = {s.path for s in case_.state.spots if s.path[depth - 1] == remedy.domain and None not in s.path[:depth]}
        names = [cluster.PREFIX + level.name for level in case_.state.levels]
        # Domains of one name under others are not told apart.
        homes = [{n: v for n, v in zip(names, path, strict=True) if v is not None} for path in sorted(paths, key=repr)]

    def fits_with(more: int, labels: Mapping[str, str]) -> bool:
        larger = case_.inventory.emptied()
        for i in range(more):
            larger.put_node(replace(like, name=f"more-{i}", uid=f"more-{i}", labels=labels))
        return isinstance(solver.place(larger, case_.shape), Found)

    assert any(fits_with(remedy.add, labels) for labels in homes), (case_.seed, remedy)
    assert not any(fits_with(remedy.add - 1, labels) for labels in homes), (case_.seed, remedy)
    return "more"


def _relaxations(case_: Case, solver: Solver, verdict: Verdict, remedy: Remedy) -> None:
    """Each is true and the smallest of its kind; what is not told does not help."""
    never = verdict.reason is Reason.UNSATISFIABLE
    here = case_.inventory.emptied() if never else case_.inventory
    told = {(r.constraint, r.level): r.after for r in remedy.relax}
    assert len(told) == len(remedy.relax)
    for kind, level, after, shape in _smaller(case_):
        known = told.pop((kind, level), None) if after is _LAST else told.get((kind, level))
        if after is _LAST:
            continue
        fits_ = isinstance(solver.place(here, shape), Found)
        if known is not None and after == known:
            assert fits_, (case_.seed, kind, level, after)
            told[kind, level] = _FOUND
        elif known != _FOUND:
            assert not fits_, (case_.seed, kind, level, after, remedy.relax)
    assert all(kind == "fillLimit" for kind, _ in told), (case_.seed, told)


_LAST = "last"
_FOUND = "found"


def _smaller(case_: Case) -> Iterator[tuple[str, str, str, Shape]]:
    """Every relaxation there could be, smallest step first; after the last of a kind one named `last`."""
    shape = case_.shape
    (role,) = shape.roles
    names = [level.name for level in case_.state.levels]
    for segment in role.segments if case_.equal else ():
        for size in range(segment.size - 1, 0, -1):
            segments = tuple(Segments(s.level, size, ()) if s is segment else s for s in role.segments)
            yield "segments", segment.level, str(size), replace(shape, roles=(replace(role, segments=segments),))
        yield "segments", segment.level, _LAST, shape
    if role.required is None:
        return
    broader = names[: names.index(role.required)] if role.required in names else names
    boundary = max((i for i, level in enumerate(case_.state.levels) if level.boundary), default=-1)
    for after in [*reversed(broader[boundary + 1 :]), ""]:
        yield "required", role.required, after, replace(shape, roles=(replace(role, required=after or None),))
    yield "required", role.required, _LAST, shape
