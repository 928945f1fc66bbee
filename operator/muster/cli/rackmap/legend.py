"""The words around the rack map: its title above, the signs and the jobs below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from muster.cli.rackmap import names
from muster.cli.rackmap.glyphs import Glyphs, View, colour_of, health_sign, key
from muster.cli.rackmap.model import Health, JobLine, Picture
from muster.kube.hostlist import compress

Span = tuple[str, str]
"""Text, and the name of its colour in glyphs.PALETTE."""
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
    """The signs, then what belongs to the view: the jobs; the nodes that are not usable; how many whole nodes are free
    in how many racks, and who waits. `room` in lines: what does not fit is packed, then counted."""
    present = frozenset(cell.health for cell in picture.cells())
    signs = key(view, folded, present, picture.unit, glyphs)
    lines = [line for line, _ in _packed([(sign, (f" {words}", "")) for sign, words in signs], width)]
    waiting = [job for job in picture.jobs if not job.nodes]
    told: list[JobLine] = list(picture.jobs) if view is View.JOB else waiting if view is View.FREE else []
    rows = [_job(job, marks, full=True) for job in told]
    if view is View.HEALTH:
        rows = list(_unwell(picture))
    elif view is View.FREE:
        lines += [_cut(line, width) for line in _room(picture)]
    left = None if room is None else max(room - len(lines), 0)
    if left is None or len(rows) <= left:
        return lines + [_cut(row, width) for row in rows]
    packed = _packed([_job(job, marks, full=False) for job in told] or rows, width)
    if len(packed) <= left:
        return lines + [line for line, _ in packed]
    kept = packed[: max(left - 1, 0)]
    more = len(rows) - sum(count for _, count in kept)
    return lines + [line for line, _ in kept] + [((f"and {more} more", "label"),)] * (left > 0)


def _unwell(picture: Picture) -> Iterator[Line]:
    """The nodes that are not usable, by cause."""
    nodes: dict[Health, list[str]] = {}
    for cell in picture.cells():
        if not cell.health.usable:
            nodes.setdefault(cell.health, []).append(cell.node)
    for health in Health:
        if health in nodes:
            sign, words = health_sign(health)
            yield (sign, (f" {words}, {len(nodes[health])}: {compress(nodes[health])}", ""))


def _room(picture: Picture) -> Iterator[Line]:
    """How many racks have how many nodes on which nothing runs, the emptiest first."""
    racks: dict[int, int] = {}
    for rack in picture.racks():
        whole = sum(cell.health.usable and cell.free == cell.slots for cell in rack.cells)
        racks[whole] = racks.get(whole, 0) + 1
    found = [f"{whole} in {count}" for whole, count in sorted(racks.items(), reverse=True)]
    if found:
        found[0] += " racks"
    yield (("nodes all free: ", "label"), (", ".join(found) or "none", ""))


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
