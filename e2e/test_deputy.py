"""No confused deputy: pods are made only for people who may make them, and nobody else is believed about a status."""

from __future__ import annotations

import pytest

from e2e import locked
from e2e.audit import Right
from e2e.client import ApiError, Client, Object, core, muster, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.gangs import sound
from e2e.harness import Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import Racks

pytestmark = [pytest.mark.real("admission policies and RBAC"), pytest.mark.usefixtures("kubelet")]
MAKES_PODS = "makes-pods"
WRITES_STATUS = "writes-status"


@pytest.fixture
def controlplane(locked_plane: ControlPlane) -> ControlPlane:
    """The one with the chart's policies, in place of the session's."""
    rules = {
        MAKES_PODS: [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}],
        WRITES_STATUS: [
            {"apiGroups": ["muster.dev"], "resources": ["trainingjobs/status"], "verbs": ["update", "patch"]}
        ],
    }
    for name, allowed in rules.items():
        path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}"
        made = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
        locked_plane.client.apply(path, made | {"rules": allowed})
    return locked_plane


def lead(operator: Operators) -> None:
    """One operator with the chart's rights, no more."""
    [process] = operator(user=locked.ACCOUNT, env={"MUSTER_LEASE_NAMESPACE": locked.NAMESPACE})
    process.wait_until(lambda: '"event": "leading", "term"' in process.output(), 60, "leading")


def given(cluster: Cluster, plane: ControlPlane, name: str, *roles: str) -> Client:
    """A user bound to these ClusterRoles in the test's namespace, once that is known."""
    locked.bind(plane, cluster.namespace, name, *roles)
    wait_for(
        lambda: locked.may(plane, name, Right("muster.dev", "trainingjobs", "create", cluster.namespace)), 20, name
    )
    return locked.user(plane, name)


def submit(client: Client, cluster: Cluster, manifest: Object) -> Object:
    return client.post(muster("trainingjobs", cluster.namespace), manifest, fieldValidation="Strict")


REFUSAL = r"jobs-only may not create pods in the namespace [a-z0-9-]+, and muster makes them only for those who may"


def test_who_may_not_make_pods_gets_none_by_a_job(
    cluster: Cluster, locked_plane: ControlPlane, operator: Operators
) -> None:
    cluster.add_nodes(Racks(1, 4))
    lead(operator)
    without = given(cluster, locked_plane, "jobs-only", "muster-edit", "muster-view")
    allowed = given(cluster, locked_plane, "jobs-and-pods", "muster-edit", "muster-view", MAKES_PODS)
    with pytest.raises(ApiError, match=REFUSAL) as refusal:
        submit(without, cluster, job("gang", [role(replicas=2)]))
    assert refusal.value.status == 403

    submit(allowed, cluster, job("gang", [role(replicas=2)]))
    cluster.wait_phase("gang", "Running")
    # Neither by a change of somebody else's job: its image, or letting it go on.
    path = muster("trainingjobs", cluster.namespace, "gang")
    submit(allowed, cluster, job("held", [role()], suspend=True))
    cluster.wait_phase("held", "Suspended")
    held = muster("trainingjobs", cluster.namespace, "held")
    for change in ({"suspend": False}, {"roles": [role(name="other")]}, {"launcher": "env"}):
        with pytest.raises(ApiError, match=REFUSAL):
            without.patch(held, {"spec": change})
    with pytest.raises(ApiError, match=REFUSAL):
        without.call("PUT", held, without.get(held) | {"spec": job("held")["spec"]})
    assert not cluster.pods("held")
    # What makes no pods is not the policy's business.
    without.patch(path, {"metadata": {"labels": {"team": "a"}}})
    without.delete(held)
    without.delete(path, propagation="Foreground")
    wait_for(lambda: cluster.client.find(path) is None, 30, "a foreground deletion ends")
    assert not cluster.pods("gang")
    for process in operator.replicas:
        sound(process)


