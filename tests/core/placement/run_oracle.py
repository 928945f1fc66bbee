"""`python -m tests.core.placement.run_oracle`: thousands of random states put to the solver and to CP-SAT.

Every third state has several roles. Verdicts, vectors, bounds and every rule on ranks are compared. Prints how many
were compared, what came of them and the seed of every difference; ends with 1 if there is one. States
on which CP-SAT does not finish a proof are told and do not count. Writes nothing, so several may run at once, each with
a `--first` of its own.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context

from tests.core.placement import joint, oracle, repair_oracle, test_joint
from tests.core.placement.test_oracle import compare
from tests.core.placement.test_repair import compare as compare_repair

from muster.core.model import Found, Verdict
from muster.core.placement import Solver

LEAST, MOST = 16, 400
MOST_SEVERAL = 120
"""Nodes of the largest state with several roles, of which CP-SAT needs more time."""
EFFORT = 0.25
"""See oracle.EFFORT."""
UNPROVEN = "unproven"


def several(seed: int) -> bool:
    """Every third state has several roles."""
    return seed % 3 == 0


def nodes_of(seed: int) -> int:
    """How many nodes the state of a seed has: more small ones than large."""
    most = MOST_SEVERAL if several(seed) else MOST
    return round(LEAST * (most / LEAST) ** (random.Random(seed).random() ** 2))


def judge(seed: int) -> tuple[int, int, str, str]:
    """(seed, nodes, what came of it, the difference if any)."""
    oracle.EFFORT = joint.EFFORT = EFFORT
    nodes = nodes_of(seed)
    try:
        if several(seed):
            if seed % 9 == 0:
                return seed, nodes, f"several roles, not by exact search: {test_joint.compare_beside(seed, nodes)}", ""
            return seed, nodes, f"several roles: {test_joint.compare(seed, nodes)}", ""
        state = oracle.random_state(seed, nodes)
        answer = Solver().place(state.inventory(), state.shape())
        compare(seed, nodes)
    except oracle.UnprovenError:
        return seed, nodes, UNPROVEN, ""
    except Exception:
        return seed, nodes, "different", traceback.format_exc()
    return seed, nodes, "placed" if isinstance(answer, Found) else answer.reason.value, ""


def judge_repair(seed: int) -> tuple[int, int, str, str]:
    """The same of a repair."""
    repair_oracle.EFFORT = EFFORT
    nodes = len(repair_oracle.random_broken(seed).spots)
    try:
        answer = compare_repair(seed)
    except oracle.UnprovenError:
        return seed, nodes, UNPROVEN, ""
    except Exception:
        return seed, nodes, "different", traceback.format_exc()
    if isinstance(answer, Verdict):
        return seed, nodes, answer.reason.value, ""
    return seed, nodes, answer.how if answer.proven else f"{answer.how} (not proven)", ""


def judged(seeds: range, jobs: int, repairs: bool) -> Iterator[tuple[int, int, str, str]]:
    """One after the other, or in processes."""
    each = judge_repair if repairs else judge
    if jobs == 1:
        yield from map(each, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(each, seeds, chunksize=16)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="run_oracle", description="the solver against CP-SAT")
    parser.add_argument("--states", type=int, default=5000)
    parser.add_argument("--first", type=int, default=1_000_000, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--repairs", action="store_true", help="repairs instead of placements")
    chosen = parser.parse_args()
    seeds = range(chosen.first, chosen.first + 2 * chosen.states)
    kinds: Counter[str] = Counter()
    sizes: list[int] = []
    different: list[int] = []
    start = time.monotonic()
    for seed, nodes, kind, problem in judged(seeds, chosen.jobs, chosen.repairs):
        kinds[kind] += 1
        if kind == UNPROVEN:
            continue
        sizes.append(nodes)
        if problem:
            different.append(seed)
            print(f"seed {seed}, {nodes} nodes: {problem}", flush=True)
        if len(sizes) % 500 == 0:
            print(f"{len(sizes)} states, {len(different)} differences, {time.monotonic() - start:.0f} s", flush=True)
        if len(sizes) == chosen.states:
            break
    told = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common())
    print(f"seeds from {seeds.start}: {len(sizes)} states of {min(sizes)} to {max(sizes)} nodes ({told})")
    print(f"{len(different)} differences" + (f", seeds {different}" if different else ""))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
