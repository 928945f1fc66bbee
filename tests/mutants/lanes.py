"""The lanes, as they are run against one mutant: `python -m tests.mutants.lanes LANE SHARE [PLAN...]` in its process.

Prints what found it and ends with 1, or ends with 0. A lane that cannot even be run has found it too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from muster.sim import many, systematic
from muster.sim.plan import Plan
from muster.sim.runs import RUNS
from muster.sim.storms import Storm

UNITS = {
    "core": ("tests/core", "tests/laws"),
    "worker": ("tests/worker",),
    "kube": ("tests/kube",),
    "feeds": ("tests/feeds",),
}


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


def found(lane: str, share: int, room: str) -> str:
    """What of this lane finds the mutant; empty: nothing."""
    if lane == "scenarios":
        return _pytest(["tests/scenarios", "-k", "core"])
    if lane == "units":
        return _pytest(list(UNITS.get(room, ())))
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

    pytest.main([*paths, "-x", "-q", "-p", "no:cacheprovider", "--no-header"], plugins=[Listener()])
    return failed[0] if failed else ""


if __name__ == "__main__":
    lane, share, room, *hints = sys.argv[1:]
    said = ""
    if lane == "hints":
        for hint in hints:
            wrong = many.judge(hint).wrong
            said = said or (f"{hint}: {wrong[0]}" if wrong else "")
    else:
        said = found(lane, int(share), room)
    if said:
        print(f"\nFOUND {said}")
    sys.exit(1 if said else 0)
