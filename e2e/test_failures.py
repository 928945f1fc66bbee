"""Each way in which a rank can fail or be taken away, on a gang of eight: what is made anew, where, and what counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from e2e import nodes
from e2e.client import Object, core, wait_for
from e2e.faults import Rule, answer
from e2e.gangs import born_of, cliques, lead, living, lose, moved, phases, rank_of, ranks, reaches, sound
from e2e.harness import Cluster, Operators
from e2e.jobs import fake, job, role
from e2e.nodes import GPU, OUT_OF_SERVICE, Racks
from e2e.watcher import Watcher
from muster.embedded.nodes.podlife import timestamp

SIZE, SEGMENT, RANK = 8, 4, 2
VIEW = r"/trainingjobs\?.*status\.live"
"""The consistent list that Starting waits for."""
BROKEN = {"key": "example.com/broken", "value": "fan", "effect": "NoExecute"}
pytestmark = pytest.mark.usefixtures("kubelet")


def submit(cluster: Cluster, annotations: dict[str, str] | None = None, **policy: object) -> list[str]:
    """Start the gang on two racks of six; return the node of each rank."""
    cluster.add_nodes(Racks(2, 6))
    workers = role("worker", SIZE, segment=("nvlink", SEGMENT), annotations=annotations)
    cluster.submit(job("llm", [workers], failurePolicy=policy, backoff={"baseSeconds": 1}))
    reaches(cluster, "llm", 1)
    return ranks(cluster, "llm", SIZE)


def uids(cluster: Cluster) -> list[str]:
    """The uids of the gang's living pods, by rank."""
    return [pod["metadata"]["uid"] for pod in living(cluster, "llm")]


def counts(cluster: Cluster) -> tuple[int, int]:
    """(restarts by its own fault, disruptions) so far."""
    status = cluster.job("llm")["status"]
    return status.get("restarts", 0), status.get("disruptions", 0)


def only_moved(cluster: Cluster, before: list[str], *which: int) -> list[str]:
    """These ranks moved, each within its rack, and no other; return the nodes of all."""
    after = ranks(cluster, "llm", SIZE)
    change, domain = moved(before, after), cliques(cluster)
    assert change.keys() == {*which}, change
    racks = [domain[node] for node in after]
    assert len({*racks[:SEGMENT]}) == len({*racks[SEGMENT:]}) == 1, after
    return after


def ended(cluster: Cluster, rank: int, code: int, **more: object) -> None:
    """The pod of a rank ends by itself, as a kubelet tells it: `more` are fields of the container's end."""
    pod = living(cluster, "llm")[rank]
    now = timestamp(datetime.now(UTC))
    end = {"exitCode": code, "reason": "Error", "startedAt": now, "finishedAt": now} | more
    container = {"name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": "Failed", "containerStatuses": [container | {"state": {"terminated": end}}]}
    path = core("pods", cluster.namespace, pod["metadata"]["name"], "status")
    cluster.client.patch(path, {"status": status}, "strategic")


def goes(cluster: Cluster, before: list[str]) -> None:
    lose(cluster, before[RANK])


def falls_silent(cluster: Cluster, before: list[str]) -> None:
    nodes.turn_off(cluster.client, before[RANK])


def is_tainted(cluster: Cluster, before: list[str]) -> None:
    nodes.taint(cluster.client, before[RANK], BROKEN)


def is_out_of_service(cluster: Cluster, before: list[str]) -> None:
    nodes.turn_off(cluster.client, before[RANK])
    time.sleep(1)  # its pods are waited for; then the administrator's word
    assert cluster.job("llm")["status"]["attempt"] == 1
    nodes.taint(cluster.client, before[RANK], OUT_OF_SERVICE)


def is_refused(cluster: Cluster, before: list[str]) -> None:
    pod = living(cluster, "llm")[RANK]
    path = core("pods", cluster.namespace, pod["metadata"]["name"], "status")
    said = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "device plugin: no such device"}
    cluster.client.patch(path, {"status": said | {"containerStatuses": None}})


LOSSES: dict[str, tuple[Callable[[Cluster, list[str]], None], Object, int]] = {
    "the node is deleted": (goes, {}, 0),
    "the node is silent": (falls_silent, {"unreachable": {"afterSeconds": 2}}, 1),
    "a NoExecute taint": (is_tainted, {}, 0),
    "out of service": (is_out_of_service, {"unreachable": {"action": "Wait"}}, 0),
    "the kubelet refuses": (is_refused, {}, 1),
    "a rule blames the node": (
        lambda c, _: ended(c, RANK, 43),
        {"rules": [{"action": "ReplaceNode", "onExitCodes": {"operator": "In", "values": [43]}}]},
        1,
    ),
}
"""What happens, the failurePolicy, and how often the node is blamed."""


