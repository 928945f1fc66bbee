"""Pods, nodes and policies that are not ours: a gang gives way as a whole and never evicts anybody."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from e2e import nodes
from e2e.client import Object, core, group, wait_for
from e2e.faults import Rule, answer
from e2e.harness import Cluster, Operators
from e2e.jobs import fake, job, role
from e2e.nodes import GPU, Racks
from e2e.watcher import Watcher

ENV = {"MUSTER_PODS_QPS": "0"}
PATIENT = {"baseSeconds": 1, "maxSeconds": 1}
VIEW = r"/trainingjobs\?.*status\.live"
"""The consistent list that Starting waits for."""
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
HOLD = "example.com/hold"
SECONDS_TO_GIVE_UP = 6.0
pytestmark = pytest.mark.usefixtures("kubelet")


@pytest.fixture
def classes(cluster: Cluster) -> Iterator[dict[str, str]]:
    """PriorityClasses below, equal to and above that of the gang (0), by those words."""
    path, made = group("scheduling.k8s.io/v1", "priorityclasses"), {}
    for word, value in (("lower", -10), ("equal", 0), ("higher", 5000)):
        made[word] = f"{cluster.namespace}-{word}"[:60]
        body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": made[word]}}
        # The strangers may preempt: nothing of ours may make use of that, and they must not need it here.
        cluster.client.post(path, body | {"value": value, "preemptionPolicy": "PreemptLowerPriority"})
    yield made
    for name in made.values():
        cluster.client.send("DELETE", f"{path}/{name}")


def stranger(cluster: Cluster, name: str, **spec: object) -> str:
    """Create a pod that takes a whole node; return its uid."""
    amounts = {"limits": {GPU: "4"}, "requests": {GPU: "4"}}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "x", "resources": amounts}]} | spec,
    }
    return str(cluster.client.post(core("pods", cluster.namespace), body)["metadata"]["uid"])


def untouched(cluster: Cluster, name: str, uid: str) -> Object:
    """Return the stranger's pod, which nobody has evicted or begun to delete."""
    pod = cluster.client.get(core("pods", cluster.namespace, name))
    assert pod["metadata"]["uid"] == uid
    assert "deletionTimestamp" not in pod["metadata"]
    assert not [c for c in pod["status"].get("conditions", ()) if c["type"] == "DisruptionTarget"]
    return pod


@pytest.mark.parametrize("who", ["lower", "equal", "higher", "bound by hand"])
def test_a_stranger_between_claim_and_bind(
    cluster: Cluster, watcher: Watcher, operator: Operators, classes: dict[str, str], who: str
) -> None:
    names = cluster.add_nodes(Racks(1, 4))
    proxy = cluster.start_proxy()
    view = proxy.add(Rule("GET", VIEW, answer(503)))
    operator(env=ENV, server=proxy.url)
    cluster.submit(job("gang", [role(replicas=4)], backoff=PATIENT))
    cluster.wait_phase("gang", "Placed")

    def nominated() -> bool:
        pods = cluster.pods("gang")
        return len(pods) == 4 and all(pod["status"].get("nominatedNodeName") for pod in pods)

    wait_for(lambda: nominated() and view.hits, 20, "the gang is nominated and cannot read its view")
    passes = who in ("higher", "bound by hand")
    wish = {"nodeName": names[1]} if who == "bound by hand" else {"priorityClassName": classes[who]}
    uid = stranger(cluster, "stranger", **wish)
    if passes:
        path = core("pods", cluster.namespace, "stranger")
        wait_for(lambda: cluster.client.get(path)["status"]["phase"] == "Running", 20, "the stranger runs")
        # It goes back to the queue by itself, before any gate is opened.
        wait_for(lambda: cluster.phase("gang") in ("Stopping", "Pending"), SECONDS_TO_GIVE_UP, "the claim is void")
        proxy.remove(view)
        wait_for(lambda: not cluster.pods("gang"), 20, "it left nothing behind")
        wait_for(lambda: _reason(cluster, "gang") == "InsufficientCapacity", 20, "it says what is missing")
        assert untouched(cluster, "stranger", uid)["status"]["phase"] == "Running"
        watcher.quiet()
        cluster.client.delete(path, grace=0)
        cluster.wait_phase("gang", "Running")
    else:
        wait_for(lambda: _unschedulable(cluster, "stranger"), 20, "the scheduler has looked at the stranger")
        proxy.remove(view)
        cluster.wait_phase("gang", "Running")
        assert cluster.job("gang")["status"]["attempt"] == 1
        assert untouched(cluster, "stranger", uid)["status"]["phase"] == "Pending"
    watcher.quiet()


def test_lower_pods_that_run_are_not_evicted(
    cluster: Cluster, watcher: Watcher, operator: Operators, classes: dict[str, str]
) -> None:
    names = cluster.add_nodes(Racks(1, 3))
    uid = stranger(cluster, "stranger", priorityClassName=classes["lower"])
    wait_for(lambda: cluster.pods()[0]["status"]["phase"] == "Running", 20, "the stranger runs")
    operator(env=ENV)
    cluster.submit(job("whole", [role(replicas=3)], priorityClassName="muster-high"))
    cluster.submit(job("rest", [role(replicas=2)], priorityClassName="muster-high"))
    cluster.wait_phase("rest", "Running")
    wait_for(lambda: _reason(cluster, "whole") == "InsufficientCapacity", 20, "the whole gang waits")
    taken = untouched(cluster, "stranger", uid)["spec"]["nodeName"]
    assert {pod["spec"]["nodeName"] for pod in cluster.pods("rest")} == set(names) - {taken}
    watcher.quiet()


