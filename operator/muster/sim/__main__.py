"""`python -m muster.sim`: replay a plan in words, or carry out all plans of a run. Ends with 1 if anything is wrong."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from muster.sim import systematic, trial, words
from muster.sim.plan import Plan, Unreadable
from muster.sim.runs import RUNS


def main(given: Sequence[str] | None = None) -> int:
    """The entry point; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m muster.sim", description=(__doc__ or "").partition("\n")[0])
    told = parser.add_subparsers(dest="command", required=True)
    replay = told.add_parser("replay", help="carry out one plan and print its history in words")
    replay.add_argument("plan", nargs="+", help="as in: start@0 0/write:7=crash-after")
    replay.add_argument("--everything", action="store_true", help="leases, events and the like, too")
    every = told.add_parser("systematic", help="one plan for each thing that can go wrong at each point of a run")
    every.add_argument("run", nargs="*", help=f"which; without: all of {', '.join(RUNS)}")
    every.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    every.add_argument("--pairs", type=int, default=0, metavar="N", help="N plans of two faults, too")
    every.add_argument("--share", type=int, default=1, metavar="N", help="only every Nth plan of one fault")
    every.add_argument(
        "--only", default="", metavar="REGEX", help="only plans in which this is found, as in write.*late"
    )
    every.add_argument("--workers", type=int, default=2, help="processors to use")
    options = parser.parse_args(given)
    try:
        return _replay(options) if options.command == "replay" else _systematic(options)
    except (Unreadable, re.error) as error:
        print(f"muster.sim: {error}", file=sys.stderr)
        return 2


def _replay(options: argparse.Namespace) -> int:
    outcome = trial.run(Plan.parse(" ".join(options.plan)))
    for line in words.tell(outcome, everything=options.everything):
        print(line)
    return 0 if outcome.well else 1


def _systematic(options: argparse.Namespace) -> int:
    failed = 0
    for run in options.run or RUNS:
        if run not in RUNS:
            raise Unreadable(f"there is no run {run!r}: {', '.join(RUNS)} are known")
        plans = systematic.singles(run, options.seed)[:: options.share]
        plans += systematic.pairs(run, options.pairs, options.seed) if options.pairs else []
        plans = [plan for plan in plans if re.search(options.only, str(plan))]
        report = systematic.all_of(plans, options.workers)
        print(f"{run}@{options.seed}: {report}", flush=True)
        failed += len(report.failed)
    if failed:
        print("replay one with: python -m muster.sim replay PLAN")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
