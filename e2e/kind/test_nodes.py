"""Machines that stop answering, and machines that are gone, under real kubelets and the real node lifecycle controller.

The last test takes a worker away for good.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.client import core, wait_for
from e2e.kind.cluster import NAME, KindCluster
from e2e.kind.commands import run
from e2e.kind.release import Release
from e2e.kind.space import Space
from e2e.kind.stages import say

IMPATIENT = {"unreachable": {"action": "Replace", "afterSeconds": 5}, "nodeFailure": "Repair"}
NOTICED_SECONDS = 300.0
"""A node counts as unready after 50 s without a heartbeat; the rest is for a loaded machine."""


@contextmanager
def paused(node: str, release: Release) -> Iterator[None]:
    """All processes of a node stand still: to the others it is a machine that hangs."""
    release.excuse(node)
    run(["docker", "pause", node])
    try:
        yield
    finally:
        run(["docker", "unpause", node])


def ready(cluster: KindCluster, node: str) -> str | None:
    """The node's Ready condition; None where there is no such node."""
    found = cluster.client.find(core("nodes", name=node))
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]} if found else {}
    return conditions.get("Ready")


def test_a_gang_moves_off_a_machine_that_hangs_and_keeps_its_other_node(
    space: Space, cluster: KindCluster, release: Release
) -> None:
    release.settled()
    space.submit("durable", 2, seconds=3600, failurePolicy=IMPATIENT)
    space.reaches("durable", "Running")
    space.lines("durable", 2)
    before = space.nodes("durable")
    began = time.monotonic()
    with paused(before[1], release):
        wait_for(lambda: ready(cluster, before[1]) == "Unknown", NOTICED_SECONDS, f"{before[1]} counts as unready", 0.5)
        noticed = time.monotonic() - began
        space.reaches("durable", "Running", attempt=2, timeout=NOTICED_SECONDS)
        say(f"worker paused: unready after {noticed:.0f} s, gang runs again after {time.monotonic() - began:.0f} s")
        after = space.nodes("durable")
        assert after[0] == before[0], (before, after)
        assert after[1] not in before, (before, after)
        assert [line["sum"] for line in space.lines("durable", 2, attempt=2)] == [3, 3]
        status = space.status("durable")
        assert (status["disruptions"], status["restarts"]) == (1, 0), status
        assert before[1] in [each["node"] for each in status["blamed"]], status
    wait_for(lambda: ready(cluster, before[1]) == "True", NOTICED_SECONDS, f"{before[1]} is back", 0.5)
    # The pod that ran on there must not have outlived its return: one pod a rank.
    wait_for(lambda: len(space.pods("durable")) == 2, 120, "two pods, the one of the lost machine gone", 0.5)
    release.settled()


def test_a_gang_without_a_spare_waits_while_a_machine_hangs_and_starts_when_it_is_back(
    space: Space, cluster: KindCluster, release: Release
) -> None:
    release.settled()
    space.submit("full", 3, seconds=3600, failurePolicy=IMPATIENT)
    space.reaches("full", "Running")
    victim = space.nodes("full")[2]
    with paused(victim, release):
        waiting = space.waits("full", "InsufficientCapacity", "BackingOff", timeout=2 * NOTICED_SECONDS)
        say(f"no spare for a paused worker: {waiting['reason']}: {waiting['message']}")
    space.reaches("full", "Running", attempt=2, timeout=NOTICED_SECONDS)
    assert len(set(space.nodes("full"))) == 3
    release.settled()


def test_a_gang_moves_off_a_machine_that_is_gone(space: Space, cluster: KindCluster, release: Release) -> None:
    release.settled()
    space.submit("moved", 2, seconds=3600, failurePolicy=IMPATIENT)
    space.reaches("moved", "Running")
    before = space.nodes("moved")
    assert f"{NAME}-control-plane" not in before
    release.excuse(before[0])
    run(["docker", "rm", "--force", "--volumes", before[0]])
    began = time.monotonic()
    # What a cloud's controller does when the machine is gone.
    cluster.client.delete(core("nodes", name=before[0]))
    space.reaches("moved", "Running", attempt=2, timeout=NOTICED_SECONDS)
    say(f"worker deleted: gang runs again after {time.monotonic() - began:.1f} s")
    after = space.nodes("moved")
    assert after[1] == before[1], (before, after)
    assert after[0] not in before, (before, after)
    assert [line["sum"] for line in space.lines("moved", 2, attempt=space.status("moved")["attempt"])] == [3, 3]
    release.settled()
