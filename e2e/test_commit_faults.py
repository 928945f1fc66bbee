"""Answers that never come, come late, or say no: on commits, creates, lists and watches."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from e2e.client import PATCHES, Object, wait_for
from e2e.faults import Action, Rule, Seen, answer, delay_reply, drop_reply, drop_request, hold_before
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks
from e2e.process import Process
from e2e.proxy import FaultProxy
from e2e.watcher import Watcher

SIZE = 4
CLIENT_SECONDS = 30
"""How long the operator waits for an answer."""
ENV = {"MUSTER_LEADER_ELECT": "false"}

ANSWERS: dict[str, Callable[[], Action]] = {
    "403": lambda: answer(403),
    "403-rbac": lambda: answer(403, 'forbidden: User "x" cannot create resource "pods"'),
    "409": lambda: answer(409),
    "410": lambda: answer(410),
    "413": lambda: answer(413),
    "429": lambda: answer(429, retry_after=1),
    "500": lambda: answer(500),
    "nothing": drop_request,
}


def gang(name: str, size: int = SIZE) -> Object:
    return job(name, [role("worker", size)])


def status_of(name: str) -> str:
    return rf"/trainingjobs/{name}/status"


def says(phase: str, seen: Seen) -> bool:
    return bool((seen.body.get("status") or {}).get("phase") == phase)


def claims(seen: Seen) -> bool:
    return says("Placed", seen)


def claimed(proxy: FaultProxy, name: str) -> list[Seen]:
    """The claims of a job that were sent so far."""
    return [s for s in list(proxy.seen) if f"/trainingjobs/{name}/status" in s.path and claims(s)]


def steady(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Something holds, at every look, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"does not hold any more: {what}"
        time.sleep(0.05)


def intact(cluster: Cluster, name: str, size: int = SIZE) -> None:
    pods = cluster.pods(name)
    assert len(pods) == size
    assert len({pod["metadata"]["labels"]["muster.dev/rank"] for pod in pods}) == size
    assert all(pod["status"]["phase"] == "Running" for pod in pods)


@pytest.fixture
def proxy(cluster: Cluster, kubelet: Process, watcher: Watcher) -> FaultProxy:
    return cluster.start_proxy()


@pytest.fixture
def process(proxy: FaultProxy, operator: Operators) -> Process:
    """One operator behind the proxy; the tests add nodes and rules later."""
    [made] = operator(env=ENV, server=proxy.url)
    made.wait_until(lambda: '"event": "leading", "term"' in made.output(), 60, "leading")
    return made


class OneStarts:
    """Two gangs, room for one; the first claims, the fault is on its claim."""

    def __init__(
        self, cluster: Cluster, proxy: FaultProxy, watcher: Watcher, action: Action, times: int | None
    ) -> None:
        self.cluster, self.proxy, self.watcher = cluster, proxy, watcher
        cluster.add_nodes(Racks(1, SIZE))
        self.rule = proxy.add(Rule("PATCH", status_of("first"), action, claims, times=times))
        cluster.submit(gang("first"))
        wait_for(lambda: self.rule.hits, 30, "the claim is sent")
        cluster.submit(gang("second"))

    def no_second_claim(self) -> bool:
        return not claimed(self.proxy, "second")

    def ends_well(self, timeout: float = 30.0) -> None:
        """The first runs, the second never claimed; when the first is gone, the second runs."""
        self.cluster.wait_phase("first", "Running", timeout=timeout)
        assert self.no_second_claim()
        assert self.cluster.job("first")["status"]["attempt"] == 1
        intact(self.cluster, "first")
        self.watcher.quiet()
        self.cluster.delete_job("first")
        # In a young control plane the garbage collector does not know our kind yet; then the reaper sweeps, after 20 s.
        self.cluster.wait_phase("second", "Running", timeout=75)
        intact(self.cluster, "second")
        self.watcher.quiet()


def test_a_claim_whose_reply_is_lost(cluster: Cluster, proxy: FaultProxy, process: Process, watcher: Watcher) -> None:
    case = OneStarts(cluster, proxy, watcher, drop_reply(), times=1)
    case.ends_well()
    assert len(claimed(proxy, "first")) == 1, "it happened, so it is not sent again"


def test_past_the_time_out(cluster: Cluster, proxy: FaultProxy, process: Process, watcher: Watcher) -> None:
    """One claim whose reply comes too late, and one that itself comes too late."""
    cluster.add_nodes(Racks(1, SIZE, prefix="x"))
    late = proxy.add(Rule("PATCH", status_of("late"), delay_reply(CLIENT_SECONDS + 3), claims, times=1))
    cluster.submit(gang("late"))
    wait_for(lambda: late.hits, 30, "the claim is sent")
    case = OneStarts(cluster, proxy, watcher, hold_before(), times=None)
    wait_for(lambda: case.rule.hits >= 2, CLIENT_SECONDS + 20, "the client gave up, looked, and tests again")
    assert case.no_second_claim()
    assert cluster.phase("first") == "Pending"
    # Now both land: at most one of them can win.
    proxy.remove(case.rule)
    case.ends_well()
    assert 409 in [s.answer for s in claimed(proxy, "first")], "one of the two is refused by the API server"
    cluster.wait_phase("late", "Running", timeout=20)
    intact(cluster, "late")
    assert len(claimed(proxy, "late")) == 1, "it happened, so it is not sent again"
    watcher.quiet()


def test_a_claim_that_lands_while_nobody_knows(
    cluster: Cluster, proxy: FaultProxy, process: Process, watcher: Watcher
) -> None:
    case = OneStarts(cluster, proxy, watcher, drop_request(), times=None)
    wait_for(lambda: case.rule.hits >= 3, 30, "it tests again")
    assert case.no_second_claim()
    # From here on the claim is refused: but one that was sent before may still land, so nothing is given up.
    refusing = Rule("PATCH", status_of("first"), answer(403), claims)
    proxy.remove(case.rule)
    proxy.add(refusing)
    wait_for(lambda: refusing.hits, 30, "it is refused")
    steady(case.no_second_claim, 3, "the second does not get the nodes while the first's claim may land")
    late = claimed(proxy, "first")[0]
    landed = cluster.client.send("PATCH", late.path, late.body, content_type=PATCHES["merge"])
    assert landed.status == 200, landed.body
    case.ends_well()
    proxy.remove(refusing)


def test_a_commit_of_starting_whose_reply_is_lost(
    cluster: Cluster, proxy: FaultProxy, process: Process, watcher: Watcher
) -> None:
    cluster.add_nodes(Racks(1, SIZE))
    rule = proxy.add(Rule("PATCH", status_of("first"), drop_reply()))
    cluster.submit(gang("first"))
    cluster.wait_phase("first", "Running", timeout=30)
    intact(cluster, "first")
    assert rule.hits <= 12, "every commit was made once (phases and counts)"
    proxy.remove(rule)
    watcher.quiet()


def test_refused_commits(cluster: Cluster, proxy: FaultProxy, process: Process, watcher: Watcher) -> None:
    """Every answer at once, each on the commits of one job, while others start and end."""
    cluster.add_nodes(Racks(4, 18))
    rules = {}
    for code, action in ANSWERS.items():
        rules[code] = proxy.add(Rule("PATCH", status_of(f"bad-{code}"), action()))
        cluster.submit(gang(f"bad-{code}"))
    wait_for(lambda: all(rule.hits for rule in rules.values()), 30, "every job has met its fault")
    others_start(cluster, process)
    counts = {code: rule.hits for code, rule in rules.items()}
    print(f"commits refused: {counts}")
    for code, rule in rules.items():
        assert rule.hits <= 25, f"{code}: a hot loop"
        assert cluster.phase(f"bad-{code}") == "Pending"
    all_end_well(cluster, proxy, process, [f"bad-{code}" for code in ANSWERS])
    watcher.quiet()


def test_refused_creates(cluster: Cluster, proxy: FaultProxy, process: Process, watcher: Watcher) -> None:
    """Every answer at once, each on the pods of one job, while others start and end."""
    cluster.add_nodes(Racks(4, 18))
    rules = {}
    for code, action in ANSWERS.items():
        rules[code] = proxy.add(Rule("POST", r"/pods\?", action(), _of(f"bad-{code}")))
        cluster.submit(gang(f"bad-{code}"))
    wait_for(lambda: all(rule.hits for rule in rules.values()), 30, "every job has met its fault")
    others_start(cluster, process)
    counts = {code: rule.hits for code, rule in rules.items()}
    print(f"creates refused: {counts}")
    for code, rule in rules.items():
        assert rule.hits <= 25 * SIZE, f"{code}: a hot loop"
        assert cluster.phase(f"bad-{code}") in ("Pending", "Placed", "Stopping")
    all_end_well(cluster, proxy, process, [f"bad-{code}" for code in ANSWERS])
    watcher.quiet()


def _of(name: str) -> Callable[[Seen], bool]:
    return lambda seen: "dryRun" not in seen.path and seen.body["metadata"]["labels"]["muster.dev/job-name"] == name


def others_start(cluster: Cluster, process: Process) -> None:
    """Jobs without a fault start, and end, while others meet theirs."""
    for number in range(3):
        cluster.submit(gang(f"good-{number}"))
        cluster.wait_phase(f"good-{number}", "Running", timeout=20)
        intact(cluster, f"good-{number}")
        cluster.delete_job(f"good-{number}")
    assert process.running


def all_end_well(cluster: Cluster, proxy: FaultProxy, process: Process, names: list[str]) -> None:
    proxy.clear()
    for name in names:
        cluster.wait_phase(name, "Running", timeout=75)
        intact(cluster, name)
    assert process.running
    assert "defect" not in process.output()


def test_refused_lists_and_watches(cluster: Cluster, proxy: FaultProxy, process: Process, watcher: Watcher) -> None:
    """Each answer for a while: new watches, lists and views are refused, the open watches are cut."""
    cluster.add_nodes(Racks(4, 18))
    spent = {}
    cluster.submit(gang("runs"))
    cluster.wait_phase("runs", "Running", timeout=30)
    before = {pod["metadata"]["uid"] for pod in cluster.pods("runs")}
    for code, action in ANSWERS.items():
        rule = proxy.add(Rule("GET", r"/(pods|trainingjobs)\?", action()))
        proxy.cut_watches()
        name = f"under-{code}"
        cluster.submit(gang(name))
        wait_for(lambda r=rule: r.hits >= 2, 20, f"{code} is met, twice")  # type: ignore[misc]
        steady(lambda n=name: cluster.phase(n) in ("Pending", "Placed"), 0.5, "no gang starts without a view")  # type: ignore[misc]
        proxy.remove(rule)
        ended = time.monotonic()
        cluster.wait_phase(name, "Running", timeout=45)
        spent[code] = (rule.hits, round(time.monotonic() - ended, 1))
        assert rule.hits <= 25, f"{code}: a hot loop"
    print(f"lists and watches refused, seconds from the end of the fault until the new gang ran: {spent}")
    assert process.running
    assert "defect" not in process.output()
    assert {pod["metadata"]["uid"] for pod in cluster.pods("runs")} == before
    watcher.quiet()
