"""The tables that kubectl prints."""

from __future__ import annotations

import json
import re

import pytest
from e2e.client import Client, Object, core
from tests.conformance.kit import bind, configmap, delete, job, jobs, maps, pod, pods, refused, rv, taken

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
AGE = re.compile(r"\d+[smhd]\S*")


def table(api: Client, path: str, **parameters: object) -> Object:
    found = taken(api.send("GET", path, headers=TABLE, **parameters))
    assert (found["kind"], found["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    return found


def columns(found: Object) -> dict[str, list[str]]:
    """The names of the columns by priority: 0 always shown, 1 with -o wide."""
    return {
        word: [each["name"] for each in found["columnDefinitions"] if each["priority"] == priority]
        for word, priority in (("always", 0), ("wide", 1))
    }


def row(found: Object, name: str) -> dict[str, object]:
    titles = [each["name"] for each in found["columnDefinitions"]]
    cells = next(each["cells"] for each in found["rows"] if each["cells"][0] == name)
    return dict(zip(titles, cells, strict=True))


def test_jobs(api: Client, own: str) -> None:
    api.post(jobs(own), job("a"))
    status = {
        "phase": "Running",
        "attempt": 2,
        "restarts": 1,
        "summary": {"running": "2/2", "where": "1/1 nvlink"},
        "waiting": {"reason": "Fragmented", "message": "m"},
    }
    api.patch(jobs(own, "a", "status"), {"status": status})
    api.post(jobs(own), job("b"))
    found = table(api, jobs(own))
    assert columns(found) == {
        "always": ["Name", "Phase", "Running", "Where", "Why", "Restarts", "Age"],
        "wide": ["Attempt", "Queue", "Message", "Last Failure"],
    }
    first = row(found, "a")
    assert AGE.fullmatch(str(first.pop("Age")))
    assert first == {
        "Name": "a",
        "Phase": "Running",
        "Running": "2/2",
        "Where": "1/1 nvlink",
        "Why": "Fragmented",
        "Restarts": 1,
        "Attempt": 2,
        "Queue": None,
        "Message": "m",
        "Last Failure": None,
    }
    second = row(found, "b")
    assert (second["Phase"], second["Running"], second["Restarts"]) == ("Pending", None, None)
    types = {each["name"]: (each["type"], each["format"]) for each in found["columnDefinitions"]}
    assert types["Name"] == ("string", "name")
    assert types["Restarts"] == ("integer", "")
    assert types["Age"] == ("date", "")


def test_a_row_carries_the_metadata_or_the_object_or_nothing(api: Client, ns: str, name: str) -> None:
    made = api.post(jobs(ns), job(name))
    for include, kind in ((None, "PartialObjectMetadata"), ("Metadata", "PartialObjectMetadata")):
        (only,) = table(api, jobs(ns, name), includeObject=include)["rows"]
        assert only["object"]["kind"] == kind
        assert only["object"]["apiVersion"] == "meta.k8s.io/v1"
        assert only["object"]["metadata"] == made["metadata"]
        assert "spec" not in only["object"]
    (only,) = table(api, jobs(ns, name), includeObject="Object")["rows"]
    assert only["object"] == made
    (only,) = table(api, jobs(ns, name), includeObject="None")["rows"]
    assert not only.get("object")


def test_pods(api: Client, own: str) -> None:
    api.post(core("nodes"), {"metadata": {"name": own}})
    api.post(pods(own), pod("gated"))
    api.patch(pods(own, "gated", "status"), {"status": {"nominatedNodeName": "n7"}})
    api.post(pods(own), pod("bound", ()))
    assert bind(api, own, "bound", own).status == 201
    api.post(pods(own), pod("ends", (), nodeName=own))
    state = {"name": "main", "ready": True, "restartCount": 3, "state": {"running": {}}, "image": "", "imageID": ""}
    api.patch(pods(own, "bound", "status"), {"status": {"phase": "Running", "containerStatuses": [state]}})
    delete(api, pods(own, "ends"))
    found = table(api, pods(own))
    assert columns(found) == {
        "always": ["Name", "Ready", "Status", "Restarts", "Age"],
        "wide": ["IP", "Node", "Nominated Node", "Readiness Gates"],
    }
    gated = row(found, "gated")
    assert (gated["Ready"], gated["Status"], gated["Restarts"]) == ("0/1", "SchedulingGated", "0")
    assert (gated["Node"], gated["Nominated Node"], gated["IP"]) == ("<none>", "n7", "<none>")
    bound = row(found, "bound")
    assert (bound["Ready"], bound["Status"], bound["Restarts"], bound["Node"]) == ("1/1", "Running", "3", own)
    assert row(found, "ends")["Status"] == "Terminating"
    for name in ("bound", "ends"):
        delete(api, pods(own, name), gracePeriodSeconds=0)
    api.delete(core("nodes", name=own))


def test_why_a_pod_has_ended_or_waits(api: Client, own: str) -> None:
    api.post(core("nodes"), {"metadata": {"name": own}})
    main = {"name": "main", "ready": False, "restartCount": 0, "image": "", "imageID": ""}
    for name, phase, state in (
        ("done", "Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed"}}),
        ("error", "Failed", {"terminated": {"exitCode": 3, "reason": "Error"}}),
        ("pulls", "Pending", {"waiting": {"reason": "ImagePullBackOff"}}),
    ):
        api.post(pods(own), pod(name, (), nodeName=own))
        status = {"phase": phase, "containerStatuses": [main | {"state": state}]}
        api.patch(pods(own, name, "status"), {"status": status})
    api.post(pods(own), pod("refused", (), nodeName=own))
    api.patch(pods(own, "refused", "status"), {"status": {"phase": "Failed", "reason": "OutOfcpu"}})
    found = table(api, pods(own))
    shown = {name: row(found, name)["Status"] for name in ("done", "error", "pulls", "refused")}
    assert shown == {"done": "Completed", "error": "Error", "pulls": "ImagePullBackOff", "refused": "OutOfcpu"}
    delete(api, pods(own), gracePeriodSeconds=0)
    api.delete(core("nodes", name=own))


