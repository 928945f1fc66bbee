"""A fixed share of the storms, and that storms are what they say: told by their seed, made smaller, listed in the docs.

All of them: `python -m muster.sim storms`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from muster.sim import many, storms
from muster.sim.__main__ import main
from muster.sim.plan import Unreadable
from muster.sim.storms import Storm
from muster.sim.strikes import KINDS, SAID

DOCS = Path(__file__).parents[2] / "docs" / "simulation.md"


def test_storms_pass() -> None:
    report = many.all_of([Storm(seed) for seed in range(25)], what="storms")
    print(f"\n{report}")
    assert not report.failed, str(report)


def test_a_storm_is_the_same_whenever_it_passes() -> None:
    one, other = storms.run(Storm(5)), storms.run(Storm(5))
    assert one.record.dump() == other.record.dump()
    assert one.injected == other.injected


def test_leaving_out_a_strike_changes_no_other() -> None:
    whole, part = storms.run(Storm(3)), storms.run(Storm(3, frozenset({2})))
    struck = [[line.text for line in each.log if line.text.startswith("storm: strike")] for each in (whole, part)]
    assert struck[1] == [text for text in struck[0] if not text.startswith("storm: strike 2,")]
    assert len(struck[1]) == len(struck[0]) - 1


def test_a_storm_is_made_as_small_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    well = storms.run(Storm(0, frozenset(range(1, 41))))
    assert well.well
    sick = replace(well, unfinished=("on purpose",))
    monkeypatch.setattr(storms, "run", lambda storm: well if {3, 5} & storm.without else sick)
    assert len(Storm(0).strikes()) >= 5
    assert storms.smaller(Storm(0)).without == frozenset(range(1, len(Storm(0).strikes()) + 1)) - {3, 5}


def test_a_storm_is_one_line() -> None:
    assert Storm.parse("storm@17 -3 -12") == Storm(17, frozenset({3, 12}))
    assert str(Storm(17, frozenset({12, 3}))) == "storm@17 -3 -12"
    with pytest.raises(Unreadable, match="write storm@SEED"):
        Storm.parse("storm@x")


def test_every_kind_of_strike_is_in_the_docs() -> None:
    text = DOCS.read_text()
    assert len(KINDS) >= 24
    missing = [name for name, said in SAID.items() if f"| {name} | {said} |" not in text]
    assert not missing, f"say in docs/simulation.md what `python -m muster.sim storms --kinds` prints: {missing}"


def test_a_storm_is_replayed_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "storm@3", "-2"]) == 0
    said = capsys.readouterr().out
    assert "storm: strike 1," in said
    assert "storm: strike 2," not in said
    assert said.splitlines()[-1].startswith("all is well after")
