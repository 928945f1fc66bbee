"""core -> wire: the pods, the Service, the bodies."""

import json
from typing import Any

import pytest
from tests.kube import objects

from muster.core.model import Job, Objective, Placement, Segments, Stage
from muster.kube import parse, render
from muster.kube.launchers import segment_of

DOMAINS = {"leaf": "l1", "nv-link": "rack 7"}
NODES = tuple(f"r{i // 8}-n{i % 8}" for i in range(16))
PLACEMENT = Placement(
    3, 2, "1", 2, "h", ("worker", "head"), (NODES, ("cpu-0",)), ((2,) * 16, (3,)),
    Objective(0, 0, 0, (), 0), True, (), (),
)  # fmt: skip


def job(change: Any = None, **spec: Any) -> Job:
    obj = objects.job(**spec)
    if change:
        change(obj["spec"]["roles"][0]["template"]["spec"])
    parsed = parse.job_from(obj)
    assert isinstance(parsed, Job), parsed
    return parsed


def made(j: Job, role: int = 0, rank: int = 9, topology: Any = parse.DEFAULT_TOPOLOGY) -> dict[str, Any]:
    return render.pod(j, PLACEMENT, role, rank, topology, DOMAINS)


def env(body: dict[str, Any], container: int = 0) -> dict[str, str]:
    return {e["name"]: e.get("value") for e in body["spec"]["containers"][container]["env"]}


