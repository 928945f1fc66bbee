"""The operator with exactly the rights that the chart gives it: none is missing, none is there that it does not use."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from e2e import locked, nodes
from e2e.audit import Asked, Right, asked, rights
from e2e.client import ApiError, Object, core, group, muster, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.elsewhere import Elsewhere, lead, left_alone, started_by_all
from e2e.faults import Rule, drop_reply
from e2e.gangs import leads, reaches, waits
from e2e.harness import Cluster, Operators
from e2e.jobs import fake, job, role
from e2e.manifests import apply, path_of
from e2e.needs import NEEDS, SERVED
from e2e.nodes import Racks
from e2e.process import Process

pytestmark = pytest.mark.real("RBAC and its audit")
ENV = {
    "MUSTER_LEASE_NAMESPACE": locked.NAMESPACE,
    "MUSTER_LEASE_SECONDS": "4",
    "MUSTER_TOPOLOGY_STATUS_SECONDS": "1",
    "MUSTER_REAPER_SECONDS": "1",
}
INCIDENT_SECONDS = 31
"""So far apart two blames of a node are two incidents."""
EVENT_WINDOW = 61
"""Seconds after which an Event that happens again is written again."""
PATIENT = {"baseSeconds": 1, "maxSeconds": 1}
WITHOUT_REQUEST = Right("muster.dev", "trainingjobs/finalizers", "update")
"""What an admission plugin asks the authorizer for; see test_ownership_needs_the_finalizers."""


@pytest.fixture
def controlplane(locked_plane: ControlPlane) -> ControlPlane:
    """The one with the chart's rights, in place of the session's."""
    return locked_plane


def begun(cluster: Cluster, operator: Operators, env: dict[str, str]) -> list[Process]:
    """A leader, of which the answers to one write of each kind are lost, and a follower."""
    cluster.client.send("DELETE", group("coordination.k8s.io/v1", "leases", locked.NAMESPACE, "muster"))
    proxy = cluster.start_proxy()
    proxy.add(Rule("POST", r"/services(\?|$)", drop_reply(), times=1))
    proxy.add(Rule("POST", r"/pods(\?|$)", drop_reply(), lambda seen: "dryRun" not in seen.path, times=1))
    proxy.add(Rule("PATCH", r"/trainingjobs/.+/status", drop_reply(), times=1))
    [first] = operator(user=locked.ACCOUNT, env=ENV | env, server=proxy.url)
    first.wait_until(lambda: leads(first), 60, "leading")
    [second] = operator(user=locked.ACCOUNT, env=ENV | env)
    second.wait_until(lambda: "all caches are synced" in second.output(), 60, "synced")
    return [first, second]


def volume(cluster: Cluster, node: str) -> None:
    """A volume that is on one node alone, and the claim `data` that is bound to it."""
    name = f"data-{cluster.namespace}"
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    local = {"local": {"path": "/data"}, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}
    cluster.client.post(core("persistentvolumes"), {"metadata": {"name": name}, "spec": spec | local})
    wanted = {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": name}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""} | wanted
    cluster.client.post(
        core("persistentvolumeclaims", cluster.namespace), {"metadata": {"name": "data"}, "spec": claim}
    )
    path = core("persistentvolumeclaims", cluster.namespace, "data")
    wait_for(lambda: cluster.client.get(path)["status"].get("phase") == "Bound", 20, "the claim is bound")


class Blames:
    """Jobs that hold the same node to be bad, one after the other: after the third all jobs avoid it, and an Event at
    the node says so. What lies closer together counts as one incident."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self.cluster, self.node, self.jobs = cluster, node, 0
        self.began = time.monotonic()

    def next(self) -> None:
        """One more."""
        time.sleep(max(0.0, self.began + self.jobs * INCIDENT_SECONDS - time.monotonic()))
        name = f"blames-{self.jobs}"
        self.jobs += 1
        rules = {"rules": [{"action": "ReplaceNode", "onExitCodes": {"operator": "In", "values": [43]}}]}
        only = {"nodeSelector": {"kubernetes.io/hostname": self.node}}
        fails = role(gpus=1, pod=only, annotations=fake(run_seconds=1, exit_code=43))
        self.cluster.submit(job(name, [fails], failurePolicy=rules))
        wait_for(lambda: (self.cluster.job(name).get("status") or {}).get("blamed"), 20, f"{name} blames its node")
        self.cluster.delete_job(name)

    def told(self) -> bool:
        """Whether there is an Event at the node."""
        events = self.cluster.client.list(core("events", "default"), fieldSelector=f"involvedObject.name={self.node}")
        return any(event["reason"] == "AvoidedByAll" for event in events)


