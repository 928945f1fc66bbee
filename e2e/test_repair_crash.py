"""What dies during a repair: the operator at any write, the API server, the history behind the watches."""

from __future__ import annotations

import random
from itertools import count

import pytest

from e2e import nodes
from e2e.client import Object, wait_for
from e2e.faults import Kill, Rule, hold_before
from e2e.gangs import cliques, lead, leads, lose, moved, phases, ranks, reaches, sound
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks
from e2e.process import Process
from e2e.watcher import Watcher

SIZE, SEGMENT = 32, 16
KILLS = 12
WRITES = "POST|PUT|PATCH|DELETE"
OBJECTS = "/(pods|services|trainingjobs)"
WRITES_OF_A_REPAIR = 130
"""Delete 31 pods; create, nominate and ungate 32."""
ALONE = {"MUSTER_LEADER_ELECT": "false"}
"""No lease to wait for: the next process decides while the last one's requests may still be on their way."""
SLOW = {"MUSTER_PODS_QPS": "25", "MUSTER_PODS_BURST": "1"}
"""A start takes seconds."""
PATIENT = {"bindTimeoutSeconds": 300}
"""After an outage kube-scheduler takes up to 30 s to watch again: longer than the default waits for it to bind."""
pytestmark = pytest.mark.usefixtures("kubelet")


def gang() -> Object:
    return job("gang", [role("worker", SIZE, segment=("nvlink", SEGMENT))], **PATIENT)


