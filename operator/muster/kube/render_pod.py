"""The parts of a rendered pod's spec: the pin, pod defaults, tolerations, the containers' environment.

Every function here edits a spec that `render` has copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from muster.core.model import TopologySpec
from muster.kube.launchers import OURS_ALONE, Seat, accelerators_of, launcher_env, muster_env
from muster.kube.parse_topology import pod_defaults

Spec = dict[str, Any]
SHM = "/dev/shm"  # nosec B108  # where a volume is mounted in the pod
SHM_VOLUME = "muster-shm"
ABSENT = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
LEAST_TOLERATED = 300
"""Seconds; what the API server itself would add."""


def containers_of(spec: Spec) -> Iterator[dict[str, Any]]:
    """Containers and init containers."""
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def pin(spec: Spec, node: str) -> None:
    """Add the node to every term of the required node affinity: terms are ORed, so one without the pin would undo it.

    By field, not by the label kubernetes.io/hostname, which need not equal the name.
    """
    affinity = spec["affinity"] = dict(spec.get("affinity") or {})
    node_affinity = affinity["nodeAffinity"] = dict(affinity.get("nodeAffinity") or {})
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = list((node_affinity.get(key) or {}).get("nodeSelectorTerms") or ())
    # A term that asks for nothing matches no node; with the pin it would match one.
    kept = [term for term in terms if term.get("matchExpressions") or term.get("matchFields")] or [{}]
    ours = {"key": "metadata.name", "operator": "In", "values": [node]}
    node_affinity[key] = {
        "nodeSelectorTerms": [{**term, "matchFields": [*(term.get("matchFields") or ()), ours]} for term in kept]
    }


def tolerate_absence(spec: Spec, unreachable_after: int | None) -> None:
    """Tolerate a node that is not ready for longer than muster waits (ms; None: for ever), so that muster and not the
    node controller decides; a template that tolerates it in its own way wins, as with the API server."""
    tolerations = spec["tolerations"] = list(spec.get("tolerations") or ())
    patient: dict[str, Any] = {}
    if unreachable_after is not None:
        patient["tolerationSeconds"] = max(LEAST_TOLERATED, 2 * unreachable_after // 1000)
    for key in ABSENT:
        if not any(t.get("key") in (key, None, "") and t.get("effect") in ("NoExecute", None, "") for t in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute"} | patient)


def merge_defaults(spec: Spec, topology: TopologySpec) -> None:
    """Merge the pod defaults under a template that asks for an accelerator; the template wins."""
    using = [c for c in containers_of(spec) if accelerators_of(c, topology.accelerators)]
    if not using:
        return
    defaults = pod_defaults(topology.manifest)
    tolerations = list(spec.get("tolerations") or ())
    have = [_toleration(t) for t in tolerations]
    tolerations += [t for t in defaults["tolerations"] if _toleration(t) not in have]
    if tolerations:
        spec["tolerations"] = tolerations
    for container in using:
        names = {e.get("name") for e in container.get("env") or ()}
        # Ahead of the template's own, which may then refer to them.
        container["env"] = [e for e in defaults["env"] if e["name"] not in names] + list(container.get("env") or ())
        _add_resources(container, defaults["resources"])
    if defaults["sharedMemory"] == "Memory":
        _share_memory(spec)


def fill_containers(spec: Spec, seat: Seat, launcher: str, topology: TopologySpec, start_timeout: int) -> None:
    """Give each container its environment; `start_timeout` in ms.

    Ours stands first, so that a template's values may refer to it as $(MUSTER_RANK). The launcher's goes to containers
    that ask for accelerators, else to the first, and gives way to what the template sets.
    """
    containers = list(spec.get("containers") or ())
    launched = [c for c in containers if accelerators_of(c, topology.accelerators)] or containers[:1]
    ours = muster_env(seat)
    for container in containers_of(spec):
        own = [e for e in container.get("env") or () if not str(e.get("name", "")).startswith("MUSTER_")]
        added = dict(ours)
        if any(container is one for one in launched):
            held = accelerators_of(container, topology.accelerators)
            given = launcher_env(launcher, seat, spec, held, start_timeout // 1000)
            own = [e for e in own if e.get("name") not in given or e.get("name") not in OURS_ALONE]
            names = {e.get("name") for e in own}
            added |= {name: value for name, value in given.items() if name not in names}
        container["env"] = [{"name": name, "value": value} for name, value in added.items()] + own


def _toleration(toleration: dict[str, Any]) -> tuple[Any, ...]:
    return (
        toleration.get("key") or "",
        toleration.get("operator") or "Equal",
        toleration.get("value") or "",
        toleration.get("effect") or "",
    )


def _add_resources(container: dict[str, Any], wanted: dict[str, Any]) -> None:
    resources = container["resources"] = dict(container.get("resources") or {})
    for name, quantity in wanted.items():
        if any(name in (resources.get(part) or {}) for part in ("requests", "limits")):
            continue
        # Extended resources cannot be overcommitted: the limit must be there and equal.
        for part in ("requests", "limits") if "/" in name else ("requests",):
            resources[part] = {**(resources.get(part) or {}), name: quantity}


def _share_memory(spec: Spec) -> None:
    """Back /dev/shm by memory, unless the template mounts something there itself: the runtime's 64 MiB are too few for
    data loaders and NCCL."""
    mounts = [m for c in containers_of(spec) for m in c.get("volumeMounts") or ()]
    if any(str(m.get("mountPath", "")).rstrip("/") == SHM for m in mounts):
        return
    taken = {v.get("name") for v in spec.get("volumes") or ()}
    name = next(n for n in (SHM_VOLUME, *(f"{SHM_VOLUME}-{i}" for i in range(len(taken) + 1))) if n not in taken)
    spec["volumes"] = [*(spec.get("volumes") or ()), {"name": name, "emptyDir": {"medium": "Memory"}}]
    for container in containers_of(spec):
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), {"name": name, "mountPath": SHM}]
