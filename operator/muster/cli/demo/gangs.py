"""The jobs of the demo: how large each is, and its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from muster.embedded.nodes.racks import GPU, RACKS_A_LEAF, TAINTS

Object = dict[str, Any]
NAMESPACE = "default"
SEGMENT = 16
"""Nodes of a rack that a segment takes: two of the 18 are left, as is the practice."""
SMALL = tuple(f"tune-{number}" for number in range(6))
ODD = 28
"""Nodes of a gang without segments: two racks' worth, or many gaps'."""
MOST_PODS = 10_000
"""Of one job."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The racks that the jobs take, by the racks there are."""

    racks: int

    @property
    def pretrain(self) -> int:
        """A quarter: 256 nodes of 64 racks."""
        return self.racks // 4

    @property
    def sweep(self) -> int:
        """More than half, but no more than a job may have pods. On a large cluster the last leaf is left with one rack
        free, as happens: the gap in which greedy schedulers like to put gangs that it is too small for."""
        most = min(self.racks * 44 // 64, MOST_PODS // SEGMENT)
        return most // RACKS_A_LEAF * RACKS_A_LEAF - 1 if most >= 2 * RACKS_A_LEAF else most

    @property
    def second(self) -> int:
        """Half: more than pretrain and sweep leave, less than sweep gives back."""
        return self.racks // 2

    @property
    def odd(self) -> int:
        """Nodes, not racks: ODD, or fewer where only a rack or two are left."""
        return ODD if self.racks - self.pretrain - self.sweep > 2 else 10

    @property
    def night(self) -> int:
        """An eighth: fits beside pretrain and second."""
        return max(1, self.racks // 8)


def manifest(name: str, pods: int, segment: int = 0, seconds: float | None = None) -> Object:
    """A job of so many whole nodes, in segments of one NVLink domain each; its pods end after `seconds`, if given."""
    amounts = {GPU: "4"}
    container = {"name": "trainer", "image": "trainer", "resources": {"requests": amounts, "limits": amounts}}
    tolerations = [{"key": taint["key"], "operator": "Exists"} for taint in TAINTS]
    template: Object = {"spec": {"containers": [container], "tolerations": tolerations}}
    if seconds is not None:
        template["metadata"] = {"annotations": {"fake.muster.dev/run-seconds": f"{seconds:g}"}}
    worker: Object = {"name": "worker", "replicas": pods, "template": template}
    if segment:
        worker["topology"] = {"segments": [{"level": "nvlink", "size": segment}]}
    return {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"launcher": "torchrun", "roles": [worker]},
    }