def everything(plane: ControlPlane, cluster: Cluster, operator: Operators, env: dict[str, str]) -> None:
    """All that the operator does with the API: a day of a small cluster."""
    client, namespace = cluster.client, cluster.namespace
    names = cluster.add_nodes(Racks(3, 4))
    body = {"apiVersion": "muster.dev/v1alpha1", "kind": "ClusterTopology", "metadata": {"name": "default"}}
    client.post(muster("clustertopologies"), body | {"spec": {"preset": "Auto"}})
    began = time.monotonic()
    cluster.submit(job("toggled", [role(replicas=99)], suspend=True))
    first, second = begun(cluster, operator, env)
    cluster.wait_phase("toggled", "Suspended")
    blames = Blames(cluster, names[-2])
    blames.next()

    # Start, repair, requeue, suspend.
    cluster.submit(job("gang", [role(replicas=3, segment=("nvlink", 3))]))
    reaches(cluster, "gang", 1)
    lost = {pod["spec"]["nodeName"] for pod in cluster.pods("gang", rank=1)}
    nodes.remove(client, list(lost))
    reaches(cluster, "gang", 2)
    cluster.change("gang", {"suspend": True})
    cluster.wait_phase("gang", "Suspended")
    wait_for(lambda: not cluster.pods("gang"), 20, "its pods are gone")

    # What admission and the scheduler need to be asked: a volume on one node, a quota.
    spare = names[-1]
    volume(cluster, spare)
    mounted: Object = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    cluster.submit(job("mounts", [role(pod=mounted)]))
    cluster.wait_phase("mounts", "Running")
    assert {pod["spec"]["nodeName"] for pod in cluster.pods("mounts")} == {spare}
    quota = core("resourcequotas", namespace)
    client.post(quota, {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "2"}}})
    cluster.submit(job("many", [role(replicas=4, gpus=1)], backoff=PATIENT))
    waits(cluster, "many", "NamespaceQuota")
    client.delete(f"{quota}/few")
    cluster.wait_phase("many", "Running")

    # The end of a job, by itself and by deletion.
    cluster.submit(job("short", [role(annotations=fake(run_seconds=0))], ttlSecondsAfterFinished=1))
    wait_for(lambda: client.find(muster("trainingjobs", namespace, "short")) is None, 40, "its time to live is over")

    # The garbage collector does not come: the operator sweeps up what a deleted job left behind.
    plane.controller_manager.freeze()
    try:
        cluster.delete_job("many")
        blames.next()
        wait_for(lambda: not cluster.pods("many"), 60, "the pods are swept", seen=lambda: cluster.pods("many"))
        named = {"labelSelector": "muster.dev/job-name=many"}
        wait_for(lambda: not client.list(core("services", namespace), **named), 60, "the Service is swept")
    finally:
        plane.controller_manager.thaw()
    blames.next()
    wait_for(blames.told, 20, "an Event says that the node is avoided")
    wait_for(
        lambda: (client.get(muster("clustertopologies", name="default")).get("status") or {}).get("avoided"),
        20,
        "the status of the topology says what is avoided",
    )

    # An Event that happens again.
    cluster.change("toggled", {"suspend": False})
    waits(cluster, "toggled", "Unsatisfiable")
    time.sleep(max(0.0, began + EVENT_WINDOW - time.monotonic()))
    cluster.change("toggled", {"suspend": True})

    def repeated() -> bool:
        events = client.list(core("events", namespace), fieldSelector="involvedObject.name=toggled")
        return any(event["reason"] == "Suspended" and event["count"] > 1 for event in events)

    wait_for(repeated, 20, "the Event was written again")

    # Another leader.
    first.kill()
    second.wait_until(lambda: leads(second), 30, "leading")
    cluster.delete_job("mounts")
    cluster.change("gang", {"suspend": False})
    cluster.wait_phase("gang", "Running")
    for name in ("gang", "toggled"):
        cluster.delete_job(name)
    wait_for(lambda: not cluster.pods(), 30, "no pod is left", seen=cluster.pods)
    assert operator.terminate(second) == 0
    sound_log(second)


def sound_log(process: Process) -> None:
    """No programming error was contained, and nothing was refused for want of a right."""
    output = process.output()
    assert "defect" not in output, output[-3000:]
    assert "cannot " not in output, output[-3000:]


def judge(requests: list[Asked], given: set[Right]) -> None:
    """Nothing was forbidden, nothing is there that was not used."""
    refused = sorted({str(each.right) for each in requests if not each.allowed})
    assert not refused, f"the chart's roles lack: {refused}"
    needed = {each.right for each in requests}
    unused = sorted(str(right) for right in given if not any(right.allows(one) for one in needed))
    assert not unused, f"the chart's roles have what nobody uses: {unused}"
    strange = sorted({str(one) for one in needed if not any(right.allows(one) for right in given)})
    assert not strange, f"allowed by something else than the chart's roles: {strange}"


def of_the_operator(values: Mapping[str, object] | None = None) -> set[Right]:
    """The rights of the operator; the chart's roles for people are not its."""
    documents = locked.rendered(values)
    people = ("muster-view", "muster-edit")
    return set(rights(each for each in documents if each["metadata"]["name"] not in people))


@pytest.fixture
def log(locked_plane: ControlPlane) -> tuple[Path, int]:
    """The audit log, and where it ends now."""
    path = locked_plane.directory / "audit.log"
    return path, path.stat().st_size


