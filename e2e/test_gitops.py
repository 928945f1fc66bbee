"""GitOps on a real control plane: what is applied again changes nothing, what is seen is true, what is removed goes.

The tools are stood in for by what they send: `kubectl apply` both ways (Argo CD's two ways of syncing; Flux applies at
the server), `kubectl diff` (a dry run at the server, as Argo CD's ServerSideDiff and Flux's drift detection ask), and
the published rules of kstatus and of Flux' expressions.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from tests.gitops import flux, kstatus
from tests.gitops.states import JOBS, TOPOLOGIES, State

from e2e.client import Client, Object, core, group, muster, wait_for
from e2e.gangs import lead, sound, waits
from e2e.harness import ROOT, Cluster, Operators
from e2e.jobs import fake, job, role
from e2e.manifests import documents
from e2e.nodes import Racks
from e2e.process import Process
from e2e.watcher import Watcher

pytestmark = pytest.mark.real("server-side apply, field ownership and the garbage collector are the real ones")
EXAMPLES = [
    document
    for document in documents(ROOT / "examples")
    if document.get("apiVersion") == "muster.dev/v1alpha1" and document["kind"] == "TrainingJob"
]
CLIENT, SERVER = ("apply", "-f", "-"), ("apply", "--server-side", "-f", "-")
DIFF: dict[tuple[str, ...], tuple[str, ...]] = {CLIENT: (), SERVER: ("--server-side",)}
"""How `kubectl diff` is told in which way the next apply will come."""
WAYS = pytest.mark.parametrize("way", [CLIENT, SERVER], ids=["client-side", "server-side"])


@pytest.fixture
def leader(cluster: Cluster, kubelet: Process, operator: Operators) -> Iterator[Process]:
    """One operator that decides, and that has met no defect at the end."""
    process = lead(operator)
    yield process
    sound(process)


class Tool:
    """kubectl in the test's namespace, with manifests on its standard input."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __call__(self, *arguments: str, given: list[Object], check: bool = True) -> str:
        where = ("--namespace", self._cluster.namespace)
        text = yaml.safe_dump_all(given)
        done = self._cluster.plane.kubectl(*arguments, *where, stdin=text, check=check)
        return done.stdout + (done.stderr if not check else "")

    def versions(self, given: list[Object]) -> dict[str, str]:
        """The resourceVersion of each object."""
        return {one["metadata"]["name"]: str(self.live(one)["metadata"]["resourceVersion"]) for one in given}

    def live(self, one: Object) -> Object:
        """The object as the API server has it."""
        plural = {"TrainingJob": "trainingjobs", "ClusterTopology": "clustertopologies"}[one["kind"]]
        where = self._cluster.namespace if plural == "trainingjobs" else None
        return self._cluster.client.get(muster(plural, where, one["metadata"]["name"]))


@pytest.fixture
def tool(cluster: Cluster) -> Tool:
    return Tool(cluster)


def settle(tool: Tool, given: list[Object]) -> dict[str, str]:
    """Wait until the operator has judged everything and writes nothing more for a while; return the versions."""
    seen: list[dict[str, str]] = []

    def quiet() -> bool:
        live = [tool.live(one) for one in given]
        seen.append({one["metadata"]["name"]: str(one["metadata"]["resourceVersion"]) for one in live})
        judged = all(one["status"]["observedGeneration"] == one["metadata"]["generation"] for one in live)
        # Counts of pods are written once a second at most.
        return judged and len(seen) > 3 and seen[-1] == seen[-2] == seen[-3] == seen[-4]

    wait_for(quiet, 60, "nothing is written any more", pause=0.7, seen=lambda: seen[-1])
    return seen[-1]


def in_every_state() -> tuple[list[Object], dict[str, str]]:
    """Jobs as people write them, and the phase that each comes to."""
    made = [
        (job("runs", [role(replicas=3, segment=("nvlink", 3))]), "Running"),
        (job("waits", [role(replicas=99)]), "Pending"),
        (job("paused", [role(replicas=2)], suspend=True), "Suspended"),
        (job("done", [role(replicas=2, annotations=fake(run_seconds=0))]), "Succeeded"),
        (
            job("broken", [role(annotations=fake(run_seconds=1, exit_code=3))], failurePolicy={"maxRestarts": 0}),
            "Failed",
        ),
        (job("rich", [_rich()], activeDeadlineSeconds=86400, failurePolicy=_policy()), "Running"),
    ]
    return [manifest for manifest, _ in made], {manifest["metadata"]["name"]: phase for manifest, phase in made}


