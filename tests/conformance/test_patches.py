"""The four kinds of patch, their preconditions and their refusals; what a patch of nothing leaves as it was."""

from __future__ import annotations

import pytest
from e2e.client import Client, Object, core
from tests.conformance.kit import STRICT, causes, configmap, job, jobs, maps, patch, pod, pods, refused, rv, taken, uid

# --- merge patch (RFC 7386) ---


def test_merge_adds_changes_and_deletes(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name, a="1", b="2"))
    made = taken(patch(api, maps(ns, name), {"data": {"a": None, "b": "3", "c": "4", "none": None}}))
    assert made["data"] == {"b": "3", "c": "4"}


def test_merge_replaces_lists_whole(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["finalizers"] = ["example.com/a", "example.com/b"]
    api.post(maps(ns), body)
    made = taken(patch(api, maps(ns, name), {"metadata": {"finalizers": ["example.com/c"]}}))
    assert made["metadata"]["finalizers"] == ["example.com/c"]
    taken(patch(api, maps(ns, name), {"metadata": {"finalizers": None}}))


@pytest.mark.parametrize("kind", ["merge", "strategic", "json"])
def test_a_patch_that_changes_nothing_keeps_the_version(api: Client, ns: str, name: str, kind: str) -> None:
    made = api.post(maps(ns), configmap(name, a="1"))
    body: object = [{"op": "replace", "path": "/data/a", "value": "1"}] if kind == "json" else {"data": {"a": "1"}}
    assert taken(patch(api, maps(ns, name), body, kind)) == made


def test_a_status_patch_that_changes_nothing_keeps_the_version(api: Client, ns: str, name: str) -> None:
    api.post(jobs(ns), job(name))
    body = {"status": {"phase": "Placed", "attempt": 1}}
    first = taken(patch(api, jobs(ns, name, "status"), body))
    assert taken(patch(api, jobs(ns, name, "status"), body)) == first


@pytest.mark.parametrize("kind", ["merge", "strategic"])
def test_the_version_in_a_patch_is_compared(api: Client, ns: str, name: str, kind: str) -> None:
    made = api.post(maps(ns), configmap(name))
    version = {"resourceVersion": rv(made)}
    changed = taken(patch(api, maps(ns, name), {"metadata": version, "data": {"a": "1"}}, kind))
    assert changed["data"] == {"a": "1"}
    answer = patch(api, maps(ns, name), {"metadata": version, "data": {"a": "2"}}, kind)
    words = (
        f'Operation cannot be fulfilled on configmaps "{name}": the object has been modified; please apply your changes'
    )
    refused(answer, 409, "Conflict", words)
    assert api.get(maps(ns, name)) == changed


def test_a_stale_patch_that_changes_nothing_is_a_conflict_too(api: Client, ns: str, name: str) -> None:
    made = api.post(maps(ns), configmap(name, a="1"))
    api.patch(maps(ns, name), {"data": {"b": "2"}})
    answer = patch(api, maps(ns, name), {"metadata": {"resourceVersion": rv(made)}, "data": {"a": "1"}})
    refused(answer, 409, "Conflict", "the object has been modified")


@pytest.mark.parametrize("kind", ["configmaps", "pods", "trainingjobs"])
def test_another_uid_in_a_patch_is_refused_by_its_field(api: Client, ns: str, name: str, kind: str) -> None:
    path, body = {
        "configmaps": (maps(ns), configmap(name)),
        "pods": (pods(ns), pod(name)),
        "trainingjobs": (jobs(ns), job(name)),
    }[kind]
    made = api.post(path, body)
    answer = patch(api, f"{path}/{name}", {"metadata": {"uid": "other", "labels": {"a": "b"}}})
    status = refused(answer, 422, "Invalid", 'metadata.uid: Invalid value: "other": field is immutable')
    # A custom kind says it twice.
    assert set(causes(status)) == {("metadata.uid", "FieldValueInvalid")}
    assert api.get(f"{path}/{name}") == made
    assert taken(patch(api, f"{path}/{name}", {"metadata": {"uid": uid(made), "labels": {"a": "b"}}}))


def test_a_patch_cannot_rename(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name))
    answer = patch(api, maps(ns, name), {"metadata": {"name": "other"}})
    refused(answer, 400, "BadRequest", f"the name of the object (other) does not match the name on the URL ({name})")