@pytest.mark.parametrize("how", LOSSES)
def test_a_rank_that_lost_its_node_moves_within_the_rack(
    cluster: Cluster, watcher: Watcher, operator: Operators, how: str
) -> None:
    happens, policy, blamed = LOSSES[how]
    process = lead(operator)
    before = submit(cluster, **policy)
    old = uids(cluster)
    happens(cluster, before)
    status = reaches(cluster, "llm", 2)
    only_moved(cluster, before, RANK)
    assert not {*uids(cluster)} & {*old}, "restart: Gang makes every pod anew"
    assert counts(cluster) == (0, 1)
    assert {b["node"]: b["count"] for b in status.get("blamed", ())} == ({before[RANK]: 1} if blamed else {})
    assert before[RANK] in status["lastFailure"]["message"]
    assert phases(watcher, "llm")[3:] == ["Running 1", "Repairing 2", "Starting 2", "Running 2"]
    sound(process)
    watcher.quiet()


def test_a_silent_machine_that_comes_back_in_time_costs_nothing(
    cluster: Cluster, watcher: Watcher, operator: Operators
) -> None:
    process = lead(operator)
    before = submit(cluster)
    old = uids(cluster)
    for _ in range(3):
        nodes.turn_off(cluster.client, before[RANK])
        time.sleep(0.5)
        nodes.turn_on(cluster.client, before[RANK])
    time.sleep(1)
    assert (cluster.phase("llm"), uids(cluster)) == ("Running", old)
    assert counts(cluster) == (0, 0)
    sound(process)
    watcher.quiet()


def test_a_killed_container_restarts_the_gang_where_it_is(
    cluster: Cluster, watcher: Watcher, operator: Operators
) -> None:
    process = lead(operator)
    before = submit(cluster)
    old = uids(cluster)
    ended(cluster, RANK, 137, signal=9, reason="OOMKilled", message="step 17: out of memory")
    status = reaches(cluster, "llm", 2)
    assert ranks(cluster, "llm", SIZE) == before
    assert not {*uids(cluster)} & {*old}
    assert counts(cluster) == (1, 0)
    first = status["lastFailure"]["failures"][0]
    assert (first["rank"], first["node"], first["exitCode"], first["signal"]) == (RANK, before[RANK], 137, 9)
    assert "out of memory" in first["message"]
    assert not status.get("blamed"), "an exit code blames no node"
    # What its survivors said at their end stays to be read: podRetention.
    assert [rank_of(pod) for pod in cluster.pods("llm", attempt=1) if pod["status"]["phase"] == "Failed"]
    sound(process)
    watcher.quiet()


def test_the_next_pod_of_a_rank_waits_for_the_end_of_the_last(
    cluster: Cluster, watcher: Watcher, operator: Operators
) -> None:
    """One survivor takes four of the twenty seconds of grace that a broken gang gives."""
    process = lead(operator)
    before = submit(cluster, fake(stop_seconds=4, only_rank=5, only_attempt=1), failureGraceSeconds=20)
    ended(cluster, RANK, 1)
    others = SIZE - 1
    wait_for(lambda: len(cluster.pods("llm", attempt=2)) == others, 20, "all other ranks have their next pod")
    [last] = cluster.pods("llm", attempt=1, rank=5)
    assert (last["status"]["phase"], last["metadata"]["deletionGracePeriodSeconds"]) == ("Running", 20)
    assert not cluster.pods("llm", attempt=2, rank=5)
    assert cluster.phase("llm") == "Repairing"
    reaches(cluster, "llm", 2)
    assert ranks(cluster, "llm", SIZE) == before
    sound(process)
    watcher.quiet()


def test_only_the_failed_pod_is_made_anew_for_elastic_launchers(
    cluster: Cluster, watcher: Watcher, operator: Operators
) -> None:
    process = lead(operator)
    before = submit(cluster, restart="FailedPods")
    old = uids(cluster)
    rendezvous = {env_of(pod)["PET_RDZV_ID"] for pod in living(cluster, "llm")}
    ended(cluster, RANK, 1)
    reaches(cluster, "llm", 2)
    assert ranks(cluster, "llm", SIZE) == before
    lose(cluster, before[5])
    reaches(cluster, "llm", 3)
    only_moved(cluster, before, 5)
    now = living(cluster, "llm")
    assert [pod["metadata"]["uid"] == uid for pod, uid in zip(now, old, strict=True)] == [
        rank not in (RANK, 5) for rank in range(SIZE)
    ]
    assert [born_of(pod) for pod in now] == [{RANK: 2, 5: 3}.get(rank, 1) for rank in range(SIZE)]
    assert {env_of(pod)["MUSTER_ATTEMPT"] for pod in now} == {"1"}
    assert {env_of(pod)["PET_RDZV_ID"] for pod in now} == rendezvous
    assert counts(cluster) == (1, 1)
    sound(process)
    watcher.quiet()


