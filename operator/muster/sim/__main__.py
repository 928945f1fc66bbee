"""`python -m muster.sim`: replay a plan or a storm in words, or carry out many. Ends with 1 if anything is wrong."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from muster.sim import many, storms, strikes, systematic, words
from muster.sim.plan import Unreadable
from muster.sim.runs import RUNS
from muster.sim.storms import Storm


def main(given: Sequence[str] | None = None) -> int:
    """The entry point; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m muster.sim", description=(__doc__ or "").partition("\n")[0])
    told = parser.add_subparsers(dest="command", required=True)
    replay = told.add_parser("replay", help="carry out one plan, or one storm, and print its history in words")
    replay.add_argument("plan", nargs="+", help="as in: start@0 0/write:7=crash-after, or: storm@17 -3 (no strike 3)")
    replay.add_argument("--everything", action="store_true", help="leases, events and the like, too")
    replay.add_argument("--smaller", action="store_true", help="of a storm: leave out every strike that is not needed")
    every = told.add_parser("systematic", help="one plan for each thing that can go wrong at each point of a run")
    every.add_argument("run", nargs="*", help=f"which; without: all of {', '.join(RUNS)}")
    every.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    every.add_argument("--pairs", type=int, default=0, metavar="N", help="N plans of two faults of each run, too")
    every.add_argument("--share", type=int, default=1, metavar="N", help="only every Nth plan, from the SEEDth on")
    every.add_argument(
        "--only", default="", metavar="REGEX", help="only plans in which this is found, as in write.*late"
    )
    stormy = told.add_parser("storms", help="many kinds of fault at once, drawn from a seed")
    stormy.add_argument("--first", type=int, default=0, metavar="SEED", help="seed of the first storm")
    stormy.add_argument("--many", type=int, default=2000, metavar="N", help="how many storms")
    stormy.add_argument("--kinds", action="store_true", help="print what a storm knows, and end")
    for each in (every, stormy):
        each.add_argument("--workers", type=int, default=2, help="processors to use")
    options = parser.parse_args(given)
    work = {"replay": _replay, "systematic": _systematic, "storms": _storms}
    try:
        return work[options.command](options)
    except (Unreadable, re.error) as error:
        print(f"muster.sim: {error}", file=sys.stderr)
        return 2


def _replay(options: argparse.Namespace) -> int:
    text = " ".join(options.plan)
    if options.smaller:
        text = str(storms.smaller(Storm.parse(text)))
        print(f"smaller: {text}")
    outcome = many.outcome_of(text)
    for line in words.tell(outcome, everything=options.everything):
        print(line)
    return 0 if outcome.well else 1


def _systematic(options: argparse.Namespace) -> int:
    failed = tried = 0
    for run in options.run or RUNS:
        if run not in RUNS:
            raise Unreadable(f"there is no run {run!r}: {', '.join(RUNS)} are known")
        plans = systematic.singles(run, options.seed)[options.seed % options.share :: options.share]
        plans += systematic.pairs(run, options.pairs, options.seed) if options.pairs else []
        plans = [plan for plan in plans if re.search(options.only, str(plan))]
        report = many.all_of(plans, options.workers, _Shown(f"{run}@{options.seed}", len(plans)))
        print(f"{run}@{options.seed}: {report.head}", flush=True)
        failed += len(report.failed)
        tried += report.tried
    print(f"{tried} systematic plans, {failed} failed", flush=True)
    return _end(failed)


def _storms(options: argparse.Namespace) -> int:
    if options.kinds:
        for name, said in strikes.SAID.items():
            print(f"| {name} | {said} |")
        return 0
    seeds = range(options.first, options.first + options.many)
    report = many.all_of([Storm(seed) for seed in seeds], options.workers, _Shown("storms", len(seeds)), what="storms")
    print(f"storms of the seeds {seeds.start} to {seeds.stop - 1}: {report.head}", flush=True)
    return _end(len(report.failed))


class _Shown:
    """Tells of each failure as it is found, and on a terminal how far it has got."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0

    def __call__(self, verdict: many.Verdict) -> None:
        self._done += 1
        live = sys.stderr.isatty()
        if verdict.wrong:
            print(f"{self._wipe(live)}{verdict}", flush=True)
        if live:
            over = self._done == self._total
            print(
                self._wipe(live) if over else f"\r{self._what}: {self._done} of {self._total}", end="", file=sys.stderr
            )

    @staticmethod
    def _wipe(live: bool) -> str:
        return "\r\x1b[K" if live else ""


def _end(failed: int) -> int:
    if failed:
        print("replay one with: python -m muster.sim replay PLAN")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
