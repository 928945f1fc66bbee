"""Builders of TrainingJob manifests: `job("a", [role("worker", 64, segment=("nvlink", 16), gpus=4)])`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from e2e.client import Object
from e2e.nodes import GPU

FAKE = "fake.muster.dev/"
"""Prefix of the annotations that steer the fake pods, see `muster.embedded.nodes.podlife`."""


def job(name: str, roles: Sequence[Object] = (), launcher: str = "torchrun", **spec: Any) -> Object:
    """Return a manifest for `Cluster.submit`; `spec` are further fields by their names in the API.

    roles -- made by `role`; none: one pod with four GPUs.
    """
    return {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {"launcher": launcher, "roles": list(roles) or [role()]} | spec,
    }


def role(
    name: str = "worker",
    replicas: int = 1,
    segment: tuple[str, int] | None = None,
    gpus: int = 4,
    annotations: Mapping[str, str] | None = None,
    topology: Object | None = None,
    requests: Mapping[str, str] | None = None,
    pod: Object | None = None,
) -> Object:
    """Return one role of pods with one container `main`.

    segment -- level and size of equal segments, as ("nvlink", 16).
    annotations -- of the pod template; the wishes of `fake` go here.
    topology -- further fields of the role's topology (required, preferred, ...).
    requests -- amounts beside the GPUs; gpus=0 leaves those out.
    pod -- fields of the pod spec, over what is made here.
    """
    amounts = dict(requests or {}) | ({GPU: str(gpus)} if gpus else {})
    container: Object = {"name": "main", "image": "trainer"}
    if amounts:
        container["resources"] = {"requests": amounts, "limits": amounts}
    shape: Object = dict(topology or {})
    if segment is not None:
        shape["segments"] = [{"level": segment[0], "size": segment[1]}]
    template: Object = {"spec": {"containers": [container]} | (pod or {})}
    if annotations:
        template["metadata"] = {"annotations": dict(annotations)}
    made: Object = {"name": name, "replicas": replicas, "template": template}
    return made | ({"topology": shape} if shape else {})


def fake(**wishes: object) -> dict[str, str]:
    """Return annotations for the kubelet stand-in: fake(run_seconds=3, only_rank=0)."""
    return {f"{FAKE}{key.replace('_', '-')}": str(value) for key, value in wishes.items()}
