"""Draws the rack map: a pure function from a Picture to lines of coloured spans.

    lines = draw.draw(picture, view=View.JOB, marks=marks.assign(keys), width=80, height=24)
    print(rackmap.plain(lines))                 # no colour, no terminal needed
    live.update(draw.rich_text(lines))       # rich, in the colours of glyphs.PALETTE

Unfolded, every rack stands upright as in the hall, one character a node, the racks of a group side by side:

    leaf   r000     r001
    0      AAAAAAAA BBBB····
    1      AAAAAAAA BBBB····
    nvlink r00-07   r08-15

64 racks of 18 nodes fit 80 columns and 24 rows. Folded once a rack is one character (1,024 racks: 16 rows), folded
twice a group is; `Fold.AUTO` takes the first that fits `height`. What a character says is in `glyphs`; the
legend below the map names it. `draw` reads nothing but its arguments: `muster top` and `muster demo` share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from muster.cli.rackmap import names
from muster.cli.rackmap.glyphs import PALETTE, UNICODE, Glyphs, Tile, View, glyph
from muster.cli.rackmap.legend import Line, Span, legend, title
from muster.cli.rackmap.model import Cell, Group, Marks, Picture

if TYPE_CHECKING:
    from rich.text import Text

GUTTER = 7
"""Columns before the racks: level names, the node's place in its rack, or the first group of a row."""
TALLEST = 24
"""Nodes that stand in one column; larger racks take several."""
PIECE = 8
"""Racks drawn together where nothing groups them."""
WIDEST = 32
"""Columns a group may take before it is cut into pieces."""
NARROWEST = 24
LEGEND = 3
"""Lines that the legend gets at least."""
UNLIMITED = (48, 96)
"""Without a height: the most lines for a map by nodes, and by racks, before it is folded once more."""


class Fold(Enum):
    """What one character stands for."""

    AUTO = "auto"
    NODES = "nodes"
    RACKS = "racks"
    GROUPS = "groups"


@dataclass(frozen=True, slots=True)
class _Block:
    """Columns that stand together; None is a gap. `label` above (beside, when folded), `foot` below."""

    label: str
    foot: str
    columns: tuple[tuple[Tile, ...] | None, ...]

    @property
    def width(self) -> int:
        return max(len(self.columns), 1)

    @property
    def height(self) -> int:
        return max((len(column) for column in self.columns if column is not None), default=0)


def draw(
    picture: Picture,
    *,
    view: View = View.JOB,
    marks: Mapping[str, str] | None = None,
    width: int = 80,
    height: int | None = None,
    fold: Fold = Fold.AUTO,
    glyphs: Glyphs = UNICODE,
) -> list[Line]:
    """The map with its title and legend, no line wider than `width` (at least 24) and, if the map itself fits, no more
    lines than `height`. `marks` are the jobs' letters by key; without them they are given in the picture's order."""
    width = max(width, NARROWEST)
    if marks is None:
        marks = Marks().assign(job.key for job in picture.jobs if job.nodes)
    chosen, bands = _folded(picture, fold, width, height)
    body = [line for band in bands for line in _band(band, picture, chosen, view, marks, glyphs, width)]
    top = title(picture, _each(picture, chosen), width)
    left = None if height is None else max(height - len(body) - len(top), LEGEND)
    return [*top, *body, *legend(picture, view, chosen is not Fold.NODES, marks, glyphs, width, left)]


def plain(lines: Sequence[Line]) -> str:
    """The lines without colour."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def rich_text(lines: Sequence[Line]) -> Text:
    """The lines as rich draws them; the Console decides whether colours are shown."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop", end="")
    for i, line in enumerate(lines):
        text.append("\n" if i else "")
        for words, colour in line:
            text.append(words, style=PALETTE[colour] or None)
    return text


# --- which blocks, in which bands -----------------------------------------------------------------------------------


def _folded(picture: Picture, fold: Fold, width: int, height: int | None) -> tuple[Fold, list[list[_Block]]]:
    """The fold to draw, and the blocks of each band (row of blocks) of it."""
    choices = [Fold.NODES, Fold.RACKS, *([Fold.GROUPS] if len(picture.groups) > 1 else [])]
    bands: list[list[_Block]] = []
    for nth, choice in enumerate(choices if fold is Fold.AUTO else [fold]):
        bands = _bands(_blocks(picture, choice), width - GUTTER)
        fold = choice
        room = (
            UNLIMITED[min(nth, 1)]
            if height is None
            else height - len(title(picture, _each(picture, choice), width)) - LEGEND
        )
        if _lines(bands, choice) <= room:
            break
    return fold, bands


def _each(picture: Picture, fold: Fold) -> str:
    """What a character stands for, if not a node."""
    words = {Fold.RACKS: f"rack ({picture.rack_level})", Fold.GROUPS: picture.group_level or "group"}
    return words.get(fold, "")