def test_what_is_absent_cannot_be_patched(api: Client, ns: str) -> None:
    refused(patch(api, maps(ns, "none"), {"data": {}}), 404, "NotFound", 'configmaps "none" not found')
    refused(patch(api, jobs(ns, "none", "status"), {"status": {}}), 404, "NotFound", '"none" not found')


@pytest.mark.parametrize("body", [b"{nope", b"[]"], ids=["no json", "a list"])
def test_a_merge_patch_must_be_an_object(api: Client, ns: str, name: str, body: bytes) -> None:
    api.post(maps(ns), configmap(name))
    refused(patch(api, maps(ns, name), body), 400, "BadRequest")


def test_a_patch_of_another_media_type(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name))
    answer = api.send("PATCH", maps(ns, name), {}, "application/json")
    refused(answer, 415, "UnsupportedMediaType")


def test_custom_kinds_take_no_strategic_patch(api: Client, ns: str, name: str) -> None:
    api.post(jobs(ns), job(name))
    words = "accepted media types include: application/json-patch+json, application/merge-patch+json"
    answer = patch(api, jobs(ns, name), {"spec": {"suspend": True}}, "strategic")
    refused(answer, 415, "UnsupportedMediaType", words)


def test_a_patch_is_validated(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    answer = patch(api, jobs(ns, name), {"spec": {"launcher": "mpi"}})
    refused(answer, 422, "Invalid", 'spec.launcher: Unsupported value: "mpi"')
    assert api.get(jobs(ns, name)) == made


def test_unknown_fields_of_a_patch_are_refused_when_strict(api: Client, ns: str, name: str) -> None:
    api.post(jobs(ns), job(name))
    answer = patch(api, jobs(ns, name), {"spec": {"lancher": "env"}}, **STRICT)
    refused(answer, 422, "Invalid", 'strict decoding error: unknown field "spec.lancher"')
    warned = patch(api, jobs(ns, name), {"spec": {"lancher": "env"}})
    assert "lancher" not in taken(warned)["spec"]
    assert 'unknown field \\"spec.lancher\\"' in warned.headers["Warning"]


# --- JSON patch (RFC 6902) ---


def test_json_patch_operations(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name, a="1", b="2"))
    body = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "add", "path": "/data/c", "value": "3"},
        {"op": "replace", "path": "/data/a", "value": "4"},
        {"op": "remove", "path": "/data/b"},
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "copy", "from": "/data/c", "path": "/metadata/annotations/d~1e"},
        {"op": "move", "from": "/data/c", "path": "/data/f"},
    ]
    made = taken(patch(api, maps(ns, name), body, "json"))
    assert made["data"] == {"a": "4", "f": "3"}
    assert made["metadata"]["annotations"] == {"d/e": "3"}


def test_json_patch_of_lists(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["finalizers"] = ["example.com/a", "example.com/b"]
    api.post(maps(ns), body)
    edits = [
        {"op": "add", "path": "/metadata/finalizers/0", "value": "example.com/0"},
        {"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/z"},
        {"op": "remove", "path": "/metadata/finalizers/1"},
    ]
    made = taken(patch(api, maps(ns, name), edits, "json"))
    assert made["metadata"]["finalizers"] == ["example.com/0", "example.com/b", "example.com/z"]
    taken(patch(api, maps(ns, name), [{"op": "remove", "path": "/metadata/finalizers"}], "json"))


@pytest.mark.parametrize(
    "edit",
    [
        {"op": "test", "path": "/data/a", "value": "other"},
        {"op": "remove", "path": "/data/none"},
        {"op": "replace", "path": "/none/x", "value": "1"},
        {"op": "nothing", "path": "/data/a"},
    ],
    ids=["test fails", "remove of nothing", "replace of nothing", "unknown"],
)
def test_a_json_patch_that_does_not_apply(api: Client, ns: str, name: str, edit: Object) -> None:
    """422, not 409, and without a word about what failed."""
    made = api.post(maps(ns), configmap(name, a="1"))
    edits = [{"op": "add", "path": "/data/b", "value": "1"}, edit]
    words = "the server rejected our request due to an error in our request"
    refused(patch(api, maps(ns, name), edits, "json"), 422, "Invalid", words)
    assert api.get(maps(ns, name)) == made


def test_a_json_patch_must_be_a_list(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name))
    refused(patch(api, maps(ns, name), {"op": "remove", "path": "/data"}, "json"), 400, "BadRequest", "decoding patch")


