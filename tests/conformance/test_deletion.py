"""Deleting: at once or with grace, with preconditions, held up by finalizers, one or many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
from e2e.client import Client, Object, core, group
from tests.conformance.kit import (
    bind,
    causes,
    configmap,
    delete,
    job,
    jobs,
    maps,
    names,
    patch,
    pod,
    pods,
    refused,
    rv,
    taken,
    uid,
)

OTHER = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def node(api: Client, name: str) -> Iterator[str]:
    api.post(core("nodes"), {"metadata": {"name": name}})
    yield name
    api.send("DELETE", core("nodes", name=name))


@pytest.fixture
def bound(api: Client, ns: str, name: str, node: str) -> Iterator[Object]:
    """A pod on a node whose kubelet is silent."""
    yield api.post(pods(ns), pod(name, (), nodeName=node))
    delete(api, pods(ns, name), gracePeriodSeconds=0)


def test_an_object_goes_at_once_and_a_status_says_so(api: Client, ns: str, name: str) -> None:
    made = api.post(maps(ns), configmap(name))
    status = taken(delete(api, maps(ns, name)))
    assert (status["kind"], status["status"]) == ("Status", "Success")
    assert status["details"] == {"name": name, "kind": "configmaps", "uid": uid(made)}
    refused(delete(api, maps(ns, name)), 404, "NotFound", f'configmaps "{name}" not found')


def test_a_job_goes_at_once(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    details = taken(delete(api, jobs(ns, name), propagationPolicy="Background"))["details"]
    assert details == {"name": name, "group": "muster.dev", "kind": "trainingjobs", "uid": uid(made)}
    assert api.find(jobs(ns, name)) is None


def test_no_options_are_needed(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name))
    assert taken(api.send("DELETE", maps(ns, name)))["status"] == "Success"


def test_options_may_come_in_the_query(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name))
    assert taken(api.send("DELETE", maps(ns, name), gracePeriodSeconds=0, propagationPolicy="Background"))


def test_options_that_make_no_sense(api: Client, ns: str, name: str) -> None:
    api.post(maps(ns), configmap(name))
    words = (
        'propagationPolicy: Unsupported value: "Some": supported values: "Foreground", "Background", "Orphan", "nil"'
    )
    refused(delete(api, maps(ns, name), propagationPolicy="Some"), 422, "Invalid", words)
    refused(api.send("DELETE", maps(ns, name), b"{nope"), 400, "BadRequest")
    assert api.find(maps(ns, name))


# --- preconditions ---


@pytest.mark.parametrize("kind", ["configmaps", "pods", "trainingjobs"])
def test_another_uid_is_not_deleted(api: Client, ns: str, name: str, kind: str) -> None:
    path, body = {
        "configmaps": (maps(ns), configmap(name)),
        "pods": (pods(ns), pod(name)),
        "trainingjobs": (jobs(ns), job(name)),
    }[kind]
    made = api.post(path, body)
    answer = delete(api, f"{path}/{name}", preconditions={"uid": OTHER})
    assert answer.status == 409
    message = answer.json()["message"]
    assert OTHER in message
    assert uid(made) in message
    assert answer.json()["reason"] == "Conflict"
    assert api.get(f"{path}/{name}") == made
    assert taken(delete(api, f"{path}/{name}", preconditions={"uid": uid(made)}))
    assert api.find(f"{path}/{name}") is None


def test_the_words_of_a_refused_precondition(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name))
    words = (
        f'Operation cannot be fulfilled on Pod "{name}": the UID in the precondition ({OTHER}) does not match '
        f"the UID in record ({uid(made)}). The object might have been deleted and then recreated"
    )
    refused(delete(api, pods(ns, name), preconditions={"uid": OTHER}), 409, "Conflict", words)
    words = (
        f"the ResourceVersion in the precondition (1) does not match the ResourceVersion in record ({rv(made)}). "
        "The object might have been modified"
    )
    refused(delete(api, pods(ns, name), preconditions={"resourceVersion": "1"}), 409, "Conflict", words)


def test_a_job_as_it_was(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    changed = api.patch(jobs(ns, name, "status"), {"status": {"phase": "Succeeded"}})
    tested = {"uid": uid(made), "resourceVersion": rv(made)}
    refused(
        delete(api, jobs(ns, name), preconditions=tested), 409, "Conflict", "the ResourceVersion in the precondition"
    )
    assert taken(delete(api, jobs(ns, name), preconditions=tested | {"resourceVersion": rv(changed)}))


# --- grace ---


@pytest.mark.parametrize("gates", [("muster.dev/gang",), ()], ids=["gated", "unbound"])
def test_a_pod_on_no_node_goes_at_once(api: Client, ns: str, name: str, gates: tuple[str, ...]) -> None:
    made = api.post(pods(ns), pod(name, gates, terminationGracePeriodSeconds=600))
    last = taken(delete(api, pods(ns, name), preconditions={"uid": uid(made)}, gracePeriodSeconds=77))
    # The pod itself is shown, not a Status, as it was when it went.
    assert last["kind"] == "Pod"
    assert last["metadata"]["deletionTimestamp"]
    assert last["metadata"]["deletionGracePeriodSeconds"] == 0
    assert api.find(pods(ns, name)) is None


def test_a_bound_pod_gets_its_grace(api: Client, ns: str, name: str, bound: Object) -> None:
    going = taken(delete(api, pods(ns, name)))
    meta = going["metadata"]
    assert meta["deletionGracePeriodSeconds"] == 30
    since = datetime.fromisoformat(meta["deletionTimestamp"]) - datetime.fromisoformat(meta["creationTimestamp"])
    assert 29 <= since.total_seconds() <= 35
    assert api.get(pods(ns, name)) == going
    assert int(rv(going)) > int(rv(bound))


def test_grace_is_only_shortened(api: Client, ns: str, name: str, bound: Object) -> None:
    first = taken(delete(api, pods(ns, name), gracePeriodSeconds=20))
    assert first["metadata"]["deletionGracePeriodSeconds"] == 20
    assert taken(delete(api, pods(ns, name), gracePeriodSeconds=60)) == first
    assert taken(delete(api, pods(ns, name))) == first
    shorter = taken(delete(api, pods(ns, name), gracePeriodSeconds=5))
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert shorter["metadata"]["deletionTimestamp"] < first["metadata"]["deletionTimestamp"]


def test_no_grace_is_the_end(api: Client, ns: str, name: str, bound: Object) -> None:
    taken(delete(api, pods(ns, name)))
    last = taken(delete(api, pods(ns, name), gracePeriodSeconds=0, preconditions={"uid": uid(bound)}))
    assert last["metadata"]["deletionGracePeriodSeconds"] == 0
    assert api.find(pods(ns, name)) is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_goes_at_once(api: Client, ns: str, name: str, bound: Object, phase: str) -> None:
    api.patch(pods(ns, name, "status"), {"status": {"phase": phase}})
    taken(delete(api, pods(ns, name)))
    assert api.find(pods(ns, name)) is None


def test_a_terminating_pod_takes_a_status(api: Client, ns: str, name: str, bound: Object) -> None:
    taken(delete(api, pods(ns, name)))
    body = {"status": {"phase": "Failed", "reason": "Ended"}}
    assert taken(patch(api, pods(ns, name, "status"), body))["status"]["reason"] == "Ended"


def test_a_service_goes_at_once(api: Client, ns: str, name: str) -> None:
    made = api.post(core("services", ns), {"metadata": {"name": name}, "spec": {"clusterIP": "None"}})
    last = taken(delete(api, core("services", ns, name), preconditions={"uid": uid(made)}))
    assert api.find(core("services", ns, name)) is None
    assert uid(made) in (last["metadata"].get("uid"), last.get("details", {}).get("uid"))


# --- finalizers ---


def test_a_finalizer_holds_an_object(api: Client, ns: str, name: str) -> None:
    body = job(name)
    body["metadata"]["finalizers"] = ["example.com/wait"]
    made = api.post(jobs(ns), body)
    going = taken(delete(api, jobs(ns, name)))
    assert going["metadata"]["deletionTimestamp"]
    assert going["metadata"]["deletionGracePeriodSeconds"] == 0
    assert going["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert taken(delete(api, jobs(ns, name))) == going
    # It can be changed, but for new finalizers.
    assert taken(patch(api, jobs(ns, name, "status"), {"status": {"phase": "Stopping"}}))
    both = {"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}}
    words = "no new finalizers can be added if the object is being deleted"
    status = refused(patch(api, jobs(ns, name), both), 422, "Invalid", words)
    assert ("metadata.finalizers", "FieldValueForbidden") in causes(status)
    refused(api.send("POST", jobs(ns), job(name)), 409, "AlreadyExists", "object is being deleted: ")
    last = taken(patch(api, jobs(ns, name), {"metadata": {"finalizers": []}}))
    assert last["metadata"]["name"] == name
    assert api.find(jobs(ns, name)) is None


def test_one_of_two_finalizers_is_not_enough(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["finalizers"] = ["example.com/a", "example.com/b"]
    api.post(maps(ns), body)
    taken(delete(api, maps(ns, name)))
    taken(patch(api, maps(ns, name), {"metadata": {"finalizers": ["example.com/b"]}}))
    assert api.find(maps(ns, name))
    taken(patch(api, maps(ns, name), {"metadata": {"finalizers": None}}))
    assert api.find(maps(ns, name)) is None


def test_a_deletion_cannot_be_taken_back(api: Client, ns: str, name: str) -> None:
    body = configmap(name)
    body["metadata"]["finalizers"] = ["example.com/a"]
    api.post(maps(ns), body)
    going = taken(delete(api, maps(ns, name)))
    patch(api, maps(ns, name), {"metadata": {"deletionTimestamp": None}})
    assert api.get(maps(ns, name))["metadata"]["deletionTimestamp"] == going["metadata"]["deletionTimestamp"]
    patch(api, maps(ns, name), {"metadata": {"finalizers": None}})


# --- many at once ---


def test_a_collection_is_deleted_by_labels(api: Client, own: str) -> None:
    for each, label in (("a", "x"), ("b", "x"), ("c", "y")):
        api.post(pods(own), pod(each, meta={"labels": {"l": label}}))
    api.send("DELETE", pods(own), labelSelector="l=x")
    assert names(api.get(pods(own))) == ["c"]
    api.send("DELETE", pods(own))
    assert api.get(pods(own))["items"] == []


def test_a_collection_is_answered_with_what_it_was(api: Client, own: str) -> None:
    api.post(jobs(own), job("a"))
    api.post(jobs(own), job("b"))
    gone = taken(api.send("DELETE", jobs(own)))
    assert gone["kind"] == "TrainingJobList"
    assert names(gone) == ["a", "b"]
    assert api.get(jobs(own))["items"] == []


def test_a_collection_of_no_match(api: Client, ns: str) -> None:
    assert taken(api.send("DELETE", maps(ns), labelSelector="none=such"))["items"] == []


def test_grace_of_a_collection(api: Client, own: str, node: str) -> None:
    for each in ("a", "b"):
        api.post(pods(own), pod(each, (), nodeName=node))
    taken(api.send("DELETE", pods(own)))
    assert all(item["metadata"]["deletionTimestamp"] for item in api.get(pods(own))["items"])
    taken(delete(api, pods(own), gracePeriodSeconds=0))
    assert api.get(pods(own))["items"] == []


# --- binding and eviction ---


def test_a_pod_is_bound_once(api: Client, ns: str, name: str, node: str) -> None:
    made = api.post(pods(ns), pod(name, ()))
    assert bind(api, ns, name, node).json()["status"] == "Success"
    shown = api.get(pods(ns, name))
    assert shown["spec"]["nodeName"] == node
    assert shown["metadata"]["generation"] == made["metadata"]["generation"]
    scheduled = next(c for c in shown["status"]["conditions"] if c["type"] == "PodScheduled")
    assert scheduled["status"] == "True"
    words = f'Operation cannot be fulfilled on pods/binding "{name}": pod {name} is already assigned to node "{node}"'
    refused(bind(api, ns, name, node), 409, "Conflict", words)
    delete(api, pods(ns, name), gracePeriodSeconds=0)


def test_another_uid_is_not_bound(api: Client, ns: str, name: str, node: str) -> None:
    api.post(pods(ns), pod(name, ()))
    refused(bind(api, ns, name, node, uid=OTHER), 409, "Conflict", f"Precondition failed: UID in precondition: {OTHER}")
    assert "nodeName" not in api.get(pods(ns, name))["spec"]
    delete(api, pods(ns, name), gracePeriodSeconds=0)


def test_what_is_absent_is_not_bound(api: Client, ns: str) -> None:
    refused(bind(api, ns, "none", "n"), 404, "NotFound", 'pods "none" not found')


def test_a_pod_takes_the_topology_of_its_node(api: Client, ns: str, name: str) -> None:
    labels = {"topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1", "other": "x"}
    api.post(core("nodes"), {"metadata": {"name": name, "labels": labels}})
    api.post(pods(ns), pod(name, ()))
    taken(bind(api, ns, name, name), 201)
    found = api.get(pods(ns, name))["metadata"].get("labels", {})
    assert found == {key: value for key, value in labels.items() if key != "other"}
    delete(api, pods(ns, name), gracePeriodSeconds=0)
    api.delete(core("nodes", name=name))


def evict(api: Client, ns: str, name: str, **options: object) -> Object:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return taken(api.send("POST", pods(ns, name, "eviction"), body | options), 201)


def test_an_evicted_pod_goes_with_its_grace_and_a_condition(api: Client, ns: str, name: str, bound: Object) -> None:
    assert evict(api, ns, name)["status"] == "Success"
    shown = api.get(pods(ns, name))
    assert shown["metadata"]["deletionGracePeriodSeconds"] == 30
    target = next(c for c in shown["status"]["conditions"] if c["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "EvictionByEvictionAPI")


def test_an_evicted_gated_pod_is_gone(api: Client, ns: str, name: str) -> None:
    api.post(pods(ns), pod(name))
    evict(api, ns, name)
    assert api.find(pods(ns, name)) is None


def test_what_is_absent_is_not_evicted(api: Client, ns: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "none"}}
    refused(api.send("POST", pods(ns, "none", "eviction"), body), 404, "NotFound", 'pods "none" not found')


def test_a_cluster_scoped_object(api: Client, name: str) -> None:
    path = group("scheduling.k8s.io/v1", "priorityclasses")
    api.post(path, {"metadata": {"name": name}, "value": 1})
    assert taken(delete(api, f"{path}/{name}"))["details"]["kind"] == "priorityclasses"
    refused(api.send("GET", f"{path}/{name}"), 404, "NotFound", f'priorityclasses.scheduling.k8s.io "{name}" not found')
