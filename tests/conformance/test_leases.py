"""The Lease of the leader, and Events: what the operator writes beside jobs and pods."""

from __future__ import annotations

from e2e.client import Client, Object, core
from tests.conformance.kit import causes, lease, leases, patch, refused, rv, taken, uid

NOW = "2026-01-01T00:00:00.123456Z"


def renewed(record: Object, holder: str) -> Object:
    return record | {"spec": record["spec"] | {"holderIdentity": holder, "renewTime": NOW}}


def test_one_of_two_makes_the_lease(api: Client, ns: str, name: str) -> None:
    first = api.send("POST", leases(ns), lease(name, "a"))
    taken(first, 201)
    answer = api.send("POST", leases(ns), lease(name, "b"))
    refused(answer, 409, "AlreadyExists", f'leases.coordination.k8s.io "{name}" already exists')
    assert api.get(leases(ns, name))["spec"]["holderIdentity"] == "a"


def test_of_two_renewals_of_one_version_one_wins(api: Client, ns: str, name: str) -> None:
    made = api.post(leases(ns), lease(name, "a"))
    first = taken(api.send("PUT", leases(ns, name), renewed(made, "b")))
    assert int(rv(first)) > int(rv(made))
    words = f'Operation cannot be fulfilled on leases.coordination.k8s.io "{name}": the object has been modified'
    refused(api.send("PUT", leases(ns, name), renewed(made, "c")), 409, "Conflict", words)
    assert api.get(leases(ns, name)) == first


def test_times_have_microseconds(api: Client, ns: str, name: str) -> None:
    made = api.post(leases(ns), lease(name))
    spec = api.put(leases(ns, name), renewed(made, "a"))["spec"]
    assert spec["renewTime"] == NOW
    body = lease(f"{name}-b")
    body["spec"]["renewTime"] = "2026-01-01T00:00:00Z"
    refused(api.send("POST", leases(ns), body), 400, "BadRequest", "parsing time")


def test_a_lease_lasts(api: Client, ns: str, name: str) -> None:
    body = lease(name)
    body["spec"]["leaseDurationSeconds"] = 0
    status = refused(api.send("POST", leases(ns), body), 422, "Invalid", "must be greater than 0")
    assert causes(status) == [("spec.leaseDurationSeconds", "FieldValueInvalid")]


def test_a_lease_that_is_absent_is_made_by_replacing_it(api: Client, ns: str, name: str) -> None:
    made = taken(api.send("PUT", leases(ns, name), lease(name, "a")), 201)
    assert made["spec"]["holderIdentity"] == "a"


def test_but_not_with_a_uid(api: Client, ns: str, name: str) -> None:
    """A renewal of a Lease that was deleted must not make it again."""
    made = api.post(leases(ns), lease(name))
    api.delete(leases(ns, name))
    words = f"Precondition failed: UID in precondition: {uid(made)}, UID in object meta: "
    refused(api.send("PUT", leases(ns, name), renewed(made, "a")), 409, "Conflict", words)
    assert api.find(leases(ns, name)) is None


def test_a_released_lease(api: Client, ns: str, name: str) -> None:
    made = api.post(leases(ns), lease(name))
    spec = api.put(leases(ns, name), made | {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})["spec"]
    assert spec.get("holderIdentity", "") == ""
    assert "renewTime" not in spec


# --- Events ---


def event(name: str, namespace: str | None = None, **more: Object | str | int) -> Object:
    involved = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "name": "j", "uid": "u"}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name},
        "involvedObject": involved | ({"namespace": namespace} if namespace else {}),
        "type": "Normal",
        "reason": "Placed",
        "message": "on 8 nodes",
        "count": 1,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "muster"},
        "reportingComponent": "muster.dev/operator",
        "reportingInstance": "muster-0",
    } | more


def test_an_event_is_kept_as_it_is(api: Client, ns: str, name: str) -> None:
    made = api.post(core("events", ns), event(name, ns), fieldValidation="Strict")
    assert made["reason"] == "Placed"
    assert made["involvedObject"]["name"] == "j"
    assert made["count"] == 1
    assert api.get(core("events", ns, name)) == made


def test_its_count_grows(api: Client, ns: str, name: str) -> None:
    api.post(core("events", ns), event(name, ns))
    change = {"count": 2, "lastTimestamp": "2026-01-01T00:01:00Z", "message": "again"}
    changed = taken(patch(api, core("events", ns, name), change))
    assert (changed["count"], changed["message"]) == (2, "again")
    assert changed["firstTimestamp"] == "2026-01-01T00:00:00Z"


def test_it_lies_beside_its_object(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", core("events", ns), event(name, "elsewhere"))
    words = 'involvedObject.namespace: Invalid value: "elsewhere": does not match event.namespace'
    refused(answer, 422, "Invalid", words)


def test_an_event_of_a_cluster_scoped_object_lies_in_default(api: Client, ns: str, name: str) -> None:
    assert taken(api.send("POST", core("events", "default"), event(name)), 201)
    api.delete(core("events", "default", name))
    refused(api.send("POST", core("events", ns), event(name)), 422, "Invalid", "involvedObject.namespace")


def test_an_absent_event_is_named(api: Client, ns: str) -> None:
    refused(patch(api, core("events", ns, "none"), {"count": 2}), 404, "NotFound", 'events "none" not found')
