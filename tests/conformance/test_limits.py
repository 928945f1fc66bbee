"""Paths that lead nowhere, methods that are not served, and bodies that are too large."""

from __future__ import annotations

import pytest
from e2e.client import Client, core
from tests.conformance.kit import configmap, job, jobs, maps, patch, pod, pods, refused, taken


@pytest.mark.parametrize(
    "path",
    ["/apis/nope.example.com/v1/things", "/apis/muster.dev/v9/trainingjobs", "/nope"],
    ids=["group", "version", "path"],
)
def test_what_is_not_served_is_plain_text(api: Client, path: str) -> None:
    """Told apart from an object that does not exist: its absence says nothing about objects."""
    answer = api.send("GET", path)
    assert answer.status == 404
    assert answer.body == "404 page not found\n"
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_an_unknown_kind_of_a_served_group_names_no_object(api: Client, ns: str) -> None:
    for path in (core("nothings", ns), core("nothings", ns, "x"), core("configmaps", ns, "x", "status")):
        status = refused(api.send("GET", path), 404, "NotFound", "the server could not find the requested resource")
        assert not status["details"].get("name")


def test_an_unknown_kind_of_a_custom_group_is_plain_text(api: Client, ns: str) -> None:
    answer = api.send("GET", f"/apis/muster.dev/v1alpha1/namespaces/{ns}/nothings")
    assert (answer.status, answer.body) == (404, "404 page not found\n")


@pytest.mark.parametrize(
    ("method", "named"),
    [("POST", True), ("PATCH", False), ("PUT", False)],
    ids=["post to a name", "patch of a collection", "put to a collection"],
)
def test_methods_that_do_not_fit(api: Client, ns: str, method: str, named: bool) -> None:
    answer = api.send(method, maps(ns, "x") if named else maps(ns), configmap("x"))
    refused(answer, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def test_a_namespaced_kind_is_made_in_a_namespace(api: Client) -> None:
    refused(api.send("POST", core("configmaps"), configmap("x")), 405, "MethodNotAllowed")


def test_nobody_deletes_in_all_namespaces(api: Client) -> None:
    refused(api.send("DELETE", core("configmaps"), labelSelector="none=such"), 405, "MethodNotAllowed")


def test_an_unknown_token_is_nobody(api: Client) -> None:
    answer = api.send("GET", core("nodes"), headers={"Authorization": "Bearer wrong"})
    refused(answer, 401, "Unauthorized", "Unauthorized")


def test_a_body_above_three_mebibytes(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", jobs(ns), job(name, junk="x" * (3 << 20)))
    refused(answer, 413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")


def test_an_object_that_the_store_does_not_take(api: Client, ns: str, name: str) -> None:
    """Etcd's limit is 1.5 MiB; it is told as a 500."""
    body = pod(name, containers=[{"name": "main", "image": "none", "args": ["x" * 1_700_000]}])
    refused(api.send("POST", pods(ns), body), 500, "", "etcdserver: request is too large")
    assert api.find(pods(ns, name)) is None


def test_a_large_object_is_taken(api: Client, ns: str, name: str) -> None:
    body = pod(name, containers=[{"name": "main", "image": "none", "args": ["x" * 1_300_000]}])
    assert taken(api.send("POST", pods(ns), body), 201)
    api.delete(pods(ns, name))


def test_annotations_have_a_bound(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["annotations"] = {"a": "x" * (256 << 10)}
    answer = api.send("POST", maps(ns), body)
    refused(answer, 422, "Invalid", "metadata.annotations: Too long: may not be more than 262144 bytes")


def test_a_config_map_has_a_bound(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", maps(ns), configmap(name, a="x" * ((1 << 20) + 1)))
    refused(answer, 422, "Invalid", "Too long: may not be more than 1048576 bytes")


def test_a_json_patch_has_a_bound(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name, a="1"))
    edits = [{"op": "test", "path": "/data/a", "value": "1"}] * 10_001
    words = "The allowed maximum operations in a JSON patch is 10000, got 10001"
    refused(patch(api, maps(ns, name), edits, "json"), 413, "RequestEntityTooLarge", words)


def test_a_list_of_many_nodes_fits_one_job(api: Client, ns: str, name: str) -> None:
    """The status of the largest gang: 10,000 ranks on nodes with names of their own."""
    api.post(jobs(ns), job(name))
    nodes = ",".join(f"node-{number * 7919 % 1_000_000:06}" for number in range(10_000))
    roles = [{"name": "worker", "nodes": nodes, "born": "1x10000"}]
    placement = {"attempt": 1, "gangAttempt": 1, "term": "1", "generation": 1, "rolesHash": "h", "roles": roles}
    answer = patch(api, jobs(ns, name, "status"), {"status": {"phase": "Placed", "placement": placement}})
    assert taken(answer)["status"]["placement"]["roles"][0]["nodes"] == nodes
