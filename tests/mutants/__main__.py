"""`python -m tests.mutants`: every mutant against the lanes until one finds it; prints the table. Ends with 1 if fewer
than 95 % are found."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.listed import LANES, MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 900
"""Seconds after which a lane that does not end has found the mutant: it hangs."""
ENOUGH = 0.95


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a mutant; `lane` empty: nothing found it."""

    mutant: Mutant
    lane: str
    by: str
    seconds: float


def main() -> int:
    """The entry point; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", metavar="WORDS", help="only mutants whose description holds this")
    parser.add_argument("--share", type=int, default=150, metavar="N", help="every Nth plan of the systematic lane")
    parser.add_argument("--lanes", nargs="*", default=list(LANES), choices=LANES, help="which; without: all")
    parser.add_argument("--workers", type=int, default=2, help="processors to use")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.breaks]
    with ThreadPoolExecutor(options.workers) as pool:
        results = []
        for result in pool.map(lambda mutant: against(mutant, options.lanes, options.share), chosen):
            results.append(result)
            print(row(result), flush=True)
    caught = sum(bool(result.lane) for result in results)
    print(f"\n{caught} of {len(results)} found")
    for lane in ("hint", *options.lanes):
        print(f"  {lane}: {sum(result.lane == lane for result in results)}")
    return 0 if caught >= ENOUGH * len(results) else 1


def row(result: Result) -> str:
    """A line of the table."""
    where = f"{result.mutant.breaks} ({result.mutant.file})"
    return f"| {where} | {result.lane or 'NOT FOUND'} | {result.by:.150} | {result.seconds:.0f} s |"


def against(mutant: Mutant, lanes: list[str], share: int) -> Result:
    """Run the lanes against one mutant, on a copy of the package."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "muster")
        shutil.copytree(ROOT / "operator" / "muster", package, ignore=shutil.ignore_patterns("__pycache__"))
        apply(mutant, package)
        if mutant.hint:
            by = _run("hints", folder, share, mutant, *mutant.hint)
            if by:
                return Result(mutant, "hint", by, time.perf_counter() - begun)
        for lane in lanes:
            by = _run(lane, folder, share, mutant)
            if by:
                return Result(mutant, lane, by, time.perf_counter() - begun)
    return Result(mutant, "", "", time.perf_counter() - begun)


def apply(mutant: Mutant, package: Path) -> None:
    """Put the defect into a copy of the package. Raises ValueError if the list is out of date."""
    file = package / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.breaks}: its text stands {text.count(mutant.old)} times in {mutant.file}, not once")
    file.write_text(text.replace(mutant.old, mutant.new))


def _run(lane: str, folder: str, share: int, mutant: Mutant, *hints: str) -> str:
    room = mutant.file.partition("/")[0]
    command = [sys.executable, "-m", "tests.mutants.lanes", lane, str(share), room, *hints]
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{lane} does not end within {PATIENCE} s"
    if done.returncode == 0:
        return ""
    said = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    return said[-1].removeprefix("FOUND ") if said else f"{lane} cannot be run: {done.stderr[-200:]!r}"


if __name__ == "__main__":
    sys.exit(main())
