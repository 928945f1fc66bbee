"""Pictures are compared with those in maps/, which MUSTER_DRAW=1 draws anew: look at them before you commit them."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from muster.cli.rackmap import draw as rackmap
from muster.cli.rackmap import names
from muster.cli.rackmap.draw import Fold
from muster.cli.rackmap.glyphs import ASCII, JOB_COLOURS, PALETTE, UNICODE, View, colour_of
from muster.cli.rackmap.model import Cell, Group, Health, JobLine, Marks, Picture, Rack

MAPS = Path(__file__).parent / "maps"
BAD = {7: Health.NOT_READY, 11: Health.CORDONED, 13: Health.TAINTED, 17: Health.OUT_OF_SERVICE}


@cache
def picture(racks: int, nodes: int = 18, per_leaf: int = 8) -> Picture:
    """Some jobs at the front, some nodes that are not well, some room."""
    width = len(str(racks - 1))

    def cell(rack: int, at: int) -> Cell:
        number = rack * nodes + at
        health = BAD.get(number % 97, Health.OK)
        jobs: tuple[str, ...] = ()
        if at < 16 and rack < 24:
            jobs = ("ml/llama-405b",) if rack < 16 else ("ml/eval",)
        elif rack in (24, 25):
            jobs = ("ml/a",) if at < 9 else ("ml/b",)
        others = not jobs and number % 41 == 0
        free = 0 if jobs else 2 if others else 4
        name = f"r{rack:0{width}}-n{at:02}"
        return Cell(name, health, jobs, rack < 16 or rack > 23, others, free, 4)

    def rack(number: int) -> Rack:
        cells = tuple(cell(number, at) for at in range(nodes))
        return Rack(f"r{number:0{width}}", cells, f"clique-{number}")

    def leaf(number: int) -> Group:
        first = number * per_leaf
        return Group(f"leaf-l{number:03}", tuple(map(rack, range(first, first + per_leaf))), f"spine-{number // 16}")

    groups = tuple(map(leaf, range(racks // per_leaf)))
    jobs = (
        JobLine("ml/llama-405b", "Running", 256, 16, 2, "256 nodes, 16/16 nvlink, 2/2 leaf"),
        JobLine("ml/eval", "Starting", 128, 8, 1, "128 nodes, 8/8 nvlink, 1/1 leaf"),
        JobLine("ml/a", "Running", 18, 2, 1, "18 nodes, 2/1 nvlink, 1/1 leaf"),
        JobLine("ml/b", "Running", 18, 2, 1, "18 nodes, 2/1 nvlink, 1/1 leaf"),
        JobLine("ml/big", "Pending", note="InsufficientCapacity: it needs 2,000 nodes and 700 are free, which is long"),
    )
    return Picture(groups, jobs, "nvlink", "leaf")


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize(("racks", "height"), [(64, 24), (64, None), (1024, 24), (4608, 40)])
def test_the_maps_at_80_columns(racks: int, height: int | None, view: View) -> None:
    lines = rackmap.draw(picture(racks), view=view, width=80, height=height)
    drawn = rackmap.plain(lines)
    assert max(map(len, drawn.splitlines())) <= 80
    if height is not None:
        assert len(lines) <= height
    saved = MAPS / f"{racks}-{view.value}{'' if height is None else f'-{height}'}.txt"
    if os.environ.get("MUSTER_DRAW"):
        saved.write_text(drawn + "\n", encoding="utf-8")
    assert drawn + "\n" == saved.read_text(encoding="utf-8")


def test_every_node_is_drawn_once_at_64_racks_and_every_rack_at_1024() -> None:
    by_node = rackmap.plain(rackmap.draw(picture(64), width=80, height=24)).splitlines()
    assert sum(len(line[7:].replace(" ", "")) for line in by_node[2:20]) == 64 * 18
    by_rack = rackmap.plain(rackmap.draw(picture(1024), width=80, height=24)).splitlines()
    assert sum(len(line[7:].replace(" ", "")) for line in by_rack if line.startswith("l")) == 1024


small = st.integers(0, 60)


@settings(deadline=None)
@given(
    sizes=st.lists(st.lists(small, max_size=12), max_size=12),
    named=st.booleans(),
    width=st.integers(1, 200),
    height=st.one_of(st.none(), st.integers(1, 80)),
    view=st.sampled_from(View),
    fold=st.sampled_from(Fold),
)
def test_any_cluster_is_drawn_within_the_width(
    sizes: list[list[int]], named: bool, width: int, height: int | None, view: View, fold: Fold
) -> None:
    groups = tuple(
        Group(
            f"group-{g}" if named else "",
            tuple(
                Rack(f"rack{g}.{r}", tuple(Cell(f"n{g}-{r}-{i}", free=i % 5, slots=4) for i in range(n)))
                for r, n in enumerate(racks)
            ),
        )
        for g, racks in enumerate(sizes)
    )
    lines = rackmap.draw(Picture(groups), view=view, fold=fold, width=width, height=height)
    assert all(sum(len(text) for text, _ in line) <= max(width, rackmap.NARROWEST) for line in lines)
    assert all(colour in PALETTE for line in lines for _, colour in line)
    if fold is Fold.NODES and view is View.FREE:
        shown = "".join(text for line in lines[1:] for text, colour in line if colour in ("free", "some", "all"))
        assert len([c for c in shown if c in "·1234"]) >= sum(n for racks in sizes for n in racks)


def test_each_state_has_a_glyph_of_its_own() -> None:
    cells = [
        Cell("free", free=4, slots=4),
        Cell("job", jobs=("j",), running=True, slots=4),
        Cell("starting", jobs=("j",), slots=4),
        Cell("two", jobs=("j", "k"), slots=4),
        Cell("others", others=True, free=2, slots=4),
        *(Cell(health.value, health, free=4, slots=4) for health in Health if health is not Health.OK),
    ]
    pic = Picture((Group("", (Rack("r", tuple(cells)),)),), (JobLine("j", "Running", 2), JobLine("k", "Running", 1)))

    def column(view: View) -> str:
        rows = rackmap.plain(rackmap.draw(pic, view=view, fold=Fold.NODES, glyphs=ASCII)).splitlines()
        return "".join(row[7:8] for row in rows[2 : 2 + len(cells)])

    assert column(View.JOB) == ".Aa#=/t!X"
    assert column(View.HEALTH) == "...../t!X"
    assert column(View.FREE) == "4...2/t!X"


def test_a_broken_node_shows_through_its_job_and_a_cordoned_one_does_not() -> None:
    def sign(health: Health) -> str:
        rack = Rack("r", (Cell("n", health, ("j",), True),))
        return rackmap.plain(rackmap.draw(Picture((Group("", (rack,)),), (JobLine("j", "Running", 1),)))).splitlines()[
            2
        ]

    assert sign(Health.NOT_READY)[7] == "!"
    assert sign(Health.CORDONED)[7] == "A"


def test_folded_by_health_counts_and_by_free_measures() -> None:
    cells = tuple(Cell(f"n{i}", Health.NOT_READY if i < 12 else Health.OK, free=4, slots=4) for i in range(18))
    pic = Picture((Group("", (Rack("a", cells), Rack("b", cells[10:]), Rack("c", cells[:3]))),))
    drawn = [rackmap.draw(pic, view=view, fold=Fold.RACKS, width=120) for view in (View.HEALTH, View.FREE)]
    assert [rackmap.plain(lines).splitlines()[1][7:] for lines in drawn] == ["+2!", "▂▆!"]


def test_folded_by_job_one_node_shows_a_job_and_half_of_them_other_pods() -> None:
    def sign(*cells: Cell) -> str:
        lines = rackmap.draw(Picture((Group("", (Rack("r", cells),)),)), marks={"j": "J"}, fold=Fold.RACKS, width=120)
        return rackmap.plain(lines).splitlines()[1][7]

    free, others = Cell("f"), Cell("o", others=True)
    assert sign(free, free, others, Cell("n", jobs=("j",), running=True)) == "J"
    assert sign(free, free, others) == "·"
    assert sign(free, others) == "="
    assert sign(free, Cell("x", Health.NOT_READY)) == "·"
    assert sign(Cell("c", Health.CORDONED), Cell("x", Health.NOT_READY)) == "!"


def test_letters_stay_and_are_not_given_again_at_once() -> None:
    marks = Marks()
    assert marks.assign(["a", "b", "c"]) == {"a": "A", "b": "B", "c": "C"}
    assert marks.assign(["c", "d"]) == {"c": "C", "d": "D"}
    many = marks.assign(["c", *(f"j{i}" for i in range(40))])
    assert many["c"] == "C"
    assert sorted(set(many.values()) - {Marks.MORE}) == list(Marks.LETTERS)
    assert sum(letter == Marks.MORE for letter in many.values()) == 15
    assert {colour_of(letter) for letter in Marks.LETTERS} == {f"job{i}" for i in range(JOB_COLOURS)}
    assert colour_of(Marks.MORE) == "many"


def test_a_legend_that_does_not_fit_is_packed_and_counted() -> None:
    jobs = tuple(JobLine(f"team/job-{i:03}", "Running", 1, note="somewhere") for i in range(100))
    pic = replace(picture(64), jobs=jobs)
    lines = rackmap.plain(rackmap.draw(pic, width=80, height=26)).splitlines()
    assert len(lines) == 26
    assert lines[-2].count("team/job-") > 2
    shown = sum(line.count("team/job-") for line in lines)
    assert lines[-1] == f"and {100 - shown} more"


def test_rich_shows_colours_on_a_terminal_and_none_without() -> None:
    lines = rackmap.draw(picture(64), width=80)

    def shown(**options: object) -> str:
        console = Console(width=80, highlight=False, **options)  # type: ignore[arg-type]
        with console.capture() as captured:
            console.print(rackmap.rich_text(lines))
        return captured.get()

    assert "\x1b[" in shown(force_terminal=True, color_system="truecolor")
    assert ";48;2" not in shown(force_terminal=True, no_color=True)
    assert shown(force_terminal=False).rstrip("\n").splitlines() == [
        "".join(text for text, _ in line) for line in lines
    ]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["leaf-r00", "leaf-r01"], ["r00", "r01"]),
        (["a"], ["a"]),
        (["", "a-b", "a-c"], ["", "b", "c"]),
        (["x1", "x12"], ["x1", "x12"]),
        (["same", "same"], ["same", "same"]),
        (["a-b", "a-b-c"], ["b", "b-c"]),
    ],
)
def test_names_lose_what_they_share(labels: list[str], said: list[str]) -> None:
    assert names.short(labels) == said


def test_other_names() -> None:
    assert names.span(["r00", "r03", "r07"]) == "r00-07"
    assert names.span(["r08", "r15"]) == "r08-15"
    assert names.span(["a"]) == "a"
    assert names.span([]) == ""
    assert names.stem(["r07-n00", "r07-n17"]) == "r07"
    assert names.stem(["gpu-1", "cpu-1"]) == ""
    assert names.stem(["one"]) == ""
    assert names.fit("0123456789", 4) == "~789"
    assert names.fit("ab", 1) == "b"
    assert UNICODE.free == "·"