def _rich() -> Object:
    """A role with lists in lists, whose entries leave out what has a default."""
    made = role(replicas=1, gpus=1, topology={"preferred": {"level": "leaf"}})
    container = made["template"]["spec"]["containers"][0]
    container["ports"] = [{"containerPort": 29500}, {"containerPort": 29500, "protocol": "UDP"}]
    container["env"] = [
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]
    made["template"]["spec"]["tolerations"] = [{"key": "x", "operator": "Exists"}]
    return made


def _policy() -> Object:
    return {
        "rules": [
            {"action": "Restart", "onExitCodes": {"containerName": "main", "operator": "In", "values": [75]}},
            {"action": "Restart", "onPodConditions": [{"type": "DisruptionTarget"}]},
        ]
    }


TOPOLOGY: Object = {
    "apiVersion": "muster.dev/v1alpha1",
    "kind": "ClusterTopology",
    "metadata": {"name": "default"},
    "spec": {
        "preset": "Custom",
        "levels": [
            {"name": "leaf", "nodeLabel": "fabric.topograph.run/tier-0"},
            {"name": "nvlink", "nodeLabel": "nvidia.com/gpu.clique", "fillLimit": 16},
        ],
        "healthRules": [{"condition": "XIDErrors", "badWhen": "True", "action": "Drain"}],
    },
}


@WAYS
def test_what_is_applied_again_is_neither_a_write_nor_drift(
    cluster: Cluster, leader: Process, tool: Tool, way: tuple[str, ...]
) -> None:
    cluster.add_nodes(Racks(1, 18))
    jobs, phases = in_every_state()
    given = [TOPOLOGY, *jobs]
    tool(*way, given=given)
    for name, phase in phases.items():
        cluster.wait_phase(name, phase, timeout=60)
    before = settle(tool, given)
    said = tool(*way, given=given)
    assert tool.versions(given) == before, "nothing was written"
    if way is CLIENT:
        # kubectl says so where its three-way merge finds nothing to send; Argo CD compares in the same way by default.
        assert [line for line in said.splitlines() if not line.endswith(" unchanged")] == []
    assert tool("diff", *DIFF[way], "-f", "-", given=given) == ""
    assert settle(tool, given) == before, "nor did the operator write anything because of it"
    # What differs is found.
    changed = copy.deepcopy(jobs[0])
    changed["spec"]["bindTimeoutSeconds"] = 45
    assert "bindTimeoutSeconds: 45" in tool("diff", "-f", "-", given=[changed], check=False)


def test_from_client_side_to_server_side_apply_nothing_changes(cluster: Cluster, leader: Process, tool: Tool) -> None:
    """Argo CD's ServerSideApply=true, switched on later."""
    cluster.add_nodes(Racks(1, 18))
    jobs, phases = in_every_state()
    tool(*CLIENT, given=jobs)
    for name, phase in phases.items():
        cluster.wait_phase(name, phase, timeout=60)
    settle(tool, jobs)
    before = {one["metadata"]["name"]: tool.live(one) for one in jobs}
    tool(*SERVER, given=jobs)
    after = {one["metadata"]["name"]: tool.live(one) for one in jobs}
    for name, was in before.items():
        now = after[name]
        assert (now["spec"], now["status"]) == (was["spec"], was["status"])
        assert now["metadata"]["generation"] == was["metadata"]["generation"]
    versions = settle(tool, jobs)
    tool(*SERVER, given=jobs)
    assert tool.versions(jobs) == versions


@WAYS
def test_the_examples_are_admitted_and_applied_without_drift(
    cluster: Cluster, tool: Tool, way: tuple[str, ...]
) -> None:
    given = copy.deepcopy(EXAMPLES)
    for one in given:
        one["metadata"].pop("namespace", None)
        cluster.client.post(muster("trainingjobs", cluster.namespace), one, dryRun="All", fieldValidation="Strict")
    tool(*way, given=given)
    # No operator has written the status yet: the API server stores the CRD's default of it with the first update.
    tool(*way, given=given)
    before = tool.versions(given)
    tool(*way, given=given)
    assert tool.versions(given) == before
    assert tool("diff", *DIFF[way], "-f", "-", given=given) == ""