def test_nodes(api: Client, name: str) -> None:
    ready = {"type": "Ready", "status": "True"}
    status = {"conditions": [ready], "nodeInfo": {"kubeletVersion": "v1.37.1"}}
    labels = {"node-role.kubernetes.io/worker": ""}
    body = {"metadata": {"name": name, "labels": labels}, "spec": {"unschedulable": True}, "status": status}
    api.post(core("nodes"), body)
    found = table(api, core("nodes"), fieldSelector=f"metadata.name={name}")
    assert columns(found) == {
        "always": ["Name", "Status", "Roles", "Age", "Version"],
        "wide": ["Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"],
    }
    shown = row(found, name)
    assert (shown["Status"], shown["Roles"], shown["Version"]) == ("Ready,SchedulingDisabled", "worker", "v1.37.1")
    api.delete(core("nodes", name=name))


@pytest.mark.parametrize(
    ("path", "titles"),
    [
        ("/api/v1/namespaces", ["Name", "Status", "Age"]),
        ("/api/v1/configmaps", ["Name", "Data", "Age"]),
        ("/api/v1/services", ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"]),
        ("/api/v1/events", ["Last Seen", "Type", "Reason", "Object", "Message"]),
        ("/apis/coordination.k8s.io/v1/leases", ["Name", "Holder", "Age"]),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", ["Name", "Value", "Global-Default", "Age", "PreemptionPolicy"]),
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", ["Name", "Scope", "Versions", "Created At"]),
        ("/apis/muster.dev/v1alpha1/clustertopologies", None),
    ],
    ids=lambda each: each.rpartition("/")[2] if isinstance(each, str) else "",
)
def test_columns_of_other_kinds(api: Client, path: str, titles: list[str] | None) -> None:
    shown = columns(table(api, path))["always"]
    if titles is None:
        assert shown[0] == "Name"
    else:
        assert shown == titles


def test_a_table_has_pages(api: Client, own: str) -> None:
    for name in ("a", "b", "c"):
        api.post(jobs(own), job(name))
    first = table(api, jobs(own), limit=2)
    assert [each["cells"][0] for each in first["rows"]] == ["a", "b"]
    rest = table(api, jobs(own), limit=2, **{"continue": first["metadata"]["continue"]})
    assert [each["cells"][0] for each in rest["rows"]] == ["c"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_watch_is_told_in_tables(api: Client, own: str) -> None:
    """As `kubectl get -w` reads it: the columns come with the first event only."""
    for name in ("a", "b"):
        api.post(jobs(own), job(name))
    answer = api.send("GET", jobs(own), headers=TABLE, watch="true", resourceVersion="0", timeoutSeconds=1)
    events = [json.loads(line) for line in answer.body.splitlines()]
    assert [each["type"] for each in events] == ["ADDED", "ADDED"]
    assert {each["object"]["kind"] for each in events} == {"Table"}
    assert sorted(each["object"]["rows"][0]["cells"][0] for each in events) == ["a", "b"]
    assert events[0]["object"]["columnDefinitions"][1]["name"] == "Phase"
    assert not events[1]["object"].get("columnDefinitions")
    assert events[0]["object"]["rows"][0]["object"]["metadata"]["resourceVersion"]


def test_a_refusal_is_no_table(api: Client, ns: str) -> None:
    refused(api.send("GET", pods(ns, "none"), headers=TABLE), 404, "NotFound", 'pods "none" not found')


def test_metadata_alone(api: Client, ns: str, name: str) -> None:
    made = api.post(maps(ns), configmap(name, a="1"))
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    found = taken(api.send("GET", maps(ns), headers=accept, fieldSelector=f"metadata.name={name}"))
    assert (found["kind"], found["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert [each["metadata"] for each in found["items"]] == [made["metadata"]]
    assert "data" not in found["items"][0]
    accept = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
    one = taken(api.send("GET", maps(ns, name), headers=accept))
    assert (one["kind"], rv(one)) == ("PartialObjectMetadata", rv(made))


def test_what_cannot_be_written(api: Client, ns: str) -> None:
    answer = api.send("GET", maps(ns), headers={"Accept": "application/xml"})
    refused(answer, 406, "NotAcceptable", "406: Not Acceptable")
