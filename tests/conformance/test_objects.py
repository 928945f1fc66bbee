"""What the server gives every object: identity, versions, generation; and how it is created and replaced."""

from __future__ import annotations

import re

import pytest
from e2e.client import Client, Object, core
from tests.conformance.kit import (
    STRICT,
    causes,
    configmap,
    job,
    jobs,
    lease,
    leases,
    maps,
    pod,
    pods,
    refused,
    rv,
    taken,
    uid,
)


def test_a_created_object_has_uid_version_and_time(api: Client, ns: str, name: str) -> None:
    made = taken(api.send("POST", maps(ns), configmap(name, a="1")), 201)
    meta = made["metadata"]
    assert (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", meta["uid"])
    assert int(meta["resourceVersion"]) > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", meta["creationTimestamp"])
    assert meta["namespace"] == ns
    assert made["data"] == {"a": "1"}
    assert api.get(maps(ns, name)) == made


def test_kind_and_version_may_be_left_out_of_a_built_in_kind(api: Client, ns: str, name: str) -> None:
    made = taken(api.send("POST", maps(ns), {"metadata": {"name": name}}), 201)
    assert (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")
    assert "data" not in made


def test_kind_may_not_be_left_out_of_a_custom_kind(api: Client, ns: str, name: str) -> None:
    body = job(name)
    del body["kind"]
    refused(api.send("POST", jobs(ns), body), 400, "BadRequest", "Object 'Kind' is missing")


def test_another_object_of_the_same_name_has_another_uid(api: Client, ns: str, name: str) -> None:
    first = api.post(maps(ns), configmap(name))
    api.delete(maps(ns, name))
    second = api.post(maps(ns), configmap(name))
    assert uid(first) != uid(second)
    assert int(rv(second)) > int(rv(first))


def test_uid_and_time_of_the_client_do_not_count(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z"}
    made = api.post(maps(ns), body)["metadata"]
    assert made["uid"] != "mine"
    assert not made["creationTimestamp"].startswith("2001")


def test_a_version_may_not_be_given_at_creation(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["resourceVersion"] = "7"
    refused(api.send("POST", maps(ns), body), 500, "", "resourceVersion should not be set on objects to be created")


@pytest.mark.parametrize("kind", ["configmaps", "pods", "trainingjobs"])
def test_a_name_can_be_taken_once(api: Client, ns: str, name: str, kind: str) -> None:
    path, body, full = {
        "configmaps": (maps(ns), configmap(name), "configmaps"),
        "pods": (pods(ns), pod(name), "pods"),
        "trainingjobs": (jobs(ns), job(name), "trainingjobs.muster.dev"),
    }[kind]
    first = api.post(path, body)
    status = refused(api.send("POST", path, body), 409, "AlreadyExists", f'{full} "{name}" already exists')
    assert (status["details"]["name"], status["details"]["kind"]) == (name, kind)
    assert api.get(f"{path}/{name}") == first


def test_versions_grow_across_kinds(api: Client, ns: str, name: str) -> None:
    made = [api.post(maps(ns), configmap(name)), api.post(jobs(ns), job(name)), api.post(pods(ns), pod(name))]
    made.append(api.patch(maps(ns, name), {"data": {"a": "1"}}))
    versions = [int(rv(each)) for each in made]
    assert versions == sorted(set(versions))
    assert int(api.get(maps(ns))["metadata"]["resourceVersion"]) >= versions[-1]


def test_a_name_can_be_generated(api: Client, ns: str) -> None:
    made = [api.post(maps(ns), {"metadata": {"generateName": "some-"}})["metadata"] for _ in range(3)]
    assert all(re.fullmatch(r"some-[a-z0-9]{5}", each["name"]) for each in made)
    assert len({each["name"] for each in made}) == 3
    assert made[0]["generateName"] == "some-"


def test_some_name_is_required(api: Client, ns: str) -> None:
    status = refused(api.send("POST", maps(ns), {"metadata": {}}), 422, "Invalid", "name or generateName is required")
    assert causes(status) == [("metadata.name", "FieldValueRequired")]


def test_the_namespace_of_the_body_must_be_that_of_the_path(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["namespace"] = "another"
    words = "the namespace of the provided object does not match the namespace sent on the request"
    refused(api.send("POST", maps(ns), body), 400, "BadRequest", words)


def test_the_kind_of_the_body_must_be_that_of_the_path(api: Client, ns: str, name: str) -> None:
    body = configmap(name) | {"kind": "Secret"}
    refused(api.send("POST", maps(ns), body), 400, "BadRequest", "cannot be handled as a ConfigMap")


@pytest.mark.parametrize("body", [b"{nope", b"", b"[]", b"7"], ids=["no json", "empty", "a list", "a number"])
def test_a_body_that_is_no_object(api: Client, ns: str, body: bytes) -> None:
    words = (
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
    )
    refused(api.send("POST", maps(ns), body), 400, "BadRequest", words)


@pytest.mark.parametrize(
    ("kind", "part", "words"),
    [
        (
            "configmaps",
            {"data": {"a": 1}},
            "cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        ("configmaps", {"data": "x"}, "cannot unmarshal string into Go struct field ConfigMap.data of type map"),
        ("pods", {"spec": "x"}, "cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
        ("pods", {"spec": {"containers": "x"}}, "cannot unmarshal string into Go struct field PodSpec.spec.containers"),
        ("pods", {"spec": {"containers": [{"name": 1}]}}, "cannot unmarshal number into Go struct field Container."),
        ("pods", {"spec": {"nodeSelector": {"a": 1}}}, "cannot unmarshal number into Go struct field PodSpec.spec."),
        ("pods", {"spec": {"hostNetwork": "yes"}}, "cannot unmarshal string into Go struct field PodSpec.spec."),
        (
            "pods",
            {"metadata": {"labels": {"a": 1}}},
            "cannot unmarshal number into Go struct field ObjectMeta.metadata.",
        ),
        ("services", {"spec": {"ports": {}}}, "cannot unmarshal object into Go struct field ServiceSpec.spec.ports"),
        ("nodes", {"spec": {"taints": {}}}, "cannot unmarshal object into Go struct field NodeSpec.spec.taints"),
    ],
)
def test_values_of_another_type(api: Client, ns: str, name: str, kind: str, part: Object, words: str) -> None:
    body = {"metadata": {"name": name} | part.get("metadata", {})} | {k: v for k, v in part.items() if k != "metadata"}
    path = core(kind) if kind == "nodes" else core(kind, ns)
    refused(api.send("POST", path, body), 400, "BadRequest", "cannot be handled as a ", f"json: {words}")


def test_a_body_of_another_media_type(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", maps(ns), configmap(name), "text/plain")
    refused(answer, 415, "UnsupportedMediaType", "the body of the request was in an unknown format")


def test_yaml_is_taken(api: Client, ns: str, name: str) -> None:
    body = f"kind: ConfigMap\napiVersion: v1\nmetadata: {{name: {name}}}\ndata:\n  a: '1'\n".encode()
    assert taken(api.send("POST", maps(ns), body, "application/yaml"), 201)["data"] == {"a": "1"}


def test_an_absent_object_is_named(api: Client, ns: str) -> None:
    status = refused(api.send("GET", maps(ns, "none")), 404, "NotFound", 'configmaps "none" not found')
    assert (status["details"]["name"], status["details"]["kind"]) == ("none", "configmaps")
    status = refused(api.send("GET", jobs(ns, "none")), 404, "NotFound", 'trainingjobs.muster.dev "none" not found')
    details = status["details"]
    assert (details["name"], details["group"], details["kind"]) == ("none", "muster.dev", "trainingjobs")


# --- replacing ---


def test_replacing_with_the_version_seen(api: Client, ns: str, name: str) -> None:
    made = api.post(maps(ns), configmap(name, a="1"))
    changed = taken(api.send("PUT", maps(ns, name), made | {"data": {"b": "2"}}))
    assert changed["data"] == {"b": "2"}
    assert int(rv(changed)) > int(rv(made))
    assert (uid(changed), changed["metadata"]["creationTimestamp"]) == (
        uid(made),
        made["metadata"]["creationTimestamp"],
    )


def test_replacing_with_an_older_version_is_a_conflict(api: Client, ns: str, name: str) -> None:
    made = api.post(maps(ns), configmap(name, a="1"))
    changed = api.put(maps(ns, name), made | {"data": {"a": "2"}})
    words = f'Operation cannot be fulfilled on configmaps "{name}": the object has been modified'
    refused(api.send("PUT", maps(ns, name), made | {"data": {"a": "3"}}), 409, "Conflict", words)
    assert api.get(maps(ns, name)) == changed


def test_replacing_with_another_uid_is_a_conflict(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name))
    body = configmap(name, a="1")
    body["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    words = "Precondition failed: UID in precondition: 00000000-0000-0000-0000-000000000000, UID in object meta: "
    refused(api.send("PUT", maps(ns, name), body), 409, "Conflict", words)


def test_replacing_with_the_same_keeps_the_version(api: Client, ns: str, name: str) -> None:
    made = api.post(maps(ns), configmap(name, a="1"))
    assert api.put(maps(ns, name), made) == made


def test_a_built_in_kind_can_be_replaced_whatever_its_version(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name, a="1"))
    assert api.put(maps(ns, name), configmap(name, a="2"))["data"] == {"a": "2"}


@pytest.mark.parametrize("kind", ["trainingjobs", "leases"])
def test_some_kinds_need_the_version(api: Client, ns: str, name: str, kind: str) -> None:
    path, body = {"trainingjobs": (jobs(ns), job(name)), "leases": (leases(ns), lease(name))}[kind]
    api.post(path, body)
    status = refused(api.send("PUT", f"{path}/{name}", body), 422, "Invalid", "must be specified for an update")
    assert causes(status) == [("metadata.resourceVersion", "FieldValueInvalid")]


def test_what_is_absent_cannot_be_replaced(api: Client, ns: str) -> None:
    refused(api.send("PUT", maps(ns, "none"), configmap("none")), 404, "NotFound", 'configmaps "none" not found')
    refused(api.send("PUT", jobs(ns, "none"), job("none")), 404, "NotFound", '"none" not found')


def test_the_name_of_the_body_must_be_that_of_the_path(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name))
    words = f"the name of the object (other) does not match the name on the URL ({name})"
    refused(api.send("PUT", maps(ns, name), configmap("other")), 400, "BadRequest", words)


# --- generation ---


def test_generation_grows_with_the_spec_alone(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    assert made["metadata"]["generation"] == 1
    labelled = api.patch(jobs(ns, name), {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    told = api.patch(jobs(ns, name, "status"), {"status": {"observedGeneration": 1}})
    assert told["metadata"]["generation"] == 1
    changed = api.patch(jobs(ns, name), {"spec": {"suspend": True}})
    assert changed["metadata"]["generation"] == 2
    same = api.patch(jobs(ns, name), {"spec": {"suspend": True}})
    assert same == changed


def test_generation_of_the_client_does_not_count(api: Client, ns: str, name: str) -> None:
    body = job(name)
    body["metadata"]["generation"] = 7
    assert api.post(jobs(ns), body, **STRICT)["metadata"]["generation"] == 1
    assert api.patch(jobs(ns, name), {"metadata": {"generation": 9}})["metadata"]["generation"] == 1


def test_pods_have_a_generation(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name))
    assert made["metadata"]["generation"] == 1
    told = api.patch(pods(ns, name, "status"), {"status": {"nominatedNodeName": "n"}})
    assert told["metadata"]["generation"] == 1
    changed = api.patch(pods(ns, name), {"spec": {"nodeSelector": {"a": "b"}}})
    assert changed["metadata"]["generation"] == 2


# --- metadata ---


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"a b": "c"}, "name part must consist of"),
        ({"a": "c d"}, "a valid label must be an empty string or consist of"),
    ],
    ids=["key", "value"],
)
def test_labels_have_a_form(api: Client, ns: str, name: str, labels: dict[str, str], words: str) -> None:
    status = refused(api.send("POST", maps(ns), configmap(name, labels)), 422, "Invalid", "metadata.labels", words)
    assert causes(status) == [("metadata.labels", "FieldValueInvalid")]


def test_annotations_may_hold_any_text(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["annotations"] = {"example.com/a": 'ä "quoted"\n{}'}
    assert api.post(maps(ns), body)["metadata"]["annotations"] == {"example.com/a": 'ä "quoted"\n{}'}


@pytest.mark.parametrize("bad", ["Capital", "under_score", "-dash", "a" * 254], ids=["capital", "_", "-", "254"])
def test_names_have_a_form(api: Client, ns: str, bad: str) -> None:
    status = refused(api.send("POST", maps(ns), configmap(bad)), 422, "Invalid", "metadata.name: Invalid value")
    assert causes(status) == [("metadata.name", "FieldValueInvalid")]


@pytest.mark.parametrize("bad", ["a.b", "a" * 64], ids=["dot", "64"])
def test_a_service_name_is_a_label(api: Client, ns: str, bad: str) -> None:
    body = {"metadata": {"name": bad}, "spec": {"clusterIP": "None"}}
    refused(api.send("POST", core("services", ns), body), 422, "Invalid", "metadata.name: Invalid value")


def test_a_job_name_of_41_is_refused_by_its_rule(api: Client, ns: str) -> None:
    refused(api.send("POST", jobs(ns), job("a" * 41)), 422, "Invalid", "must be a DNS label of at most 40 characters")


def test_owner_references_need_a_uid(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": ""}]
    status = refused(api.send("POST", maps(ns), body), 422, "Invalid", "metadata.ownerReferences[0].uid")
    assert ("metadata.ownerReferences[0].uid", "FieldValueRequired") in causes(status)


def test_only_one_owner_is_the_controller(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "controller": True}
    body["metadata"]["ownerReferences"] = [reference | {"name": each, "uid": each} for each in ("a", "b")]
    words = "Only one reference can have Controller set to true"
    refused(api.send("POST", maps(ns), body), 422, "Invalid", words)


def test_a_finalizer_must_have_a_qualified_name(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["finalizers"] = ["example"]
    words = "name is neither a standard finalizer name nor is it fully qualified"
    refused(api.send("POST", maps(ns), body), 422, "Invalid", words)