def test_kustomize_builds_a_run_of_its_own(cluster: Cluster) -> None:
    built = cluster.plane.kubectl("kustomize", str(ROOT / "examples/kustomize/run-2")).stdout
    (made,) = yaml.safe_load_all(built)
    (only,) = made["spec"]["roles"]
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("llama-run-2", "research")
    assert only["replicas"] == 64
    assert only["template"]["spec"]["containers"][0]["image"] == "registry.example.com/trainer:1.1"
    made["metadata"]["namespace"] = cluster.namespace
    path = muster("trainingjobs", cluster.namespace)
    cluster.client.post(path, made, dryRun="All", fieldValidation="Strict")


# --- What is seen -----------------------------------------------------------------------------------------------------


def test_what_readers_of_kstatus_see_of_real_jobs(cluster: Cluster, leader: Process, tool: Tool) -> None:
    cluster.add_nodes(Racks(1, 7))
    jobs, phases = in_every_state()
    tool(*SERVER, given=[TOPOLOGY, *jobs])
    for name, phase in phases.items():
        cluster.wait_phase(name, phase, timeout=60)
    waits(cluster, "waits", "Unsatisfiable")
    expected = dict.fromkeys(phases, kstatus.CURRENT) | {"waits": kstatus.FAILED, "broken": kstatus.FAILED}
    seen = {name: kstatus.compute(cluster.job(name)) for name in expected}
    assert {name: status for name, (status, _) in seen.items()} == expected, seen
    assert "99" in seen["waits"][1]
    topology = wait_for(lambda: kstatus.compute(tool.live(TOPOLOGY))[0] == kstatus.CURRENT, 60, "the levels are in use")
    assert topology
    # Queued is no failure.
    cluster.submit(job("queued", [role(replicas=4)]))
    waits(cluster, "queued", "InsufficientCapacity")
    assert kstatus.compute(cluster.job("queued"))[0] == kstatus.CURRENT
    # Mended, it is looked at again, and is no failure any more.
    cluster.change("waits", {"roles": [role(replicas=4)]})
    waits(cluster, "waits", "InsufficientCapacity")
    assert kstatus.compute(cluster.job("waits"))[0] == kstatus.CURRENT
    cluster.delete_job("runs", "Foreground")
    shown = cluster.client.find(muster("trainingjobs", cluster.namespace, "runs"))
    assert shown is None or kstatus.compute(shown)[0] == kstatus.TERMINATING


def test_starts_that_fail_alike_are_a_failure_until_the_job_is_mended(
    cluster: Cluster, leader: Process, watcher: Watcher
) -> None:
    cluster.add_nodes(Racks(1, 4))
    quick = {"baseSeconds": 1, "maxSeconds": 1}
    never = role(replicas=2, annotations=fake(never_start="true"))
    cluster.submit(job("stuck", [never], startTimeoutSeconds=1, backoff=quick))

    def tried(times: int) -> bool:
        return bool(cluster.job("stuck")["status"].get("attempt", 0) >= times)

    wait_for(lambda: tried(5), 90, "it was tried five times", seen=lambda: cluster.job("stuck").get("status"))
    assert kstatus.compute(cluster.job("stuck"))[0] == kstatus.FAILED
    cluster.change("stuck", {"suspend": True})
    cluster.wait_phase("stuck", "Suspended", timeout=60)
    cluster.change("stuck", {"suspend": False, "roles": [role(replicas=2)]})
    cluster.wait_phase("stuck", "Running", timeout=60)
    assert kstatus.compute(cluster.job("stuck"))[0] == kstatus.CURRENT
    watcher.catch_up()
    versions = [
        event.object for event in watcher.history.events if (event.kind, event.name) == ("TrainingJob", "stuck")
    ]
    said = [found for found, _ in itertools.groupby(kstatus.compute(version)[0] for version in versions)]
    # It fails once and stays so over the fourth and fifth try; InProgress is before each look at a changed spec.
    assert said.count(kstatus.FAILED) == 1, said
    assert said[-1] == kstatus.CURRENT


def test_without_an_operator_everything_is_in_progress(cluster: Cluster, tool: Tool) -> None:
    given = [TOPOLOGY, job("new")]
    tool(*SERVER, given=given)
    assert [kstatus.compute(tool.live(one))[0] for one in given] == [kstatus.IN_PROGRESS] * 2


