"""The API's paths."""

from __future__ import annotations

from urllib.parse import quote

GROUP = "/apis/muster.dev/v1alpha1"


def _path(root: str, plural: str, namespace: str | None, name: str | None, sub: str | None) -> str:
    parts = [root]
    if namespace is not None:
        parts.append(f"namespaces/{quote(namespace, safe='')}")
    parts.append(plural)
    if name is not None:
        parts.append(quote(name, safe=""))
    if sub is not None:
        parts.append(sub)
    return "/".join(parts)


def pods(namespace: str | None = None) -> str:
    """All pods, or those of a namespace."""
    return _path("/api/v1", "pods", namespace, None, None)


def pod(namespace: str, name: str) -> str:
    """One pod."""
    return _path("/api/v1", "pods", namespace, name, None)


def pod_status(namespace: str, name: str) -> str:
    """One pod's status."""
    return _path("/api/v1", "pods", namespace, name, "status")


def services(namespace: str | None = None) -> str:
    """All Services, or those of a namespace."""
    return _path("/api/v1", "services", namespace, None, None)


def service(namespace: str, name: str) -> str:
    """One Service."""
    return _path("/api/v1", "services", namespace, name, None)


def nodes() -> str:
    """All nodes."""
    return _path("/api/v1", "nodes", None, None, None)


def resource_quotas(namespace: str | None = None) -> str:
    """All ResourceQuotas, or those of a namespace."""
    return _path("/api/v1", "resourcequotas", namespace, None, None)


def limit_ranges(namespace: str | None = None) -> str:
    """All LimitRanges, or those of a namespace."""
    return _path("/api/v1", "limitranges", namespace, None, None)


def events(namespace: str) -> str:
    """A namespace's Events."""
    return _path("/api/v1", "events", namespace, None, None)


def event(namespace: str, name: str) -> str:
    """One Event."""
    return _path("/api/v1", "events", namespace, name, None)


def priority_classes() -> str:
    """All PriorityClasses."""
    return _path("/apis/scheduling.k8s.io/v1", "priorityclasses", None, None, None)


def runtime_classes() -> str:
    """All RuntimeClasses."""
    return _path("/apis/node.k8s.io/v1", "runtimeclasses", None, None, None)


def volume_claims(namespace: str | None = None) -> str:
    """All PersistentVolumeClaims, or those of a namespace."""
    return _path("/api/v1", "persistentvolumeclaims", namespace, None, None)


def volume_claim(namespace: str, name: str) -> str:
    """One PersistentVolumeClaim."""
    return _path("/api/v1", "persistentvolumeclaims", namespace, name, None)


def volumes() -> str:
    """All PersistentVolumes."""
    return _path("/api/v1", "persistentvolumes", None, None, None)


def volume(name: str) -> str:
    """One PersistentVolume."""
    return _path("/api/v1", "persistentvolumes", None, name, None)


def leases(namespace: str) -> str:
    """A namespace's Leases."""
    return _path("/apis/coordination.k8s.io/v1", "leases", namespace, None, None)


def lease(namespace: str, name: str) -> str:
    """One Lease."""
    return _path("/apis/coordination.k8s.io/v1", "leases", namespace, name, None)


def trainingjobs(namespace: str | None = None) -> str:
    """All TrainingJobs, or those of a namespace."""
    return _path(GROUP, "trainingjobs", namespace, None, None)


def trainingjob(namespace: str, name: str) -> str:
    """One TrainingJob."""
    return _path(GROUP, "trainingjobs", namespace, name, None)


def trainingjob_status(namespace: str, name: str) -> str:
    """One TrainingJob's status."""
    return _path(GROUP, "trainingjobs", namespace, name, "status")


def clustertopologies() -> str:
    """All ClusterTopologies."""
    return _path(GROUP, "clustertopologies", None, None, None)


def clustertopology(name: str) -> str:
    """One ClusterTopology."""
    return _path(GROUP, "clustertopologies", None, name, None)


def clustertopology_status(name: str) -> str:
    """One ClusterTopology's status."""
    return _path(GROUP, "clustertopologies", None, name, "status")


def split(path: str) -> tuple[str, str]:
    """The plural and the object's name (empty for a collection) of a path as made above."""
    parts = path.split("/")
    rest = parts[3:] if parts[1] == "api" else parts[4:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    return (rest[0] if rest else "", rest[1] if len(rest) > 1 else "")
