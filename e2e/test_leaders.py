"""Two leaders by force: the first is frozen in the middle of something, the second goes on, the first wakes up."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from e2e.client import Object, wait_for
from e2e.faults import Action, Rule, Seen, hold_after, hold_before
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks
from e2e.process import Process
from e2e.proxy import FaultProxy
from e2e.watcher import Watcher

NODES = 8
LEASE_SECONDS = 4
WRITES = "POST|PUT|PATCH|DELETE"
OBJECTS = "/(pods|services|trainingjobs)"


def led(process: Process) -> bool:
    return '"event": "leading", "term"' in process.output()


def says(phase: str) -> object:
    """A rule's test: this status write says that phase."""
    return lambda seen: (seen.body.get("status") or {}).get("phase") == phase


def real(seen: Seen) -> bool:
    return "dryRun" not in seen.path


def ungates(seen: Seen) -> bool:
    return "schedulingGates" in str(seen.body)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the first leader is doing when it freezes: the request that is held, and how many of its like pass first."""

    method: str
    path: str
    action: Action
    when: object = None
    skip: int = 0
    phase: str = "Pending"
    """What is committed then."""

    def rule(self) -> Rule:
        return Rule(self.method, self.path, self.action, self.when, skip=self.skip)  # type: ignore[arg-type]


STATUS = r"/trainingjobs/gang/status"
MOMENTS = {
    "claim sent": Moment("PATCH", STATUS, hold_before(), says("Placed")),
    "claim acknowledged": Moment("POST", r"/pods\?", hold_before(), real, phase="Placed"),
    "view read": Moment("GET", r"/api/v1/pods\?.*labelSelector=.*managed-by", hold_after(), phase="Placed"),
    "start sent": Moment("PATCH", STATUS, hold_before(), says("Starting"), phase="Placed"),
    "start written": Moment("PATCH", STATUS, hold_after(), says("Starting"), phase="Starting"),
    "half ungated": Moment("PATCH", r"/pods/[^/?]+(\?|$)", hold_before(), ungates, skip=NODES // 2, phase="Starting"),
}


class Two:
    """A leader and a follower, each behind a proxy of its own, and one rack."""

    def __init__(self, cluster: Cluster, operator: Operators) -> None:
        self.cluster = cluster
        cluster.add_nodes(Racks(1, NODES))
        self.proxies = [cluster.start_proxy(), cluster.start_proxy()]
        env = {"MUSTER_LEASE_SECONDS": str(LEASE_SECONDS), "MUSTER_IDENTITY": "replica-{index}"}
        [self.first] = operator(env=env, server=self.proxies[0].url)
        self.first.wait_until(lambda: led(self.first), 60, "leading")
        [self.second] = operator(env=env, server=self.proxies[1].url)
        self.second.wait_until(lambda: "all caches are synced" in self.second.output(), 60, "synced")

    @property
    def proxy(self) -> FaultProxy:
        return self.proxies[0]

    def freeze_at(self, moment: Moment) -> Rule:
        """Submit the gang and stop the first leader as soon as its request is held."""
        rule = self.proxy.add(moment.rule())
        self.cluster.submit(gang("gang"))
        wait_for(lambda: rule.hits, 30, "the moment has come", pause=0.002)
        self.first.freeze()
        if moment.action.held_after:  # type: ignore[attr-defined]
            wait_for(lambda: all(s.delivered for s in self.held(rule)), 10, "it has been delivered")
        assert self.cluster.phase("gang") == moment.phase
        return rule

    def thaw(self, rule: Rule) -> None:
        """Wake the first leader, let go of what it had sent; it must decide nothing more, and end by itself.

        What had passed its lease check before the freeze, and waited for a connection, may still go out: its like
        (`rule`) is let through, nothing else.
        """
        sent = len(self.proxy.seen)
        self.first.thaw()
        rule.release()
        wait_for(lambda: not self.first.running, 15, "the first leader ends, its lease being stale")
        assert self.first.exit_code == 1, self.first.output()[-2000:]
        late = [s for s in self.proxy.seen[sent:] if re.fullmatch(WRITES, s.method) and re.search(OBJECTS, s.path)]
        assert all(s.rule is rule for s in late), [(s.method, s.path) for s in late]
        wait_for(lambda: all(s.delivered for s in self.held(rule)), 10, "all that was held has landed")

    def held(self, rule: Rule) -> list[Seen]:
        return [s for s in list(self.proxy.seen) if s.rule is rule]


@pytest.fixture
def two(cluster: Cluster, kubelet: Process, watcher: Watcher, operator: Operators) -> Two:
    return Two(cluster, operator)


def gang(name: str) -> Object:
    return job(name, [role("worker", NODES, segment=("nvlink", NODES))])


def uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


@pytest.mark.parametrize("name", MOMENTS)
def test_the_second_gives_the_nodes_to_another(two: Two, cluster: Cluster, watcher: Watcher, name: str) -> None:
    held = two.freeze_at(MOMENTS[name])
    cluster.change("gang", {"suspend": True})
    cluster.submit(gang("other"))
    two.second.wait_until(lambda: led(two.second), 30, "leading")
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
    held = two.freeze_at(MOMENTS[name])
    cluster.submit(gang("other"))
    two.second.wait_until(lambda: led(two.second), 30, "leading")
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
    held = two.freeze_at(MOMENTS["claim sent"])
    # Keep the second from placing or touching `gang`, so that the claim's resourceVersion still holds when it lands.
    writes = two.proxies[1].add(Rule("PATCH", STATUS, hold_before()))
    cluster.submit(job("other", [role("worker", NODES, segment=("nvlink", NODES))], priorityClassName="muster-high"))
    asks = two.proxies[1].add(Rule("POST", r"/pods\?dryRun", hold_before(), lambda seen: "'gang'" in str(seen.body)))
    begun = two.proxies[1].add(
        Rule("PATCH", r"/trainingjobs/other/status", hold_before(), says("Starting"))  # type: ignore[arg-type]
    )
    two.second.wait_until(lambda: led(two.second), 30, "leading")
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
