"""Gangs whose nodes go away: repaired in the rack, in another rack, several at once; and back to the queue, with the
right reason, where there is no spare."""

from __future__ import annotations

import time
from statistics import mean
from typing import Any

import pytest

from e2e import nodes
from e2e.client import Object, wait_for
from e2e.gangs import cliques, lead, living, lose, moved, phases, ranks, reaches, sound, timed, waits
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks
from e2e.watcher import Watcher

SIZE, SEGMENT = 256, 16
RATIO = 2.0
"""From a node's deletion to all running takes at most so many times a plain start of the same gang in the same run."""
pytestmark = pytest.mark.usefixtures("kubelet")


def gang(name: str, size: int, segment: int, **spec: Any) -> Object:
    return job(name, [role("worker", size, segment=("nvlink", segment))], **spec)


@pytest.mark.alone
def test_of_256_ranks_only_those_move_whose_nodes_are_gone(
    cluster: Cluster, watcher: Watcher, operator: Operators
) -> None:
    """One node, then three in three racks at once, then a whole rack."""
    racks = Racks(racks=17, nodes=18)
    cluster.add_nodes(racks)
    domain = cliques(cluster)
    process = lead(operator)
    starts = [
        timed(lambda: cluster.submit(gang("first", SIZE, SEGMENT)), lambda: reaches(cluster, "first", 1, timeout=90))
    ]
    cluster.delete_job("first")
    wait_for(lambda: not cluster.pods("first"), 90, "the pods of the first start are gone")
    starts += [
        timed(lambda: cluster.submit(gang("llm", SIZE, SEGMENT)), lambda: reaches(cluster, "llm", 1, timeout=90))
    ]

    repairs = []
    for attempt, rank in ((2, 37), (3, 200)):
        before = ranks(cluster, "llm", SIZE)
        lost = before[rank]
        repairs += [timed(lambda n=lost: lose(cluster, n), lambda a=attempt: reaches(cluster, "llm", a, timeout=120))]  # type: ignore[misc]
        change = moved(before, ranks(cluster, "llm", SIZE))
        assert change.keys() == {rank}, "255 ranks keep their nodes"
        assert domain[change[rank][1]] == domain[lost], "the replacement lies in the same NVLink domain"
        nodes.create(cluster.client, racks, [lost])

    before = ranks(cluster, "llm", SIZE)
    process.freeze()  # it is told of the three at once, however busy the machine is
    lose(cluster, before[3], before[100], before[255])
    process.thaw()
    reaches(cluster, "llm", 4, timeout=120)
    change = moved(before, ranks(cluster, "llm", SIZE))
    assert change.keys() == {3, 100, 255}, "three nodes in three racks: one repair"
    assert all(domain[new] == domain[old] for old, new in change.values())
    nodes.create(cluster.client, racks, [old for old, _ in change.values()])

    before = ranks(cluster, "llm", SIZE)
    rack = [name for name, clique in domain.items() if clique == domain[before[64]]]
    assert len(rack) == 18
    lose(cluster, *rack)
    wait_for(
        lambda: (
            cluster.phase("llm") == "Running"
            and not {p["spec"].get("nodeName") for p in living(cluster, "llm")} & {*rack}
        ),
        120,
        "it runs without the lost rack",
        seen=lambda: cluster.job("llm")["status"],
        pause=0.5,
    )
    after = ranks(cluster, "llm", SIZE)
    assert moved(before, after).keys() == {*range(64, 80)}, "one segment moves, 240 ranks stay"
    assert len({domain[node] for node in after[64:80]}) == 1

    status = cluster.job("llm")["status"]
    assert status.get("restarts", 0) == 0
    assert status["disruptions"] == status["attempt"] - 1
    ratio = mean(repairs) / mean(starts)
    shown = [", ".join(f"{seconds:.1f}" for seconds in many) for many in (starts, repairs)]
    print(f"FIGURE repair of one node of {SIZE}: starts {shown[0]} s, repairs {shown[1]} s, ratio {ratio:.2f}")
    print(f"FIGURE repairs it took for the lost rack: {status['attempt'] - 4}")
    assert ratio <= RATIO
    sound(process)
    watcher.quiet()


