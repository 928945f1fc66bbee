"""kill -9 at any moment, a leader lost, a list that is late: nothing is lost, doubled or deleted wrongly."""

from __future__ import annotations

import random
import time
from collections import Counter

from e2e.client import Object, wait_for
from e2e.faults import Kill, Rule, hold_before
from e2e.gangs import lead, leads
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks
from e2e.process import Process
from e2e.watcher import Watcher

PODS = 128
KILLS = 20
LEASE_SECONDS = 5
WRITES = "POST|PUT|PATCH|DELETE"
OBJECTS = "/(pods|services|trainingjobs)"
ALONE = {"MUSTER_LEADER_ELECT": "false"}
"""No lease to wait for: the next process decides while the last one's requests may still be on their way."""


def lease_holder(cluster: Cluster) -> str:
    lease = cluster.client.find(f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases/muster")
    return str((lease or {}).get("spec", {}).get("holderIdentity") or "")


def running(pods: list[Object]) -> bool:
    return all(pod["status"]["phase"] == "Running" for pod in pods)


def uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def whole(cluster: Cluster, name: str, size: int = PODS) -> None:
    """The gang runs complete, every rank once, all of one attempt, and no failure was counted."""
    status = cluster.wait_phase(name, "Running", timeout=90)["status"]
    pods = cluster.pods(name)
    assert len(pods) == size
    assert running(pods)
    ranks = Counter(pod["metadata"]["labels"]["muster.dev/rank"] for pod in pods)
    assert set(ranks.values()) == {1}, ranks
    assert len({pod["metadata"]["labels"]["muster.dev/attempt"] for pod in pods}) == 1
    assert (status["restarts"], status["disruptions"]) == (0, 0), status


def test_killed_at_any_moment_of_a_start(
    cluster: Cluster, kubelet: Process, watcher: Watcher, operator: Operators
) -> None:
    seed = 128_020
    print(f"seed {seed}")
    rng = random.Random(seed)
    cluster.add_nodes(Racks(8, 16))
    proxy = cluster.start_proxy()
    env = ALONE | {"MUSTER_PODS_QPS": "150"}
    process = lead(operator, env, proxy)
    kills: list[str] = []
    number = 0
    while len(kills) < KILLS:
        name = f"gang-{number}"
        cluster.submit(job(name, [role("worker", PODS, segment=("nvlink", 16))]))
        while len(kills) < KILLS:
            # A start is about 390 writes (create, nominate and ungate 128 pods): the kills lie all over it.
            moment = rng.choice([rng.randint(1, 5), rng.randint(1, 60), rng.randint(40, 120)])
            rule = proxy.add(Rule(WRITES, OBJECTS, Kill(process), times=1, skip=moment - 1))
            wait_for(
                lambda p=process, n=name: not p.running or cluster.phase(n) == "Running",  # type: ignore[misc]
                60,
                "killed, or the gang runs",
            )
            proxy.remove(rule)
            if not rule.hits:
                break
            process.kill()
            kills.append(f"{name}: {cluster.phase(name)} at write {moment}, {len(cluster.pods(name))} pods")
            mark = len(process.output())
            operator.restart(process)
            process.wait_until(lambda p=process, m=mark: leads(p, m), 60, "leading")  # type: ignore[misc]
        whole(cluster, name)
        watcher.quiet()
        cluster.delete_job(name)
        number += 1
    print("\n".join(kills))
    assert any("Placed" in kill for kill in kills)
    assert any("Starting" in kill for kill in kills)
    wait_for(lambda: not cluster.pods(), 60, "the pods of deleted jobs are gone")
    watcher.quiet()


def test_the_follower_takes_over(cluster: Cluster, kubelet: Process, watcher: Watcher, operator: Operators) -> None:
    cluster.add_nodes(Racks(2, 16))
    env = {"MUSTER_LEASE_SECONDS": str(LEASE_SECONDS), "MUSTER_IDENTITY": "replica-{index}", "MUSTER_PODS_QPS": "20"}
    first = lead(operator, env | {"MUSTER_PODS_BURST": "1"})
    [second] = operator(env=env)
    second.wait_until(lambda: "all caches are synced" in second.output(), 60, "synced")
    assert lease_holder(cluster) == "replica-0"
    cluster.submit(job("gang", [role("worker", 32, segment=("nvlink", 16))]))
    wait_for(lambda: 5 < len(cluster.pods("gang")) < 32, 60, "some of the pods are made", pause=0.01)
    first.kill()
    killed = time.monotonic()
    wait_for(lambda: lease_holder(cluster) == "replica-1", 60, "the follower holds the lease")
    held = time.monotonic() - killed
    wait_for(lambda: leads(second), 60, "the follower decides")
    decides = time.monotonic() - killed
    print(f"takeover with a lease of {LEASE_SECONDS} s: lease held after {held:.1f} s, deciding after {decides:.1f} s")
    assert decides < LEASE_SECONDS + 5
    whole(cluster, "gang", 32)
    assert cluster.job("gang")["status"]["attempt"] == 1
    watcher.quiet()


def test_an_orderly_end_hands_over_at_once(
    cluster: Cluster, kubelet: Process, watcher: Watcher, operator: Operators
) -> None:
    cluster.add_nodes(Racks(1, 16))
    env = {"MUSTER_LEASE_SECONDS": "60", "MUSTER_IDENTITY": "replica-{index}"}
    first = lead(operator, env)
    [second] = operator(env=env)
    second.wait_until(lambda: "all caches are synced" in second.output(), 60, "synced")
    cluster.submit(job("gang", [role("worker", 16)]))
    assert operator.terminate(first) == 0
    ended = time.monotonic()
    wait_for(lambda: leads(second), 20, "the follower decides, without waiting for the lease to run out")
    print(f"takeover after SIGTERM: {time.monotonic() - ended:.1f} s")
    whole(cluster, "gang", 16)
    watcher.quiet()


def test_a_late_list_of_jobs_deletes_nothing(
    cluster: Cluster, kubelet: Process, watcher: Watcher, operator: Operators
) -> None:
    cluster.add_nodes(Racks(1, 16))
    first = lead(operator, ALONE)
    cluster.submit(job("runs", [role("worker", 8)]))
    whole(cluster, "runs", 8)
    # A second gang that is only half made when the operator dies.
    proxy = cluster.start_proxy()
    first.kill()
    holds = proxy.add(Rule("POST", r"/pods(\?|$)", hold_before(), lambda seen: "dryRun" not in seen.path, skip=4))
    second = lead(operator, ALONE, proxy)
    cluster.submit(job("begun", [role("worker", 8)]))
    wait_for(lambda: holds.hits and len(cluster.pods("begun")) == 4, 30, "half of the pods are made")
    second.kill()
    before = uids(cluster.pods())
    assert len(before) == 12

    other = cluster.start_proxy()
    late = other.add(Rule("GET", r"/trainingjobs(\?|$)", hold_before()))
    [third] = operator(env=ALONE | {"MUSTER_REAPER_SECONDS": "1"}, server=other.url)
    wait_for(lambda: late.hits and other.count("GET", r"/pods\?.*watch=") > 0, 60, "pods are known, jobs are not")
    # Longer than the 20 s that a suspected orphan is left alone; the client gives up on the held list at 30 s.
    patience = time.monotonic() + 24
    wait_for(lambda: time.monotonic() > patience or other.count("DELETE", "."), 30, "the time is over", pause=0.2)
    assert other.count(WRITES, OBJECTS) == 0
    assert uids(cluster.pods()) == before
    other.remove(late)
    third.wait_until(lambda: leads(third), 60, "leading")
    whole(cluster, "begun", 8)
    whole(cluster, "runs", 8)
    assert before <= uids(cluster.pods())
    assert other.count("DELETE", ".") == 0
    proxy.remove(holds)
    wait_for(
        lambda: all(seen.delivered for seen in proxy.seen if seen.rule is holds), 10, "the dead one's creates land"
    )
    assert len(cluster.pods("begun")) == 8
    watcher.quiet()
