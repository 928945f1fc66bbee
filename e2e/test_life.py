"""The life of jobs on a real control plane: from apply to the end, through waiting, failures, suspension and loss."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from e2e import nodes
from e2e.client import ApiError, Object, concurrently, core, group, muster, wait_for
from e2e.gangs import FAST, sound, waits
from e2e.harness import ROOT, Cluster, Operators
from e2e.jobs import fake, job, role
from e2e.manifests import apply, documents
from e2e.nodes import CLIQUE, GPU, HOSTNAME, LEAF, SPINE, Racks
from e2e.process import Process
from e2e.watcher import Watcher

SOON = {"baseSeconds": 1, "maxSeconds": 2}
GATE = "muster.dev/gang"
CRD = group("apiextensions.k8s.io/v1", "customresourcedefinitions", name="trainingjobs.muster.dev")


@pytest.fixture
def muster_process(cluster: Cluster, kubelet: Process, watcher: Watcher, operator: Operators) -> Iterator[Process]:
    """One operator that leads; at the end it still runs and has contained no programming error."""
    process = operator(1, env=FAST)[0]
    process.wait_until(lambda: '"event": "leading"' in process.output(), 60, "leading")
    yield process
    sound(process)


def end(cluster: Cluster, name: str, code: int = 0, **labels: object) -> None:
    """Make the job's pods end by themselves, now."""
    pods = [pod["metadata"]["name"] for pod in cluster.pods(name, **labels)]
    concurrently(lambda pod: cluster.annotate_pod(pod, run_seconds="0", exit_code=str(code)), pods)


def phases(watcher: Watcher, name: str) -> list[str]:
    """The phases that a job went through, as the watch showed them."""
    watcher.catch_up()
    seen: list[str] = []
    for event in watcher.history.events:
        if event.kind == "TrainingJob" and event.name == name:
            phase = event.object.get("status", {}).get("phase")
            if phase and (not seen or seen[-1] != phase):
                seen.append(phase)
    return seen


def settled(cluster: Cluster, name: str) -> Object:
    """Wait until the job holds nothing any more; return it."""
    wait_for(lambda: not cluster.job(name)["status"].get("live"), 40, f"{name} is released")
    return cluster.job(name)


def quiet(cluster: Cluster, watcher: Watcher) -> None:
    """Nothing is in motion: every job runs, waits or has ended and let go."""

    def still() -> bool:
        for one in cluster.client.list(muster("trainingjobs", cluster.namespace)):
            status = one["status"]
            if status["phase"] not in ("Running", "Pending", "Suspended") and status.get("live"):
                return False
        return True

    wait_for(still, 40, "the cluster is quiet")
    watcher.quiet()


# --- An independent reading of placement.md ---------------------------------------------------------------------------


def natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def by_rank(pods: Sequence[Object]) -> list[Object]:
    return sorted(pods, key=lambda pod: int(pod["metadata"]["labels"]["muster.dev/rank"]))


def check_ranks(cluster: Cluster, pods: Sequence[Object], segment: int | None = None) -> list[str]:
    """Check the order of the ranks at every level, from the nodes' labels; return the nvlink domain of each rank."""
    labels = {node["metadata"]["name"]: node["metadata"]["labels"] for node in cluster.client.list(core("nodes"))}
    where = [pod["spec"]["nodeName"] for pod in by_rank(pods)]
    paths = [(labels[n][SPINE], labels[n][LEAF], labels[n][CLIQUE], n) for n in where]
    count = len(paths)
    short = count - 1 if segment and count % segment else None
    check_siblings(paths, list(range(count)), 0, short, 3 if segment else 0)
    racks = [path[2] for path in paths]
    for first in range(0, count, segment or count):
        assert segment is None or len(set(racks[first : first + segment])) == 1, racks
    return racks


def check_siblings(paths: Sequence[tuple[str, ...]], ranks: list[int], level: int, short: int | None, to: int) -> None:
    if level == len(paths[0]):
        return
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and paths[runs[-1][0]][level] == paths[rank][level]:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    names = [paths[run[0]][level] for run in runs]
    assert len(set(names)) == len(names), f"ranks of a domain are not consecutive at level {level}: {names}"

    def order(run: list[int]) -> object:
        last = short in run and level < to
        return (last, -len(run), natural(paths[run[0]][level]))

    assert runs == sorted(runs, key=order), f"level {level}: {[(paths[r[0]][level], len(r)) for r in runs]}"  # type: ignore[arg-type]
    for run in runs:
        check_siblings(paths, run, level + 1, short, to)


