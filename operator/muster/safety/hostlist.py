"""Read the two compressed lists of a placement, independently of the operator's own code."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product

_PIECE = re.compile(r"\[([^\]]*)\]|([^\[\]]+)")


class MalformedError(ValueError):
    """A list that does not follow the format."""


@lru_cache(maxsize=512)
def hosts(text: str) -> tuple[str, ...]:
    """Return the names of a host list in order.

    `a[0-3,07]` is a0 a1 a2 a3 a07: zeros as written; of two brackets the last runs fastest.
    """
    names: list[str] = []
    for item in _split(text):
        pieces = []
        covered = 0
        for found in _PIECE.finditer(item):
            covered += len(found[0])
            pieces.append(_numbers(found[1]) if found[2] is None else [found[2]])
        if covered != len(item) or not pieces:
            raise MalformedError(f"host list {text!r}: {item!r}")
        names += ["".join(parts) for parts in product(*pieces)]
    return tuple(names)


def _split(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    items, depth, current = [], 0, ""
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if depth not in (0, 1):
            raise MalformedError(f"host list {text!r}: brackets do not match")
        if letter == "," and depth == 0:
            items.append(current)
            current = ""
        else:
            current += letter
    if depth:
        raise MalformedError(f"host list {text!r}: brackets do not match")
    return [*items, current] if text else []


def _numbers(text: str) -> list[str]:
    numbers = []
    for item in text.split(","):
        first, dash, last = item.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise MalformedError(f"host list: [{text}]")
        if not dash:
            numbers.append(first)
            continue
        width = len(first) if first.startswith("0") else 0
        numbers += [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]
    return numbers


@lru_cache(maxsize=512)
def runs(text: str) -> tuple[int, ...]:
    """Return the values of a run-length list: `1x2,3x1` is 1 1 3."""
    values: list[int] = []
    for item in text.split(",") if text else []:
        value, times, count = item.partition("x")
        if not times or not value.isdigit() or not count.isdigit():
            raise MalformedError(f"run-length list {text!r}: {item!r}")
        values += [int(value)] * int(count)
    return tuple(values)
