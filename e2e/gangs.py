"""What tests of repair ask of a gang: where its ranks run, how often it was made anew, how long that took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from e2e import nodes
from e2e.client import Object, core, wait_for
from e2e.harness import Cluster, Operators
from e2e.nodes import CLIQUE
from e2e.process import Process
from e2e.proxy import FaultProxy
from e2e.watcher import Watcher

FAST = {"MUSTER_PODS_QPS": "0"}
"""The operator's own limit of pod requests a second is off: what is measured is not that."""


def lead(operator: Operators, env: Mapping[str, str] | None = None, proxy: FaultProxy | None = None) -> Process:
    """Start one replica and wait until it decides."""
    [process] = operator(env=FAST | dict(env or {}), server=proxy.url if proxy else None)
    process.wait_until(lambda: leads(process), 60, "leading")
    return process


def leads(process: Process, since: int = 0) -> bool:
    """Whether the operator has begun to decide, by its log from character `since` on."""
    return '"event": "leading", "term"' in process.output()[since:]


def sound(process: Process) -> None:
    """The operator still runs and has contained no programming error."""
    assert process.running, process.output()[-3000:]
    lines = process.output().splitlines()
    # kopf tells of a watch that was refused with a traceback of its own.
    wrong = [line for line in lines if ("Traceback" in line and '"kopf' not in line) or "defect" in line]
    assert not wrong, wrong[0][:3000]


def living(cluster: Cluster, name: str) -> list[Object]:
    """The job's pods that have not ended, by rank."""
    pods = [pod for pod in cluster.pods(name) if pod["status"].get("phase") not in ("Succeeded", "Failed")]
    return sorted(pods, key=rank_of)


def rank_of(pod: Object) -> int:
    """The rank of a pod of a gang of one role."""
    return int(pod["metadata"]["labels"]["muster.dev/rank"])


def born_of(pod: Object) -> int:
    """The attempt that made the pod."""
    return int(pod["metadata"]["labels"]["muster.dev/attempt"])


def ranks(cluster: Cluster, name: str, size: int) -> list[str]:
    """The node of each rank of a gang of one role that runs: every rank once, every pod Running, a node a rank."""
    pods = living(cluster, name)
    assert [rank_of(pod) for pod in pods] == list(range(size)), [pod["metadata"]["name"] for pod in pods]
    assert all(pod["status"]["phase"] == "Running" for pod in pods)
    where = [str(pod["spec"]["nodeName"]) for pod in pods]
    assert len(set(where)) == size
    return where


def moved(before: list[str], after: list[str]) -> dict[int, tuple[str, str]]:
    """The ranks whose node changed: from where to where."""
    return {rank: pair for rank, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]}


def cliques(cluster: Cluster) -> dict[str, str]:
    """The NVLink domain of every node there is."""
    return {n["metadata"]["name"]: n["metadata"]["labels"][CLIQUE] for n in cluster.client.list(core("nodes"))}


def reaches(cluster: Cluster, name: str, attempt: int, phase: str = "Running", timeout: float = 60.0) -> Object:
    """Wait until the job is in this phase of this attempt, never past it; return its status."""

    def there() -> Object | None:
        status: Object = cluster.job(name).get("status") or {}
        assert status.get("attempt", 0) <= attempt, f"attempt {status['attempt']} where {attempt} was to do: {status}"
        assert status.get("phase") not in ("Failed", "Succeeded"), status
        return status if (status.get("phase"), status.get("attempt")) == (phase, attempt) else None

    found = wait_for(
        there, timeout, f"{name} is {phase} in attempt {attempt}", seen=lambda: cluster.job(name).get("status")
    )
    assert found is not None
    return found


def waits(cluster: Cluster, name: str, reason: str, timeout: float = 30.0) -> Object:
    """Wait until the job is Pending for this reason and holds nothing; return what it waits for."""

    def found() -> Object | None:
        status: Object = cluster.job(name).get("status") or {}
        waiting: Object = status.get("waiting") or {}
        return waiting if status.get("phase") == "Pending" and waiting.get("reason") == reason else None

    answer = wait_for(found, timeout, f"{name} waits: {reason}", seen=lambda: cluster.job(name).get("status"))
    assert answer is not None
    return answer


def timed(act: Callable[[], object], until: Callable[[], object]) -> float:
    """Seconds from the beginning of one thing to the end of another."""
    began = time.monotonic()
    act()
    until()
    return time.monotonic() - began


def phases(watcher: Watcher, name: str) -> list[str]:
    """The phases that a job went through, with the attempt, as the watch showed them: `Running 1`."""
    watcher.catch_up()
    seen: list[str] = []
    for event in watcher.history.events:
        if event.kind == "TrainingJob" and event.name == name:
            status = event.object.get("status") or {}
            word = f"{status.get('phase')} {status.get('attempt', 0)}"
            if "phase" in status and (not seen or seen[-1] != word):
                seen.append(word)
    return seen


def lose(cluster: Cluster, *names: str) -> None:
    """Delete nodes, all with one request: the API server deletes them one by one, within milliseconds."""
    if len(names) == 1:
        nodes.remove(cluster.client, names)
        return
    for name in names:
        nodes.label(cluster.client, name, {"example.com/lost": "true"})
    cluster.client.call("DELETE", core("nodes"), labelSelector="example.com/lost=true")