def env_of(pod: Object) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in pod["spec"]["containers"][0]["env"]}


def check_pods(cluster: Cluster, one: Object, pods: Sequence[Object]) -> None:
    """Names, labels, owners and environment of a torchrun gang with segments of 16 and four GPUs a pod."""
    name, uid8, space = one["metadata"]["name"], one["metadata"]["uid"][:8], cluster.namespace
    width = len(str(len(pods) - 1))
    service = f"{name}-{uid8}"
    hosts = [f"{name}-worker-{rank:0{width}}-{uid8}-1" for rank in range(len(pods))]
    addresses = [f"{host}.{service}.{space}.svc" for host in hosts]
    labels_of = {node["metadata"]["name"]: node["metadata"]["labels"] for node in cluster.client.list(core("nodes"))}
    for rank, pod in enumerate(by_rank(pods)):
        meta, spec, env = pod["metadata"], pod["spec"], env_of(pod)
        assert meta["name"] == hosts[rank]
        assert (spec["hostname"], spec["subdomain"]) == (hosts[rank], service)
        owner = meta["ownerReferences"][0]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("TrainingJob", name, one["metadata"]["uid"])
        assert owner["controller"] is True
        expected = {
            "app.kubernetes.io/managed-by": "muster",
            "muster.dev/job-name": name,
            "muster.dev/job-uid": one["metadata"]["uid"],
            "muster.dev/role": "worker",
            "muster.dev/rank": str(rank),
            "muster.dev/segment": str(rank // 16),
            "muster.dev/attempt": "1",
        }
        # The API server adds those of the node's zone and region when it binds.
        own = {key: value for key, value in meta["labels"].items() if not key.startswith("topology.kubernetes.io/")}
        assert own == expected
        node = labels_of[spec["nodeName"]]
        expected = {
            "MUSTER_JOB": name,
            "MUSTER_ROLE": "worker",
            "MUSTER_RANK": str(rank),
            "MUSTER_ROLE_SIZE": str(len(pods)),
            "MUSTER_ATTEMPT": "1",
            "MUSTER_SEGMENT": str(rank // 16),
            "MUSTER_SEGMENT_RANK": str(rank % 16),
            "MUSTER_DOMAIN_NVLINK": node[CLIQUE],
            "MUSTER_DOMAIN_LEAF": node[LEAF],
            "MUSTER_ADDR_WORKER": addresses[0],
            "PET_NNODES": str(len(pods)),
            "PET_NODE_RANK": str(rank),
            "PET_NPROC_PER_NODE": "4",
            "PET_MASTER_ADDR": addresses[0],
            "PET_MASTER_PORT": "29500",
            "MASTER_ADDR": addresses[0],
            "MASTER_PORT": "29500",
            "PET_RDZV_ENDPOINT": f"{addresses[0]}:29500",
            "PET_RDZV_ID": f"{name}-{uid8}-1",
            "PET_RDZV_CONF": "timeout=1800,join_timeout=1800",
            "PET_LOCAL_ADDR": addresses[rank],
            "GROUP_RANK": str(rank),
            "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "25",
        }
        assert {key: env.get(key) for key in expected} == expected
        assert not env.keys() & {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "PET_RDZV_BACKEND"}
    made = cluster.client.get(core("services", space, service))
    assert made["spec"]["clusterIP"] == "None"
    assert made["spec"]["publishNotReadyAddresses"] is True
    assert made["metadata"]["ownerReferences"][0]["uid"] == one["metadata"]["uid"]
    selector = made["spec"]["selector"]
    assert all(selector.items() <= pod["metadata"]["labels"].items() for pod in pods)


def check_born_gated(watcher: Watcher, name: str, count: int) -> None:
    """Every pod was created with our gate, pinned to the node on which it later ran, and never by nodeName."""
    watcher.catch_up()
    first: dict[str, Object] = {}
    bound: dict[str, str] = {}
    for event in watcher.history.events:
        if event.kind == "Pod" and event.object["metadata"]["labels"].get("muster.dev/job-name") == name:
            first.setdefault(event.uid, event.object)
            if node := event.object["spec"].get("nodeName"):
                bound[event.uid] = node
    assert len(first) == count
    for uid, pod in first.items():
        assert pod["spec"]["schedulingGates"] == [{"name": GATE}]
        assert "nodeName" not in pod["spec"]
        need = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        for term in need["nodeSelectorTerms"]:
            pin = {"key": "metadata.name", "operator": "In", "values": [bound[uid]]}
            assert pin in term["matchFields"]


# --- 1: a gang from apply to success ----------------------------------------------------------------------------------


def test_a_torchrun_gang_lives_from_apply_to_success(
    cluster: Cluster, muster_process: Process, watcher: Watcher
) -> None:
    cluster.add_nodes(Racks(9, 18))
    begun = time.monotonic()
    cluster.submit(job("llama", [role("worker", 64, segment=("nvlink", 16))]))
    one = cluster.wait_phase("llama", "Running", timeout=60)
    print(f"FIGURE apply -> Running of 64 pods: {time.monotonic() - begun:.2f} s")
    pods = cluster.pods("llama")
    racks = check_ranks(cluster, pods, 16)
    assert sorted(Counter(racks).values()) == [16, 16, 16, 16]
    assert one["status"]["attempt"] == 1
    check_pods(cluster, one, pods)
    check_born_gated(watcher, "llama", 64)

    # No segments and more than a rack holds: the fuller rack has the first ranks.
    cluster.submit(job("uneven", [role("worker", 30)]))
    cluster.wait_phase("uneven", "Running", timeout=40)
    spread = check_ranks(cluster, cluster.pods("uneven"))
    assert [len([r for r in spread if r == name]) for name in dict.fromkeys(spread)] == [18, 12]
    # A shorter last segment has the last ranks.
    cluster.submit(job("short", [role("worker", 20, segment=("nvlink", 16))]))
    cluster.wait_phase("short", "Running", timeout=40)
    check_ranks(cluster, cluster.pods("short"), 16)

    for name in ("llama", "uneven", "short"):
        end(cluster, name)
        done = cluster.wait_phase(name, "Succeeded", timeout=60)
        assert done["status"]["completionTime"]
        done = settled(cluster, name)
        states = {each["type"]: each["status"] for each in done["status"]["conditions"]}
        assert states["Complete"] == "True"
    assert phases(watcher, "llama") == ["Pending", "Placed", "Starting", "Running", "Succeeded"]
    quiet(cluster, watcher)


# --- 2: waiting ------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_waits_with_its_reason_and_starts_when_room_appears(
    cluster: Cluster, muster_process: Process, watcher: Watcher
) -> None:
    cluster.add_nodes(Racks(3, 18))
    cluster.submit(job("first", [role("worker", 48, segment=("nvlink", 16))]))
    cluster.wait_phase("first", "Running", timeout=60)
    cluster.submit(job("many", [role("worker", 10)]))
    missing = waits(cluster, "many", "InsufficientCapacity")
    assert "4" in missing["message"], missing  # 10 wanted, 6 free
    cluster.submit(job("shaped", [role("worker", 6, segment=("nvlink", 6))]))
    broken = waits(cluster, "shaped", "Fragmented")
    assert "nvlink" in broken["message"], broken
    assert not cluster.pods("many")
    assert not cluster.pods("shaped")
    cluster.submit(job("never", [role("worker", 19, segment=("nvlink", 19))]))
    waits(cluster, "never", "Unsatisfiable")

    end(cluster, "first")
    cluster.wait_phase("first", "Succeeded", timeout=60)
    for name in ("many", "shaped"):
        one = cluster.wait_phase(name, "Running", timeout=60)
        assert not one["status"].get("waiting")
        check_ranks(cluster, cluster.pods(name), 6 if name == "shaped" else None)
    waits(cluster, "never", "Unsatisfiable")
    quiet(cluster, watcher)


# --- 3: what users and failures do --------------------------------------------------------------------------------


def test_a_suspended_gang_lets_go_and_resumes_with_its_new_spec(
    cluster: Cluster, muster_process: Process, watcher: Watcher
) -> None:
    cluster.add_nodes(Racks(2, 4))
    cluster.submit(job("a", [role("worker", 6)]))
    cluster.wait_phase("a", "Running", timeout=60)
    cluster.submit(job("b", [role("worker", 4)]))
    waits(cluster, "b", "InsufficientCapacity")
    cluster.change("a", {"suspend": True})
    cluster.wait_phase("a", "Suspended", timeout=60)
    assert not [pod for pod in cluster.pods("a") if pod["status"]["phase"] in ("Pending", "Running")]
    cluster.wait_phase("b", "Running", timeout=40)
    cluster.change("a", job("a", [role("worker", 4)])["spec"] | {"suspend": False})
    one = cluster.wait_phase("a", "Running", timeout=40)
    assert one["status"]["attempt"] == 2
    assert one["status"]["summary"]["running"] == "4/4"
    assert one["status"].get("restarts", 0) == 0
    running = [pod for pod in cluster.pods("a", attempt=2) if pod["status"]["phase"] == "Running"]
    assert len(running) == 4
    assert phases(watcher, "a")[4:] == ["Stopping", "Suspended", "Pending", "Placed", "Starting", "Running"]
    cluster.submit(job("c", [role()], suspend=True))
    cluster.wait_phase("c", "Suspended", timeout=20)
    quiet(cluster, watcher)


def test_success_policy_own_failure_deadline_and_ttl(
    cluster: Cluster, muster_process: Process, watcher: Watcher
) -> None:
    cluster.add_nodes(Racks(2, 18))
    # FirstRank of one role: the others, and the evaluator, run for ever and are ended.
    roles = [role("worker", 4), role("evaluator", 1, gpus=0)]
    policy = {"roles": ["worker"], "when": "FirstRank"}
    cluster.submit(job("policy", roles, successPolicy=policy))
    # The fault of one rank, after all have run: everything runs again.
    failing = fake(only_rank=2, only_attempt=1, run_seconds=5, exit_code=3, message="loss is NaN")
    cluster.submit(job("own", [role("worker", 4, annotations=failing)], backoff=SOON))
    cluster.submit(job("late", [role("worker", 2)], activeDeadlineSeconds=3))
    cluster.submit(job("gone", [role("worker", 2)], ttlSecondsAfterFinished=2))

    cluster.wait_phase("policy", "Running", timeout=60)
    cluster.wait_phase("gone", "Running", timeout=60)
    end(cluster, "gone")
    end(cluster, "policy", role="evaluator")
    wait_for(
        lambda: any(r["name"] == "evaluator" and r.get("succeeded") for r in cluster.job("policy")["status"]["roles"]),
        20,
        "the evaluator's end is counted",
    )
    assert cluster.phase("policy") == "Running", "the evaluator's success is not the job's"
    end(cluster, "policy", role="worker", rank=0)
    cluster.wait_phase("policy", "Succeeded", timeout=30)
    settled(cluster, "policy")
    assert not [p for p in cluster.pods("policy") if p["status"]["phase"] in ("Pending", "Running")]

    one = wait_for(
        lambda: next((j for j in [cluster.job("own")] if j["status"].get("restarts") == 1), None), 40, "own restarts"
    )
    one = cluster.wait_phase("own", "Running", timeout=40)
    assert (one["status"]["attempt"], one["status"]["restarts"], one["status"]["restartsInRow"]) == (2, 1, 1)
    assert one["status"].get("disruptions", 0) == 0
    failure = one["status"]["lastFailure"]["failures"][0]
    assert (failure["role"], failure["rank"], failure["exitCode"]) == ("worker", 2, 3)
    assert "loss is NaN" in failure["message"]
    path = phases(watcher, "own")
    assert path == ["Pending", "Placed", "Starting", "Running", "Repairing", "Starting", "Running"], path

    late = cluster.wait_phase("late", "Failed", timeout=40)
    assert late["status"]["lastFailure"]["reason"] == "DeadlineExceeded"
    settled(cluster, "late")
    assert not [p for p in cluster.pods("late") if p["status"]["phase"] in ("Pending", "Running")]

    wait_for(
        lambda: cluster.client.find(muster("trainingjobs", cluster.namespace, "gone")) is None, 40, "ttl deletes it"
    )
    wait_for(lambda: not cluster.pods("gone"), 40, "its pods are collected")
    wait_for(
        lambda: not cluster.client.list(core("services", cluster.namespace), labelSelector="muster.dev/job-name=gone"),
        40,
        "its Service is collected",
    )
    quiet(cluster, watcher)


def test_spec_changes_are_taken_while_pending_and_refused_with_a_sentence_later(
    cluster: Cluster, muster_process: Process, watcher: Watcher
) -> None:
    cluster.add_nodes(Racks(1, 4))
    cluster.submit(job("a", [role("worker", 5)]))
    waits(cluster, "a", "Unsatisfiable")
    cluster.change("a", job("a", [role("worker", 3)])["spec"])
    one = cluster.wait_phase("a", "Running", timeout=40)
    assert one["status"]["summary"]["running"] == "3/3"
    with pytest.raises(ApiError) as refused:
        cluster.change("a", job("a", [role("worker", 2)])["spec"])
    assert refused.value.status == 422
    assert "spec.roles can change only while the job is Pending or Suspended: set spec.suspend" in refused.value.body
    cluster.change("a", {"ttlSecondsAfterFinished": 3600, "startTimeoutSeconds": 900})
    changed = cluster.job("a")["metadata"]["generation"]
    wait_for(lambda: cluster.job("a")["status"]["observedGeneration"] == changed, 20, "the generation is judged")
    assert cluster.phase("a") == "Running"
    end(cluster, "a")
    cluster.wait_phase("a", "Succeeded", timeout=30)
    with pytest.raises(ApiError) as refused:
        cluster.change("a", job("a", [role("worker", 2)])["spec"])
    assert refused.value.status == 422
    assert "This run has finished. Give the next run a new name." in refused.value.body
    quiet(cluster, watcher)


# --- 4: starts that fail -------------------------------------------------------------------------------------------


def test_a_start_that_fails_is_tried_again_and_blames_nobody(
    cluster: Cluster, muster_process: Process, watcher: Watcher
) -> None:
    """No knob shortens the 300 s of an image that cannot be pulled; that row is tested in tests/."""
    cluster.add_nodes(Racks(2, 18))
    refusing = fake(refuse="UnexpectedAdmissionError", only_rank=1, only_attempt=1)
    cluster.submit(job("refused", [role("worker", 4, annotations=refusing)], backoff=SOON))
    early = fake(run_seconds=0, exit_code=7, only_rank=0, only_attempt=1)
    slow = fake(start_seconds=8, only_rank=0, only_attempt=1)
    roles = [role("worker", 2, annotations=early), role("slow", 1, annotations=slow)]
    cluster.submit(job("early", roles, backoff={"baseSeconds": 4, "maxSeconds": 8}))

    failed = waits(cluster, "early", "StartFailed", timeout=40)
    assert failed["nextAttemptTime"]
    status = cluster.job("early")["status"]
    assert status["startFailures"]["count"] == 1
    assert "exit code 7" in failed["message"], failed
    one = cluster.wait_phase("early", "Running", timeout=40)
    assert one["status"]["attempt"] == 2
    assert (one["status"].get("restarts", 0), one["status"].get("disruptions", 0)) == (0, 0)
    assert not (one["status"].get("startFailures") or {}).get("count")

    one = cluster.wait_phase("refused", "Running", timeout=40)
    assert (one["status"]["attempt"], one["status"]["disruptions"], one["status"].get("restarts", 0)) == (2, 1, 0)
    assert phases(watcher, "refused")[2:] == ["Starting", "Repairing", "Starting", "Running"]
    quiet(cluster, watcher)


# --- 5: a node goes -----------------------------------------------------------------------------------------------


def test_a_deleted_node_moves_its_segment_to_another_rack(
    cluster: Cluster, muster_process: Process, watcher: Watcher
) -> None:
    cluster.add_nodes(Racks(2, 16))
    cluster.submit(job("a", [role("worker", 16, segment=("nvlink", 16))]))
    cluster.wait_phase("a", "Running", timeout=60)
    before = {pod["spec"]["nodeName"] for pod in cluster.pods("a")}
    victim = min(before)
    nodes.remove(cluster.client, [victim])
    wait_for(lambda: cluster.job("a")["status"].get("disruptions") == 1, 40, "the loss is counted")
    one = cluster.wait_phase("a", "Running", timeout=60)
    after = {pod["spec"]["nodeName"] for pod in cluster.pods("a", attempt=2)}
    assert one["status"]["attempt"] == 2
    assert len(after) == 16
    assert not before & after, "the old rack has 15 nodes left, too few"
    assert phases(watcher, "a")[3:] == ["Running", "Repairing", "Starting", "Running"]
    assert victim in one["status"]["lastFailure"]["message"]
    assert (one["status"]["disruptions"], one["status"].get("restarts", 0)) == (1, 0)
    quiet(cluster, watcher)


# --- 6: nothing to do ---------------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_requests(cluster: Cluster) -> Counter[tuple[str, str]]:
    """How many writing requests the API server has had so far, of whomever, by verb and resource."""
    found: Counter[tuple[str, str]] = Counter()
    for line in cluster.client.send("GET", "/metrics").body.splitlines():
        if line.startswith("apiserver_request_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if labels["verb"] in ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"):
                found[labels["verb"], labels["resource"]] += int(float(line.rpartition(" ")[2]))
    return found


def versions(cluster: Cluster) -> dict[str, str]:
    paths = [core(kind) for kind in ("nodes", "pods", "services", "events")]
    paths += [muster("trainingjobs"), muster("clustertopologies")]
    listed = [item for path in paths for item in cluster.client.list(path)]
    return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in listed}


