"""A gang read as blocks of axes, one per role: how the pieces of each make up larger ones from the nodes up."""

from __future__ import annotations

from dataclasses import dataclass, replace

from muster.core.placement.gang import Gang, RoleGang, Rung, ladder

State = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Roles that are told apart by nothing but their names (most often one). `rungs`: innermost first, all below the
    depth that the gang shares; the last may stand for 'all pods in one domain'."""

    role: RoleGang
    members: tuple[int, ...]
    rungs: tuple[Rung, ...]
    liked: int
    """The depth of the role's own preferred level; 0 for none."""

    def caps(self, depth: int) -> State:
        """The pieces there are, as they lie in the children of a domain of `depth`."""
        caps: State = (self.role.count,)
        for rung in self.rungs:
            if rung.depth > depth:
                caps = rung.counts
        return caps

    def inside(self, depth: int, state: State) -> tuple[State, list[tuple[int, State]]]:
        """Pieces at a domain of `depth` as pieces below it, and per rung (index, state) on the way, outermost first."""
        passed = []
        for i in range(len(self.rungs) - 1, -1, -1):
            rung = self.rungs[i]
            if rung.depth == depth:
                passed.append((i, state))
                state = tuple(
                    sum(n * part[j] for n, part in zip(state, rung.parts, strict=True))
                    for j in range(len(rung.parts[0]))
                )
        return state, passed


@dataclass(frozen=True, slots=True)
class Blocks:
    """All blocks of a gang, and the depth of which all of it shares one domain."""

    all: tuple[Block, ...]
    together: int

    @property
    def pods(self) -> int:
        """Of the whole gang."""
        return sum(block.role.count for block in self.all)

    def caps(self, depth: int) -> State:
        """The caps of every block, one after the other."""
        return tuple(cap for block in self.all for cap in block.caps(depth))

    def parted(self, state: State, depth: int) -> list[State]:
        """The axes of each block, of a state in the children of a domain of `depth`."""
        out, at = [], 0
        for block in self.all:
            width = len(block.caps(depth))
            out.append(state[at : at + width])
            at += width
        return out


def blocks_of(gang: Gang) -> Blocks:
    """The blocks of a gang. Roles without constraints of their own whose pods are alike are one: they can change
    places."""
    together = max(gang.required, gang.boundary)
    out: list[Block] = []
    for role in gang.roles:
        rungs, liked = _rungs(role, together), _liked(role, gang)
        twin = next((i for i, block in enumerate(out) if _alike(block, role, rungs, liked)), None)
        if twin is None:
            out.append(Block(role, (role.index,), rungs, liked))
        else:
            both = replace(out[twin].role, count=out[twin].role.count + role.count)
            out[twin] = Block(both, (*out[twin].members, role.index), (), 0)
    return Blocks(tuple(out), together)


def _rungs(role: RoleGang, together: int) -> tuple[Rung, ...]:
    rungs = ladder(role.segments, role.count, max(role.required, together))
    if role.required > together:
        whole = rungs[-1].counts if rungs else (role.count,)
        rungs += (Rung(role.required, (1,), (whole,), (0,)),)
    return rungs


def _liked(role: RoleGang, gang: Gang) -> int:
    """Of the depths that the role's pods prefer, the one that is not the job's."""
    if role.shape.preferred is None:
        return 0
    counted = dict(role.preferred)
    if gang.preferred:
        counted[gang.preferred] -= 1
    return next(depth for depth, times in counted.items() if times)


def _alike(block: Block, role: RoleGang, rungs: tuple[Rung, ...], liked: int) -> bool:
    if rungs or block.rungs or liked or block.liked:
        return False
    mine, other = block.role, role
    alike = (mine.shape.requests, mine.shape.filter, mine.needed)
    return alike == (other.shape.requests, other.shape.filter, other.needed)
