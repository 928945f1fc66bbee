"""The rules of placement.md on ranks, read from nothing but the names of nodes by rank, their domains and the sizes.

Shares no code with the solver. `broken` returns the first rule that a list of nodes breaks, in words.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

Path = tuple[str | None, ...]
Sizes = Sequence[tuple[int, Sequence[int]]]
"""(depth, sizes in rank order) per entry; depth 1 is the broadest level, one more than the named ones is `node`."""


def domain(paths: Mapping[str, Path], node: str, depth: int) -> tuple[str | None, ...]:
    """Identity of a node's domain; a node without a label is a domain of its own from there on."""
    path = paths[node]
    return ("node", node) if depth > len(path) or None in path[:depth] else path[:depth]


def even(sizes: Sequence[int]) -> bool:
    """All equal, the last perhaps shorter."""
    return all(size == sizes[0] for size in sizes[:-1]) and sizes[-1] <= sizes[0]


def natural(name: str) -> list[tuple[int, int, str]]:
    """Digits compare as numbers, before letters."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", name) if p]


def broken(paths: Mapping[str, Path], nodes: Sequence[str], sizes: Sizes) -> str:
    """The rule that this order of nodes breaks; empty if it breaks none."""
    for depth, mine in sizes:
        at = 0
        for size in mine:
            if len({domain(paths, node, depth) for node in nodes[at : at + size]}) > 1:
                return "a segment lies in one domain"
            at += size
    if all(even(mine) for _, mine in sizes):
        return _blocks(paths, list(nodes), 1, _short(paths, nodes, sizes))
    return _breaks(paths, nodes, sizes)


def _short(paths: Mapping[str, Path], nodes: Sequence[str], sizes: Sizes) -> list[tuple[int, tuple[str | None, ...]]]:
    """The domains of shorter last segments."""
    return [(depth, domain(paths, nodes[-1], depth)) for depth, mine in sizes if len(mine) > 1 and mine[-1] < mine[0]]


def _blocks(
    paths: Mapping[str, Path], ranks: list[str], depth: int, short: list[tuple[int, tuple[str | None, ...]]]
) -> str:
    """The rules for equal segments or none, in one domain and all below it."""
    if depth > 1 + max(len(path) for path in paths.values()):
        return ""
    found = [(key, list(run)) for key, run in itertools.groupby(ranks, lambda n: domain(paths, n, depth))]
    if len({key for key, _ in found}) < len(found):
        return "the pods of a domain have consecutive ranks"
    odd = [any(depth <= d and any(domain(paths, n, d) == at for n in run) for d, at in short) for _, run in found]
    if True in odd[:-1]:
        return "the domain that holds the shorter last segment comes last"
    plain = [pair for pair, is_odd in zip(found, odd, strict=True) if not is_odd]
    counts = [len(run) for _, run in plain]
    if counts != sorted(counts, reverse=True):
        return "siblings follow each other by pods, most first"
    for (one, first), (two, second) in itertools.pairwise(plain):
        if len(first) == len(second) and _name(one, first) > _name(two, second):
            return "siblings with as many pods follow each other in natural order"
    return next((why for _, run in found if (why := _blocks(paths, run, depth + 1, short))), "")


def _name(key: tuple[str | None, ...], run: list[str]) -> tuple[bool, list[tuple[int, int, str]]]:
    """Domains that a label names come before nodes that lack it."""
    return key[0] == "node", natural(run[0] if key[0] == "node" else key[-1] or "")


def _breaks(paths: Mapping[str, Path], nodes: Sequence[str], sizes: Sizes) -> str:
    """The rule for uneven sizes: given which sizes each domain of the broadest segments holds, no other assignment of
    segments to domains changes the domain less often, at the broadest level first. Looked at where it can be counted
    out."""
    depth, mine = min(sizes, key=lambda entry: (entry[0], len(entry[1])))
    inner = [cut for d, other in sizes for cut in itertools.accumulate(other)]
    make = []
    for end in itertools.accumulate(mine):
        start = end - mine[len(make)]
        make.append((mine[len(make)], tuple(cut - start for cut in inner if start < cut <= end)))
    ends = list(itertools.accumulate(mine))
    homes = [domain(paths, nodes[end - 1], depth) for end in ends]
    if len(mine) > 9 or len(set(homes)) > 5:
        return ""
    last = {home: nodes[end - 1] for home, end in zip(homes, ends, strict=True)}
    above = {home: [domain(paths, node, d) for d in range(1, depth + 1)] for home, node in last.items()}

    def cost(one: tuple[str | None, ...], two: tuple[str | None, ...]) -> tuple[int, ...]:
        return tuple(int(a != b) for a, b in zip(above[one], above[two], strict=True))

    def plus(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(x + y for x, y in zip(a, b, strict=True))

    nothing = (0,) * depth

    @cache
    def least(at: int, before: tuple[str | None, ...] | None, left: frozenset) -> tuple[int, ...] | None:
        if at == len(make):
            return nothing
        best = None
        for (home, kind), n in left:
            if kind != make[at]:
                continue
            rest = Counter(dict(left))
            rest[home, kind] = n - 1
            after = least(at + 1, home, frozenset((+rest).items()))
            if after is not None:
                mine = plus(after, cost(before, home) if before is not None else nothing)
                best = mine if best is None else min(best, mine)
        return best

    got = nothing
    for one, two in itertools.pairwise(homes):
        got = plus(got, cost(one, two))
    want = least(0, None, frozenset(Counter(zip(homes, make, strict=True)).items()))
    return "" if want == got else "a domain's ranks are broken up as little as can be"