@pytest.mark.usefixtures("kubelet")
def test_exactly_these_rights(
    locked_plane: ControlPlane, cluster: Cluster, operator: Operators, log: tuple[Path, int]
) -> None:
    everything(locked_plane, cluster, operator, {})
    path, before = log
    requests = asked(path, locked.ACCOUNT, before)
    judge(requests, of_the_operator() - {WITHOUT_REQUEST})
    assert any("dryRun=All" in each.uri for each in requests)


def test_the_table_in_the_docs_is_the_roles() -> None:
    bare = {Right(right.group, right.resource, right.verb) for right in of_the_operator()}
    assert bare == {right for need in NEEDS for right in need.rights()}


def test_fewer_namespaces_move_the_rights_and_make_them_no_more() -> None:
    everywhere = of_the_operator()
    some = of_the_operator({"watchNamespaces": ["a", "b"]})
    served = {right for right in everywhere if not right.namespace} - {right for right in some if not right.namespace}
    want = {replace(right, namespace=namespace) for right in served for namespace in ("a", "b")}
    want |= everywhere - served
    want |= {Right("", "events", "create", "default")}
    assert some == want
    assert {right.resource for right in served} == {need.resource for need in NEEDS if need.where == SERVED}


@pytest.mark.usefixtures("kubelet")
def test_exactly_these_rights_in_one_namespace(
    locked_plane: ControlPlane, cluster: Cluster, operator: Operators, log: tuple[Path, int]
) -> None:
    elsewhere = Elsewhere(cluster)
    begin = started_by_all(cluster, elsewhere, operator, ENV, locked.ACCOUNT)
    values = {"watchNamespaces": [cluster.namespace]}
    with bound(locked_plane, values):
        path = log[0]
        before = path.stat().st_size
        process = lead(cluster, operator, ENV, locked.ACCOUNT)
        left_alone(cluster, elsewhere, begin)
        assert operator.terminate(process) == 0
        requests = asked(path, locked.ACCOUNT, before)
    given = of_the_operator(values)
    refused = sorted({str(each.right) for each in requests if not each.allowed})
    assert not refused
    needed = {each.right for each in requests}
    assert not [one for one in needed if not any(right.allows(one) for right in given)]
    written = {one.namespace for one in needed if one.verb not in ("get", "list", "watch")}
    assert written == {cluster.namespace, locked.NAMESPACE}
    elsewhere.remove()


@contextmanager
def bound(plane: ControlPlane, values: Mapping[str, object]) -> Iterator[None]:
    """The chart's roles by these values in place of those of the defaults."""
    client = plane.client
    roles = [each for each in locked.rendered() if each["kind"] in ("ClusterRole", "ClusterRoleBinding")]
    mine = [each for each in locked.rendered(values) if each["kind"] in ("Role", "RoleBinding")]
    for each in roles:
        client.delete(path_of(client, each))
    apply(client, locked.rendered(values), locked.NAMESPACE)
    known(plane, of_the_operator(values))
    try:
        yield
    finally:
        for each in mine:
            client.delete(path_of(client, each))
        apply(client, locked.rendered(), locked.NAMESPACE)
        known(plane, of_the_operator())


def known(plane: ControlPlane, given: set[Right]) -> None:
    """Wait until the authorizer knows all of these rights of the operator."""
    for right in given:
        wait_for(
            lambda right=right: locked.may(plane, locked.ACCOUNT, right),  # type: ignore[misc]
            20,
            f"{right} is known",
        )


def test_ownership_needs_the_finalizers(locked_plane: ControlPlane, cluster: Cluster) -> None:
    """The one right without a request: an admission plugin asks for it."""
    made = cluster.submit(job("gang", suspend=True))
    owner = {"apiVersion": made["apiVersion"], "kind": made["kind"], "name": "gang", "uid": made["metadata"]["uid"]}
    pod: Object = {
        "metadata": {"name": "p", "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}]},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    client = locked.user(locked_plane, locked.ACCOUNT)
    client.post(core("pods", cluster.namespace), pod, dryRun="All")
    documents = locked.rendered()
    [role_] = [d for d in documents if d["kind"] == "ClusterRole" and d["metadata"]["name"] == "muster-jobs"]
    path = path_of(locked_plane.client, role_)
    rules = [rule for rule in role_["rules"] if "trainingjobs/finalizers" not in rule["resources"]]
    assert len(rules) == len(role_["rules"]) - 1
    locked_plane.client.patch(path, {"rules": rules})
    try:
        wait_for(
            lambda: not locked.may(locked_plane, locked.ACCOUNT, replace(WITHOUT_REQUEST, namespace=cluster.namespace)),
            20,
            "the right is gone",
        )
        with pytest.raises(ApiError, match="cannot set blockOwnerDeletion"):
            client.post(core("pods", cluster.namespace), pod, dryRun="All")
    finally:
        apply(locked_plane.client, documents, locked.NAMESPACE)
        known(locked_plane, {WITHOUT_REQUEST})