def test_json_patch_of_a_custom_kind(api: Client, ns: str, name: str) -> None:
    api.post(jobs(ns), job(name))
    edits = [
        {"op": "test", "path": "/spec/suspend", "value": False},
        {"op": "replace", "path": "/spec/suspend", "value": True},
    ]
    assert taken(patch(api, jobs(ns, name), edits, "json"))["spec"]["suspend"] is True
    refused(patch(api, jobs(ns, name), edits, "json"), 422, "Invalid")


# --- strategic merge ---


def test_strategic_merges_containers_by_name(api: Client, ns: str, name: str) -> None:
    containers = [{"name": "a", "image": "one"}, {"name": "b", "image": "two"}]
    api.post(pods(ns), pod(name, containers=containers))
    body = {"spec": {"containers": [{"name": "b", "image": "three"}]}}
    made = taken(patch(api, pods(ns, name), body, "strategic"))
    assert [(each["name"], each["image"]) for each in made["spec"]["containers"]] == [("a", "one"), ("b", "three")]


def test_strategic_merges_conditions_by_type(api: Client, name: str) -> None:
    api.post(core("nodes"), {"metadata": {"name": name}})
    path = core("nodes", name=name, sub="status")
    for kind, status in (("Ready", "True"), ("Other", "True"), ("Ready", "False")):
        patch(api, path, {"status": {"conditions": [{"type": kind, "status": status}]}}, "strategic")
    found = api.get(core("nodes", name=name))["status"]["conditions"]
    assert {each["type"]: each["status"] for each in found} == {"Ready": "False", "Other": "True"}
    body = {"status": {"conditions": [{"type": "Other", "$patch": "delete"}]}}
    found = taken(patch(api, path, body, "strategic"))["status"]["conditions"]
    assert [each["type"] for each in found] == ["Ready"]
    api.delete(core("nodes", name=name))


def test_strategic_replaces_lists_without_a_key(api: Client, name: str) -> None:
    taints = [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoSchedule"}]
    api.post(core("nodes"), {"metadata": {"name": name}, "spec": {"taints": taints}})
    made = taken(patch(api, core("nodes", name=name), {"spec": {"taints": taints[1:]}}, "strategic"))
    assert made["spec"]["taints"] == taints[1:]
    api.delete(core("nodes", name=name))


def test_strategic_replaces_and_deletes_on_request(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name, a="1", b="2"))
    body = {"data": {"$patch": "replace", "c": "3"}}
    assert taken(patch(api, maps(ns, name), body, "strategic"))["data"] == {"c": "3"}
    assert "data" not in taken(patch(api, maps(ns, name), {"data": {"$patch": "delete"}}, "strategic"))


def test_strategic_takes_single_finalizers(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["finalizers"] = ["example.com/a"]
    api.post(maps(ns), body)
    made = taken(patch(api, maps(ns, name), {"metadata": {"finalizers": ["example.com/b"]}}, "strategic"))
    assert sorted(made["metadata"]["finalizers"]) == ["example.com/a", "example.com/b"]
    body = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a", "example.com/b"]}}
    assert "finalizers" not in taken(patch(api, maps(ns, name), body, "strategic"))["metadata"]


def test_an_unknown_directive_is_refused(api: Client, ns: str, name: str) -> None:
    api.post(pods(ns), pod(name))
    body = {"spec": {"schedulingGates": [{"name": "a/b", "$patch": "frob"}]}}
    refused(patch(api, pods(ns, name), body, "strategic"), 500, "", "unknown patch type: frob")
