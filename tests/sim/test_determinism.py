"""The same seed gives the same history, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from muster.sim import trial
from muster.sim.deeds import Deeds, gang
from muster.sim.plan import Plan
from muster.sim.world import Site, World

ROOT = Path(__file__).resolve().parents[2]
PLANS = (
    "start@0",
    "contest@5",
    "leaders@3 0/write:6=crash-after",
    "leaders@3 0/write:7=freeze-late:25 1/pods:3=cut-before",
    "contest@1 0/write:4=late:2 0/pods:9=expire",
)
PRINT = """
import hashlib, sys
from muster.sim import trial
from muster.sim.plan import Plan
for text in sys.argv[1:]:
    print(hashlib.sha256(trial.run(Plan.parse(text)).record.dump()).hexdigest())
"""


def hashes(hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run(
        [sys.executable, "-c", PRINT, *PLANS], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout.split()


@pytest.mark.parametrize("text", PLANS)
def test_a_plan_gives_the_same_history_twice(text: str) -> None:
    first, second = (trial.run(Plan.parse(text)) for _ in range(2))
    assert first.record.dump() == second.record.dump()
    assert first.log == second.log
    assert first.injected == tuple(text.split()[1:])


def test_the_seed_of_hashes_changes_nothing() -> None:
    first = hashes("1")
    assert len(first) == len(PLANS)
    assert first == hashes("98765")


def test_another_seed_gives_another_history() -> None:
    assert trial.run(Plan("start", 0)).record.dump() != trial.run(Plan("start", 1)).record.dump()


def test_an_hour_of_a_cluster_and_what_it_costs() -> None:
    """Prints; how fast this machine is proves nothing."""
    begun = time.perf_counter()
    with World(Site(operators=2), seed=7) as world:
        deeds = Deeds(world)
        world.start()
        for number in range(60):
            name = f"job-{number}"
            deeds.apply(gang(name, 1 + number % 5, backoff={"baseSeconds": 1, "maxSeconds": 5}))
            world.run(50.0)
            if number % 3 == 0:
                world.seats[number % 2].crash()
            deeds.delete_job(name)
            world.run(10.0)
        assert deeds.pods() == []
        assert deeds.jobs() == []
        assert world.journal.defects == []
        seconds = time.perf_counter() - begun
        print(
            f"\n{world.now:.0f} simulated seconds, {len(world.record.written)} writes, in {seconds:.1f} s: "
            f"{world.now / seconds:.0f} simulated seconds a second"
        )
