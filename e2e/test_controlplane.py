"""The harness itself, without an operator: what it claims to stand in for, it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pytest
from urllib3.exceptions import HTTPError

from e2e import nodes
from e2e.client import ApiError, Object, concurrently, core, wait_for
from e2e.faults import Rule, answer, drop_reply, hold_before
from e2e.harness import Cluster
from e2e.nodes import Racks
from e2e.process import Process

GATE = "muster.dev/gang"


def pod(name: str, node: str | None, gated: bool = False, wishes: Mapping[str, str] | None = None) -> Object:
    """A pod of one GPU, pinned the way the operator pins."""
    spec: Object = {
        "containers": [{"name": "main", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
        "restartPolicy": "Never",
        "tolerations": [{"operator": "Exists"}],
    }
    if node is not None:
        field = {"key": "metadata.name", "operator": "In", "values": [node]}
        terms = [{"matchFields": [field]}]
        spec["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        }
    if gated:
        spec["schedulingGates"] = [{"name": GATE}]
    annotations = {f"fake.muster.dev/{key}": value for key, value in (wishes or {}).items()}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations}, "spec": spec}


def ungate(cluster: Cluster, made: Object) -> None:
    gates = [{"$patch": "delete", "name": GATE}]
    body = {"metadata": {"uid": made["metadata"]["uid"]}, "spec": {"schedulingGates": gates}}
    cluster.client.patch(core("pods", cluster.namespace, made["metadata"]["name"]), body, "strategic")


def create(cluster: Cluster, body: Object) -> Object:
    return cluster.client.post(core("pods", cluster.namespace), body)


def status_of(cluster: Cluster, name: str) -> Object:
    found: Object = cluster.client.get(core("pods", cluster.namespace, name))["status"]
    return found


def wait_pod(cluster: Cluster, name: str, phase: str, timeout: float = 15.0) -> Object:
    wait_for(lambda: status_of(cluster, name)["phase"] == phase, timeout, f"{name} is {phase}")
    return status_of(cluster, name)


def gone(cluster: Cluster, name: str) -> Callable[[], bool]:
    return lambda: cluster.client.find(core("pods", cluster.namespace, name)) is None


def test_gated_pinned_pod_runs_only_after_ungating(cluster: Cluster, kubelet: Process) -> None:
    names = cluster.add_nodes(Racks(racks=2, nodes=3))
    made = create(cluster, pod("a", names[4], gated=True))
    free = create(cluster, pod("free", names[0]))
    wait_pod(cluster, free["metadata"]["name"], "Running")
    assert "nodeName" not in cluster.client.get(core("pods", cluster.namespace, "a"))["spec"]

    ungate(cluster, made)
    status = wait_pod(cluster, "a", "Running")
    assert cluster.client.get(core("pods", cluster.namespace, "a"))["spec"]["nodeName"] == names[4]
    assert status["containerStatuses"][0]["state"]["running"]["startedAt"]
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"


def test_deletion_is_acknowledged_by_the_stand_in(cluster: Cluster, kubelet: Process) -> None:
    (name,) = cluster.add_nodes(Racks(racks=1, nodes=1))
    create(cluster, pod("a", name))
    wait_pod(cluster, "a", "Running")
    cluster.client.delete(core("pods", cluster.namespace, "a"))
    wait_for(gone(cluster, "a"), 5, "the pod is gone long before its grace of 30 s")


@pytest.mark.parametrize(
    ("wishes", "phase", "code"),
    [
        pytest.param({"run-seconds": "0.2"}, "Succeeded", 0, id="ends well"),
        pytest.param({"run-seconds": "0.2", "exit-code": "3", "message": "why"}, "Failed", 3, id="fails"),
    ],
)
def test_containers_end_as_asked(
    cluster: Cluster, kubelet: Process, wishes: dict[str, str], phase: str, code: int
) -> None:
    (name,) = cluster.add_nodes(Racks(racks=1, nodes=1))
    create(cluster, pod("a", name, wishes=wishes))
    end = wait_pod(cluster, "a", phase)["containerStatuses"][0]["state"]["terminated"]
    assert end["exitCode"] == code
    assert end.get("message") == wishes.get("message")


def test_refusals_and_pods_that_never_start(cluster: Cluster, kubelet: Process) -> None:
    (name,) = cluster.add_nodes(Racks(racks=1, nodes=1))
    create(cluster, pod("refused", name, wishes={"refuse": "UnexpectedAdmissionError"}))
    create(cluster, pod("pulls", name, wishes={"image-pull-backoff": "true"}))
    create(cluster, pod("never", name, wishes={"never-start": "true"}))
    status = wait_pod(cluster, "refused", "Failed")
    assert status["reason"] == "UnexpectedAdmissionError"
    assert not status.get("containerStatuses")
    waiting = wait_for(lambda: status_of(cluster, "pulls").get("containerStatuses"), 10, "the pull is reported")
    assert waiting is not None
    assert waiting[0]["state"]["waiting"]["reason"] == "ImagePullBackOff"
    assert status_of(cluster, "never")["phase"] == "Pending"


def test_a_dead_machine_does_nothing_until_it_is_back(cluster: Cluster, kubelet: Process) -> None:
    first, second = cluster.add_nodes(Racks(racks=1, nodes=2))
    nodes.turn_off(cluster.client, second)
    create(cluster, pod("a", first))
    create(cluster, pod("b", second))
    wait_pod(cluster, "a", "Running")
    assert status_of(cluster, "b")["phase"] == "Pending"
    nodes.turn_off(cluster.client, first)
    nodes.turn_on(cluster.client, second)
    # Node events come in order: a stand-in that runs `b` has seen `first` go off.
    wait_pod(cluster, "b", "Running")
    for name in ("a", "b"):
        cluster.client.delete(core("pods", cluster.namespace, name))
    wait_for(gone(cluster, "b"), 5, "the living machine's pod is gone")
    assert not gone(cluster, "a")()
    assert status_of(cluster, "a")["phase"] == "Running"
    nodes.turn_on(cluster.client, first)
    wait_for(gone(cluster, "a"), 5, "the machine is back and ends its pod")


def test_the_stand_in_resumes_after_a_restart(cluster: Cluster) -> None:
    (name,) = cluster.add_nodes(Racks(racks=1, nodes=1))
    first = cluster.start_kubelet()
    create(cluster, pod("a", name, wishes={"run-seconds": "3"}))
    wait_pod(cluster, "a", "Running")
    first.kill()
    create(cluster, pod("b", name))
    cluster.start_kubelet()
    wait_pod(cluster, "b", "Running")
    wait_pod(cluster, "a", "Succeeded")


@pytest.mark.real("its API server can be restarted")
def test_the_api_server_restarts_and_everything_goes_on(cluster: Cluster, kubelet: Process) -> None:
    (name,) = cluster.add_nodes(Racks(racks=1, nodes=1))
    create(cluster, pod("a", name))
    wait_pod(cluster, "a", "Running")
    cluster.plane.restart_apiserver(kill=True)
    create(cluster, pod("b", name))
    wait_pod(cluster, "b", "Running", timeout=40)
    cluster.client.delete(core("pods", cluster.namespace, "a"))
    wait_for(gone(cluster, "a"), 20, "the stand-in still acknowledges deletions")


def test_the_proxy_drops_refuses_and_holds(cluster: Cluster) -> None:
    proxy = cluster.start_proxy()
    config = cluster.plane.kubeconfig_for("e2e-admin", server=proxy.url)
    through = type(cluster.client)(proxy.url, "e2e-admin", None)
    assert proxy.url in config.read_text()

    dropped = proxy.add(Rule("POST", r"/pods$", drop_reply(), times=1))
    with pytest.raises(HTTPError):
        through.post(core("pods", cluster.namespace), pod("a", None, gated=True))
    assert dropped.hits == 1
    assert through.get(core("pods", cluster.namespace, "a"))["metadata"]["name"] == "a"

    proxy.add(Rule("DELETE", r"/pods/a$", answer(429, retry_after=7), times=1))
    refused = through.send("DELETE", core("pods", cluster.namespace, "a"))
    assert (refused.status, refused.headers["Retry-After"]) == (429, "7")
    with pytest.raises(ApiError, match="404"):
        through.get(core("pods", cluster.namespace, "b"))

    held = proxy.add(Rule("POST", r"/pods$", hold_before(), lambda seen: seen.body["metadata"]["name"] == "c"))

    def post(name: str) -> None:
        through.post(core("pods", cluster.namespace), pod(name, None, gated=True))

    def release(_: str) -> None:
        wait_for(lambda: held.hits, 5, "the request is held")
        post("d")
        assert cluster.client.find(core("pods", cluster.namespace, "c")) is None
        held.release()

    concurrently(lambda work: work[0](work[1]), [(post, "c"), (release, "")])
    assert cluster.client.find(core("pods", cluster.namespace, "c")) is not None
    assert proxy.count("POST", r"/pods$") == 3


def test_the_proxy_streams_watches_and_cuts_them(cluster: Cluster) -> None:
    proxy = cluster.start_proxy()
    through = type(cluster.client)(proxy.url, "e2e-admin", None)
    path = core("pods", cluster.namespace)
    events = through.watch(path, through.get(path)["metadata"]["resourceVersion"])
    create(cluster, pod("a", None, gated=True))
    kind, seen = next(events)
    assert (kind, seen["metadata"]["name"]) == ("ADDED", "a")
    proxy.cut_watches()
    with pytest.raises(HTTPError):
        next(events)


def test_a_thousand_nodes_and_a_gang_in_seconds(cluster: Cluster, kubelet: Process) -> None:
    """Prints the figures that benchmarks start from; asserts only that all of it happens."""
    began = time.monotonic()
    names = cluster.add_nodes(Racks(racks=64, nodes=18))
    assert len(cluster.client.list(core("nodes"))) == 1152
    made = time.monotonic()
    wanted = [pod(f"p{number:04}", name, gated=True) for number, name in enumerate(names[:512])]
    concurrently(lambda body: create(cluster, body), wanted, workers=16)
    gated = time.monotonic()
    pods = cluster.client.list(core("pods", cluster.namespace))
    concurrently(lambda each: ungate(cluster, each), pods, workers=16)
    open_ = time.monotonic()

    def running() -> bool:
        return all(p["status"]["phase"] == "Running" for p in cluster.client.list(core("pods", cluster.namespace)))

    wait_for(running, 60, "all 512 run", pause=0.2)
    ran = time.monotonic()
    cluster.client.send("DELETE", core("pods", cluster.namespace))
    wait_for(lambda: not cluster.client.list(core("pods", cluster.namespace)), 60, "all are gone", pause=0.2)
    ended = time.monotonic()
    print(
        f"\n1152 nodes {made - began:.1f} s, 512 gated pods {gated - made:.1f} s, ungated {open_ - gated:.1f} s, "
        f"all Running {ran - open_:.1f} s later, all deleted {ended - ran:.1f} s"
    )