@pytest.mark.real("its API server counts requests")
def test_an_idle_operator_writes_nothing_and_hardly_runs(
    cluster: Cluster, muster_process: Process, watcher: Watcher
) -> None:
    names = [f"j{number:02}" for number in range(20)]
    cluster.add_nodes(Racks(64, 18))
    # All at once on a busy machine: kube-scheduler may need longer than the usual 30 s.
    gang = [role("worker", 8, segment=("nvlink", 8))]
    concurrently(lambda name: cluster.submit(job(name, gang, bindTimeoutSeconds=300)), names)
    for name in names:
        cluster.wait_phase(name, "Running", timeout=120)
    watcher.catch_up()
    # Counts follow within a second, Events and the topology's status later: what still moves is not yet idle.
    state: dict[str, str] = {}

    def unmoved() -> bool:
        nonlocal state
        before, state = state, versions(cluster)
        return before == state

    wait_for(unmoved, 90, "all is written", pause=5.0)
    before, requests = versions(cluster), write_requests(cluster)
    lease = core_lease(cluster)
    used, begun = cpu_seconds(muster_process.pid), time.monotonic()
    time.sleep(60)  # the measure itself
    seconds, used = time.monotonic() - begun, cpu_seconds(muster_process.pid) - used
    written = write_requests(cluster) - requests
    print(f"FIGURE idle: {100 * used / seconds:.2f} % of a core over {seconds:.0f} s; writes by all: {dict(written)}")
    assert versions(cluster) == before
    # The API server renews a Lease of its own; nobody else's writes are in this cluster.
    assert {resource for _, resource in written} <= {"leases"}, written
    assert core_lease(cluster) != lease, "the operator renews its Lease"
    assert used / seconds < 0.02
    watcher.quiet()