THIRD = Racks(3, 4)
NO_SPARE: dict[str, tuple[list[Racks], int, str]] = {
    "all others are taken": ([THIRD], 4, "InsufficientCapacity"),
    "another has one of the third rack": ([THIRD], 1, "Fragmented"),
    "there are no others": ([Racks(2, 4)], 0, "Unsatisfiable"),
    "the third rack is too small": ([Racks(2, 4), Racks(1, 3, prefix="s")], 0, "Unsatisfiable"),
}
"""A gang of 8 in segments of 4 loses a node. The nodes, the size of another job, and why there is no repair: for the
same reason the gang waits."""


@pytest.mark.parametrize("what", NO_SPARE)
def test_without_a_spare_it_waits_with_the_right_reason_and_starts_by_itself(
    cluster: Cluster, watcher: Watcher, operator: Operators, what: str
) -> None:
    sets, other, reason = NO_SPARE[what]
    for racks in sets:
        cluster.add_nodes(racks)
    process = lead(operator)
    cluster.submit(gang("llm", 8, 4))
    reaches(cluster, "llm", 1)
    if other:
        cluster.submit(gang("other", other, other))
        reaches(cluster, "other", 1)
    before = ranks(cluster, "llm", 8)
    lose(cluster, before[5])
    waiting = waits(cluster, "llm", reason)
    print(f"{what}: {reason}: {waiting['message']}")
    status = cluster.job("llm")["status"]
    assert (status.get("live", False), status["disruptions"], status.get("restarts", 0)) == (False, 1, 0)
    assert not living(cluster, "llm")
    assert f"no repair: {reason}" in status["lastFailure"]["message"]
    watcher.quiet()
    nodes.create(cluster.client, sets[0], [before[5]])
    reaches(cluster, "llm", 2)
    assert {*ranks(cluster, "llm", 8)} == {*before}
    assert phases(watcher, "llm")[1:] == [
        *("Placed 1", "Starting 1", "Running 1", "Stopping 1", "Pending 1"),
        *("Placed 2", "Starting 2", "Running 2"),
    ]
    sound(process)
    watcher.quiet()


def test_its_healthy_nodes_are_kept_while_it_waits_for_a_replacement(
    cluster: Cluster, watcher: Watcher, operator: Operators
) -> None:
    racks = Racks(1, 4)
    cluster.add_nodes(racks)
    process = lead(operator)
    cluster.submit(gang("llm", 4, 4, failurePolicy={"waitForRepairSeconds": 600}))
    reaches(cluster, "llm", 1)
    before = ranks(cluster, "llm", 4)
    lose(cluster, before[2])
    waits(cluster, "llm", "InsufficientCapacity")
    time.sleep(1.1)  # who comes first in the queue is told by whole seconds
    cluster.submit(job("small", [role("worker", 1)]))
    waits(cluster, "small", "InsufficientCapacity")
    # A new leader keeps them too: they stand in the status.
    operator.terminate(process)
    operator.restart(process)
    process.wait_until(lambda: process.output().count('"event": "leading", "term"') == 2, 60, "leading")
    cluster.submit(job("tiny", [role("worker", 1)]))
    waits(cluster, "tiny", "InsufficientCapacity")
    watcher.quiet()
    nodes.create(cluster.client, racks, [before[2]])
    reaches(cluster, "llm", 2)
    assert ranks(cluster, "llm", 4) == before
    assert (cluster.phase("small"), cluster.phase("tiny")) == ("Pending", "Pending")
    sound(process)
    watcher.quiet()


def test_a_segment_leaves_its_rack_where_the_rack_has_no_spare(
    cluster: Cluster, watcher: Watcher, operator: Operators
) -> None:
    cluster.add_nodes(Racks(3, 4))
    process = lead(operator)
    cluster.submit(gang("llm", 8, 4))
    reaches(cluster, "llm", 1)
    before = ranks(cluster, "llm", 8)
    lose(cluster, before[1])
    reaches(cluster, "llm", 2)
    after = ranks(cluster, "llm", 8)
    assert moved(before, after).keys() == {0, 1, 2, 3}
    assert len({cliques(cluster)[node] for node in after[:4]}) == 1
    assert phases(watcher, "llm")[3:] == ["Running 1", "Repairing 2", "Starting 2", "Running 2"]
    sound(process)
    watcher.quiet()
