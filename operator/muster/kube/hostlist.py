"""Lists of node names in rank order, in little room: `r[0-7]-n[00-17],spare-[3,07]`.

Entries are separated by commas; a bracket holds numbers and ranges, zeros as written; of two brackets the last runs
fastest. Names of racks compress about 15 to 1 (the notation is that of Slurm's hostlists). A DNS-1123 subdomain has
neither brackets nor commas, so nothing needs quoting, and every list of such names, repeats included, comes back as it
was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from muster.kube.quantity import Malformed

LIMIT = 100_000
"""Names that a list may hold; more do not fit an object of the API, so more is a mistake or an attack."""

_DIGITS = re.compile(r"([0-9]+)")
_BRACKET = re.compile(r"\[([0-9,-]*)\]")
_ENTRY = re.compile(r"(?:[^\[\],]|\[[^\[\]]*\])+")
_RANGE = re.compile(r"([0-9]{1,64})(?:-([0-9]{1,64}))?")


@dataclass(slots=True)
class _Run:
    """Consecutive names that differ in one number only: `pieces` (text and numbers in turn) with those `numbers` at
    place `at`. The place is open (-1) while there is one name only, or the same several times."""

    pieces: list[str]
    at: int
    numbers: list[str]


def compress(names: Iterable[str]) -> str:
    """The host list of these names (DNS-1123 subdomains), in their order."""
    return ",".join(_merged(_runs(names)))


def expand(text: str, limit: int = LIMIT) -> tuple[str, ...] | Malformed:
    """The names of a host list, in order; Malformed if it is none or holds more than `limit` names."""
    names: list[str] = []
    at = 0
    while at < len(text):
        entry = _ENTRY.match(text, at)
        if entry is None:
            return Malformed(f"not a host list at {text[at : at + 20]!r}; write names such as r[0-7]-n[00-17],spare-1")
        parts = _BRACKET.split(entry.group())
        if any("[" in part for part in parts[::2]) or len(parts) > 5:
            return Malformed(f"{entry.group()[:40]!r} has brackets that cannot be read; write at most two")
        lists: list[list[str]] = []
        for bracket in parts[1::2]:
            numbers = _numbers(bracket, limit - len(names))
            if isinstance(numbers, Malformed):
                return numbers
            lists.append(numbers)
        if len(names) + (len(lists[0]) if lists else 1) * (len(lists[1]) if len(lists) > 1 else 1) > limit:
            return _too_many(limit)
        if not lists:
            names.append(parts[0])
        elif len(lists) == 1:
            names += [f"{parts[0]}{n}{parts[2]}" for n in lists[0]]
        else:
            names += [f"{parts[0]}{n}{parts[2]}{m}{parts[4]}" for n in lists[0] for m in lists[1]]
        at = entry.end()
        if at < len(text):
            # The entry ended at a comma, or at a bracket without its other half; a comma at the very end is no name.
            if text[at] != "," or at + 1 == len(text):
                return Malformed(f"not a host list at {text[at : at + 20]!r}; close each bracket, end with a name")
            at += 1
    return tuple(names)


def run_lengths(numbers: Iterable[int]) -> str:
    """`1x6,2x1` for six ones and a two."""
    return ",".join(f"{number}x{sum(1 for _ in group)}" for number, group in groupby(numbers))


def from_run_lengths(text: str, limit: int = LIMIT) -> tuple[int, ...] | Malformed:
    """The numbers that `run_lengths` wrote."""
    numbers: list[int] = []
    for entry in text.split(",") if text else ():
        match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", entry, re.ASCII)
        if match is None:
            return Malformed(f"{entry[:40]!r} is not a run of numbers; write value x times, such as 1x6,2x1")
        if len(numbers) + int(match[2]) > limit:
            return _too_many(limit)
        numbers += [int(match[1])] * int(match[2])
    return tuple(numbers)


def _runs(names: Iterable[str]) -> Iterator[_Run]:
    """Names taken together while they differ from the first in the same one number."""
    run: _Run | None = None
    split = _DIGITS.split
    for name in names:
        pieces = split(name)
        if run is not None and len(pieces) == len(run.pieces):
            at = run.at
            if at < 0:
                differing = [i for i, piece in enumerate(pieces) if piece != run.pieces[i]]
                if not differing and len(pieces) > 1:
                    run.numbers.append("")
                    continue
                if len(differing) == 1 and differing[0] % 2:
                    at = run.at = differing[0]
                    run.numbers = [run.pieces[at]] * len(run.numbers)
            number = pieces[at]
            pieces[at] = run.pieces[at]
            if at > 0 and pieces == run.pieces:
                run.numbers.append(number)
                continue
            pieces[at] = number
        if run is not None:
            yield _settled(run)
        run = _Run(pieces, -1, [""])
    if run is not None:
        yield _settled(run)


def _settled(run: _Run) -> _Run:
    """A name that came several times, alone: its last number carries the repeats."""
    if run.at < 0 and len(run.numbers) > 1:
        run.at = len(run.pieces) - 2
        run.numbers = [run.pieces[run.at]] * len(run.numbers)
    return run


def _merged(runs: Iterable[_Run]) -> Iterator[str]:
    """Runs of equal numbers taken together while they differ in the same one number to the left of theirs."""
    first: _Run | None = None
    outer = -1
    values: list[str] = []
    for run in runs:
        if first is not None and run.at == first.at > 0 and run.numbers == first.numbers:
            same = len(run.pieces) == len(first.pieces)
            differing = [i for i, p in enumerate(run.pieces) if i != run.at and p != first.pieces[i]] if same else []
            if len(differing) == 1 and differing[0] % 2 and differing[0] < run.at and outer in (-1, differing[0]):
                outer = differing[0]
                values.append(run.pieces[outer])
                # The first run's own number was not known to vary until now.
                if len(values) == 1:
                    values.insert(0, first.pieces[outer])
                continue
        if first is not None:
            yield _written(first, outer, values)
        first, outer, values = run, -1, []
    if first is not None:
        yield _written(first, outer, values)


def _written(run: _Run, outer: int, values: Sequence[str]) -> str:
    pieces = list(run.pieces)
    if run.at > 0:
        pieces[run.at] = f"[{_ranges(run.numbers)}]"
    if outer > 0:
        pieces[outer] = f"[{_ranges(values)}]"
    return "".join(pieces)


def _ranges(numbers: Sequence[str]) -> str:
    """`0-3,07`: a range goes on while each number is the one before plus one, written at the same width or longer."""
    parts: list[str] = []
    start = end = numbers[0]
    value = int(end)
    for number in numbers[1:]:
        value += 1
        if number == str(value).zfill(len(start)):
            end = number
            continue
        parts.append(start if start is end else f"{start}-{end}")
        start = end = number
        value = int(number)
    parts.append(start if start is end else f"{start}-{end}")
    return ",".join(parts)


def _numbers(bracket: str, limit: int) -> list[str] | Malformed:
    numbers: list[str] = []
    for part in bracket.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            return Malformed(f"[{bracket[:40]}] is not a list of numbers; write numbers and ranges, such as [0-3,07]")
        low, high = match[1], match[2]
        if high is None:
            numbers.append(low)
        elif not 0 <= int(high) - int(low) < limit - len(numbers):
            return _too_many(limit) if int(high) >= int(low) else Malformed(f"the range {part} runs backwards")
        else:
            numbers += [str(n).zfill(len(low)) for n in range(int(low), int(high) + 1)]
        if len(numbers) > limit:
            return _too_many(limit)
    return numbers


def _too_many(limit: int) -> Malformed:
    return Malformed(f"holds more than {limit} entries; no gang is that large")