def env_of(pod: Object) -> dict[str, str]:
    """The environment of the pod's first container."""
    return {each["name"]: each.get("value", "") for each in pod["spec"]["containers"][0]["env"]}


def test_a_rule_ends_the_job(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    process = lead(operator)
    rule = {"action": "FailJob", "onTerminationMessage": {"contains": "muster: fail"}}
    submit(cluster, rules=[rule])
    ended(cluster, RANK, 1, message="no such data set\nmuster: fail")
    wait_for(lambda: cluster.phase("llm") == "Failed" and not cluster.job("llm")["status"].get("live"), 30, "it failed")
    status = cluster.job("llm")["status"]
    assert status["lastFailure"]["reason"] == "FailedByRule"
    assert (status["attempt"], *counts(cluster)) == (1, 0, 0)
    assert not living(cluster, "llm")
    sound(process)
    watcher.quiet()


@pytest.mark.parametrize("grace", [0, None])
def test_a_pod_that_somebody_deletes_is_made_anew_on_its_node(
    cluster: Cluster, watcher: Watcher, operator: Operators, grace: int | None
) -> None:
    process = lead(operator)
    before = submit(cluster)
    pod = living(cluster, "llm")[RANK]["metadata"]
    cluster.client.delete(core("pods", cluster.namespace, pod["name"]), grace=grace)
    status = reaches(cluster, "llm", 2)
    assert ranks(cluster, "llm", SIZE) == before
    assert counts(cluster) == (0, 1)
    assert "deleted" in status["lastFailure"]["message"]
    sound(process)
    watcher.quiet()


def test_a_cordoned_node_keeps_what_runs_and_takes_nothing_new(
    cluster: Cluster, watcher: Watcher, operator: Operators
) -> None:
    process = lead(operator)
    before = submit(cluster)
    old = uids(cluster)
    nodes.cordon(cluster.client, before[RANK])
    time.sleep(2)
    assert (cluster.phase("llm"), uids(cluster)) == ("Running", old)
    ended(cluster, 6, 1)
    reaches(cluster, "llm", 2)
    only_moved(cluster, before, RANK)
    assert counts(cluster) == (1, 0)
    sound(process)
    watcher.quiet()


def test_a_stranger_takes_the_room_of_a_repair(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    """Bound by hand between the repair's claim and its start: the rank goes to the rack's other spare."""
    proxy = cluster.start_proxy()
    process = lead(operator, proxy=proxy)
    before = submit(cluster)
    view = proxy.add(Rule("GET", VIEW, answer(503)))
    lose(cluster, before[RANK])
    wait_for(lambda: view.hits and len(cluster.pods("llm", attempt=2)) == SIZE, 30, "all is made, none is let go")
    time.sleep(1)
    assert cluster.phase("llm") == "Repairing"
    chosen = placed_on(cluster, RANK, attempt=2)
    limits = {"limits": {GPU: "4"}, "requests": {GPU: "4"}}
    spec = {"nodeName": chosen, "containers": [{"name": "main", "image": "x", "resources": limits}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}, "spec": spec}
    uid = cluster.client.post(core("pods", cluster.namespace), body)["metadata"]["uid"]
    wait_for(lambda: cluster.job("llm")["status"]["attempt"] == 3, 30, "it is repaired otherwise")
    proxy.remove(view)
    reaches(cluster, "llm", 3)
    after = only_moved(cluster, before, RANK)
    assert after[RANK] != chosen
    stranger = cluster.client.get(core("pods", cluster.namespace, "stranger"))
    assert (stranger["metadata"]["uid"], stranger["status"]["phase"]) == (uid, "Running")
    sound(process)
    watcher.quiet()


def placed_on(cluster: Cluster, rank: int, attempt: int) -> str:
    """The node that the gated pod of a rank is nominated for."""
    [pod] = cluster.pods("llm", attempt=attempt, rank=rank)
    return str(
        wait_for(
            lambda: cluster.client.get(core("pods", cluster.namespace, pod["metadata"]["name"]))["status"].get(
                "nominatedNodeName"
            ),
            10,
            "it is nominated",
        )
    )
