"""From the state that the shared domain holds down to the pods of every node."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from muster.core.placement.exact.arrays import INFINITE, State, split
from muster.core.placement.exact.climb import Climb
from muster.core.placement.exact.parts import EMPTY


@dataclass(slots=True)
class Spread:
    """A placement by position. `loads`: pods of each block on a position; `pieces[b]`: of block b (rung, domain, pieces
    of each kind in it)."""

    loads: dict[int, State] = field(default_factory=dict)
    pieces: list[list[tuple[int, int, State]]] = field(default_factory=list)


def spread(climb: Climb, domain: int, state: State) -> Spread:
    """Where the pods go that a domain of the shared depth holds, its children being in this state (which ends with the
    nodes newly used)."""
    ground = climb.ground
    out = Spread({}, [[] for _ in ground.blocks.all])
    if ground.blocks.together == ground.tree.depths:
        out.loads[domain] = state[:-1]
        return out
    pending = [(ground.blocks.together, domain, state)]
    while pending:
        depth, at, held = pending.pop()
        if depth == ground.tree.depths - 1:
            for node, mine in _nodes(climb, at, held):
                out.loads[node] = _inside(climb, out, depth + 1, node, mine)[:-1]
            continue
        for child, mine in _children(climb, depth, at, held):
            pending.append((depth + 1, child, _within(climb, out, depth + 1, child, mine)))
    return out


def _children(climb: Climb, depth: int, domain: int, state: State) -> list[tuple[int, State]]:
    """Which children hold what of a domain's state."""
    rounds = climb.rounds[depth]
    here = [(domain, state)]
    for i in range(len(rounds) - 1, 0, -1):
        firsts, parts = rounds[i - 1]
        begins = rounds[i][0]
        below = []
        for at, held in here:
            one = int(firsts[domain]) + 2 * (at - int(begins[domain]))
            two = one + 1 if one + 1 < int(firsts[domain + 1]) else -1
            mine = _mine(climb, int(parts[one]), int(parts[two]) if two >= 0 else EMPTY, held)
            below.append((one, mine))
            if two >= 0:
                below.append((two, tuple(s - m for s, m in zip(held, mine, strict=True))))
        here = [(at, held) for at, held in below if any(held)]
    return here


def _mine(climb: Climb, one: int, two: int, state: State) -> State:
    """What the first of two parts holds of what they hold together."""
    if two == EMPTY:
        return state
    if one == EMPTY:
        return (0,) * len(state)
    found = climb.halves.get((one, two, state))
    if found is None:
        found = climb.halves[one, two, state] = split(climb.parts.curve(one), climb.parts.curve(two), state)
    return found


def _nodes(climb: Climb, domain: int, state: State) -> list[tuple[int, State]]:
    """Which nodes of a domain at the bottom hold what; of equal ones the first in natural order hold most."""
    tree, stack = climb.ground.tree, climb.stacks[domain]
    start = tree.start[tree.depths - 1]
    first, end = int(start[domain]), int(start[domain + 1])
    parts = climb.nodes[first:end]
    out: list[tuple[int, State]] = []
    for i in range(len(stack) - 1, -1, -1):
        part, n, _ = stack[i]
        before = stack[i - 1][2] if i else EMPTY
        rest = _mine(climb, before, climb.powers[part, n], state)
        mine = tuple(s - r for s, r in zip(state, rest, strict=True))
        state = rest
        if any(mine):
            places = (np.flatnonzero(parts == part) + first).tolist()
            shares = sorted(_shares(climb, part, n, mine), reverse=True)
            out += [(at, share) for at, share in zip(places, shares, strict=True) if any(share)]
    return out


def _shares(climb: Climb, part: int, n: int, state: State) -> list[State]:
    """What each of n equal nodes holds."""
    if n == 1:
        return [state]
    if not any(state):
        return [state] * n
    half = n // 2
    mine = _mine(climb, climb.powers[part, n - half], climb.powers[part, half], state)
    rest = tuple(s - m for s, m in zip(state, mine, strict=True))
    return _shares(climb, part, n - half, mine) + _shares(climb, part, half, rest)


def _within(climb: Climb, out: Spread, depth: int, domain: int, state: State) -> State:
    """What the children of a domain hold if it is in this state to the domain above it."""
    ground = climb.ground
    inner = _inside(climb, out, depth, domain, state)
    if depth != ground.fill:
        return inner
    part = climb.sums[depth][domain]
    curve = climb.parts.curve(int(part))
    line = curve[inner[:-1]][: int(ground.room(depth)[domain]) + 1]
    assert line.min() < INFINITE
    return (*inner[:-1], int(line.argmin()))


def _inside(climb: Climb, out: Spread, depth: int, domain: int, state: State) -> State:
    """The state below the rungs of this depth; the pieces on the way are noted."""
    blocks = climb.ground.blocks
    inner: State = ()
    for i, (block, mine) in enumerate(zip(blocks.all, blocks.parted(state, depth - 1), strict=True)):
        below, passed = block.inside(depth, mine)
        out.pieces[i] += [(rung, domain, held) for rung, held in passed if any(held)]
        inner += below
    return (*inner, state[-1])
