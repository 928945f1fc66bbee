"""The leader is frozen in a repair, past its lease; the second finishes the repair, then the first wakes up."""

from __future__ import annotations

import pytest

from e2e.client import wait_for
from e2e.faults import Rule, hold_after, hold_before
from e2e.gangs import leads, living, lose, moved, phases, ranks, reaches
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks
from e2e.process import Process
from e2e.two import Moment, Two, real, says, ungates
from e2e.watcher import Watcher

SIZE = 6
STATUS = r"/trainingjobs/gang/status"
PODS = r"/pods(/|\?)"
POD = r"/pods/[^/?]+(\?|$)"
MOMENTS = {
    "repair sent": Moment("PATCH", STATUS, hold_before(), says("Repairing"), phase="Running"),
    "half deleted": Moment("DELETE", POD, hold_before(), skip=SIZE // 2, phase="Repairing", beside=PODS),
    "half made": Moment("POST", r"/pods\?", hold_before(), real, skip=SIZE // 2, phase="Repairing", beside=PODS),
    "view read": Moment("GET", r"/api/v1/pods\?.*labelSelector=.*managed-by", hold_after(), phase="Repairing"),
    "start sent": Moment("PATCH", STATUS, hold_before(), says("Starting"), phase="Repairing"),
    "half ungated": Moment("PATCH", POD, hold_before(), ungates, skip=SIZE // 2, phase="Starting"),
}


@pytest.fixture
def two(cluster: Cluster, kubelet: Process, watcher: Watcher, operator: Operators) -> Two:
    """Two replicas, a rack with two spares, and a gang that runs."""
    cluster.add_nodes(Racks(1, SIZE + 2))
    made = Two(cluster, operator)
    cluster.submit(job("gang", [role("worker", SIZE, segment=("nvlink", SIZE))]))
    reaches(cluster, "gang", 1)
    return made


def frozen(two: Two, name: str) -> tuple[Rule, list[str]]:
    """Delete the node of rank 2 and freeze the leader at a moment of the repair; return what is held, and the nodes."""
    before = ranks(two.cluster, "gang", SIZE)
    return two.freeze_at(MOMENTS[name], lambda: lose(two.cluster, before[2])), before


def uids(cluster: Cluster, name: str) -> list[str]:
    return [pod["metadata"]["uid"] for pod in living(cluster, name)]


@pytest.mark.parametrize("name", MOMENTS)
def test_the_second_finishes_the_repair(two: Two, cluster: Cluster, watcher: Watcher, name: str) -> None:
    held, before = frozen(two, name)
    two.second.wait_until(lambda: leads(two.second), 30, "leading")
    reaches(cluster, "gang", 2, timeout=40)
    after, pods = ranks(cluster, "gang", SIZE), uids(cluster, "gang")
    assert moved(before, after).keys() == {2}
    placement = cluster.job("gang")["status"]["placement"]

    two.thaw(held)
    status = cluster.job("gang")["status"]
    assert (status["phase"], status["attempt"], status["disruptions"]) == ("Running", 2, 1)
    assert status["placement"] == placement
    assert (ranks(cluster, "gang", SIZE), uids(cluster, "gang")) == (after, pods)
    assert phases(watcher, "gang")[3:] == ["Running 1", "Repairing 2", "Starting 2", "Running 2"]
    watcher.quiet()


@pytest.mark.parametrize("name", ["half made", "start sent"])
def test_the_second_gives_the_nodes_to_another(two: Two, cluster: Cluster, watcher: Watcher, name: str) -> None:
    held, _ = frozen(two, name)
    cluster.change("gang", {"suspend": True})
    cluster.submit(job("other", [role("worker", SIZE, segment=("nvlink", SIZE))]))
    two.second.wait_until(lambda: leads(two.second), 30, "leading")
    reaches(cluster, "other", 1, timeout=40)
    assert cluster.phase("gang") == "Suspended"
    where, pods = ranks(cluster, "other", SIZE), uids(cluster, "other")

    two.thaw(held)
    wait_for(lambda: not living(cluster, "gang"), 30, "whatever the first had still made is deleted")
    assert cluster.phase("gang") == "Suspended"
    assert (ranks(cluster, "other", SIZE), uids(cluster, "other")) == (where, pods)
    watcher.quiet()
    cluster.delete_job("other")
    cluster.change("gang", {"suspend": False})
    cluster.wait_phase("gang", "Running", timeout=75)
    assert len(ranks(cluster, "gang", SIZE)) == SIZE
    watcher.quiet()
