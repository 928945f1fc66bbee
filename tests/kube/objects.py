"""Objects as the API server shows them, shortened nowhere that the parser looks."""

import copy
from typing import Any

UID = "0b6f1f4e-5a3c-4d6e-9f57-2f1d6a0c1e11"
TIME = "2026-03-01T12:00:00Z"


def node(name: str = "r0-n00") -> dict[str, Any]:
    beat = {"lastHeartbeatTime": TIME, "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"node-{name}",
            "resourceVersion": "812",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "kubernetes.io/arch": "arm64",
                "kubernetes.io/hostname": name,
                "nvidia.com/gpu.clique": "7a3e.0",
                "nvidia.com/gpu.product": "NVIDIA-GB300",
            },
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:conditions": {}}}}],
        },
        "spec": {
            "podCIDR": "10.0.1.0/24",
            "unschedulable": True,
            "taints": [
                {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": TIME},
            ],
        },
        "status": {
            "capacity": {"cpu": "144", "pods": "110"},
            "allocatable": {
                "cpu": "143500m",
                "memory": "960Gi",
                "nvidia.com/gpu": "4",
                "pods": "110",
                "hugepages-2Mi": "0",
                "rdma/ib": "8",
            },
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "lastTransitionTime": TIME, **beat},
                {"type": "Ready", "status": "True", "lastTransitionTime": TIME, **beat},
            ],
            "nodeInfo": {"kubeletVersion": "v1.37.1", "architecture": "arm64"},
        },
    }


def pod(**status: Any) -> dict[str, Any]:
    """A pod of ours, bound and pinned, about as long as they are in a real cluster."""
    env = [{"name": f"SETTING_{i}", "value": f"value-{i}"} for i in range(20)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "llm-worker-07-0b6f1f4e-3",
            "namespace": "research",
            "uid": "pod-uid",
            "resourceVersion": "90071",
            "creationTimestamp": TIME,
            "labels": {"muster.dev/role": "worker", "muster.dev/rank": "7", "muster.dev/attempt": "3"},
            "ownerReferences": [
                {
                    "apiVersion": "muster.dev/v1alpha1",
                    "kind": "TrainingJob",
                    "name": "llm",
                    "uid": UID,
                    "controller": True,
                }
            ],
            "managedFields": [
                {"manager": "muster", "operation": "Update", "fieldsV1": {f"f:x{i}": {} for i in range(60)}}
            ],
        },
        "spec": {
            "nodeName": "r0-n07",
            "containers": [
                {
                    "name": "trainer",
                    "image": "registry.example.com/team/trainer:2026.03",
                    "env": env,
                    "resources": {
                        "limits": {"nvidia.com/gpu": "4", "memory": "800Gi"},
                        "requests": {"cpu": "100", "memory": "800Gi", "nvidia.com/gpu": "4"},
                    },
                    "volumeMounts": [{"name": "muster-shm", "mountPath": "/dev/shm"}],
                },
                {
                    "name": "exporter",
                    "image": "registry.example.com/exporter:1",
                    "resources": {"requests": {"cpu": "1"}},
                },
            ],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["r0-n07"]}]}
                        ]
                    }
                }
            },
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "volumes": [{"name": "muster-shm", "emptyDir": {"medium": "Memory"}}],
            "priority": 0,
        },
        "status": {
            "phase": "Running",
            "qosClass": "Burstable",
            "conditions": [
                {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": TIME}
                for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
            ],
            "containerStatuses": [
                {
                    "name": "trainer",
                    "ready": True,
                    "restartCount": 0,
                    "imageID": "sha256:" + "e" * 64,
                    "state": {"running": {"startedAt": TIME}},
                    "allocatedResources": {"cpu": "100", "memory": "800Gi", "nvidia.com/gpu": "4"},
                },
                {"name": "exporter", "ready": True, "state": {"running": {"startedAt": TIME}}},
            ],
            "podIPs": [{"ip": "10.0.1.7"}],
            **status,
        },
    }


def job(**spec: Any) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "apiVersion": "muster.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {
                "name": "llm",
                "namespace": "research",
                "uid": UID,
                "resourceVersion": "4711",
                "generation": 2,
                "creationTimestamp": TIME,
                "managedFields": [{"manager": "kubectl"}],
            },
            "spec": {
                "launcher": "torchrun",
                "topology": {"required": {"level": "spine"}, "preferred": {"level": "leaf", "waitSeconds": 60}},
                "roles": [
                    {
                        "name": "worker",
                        "replicas": 16,
                        "topology": {"segments": [{"level": "nvlink", "size": 8}, {"level": "node", "sizes": [2] * 8}]},
                        "template": {
                            "metadata": {"labels": {"team": "x"}, "annotations": {"note": "y"}},
                            "spec": {
                                "containers": [
                                    {"name": "trainer", "image": "t", "resources": {"limits": {"nvidia.com/gpu": 4}}},
                                    {"name": "logs", "image": "l", "env": [{"name": "MUSTER_RANK", "value": "forged"}]},
                                ]
                            },
                        },
                    },
                    {
                        "name": "head",
                        "replicas": 1,
                        "template": {"spec": {"containers": [{"name": "h", "image": "h"}]}},
                    },
                ],
                **spec,
            },
            "status": {"observedGeneration": -1, "phase": "Pending"},
        }
    )
