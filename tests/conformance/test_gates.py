"""The start of a gang at the API: gates, nomination, pins."""

from __future__ import annotations

from e2e.client import Client
from tests.conformance.kit import GATE, HELD, bind, causes, patch, pod, pods, refused, rv, taken, uid

OTHER = "00000000-0000-0000-0000-000000000000"


def ungate(owner: str, gate: str = GATE) -> dict[str, object]:
    """The body that the operator sends."""
    return {"metadata": {"uid": owner}, "spec": {"schedulingGates": [{"$patch": "delete", "name": gate}]}}


def test_a_gated_pod_says_so(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name))
    assert made["spec"]["schedulingGates"] == [{"name": GATE}]
    assert made["status"]["phase"] == "Pending"
    (condition,) = made["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled",
        "False",
        "SchedulingGated",
    )


def test_our_gate_is_removed_and_no_other(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name, (GATE, HELD)))
    opened = taken(patch(api, pods(ns, name), ungate(uid(made)), "strategic"))
    assert opened["spec"]["schedulingGates"] == [{"name": HELD}]
    assert int(rv(opened)) > int(rv(made))
    again = taken(patch(api, pods(ns, name), ungate(uid(made)), "strategic"))
    assert again == opened
    last = taken(patch(api, pods(ns, name), ungate(uid(made), HELD), "strategic"))
    assert not last["spec"].get("schedulingGates")


def test_a_gate_of_another_uid_stays(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name))
    answer = patch(api, pods(ns, name), ungate(OTHER), "strategic")
    words = f'metadata.uid: Invalid value: "{OTHER}": field is immutable'
    status = refused(answer, 422, "Invalid", f'Pod "{name}" is invalid: {words}')
    assert causes(status) == [("metadata.uid", "FieldValueInvalid")]
    assert api.get(pods(ns, name)) == made


def test_a_pod_that_is_gone_has_no_gate(api: Client, ns: str) -> None:
    refused(patch(api, pods(ns, "none"), ungate(OTHER), "strategic"), 404, "NotFound", 'pods "none" not found')


def test_no_gate_comes_later(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name))
    body = {"spec": {"schedulingGates": [{"name": HELD}]}}
    words = f"only deletion is allowed, but found new scheduling gate '{HELD}'"
    refused(patch(api, pods(ns, name), body, "strategic"), 422, "Invalid", words)
    taken(patch(api, pods(ns, name), ungate(uid(made)), "strategic"))
    refused(patch(api, pods(ns, name), {"spec": {"schedulingGates": [{"name": GATE}]}}), 422, "Invalid", "spec")


def test_a_gate_has_a_qualified_name(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", pods(ns), pod(name, ("not a name",)))
    status = refused(answer, 422, "Invalid", "spec.schedulingGates[0]")
    assert causes(status)[0][0] == "spec.schedulingGates[0]"


def test_a_gated_pod_may_not_name_its_node(api: Client, ns: str, name: str) -> None:
    answer = api.send("POST", pods(ns), pod(name, nodeName="n"))
    words = "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"
    refused(answer, 422, "Invalid", words)


def test_a_gated_pod_cannot_be_bound(api: Client, ns: str, name: str) -> None:
    api.post(pods(ns), pod(name))
    words = f"pod {name} has non-empty .spec.schedulingGates"
    refused(bind(api, ns, name, "n"), 409, "Conflict", words)


def test_a_pod_is_nominated_through_its_status(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name))
    body = {"metadata": {"uid": uid(made)}, "status": {"nominatedNodeName": "n1"}}
    told = taken(patch(api, pods(ns, name, "status"), body))
    assert told["status"]["nominatedNodeName"] == "n1"
    assert told["status"]["conditions"] == made["status"]["conditions"]
    assert told["metadata"]["generation"] == 1
    assert taken(patch(api, pods(ns, name, "status"), body)) == told
    opened = taken(patch(api, pods(ns, name), ungate(uid(made)), "strategic"))
    assert opened["status"]["nominatedNodeName"] == "n1"


def test_another_pod_is_not_nominated(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name))
    body = {"metadata": {"uid": OTHER}, "status": {"nominatedNodeName": "n1"}}
    status = refused(patch(api, pods(ns, name, "status"), body), 422, "Invalid", "field is immutable")
    assert causes(status) == [("metadata.uid", "FieldValueInvalid")]
    assert api.get(pods(ns, name)) == made


def test_a_gated_pod_may_narrow_where_it_goes(api: Client, ns: str, name: str) -> None:
    api.post(pods(ns), pod(name))
    made = taken(patch(api, pods(ns, name), {"spec": {"nodeSelector": {"a": "b"}}}))
    assert made["spec"]["nodeSelector"] == {"a": "b"}
    words = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
    refused(patch(api, pods(ns, name), {"spec": {"nodeSelector": {"a": "c"}}}), 422, "Invalid", words)
    refused(patch(api, pods(ns, name), {"spec": {"nodeSelector": None}}), 422, "Invalid", words)


def test_an_open_pod_may_not(api: Client, ns: str, name: str) -> None:
    api.post(pods(ns), pod(name, ()))
    words = "pod updates may not change fields other than `spec.containers[*].image`"
    refused(patch(api, pods(ns, name), {"spec": {"nodeSelector": {"a": "b"}}}), 422, "Invalid", words)


def test_the_node_is_not_set_by_a_patch(api: Client, ns: str, name: str) -> None:
    api.post(pods(ns), pod(name, ()))
    words = "spec: Forbidden: pod updates may not change fields other than"
    refused(patch(api, pods(ns, name), {"spec": {"nodeName": "n"}}), 422, "Invalid", words)


def test_what_of_a_pod_may_change(api: Client, ns: str, name: str) -> None:
    made = api.post(pods(ns), pod(name, ()))
    body = {"spec": {"containers": [{"name": "main", "image": "other"}]}}
    changed = taken(patch(api, pods(ns, name), body, "strategic"))
    assert changed["spec"]["containers"][0]["image"] == "other"
    further = [*made["spec"]["tolerations"], {"key": "x", "operator": "Exists"}]
    changed = taken(patch(api, pods(ns, name), {"spec": {"tolerations": further}}))
    assert changed["spec"]["tolerations"] == further
    answer = patch(api, pods(ns, name), {"spec": {"tolerations": further[:1]}})
    refused(answer, 422, "Invalid", "spec.tolerations: Forbidden: existing toleration can not be modified except")
    assert taken(patch(api, pods(ns, name), {"spec": {"activeDeadlineSeconds": 60}}))
    refused(
        patch(api, pods(ns, name), {"spec": {"terminationGracePeriodSeconds": 5}}), 422, "Invalid", "may not change"
    )


def test_affinity_terms_with_a_pinned_node_are_kept(api: Client, ns: str, name: str) -> None:
    term = {
        "matchExpressions": [{"key": "hall", "operator": "In", "values": ["a"]}],
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}],
    }
    need = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    made = api.post(pods(ns), pod(name, affinity={"nodeAffinity": need}))
    assert made["spec"]["affinity"]["nodeAffinity"] == need
    two = {"key": "metadata.name", "operator": "In", "values": ["n1", "n2"]}
    need = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [two]}]}}
    answer = api.send("POST", pods(ns), pod(f"{name}-two", affinity={"nodeAffinity": need}))
    refused(answer, 422, "Invalid", "matchFields[0].values", "must be only one value when `operator` is 'In'")
