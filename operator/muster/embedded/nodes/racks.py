"""Racks of GB300 nodes as Node objects: labels, taints and amounts as such clusters carry them.

Names: `r00-n00` (rack, node), zero-padded to what the numbers need, so that they sort. A rack is one NVLink domain
(`nvidia.com/gpu.clique`), 8 racks share a leaf (`fabric.topograph.run/tier-0`), 16 leaves a spine (tier-1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from muster.embedded.wire import Object

CLIQUE = "nvidia.com/gpu.clique"
LEAF = "fabric.topograph.run/tier-0"
SPINE = "fabric.topograph.run/tier-1"
ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
HOSTNAME = "kubernetes.io/hostname"
GPU = "nvidia.com/gpu"
OFF = "fake.muster.dev/off"
"""A node with this annotation "true" is a dead machine to the kubelet stand-ins."""
RACKS_A_LEAF = 8
LEAVES_A_SPINE = 16
TAINTS: tuple[Mapping[str, str], ...] = (
    {"key": "kubernetes.io/arch", "value": "arm64", "effect": "NoSchedule"},
    {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
)
"""What GB300 clusters taint their nodes with."""
_NONE: Mapping[str, str | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Racks:
    """A set of equal racks.

    racks, nodes, gpus -- racks, nodes a rack, GPUs a node.
    prefix -- of the names: `r` gives r00-n00.
    first -- number of the first rack.
    per_leaf -- racks that share a leaf.
    cpu, memory, pods -- allocatable of a node, with the GPUs.
    taints -- TAINTS or any.
    labels -- added to every node; a None takes a standard label away.
    """

    racks: int = 2
    nodes: int = 18
    gpus: int = 4
    prefix: str = "r"
    first: int = 0
    per_leaf: int = RACKS_A_LEAF
    cpu: str = "144"
    memory: str = "960Gi"
    pods: int = 110
    zone: str = "z1"
    region: str = "g1"
    taints: Sequence[Mapping[str, str]] = ()
    labels: Mapping[str, str | None] = field(default_factory=lambda: _NONE)

    def name(self, rack: int, node: int) -> str:
        """Return a node's name; `rack` counts from 0 within this set."""
        width = max(2, len(str(self.first + self.racks - 1)))
        return f"{self.prefix}{self.first + rack:0{width}}-n{node:0{max(2, len(str(self.nodes - 1)))}}"

    def names(self) -> list[str]:
        """Return all names, rack by rack."""
        return [self.name(rack, node) for rack in range(self.racks) for node in range(self.nodes)]

    def rack(self, rack: int) -> list[str]:
        """Return the names of one rack."""
        return [self.name(rack, node) for node in range(self.nodes)]

    def objects(self, now: datetime | None = None) -> Iterator[Object]:
        """Yield the Node objects, Ready since `now` (the clock's, if none is given), in order of names()."""
        moment = now or datetime.now(UTC)
        for rack in range(self.racks):
            for node in range(self.nodes):
                yield self._object(rack, node, moment)

    def _object(self, rack: int, node: int, now: datetime) -> Object:
        name, number = self.name(rack, node), self.first + rack
        leaf = number // self.per_leaf
        standard: dict[str, str | None] = {
            HOSTNAME: name,
            "kubernetes.io/arch": "arm64",
            "kubernetes.io/os": "linux",
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.product": "NVIDIA-GB300",
            "nvidia.com/gpu.count": str(self.gpus),
            CLIQUE: clique(self.prefix, number),
            LEAF: f"leaf-{self.prefix}{leaf:03}",
            SPINE: f"spine-{self.prefix}{leaf // LEAVES_A_SPINE:02}",
            ZONE: self.zone,
            REGION: self.region,
        }
        labels = {key: value for key, value in (standard | dict(self.labels)).items() if value is not None}
        amounts = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods), "ephemeral-storage": "3Ti"}
        amounts |= {GPU: str(self.gpus)} if self.gpus else {}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": [dict(taint) for taint in self.taints]} if self.taints else {},
            # A real kubelet registers with its status in the same request; so do we.
            "status": {
                "capacity": amounts,
                "allocatable": dict(amounts),
                "conditions": [ready_condition("True", now)],
                "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "127.0.0.1"}],
                "nodeInfo": {
                    "architecture": "arm64",
                    "operatingSystem": "linux",
                    "kubeletVersion": "v1.37.1",
                    "kubeProxyVersion": "",
                    "machineID": name,
                    "systemUUID": name,
                    "bootID": name,
                    "kernelVersion": "6.18.0",
                    "osImage": "stand-in",
                    "containerRuntimeVersion": "fake://1",
                },
            },
        }


def clique(prefix: str, rack: int) -> str:
    """Return the clique label of a rack: a cluster uuid of its own and a clique number, as the driver makes it."""
    digest = hashlib.sha256(f"{prefix}{rack}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}.{rack % 32766}"


def ready_condition(status: str, now: datetime) -> Object:
    """Return the Ready condition: True, False or Unknown."""
    reason = {"True": "KubeletReady", "False": "KubeletNotReady", "Unknown": "NodeStatusUnknown"}[status]
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    times = {"lastHeartbeatTime": stamp, "lastTransitionTime": stamp}
    return {"type": "Ready", "status": status, "reason": reason, "message": "stand-in", **times}
