"""Fake GB300 nodes: racks that exist as labels, and what happens to a node.

Names: `r00-n00` (rack, node), zero-padded to what the numbers need, so that they sort.
A rack is one NVLink domain (`nvidia.com/gpu.clique`), 8 racks share a leaf
(`fabric.topograph.run/tier-0`), 16 leaves a spine (tier-1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from e2e.client import Client, Object, concurrently, core

CLIQUE = "nvidia.com/gpu.clique"
LEAF = "fabric.topograph.run/tier-0"
SPINE = "fabric.topograph.run/tier-1"
ZONE = "topology.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"
GPU = "nvidia.com/gpu"
OFF = "fake.muster.dev/off"
RACKS_A_LEAF = 8
LEAVES_A_SPINE = 16
TAINTS = (
    {"key": "kubernetes.io/arch", "value": "arm64", "effect": "NoSchedule"},
    {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
)
"""What GB300 clusters taint their nodes with."""
OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}


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
    taints: Sequence[Mapping[str, str]] = ()
    labels: Mapping[str, str | None] = field(default_factory=dict)

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

    def objects(self) -> list[Object]:
        """Return the Node objects, Ready, in order of names()."""
        return [self._object(rack, node) for rack in range(self.racks) for node in range(self.nodes)]

    def _object(self, rack: int, node: int) -> Object:
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
            "topology.kubernetes.io/region": "e2e",
        }
        labels = {key: value for key, value in (standard | dict(self.labels)).items() if value is not None}
        amounts = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods), "ephemeral-storage": "3Ti"}
        amounts |= {GPU: str(self.gpus)} if self.gpus else {}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": [dict(taint) for taint in self.taints]},
            # A real kubelet registers with its status in the same request; so do we.
            "status": {
                "capacity": amounts,
                "allocatable": amounts,
                "conditions": [ready_condition("True")],
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


def create(client: Client, racks: Racks) -> list[str]:
    """Create the nodes, several at a time; return their names."""
    concurrently(lambda node: client.post(core("nodes"), node), racks.objects())
    return racks.names()


def remove(client: Client, names: Sequence[str]) -> None:
    """Delete nodes; those that are gone do not matter."""
    concurrently(lambda name: client.send("DELETE", core("nodes", name=name)), list(names))


def remove_all(client: Client) -> None:
    """Delete every node of the cluster, with one request."""
    client.send("DELETE", core("nodes"))


def ready_condition(status: str) -> Object:
    """Return the Ready condition: True, False or Unknown."""
    reason = {"True": "KubeletReady", "False": "KubeletNotReady", "Unknown": "NodeStatusUnknown"}[status]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    return {"type": "Ready", "status": status, "reason": reason, "message": "stand-in", **times}


def set_ready(client: Client, name: str, status: str) -> None:
    """Set a node's Ready condition and the taints that go with it, as the node lifecycle controller would.

    Only where that controller is off (the default of the control plane).
    """
    node = client.get(core("nodes", name=name))
    client.patch(
        core("nodes", name=name, sub="status"), {"status": {"conditions": [ready_condition(status)]}}, "strategic"
    )
    key = {"False": "node.kubernetes.io/not-ready", "Unknown": "node.kubernetes.io/unreachable"}.get(status)
    taints = [t for t in node["spec"].get("taints", []) if t["key"] not in _LIFECYCLE_TAINTS]
    if key is not None:
        taints += [{"key": key, "effect": "NoSchedule"}, {"key": key, "effect": "NoExecute"}]
    client.patch(core("nodes", name=name), {"spec": {"taints": taints}})


_LIFECYCLE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def turn_off(client: Client, name: str, lifecycle: bool = False) -> None:
    """Make the machine dead: its kubelet stand-in falls silent.

    lifecycle -- the node lifecycle controller runs and will notice the missing
        heartbeats by itself; without it Ready=Unknown is set here.
    """
    annotate(client, name, {OFF: "true"})
    if not lifecycle:
        set_ready(client, name, "Unknown")


def turn_on(client: Client, name: str, lifecycle: bool = False) -> None:
    """Bring the machine back."""
    annotate(client, name, {OFF: None})
    if not lifecycle:
        set_ready(client, name, "True")


def annotate(client: Client, name: str, annotations: Mapping[str, str | None]) -> None:
    """Set annotations of a node; None removes one."""
    client.patch(core("nodes", name=name), {"metadata": {"annotations": dict(annotations)}})


def label(client: Client, name: str, labels: Mapping[str, str | None]) -> None:
    """Set labels of a node; None removes one."""
    client.patch(core("nodes", name=name), {"metadata": {"labels": dict(labels)}})


def cordon(client: Client, name: str, on: bool = True) -> None:
    """Make a node unschedulable, or schedulable again."""
    client.patch(core("nodes", name=name), {"spec": {"unschedulable": on}})


def taint(client: Client, name: str, new: Mapping[str, str]) -> None:
    """Add a taint, as with OUT_OF_SERVICE; one of the same key and effect is replaced."""
    client.patch(core("nodes", name=name), {"spec": {"taints": [dict(new)]}}, "strategic")


def condition(client: Client, name: str, kind: str, status: str) -> None:
    """Set a condition of a node, as a problem detector does."""
    new = ready_condition("True") | {"type": kind, "status": status, "reason": "E2E"}
    client.patch(core("nodes", name=name, sub="status"), {"status": {"conditions": [new]}}, "strategic")