def test_killed_at_any_moment_of_a_repair(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    seed = 18_016
    print(f"seed {seed}")
    rng = random.Random(seed)
    racks = Racks(3, 18)
    cluster.add_nodes(racks)
    domain = cliques(cluster)
    proxy = cluster.start_proxy()
    process = lead(operator, ALONE, proxy)
    cluster.submit(gang())
    reaches(cluster, "gang", 1)
    kills: list[tuple[str, int]] = []
    for attempt in count(2):
        before = ranks(cluster, "gang", SIZE)
        rank = rng.randrange(SIZE)
        # The writes up to each kill: together they may be more than a repair has.
        moments = iter([rng.choice([1, rng.randint(2, 40), rng.randint(30, WRITES_OF_A_REPAIR)]) for _ in range(4)])
        rule = proxy.add(Rule(WRITES, OBJECTS, Kill(process), times=1, skip=next(moments) - 1))
        lose(cluster, before[rank])
        while True:
            wait_for(lambda: not process.running or done(cluster, attempt), 60, "killed, or repaired")  # noqa: B023
            proxy.remove(rule)
            if not rule.hits:
                break
            process.kill()
            kills.append((cluster.phase("gang"), len(cluster.pods("gang", attempt=attempt))))
            mark = len(process.output())
            operator.restart(process)
            process.wait_until(lambda m=mark: leads(process, m), 60, "leading")  # type: ignore[misc]
            moment = next(moments, None)
            if moment is None:
                break
            rule = proxy.add(Rule(WRITES, OBJECTS, Kill(process), times=1, skip=moment - 1))
        status = reaches(cluster, "gang", attempt)
        change = moved(before, ranks(cluster, "gang", SIZE))
        assert change.keys() == {rank}
        assert domain[change[rank][1]] == domain[before[rank]]
        assert (status.get("restarts", 0), status["disruptions"]) == (0, attempt - 1)
        watcher.quiet()
        if len(kills) >= KILLS:
            break
        nodes.create(cluster.client, racks, [before[rank]])
    print(f"{len(kills)} kills in {attempt - 1} repairs, each with the phase then and the new pods: {kills}")
    assert {"Repairing", "Starting"} <= {phase for phase, _ in kills}
    sound(process)


def done(cluster: Cluster, attempt: int) -> bool:
    status = cluster.job("gang")["status"]
    return (status["phase"], status["attempt"]) == ("Running", attempt)


@pytest.mark.real("the embedded server keeps nothing")
@pytest.mark.parametrize("lease", [60, 5])
def test_the_api_server_restarts_during_a_start_and_during_a_repair(
    cluster: Cluster, watcher: Watcher, operator: Operators, lease: int
) -> None:
    """For less than the lease the operator waits; for more it ends, and the next one carries on."""
    cluster.add_nodes(Racks(3, 18))
    process = lead(operator, SLOW | {"MUSTER_LEASE_SECONDS": str(lease)})
    cluster.submit(gang())
    _away_when(cluster, operator, process, 1, lease)
    reaches(cluster, "gang", 1)
    before = ranks(cluster, "gang", SIZE)
    lose(cluster, before[20])
    _away_when(cluster, operator, process, 2, lease)
    reaches(cluster, "gang", 2)
    assert moved(before, ranks(cluster, "gang", SIZE)).keys() == {20}
    assert phases(watcher, "gang")[-4:] == ["Running 1", "Repairing 2", "Starting 2", "Running 2"]
    sound(process)
    watcher.quiet()


def _away_when(cluster: Cluster, operator: Operators, process: Process, attempt: int, lease: int) -> None:
    """Restart the API server when a part of this attempt's pods is made."""
    made = cluster.pods
    wait_for(lambda: SIZE // 4 < len(made("gang", attempt=attempt)) < SIZE, 30, "some pods are made", pause=0.01)
    assert cluster.phase("gang") == ("Placed" if attempt == 1 else "Repairing")
    longer = lease < 10
    cluster.plane.restart_apiserver(kill=True, down_seconds=lease + 1 if longer else 1)
    if longer:
        wait_for(lambda: not process.running, 20, "its lease is over")
        assert process.exit_code == 1
        mark = len(process.output())
        operator.restart(process)
        process.wait_until(lambda: leads(process, mark), 60, "leading")


@pytest.mark.real("its etcd is compacted")
def test_etcd_is_compacted_under_open_watches(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    cluster.add_nodes(Racks(3, 18))
    process = lead(operator)
    cluster.submit(gang())
    reaches(cluster, "gang", 1)
    for attempt, rank in ((2, 5), (3, 20)):
        before = ranks(cluster, "gang", SIZE)
        cluster.plane.compact()
        lose(cluster, before[rank])
        cluster.plane.compact()
        reaches(cluster, "gang", attempt)
        assert moved(before, ranks(cluster, "gang", SIZE)).keys() == {rank}
    sound(process)
    watcher.quiet()


@pytest.mark.real("its etcd is compacted")
def test_what_happened_while_it_was_frozen_is_compacted_away(cluster: Cluster, operator: Operators) -> None:
    """No watch can be resumed: all is listed anew. Without the watcher, whose watches are cut off likewise."""
    cluster.add_nodes(Racks(3, 18))
    proxy = cluster.start_proxy()
    process = lead(operator, ALONE, proxy)
    cluster.submit(gang())
    reaches(cluster, "gang", 1)
    before = ranks(cluster, "gang", SIZE)
    process.freeze()
    lose(cluster, before[20])
    cluster.submit(job("other", [role("worker", 4)], **PATIENT))
    cluster.plane.restart_apiserver(kill=True)
    cluster.plane.compact()
    mark = len(proxy.seen)
    process.thaw()
    reaches(cluster, "gang", 2)
    reaches(cluster, "other", 1)
    assert moved(before, ranks(cluster, "gang", SIZE)).keys() == {20}
    listed = {seen.path.partition("?")[0] for seen in proxy.seen[mark:] if "limit=" in seen.path}
    print(f"listed anew: {sorted(listed)}")
    assert {"/api/v1/pods", "/api/v1/nodes"} <= listed
    sound(process)


@pytest.mark.real("its etcd is compacted")
def test_etcd_is_compacted_between_two_pages_of_a_list(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    """A new process lists page by page; the node under a rank goes while it does."""
    cluster.add_nodes(Racks(3, 18))
    first = lead(operator, ALONE)
    cluster.submit(gang())
    reaches(cluster, "gang", 1)
    before = ranks(cluster, "gang", SIZE)
    first.kill()
    proxy = cluster.start_proxy()
    page = proxy.add(Rule("GET", r"/(pods|nodes)\?.*continue=", hold_before()))
    [second] = operator(env=ALONE | {"MUSTER_PAGE_SIZE": "10"}, server=proxy.url)
    wait_for(lambda: page.hits >= 2, 60, "both lists are at their second page")
    lose(cluster, before[20])
    cluster.plane.compact()
    page.release()
    proxy.remove(page)
    second.wait_until(lambda: leads(second), 60, "leading")
    reaches(cluster, "gang", 2)
    assert moved(before, ranks(cluster, "gang", SIZE)).keys() == {20}
    answers = [seen.answer for seen in proxy.seen if "continue=" in seen.path]
    print(f"answers to further pages: {answers}")
    sound(second)
    watcher.quiet()