def _lines(bands: list[list[_Block]], fold: Fold) -> int:
    tall = sum(max(block.height for block in band) for band in bands)
    return tall + (3 * len(bands) - 1 if fold is Fold.NODES else 0)


def _blocks(picture: Picture, fold: Fold) -> list[_Block]:
    if fold is Fold.GROUPS:
        return list(_parents(picture))
    shorter = names.short([group.name for group in picture.groups])
    labelled = zip(picture.groups, shorter, strict=True)
    return [block for group, label in labelled for block in _pieces(group, label, fold)]


def _parents(picture: Picture) -> Iterator[_Block]:
    """Groups as characters, those of one parent together."""
    by_parent: dict[str, list[tuple[Group, Tile]]] = {}
    for group in picture.groups:
        if tile := tuple(cell for rack in group.racks for cell in rack.cells):
            by_parent.setdefault(group.parent, []).append((group, tile))
    labels = dict(zip(by_parent, names.short(list(by_parent)), strict=True))
    for parent, groups in by_parent.items():
        own = names.short([group.name for group, _ in groups])
        for i in range(0, len(groups), WIDEST):
            columns = tuple((tile,) for _, tile in groups[i : i + WIDEST])
            yield _Block(labels[parent] or own[i], "", columns)


def _pieces(group: Group, label: str, fold: Fold) -> Iterator[_Block]:
    racks = [rack for rack in group.racks if rack.cells]
    stacks = [_columns(rack.cells, fold) for rack in racks]
    gapped = any(len(stack) > 1 for stack in stacks)
    wide = sum(map(len, stacks)) + (len(stacks) - 1 if gapped else 0)
    step = max(len(stacks), 1)
    if wide > WIDEST:
        step = max(1, WIDEST // (max(map(len, stacks)) + 1)) if gapped else PIECE
    for i in range(0, len(stacks), step):
        columns: list[tuple[Tile, ...] | None] = []
        for stack in stacks[i : i + step]:
            columns += [None, *stack] if gapped and columns else stack
        shown = [rack.name for rack in racks[i : i + step]]
        yield _Block(label or shown[0], names.span(shown), tuple(columns))


def _columns(cells: Sequence[Cell], fold: Fold) -> list[tuple[Tile, ...]]:
    if fold is not Fold.NODES:
        return [(tuple(cells),)]
    count = -(-len(cells) // TALLEST)
    tall = -(-len(cells) // max(count, 1)) or 1
    return [tuple((cell,) for cell in cells[i : i + tall]) for i in range(0, len(cells), tall)]


def _bands(blocks: list[_Block], room: int) -> list[list[_Block]]:
    """Blocks side by side with a column between, as many as fit; one that is too wide alone is cut."""
    bands: list[list[_Block]] = []
    left = 0
    for block in blocks:
        for i in range(0, len(block.columns), room):
            part = block if len(block.columns) <= room else _Block(block.label, block.foot, block.columns[i : i + room])
            if not bands or left < part.width + 1:
                bands.append([])
                left = room + 1
            bands[-1].append(part)
            left -= part.width + 1
    return bands


# --- lines ----------------------------------------------------------------------------------------------------------


def _band(
    band: list[_Block],
    picture: Picture,
    fold: Fold,
    view: View,
    marks: Mapping[str, str],
    glyphs: Glyphs,
    width: int,
) -> Iterator[Line]:
    if fold is Fold.NODES:
        level = picture.group_level if any(group.name for group in picture.groups) else ""
        yield _labels(level, [(block.label if level else "", block.width) for block in band], width)
    for row in range(max(block.height for block in band)):
        head = str(row) if fold is Fold.NODES else band[0].label if row == 0 else ""
        spans: list[Span] = [(names.fit(head, GUTTER - 1).ljust(GUTTER), "label")]
        for nth, block in enumerate(band):
            if nth:
                spans.append((" ", ""))
            for column in block.columns:
                here = column is not None and row < len(column)
                spans.append(glyph(view, column[row], marks, glyphs) if here and column is not None else (" ", ""))
        yield _merged(spans)
    if fold is Fold.NODES:
        yield _labels(picture.rack_level, [(block.foot, block.width) for block in band], width)


def _labels(level: str, labels: Sequence[tuple[str, int]], width: int) -> Line:
    """Labels over or under their blocks, each cut to its block's width; the last may go on to the edge."""
    text = names.fit(level, GUTTER - 1).ljust(GUTTER)
    for label, room in labels[:-1]:
        text += names.fit(label, room).ljust(room + 1)
    return ((text + names.fit(labels[-1][0], width - len(text)), "label"),)


def _merged(spans: Sequence[Span]) -> Line:
    """Neighbours of one colour as one span."""
    out: list[list[str]] = []
    for text, colour in spans:
        if out and out[-1][1] == colour:
            out[-1][0] += text
        else:
            out.append([text, colour])
    return tuple((text, colour) for text, colour in out)
