"""Balanced binary trees over n children in their order, numbered so that a parent comes before its children."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Layout:
    """Node 0 is the root. `left`, `right` and `parent` by node; `leaves`: the node of each child, `child`
    the opposite (-1 for the others); `inner`: the nodes
    that have two below them, each after those below it."""

    size: int
    left: tuple[int, ...]
    right: tuple[int, ...]
    parent: tuple[int, ...]
    leaves: tuple[int, ...]
    child: tuple[int, ...]
    inner: tuple[int, ...]


@lru_cache(maxsize=4096)
def layout(children: int) -> Layout:
    """The tree over so many children (at least one); of two halves the first is the larger."""
    left: list[int] = []
    right: list[int] = []
    parent: list[int] = []
    leaves: list[int] = []

    def grow(count: int, above: int) -> int:
        at = len(left)
        left.append(0)
        right.append(0)
        parent.append(above)
        if count == 1:
            leaves.append(at)
        else:
            half = (count + 1) // 2
            left[at], right[at] = grow(half, at), grow(count - half, at)
        return at

    grow(children, 0)
    inner = tuple(at for at in range(len(left) - 1, -1, -1) if left[at])
    child = [-1] * len(left)
    for i, at in enumerate(leaves):
        child[at] = i
    return Layout(len(left), tuple(left), tuple(right), tuple(parent), tuple(leaves), tuple(child), inner)
