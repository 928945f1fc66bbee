"""The objective as a key: a lexicographic vector packed into as few words as its bounds allow, most often one.

The vector is additive over the domains that a placement touches, so keys are added where domains are.
"""

from __future__ import annotations

from dataclasses import dataclass

from muster.core.placement.curves import INFINITE, Key
from muster.core.placement.tree import Tree


@dataclass(frozen=True, slots=True)
class Packing:
    """How the vector is packed: per depth and state what touching a domain adds; leftover counts 1 in the last word."""

    words: int
    touch: tuple[tuple[Key, Key, Key], ...]
    last: int
    """The depth whose touched domains count leftover."""
    places: tuple[tuple[int, int, int], ...] = ()
    """Per entry of the vector (word, unit, most): one of it is that many units of the word, and at most so many there
    are; 0 for entries that are left out because they cannot differ."""

    def entries(self, key: Key) -> list[int]:
        """The vector of a key: preferred, cost, nodes, intact domains per depth, slots of the touched domains. Entries
        that are left out are 0."""
        return [key[word] // unit % (most + 1) for word, unit, most in self.places]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the entries of the vector cannot exceed. `count`: pods; `above`: depth down to which there is one domain;
    `preferred`: (depth, how often it counts); `single`: no node takes two pods; `whole`: single, and every node with
    slots is intact; `leftover`: slots of the touched domains of the last named level."""

    count: int
    above: int
    preferred: tuple[tuple[int, int], ...]
    single: bool
    whole: bool
    leftover: int


def packing(tree: Tree, bounds: Bounds) -> Packing:
    """Find room for every entry of the vector."""
    depths = tree.depths
    last = depths - 1 if depths > 1 else depths
    most = [0] + [1 if d <= bounds.above else min(bounds.count, tree.domains(d)) for d in range(1, depths + 1)]
    weights = [0, *(level.weight or 0 for level in tree.levels.levels), tree.levels.node_weight]
    likes = dict(bounds.preferred)
    sizes = [sum(most[d] * n for d, n in bounds.preferred), sum(b * w for b, w in zip(most, weights, strict=True))]
    sizes.append(0 if bounds.single else most[depths])
    sizes += most[1:depths]
    sizes.append(0 if bounds.whole else most[depths])
    sizes.append(bounds.leftover)
    # Digits of mixed radix: several bits shorter than a field of bits an entry, which often spares a word.
    filled = [1]
    digits: list[tuple[int, int]] = []
    for size in sizes:
        if filled[-1] > 1 and filled[-1] * (size + 1) >= INFINITE:
            filled.append(1)
        filled[-1] *= size + 1
        digits.append((len(filled) - 1, filled[-1]))
    words = len(filled)
    places = tuple((word, filled[word] // upto, size) for size, (word, upto) in zip(sizes, digits, strict=True))

    def key(amounts: list[int]) -> Key:
        out = [0] * words
        for amount, (word, unit, size) in zip(amounts, places, strict=True):
            if size:
                out[word] += amount * unit
        return tuple(out)

    nothing = key([0] * len(sizes))
    touch: list[tuple[Key, Key, Key]] = [(nothing, nothing, nothing)]
    for d in range(1, depths + 1):
        plain = [likes.get(d, 0), weights[d], int(d == depths), *[0] * depths, 0]
        intact = list(plain)
        intact[3 + d - 1] = 1
        mine = [likes.get(d, 0), *[0] * (len(sizes) - 1)]
        touch.append((key(plain), key(intact), key(mine)))
    return Packing(words, tuple(touch), last, places)
