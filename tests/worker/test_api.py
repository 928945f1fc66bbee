"""The requests as they go over the wire, on the real client."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.support import builders as b
from tests.support.faketransport import FakeTransport, missing, ok, plain, virtual

from muster.core.duties import Orphan
from muster.core.model import (
    Admit,
    CreatePod,
    Job,
    Kind,
    Nominate,
    Phase,
    Requirement,
    TopologyStatus,
    Transition,
    Ungate,
)
from muster.kube import parse
from muster.kube.client import Client
from muster.kube.errors import Answer, ApiError
from muster.worker.api import Api
from muster.worker.steps import Scene

JOBS = "/apis/muster.dev/v1alpha1/namespaces/default/trainingjobs"
PODS = "/api/v1/namespaces/default/pods"
OWNER = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "name": "llm", "uid": "u-llm-0001",
         "controller": True}  # fmt: skip
POD = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []}, "status": {"phase": "Pending"},
       "metadata": {"name": "p", "namespace": "default", "uid": "u", "resourceVersion": "9",
                    "ownerReferences": [OWNER]}}  # fmt: skip
GONE = {"kind": "Status", "apiVersion": "v1", "status": "Success"}


def manifest(**meta: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "main", "image": "i"}]}}
    return {
        "apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob",
        "metadata": {"name": "llm", "namespace": "default", "uid": "u-llm-0001", "resourceVersion": "5",
                     "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", **meta},
        "spec": {"roles": [{"name": "worker", "replicas": 2, "template": template}]},
        "status": {"observedGeneration": -1, "phase": "Pending"},
    }  # fmt: skip


def job() -> Job:
    parsed = parse.job(msgspec.json.encode(manifest()))
    assert isinstance(parsed, Job), parsed
    return parsed


def api(transport: FakeTransport) -> Api:
    return Api(Client(transport), now=lambda: b.START, topology=lambda: b.topology())


def body(transport: FakeTransport, n: int = -1) -> Any:
    data = transport.requests[n].body
    assert data is not None
    return msgspec.json.decode(data)


@virtual
async def test_a_commit_tests_uid_and_resource_version() -> None:
    t = FakeTransport().answer("PATCH", f"{JOBS}/llm/status", ok(manifest(resourceVersion="6")))
    held = job()
    status = b.committed(held, Phase.PLACED, [["n0", "n1"]]).status
    assert (await api(t).write_status(held, Transition(held.id, 5, "Placed", status))).rv == 6
    sent = body(t)
    assert sent["metadata"] == {"uid": held.id, "resourceVersion": "5"}
    assert sent["status"]["phase"] == "Placed"
    with pytest.raises(ValueError, match="decision"):
        await api(t).write_status(held, Transition(held.id, 4, "Placed", status))
    assert len(t.requests) == 1


@virtual
async def test_a_pod_is_created_where_it_was_placed() -> None:
    t = FakeTransport().answer("POST", PODS, ok(POD, 201))
    held = b.committed(job(), Phase.PLACED, [["n0", "n1"]])
    scene, duty = Scene(held, b.topology(), {}), CreatePod(0, 1, "n1", 1)
    assert (await api(t).create_pod(scene, duty)).id == "u"
    assert body(t)["metadata"]["name"] == api(t).pod_name(scene, duty)
    assert body(t)["spec"]["schedulingGates"] == [{"name": "muster.dev/gang"}]
    with pytest.raises(ValueError, match="does not follow"):
        await api(t).create_pod(scene, CreatePod(0, 1, "n7", 1))
    assert len(t.requests) == 1


@virtual
async def test_a_dry_run_is_narrowed_by_the_volumes_behind_its_claims() -> None:
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    volumes = [{"persistentVolumeClaim": {"claimName": name}} for name in ("bound", "free", "none", "bound")]
    admitted = {**POD, "spec": {"containers": [], "volumes": [*volumes, {"emptyDir": {}}]}}
    zone = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    volume = {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [zone]}}}}
    t = FakeTransport().answer("POST", PODS, ok(admitted, 201))
    t.answer("GET", f"{claims}/bound", ok({"spec": {"volumeName": "pv"}})).answer(
        "GET", f"{claims}/free", ok({"spec": {}})
    )
    t.answer("GET", f"{claims}/none", missing("none")).answer("GET", "/api/v1/persistentvolumes/pv", ok(volume))
    admission = await api(t).admit(Scene(job(), b.topology(), {}), Admit(0, "t"), b.START)
    assert admission.claims == ("bound", "free", "none")
    assert admission.filter.affinity == (((Requirement("zone", "In", ("a",)),),),)


@virtual
async def test_patches_name_the_uid() -> None:
    t = FakeTransport().answer("PATCH", f"{PODS}/p", ok(POD)).answer("PATCH", f"{PODS}/p/status", ok(POD))
    await api(t).ungate("default", Ungate("u", "p"))
    assert body(t)["metadata"]["uid"] == "u"
    assert t.requests[-1].content_type == "application/strategic-merge-patch+json"
    await api(t).nominate("default", Nominate("u", "p", "n0"))
    assert body(t) == {"metadata": {"uid": "u"}, "status": {"nominatedNodeName": "n0"}}


@virtual
async def test_deletes_name_the_uid_and_tell_what_is_left() -> None:
    dying = {**POD, "metadata": {**POD["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}  # type: ignore[dict-item]
    t = FakeTransport().answer("DELETE", f"{PODS}/p", ok(dying), ok(GONE), missing("p"))
    left = await api(t).delete_pod("default", "p", "u", 15)
    assert left is not None
    assert left.terminating
    assert body(t)["preconditions"] == {"uid": "u"}
    assert body(t)["gracePeriodSeconds"] == 15
    assert await api(t).delete_pod("default", "p", "u", None) is None
    with pytest.raises(ApiError) as caught:
        await api(t).delete_pod("default", "p", "u", None)
    assert caught.value.answer is Answer.GONE


@virtual
async def test_deleting_a_job_tests_its_resource_version() -> None:
    t = FakeTransport().answer("DELETE", f"{JOBS}/llm", ok(GONE))
    assert await api(t).delete_job(job(), 5) is None
    assert body(t)["preconditions"] == {"uid": job().id, "resourceVersion": "5"}


@virtual
async def test_the_view_is_two_consistent_lists() -> None:
    every = "/apis/muster.dev/v1alpha1/trainingjobs"
    page = {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [manifest()]}
    t = FakeTransport().answer("GET", every, ok(page), ok({"metadata": {"resourceVersion": "9"}, "items": []}))
    t.answer("GET", "/api/v1/pods", ok({"metadata": {"resourceVersion": "9"}, "items": [POD]}))
    assert [len(list(p)) async for p in api(t).live_jobs()] == [1, 0]
    assert [len(list(p)) async for p in api(t).our_pods()] == [1]
    first, second, pods = (dict(r.query) for r in t.requests)
    assert first["fieldSelector"] == "status.live=true"
    assert second["continue"] == "more"
    assert pods["labelSelector"] == "app.kubernetes.io/managed-by=muster"
    assert not any("resourceVersion" in query for query in (first, second, pods)), "consistent"


@virtual
async def test_an_answer_that_cannot_be_read_is_unknown() -> None:
    t = FakeTransport().answer("PATCH", f"{PODS}/p", plain(200, "<html>"))
    with pytest.raises(ApiError) as caught:
        await api(t).ungate("default", Ungate("u", "p"))
    assert caught.value.answer is Answer.UNKNOWN


@virtual
async def test_the_reaper_is_told_the_name_of_the_owner() -> None:
    t = FakeTransport().answer("GET", f"{PODS}/p", ok(POD))
    owned = await api(t).read_owned(Orphan(Kind.POD, "u", "default", "p", "u-llm-0001", 1, 0))
    assert owned is not None
    assert (owned.owner, owned.child.job) == ("llm", "u-llm-0001")


@virtual
async def test_topology_status() -> None:
    path = "/apis/muster.dev/v1alpha1/clustertopologies/default"
    shown = {"metadata": {"name": "default", "uid": "topology", "resourceVersion": "2"}, "spec": {"preset": "Auto"}}
    t = FakeTransport().answer("PATCH", f"{path}/status", ok(shown))
    said = TopologyStatus((("leaf", 2, 9, 1),), 10, 8, (("cordoned", 2),), "Custom", "", 1)
    assert (await api(t).write_topology_status(b.topology(), said)).rv == 2
    sent = body(t)
    assert sent["metadata"] == {"uid": "topology", "resourceVersion": "1"}
    assert sent["status"]["levels"] == [{"name": "leaf", "domains": 2, "nodes": 9, "unlabelledNodes": 1}]
    assert [(c["type"], c["status"]) for c in sent["status"]["conditions"]] == [
        ("Ready", "True"), ("Invalid", "False"), ("Stalled", "False")
    ]  # fmt: skip
