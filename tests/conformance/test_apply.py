"""Server-side apply in the part that kubectl, Flux, Argo CD and our own tools use; and who manages what."""

from __future__ import annotations

from typing import Any

from e2e.client import PATCHES, Answer, Client, Object, core
from tests.conformance.kit import DRY, STRICT, configmap, job, jobs, maps, pod, pods, refused, rv, taken


def apply(api: Client, path: str, body: object, manager: str = "one", **parameters: Any) -> Answer:
    return api.send("PATCH", path, body, PATCHES["apply"], fieldManager=manager, **parameters)


def managers(item: Object) -> list[tuple[str, str]]:
    return [(each["manager"], each["operation"]) for each in item["metadata"].get("managedFields", ())]


def test_what_is_absent_is_made(api: Client, ns: str, name: str) -> None:
    made = taken(apply(api, maps(ns, name), configmap(name, a="1")), 201)
    assert made["data"] == {"a": "1"}
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"], entry["fieldsType"]) == (
        "one",
        "Apply",
        "v1",
        "FieldsV1",
    )
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_the_same_again_keeps_the_version(api: Client, ns: str, name: str) -> None:
    made = taken(apply(api, maps(ns, name), configmap(name, a="1")), 201)
    assert taken(apply(api, maps(ns, name), configmap(name, a="1"))) == made


def test_what_is_no_longer_applied_goes(api: Client, ns: str, name: str) -> None:
    apply(api, maps(ns, name), configmap(name, a="1", b="2"))
    assert taken(apply(api, maps(ns, name), configmap(name, b="3")))["data"] == {"b": "3"}


def test_what_others_have_set_stays(api: Client, ns: str, name: str) -> None:
    apply(api, maps(ns, name), configmap(name, a="1"))
    api.patch(maps(ns, name), {"data": {"b": "2"}}, fieldManager="hand")
    made = taken(apply(api, maps(ns, name), configmap(name, a="3")))
    assert made["data"] == {"a": "3", "b": "2"}
    assert sorted(managers(made)) == [("hand", "Update"), ("one", "Apply")]


def test_two_managers_of_one_field_conflict(api: Client, ns: str, name: str) -> None:
    made = taken(apply(api, maps(ns, name), configmap(name, a="1")), 201)
    answer = apply(api, maps(ns, name), configmap(name, a="2"), "two")
    status = refused(answer, 409, "Conflict", 'Apply failed with 1 conflict: conflict with "one": .data.a')
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    ]
    assert api.get(maps(ns, name)) == made
    # The same value is no conflict: both own it then.
    assert taken(apply(api, maps(ns, name), configmap(name, a="1"), "two"))["data"] == {"a": "1"}


def test_force_takes_the_field_over(api: Client, ns: str, name: str) -> None:
    apply(api, maps(ns, name), configmap(name, a="1", b="1"))
    made = taken(apply(api, maps(ns, name), configmap(name, a="2"), "two", force="true"))
    assert made["data"] == {"a": "2", "b": "1"}
    owned = {each["manager"]: each["fieldsV1"] for each in made["metadata"]["managedFields"]}
    assert owned == {"one": {"f:data": {"f:b": {}}}, "two": {"f:data": {"f:a": {}}}}


def test_a_field_that_two_own_stays_until_both_let_go(api: Client, ns: str, name: str) -> None:
    apply(api, maps(ns, name), configmap(name, a="1", b="1"))
    apply(api, maps(ns, name), configmap(name, a="1", b="1"), "two")
    assert taken(apply(api, maps(ns, name), configmap(name, b="1")))["data"] == {"a": "1", "b": "1"}
    assert taken(apply(api, maps(ns, name), configmap(name, b="1"), "two"))["data"] == {"b": "1"}


def test_a_manager_is_named(api: Client, ns: str, name: str) -> None:
    answer = api.send("PATCH", maps(ns, name), configmap(name), PATCHES["apply"])
    refused(answer, 422, "Invalid", "fieldManager: Required value: is required for apply patch")


def test_managed_fields_may_not_be_applied(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["managedFields"] = [{"manager": "x"}]
    refused(apply(api, maps(ns, name), body), 400, "BadRequest", "metadata.managedFields must be nil")


def test_force_is_for_apply_alone(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name))
    answer = api.send("PATCH", maps(ns, name), {}, PATCHES["merge"], force="true")
    refused(answer, 422, "Invalid", "force: Forbidden: may not be specified for non-apply patch")


def test_yaml_is_applied(api: Client, ns: str, name: str) -> None:
    body = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  a: '1'\n".encode()
    assert taken(apply(api, maps(ns, name), body), 201)["data"] == {"a": "1"}


def test_a_dry_apply_keeps_nothing(api: Client, ns: str, name: str) -> None:
    taken(apply(api, maps(ns, name), configmap(name), **DRY), 201)
    assert api.find(maps(ns, name)) is None