@pytest.mark.parametrize("how", ["deleted", "not ready"])
def test_a_node_lost_during_the_start(cluster: Cluster, watcher: Watcher, operator: Operators, how: str) -> None:
    cluster.add_nodes(Racks(1, 5))
    operator(env=ENV)
    first = fake(never_start="true", only_attempt=1)
    cluster.submit(job("gang", [role(replicas=4, annotations=first)], backoff=PATIENT))
    cluster.wait_phase("gang", "Starting")
    wait_for(lambda: all(pod["spec"].get("nodeName") for pod in cluster.pods("gang")), 20, "all are bound")
    began = time.monotonic()
    old = {pod["metadata"]["uid"] for pod in cluster.pods("gang")}
    lost = cluster.pods("gang")[2]["spec"]["nodeName"]
    if how == "deleted":
        nodes.remove(cluster.client, [lost])
    else:
        nodes.turn_off(cluster.client, lost)
    wait_for(lambda: cluster.job("gang")["status"]["attempt"] == 2, SECONDS_TO_GIVE_UP, "the attempt is given up")
    if how == "not ready":
        # Nobody can tell whether the pod on it has stopped until the node is back, or 60 s have passed.
        left = cluster.pods
        wait_for(lambda: [p["spec"]["nodeName"] for p in left("gang", attempt=1)] == [lost], 10, "the others are gone")
        assert cluster.phase("gang") == "Repairing"
        assert not left("gang", attempt=2, rank=2), "its next pod is not made yet"
        nodes.turn_on(cluster.client, lost)
    job_now = cluster.wait_phase("gang", "Running")
    assert time.monotonic() - began < 25
    assert job_now["status"]["attempt"] == 2
    assert not old & {pod["metadata"]["uid"] for pod in cluster.pods("gang")}
    assert lost not in {pod["spec"]["nodeName"] for pod in cluster.pods("gang")}
    watcher.quiet()


def test_every_affinity_term_is_pinned(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    """Terms are ORed: one without the pin would let the pod go where it likes."""
    names = cluster.add_nodes(Racks(2, 4))
    for name in names:
        nodes.label(cluster.client, name, {"example.com/hall": "a" if name < "r01" else "b"})
    operator(env=ENV)
    terms = [{"matchExpressions": [{"key": "example.com/hall", "operator": "In", "values": [hall]}]} for hall in "ab"]
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}
    cluster.submit(job("gang", [role(replicas=6, pod={"affinity": affinity})]))
    cluster.wait_phase("gang", "Running")
    for pod in cluster.pods("gang"):
        written = pod["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
        assert len(written) == 2
        for term in written:
            fields = [each for each in term.get("matchFields", ()) if each["key"] == "metadata.name"]
            assert [each["values"] for each in fields] == [[pod["spec"]["nodeName"]]]
    watcher.quiet()


@pytest.fixture
def hold(cluster: Cluster) -> Iterator[None]:
    """A MutatingAdmissionPolicy that gives every pod of the namespace a scheduling gate of its own."""
    api, name = "admissionregistration.k8s.io/v1", f"hold-{cluster.namespace}"
    value = f'Object.spec.schedulingGates{{name: "{HOLD}"}}'
    expression = f'[JSONPatch{{op: "add", path: "/spec/schedulingGates/-", value: {value}}}]'
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    policy = {
        "apiVersion": api,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        },
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
    binding = {
        "apiVersion": api,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "matchResources": {"namespaceSelector": selector}},
    }
    cluster.client.post(group(api, "mutatingadmissionpolicies"), policy)
    cluster.client.post(group(api, "mutatingadmissionpolicybindings"), binding)
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe"},
        "spec": {"schedulingGates": [{"name": "example.com/own"}], "containers": [{"name": "c", "image": "x"}]},
    }

    def holds() -> bool:
        tried = cluster.client.post(core("pods", cluster.namespace), probe, dryRun="All")
        return {"name": HOLD} in tried["spec"]["schedulingGates"]

    wait_for(holds, 30, "the policy is in force")
    yield
    cluster.client.send("DELETE", group(api, "mutatingadmissionpolicybindings", name=name))
    cluster.client.send("DELETE", group(api, "mutatingadmissionpolicies", name=name))


@pytest.mark.real("a MutatingAdmissionPolicy gives the gate")
@pytest.mark.usefixtures("hold")
def test_a_gate_of_somebody_else_is_left_alone(cluster: Cluster, watcher: Watcher, operator: Operators) -> None:
    cluster.add_nodes(Racks(1, 4))
    operator(env=ENV)
    cluster.submit(job("gang", [role(replicas=3)], bindTimeoutSeconds=1))
    cluster.wait_phase("gang", "Starting")

    def gates() -> list[list[str]]:
        return [[gate["name"] for gate in pod["spec"].get("schedulingGates", ())] for pod in cluster.pods("gang")]

    wait_for(lambda: gates() == [[HOLD]] * 3, 20, "only our own gate is off", seen=gates)
    # Whoever set the gate has the say: the time to bind does not run.
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert gates() == [[HOLD]] * 3
        assert cluster.phase("gang") == "Starting"
        time.sleep(0.1)
    for pod in cluster.pods("gang"):
        patch = {"spec": {"schedulingGates": [{"name": HOLD, "$patch": "delete"}]}}
        cluster.client.patch(core("pods", cluster.namespace, pod["metadata"]["name"]), patch, "strategic")
    assert cluster.wait_phase("gang", "Running")["status"]["attempt"] == 1
    watcher.quiet()


def _reason(cluster: Cluster, name: str) -> str | None:
    return ((cluster.job(name).get("status") or {}).get("waiting") or {}).get("reason")


def _unschedulable(cluster: Cluster, name: str) -> bool:
    pod = cluster.client.get(core("pods", cluster.namespace, name))
    return any(c.get("reason") == "Unschedulable" for c in pod["status"].get("conditions", ()))
