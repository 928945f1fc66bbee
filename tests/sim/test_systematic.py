"""A fixed share of the plans of one fault, and proof that the lane sees what it is there to see.

All of them: `python -m muster.sim systematic`.
"""

from __future__ import annotations

import pytest

from muster.sim import many, systematic, trial, words
from muster.sim.__main__ import main
from muster.sim.plan import Plan
from muster.sim.runs import RUNS
from muster.worker import commit
from muster.worker.commit import Outcome

SHARE = {"start": 41, "leaders": 97}
"""Every so manieth plan of a run."""


@pytest.mark.parametrize("run", RUNS)
def test_one_fault(run: str) -> None:
    plans = systematic.singles(run)
    assert len(plans) > 500
    report = many.all_of(plans[:: SHARE.get(run, 151)])
    print(f"\n{run}: {report}")
    assert not report.failed, str(report)
    assert report.idle == 0, str(report)


def test_two_faults() -> None:
    plans = systematic.pairs("leaders", 20)
    assert len(set(map(str, plans))) == 20
    report = many.all_of(plans)
    print(f"\nleaders: {report}")
    assert not report.failed, str(report)


def test_every_seed_tells_its_own_story_well() -> None:
    for seed in range(1, 3):
        for run in RUNS:
            outcome = trial.run(Plan(run, seed))
            assert outcome.well, outcome.faults()


def test_a_compare_and_set_that_takes_a_conflict_for_success_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(self: object) -> Outcome:
        return Outcome.COMMITTED

    monkeypatch.setattr(commit._Attempt, "_look", look)
    plans = [plan for plan in systematic.singles("start") if "code:409" in str(plan) and "write" in str(plan)]
    report = many.all_of(plans)
    assert report.failed, str(report)


def test_a_plan_is_replayed_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "start@0", "0/write:4=crash-after"]) == 0
    said = capsys.readouterr().out
    assert "plan: start@0 0/write:4=crash-after" in said
    assert "op0-1" in said
    assert "op0-2" in said
    assert "TrainingJob llm Running attempt=1" in said
    assert said.splitlines()[-1].startswith("all is well after")


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SETTLE_SECONDS", 0.0)
    outcome = trial.run(Plan.parse("start@0 0/write:4=lost"), choose=lambda _plan, _seat: Deaf())
    assert any(line.startswith("WRONG: llm") for line in words.tell(outcome))


class Deaf:
    """Nothing of what an operator writes arrives."""

    def request(self, channel: str, number: int, request: object) -> systematic.Fault | None:
        return systematic.Fault(0, channel, number, "lost") if channel == "write" else None

    def event(self, channel: str, number: int, line: bytes) -> None:
        return None


@pytest.mark.parametrize("given", [["replay", "nonsense"], ["replay", "other@0"], ["systematic", "other"]])
def test_a_wrong_command_is_told(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(given) == 2
    assert "muster.sim: " in capsys.readouterr().err