def test_a_version_is_compared(api: Client, ns: str, name: str) -> None:
    made = taken(apply(api, maps(ns, name), configmap(name, a="1")), 201)
    changed = taken(apply(api, maps(ns, name), configmap(name, a="2")))
    body = configmap(name, a="3")
    body["metadata"]["resourceVersion"] = rv(made)
    refused(apply(api, maps(ns, name), body), 409, "Conflict", "the object has been modified")
    body["metadata"]["resourceVersion"] = rv(changed)
    assert taken(apply(api, maps(ns, name), body))["data"] == {"a": "3"}


def test_what_carries_a_uid_is_not_made(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    refused(apply(api, maps(ns, name), body), 409, "Conflict", "uid mismatch: the provided object specified uid")


# --- custom kinds ---


def test_a_job_is_applied_and_changed(api: Client, ns: str, name: str) -> None:
    made = taken(apply(api, jobs(ns, name), job(name, launcher="env"), **STRICT), 201)
    assert made["spec"]["launcher"] == "env"
    assert made["status"] == {"observedGeneration": -1, "phase": "Pending"}
    assert managers(made) == [("one", "Apply")]
    assert set(made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]) == {"f:launcher", "f:roles"}
    changed = taken(apply(api, jobs(ns, name), job(name, suspend=True), **STRICT))
    # No longer applied, so its default counts again.
    assert (changed["spec"]["launcher"], changed["spec"]["suspend"]) == ("none", True)
    assert changed["metadata"]["generation"] == 2


def test_roles_are_merged_by_name(api: Client, ns: str, name: str) -> None:
    apply(api, jobs(ns, name), job(name))
    body = job(name)
    body["spec"]["roles"][0]["name"] = "evaluator"
    made = taken(apply(api, jobs(ns, name), body, "two"))
    assert sorted(each["name"] for each in made["spec"]["roles"]) == ["evaluator", "worker"]
    gone = job(name)
    gone["spec"] = {"suspend": True}
    made = taken(apply(api, jobs(ns, name), gone, "two"))
    assert [each["name"] for each in made["spec"]["roles"]] == ["worker"]


def test_an_applied_job_is_validated(api: Client, ns: str, name: str) -> None:
    answer = apply(api, jobs(ns, name), job(name, launcher="mpi"))
    refused(answer, 422, "Invalid", 'spec.launcher: Unsupported value: "mpi"')
    answer = apply(api, jobs(ns, name), job(name, lancher="env"))
    assert answer.status in (400, 500)
    assert ".spec.lancher: field not declared in schema" in answer.json()["message"]


def test_the_operators_status_is_not_the_users(api: Client, ns: str, name: str) -> None:
    apply(api, jobs(ns, name), job(name))
    api.patch(jobs(ns, name, "status"), {"status": {"phase": "Running"}}, fieldManager="muster")
    made = taken(apply(api, jobs(ns, name), job(name, suspend=True)))
    assert made["status"]["phase"] == "Running"
    entries = [e for e in made["metadata"]["managedFields"] if e["manager"] == "muster"]
    assert [(e["operation"], e.get("subresource")) for e in entries] == [("Update", "status")]


# --- built-in kinds with lists ---


def test_lists_with_a_key_are_merged(api: Client, ns: str, name: str) -> None:
    def spec(*ports: Object) -> Object:
        meta = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}}
        return meta | {"spec": {"clusterIP": "None", "ports": list(ports)}}

    path = core("services", ns, name)
    apply(api, path, spec({"name": "a", "port": 1, "protocol": "TCP"}))
    made = taken(apply(api, path, spec({"name": "b", "port": 2, "protocol": "TCP"}), "two"))
    assert sorted(each["port"] for each in made["spec"]["ports"]) == [1, 2]
    made = taken(apply(api, path, spec({"name": "a", "port": 1, "protocol": "TCP", "targetPort": 9})))
    assert {each["port"]: each["targetPort"] for each in made["spec"]["ports"]} == {1: 9, 2: 2}


def test_a_pod_is_applied(api: Client, ns: str, name: str) -> None:
    made = taken(apply(api, pods(ns, name), pod(name)), 201)
    assert made["spec"]["schedulingGates"] == [{"name": "muster.dev/gang"}]
    assert taken(apply(api, pods(ns, name), pod(name))) == made


def test_labels_have_owners_of_their_own(api: Client, ns: str, name: str) -> None:
    apply(api, maps(ns, name), configmap(name, {"a": "1"}))
    made = taken(apply(api, maps(ns, name), configmap(name, {"b": "2"}), "two"))
    assert made["metadata"]["labels"] == {"a": "1", "b": "2"}
    made = taken(apply(api, maps(ns, name), configmap(name)))
    assert made["metadata"]["labels"] == {"b": "2"}


# --- managers of plain writes ---


def test_plain_writes_have_managers_too(api: Client, ns: str, name: str) -> None:
    made = api.post(maps(ns), configmap(name, a="1"), fieldManager="kubectl-create")
    assert managers(made) == [("kubectl-create", "Update")]
    answer = apply(api, maps(ns, name), configmap(name, a="2"))
    refused(answer, 409, "Conflict", 'conflict with "kubectl-create" using v1: .data.a')


def test_a_manager_has_a_bound(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", maps(ns), configmap(name), fieldManager="x" * 129)
    refused(answer, 422, "Invalid", "fieldManager: Too long: may not be more than 128 bytes")
