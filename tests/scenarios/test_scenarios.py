"""Every scenario file in every lane that it names and that is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenarios.runner import CoreLane, Scenario, load
from tests.scenarios.simlane import SimLane

LANE = {"core": CoreLane, "sim": SimLane}
FILES = sorted(Path(__file__).parent.glob("*.yaml"))
RUNS = [(lane, scenario) for scenario in map(load, FILES) for lane in scenario.runs if lane in LANE]


@pytest.mark.parametrize(("lane", "scenario"), RUNS, ids=[f"{lane}-{scenario.name}" for lane, scenario in RUNS])
def test_scenario(lane: str, scenario: Scenario) -> None:
    LANE[lane](scenario).run()