def test_golden() -> None:
    j = job()
    body = made(j)
    spec = body["spec"]
    containers = spec.pop("containers")
    assert body["metadata"] == {
        "name": "llm-worker-09-0b6f1f4e-2",
        "namespace": "research",
        "labels": {
            "team": "x", "app.kubernetes.io/managed-by": "muster", "muster.dev/job-name": "llm",
            "muster.dev/job-uid": objects.UID, "muster.dev/role": "worker", "muster.dev/rank": "9",
            "muster.dev/segment": "4", "muster.dev/attempt": "2",
        },
        "annotations": {"note": "y"},
        "ownerReferences": [{"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "name": "llm",
                             "uid": objects.UID, "controller": True, "blockOwnerDeletion": True}],
    }  # fmt: skip
    absent = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    pin = {"key": "metadata.name", "operator": "In", "values": ["r1-n1"]}
    assert spec == {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [pin]}]}}},
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists"},
            {"key": "kubernetes.io/arch", "operator": "Equal", "value": "arm64", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/not-ready", **absent}, {"key": "node.kubernetes.io/unreachable", **absent},
        ],
        "volumes": [{"name": "muster-shm", "emptyDir": {"medium": "Memory"}}],
        "schedulingGates": [{"name": "muster.dev/gang"}], "schedulerName": "default-scheduler",
        "priorityClassName": "muster-default", "preemptionPolicy": "Never", "restartPolicy": "Never",
        "enableServiceLinks": False, "hostname": "llm-worker-09-0b6f1f4e-2", "subdomain": "llm-0b6f1f4e",
    }  # fmt: skip
    assert containers[0]["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert containers[0]["volumeMounts"] == [{"name": "muster-shm", "mountPath": "/dev/shm"}]
    master = "llm-worker-00-0b6f1f4e-2.llm-0b6f1f4e.research.svc"
    assert env({"spec": {"containers": containers}}) == {
        "MUSTER_JOB": "llm", "MUSTER_ROLE": "worker", "MUSTER_RANK": "9", "MUSTER_ROLE_SIZE": "16",
        "MUSTER_ATTEMPT": "2", "MUSTER_SEGMENT": "4", "MUSTER_SEGMENT_RANK": "1", "MUSTER_DOMAIN_LEAF": "l1",
        "MUSTER_DOMAIN_NV_LINK": "rack 7", "MUSTER_ADDR_WORKER": master,
        "MUSTER_ADDR_HEAD": "llm-head-0-0b6f1f4e-2.llm-0b6f1f4e.research.svc",
        "PET_NNODES": "16", "PET_NODE_RANK": "9", "PET_NPROC_PER_NODE": "4", "PET_MASTER_ADDR": master,
        "PET_MASTER_PORT": "29500", "MASTER_ADDR": master, "MASTER_PORT": "29500",
        "PET_RDZV_ENDPOINT": f"{master}:29500", "PET_RDZV_ID": "llm-0b6f1f4e-2",
        "PET_RDZV_CONF": "timeout=1800,join_timeout=1800",
        "PET_LOCAL_ADDR": "llm-worker-09-0b6f1f4e-2.llm-0b6f1f4e.research.svc", "GROUP_RANK": "9",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "25",
    }  # fmt: skip
    # The second container asks for no accelerator: MUSTER_* alone, and not as forged.
    second = env({"spec": {"containers": containers}}, 1)
    assert (second["MUSTER_RANK"], "PET_NNODES" in second) == ("9", False)
    assert len([e for e in containers[1]["env"] if e["name"] == "MUSTER_RANK"]) == 1
    assert job().manifest == j.manifest


def test_comes_back_through_the_parser() -> None:
    body = made(job())
    body["metadata"] |= {"uid": "u", "resourceVersion": "5"}
    pod = parse.pod(json.dumps(body).encode())
    assert (pod.stage, pod.our_gate, pod.job, pod.role, pod.rank, pod.born, pod.pinned) == (
        Stage.GATED, True, objects.UID, "worker", 9, 2, "r1-n1")  # fmt: skip


def test_pin_goes_into_every_term() -> None:
    terms = [{"matchExpressions": [{"key": k, "operator": "Exists"}]} for k in "ab"]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [*terms, {}]}}
    body = made(job(lambda s: s.update(affinity={"nodeAffinity": required})))
    required = body["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    got = required["nodeSelectorTerms"]
    assert [t["matchExpressions"] for t in got] == [t["matchExpressions"] for t in terms]
    assert all(t["matchFields"][0]["values"] == ["r1-n1"] for t in got)


def test_template_wins() -> None:
    def change(spec: dict[str, Any]) -> None:
        spec |= {
            "restartPolicy": "OnFailure", "enableServiceLinks": True, "hostNetwork": True, "nodeName": "stolen",
            "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 120,
            "initContainers": [{"name": "i", "image": "i"}], "priorityClassName": "system-node-critical",
        }  # fmt: skip
        spec["containers"][0] |= {
            "env": [{"name": "MASTER_PORT", "value": "1"}, {"name": "PET_NNODES", "value": "99"}],
            "volumeMounts": [{"name": "own", "mountPath": "/dev/shm/"}],
            "terminationMessagePolicy": "File",
        }

    body = made(job(change))
    spec = body["spec"]
    assert (spec["restartPolicy"], spec["enableServiceLinks"], spec["dnsPolicy"]) == (
        "OnFailure",
        True,
        "ClusterFirstWithHostNet",
    )
    assert spec["priorityClassName"] == "muster-default"
    assert "nodeName" not in spec
    assert [t.get("key") for t in spec["tolerations"]] == [None, "nvidia.com/gpu", "kubernetes.io/arch"]
    got = env(body)
    assert (got["MASTER_PORT"], got["PET_NNODES"], got["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]) == ("1", "16", "115")
    assert 20_000 <= int(got["PET_MASTER_PORT"]) < 30_000
    assert got["PET_MASTER_PORT"] == env(made(job(change), rank=3))["PET_MASTER_PORT"]
    assert "volumes" not in spec
    assert spec["containers"][0]["terminationMessagePolicy"] == "File"
    assert spec["initContainers"][0]["env"][0] == {"name": "MUSTER_JOB", "value": "llm"}


def test_pod_defaults() -> None:
    defaults = {
        "env": [{"name": "NCCL", "value": "1"}],
        "resources": {"rdma/ib": "4"},
        "sharedMemory": "None",
        "tolerations": [],
    }
    topology = parse.topology_from({"metadata": {"name": "default"}, "spec": {"podDefaults": defaults}})
    body = made(job(), topology=topology)
    trainer, logs = body["spec"]["containers"]
    assert trainer["resources"] == {"limits": {"nvidia.com/gpu": 4, "rdma/ib": "4"}, "requests": {"rdma/ib": "4"}}
    assert (env(body)["NCCL"], "NCCL" in env(body, 1), "volumes" in body["spec"], "resources" in logs) == (
        "1", False, False, False)  # fmt: skip
    # Not for roles without accelerators.
    assert len(made(job(), role=1, rank=0)["spec"]["tolerations"]) == 2
    assert topology.pod_defaults != parse.DEFAULT_TOPOLOGY.pod_defaults


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        ("env", {"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_PORT": "29500"}),
        ("jax", {"JAX_NUM_PROCESSES": "16", "JAX_PROCESS_ID": "9"}),
        ("none", {}),
    ],
)
def test_launchers(launcher: str, expected: dict[str, str]) -> None:
    got = env(made(job(launcher=launcher)))
    assert {k: v for k, v in got.items() if k in expected} == expected
    assert not any(k.startswith("PET_") for k in got)
    assert bool(render.warnings(job(launcher=launcher), parse.DEFAULT_TOPOLOGY)) == (launcher == "env")


def test_dry_run_pod_is_like_the_real_one_but_for_the_pin() -> None:
    dry = render.dry_run_pod(job(), 0, parse.DEFAULT_TOPOLOGY)
    assert dry["metadata"]["name"] == "llm-worker-00-0b6f1f4e-0"
    assert "affinity" not in dry["spec"]
    assert dry["spec"]["schedulingGates"] == [{"name": "muster.dev/gang"}]
    admitted = parse.admission(json.dumps(dry).encode(), "t+d", 7)
    assert dict(admitted.requests) == {"nvidia.com/gpu": 4, "pods": 1}
    assert (admitted.namespace, admitted.template, admitted.at) == ("research", "t+d", 7)


def test_longest_names_fit() -> None:
    obj = objects.job()
    obj["metadata"]["name"] = "j" * 36
    obj["spec"]["roles"][0] |= {"replicas": 9999, "topology": None}
    j = parse.job_from(obj)
    assert isinstance(j, Job)
    assert len(render.pod_name(j, 0, 0, 99_999)) == 63


def test_service_and_bodies() -> None:
    service = render.service(job())
    assert (service["metadata"]["name"], service["spec"]) == ("llm-0b6f1f4e", {
        "clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"muster.dev/job-uid": objects.UID}})  # fmt: skip  # noqa: E501
    assert json.loads(render.ungate("U")) == {
        "metadata": {"uid": "U"}, "spec": {"schedulingGates": [{"$patch": "delete", "name": "muster.dev/gang"}]}}  # fmt: skip  # noqa: E501
    assert json.loads(render.nominate("U", "n")) == {"metadata": {"uid": "U"}, "status": {"nominatedNodeName": "n"}}


@pytest.mark.parametrize(
    ("segments", "rank", "expected"),
    [
        ((), 5, (0, 5)),
        ((Segments("a", 4),), 5, (1, 1)),
        ((Segments("a", 8), Segments("b", 2)), 5, (2, 1)),
        ((Segments("b", 2), Segments("a", 8)), 5, (2, 1)),
        ((Segments("a", 8, (4, 8, 4)),), 12, (2, 0)),
    ],
)
def test_segments(segments: tuple[Segments, ...], rank: int, expected: tuple[int, int]) -> None:
    assert segment_of(segments, rank) == expected
