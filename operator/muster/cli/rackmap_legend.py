"""The words around the rack map: its title above, the signs and the jobs below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from muster.cli import rackmap_names as names
from muster.cli.rackmap_glyphs import Glyphs, View, colour_of, key
from muster.cli.rackmap_model import JobLine, Picture

Span = tuple[str, str]
"""Text, and the name of its colour in rackmap_glyphs.PALETTE."""
Line = tuple[Span, ...]


def title(picture: Picture, each: str, width: int) -> list[Line]:
    """What the cluster has; `each` says what a character stands for, if not a node."""
    cells = list(picture.cells())
    racks = sum(1 for _ in picture.racks())
    slots, free = sum(cell.slots for cell in cells), sum(cell.open for cell in cells)
    held, bad = sum(cell.held for cell in cells), sum(not cell.health.usable for cell in cells)
    parts = [f"{racks:,} racks", f"{len(cells):,} nodes ({held:,} held, {bad:,} not usable)"]
    parts.append(f"{free:,} of {slots:,} {picture.unit}s free")
    if each:
        parts.append(f"a character is a {each}")
    return [((line, "title"),) for line in names.wrapped(parts, width, ", ")]


def legend(
    picture: Picture, view: View, folded: bool, marks: Mapping[str, str], glyphs: Glyphs, width: int, room: int | None
) -> list[Line]:
    """The signs, then the jobs: one a line if `room` (lines) allows, else packed, and as many as fit."""
    present = frozenset(cell.health for cell in picture.cells())
    signs = key(view, folded, present, picture.unit, glyphs)
    lines = [line for line, _ in _packed([(sign, (f" {words}", "")) for sign, words in signs], width)]
    left = None if room is None else max(room - len(lines), 0)
    if left is None or len(picture.jobs) <= left:
        return lines + [_cut(_job(job, marks, full=True), width) for job in picture.jobs]
    packed = _packed([_job(job, marks, full=False) for job in picture.jobs], width)
    if len(packed) <= left:
        return lines + [line for line, _ in packed]
    kept = packed[: max(left - 1, 0)]
    more = len(picture.jobs) - sum(count for _, count in kept)
    return lines + [line for line, _ in kept] + [((f"and {more} more jobs", "label"),)] * (left > 0)


def _job(job: JobLine, marks: Mapping[str, str], *, full: bool) -> Line:
    mark = marks.get(job.key, "-") if job.nodes else "-"
    words = f"  {job.phase}{', ' if job.note else ''}{job.note}" if full else ""
    return ((mark, colour_of(mark) if job.nodes else "label"), (f" {job.key}{words}", ""))


def _packed(items: Sequence[Line], width: int) -> list[tuple[Line, int]]:
    """Items side by side, two columns apart, in as few lines as hold them; each line with the number of its items."""
    lines: list[tuple[list[Span], int]] = []
    used = 0
    for item in items:
        cut = _cut(item, width)
        size = sum(len(text) for text, _ in cut)
        if lines and used + 2 + size <= width:
            spans, count = lines[-1]
            lines[-1] = ([*spans, ("  ", ""), *cut], count + 1)
            used += 2 + size
        else:
            lines.append((list(cut), 1))
            used = size
    return [(tuple(spans), count) for spans, count in lines]


def _cut(line: Line, width: int) -> Line:
    out: list[Span] = []
    for text, colour in line:
        out.append((names.head(text, width), colour))
        width -= len(out[-1][0])
    return tuple(span for span in out if span[0])
