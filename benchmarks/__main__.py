"""`python -m benchmarks`: run them all, or one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks import many_gangs, one_gang
from benchmarks.report import say

ALL: dict[str, Callable[[bool, Path | None], None]] = {"one-gang": one_gang.run, "many-gangs": many_gangs.run}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="print figures and ratios")
    parser.add_argument("--only", choices=ALL, help="just this one")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument(
        "--profile", type=Path, metavar="DIR", help="run the operator under cProfile (slower) and keep its logs there"
    )
    chosen = parser.parse_args()
    if chosen.profile is not None:
        chosen.profile = chosen.profile.resolve()
        chosen.profile.mkdir(parents=True, exist_ok=True)
    for name, run in ALL.items():
        if chosen.only in (None, name):
            say(f"--- {name}")
            run(chosen.quick, chosen.profile)


if __name__ == "__main__":
    main()
