"""The objective as a key: a lexicographic vector packed into as few words as its bounds allow."""

from __future__ import annotations

from dataclasses import dataclass

from muster.core.placement.curves import WORD_BITS, Key
from muster.core.placement.tree import Tree


@dataclass(frozen=True, slots=True)
class Packing:
    """How the vector is packed: per depth and state what touching a domain adds; leftover counts 1 in the last word."""

    words: int
    touch: tuple[tuple[Key, Key, Key], ...]
    last: int
    """The depth whose touched domains count leftover."""


def packing(
    tree: Tree, count: int, above: int, preferred: tuple[tuple[int, int], ...], most: int, total: int
) -> Packing:
    """Find room for every entry of the vector. `most`: the most slots of one node; `total`: of all nodes (rounded up is
    fine). `preferred`: (depth, how often it counts)."""
    depths = tree.depths
    last = depths - 1 if depths > 1 else depths
    bound = [0] + [1 if d <= above else min(count, tree.domains(d)) for d in range(1, depths + 1)]
    weights = [0, *(level.weight or 0 for level in tree.levels.levels), tree.levels.node_weight]
    likes = dict(preferred)
    sizes = [sum(bound[d] * n for d, n in preferred), sum(b * w for b, w in zip(bound, weights, strict=True))]
    sizes.append(0 if most <= 1 else bound[depths])
    sizes += bound[1:]
    sizes.append(total)
    word, used = 0, 0
    places: list[tuple[int, int]] = []
    for size in sizes:
        bits = size.bit_length()
        if used + bits > WORD_BITS:
            word, used = word + 1, 0
        used += bits
        places.append((word, used))
    words = word + 1
    filled = [max(u for w, u in places if w == i) for i in range(words)]

    def key(amounts: list[int]) -> Key:
        out = [0] * words
        for amount, size, (w, u) in zip(amounts, sizes, places, strict=True):
            if size:
                out[w] += amount << (filled[w] - u)
        return tuple(out)

    touch: list[tuple[Key, Key, Key]] = []
    for d in range(depths + 1):
        if d == 0:
            touch.append((key([0] * len(sizes)),) * 3)
            continue
        plain = [likes.get(d, 0), weights[d], int(d == depths), *[0] * depths, 0]
        intact = list(plain)
        intact[3 + d - 1] = 1
        mine = [likes.get(d, 0), *[0] * (len(sizes) - 1)]
        touch.append((key(plain), key(intact), key(mine)))
    return Packing(words, tuple(touch), last)
