"""Defaults of pods, as kubernetes/pkg/apis/core/v1/defaults.go has them. Each is put in where nothing is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from muster.embedded.amounts import canonize, written
from muster.embedded.quantities import thousandths
from muster.embedded.wire import Object, bad_request

GRACE = 30
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_MODES = ("configMap", "secret", "downwardAPI", "projected")


def containers_of(spec: Object) -> Iterator[Object]:
    """Init containers and containers."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def default(spec: Object) -> None:
    """Fill in a pod's spec. StatusError (400) for a quantity that is none."""
    for key, value in (
        ("restartPolicy", "Always"),
        ("terminationGracePeriodSeconds", GRACE),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
        ("enableServiceLinks", True),
    ):
        if spec.get(key) in (None, ""):
            spec[key] = value
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    spec.setdefault("securityContext", {})
    for key in [
        k for k in ("schedulingGates", "tolerations", "nodeSelector", "initContainers") if spec.get(k) in ([], {})
    ]:
        del spec[key]
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for container in containers_of(spec):
        _container(container, bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or ():
        _volume(volume)
    _pod_level(spec)
    canonized("Pod", spec.get("overhead"))


def _container(container: Object, host_network: bool) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = _pull_policy(container.get("image") or "")
    resources = container.get("resources")
    if resources is None:
        container["resources"] = {}
    elif resources:
        quantities(resources)
        requests_from_limits(resources)
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if host_network and not port.get("hostPort"):
            port["hostPort"] = port.get("containerPort")
    for name in _PROBES:
        probe = container.get(name)
        if probe is not None:
            for key, value in _PROBE.items():
                if not probe.get(key):
                    probe[key] = value
            if "httpGet" in probe:
                probe["httpGet"].setdefault("path", "/")
                probe["httpGet"].setdefault("scheme", "HTTP")
    for env in container.get("env") or ():
        reference = (env.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")


def _pull_policy(image: str) -> str:
    _, _, last = image.rpartition("/")
    if "@" in last:
        return "IfNotPresent"
    tag = last.partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def quantities(resources: Object) -> None:
    """Write limits and requests in the canonical form."""
    canonized("Pod", resources.get("limits"), resources.get("requests"))


def canonized(kind: str, *lists: Any) -> None:
    """Write resource lists in their canonical form. StatusError (400) for what is no quantity."""
    try:
        for listed in lists:
            canonize(listed)
    except (ValueError, TypeError):
        rule = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
        why = f"quantities must match the regular expression '{rule}'"
        raise bad_request(f'{kind} in version "v1" cannot be handled as a {kind}: {why}') from None


def requests_from_limits(resources: Object) -> None:
    """A limit without a request is the request."""
    limits = resources.get("limits")
    if not limits:
        return
    requests = resources.get("requests")
    if requests is None:
        resources["requests"] = dict(limits)
        return
    for name, value in limits.items():
        requests.setdefault(name, value)


def _volume(volume: Object) -> None:
    for part in _MODES:
        if part in volume:
            volume[part].setdefault("defaultMode", 420)
    sources: Any = (volume.get("projected") or {}).get("sources") or ()
    for source in (volume, *sources):
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            if "fieldRef" in item:
                item["fieldRef"].setdefault("apiVersion", "v1")
    if len(volume) == 1:
        volume["emptyDir"] = {}
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")


def _pod_level(spec: Object) -> None:
    """Pod-level requests: what the containers ask for, else the pod's limit (KEP-2837)."""
    resources = spec.get("resources")
    if not resources:
        return
    quantities(resources)
    limits = resources.get("limits") or {}
    if not limits:
        return
    requests = resources.setdefault("requests", {})
    for name, value in limits.items():
        if name in requests:
            continue
        asked = [
            c["resources"].get("requests", {}).get(name) for c in spec.get("containers") or () if c.get("resources")
        ]
        total = sum(thousandths(each) for each in asked if each is not None)
        if total and not name.startswith("hugepages-"):
            requests[name] = written(name, total)
        else:
            requests[name] = value


def quality(spec: Object) -> str:
    """The QoS class."""
    seen: list[tuple[Object, Object]] = [
        ((c.get("resources") or {}).get("requests") or {}, (c.get("resources") or {}).get("limits") or {})
        for c in containers_of(spec)
    ]
    if (spec.get("resources") or {}).get("requests") or (spec.get("resources") or {}).get("limits"):
        seen = [(spec["resources"].get("requests") or {}, spec["resources"].get("limits") or {})]
    names = ("cpu", "memory")
    asked = [
        {part: [thousandths(listed[n]) for n in names if n in listed] for part, listed in (("r", r), ("l", limits))}
        for r, limits in seen
    ]
    if not any(any(each["r"]) or any(each["l"]) for each in asked):
        return "BestEffort"
    if all(len(each["l"]) == 2 and each["l"] == each["r"] and all(each["l"]) for each in asked):
        return "Guaranteed"
    return "Burstable"
