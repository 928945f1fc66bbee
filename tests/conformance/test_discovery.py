"""What clients ask before anything else: health, version, groups, kinds, schemas."""

from __future__ import annotations

import json

import pytest
from e2e.client import Client, Object
from tests.conformance.kit import taken

AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
OURS = {"trainingjobs": ("TrainingJob", True, ["tj"]), "clustertopologies": ("ClusterTopology", False, ["ctopo"])}


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health(api: Client, path: str) -> None:
    answer = api.send("GET", path)
    assert (answer.status, answer.body) == (200, "ok")


def test_version(api: Client) -> None:
    found = api.get("/version")
    assert (found["major"], found["minor"]) == ("1", "37")
    assert found["gitVersion"].startswith("v1.37.")


def test_versions_of_the_core(api: Client) -> None:
    found = api.get("/api")
    assert (found["kind"], found["versions"]) == ("APIVersions", ["v1"])


def test_groups(api: Client) -> None:
    found = api.get("/apis")
    assert (found["kind"], found["apiVersion"]) == ("APIGroupList", "v1")
    groups = {each["name"]: each for each in found["groups"]}
    expected = {"muster.dev", "coordination.k8s.io", "scheduling.k8s.io", "node.k8s.io", "apiextensions.k8s.io"}
    assert expected <= groups.keys()
    ours = {"groupVersion": "muster.dev/v1alpha1", "version": "v1alpha1"}
    assert groups["muster.dev"]["versions"] == [ours]
    assert groups["muster.dev"]["preferredVersion"] == ours
    assert api.get("/apis/muster.dev")["kind"] == "APIGroup"


def resources(api: Client, path: str) -> dict[str, Object]:
    found = api.get(path)
    assert found["kind"] == "APIResourceList"
    assert found["groupVersion"] == path.removeprefix("/apis/").removeprefix("/api/")
    return {each["name"]: each for each in found["resources"]}


def test_kinds_of_our_group(api: Client) -> None:
    found = resources(api, "/apis/muster.dev/v1alpha1")
    assert set(found) == {*OURS, *(f"{each}/status" for each in OURS)}
    for plural, (kind, namespaced, short) in OURS.items():
        each = found[plural]
        assert (each["kind"], each["namespaced"], each["shortNames"]) == (kind, namespaced, short)
        assert each["singularName"] == kind.lower()
        assert each["categories"] == ["all", "muster"]
        verbs = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
        assert set(each["verbs"]) == verbs
        assert set(found[f"{plural}/status"]["verbs"]) == {"get", "patch", "update"}


@pytest.mark.parametrize(
    ("path", "plural", "kind", "namespaced", "short"),
    [
        ("/api/v1", "pods", "Pod", True, ["po"]),
        ("/api/v1", "nodes", "Node", False, ["no"]),
        ("/api/v1", "services", "Service", True, ["svc"]),
        ("/api/v1", "namespaces", "Namespace", False, ["ns"]),
        ("/api/v1", "configmaps", "ConfigMap", True, ["cm"]),
        ("/api/v1", "events", "Event", True, ["ev"]),
        ("/api/v1", "resourcequotas", "ResourceQuota", True, ["quota"]),
        ("/api/v1", "limitranges", "LimitRange", True, ["limits"]),
        ("/apis/coordination.k8s.io/v1", "leases", "Lease", True, None),
        ("/apis/scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", False, ["pc"]),
        ("/apis/node.k8s.io/v1", "runtimeclasses", "RuntimeClass", False, None),
        (
            "/apis/apiextensions.k8s.io/v1",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            False,
            ["crd", "crds"],
        ),
    ],
    ids=lambda each: each if isinstance(each, str) and each.islower() and "/" not in each else "",
)
def test_a_built_in_kind(
    api: Client, path: str, plural: str, kind: str, namespaced: bool, short: list[str] | None
) -> None:
    found = resources(api, path)[plural]
    assert (found["kind"], found["namespaced"], found.get("shortNames")) == (kind, namespaced, short)
    assert {"create", "get", "list", "patch", "update", "watch", "delete"} <= set(found["verbs"])


def test_pods_have_subresources(api: Client) -> None:
    found = resources(api, "/api/v1")
    assert {"pods/status", "pods/binding", "pods/eviction", "pods/log"} <= found.keys()
    assert found["pods/eviction"]["kind"] == "Eviction"


def test_all_at_once(api: Client) -> None:
    """As kubectl asks."""
    for path, group in (("/apis", "muster.dev"), ("/api", None)):
        answer = api.send("GET", path, headers=AGGREGATED)
        found = taken(answer)
        assert answer.headers["Content-Type"].startswith("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroup")
        assert (found["kind"], found["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
        items = {each["metadata"].get("name"): each for each in found["items"]}
        (version,) = items[group]["versions"]
        kinds = {each["resource"]: each for each in version["resources"]}
        if group is None:
            assert (kinds["pods"]["scope"], kinds["pods"]["responseKind"]["kind"]) == ("Namespaced", "Pod")
            assert "status" in [each["subresource"] for each in kinds["pods"]["subresources"]]
        else:
            assert version["freshness"] == "Current"
            ours = kinds["trainingjobs"]
            assert ours["responseKind"] == {"group": "muster.dev", "version": "v1alpha1", "kind": "TrainingJob"}
            assert (ours["scope"], ours["singularResource"], ours["shortNames"]) == (
                "Namespaced",
                "trainingjob",
                ["tj"],
            )
            assert [each["subresource"] for each in ours["subresources"]] == ["status"]


def test_schemas(api: Client) -> None:
    """As `kubectl explain` and `kubectl apply --validate` read them."""
    index = json.loads(api.send("GET", "/openapi/v3").body)["paths"]
    assert {"api/v1", "apis/muster.dev/v1alpha1"} <= index.keys()
    answer = api.send("GET", index["apis/muster.dev/v1alpha1"]["serverRelativeURL"])
    document = taken(answer)
    assert document["openapi"].startswith("3.")
    schemas = document["components"]["schemas"]
    ours = next(
        each
        for each in schemas.values()
        if {"group": "muster.dev", "version": "v1alpha1", "kind": "TrainingJob"}
        in each.get("x-kubernetes-group-version-kind", ())
    )
    assert {"apiVersion", "kind", "metadata", "spec", "status"} <= ours["properties"].keys()
    assert "roles" in ours["properties"]["spec"]["properties"]
    assert "/apis/muster.dev/v1alpha1/namespaces/{namespace}/trainingjobs" in document["paths"]
