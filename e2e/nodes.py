"""The fake nodes of `muster.embedded.nodes.racks` on a real cluster, and what happens to a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from e2e.client import Client, Object, concurrently, core
from muster.embedded.nodes import racks
from muster.embedded.nodes.racks import CLIQUE, GPU, HOSTNAME, LEAF, OFF, SPINE, TAINTS, ZONE, Racks, clique

__all__ = ["CLIQUE", "GPU", "HOSTNAME", "LEAF", "OFF", "OUT_OF_SERVICE", "SPINE", "TAINTS", "ZONE", "Racks", "clique"]
OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}


def create(client: Client, wanted: Racks, names: Sequence[str] | None = None) -> list[str]:
    """Create the nodes, several at a time, or only those named; return their names."""
    made = [node for node in wanted.objects() if names is None or node["metadata"]["name"] in names]
    concurrently(lambda node: client.post(core("nodes"), node), made)
    return [node["metadata"]["name"] for node in made]


def remove(client: Client, names: Sequence[str]) -> None:
    """Delete nodes; those that are gone do not matter."""
    concurrently(lambda name: client.send("DELETE", core("nodes", name=name)), list(names))


def remove_all(client: Client) -> None:
    """Delete every node of the cluster, with one request."""
    client.send("DELETE", core("nodes"))


def ready_condition(status: str) -> Object:
    """Return the Ready condition: True, False or Unknown."""
    return racks.ready_condition(status, datetime.now(UTC))


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
