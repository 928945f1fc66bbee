"""Two leaders by force: the first is frozen in the middle of something, the second goes on, the first wakes up."""

from __future__ import annotations

import pytest

from e2e.client import Object, wait_for
from e2e.faults import Rule, hold_after, hold_before
from e2e.gangs import leads
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks
from e2e.process import Process
from e2e.two import Moment, Two, real, says, ungates
from e2e.watcher import Watcher

NODES = 8
STATUS = r"/trainingjobs/gang/status"
MOMENTS = {
    "claim sent": Moment("PATCH", STATUS, hold_before(), says("Placed")),
    "claim acknowledged": Moment("POST", r"/pods\?", hold_before(), real, phase="Placed"),
    "view read": Moment("GET", r"/api/v1/pods\?.*labelSelector=.*managed-by", hold_after(), phase="Placed"),
    "start sent": Moment("PATCH", STATUS, hold_before(), says("Starting"), phase="Placed"),
    "start written": Moment("PATCH", STATUS, hold_after(), says("Starting"), phase="Starting"),
    "half ungated": Moment("PATCH", r"/pods/[^/?]+(\?|$)", hold_before(), ungates, skip=NODES // 2, phase="Starting"),
}


@pytest.fixture
def two(cluster: Cluster, kubelet: Process, watcher: Watcher, operator: Operators) -> Two:
    cluster.add_nodes(Racks(1, NODES))
    return Two(cluster, operator)


def gang(name: str) -> Object:
    return job(name, [role("worker", NODES, segment=("nvlink", NODES))])


def freeze_at(two: Two, moment: Moment) -> Rule:
    return two.freeze_at(moment, lambda: two.cluster.submit(gang("gang")))


def uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


@pytest.mark.parametrize("name", MOMENTS)
def test_the_second_gives_the_nodes_to_another(two: Two, cluster: Cluster, watcher: Watcher, name: str) -> None:
    held = freeze_at(two, MOMENTS[name])
    cluster.change("gang", {"suspend": True})
    cluster.submit(gang("other"))
    two.second.wait_until(lambda: leads(two.second), 30, "leading")
    cluster.wait_phase("other", "Running", timeout=40)
    assert cluster.phase("gang") == "Suspended"
    before = uids(cluster.pods("other"))

    two.thaw(held)
    wait_for(lambda: not cluster.pods("gang"), 30, "whatever the first had still made is deleted")
    assert cluster.phase("gang") == "Suspended"
    assert cluster.phase("other") == "Running"
    assert uids(cluster.pods("other")) == before
    watcher.quiet()
    cluster.delete_job("other")
    cluster.change("gang", {"suspend": False})
    cluster.wait_phase("gang", "Running", timeout=75)
    assert len(cluster.pods("gang")) == NODES
    watcher.quiet()


@pytest.mark.parametrize("name", ["claim acknowledged", "half ungated"])
def test_the_second_carries_on(two: Two, cluster: Cluster, watcher: Watcher, name: str) -> None:
    held = freeze_at(two, MOMENTS[name])
    cluster.submit(gang("other"))
    two.second.wait_until(lambda: leads(two.second), 30, "leading")
    cluster.wait_phase("gang", "Running", timeout=40)
    before = uids(cluster.pods("gang"))
    two.thaw(held)
    status = cluster.job("gang")["status"]
    assert (status["phase"], status["attempt"], status["disruptions"]) == ("Running", 1, 0)
    assert uids(cluster.pods("gang")) == before
    assert cluster.phase("other") == "Pending"
    watcher.quiet()


def test_a_claim_lands_after_another_was_placed_on_its_nodes(two: Two, cluster: Cluster, watcher: Watcher) -> None:
    """Nothing orders two jobs' compare-and-sets: the late claim may land. One of the two must withdraw."""
    held = freeze_at(two, MOMENTS["claim sent"])
    # Keep the second from placing or touching `gang`, so that the claim's resourceVersion still holds when it lands.
    writes = two.proxies[1].add(Rule("PATCH", STATUS, hold_before()))
    cluster.submit(job("other", [role("worker", NODES, segment=("nvlink", NODES))], priorityClassName="muster-high"))
    asks = two.proxies[1].add(Rule("POST", r"/pods\?dryRun", hold_before(), lambda seen: "'gang'" in str(seen.body)))
    begun = two.proxies[1].add(Rule("PATCH", r"/trainingjobs/other/status", hold_before(), says("Starting")))
    two.second.wait_until(lambda: leads(two.second), 30, "leading")
    wait_for(lambda: begun.hits, 30, "the other gang is about to start")
    assert cluster.phase("gang") == "Pending"
    two.thaw(held)
    assert cluster.phase("gang") == "Placed", "the late claim was to land here"
    two.proxies[1].remove(begun)
    two.proxies[1].remove(asks)
    two.proxies[1].remove(writes)
    first_one = wait_for(
        lambda: next((n for n in ("gang", "other") if cluster.phase(n) == "Running"), ""), 40, "one of them runs"
    )
    loser = ({"gang", "other"} - {first_one}).pop()
    wait_for(lambda: cluster.phase(loser) == "Pending" and not cluster.pods(loser), 30, "the other one waits")
    watcher.quiet()
    cluster.delete_job(first_one)
    cluster.wait_phase(loser, "Running", timeout=75)
    watcher.quiet()
