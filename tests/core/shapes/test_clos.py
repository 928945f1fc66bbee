"""A real Clos fabric: 847 hosts of 8 GPUs below 119 access switches of 1 to 8 hosts, whose names repeat between pods.

The least cost, and the least that can be left over at that cost, are worked out here by other means than the solver's:
every set of pods is tried; within one, the fewest access switches are the largest ones, and what sums so many of them
can have follows switch by switch.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, combinations
from pathlib import Path

import pytest
from tests.core.shapes.wire import GPU, Cluster, Wire, level, node, numbers, pod, role, topology

FABRIC = Path(__file__).with_name("clos.csv")
LEVELS = (
    level("core", "example.com/dsw", weight=2),
    level("pod", "example.com/psw", weight=2),
    level("access", "example.com/asw", weight=1),
)
Switch = tuple[str, str]
"""Pod and access switch."""
EIGHT = {GPU: "8"}


def fabric() -> dict[Switch, int]:
    """Hosts by switch."""
    lines = [line for line in FABRIC.read_text().splitlines() if not line.startswith("#")]
    return {(row["PSW"], row["ASW"]): int(row["hosts"]) for row in csv.DictReader(lines)}


def hosts() -> Iterator[Wire]:
    """The nodes, named after nothing: the labels alone say where they are."""
    number = 0
    for (psw, asw), count in fabric().items():
        for _ in range(count):
            labels = {"example.com/dsw": "G6", "example.com/psw": psw, "example.com/asw": asw}
            yield node(f"host-{number * 7919 % 847:03}", labels, gpus=8, arch="amd64")
            number += 1


@pytest.fixture(scope="module")
def clos() -> Cluster:
    """The empty fabric."""
    return Cluster(topology("Custom", *LEVELS), hosts())


def pieces(free: Mapping[Switch, int], size: int) -> dict[str, list[int]]:
    """By pod, how many segments (of so many hosts) each switch has room for, most first."""
    found: dict[str, list[int]] = {}
    for (psw, _), hosts_free in free.items():
        if hosts_free >= size:
            found.setdefault(psw, []).append(hosts_free // size)
    return {psw: sorted(counts, reverse=True) for psw, counts in found.items()}


def least_cost(free: Mapping[Switch, int], segments: int, size: int) -> tuple[int, int, int] | None:
    """(cost, pods, access switches) of the cheapest placement of equal whole segments; None: there is none."""
    room = pieces(free, size)
    best: tuple[int, int, int] | None = None
    for many in range(1, len(room) + 1):
        for chosen in combinations(room, many):
            counts = sorted((n for psw in chosen for n in room[psw]), reverse=True)
            left, used = segments, 0
            while left > 0 and used < len(counts):
                left -= counts[used]
                used += 1
            if left <= 0:
                # Every chosen pod is used at least once: else a smaller set is cheaper, and is tried as well.
                cost = 2 + 2 * many + max(used, many)
                best = min(best or (cost, many, used), (cost, many, max(used, many)))
    return best


def least_leftover(free: Mapping[Switch, int], wanted: int, pods: int, switches: int) -> int:
    """The fewest hosts left over on so many switches in so many pods that hold a gang without segments."""
    inside: dict[str, list[int]] = {}
    for (psw, _), count in free.items():
        if count:
            inside.setdefault(psw, []).append(count)
    sums: set[int] = set()
    for chosen in combinations(inside, pods):
        reach: list[set[int]] = [{0}, *(set() for _ in range(switches))]
        for count in (n for psw in chosen for n in inside[psw]):
            for k in range(switches, 0, -1):
                reach[k] |= {total + count for total in reach[k - 1]}
        sums |= reach[switches]
    return min(total for total in sums if total >= wanted) - wanted


def by_pod() -> list[int]:
    """Hosts of each pod."""
    return [sum(n for (psw, _), n in fabric().items() if psw == name) for name in {psw for psw, _ in fabric()}]


def fewest(sizes: Iterable[int], wanted: int) -> int:
    """The fewest domains that hold so many."""
    return next(i for i, total in enumerate(accumulate(sorted(sizes, reverse=True)), 1) if total >= wanted)


def test_access_switches_of_one_name_in_two_pods_are_two(clos: Cluster) -> None:
    assert clos.survey() == {"core": (1, 847, 0), "pod": (3, 847, 0), "access": (119, 847, 0)}
    assert len({asw for _, asw in fabric()}) == 48


@pytest.mark.parametrize("wanted", [1, 5, 8, 9, 40, 100, 179, 250, 362, 363, 600, 847])
def test_a_gang_costs_the_least_and_leaves_the_least(clos: Cluster, wanted: int) -> None:
    found = clos.placed(role(wanted, EIGHT))
    expected = least_cost(fabric(), wanted, 1)
    assert expected is not None
    cost, pods, switches = expected
    assert found.proven
    assert found.objective.cost == cost
    assert dict(found.domains) == {"core": 1, "pod": pods, "access": switches}
    # The least is of each level by itself: more pods may need fewer access switches.
    least = {"core": 1, "pod": fewest(by_pod(), wanted), "access": fewest(fabric().values(), wanted)}
    assert dict(found.least) == least
    assert found.objective.leftover == least_leftover(fabric(), wanted, pods, switches)
    assert len(set(found.nodes[0])) == wanted


@pytest.mark.parametrize(("segments", "size"), [(1, 8), (20, 4), (35, 8), (68, 8), (60, 3), (112, 4), (150, 5)])
def test_segments_on_the_fabric(clos: Cluster, segments: int, size: int) -> None:
    answer = clos.ask(role(segments * size, EIGHT, segments=[("access", size)]))
    expected = least_cost(fabric(), segments, size)
    if expected is None:
        most = sum(count // size for count in fabric().values())
        rest = max((count % size for count in fabric().values()), default=0)
        assert numbers(answer, "constraint", "largest") == {  # type: ignore[arg-type]
            "reason": "Unsatisfiable",
            "constraint": "segments",
            "largest": most * size + rest,
        }
        return
    found = clos.placed(role(segments * size, EIGHT, segments=[("access", size)]))
    assert (found.proven, found.objective.cost) == (True, expected[0])
    assert dict(found.domains) == {"core": 1, "pod": expected[1], "access": expected[2]}
    where = [(a, b) for a, b in zip(clos.domains_of(found, "pod"), clos.domains_of(found, "access"), strict=True)]
    for first in range(0, len(where), size):
        assert len(set(where[first : first + size])) == 1


def test_what_one_pod_cannot_hold(clos: Cluster) -> None:
    assert dict(clos.placed(role(362, EIGHT, required="pod")).domains)["pod"] == 1
    over = clos.refused(role(363, EIGHT, required="pod"))
    assert numbers(over, "constraint", "level", "largest") == {
        "reason": "Unsatisfiable",
        "constraint": "required",
        "level": "pod",
        "largest": 362,
    }
    assert clos.refused(role(9, EIGHT, required="access")).number("largest") == 8


def test_ranks_follow_the_fabric(clos: Cluster) -> None:
    """Consecutive in every pod and every switch, those with most of the gang first."""
    found = clos.placed(role(400, EIGHT))
    for depth, names in (("pod", clos.domains_of(found, "pod")), ("access", _paths(clos, found.nodes[0]))):
        runs: list[tuple[str, int]] = []
        for name in names:
            if runs and runs[-1][0] == name:
                runs[-1] = (name, runs[-1][1] + 1)
            else:
                runs.append((name, 1))
        assert len({name for name, _ in runs}) == len(runs), depth
        if depth == "pod":
            assert [n for _, n in runs] == sorted((n for _, n in runs), reverse=True)


def _paths(clos: Cluster, nodes: Sequence[str]) -> list[str]:
    return ["/".join(clos.world.domains_of(name).values()) for name in nodes]


@pytest.mark.parametrize("seed", range(6))
def test_gangs_on_a_fabric_in_use_cost_the_least(seed: int) -> None:
    rng = random.Random(seed)
    here = Cluster(topology("Custom", *LEVELS), hosts())
    free = dict(fabric())
    for name, record in here.world.nodes.items():
        if rng.random() < 0.45:
            here.put(pod(f"on-{name}", name, EIGHT))
            free[record.labels["example.com/psw"], record.labels["example.com/asw"]] -= 1
    for wanted, size in ((37, 1), (130, 1), (240, 1), (60, 2), (48, 3), (40, 4)):
        gang = role(wanted, EIGHT, segments=[("access", size)] if size > 1 else [])
        expected = least_cost(free, wanted // size, size)
        if expected is None:
            assert here.refused(gang).reason.value == "Fragmented"
            continue
        found = here.placed(gang)
        assert (found.proven, found.objective.cost) == (True, expected[0]), (wanted, size)