def core_lease(cluster: Cluster) -> str:
    found = cluster.client.get(group("coordination.k8s.io/v1", "leases", cluster.namespace, "muster"))
    return str(found["metadata"]["resourceVersion"])


# --- 7: what people see ---------------------------------------------------------------------------------------------


def columns(text: str) -> list[dict[str, str]]:
    """A table of kubectl, cut where its header's words begin."""
    head, *rows = text.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+(?: \S+)*", head)]
    titles = [match.group() for match in re.finditer(r"\S+(?: \S+)*", head)]
    ends = [*starts[1:], None]
    return [{t: row[s:e].strip() for t, s, e in zip(titles, starts, ends, strict=True)} for row in rows]


@pytest.mark.real("kubectl is built with it")
def test_kubectl_shows_what_the_api_promises_and_what_if_foretells_the_placement(
    cluster: Cluster, muster_process: Process, watcher: Watcher, tmp_path: Path
) -> None:
    cluster.add_nodes(Racks(4, 18))
    cluster.submit(job("a", [role("worker", 20, segment=("nvlink", 10))]))
    cluster.wait_phase("a", "Running", timeout=60)
    cluster.submit(job("big", [role("worker", 60)]))
    waits(cluster, "big", "InsufficientCapacity")

    def kubectl(*arguments: str) -> str:
        return cluster.plane.kubectl(*arguments, "-n", cluster.namespace).stdout

    wait_for(lambda: "20/20" in kubectl("get", "tj"), 20, "the counts are told")
    rows = {row["NAME"]: row for row in columns(kubectl("get", "tj"))}
    assert list(rows["a"]) == ["NAME", "PHASE", "RUNNING", "WHERE", "WHY", "RESTARTS", "AGE"]
    assert (rows["a"]["PHASE"], rows["a"]["RUNNING"], rows["a"]["WHY"]) == ("Running", "20/20", "")
    # A broader level is named where the gang is spread over several domains of it.
    assert rows["a"]["WHERE"] == "2/2 nvlink"
    assert (rows["big"]["PHASE"], rows["big"]["WHY"]) == ("Pending", "InsufficientCapacity")
    wide = {row["NAME"]: row for row in columns(kubectl("get", "tj", "-o", "wide"))}
    assert list(wide["a"])[7:] == ["ATTEMPT", "QUEUE", "MESSAGE", "LAST FAILURE"]
    assert wide["a"]["ATTEMPT"] == "1"
    assert wide["big"]["MESSAGE"] == cluster.job("big")["status"]["waiting"]["message"]
    wait_for(lambda: "all pods run" in kubectl("describe", "tj", "a"), 20, "Events are shown")
    told = kubectl("describe", "tj", "a").partition("Events:")[2]
    assert [word for word in ("Placed", "Starting", "Running") if word in told] == ["Placed", "Starting", "Running"]
    assert "InsufficientCapacity" in kubectl("describe", "tj", "big").partition("Events:")[2]

    wanted = job("next", [role("worker", 30, segment=("nvlink", 8))])
    wanted["metadata"]["namespace"] = cluster.namespace
    manifest, dump = tmp_path / "job.yaml", tmp_path / "dump.json"
    manifest.write_text(yaml.safe_dump(wanted))
    kinds = "nodes,pods,clustertopologies,trainingjobs,priorityclasses,runtimeclasses,limitranges,resourcequotas,pvc,pv"
    dump.write_text(cluster.plane.kubectl("get", kinds, "-A", "-o", "json").stdout)
    foretold = what_if(manifest, dump)
    assert foretold["placed"] is True
    assert foretold["provenOptimal"] is True
    cluster.submit(wanted)
    cluster.wait_phase("next", "Running", timeout=40)
    pods = by_rank(cluster.pods("next"))
    check_ranks(cluster, pods, 8)
    assert [rank["node"] for rank in foretold["ranks"]] == [pod["spec"]["nodeName"] for pod in pods]
    quiet(cluster, watcher)


