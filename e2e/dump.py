"""A dump of the cluster, as `kubectl get nodes,pods,... -A -o json` prints it, taken through the API."""

from __future__ import annotations

import json
from pathlib import Path

from e2e.client import Client, Object

COLLECTIONS = (
    ("v1", "Node", "nodes"),
    ("v1", "Pod", "pods"),
    ("muster.dev/v1alpha1", "ClusterTopology", "clustertopologies"),
    ("muster.dev/v1alpha1", "TrainingJob", "trainingjobs"),
    ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses"),
    ("node.k8s.io/v1", "RuntimeClass", "runtimeclasses"),
    ("v1", "LimitRange", "limitranges"),
    ("v1", "ResourceQuota", "resourcequotas"),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("v1", "PersistentVolume", "persistentvolumes"),
)
"""Version, kind and plural of all that a full dump holds."""
ARGUMENT = ",".join(plural for _, _, plural in COLLECTIONS)
"""The kinds as an argument of `kubectl get`."""


def take(client: Client) -> Object:
    """One List of all of them; a list of one kind leaves kind and apiVersion off its items, kubectl puts them back."""
    items: list[Object] = []
    for version, kind, plural in COLLECTIONS:
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        items += [{"apiVersion": version, "kind": kind} | item for item in client.list(f"{prefix}/{plural}")]
    return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}


def write(client: Client, path: Path) -> Path:
    """Take a dump into a file; returns it."""
    path.write_text(json.dumps(take(client), indent=4))
    return path