class Probe:
    """Has the API server's CEL evaluate the expressions for Flux: a policy denies a dry run and says what it found."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name
        self._made: list[str] = []

    def install(self, kind: str, plural: str) -> None:
        checks = {name: _on_object(flux.CHECKS[kind][name]) for name in flux.ORDER}
        found = f"({checks['inProgress']}) ? 'InProgress' : ({checks['failed']}) ? 'Failed' : "
        found += f"({checks['current']}) ? 'Current' : 'InProgress'"
        asked = f"'{self._name}' in object.?metadata.annotations.orValue({{}})"
        rule: Object = {
            "apiGroups": ["muster.dev"],
            "apiVersions": ["*"],
            "operations": ["UPDATE"],
            "resources": [plural],
        }
        spec = {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": "asked", "expression": asked}],
            "validations": [{"expression": "false", "messageExpression": f"'found=' + ({found})"}],
        }
        binding = {"policyName": f"{self._name}-{plural}", "validationActions": ["Deny"]}
        for policy, body in (("ValidatingAdmissionPolicy", spec), ("ValidatingAdmissionPolicyBinding", binding)):
            where = group("admissionregistration.k8s.io/v1", f"{policy.lower()}s".replace("policys", "policies"))
            head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": policy}
            self._client.post(where, head | {"metadata": {"name": f"{self._name}-{plural}"}, "spec": body})
            self._made.append(f"{where}/{self._name}-{plural}")

    def ask(self, path: str) -> str:
        """What the expressions find of the object at this path; empty while the policy is not in force."""
        patch = {"metadata": {"annotations": {self._name: "x"}}}
        answer = self._client.send("PATCH", path, patch, "application/merge-patch+json", dryRun="All")
        found = re.search(r"found=(\w+)", answer.body)
        return found[1] if found else ""

    def remove(self) -> None:
        for path in self._made:
            self._client.send("DELETE", path)


def _on_object(expression: str) -> str:
    """Flux has every top-level field as a variable, a policy has `object`."""
    return re.sub(r"(?<![\w.])(status|metadata|spec)\b", r"object.\1", expression)


@pytest.fixture
def probe(cluster: Cluster) -> Iterator[Probe]:
    made = Probe(cluster.client, f"probe-{uuid.uuid4().hex[:6]}")
    yield made
    made.remove()


def test_the_real_cel_finds_in_every_state_what_kstatus_finds(cluster: Cluster, probe: Probe) -> None:
    probe.install("TrainingJob", "trainingjobs")
    probe.install("ClusterTopology", "clustertopologies")
    jobs, topologies = muster("trainingjobs", cluster.namespace), muster("clustertopologies")
    cluster.submit(job("probed"))
    wait_for(lambda: probe.ask(f"{jobs}/probed"), 30, "the policy is in force")
    found = {}
    for state in (*JOBS, *TOPOLOGIES):
        if state.kstatus == kstatus.TERMINATING:
            continue
        name = "default" if state in TOPOLOGIES else f"s-{len(found)}"
        path = topologies if state in TOPOLOGIES else jobs
        live = _put(cluster.client, path, name, state)
        assert kstatus.compute(live)[0] == state.kstatus
        found[f"{state.object['kind']} {state.name}"] = (probe.ask(f"{path}/{name}"), state.kstatus)
        cluster.client.delete(f"{path}/{name}")
    assert len(found) > 40
    assert {name: pair for name, pair in found.items() if pair[0] != pair[1]} == {}


def _put(client: Client, path: str, name: str, state: State) -> Object:
    """Make the object in this state: its status, its generations as far apart."""
    kind = state.object["kind"]
    spec: Any = job(name)["spec"] if kind == "TrainingJob" else {"preset": "GB300"}
    made = client.post(
        path, {"apiVersion": "muster.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    )
    status = copy.deepcopy(state.object["status"])
    if status["observedGeneration"] >= 0:
        behind = state.object["metadata"]["generation"] - status["observedGeneration"]
        if behind:
            changed = {"suspend": True} if kind == "TrainingJob" else {"preset": "AWS"}
            made = client.patch(f"{path}/{name}", {"spec": changed})
        status["observedGeneration"] = made["metadata"]["generation"] - behind
    strict = {"fieldValidation": "Strict"}
    return client.patch(f"{path}/{name}/status", {"status": status}, **strict)


# --- What is removed --------------------------------------------------------------------------------------------------


def test_pruning_takes_everything_that_muster_made(cluster: Cluster, leader: Process, tool: Tool) -> None:
    cluster.add_nodes(Racks(1, 6))
    label = {"app.kubernetes.io/part-of": cluster.namespace}
    given = [job("stays", [role(replicas=2)]), job("goes", [role(replicas=2)])]
    for one in given:
        one["metadata"]["labels"] = label
    prune = ("--prune", "-l", f"app.kubernetes.io/part-of={cluster.namespace}")
    prune += ("--prune-allowlist=muster.dev/v1alpha1/TrainingJob",)
    tool(*CLIENT, *prune, given=given)
    for one in given:
        cluster.wait_phase(one["metadata"]["name"], "Running")
    kept = {pod["metadata"]["uid"] for pod in cluster.pods("stays")}
    assert "goes pruned" in tool(*CLIENT, *prune, given=given[:1]).replace('"', "")
    wait_for(lambda: not _made(cluster, "goes"), 60, "nothing of it is left", seen=lambda: _made(cluster, "goes"))
    assert {pod["metadata"]["uid"] for pod in cluster.pods("stays")} == kept
    assert cluster.phase("stays") == "Running"


@pytest.mark.parametrize("propagation", ["Foreground", "Background"])
def test_a_deletion_by_either_policy_leaves_nothing(cluster: Cluster, leader: Process, propagation: str) -> None:
    """Argo CD's PrunePropagationPolicy; its default is Foreground."""
    cluster.add_nodes(Racks(1, 6))
    cluster.submit(job("goes", [role(replicas=3, annotations=fake(stop_seconds=2))]))
    cluster.wait_phase("goes", "Running")
    cluster.delete_job("goes", propagation)
    path = muster("trainingjobs", cluster.namespace, "goes")
    if propagation == "Foreground":
        alive = wait_for(lambda: cluster.client.find(path), 5, "the job waits for its pods")
        assert kstatus.compute(alive)[0] == kstatus.TERMINATING
    wait_for(lambda: cluster.client.find(path) is None, 90, "the job is gone")
    wait_for(lambda: not _made(cluster, "goes"), 60, "nothing of it is left", seen=lambda: _made(cluster, "goes"))


