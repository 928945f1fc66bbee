"""What one character of the rack map says: a tile (one node, or all nodes of a rack or group) -> glyph and colour name.

Every state has a glyph of its own, so that the map reads without colour. The colours are those of Okabe and Ito ("Color
Universal Design", 2008), which stay apart with every common colour blindness, on dark and on light terminals; free room
is one hue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from muster.cli.rackmap.model import Cell, Health, Marks

Tile = Sequence[Cell]
"""The nodes that share one character; never empty."""
Glyph = tuple[str, str]
"""One character, and the name of its colour in PALETTE."""

PALETTE = {
    "": "",
    "title": "bold",
    "label": "dim",
    "free": "dim",
    "other": "black on #999999",
    "many": "black on #ffffff",
    "cordoned": "black on #f0e442",
    "broken": "bold white on #d55e00",
    "job0": "black on #e69f00",
    "job1": "black on #56b4e9",
    "job2": "black on #009e73",
    "job3": "white on #0072b2",
    "job4": "black on #cc79a7",
    "some": "#3182bd",
    "all": "black on #9ecae1",
}
"""Colour names to rich styles. Jobs take job0 to job4 in turn; the letter tells apart those that share one."""
JOB_COLOURS = 5


class View(Enum):
    """What the map is drawn by."""

    JOB = "job"
    HEALTH = "health"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters for what is not a letter or digit; `room` from the least to all."""

    free: str
    room: str


UNICODE = Glyphs(free="·", room="▁▂▃▄▅▆▇█")
ASCII = Glyphs(free=".", room="12345678")
"""For terminals and files that cannot take the other."""

_HEALTH = {
    Health.CORDONED: ("/", "cordoned"),
    Health.TAINTED: ("t", "cordoned"),
    Health.NOT_READY: ("!", "broken"),
    Health.OUT_OF_SERVICE: ("X", "broken"),
}
_WORDS = {
    Health.CORDONED: "cordoned",
    Health.TAINTED: "tainted",
    Health.NOT_READY: "NotReady",
    Health.OUT_OF_SERVICE: "out of service",
}
_WORST = (Health.OUT_OF_SERVICE, Health.NOT_READY, Health.TAINTED, Health.CORDONED)


def glyphs_for(encoding: str) -> Glyphs:
    """Those that this encoding can take."""
    try:
        (UNICODE.free + UNICODE.room).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def by_job(tile: Tile, marks: Mapping[str, str], glyphs: Glyphs) -> Glyph:
    """Whose it is: a job's letter (small while none of its pods there runs), `#` several jobs', `=` other pods',
    a dot nobody's; a broken node shows as such whoever holds it. Of several nodes one is enough for a job to show, and
    half of them for other pods."""
    if all(cell.health.broken for cell in tile):
        return _HEALTH[_worst(tile)]
    jobs = dict.fromkeys(key for cell in tile for key in cell.jobs)
    letters = dict.fromkeys(marks.get(key, Marks.MORE) for key in jobs)
    if len(jobs) == 1 or list(letters) == [Marks.MORE]:
        letter = next(iter(letters))
        return letter if any(cell.running for cell in tile) else letter.lower(), colour_of(letter)
    if jobs:
        return "#", "many"
    if 2 * sum(cell.others for cell in tile) >= len(tile):
        return "=", "other"
    if not any(cell.health.usable for cell in tile):
        return _HEALTH[_worst(tile)]
    return glyphs.free, "free"


def by_health(tile: Tile, glyphs: Glyphs) -> Glyph:
    """A dot where all is well; one node by its own sign; of several the number that is not usable (`+`: more than 9),
    or the sign if it is all of them."""
    bad = [cell for cell in tile if not cell.health.usable]
    if not bad:
        return glyphs.free, "free"
    sign, colour = _HEALTH[_worst(bad)]
    if len(bad) == len(tile):
        return sign, colour
    return str(len(bad)) if len(bad) < 10 else "+", colour


def by_free(tile: Tile, glyphs: Glyphs) -> Glyph:
    """One node by the number of slots that are free (`+`: more than 9), several by the share; a dot for none, the
    sign of its health for a node that offers none because of it."""
    slots = sum(cell.slots for cell in tile)
    free = sum(cell.open for cell in tile)
    if not free:
        usable = any(cell.health.usable for cell in tile)
        return (glyphs.free, "free") if usable else _HEALTH[_worst(tile)]
    if len(tile) == 1:
        return str(free) if free < 10 else "+", "all" if free == slots else "some"
    return glyphs.room[max(1, 8 * free // max(slots, free)) - 1], "some"


def glyph(view: View, tile: Tile, marks: Mapping[str, str], glyphs: Glyphs) -> Glyph:
    """The character of a tile in this view."""
    match view:
        case View.JOB:
            return by_job(tile, marks, glyphs)
        case View.HEALTH:
            return by_health(tile, glyphs)
        case View.FREE:
            return by_free(tile, glyphs)


def colour_of(letter: str) -> str:
    """The colour of a job's letter."""
    place = Marks.LETTERS.find(letter.upper())
    return "many" if place < 0 else f"job{place % JOB_COLOURS}"


def key(view: View, folded: bool, present: frozenset[Health], unit: str, glyphs: Glyphs) -> list[tuple[Glyph, str]]:
    """The signs of a view with their meaning, of health only what is there (by health the legend tells more of it).
    `folded`: a tile is more than one node."""
    health = [(_HEALTH[h], _WORDS[h]) for h in _HEALTH if h in present]
    if view is View.JOB:
        rest = [(("#", "many"), "several jobs"), (("=", "other"), "other pods"), *health]
        return [((glyphs.free, "free"), "free"), (("a", ""), "in small: not running"), *rest]
    if view is View.HEALTH:
        return [((glyphs.free, "free"), "all well"), *([(("3", ""), "that many not usable")] if folded else [])]
    if folded:
        room = [((glyphs.room[0], "some"), f"few {unit}s free"), ((glyphs.room[-1], "some"), "all free")]
    else:
        room = [(("3", "some"), f"that many {unit}s free")]
    return [((glyphs.free, "free"), "none free"), *room, *health]


def health_sign(health: Health) -> tuple[Glyph, str]:
    """The sign of a health other than OK, and its name."""
    return _HEALTH[health], _WORDS[health]


def _worst(tile: Tile) -> Health:
    present = {cell.health for cell in tile}
    return next((health for health in _WORST if health in present), Health.CORDONED)
