"""`python -m tests.core.placement.run_changes`: what is said to start a waiting gang, in hundreds of random states.

Prints how many states waited, on how many of them every smaller set of nodes was tried, how many had several roles, and
the seed of every difference; ends with 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from multiprocessing import get_context

from tests.core.placement import changes

from muster.core.placement import Solver

NOT_WAITING = {"placed", "invalid"}
JOINT = 1000
"""Seeds of states with several roles, of which a fifth waits."""
KEPT = Solver()


def judge(seed: int) -> tuple[int, str, str]:
    """(seed, what kind of state it was, the difference if any)."""
    try:
        return seed, changes.check(changes.case(seed), KEPT), ""
    except Exception:
        return seed, "different", traceback.format_exc()


def judge_joint(seed: int) -> tuple[int, str, str]:
    """The same for several roles."""
    try:
        return seed, changes.check_joint(seed, KEPT), ""
    except Exception:
        return seed, "different", traceback.format_exc()


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="run_changes", description="the smallest change that starts a waiting gang")
    parser.add_argument("--states", type=int, default=1000, help="waiting states")
    parser.add_argument("--first", type=int, default=2_000_000, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    chosen = parser.parse_args()
    kinds: Counter[str] = Counter()
    different: list[int] = []
    waiting, start = 0, time.monotonic()
    with get_context("spawn").Pool(chosen.jobs) as pool:
        seeds = range(chosen.first, chosen.first + 4 * chosen.states)
        for seed, kind, problem in pool.imap_unordered(judge, seeds, chunksize=8):
            kinds[kind] += 1
            waiting += kind not in NOT_WAITING
            if problem:
                different.append(seed)
                print(f"seed {seed}: {problem}", flush=True)
            if waiting == chosen.states:
                break
        several: Counter[str] = Counter()
        for seed, kind, problem in pool.imap_unordered(judge_joint, range(JOINT), chunksize=8):
            several[kind] += 1
            if problem:
                different.append(seed)
                print(f"several roles, seed {seed}: {problem}", flush=True)
    told = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common())
    print(f"seeds from {chosen.first}: {waiting} waiting states in {time.monotonic() - start:.0f} s ({told})")
    print(f"every smaller set of nodes tried on {kinds['whole']} of them")
    told = ", ".join(f"{kind} {n}" for kind, n in several.most_common())
    print(f"several roles: {several['several']} waiting states whose change was applied ({told})")
    print(f"{len(different)} differences" + (f", seeds {different}" if different else ""))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