def what_if(manifest: Path, dump: Path) -> Object:
    command = [sys.executable, "-m", "muster", "what-if", "-f", str(manifest), "--cluster", str(dump), "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: Object = json.loads(done.stdout)["jobs"][0]
    return answer


# --- 8: our kind goes and comes back --------------------------------------------------------------------------------


@pytest.fixture
def restored(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Put our kinds back, at the latest at the end: the control plane is everybody's."""

    def restore() -> None:
        apply(cluster.client, documents(ROOT / "crds"))

    yield restore
    restore()


def test_the_operator_survives_the_loss_of_its_kind_and_serves_it_again(
    cluster: Cluster, restored: Callable[[], None], kubelet: Process, operator: Operators
) -> None:
    """Without the watcher: all that it judges by vanishes."""
    cluster.add_nodes(Racks(2, 18))
    process = operator(1, env=FAST)[0]
    cluster.submit(job("old", [role("worker", 16, segment=("nvlink", 16))]))
    cluster.wait_phase("old", "Running", timeout=60)
    # Somebody else's pod that looks much like ours stays where it is.
    alien = foreign_pod(cluster.namespace)
    cluster.client.post(core("pods", cluster.namespace), alien)

    cluster.client.delete(CRD)
    wait_for(lambda: cluster.client.find(CRD) is None, 60, "the kind is gone")
    assert process.running
    restored()
    assert cluster.client.list(muster("trainingjobs")) == []
    # While the kind is missing nobody can tell that the owner is gone: only now must they be swept.
    wait_for(lambda: not cluster.pods("old"), 60, "the pods of the gone job are collected")
    cluster.submit(job("old", [role("worker", 16, segment=("nvlink", 16))]))
    one = cluster.wait_phase("old", "Running", timeout=90)
    assert one["status"]["attempt"] == 1
    check_ranks(cluster, cluster.pods("old"), 16)
    end(cluster, "old")
    cluster.wait_phase("old", "Succeeded", timeout=60)
    assert cluster.client.find(core("pods", cluster.namespace, "alien")) is not None
    sound(process)


def foreign_pod(namespace: str) -> Object:
    labels: Mapping[str, str] = {"app": "other"}
    container = {"name": "c", "image": "x", "resources": {"limits": {GPU: "4"}}}
    meta = {"name": "alien", "namespace": namespace, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


@pytest.mark.real("the embedded scheduler binds no pod that mounts a claim")
def test_pods_go_where_the_volume_behind_their_claim_is(cluster: Cluster, muster_process: Process) -> None:
    """A volume of rack 1, bound before; unbound by then the claim would hold nobody back."""
    racks = Racks(2, 4)
    cluster.add_nodes(racks)
    volume = f"{cluster.namespace}-data"[:60]
    here = {"key": HOSTNAME, "operator": "In", "values": racks.rack(1)}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "by-hand",
        "local": {"path": "/data"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        "claimRef": {"namespace": cluster.namespace, "name": "data"},
    }
    volumes, claims = core("persistentvolumes"), core("persistentvolumeclaims", cluster.namespace)
    of = {"apiVersion": "v1"}
    cluster.client.post(volumes, of | {"kind": "PersistentVolume", "metadata": {"name": volume}, "spec": spec})
    try:
        asked = {"accessModes": ["ReadWriteMany"], "storageClassName": "by-hand", "volumeName": volume}
        asked |= {"resources": {"requests": {"storage": "1Gi"}}}
        claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": asked}
        cluster.client.post(claims, of | claim)
        mounted = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
        cluster.submit(job("reads", [role(replicas=3, pod=mounted)]))
        cluster.wait_phase("reads", "Running")
        assert {pod["spec"]["nodeName"] for pod in cluster.pods("reads")} <= set(racks.rack(1))
        cluster.submit(job("too-many", [role(replicas=5, pod=mounted)]))
        waits(cluster, "too-many", "Unsatisfiable")
    finally:
        cluster.delete_job("reads")
        cluster.client.send("DELETE", core("persistentvolumes", name=volume))


def test_a_relabel_of_a_running_gang_is_told_and_changes_nothing_else(
    cluster: Cluster, muster_process: Process
) -> None:
    names = cluster.add_nodes(Racks(1, 4))
    cluster.submit(job("gang", [role(replicas=4, topology={"required": {"level": "nvlink"}})]))
    before = cluster.wait_phase("gang", "Running")["status"]

    def told() -> Object | None:
        found = [c for c in cluster.job("gang")["status"]["conditions"] if c["type"] == "TopologyChanged"]
        return found[0] if found else None

    node = core("nodes", name=names[3])
    own = cluster.client.get(node)["metadata"]["labels"][CLIQUE]
    cluster.client.patch(node, {"metadata": {"labels": {CLIQUE: "another"}}})
    condition = wait_for(told, 20, "the condition says so")
    assert condition is not None
    assert "nvlink" in condition["message"]
    cluster.client.patch(node, {"metadata": {"labels": {CLIQUE: own}}})
    wait_for(lambda: told() is None, 20, "it keeps its constraint again")
    after = cluster.job("gang")["status"]
    assert (after["phase"], after["attempt"]) == ("Running", before["attempt"])
    assert after["placement"] == before["placement"]
