"""The lanes, against one mutant, in a process of its own: `python -m tests.mutants.lanes SHARE FILE LANES [PLAN...]`.

Prints what found it and ends with 1, or ends with 0. A lane that cannot even be run has found it too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.sim import many, systematic
from muster.sim.plan import Plan
from muster.sim.runs import RUNS
from muster.sim.storms import Storm


def lines(lane: str, share: int) -> Iterator[str]:
    """The plans and storms of a lane, a fast share of them."""
    match lane:
        case "stories":
            yield from (str(Plan(run)) for run in RUNS)
        case "systematic":
            for offset, run in enumerate(RUNS):
                plans = systematic.singles(run)
                yield from (str(plan) for plan in plans[offset % share :: share])
        case "storms":
            yield from (str(Storm(seed)) for seed in range(max(1, 6000 // share)))
        case _:
            raise ValueError(f"{lane} has no plans")


def found(lane: str, share: int, file: str) -> str:
    """What of this lane finds the mutant; empty: nothing."""
    if lane == "scenarios":
        return _pytest(["tests/scenarios", "-k", "core"])
    if lane == "units":
        room, _, name = file.rpartition("/")
        room = room or name.removesuffix(".py")
        own = sorted(map(str, Path("tests", room).glob(f"test_{name.removesuffix('.py')}*.py")))
        return _pytest(own or sorted(map(str, Path("tests", room).glob("test_*.py"))))
    for line in lines(lane, share):
        wrong = many.judge(line).wrong
        if wrong:
            return f"{line}: {wrong[0]}"
    return ""


def _pytest(paths: list[str]) -> str:
    failed: list[str] = []

    class Listener:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

    if not paths:
        return ""
    pytest.main([*paths, "-x", "-q", "-p", "no:cacheprovider", "--no-header"], plugins=[Listener()])
    return failed[0] if failed else ""


def main(share: int, file: str, lanes: list[str], hints: list[str]) -> int:
    """Try the hints, then the lanes, until one finds something."""
    for hint in hints:
        wrong = many.judge(hint).wrong
        if wrong:
            print(f"\nFOUND hint: {hint}: {wrong[0]}")
            return 1
    for lane in lanes:
        print(f"\nLANE {lane}", flush=True)
        said = found(lane, share, file)
        if said:
            print(f"\nFOUND {lane}: {said}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3].split(","), sys.argv[4:]))
