"""Wire -> core: what records say, that bytes and dicts agree, and that nothing a person writes raises."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kube import objects

from muster.core.model import (
    Avoided,
    Child,
    ContainerEnd,
    Failure,
    HealthAction,
    HealthRule,
    Job,
    Kind,
    Phase,
    Quota,
    Rejected,
    Segments,
    Stage,
    SuccessWhen,
)
from muster.core.model import Pod as PodRecord
from muster.kube import parse

T0 = 1_772_366_400_000
"""objects.TIME"""
ENDED = {"exitCode": 137, "finishedAt": "2026-03-01T13:00:00Z", "reason": "OOMKilled", "message": "x" * 2000 + "end"}


def b(obj: Any) -> bytes:
    return json.dumps(obj).encode()


def ended(*codes: int) -> list[dict[str, Any]]:
    names = ("trainer", "exporter")
    return [
        {"name": n, "state": {"terminated": ENDED | {"exitCode": c, "message": str(c)}}}
        for n, c in zip(names, codes, strict=False)
    ]


def test_node() -> None:
    node = parse.node(b(objects.node()))
    assert node.allocatable == (
        ("cpu", 143_500), ("memory", 960 << 30), ("nvidia.com/gpu", 4), ("pods", 110), ("rdma/ib", 8))  # fmt: skip
    assert (node.name, node.rv, node.cordoned, node.unready_since, node.out_of_service) == (
        "r0-n00",
        812,
        True,
        None,
        False,
    )
    assert [(t.key, t.value) for t in node.taints][1] == ("node.kubernetes.io/unschedulable", "")
    assert node.labels["nvidia.com/gpu.clique"] == "7a3e.0"


def test_node_unready() -> None:
    obj = objects.node()
    obj["status"]["conditions"][1]["status"] = "Unknown"
    obj["spec"]["taints"].append({"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"})
    node = parse.node(b(obj))
    assert node.unready_since == T0
    assert node.out_of_service
    del obj["status"]["conditions"]
    assert parse.node(b(obj)).unready_since == 1_767_225_600_000


def test_pod() -> None:
    pod = parse.pod(b(objects.pod()))
    assert pod == PodRecord(
        id="pod-uid", namespace="research", name="llm-worker-07-0b6f1f4e-3", rv=90071, stage=Stage.RUNNING,
        requests=(("cpu", 101_000), ("memory", 800 << 30), ("nvidia.com/gpu", 4), ("pods", 1)),
        node="r0-n07", job=objects.UID, role="worker", rank=7, born=3,
    )  # fmt: skip


def test_pod_before_it_starts() -> None:
    obj = objects.pod(phase="Pending", containerStatuses=None, nominatedNodeName="r0-n08")
    obj["spec"]["schedulingGates"] = [{"name": "other.io/x"}, {"name": "muster.dev/gang"}]
    del obj["spec"]["nodeName"]
    pod = parse.pod(b(obj))
    assert (pod.stage, pod.our_gate, pod.foreign_gates) == (Stage.GATED, True, ("other.io/x",))
    assert (pod.node, pod.pinned, pod.nominated) == (None, "r0-n07", "r0-n08")
    terms = obj["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    terms.append({"matchExpressions": [{"key": "a", "operator": "Exists"}]})
    obj["spec"]["schedulingGates"] = []
    message = "0/9 nodes are available"
    obj["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    ]
    pod = parse.pod(b(obj))
    assert (pod.stage, pod.pinned, pod.unschedulable) == (Stage.UNBOUND, "r0-n08", message)


def test_bound_pod_in_trouble() -> None:
    waiting = [{"name": "trainer", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]
    pod = parse.pod(b(objects.pod(phase="Pending", containerStatuses=waiting)))
    assert (pod.stage, pod.trouble) == (Stage.BOUND, ("ImagePullBackOff", "no such image"))


def test_resized_pod_counts_what_it_holds() -> None:
    obj = objects.pod()
    obj["status"]["containerStatuses"][0]["allocatedResources"]["cpu"] = "120"
    assert dict(parse.pod(b(obj)).requests)["cpu"] == 121_000


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        pytest.param(
            {"containerStatuses": ended(137, 0)}, Failure(137, 9, "OOMKilled", "137", T0 + 3_600_000), id="oom"
        ),
        pytest.param(
            {"reason": "OutOfcpu", "message": "Node didn't have enough cpu", "containerStatuses": None},
            Failure(reason="OutOfcpu", message="Node didn't have enough cpu", refused=True),
            id="refused",
        ),
        pytest.param(
            {"reason": "Evicted", "message": "low on memory", "containerStatuses": ended(1, 0)},
            Failure(1, None, "Evicted", "1", T0 + 3_600_000, disrupted=True),
            id="evicted after it ran",
        ),
        pytest.param(
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]},
            Failure(disrupted=True),
            id="preempted",
        ),
    ],
)
def test_failures(status: dict[str, Any], failure: Failure) -> None:
    pod = parse.pod(b(objects.pod(phase="Failed", **status)))
    assert pod.failure is not None
    told = replace(pod.failure, ends=(), conditions=())
    assert (pod.stage, told, pod.collected) == (Stage.FAILED, failure, False)


def test_what_the_rules_of_a_failure_policy_look_at() -> None:
    conditions = [{"type": "DisruptionTarget", "status": "True", "reason": "x"}]
    pod = parse.pod(b(objects.pod(phase="Failed", containerStatuses=ended(75, 0), conditions=conditions)))
    assert pod.failure is not None
    assert pod.failure.ends == (ContainerEnd("trainer", 75, "75"), ContainerEnd("exporter", 0, "0"))
    assert pod.failure.conditions == (("DisruptionTarget", "True"),)


@pytest.mark.parametrize(
    ("until", "grace", "cut_short"),
    [
        pytest.param("2026-03-01T13:00:31Z", 30, False, id="it had ended a second before the deletion"),
        pytest.param("2026-03-01T13:00:30Z", 30, True, id="in the same second"),
        pytest.param("2026-03-01T13:00:10Z", 30, True, id="told to end, 20 s before it did"),
        pytest.param("2026-03-01T13:00:01Z", 0, False, id="deleted at once when it had ended"),
        pytest.param(None, None, False, id="not deleted"),
    ],
)
def test_whether_a_pod_ended_because_it_was_told_to(until: str | None, grace: int | None, cut_short: bool) -> None:
    obj = objects.pod(phase="Succeeded", containerStatuses=ended(0, 0))
    if until is not None:
        obj["metadata"] |= {"deletionTimestamp": until, "deletionGracePeriodSeconds": grace}
    pod = parse.pod(b(obj))
    assert (pod.terminating, pod.cut_short, pod.done) == (until is not None, cut_short, not cut_short)


def test_finished_and_collected() -> None:
    assert parse.pod(b(objects.pod(phase="Failed", containerStatuses=ended(1)))).finished_at is None
    assert parse.pod(b(objects.pod(phase="Succeeded", containerStatuses=ended(0, 0)))).finished_at == T0 + 3_600_000
    obj = objects.pod(phase="Failed", containerStatuses=ended(1))
    obj["metadata"] |= {"deletionTimestamp": "2026-03-01T13:00:00Z", "deletionGracePeriodSeconds": 30}
    assert parse.pod(b(obj)).cut_short, "not known to have ended before"
    gone = [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}]
    assert parse.pod(b(objects.pod(phase="Failed", conditions=gone))).collected


def test_daemons() -> None:
    obj = objects.pod()
    obj["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "uid": "d", "controller": True}
    ]
    assert (parse.pod(b(obj)).daemon, parse.pod(b(obj)).job) == (True, None)
    obj["metadata"].update(ownerReferences=[], annotations={"kubernetes.io/config.mirror": "x"})
    assert parse.pod(b(obj)).daemon


def test_pages_and_events() -> None:
    pods = parse.decoder(Kind.POD)
    page = pods.page(b({"metadata": {"resourceVersion": "9", "continue": "c"}, "items": [objects.pod()]}))
    assert (len(page.records), page.ids, page.rv, page.next) == (1, ("pod-uid",), "9", "c")
    event = pods.event(b({"type": "DELETED", "object": objects.pod()}))
    assert (event.type, event.record, event.id, event.rv) == ("DELETED", page.records[0], "pod-uid", "90071")
    bookmark = b({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "12"}}})
    assert (pods.event(bookmark).rv, pods.event(bookmark).record) == ("12", None)
    error = pods.event(b({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}))
    assert error.status is not None
    assert (error.status.code, error.status.reason) == (410, "Expired")
    for kind in Kind:
        assert parse.decoder(kind).page(b'{"metadata":{"resourceVersion":"1"},"items":[]}').rv == "1"
        for bad in (b"", b"[]", b"404 page not found", b'{"items":[]}'):
            with pytest.raises(ValueError):  # noqa: PT011
                parse.decoder(kind).page(bad)


def test_priority_class_quota_and_service() -> None:
    meta = {"metadata": {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "3"}}
    record = parse.record_from({"kind": "PriorityClass", **meta, "value": 7, "preemptionPolicy": "Never"})
    assert (record.value, record.preempts) == (7, False)  # type: ignore[union-attr]
    hard = {"requests.cpu": "2", "cpu": "3", "requests.nvidia.com/gpu": "8", "pods": 0, "limits.cpu": 1, "services": 1}
    quota = {"kind": "ResourceQuota", **meta, "spec": {"hard": hard}, "status": {"hard": hard, "used": {"cpu": "1"}}}
    assert parse.record_from(quota) == Quota(
        "n", "x", "u", 3, hard=(("cpu", 2000), ("nvidia.com/gpu", 8), ("pods", 0)), used=()
    )
    quota["spec"]["scopes"] = ["BestEffort"]
    assert parse.record_from(quota) is None
    owner = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "uid": "j", "controller": True}
    service = {"kind": "Service", **meta}
    assert parse.record_from(service) is None
    service["metadata"]["ownerReferences"] = [owner]
    assert parse.child(b(service)) == Child("u", "n", "x", 3, "j")


def good(obj: dict[str, Any]) -> Job:
    job = parse.job_from(obj)
    assert isinstance(job, Job), job
    assert parse.job(b(obj)) == job
    return job


def test_job() -> None:
    job = good(objects.job(successPolicy={"when": "FirstRank", "roles": ["head"]}, bindTimeoutSeconds=9))
    worker, head = job.roles
    assert (job.id, job.rv, job.generation, job.created, job.priority_class) == (
        objects.UID, 4711, 2, T0, "muster-default")  # fmt: skip
    assert (job.required, job.preferred, job.policy.prefer_wait) == ("spine", "leaf", 60_000)
    assert worker.segments == (Segments("nvlink", 8), Segments("node", 2))
    assert (dict(worker.requests), dict(head.requests)) == ({"nvidia.com/gpu": 4, "pods": 1}, {"pods": 1})
    policy = job.policy
    assert (policy.success_when, policy.success_roles, policy.linger) == (SuccessWhen.FIRST_RANK, ("head",), 300_000)
    assert (policy.bind_timeout, policy.start_timeout, policy.backoff_max) == (9_000, 1_800_000, 300_000)
    assert (policy.max_restarts, policy.unreachable_after, policy.retain_pods) == (10, 60_000, 8)
    assert (job.status.phase, job.status.observed_generation) == (Phase.PENDING, -1)
    assert not job.gitops
    assert "managedFields" not in job.manifest["metadata"]


def test_hashes_cover_what_pods_are_made_of() -> None:
    base, same = good(objects.job()), good(objects.job(suspend=True, startTimeoutSeconds=5))
    assert (base.roles_hash, base.roles[0].template) == (same.roles_hash, same.roles[0].template)
    other = good(objects.job(launcher="jax"))
    assert base.roles_hash != other.roles_hash
    assert base.roles[0].template != other.roles[0].template
    assert base.roles_hash != good(objects.job(topology=None)).roles_hash


def test_uneven_sizes() -> None:
    obj = objects.job()
    for sizes, expected in (([8, 4, 4], Segments("nvlink", 8, (8, 4, 4))), ([6, 6, 4], Segments("nvlink", 6))):
        obj["spec"]["roles"][0]["topology"] = {"segments": [{"level": "nvlink", "sizes": sizes}]}
        assert good(obj).roles[0].segments == (expected,)


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        (
            lambda o: o["spec"]["roles"][0].update(replicas="four"),
            "spec.roles[0].replicas",
            "Expected `int`, got `str`",
        ),
        (
            lambda o: o["spec"]["roles"][0].update(replicas=15),
            "spec.roles[0].topology.segments[1].sizes",
            "add up to 16",
        ),
        (lambda o: o["spec"]["roles"][0].update(name="Worker"), "spec.roles[0].name", "DNS label"),
        (lambda o: o["spec"]["roles"][1].update(name="worker"), "spec.roles[1].name", "earlier role"),
        (lambda o: o["metadata"].update(name="a" * 39), "spec.roles[0].name", "together"),
        (lambda o: o["metadata"].update(name="a.b"), "metadata.name", "DNS label"),
        (lambda o: o.pop("spec"), "spec", "object"),
        (lambda o: o["spec"]["roles"][1].update(replicas=10_000), "spec.roles", "10016 pods"),
        (lambda o: o["spec"]["roles"][1].update(template={"spec": {}}), "spec.roles[1].template.spec", "containers"),
        (
            lambda o: o["spec"]["roles"][0]["template"]["spec"]["containers"][0]["resources"].update(
                limits={"nvidia.com/gpu": "4 GPUs"}
            ),
            "spec.roles[0].template.spec.containers[0].resources.limits[nvidia.com/gpu]",
            "is not a quantity of nvidia.com/gpu; write",
        ),
        (lambda o: o["status"].update(phase="Running"), "status.placement", "Running"),
        (lambda o: o["spec"].update(successPolicy={"roles": ["x"]}), "spec.successPolicy.roles[0]", "no role"),
    ],
)
def test_rejects(change: Any, path: str, words: str) -> None:
    obj = objects.job()
    change(obj)
    answer = parse.job_from(obj)
    assert isinstance(answer, Rejected)
    assert answer.path == path
    assert words in answer.message
    assert answer.id == objects.UID
    assert answer == parse.job(b(obj))


def test_gitops_and_deletion() -> None:
    obj = objects.job()
    obj["metadata"] |= {
        "annotations": {"argocd.argoproj.io/tracking-id": "x"},
        "deletionTimestamp": objects.TIME,
        "finalizers": ["orphan"],
    }
    job = good(obj)
    assert (job.gitops, job.deleting, job.orphaning) == (True, True, True)


def test_nesting_without_end_is_no_object() -> None:
    deep = b(objects.job()).replace(b'"torchrun"', b"[" * 50_000 + b"]" * 50_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse.decoder(Kind.JOB).page(b'{"metadata":{"resourceVersion":"1"},"items":[' + deep + b"]}")


def test_topology() -> None:
    levels = [
        {"name": "leaf", "nodeLabel": "x/leaf", "boundary": True},
        {"name": "nvlink", "nodeLabel": "c", "placeholderValues": ["none"], "fillLimit": 16},
        {"name": "node", "weight": 2},
    ]
    obj = {
        "metadata": {"name": "default", "uid": "t", "resourceVersion": "5"},
        "spec": {"preset": "Custom", "levels": levels},
    }
    spec = parse.topology_from(obj)
    assert spec == parse.topology(b(obj))
    assert (spec.invalid, [lv.labels for lv in spec.levels]) == ("", [("x/leaf",), ("c",), ()])
    assert (spec.levels[1].fill_limit, spec.levels[1].placeholders, spec.levels[2].weight) == (16, ("none",), 2)
    assert spec.pod_defaults == parse.DEFAULT_TOPOLOGY.pod_defaults
    levels.reverse()
    assert parse.topology_from(obj).invalid.startswith("spec.levels[0]: node is")
    assert parse.topology_from({"spec": {"preset": "Best"}}).invalid.startswith("spec.preset: Best")


def test_health_rules() -> None:
    written = [
        {"condition": "XIDErrors", "badWhen": "True", "action": "Drain", "afterSeconds": 90},
        {"label": "example.com/state", "badWhen": "", "action": "Avoid", "afterSeconds": 0},
        {"taint": "example.com/doomed", "action": "Drain"},
    ]
    spec = parse.topology_from({"spec": {"healthRules": written}})
    assert (spec.invalid, spec.health_rules) == (
        "",
        (
            HealthRule("condition", "XIDErrors", "True", HealthAction.DRAIN, 90_000),
            HealthRule("label", "example.com/state", "", HealthAction.AVOID),
            HealthRule("taint", "example.com/doomed", None, HealthAction.DRAIN),
        ),
    )
    assert parse.topology_from({"spec": {}}).health_rules is None
    assert parse.topology_from({"spec": {"healthRules": []}}).health_rules == ()


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"action": "Avoid"}, "[1]: give exactly one of"),
        ({"label": "a", "taint": "b", "action": "Avoid"}, "[1]: give exactly one of"),
        ({"label": 3, "action": "Avoid"}, "[1].label: must be a text"),
        ({"condition": "X", "action": "Avoid"}, "[1].badWhen: must be"),
        ({"condition": "X", "badWhen": True, "action": "Avoid"}, "[1].badWhen: must be"),
        ({"label": "a", "badWhen": 1, "action": "Avoid"}, "[1].badWhen: must be a text"),
        ({"label": "a", "action": "Cordon"}, "[1].action: must be Avoid or Drain"),
        ({"label": "a", "action": ["Avoid"]}, "[1].action: must be Avoid or Drain"),
        ({"label": "a", "action": "Drain", "afterSeconds": -1}, "[1].afterSeconds: must be a whole number"),
        ({"label": "a", "action": "Drain", "afterSeconds": "1"}, "[1].afterSeconds: must be a whole number"),
        ({"label": "a", "action": "Avoid", "afterSeconds": 1}, "[1].afterSeconds: is for action Drain alone"),
        ("no rule", "[1]: give exactly one of"),
    ],
)
def test_health_rules_that_cannot_be_used(rule: Any, says: str) -> None:
    good = {"label": "a", "action": "Avoid"}
    spec = parse.topology_from({"spec": {"healthRules": [good, rule]}})
    assert spec.invalid.startswith(f"spec.healthRules{says}")
    assert spec.health_rules == (HealthRule("label", "a", None, HealthAction.AVOID),)


def test_the_avoided_nodes_of_a_status() -> None:
    said = [
        {"node": "a", "jobs": 3, "since": "2026-03-01T12:00:00Z"},
        {"node": "b", "since": "?"},
        {"node": 3},
        "c",
    ]
    assert parse.topology_from({"status": {"avoided": said}}).avoided == (Avoided("a", 3, T0),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(p for key, inner in below for p in paths(inner, (*at, key)))]


FULL = objects.job(
    successPolicy={"when": "AnyPod", "roles": ["head"]}, backoff={"baseSeconds": 5}, podRetention={"failedAttempts": 1}
)
FULL["status"] = {
    "phase": "Running", "live": True, "waiting": {"reason": "Fragmented", "details": {"numbers": [{"name": "a", "value": 1}]}},  # noqa: E501
    "placement": {"attempt": 1, "levels": ["a"], "objective": {"intactOpened": {"a": 1}}, "domains": {"a": 1},
                  "roles": [{"name": "worker", "nodes": "a[0-15]", "born": "1x16"}, {"name": "head", "nodes": "b", "born": "1x1"}]},  # noqa: E501
    "lastFailure": {"reason": "x", "failures": [{"role": "worker"}]}, "roles": [{"name": "worker"}],
}  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_whatever_is_written_is_a_record(data: st.DataObject) -> None:
    obj = objects.copy.deepcopy(FULL)
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from(paths(obj)[1:]))
        target = obj
        for key in above:
            target = target[key]
        target[last] = data.draw(JSON)
    answer = parse.job_from(obj)
    assert isinstance(answer, Job | Rejected)
    if isinstance(answer, Job):
        # What the parser takes, the renderer takes.
        from muster.kube import render

        for role in range(len(answer.roles)):
            render.dry_run_pod(answer, role, parse.DEFAULT_TOPOLOGY)
        render.warnings(answer, parse.DEFAULT_TOPOLOGY)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status", "kind"]), JSON))
def test_arbitrary_objects(obj: dict[str, Any]) -> None:
    assert isinstance(parse.job_from(obj), Job | Rejected)
    parse.topology_from(obj)


def test_how_fast() -> None:
    one = b(objects.pod())
    page = b'{"metadata":{"resourceVersion":"1"},"items":[' + b",".join([one] * 2000) + b"]}"
    start = time.process_time()
    parse.decoder(Kind.POD).page(page)
    print(f"pod of {len(one)} bytes: {(time.process_time() - start) / 2000 * 1e6:.1f} us")
    one = b(objects.node())
    page = b'{"metadata":{"resourceVersion":"1"},"items":[' + b",".join([one] * 2000) + b"]}"
    start = time.process_time()
    parse.decoder(Kind.NODE).page(page)
    print(f"node of {len(one)} bytes: {(time.process_time() - start) / 2000 * 1e6:.1f} us")
    start = time.process_time()
    for _ in range(500):
        parse.job(b(FULL))
    print(f"job: {(time.process_time() - start) / 500 * 1e6:.1f} us")
