"""The chart's admission policies, priority classes, flow schema and roles, on a real API server."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e import locked
from e2e.client import ApiError, Client, Object, group, muster, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.harness import ROOT, Cluster
from e2e.jobs import job, role
from e2e.manifests import apply

pytestmark = pytest.mark.real("admission policies")
RBAC = "rbac.authorization.k8s.io/v1"


@pytest.fixture
def controlplane(locked_plane: ControlPlane) -> ControlPlane:
    """The one with the chart's policies, in place of the session's."""
    return locked_plane


def one(pod: Object | None = None, container: Object | None = None, init: Object | None = None) -> Object:
    """A job with a good role and one whose pod spec, container or init container has these fields."""
    made = role("bad", gpus=0, pod=copy.deepcopy(pod or {}))
    made["template"]["spec"]["containers"][0] |= container or {}
    if init is not None:
        made["template"]["spec"]["initContainers"] = [{"name": "setup", "image": "setup"} | init]
    return job("one", [role("good", gpus=0), made])


def context(**fields: Any) -> Object:
    return {"securityContext": fields}


def adds(*names: str) -> Object:
    return context(capabilities={"add": list(names), "drop": ["ALL"]})


HOST_PATH = {"volumes": [{"name": "logs", "hostPath": {"path": "/var/log"}}, {"name": "own", "emptyDir": {}}]}
REFUSED = [
    pytest.param(one(container=context(privileged=True)), "privileged", "container bad/main", id="privileged"),
    pytest.param(one(init=context(privileged=True)), "privileged", "container bad/setup", id="privileged-init"),
    pytest.param(one(container=adds("SYS_ADMIN")), "capabilities.add", "container bad/main", id="capability"),
    pytest.param(one(container=adds("IPC_LOCK", "ALL")), "capabilities.add", "container bad/main", id="all"),
    pytest.param(one(init=adds("CAP_IPC_LOCK")), "capabilities.add", "container bad/setup", id="spelling"),
    pytest.param(one(HOST_PATH), "volumes[].hostPath", "volume bad/logs", id="hostPath"),
    pytest.param(one({"hostNetwork": True}), "hostNetwork", "role bad", id="hostNetwork"),
    pytest.param(one({"hostIPC": True}), "hostIPC", "role bad", id="hostIPC"),
]
ALLOWED = [
    pytest.param(one(), id="plain"),
    pytest.param(one(container=context(privileged=False)), id="not-privileged"),
    pytest.param(one(container=adds("IPC_LOCK"), init=adds("IPC_LOCK")), id="IPC_LOCK"),
    pytest.param(one(container=context(capabilities={"drop": ["ALL"]})), id="drop"),
    pytest.param(one({"hostNetwork": False, "hostIPC": False}), id="false"),
    pytest.param(one({"volumes": [{"name": "own", "emptyDir": {"medium": "Memory"}}]}), id="volumes"),
]


@pytest.mark.parametrize(("manifest", "field", "where"), REFUSED)
def test_a_template_that_asks_for_the_host_is_refused(
    cluster: Cluster, manifest: Object, field: str, where: str
) -> None:
    with pytest.raises(ApiError) as refusal:
        cluster.submit(manifest)
    assert refusal.value.status == 422
    said = refusal.value.body
    assert f"{field} is refused by the policy of the cluster ({where}): " in said
    assert "policies.podTemplate." in said
    # Neither by a change of a job that was good.
    cluster.submit(one())
    with pytest.raises(ApiError, match="is refused by the policy"):
        cluster.change("one", {"roles": manifest["spec"]["roles"]})


@pytest.mark.parametrize("manifest", ALLOWED)
def test_a_template_that_asks_for_nothing_of_it_is_taken(cluster: Cluster, manifest: Object) -> None:
    cluster.submit(manifest)


def test_what_the_schema_refuses_by_itself_needs_no_policy(cluster: Cluster) -> None:
    """hostPID, and user namespaces turned off, whatever the chart allows."""
    for field in ("hostPID", "hostUsers"):
        with pytest.raises(ApiError, match=f"{field} is refused"):
            cluster.submit(one({field: True}))


def largest() -> Object:
    """A job with as much in it for the policies to look at as the schema takes, all of it allowed."""
    capabilities = {"capabilities": {"add": ["IPC_LOCK"] * 64}}

    def containers(kind: str) -> list[Object]:
        return [{"name": f"{kind}{n}", "image": "i", "securityContext": capabilities} for n in range(16)]

    volumes = [{"name": f"v{n}", "emptyDir": {}} for n in range(128)]
    spec = {"containers": containers("c"), "initContainers": containers("i"), "volumes": volumes}
    roles = [{"name": f"r{n}", "replicas": 1, "template": {"spec": copy.deepcopy(spec)}} for n in range(16)]
    return job("largest", roles, launcher="none")


def test_the_largest_job_stays_within_the_cost_of_the_policies(cluster: Cluster) -> None:
    cluster.submit(largest())
    bad = largest()
    for each in bad["spec"]["roles"]:
        for container in each["template"]["spec"]["containers"]:
            container["securityContext"] = {"privileged": True}
    with pytest.raises(ApiError, match=r"securityContext\.privileged is refused"):
        cluster.submit(bad | {"metadata": {"name": "bad"}})


def test_a_job_from_before_the_policy_can_be_labelled_and_deleted(
    cluster: Cluster, loosened: Client, locked_plane: ControlPlane
) -> None:
    path = muster("trainingjobs", cluster.namespace, "one")
    cluster.submit(one({"hostIPC": True}))
    apply(locked_plane.client, locked.rendered(), locked.NAMESPACE)
    locked.in_force(locked_plane.client)
    loosened.patch(path, {"metadata": {"labels": {"team": "a"}}})
    with pytest.raises(ApiError, match="hostIPC is refused by the policy"):
        cluster.change("one", {"suspend": True})
    cluster.delete_job("one", "Foreground")
    wait_for(lambda: loosened.find(path) is None, 20, "the job is gone")


@pytest.fixture
def loosened(locked_plane: ControlPlane) -> Iterator[Client]:
    """The policies as with every `allow` set; those of the defaults afterwards."""
    names = ("allowPrivileged", "allowHostPath", "allowHostNetwork", "allowHostIPC")
    values = {"policies": {"podTemplate": dict.fromkeys(names, True) | {"allowedCapabilities": ["SYS_PTRACE"]}}}
    client = locked_plane.client
    apply(client, locked.rendered(values), locked.NAMESPACE)
    path = muster("trainingjobs", "default")

    def free() -> bool:
        return client.send("POST", path, one({"hostIPC": True}), dryRun="All").status == 201

    wait_for(free, 30, "the looser policy is in force")
    yield client
    apply(client, locked.rendered(), locked.NAMESPACE)
    locked.in_force(client)


@pytest.mark.usefixtures("loosened")
def test_values_allow_what_the_defaults_refuse(cluster: Cluster) -> None:
    everything = HOST_PATH | {"hostNetwork": True, "hostIPC": True}
    cluster.submit(one(everything, context(privileged=True) | {}, adds("SYS_PTRACE")))
    with pytest.raises(ApiError, match=r"add only what is allowed \(SYS_PTRACE\)"):
        cluster.submit(one(container=adds("IPC_LOCK")) | {"metadata": {"name": "two"}})


def test_only_the_operator_writes_status(cluster: Cluster, locked_plane: ControlPlane) -> None:
    cluster.submit(one())
    body = {"metadata": {"name": "default"}, "spec": {"preset": "Auto"}}
    kind = {"apiVersion": "muster.dev/v1alpha1", "kind": "ClusterTopology"}
    cluster.client.post(muster("clustertopologies"), kind | body)
    forged = {"status": {"phase": "Succeeded", "observedGeneration": 1}}
    job_path = muster("trainingjobs", cluster.namespace, "one", "status")
    topology_path = muster("clustertopologies", name="default", sub="status")
    for path, change in ((job_path, forged), (topology_path, {"status": {"detectedPreset": "GKE"}})):
        # The administrator has every right there is.
        with pytest.raises(ApiError, match="only the operator writes this status") as refusal:
            cluster.client.patch(path, change)
        assert refusal.value.status == 403
        whole = cluster.client.get(path.removesuffix("/status"))
        with pytest.raises(ApiError, match="only the operator writes this status"):
            cluster.client.call("PUT", path, whole | change)
        locked.user(locked_plane, locked.ACCOUNT).patch(path, change)
    # Nor by way of the object itself, of which the API server takes no status.
    cluster.client.patch(muster("trainingjobs", cluster.namespace, "one"), {"status": {"phase": "Failed"}})
    assert cluster.phase("one") == "Succeeded"


def test_roles_for_people_never_hold_status_or_finalizers(locked_plane: ControlPlane) -> None:
    client = locked_plane.client
    wanted = {
        "view": {"trainingjobs": {"get", "list", "watch"}, "clustertopologies": {"get", "list", "watch"}},
        "edit": {
            "trainingjobs": {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"},
            "clustertopologies": {"get", "list", "watch"},
        },
    }
    wanted["admin"] = wanted["edit"]

    def ours(name: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for rule in client.get(group(RBAC, "clusterroles", name=name)).get("rules") or ():
            if "muster.dev" in rule.get("apiGroups", ()):
                for resource in rule["resources"]:
                    found.setdefault(resource, set()).update(rule["verbs"])
        return found

    for name, rules in wanted.items():
        wait_for(lambda name=name, rules=rules: ours(name) == rules, 20, name, seen=lambda name=name: ours(name))  # type: ignore[misc]


def test_no_role_of_the_chart_has_a_wildcard_or_reads_secrets() -> None:
    for values in ({}, {"watchNamespaces": ["a", "b"]}):
        for each in locked.rendered(values):
            for rule in each.get("rules") or () if each["kind"] in ("Role", "ClusterRole") else ():
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], each["metadata"]["name"]
                assert not {"secrets", "pods/exec", "pods/log", "pods/attach"} & set(rule["resources"])
                assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_priority_classes_are_those_of_crds() -> None:
    shown = [each for each in locked.rendered() if each["kind"] == "PriorityClass"]
    for each in shown:
        del each["metadata"]["labels"]
    assert shown == list(yaml.safe_load_all((ROOT / "crds" / "priorityclasses.yaml").read_text()))
    assert {each["preemptionPolicy"] for each in shown} == {"Never"}


def test_the_lease_has_the_priority_of_leader_election(locked_plane: ControlPlane) -> None:
    client = locked.user(locked_plane, locked.ACCOUNT)
    flow = "flowcontrol.apiserver.k8s.io/v1"
    schemas = {
        each["metadata"]["uid"]: each["metadata"]["name"] for each in client_list(locked_plane, flow, "flowschemas")
    }
    levels = {
        each["metadata"]["uid"]: each["metadata"]["name"]
        for each in client_list(locked_plane, flow, "prioritylevelconfigurations")
    }

    def seen(path: str) -> tuple[str, str]:
        headers = {key.lower(): value for key, value in client.send("GET", path).headers.items()}
        return (
            schemas[headers["x-kubernetes-pf-flowschema-uid"]],
            levels[headers["x-kubernetes-pf-prioritylevel-uid"]],
        )

    lease = group("coordination.k8s.io/v1", "leases", locked.NAMESPACE, "muster")
    wait_for(lambda: seen(lease) == ("muster-leader-election", "leader-election"), 20, "the schema is in force")
    assert seen("/api/v1/pods?limit=1")[1] == "workload-low"


def client_list(plane: ControlPlane, api: str, plural: str) -> list[Object]:
    return plane.client.list(group(api, plural))
