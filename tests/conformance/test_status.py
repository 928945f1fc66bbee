"""The status subresource: what each of the two endpoints changes, and the compare-and-set of a commit."""

from __future__ import annotations

from e2e.client import Client, core, muster
from tests.conformance.kit import DRY, causes, job, jobs, patch, pod, pods, refused, rv, taken, uid


def test_a_new_job_has_the_default_status(api: Client, ns: str, name: str) -> None:
    assert api.post(jobs(ns), job(name))["status"] == {"observedGeneration": -1, "phase": "Pending"}


def test_a_status_given_at_creation_is_dropped(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name) | {"status": {"phase": "Running", "live": True}})
    assert made["status"] == {"observedGeneration": -1, "phase": "Pending"}


def test_the_object_ignores_its_status(api: Client, ns: str, name: str) -> None:
    api.post(jobs(ns), job(name))
    # A first patch may write the defaults of the status down, and so be a change.
    made = api.patch(jobs(ns, name), {"metadata": {"labels": {"a": "b"}}})
    assert taken(patch(api, jobs(ns, name), {"status": {"phase": "Running"}})) == made
    assert taken(api.send("PUT", jobs(ns, name), made | {"status": {"phase": "Running"}})) == made


def test_the_status_ignores_spec_and_metadata(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    body = {"metadata": {"labels": {"a": "b"}}, "spec": {"suspend": True}, "status": {"phase": "Suspended"}}
    changed = taken(patch(api, jobs(ns, name, "status"), body))
    assert changed["spec"] == made["spec"]
    assert "labels" not in changed["metadata"]
    assert changed["status"]["phase"] == "Suspended"
    assert changed["metadata"]["generation"] == 1
    assert taken(api.send("GET", jobs(ns, name, "status"))) == changed


def test_status_can_be_replaced(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    api.patch(jobs(ns, name, "status"), {"status": {"attempt": 1}})
    refused(api.send("PUT", jobs(ns, name, "status"), made), 409, "Conflict")
    made = api.get(jobs(ns, name))
    changed = taken(api.send("PUT", jobs(ns, name, "status"), made | {"status": {"phase": "Placed"}}))
    # What the new status lacks gets its default again.
    assert changed["status"] == {"observedGeneration": -1, "phase": "Placed"}


def test_of_two_commits_of_one_version_one_wins(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    tested = {"metadata": {"uid": uid(made), "resourceVersion": rv(made)}}
    first = taken(patch(api, jobs(ns, name, "status"), tested | {"status": {"phase": "Placed", "attempt": 1}}))
    assert int(rv(first)) > int(rv(made))
    answer = patch(api, jobs(ns, name, "status"), tested | {"status": {"phase": "Suspended"}})
    words = f'Operation cannot be fulfilled on trainingjobs.muster.dev "{name}": the object has been modified'
    status = refused(answer, 409, "Conflict", words)
    assert status["details"] == {"name": name, "group": "muster.dev", "kind": "trainingjobs"}
    assert api.get(jobs(ns, name)) == first


def test_a_commit_of_a_version_after_a_change_of_the_spec_loses(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    api.patch(jobs(ns, name), {"spec": {"suspend": True}})
    body = {"metadata": {"resourceVersion": rv(made)}, "status": {"phase": "Placed"}}
    refused(patch(api, jobs(ns, name, "status"), body), 409, "Conflict")


def test_a_commit_for_another_uid_is_refused_by_its_version_alone(api: Client, ns: str, name: str) -> None:
    old = api.post(jobs(ns), job(name))
    api.delete(jobs(ns, name))
    new = api.post(jobs(ns), job(name))
    meta = {"uid": uid(old), "resourceVersion": rv(old)}
    answer = patch(api, jobs(ns, name, "status"), {"metadata": meta, "status": {"phase": "Placed"}})
    refused(answer, 409, "Conflict", "the object has been modified")
    assert api.get(jobs(ns, name)) == new
    # The uid in a patch of a custom kind's status is not compared: it takes what the object has.
    changed = taken(patch(api, jobs(ns, name, "status"), {"metadata": {"uid": uid(old)}, "status": {"attempt": 1}}))
    assert uid(changed) == uid(new)


def test_status_keys_are_deleted_by_null(api: Client, ns: str, name: str) -> None:
    api.post(jobs(ns), job(name))
    waiting = {"reason": "Fragmented", "message": "m", "since": "2026-01-01T00:00:00Z"}
    api.patch(jobs(ns, name, "status"), {"status": {"waiting": waiting, "live": True}})
    status = api.patch(jobs(ns, name, "status"), {"status": {"waiting": None}})["status"]
    assert "waiting" not in status
    assert status["live"] is True


def test_status_is_validated(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    status = refused(
        patch(api, jobs(ns, name, "status"), {"status": {"phase": "Nope"}}),
        422,
        "Invalid",
        f'TrainingJob.muster.dev "{name}" is invalid: ',
        'status.phase: Unsupported value: "Nope": supported values: "Pending", "Placed"',
    )
    assert ("status.phase", "FieldValueNotSupported") in causes(status)
    assert api.get(jobs(ns, name)) == made


def test_unknown_fields_of_a_status_are_pruned_with_a_warning(api: Client, ns: str, name: str) -> None:
    api.post(jobs(ns), job(name))
    answer = patch(api, jobs(ns, name, "status"), {"status": {"fase": "Running"}})
    assert "fase" not in taken(answer)["status"]
    assert 'unknown field \\"status.fase\\"' in answer.headers["Warning"]


def test_a_dry_commit_changes_nothing(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    shown = taken(patch(api, jobs(ns, name, "status"), {"status": {"phase": "Placed"}}, **DRY))
    assert shown["status"]["phase"] == "Placed"
    assert api.get(jobs(ns, name)) == made


def test_a_cluster_scoped_kind_has_a_status_too(api: Client) -> None:
    path = muster("clustertopologies")
    named = {"apiVersion": "muster.dev/v1alpha1", "kind": "ClusterTopology", "metadata": {"name": "default"}}
    made = api.post(path, named)
    body = {"metadata": {"resourceVersion": rv(made)}, "status": {"detectedPreset": "GB300"}}
    changed = api.patch(f"{path}/default/status", body)
    assert changed["status"]["detectedPreset"] == "GB300"
    refused(patch(api, f"{path}/default/status", body | {"status": {"detectedPreset": "AWS"}}), 409, "Conflict")
    api.delete(f"{path}/default")


def test_a_pod_ignores_its_status(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name))
    assert taken(patch(api, pods(ns, name), {"status": {"phase": "Running"}})) == made


def test_a_pods_status_ignores_its_spec(api: Client, ns: str, name: str) -> None:
    api.post(pods(ns), pod(name))
    changed = api.patch(pods(ns, name, "status"), {"spec": {"nodeName": "n"}, "status": {"message": "m"}})
    assert changed["status"]["message"] == "m"
    assert "nodeName" not in changed["spec"]


def test_a_node_is_registered_with_its_status(api: Client, name: str) -> None:
    ready = {"type": "Ready", "status": "True"}
    status = {"capacity": {"cpu": "144", "nvidia.com/gpu": 4}, "conditions": [ready]}
    made = api.post(core("nodes"), {"metadata": {"name": name}, "status": status})
    assert made["status"]["capacity"] == {"cpu": "144", "nvidia.com/gpu": "4"}
    # What can be allocated is all, unless the node says otherwise.
    assert made["status"]["allocatable"] == {"cpu": "144", "nvidia.com/gpu": "4"}
    assert made["status"]["conditions"][0]["status"] == "True"
    same = api.patch(core("nodes", name=name), {"status": {"capacity": {"cpu": "1"}}})
    assert same["status"] == made["status"]
    changed = api.patch(core("nodes", name=name, sub="status"), {"status": {"capacity": {"cpu": "1"}}})
    assert changed["status"]["capacity"]["cpu"] == "1"
    api.delete(core("nodes", name=name))