def test_the_right_counts_in_the_namespace_of_the_job(cluster: Cluster, locked_plane: ControlPlane) -> None:
    """To be allowed to make pods elsewhere does not help."""
    client = given(cluster, locked_plane, "jobs-only", "muster-edit")
    locked.bind(locked_plane, "default", "jobs-only", MAKES_PODS)
    try:
        wait_for(
            lambda: locked.may(locked_plane, "jobs-only", Right("", "pods", "create", "default")),
            20,
            "the binding is known",
        )
        with pytest.raises(ApiError, match=REFUSAL):
            submit(client, cluster, job("gang"))
    finally:
        locked_plane.client.delete(
            f"/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/jobs-only-{MAKES_PODS}"
        )


def test_who_has_the_role_edit_is_served_and_cannot_forge(
    cluster: Cluster, locked_plane: ControlPlane, operator: Operators
) -> None:
    cluster.add_nodes(Racks(1, 4))
    lead(operator)
    # The roles that every cluster has, which the chart's are added to.
    editor = given(cluster, locked_plane, "editor", "edit")
    submit(editor, cluster, job("gang", [role(replicas=2)]))
    submit(editor, cluster, job("victim", suspend=True))
    cluster.wait_phase("gang", "Running")
    cluster.wait_phase("victim", "Suspended")
    assert [each["metadata"]["name"] for each in editor.list(muster("trainingjobs", cluster.namespace))] == [
        "gang",
        "victim",
    ]
    status = muster("trainingjobs", cluster.namespace, "victim", "status")
    truth: Object = cluster.job("gang")["status"]
    forged: Object = {"status": {key: truth[key] for key in ("phase", "attempt", "live", "placement")}}
    with pytest.raises(ApiError, match="cannot patch resource") as refusal:
        editor.patch(status, forged)
    assert refusal.value.status == 403
    # Even who was given that right by mistake.
    forger = given(cluster, locked_plane, "forger", "edit", WRITES_STATUS)
    wait_for(
        lambda: locked.may(
            locked_plane, "forger", Right("muster.dev", "trainingjobs/status", "patch", cluster.namespace)
        ),
        20,
        "the binding is known",
    )
    with pytest.raises(ApiError, match="only the operator writes this status"):
        forger.patch(status, forged)
    # As part of the object, a status is none.
    submit(editor, cluster, job("born-running", suspend=True) | forged)
    cluster.wait_phase("born-running", "Suspended")
    assert not cluster.pods("born-running")
    assert not cluster.pods("victim")
    viewer = locked.user(locked_plane, "viewer")
    locked.bind(locked_plane, cluster.namespace, "viewer", "view")
    wait_for(lambda: viewer.send("GET", muster("trainingjobs", cluster.namespace)).status == 200, 20, "a viewer sees")
    with pytest.raises(ApiError, match="cannot delete resource"):
        viewer.delete(muster("trainingjobs", cluster.namespace, "gang"))
    for process in operator.replicas:
        sound(process)


def test_a_child_of_a_job_is_taken_for_one_only_from_who_could_make_it(
    cluster: Cluster, locked_plane: ControlPlane, operator: Operators
) -> None:
    """A stranger's pod that calls itself a rank of a job by its labels is none: what counts is the controller owner."""
    cluster.add_nodes(Racks(1, 4))
    lead(operator)
    cluster.submit(job("gang", [role(replicas=2)]))
    cluster.wait_phase("gang", "Running")
    before = {pod["metadata"]["uid"] for pod in cluster.pods("gang")}
    labels = cluster.pods("gang")[0]["metadata"]["labels"]
    stranger = {
        "metadata": {"name": "stranger", "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    cluster.client.post(core("pods", cluster.namespace), stranger)
    cluster.change("gang", {"suspend": True})
    cluster.wait_phase("gang", "Suspended")
    left = cluster.pods("gang")
    assert [pod["metadata"]["name"] for pod in left] == ["stranger"]
    assert left[0]["metadata"]["uid"] not in before