def _made(cluster: Cluster, name: str) -> list[str]:
    mine = {"labelSelector": f"muster.dev/job-name={name}"}
    found: list[Object] = []
    for kind in ("pods", "services"):
        found += cluster.client.list(core(kind, cluster.namespace), **mine)
    return [str(one["metadata"]["name"]) for one in found]


TRACKED: dict[str, Callable[[str], Object]] = {
    "argocd-annotation": lambda name: {
        "annotations": {"argocd.argoproj.io/tracking-id": f"a:muster.dev/TrainingJob:n/{name}"}
    },
    "argocd-label": lambda name: {"labels": {"app.kubernetes.io/instance": "research"}},
    "kustomization": lambda name: {"labels": {"kustomize.toolkit.fluxcd.io/name": "research"}},
    "helmrelease": lambda name: {"labels": {"helm.toolkit.fluxcd.io/name": "research"}},
}


def test_a_tracked_job_outlives_its_ttl_and_is_not_run_again(cluster: Cluster, leader: Process, tool: Tool) -> None:
    cluster.add_nodes(Racks(1, 6))
    short = {"roles": [role(annotations=fake(run_seconds=1))], "ttlSecondsAfterFinished": 1}
    given = {name: job(name, **short) for name in ("plain", *TRACKED)}
    for name, metadata in TRACKED.items():
        given[name]["metadata"] |= metadata(name)
    tool(*SERVER, given=list(given.values()))
    plain = muster("trainingjobs", cluster.namespace, "plain")
    wait_for(lambda: cluster.client.find(plain) is None, 60, "the job that nobody tracks is deleted")
    tracked = [given[name] for name in TRACKED]
    for name in TRACKED:
        cluster.wait_phase(name, "Succeeded")
        wait_for(lambda n=name: not _made(cluster, n), 60, f"the pods of {name} go")  # type: ignore[misc]
    versions = settle(tool, tracked)
    told = wait_for(
        lambda: _told(cluster) >= set(TRACKED) and _told(cluster), 20, "it is told", seen=lambda: _told(cluster)
    )
    assert told == set(TRACKED)
    tool(*SERVER, given=tracked)
    assert settle(tool, tracked) == versions, "the next sync runs nothing"
    assert {cluster.job(name)["status"]["attempt"] for name in TRACKED} == {1}


def _told(cluster: Cluster) -> set[str]:
    events = cluster.client.list(core("events", cluster.namespace), fieldSelector="reason=TTLKeptForGitOps")
    assert all("take it out of the source" in event["message"] for event in events), json.dumps(events)
    return {str(event["involvedObject"]["name"]) for event in events}
