"""What a pod asks of a node: its effective requests and its node filter, by Kubernetes' own rules.

The arithmetic is that of k8s.io/component-helpers/resource (PodRequests with UseStatusResources, as kube-scheduler 1.37
calls it; KEP-753 for sidecars, KEP-1287 for resize, KEP-2837 for pod-level resources), on top of what the API server
defaults (limits become requests). It is applied to pods as the API shows them and to templates as people write them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from muster.core.model import Filter, Requirement, Resources, Taint, Term, Toleration
from muster.kube.parse_meta import millis
from muster.kube.quantity import Malformed, Written, amount_of, amounts, resources

Amounts = dict[str, int]


class Wanted(msgspec.Struct, gc=False):
    """ResourceRequirements, in a spec or a status."""

    requests: dict[str, Written] | None = None
    limits: dict[str, Written] | None = None


class Port(msgspec.Struct, gc=False, rename="camel"):
    """A container's port."""

    container_port: int = 0
    host_port: int = 0
    protocol: str = "TCP"


class Container(msgspec.Struct, gc=False, rename="camel"):
    """A container or init container."""

    name: str = ""
    restart_policy: str | None = None
    resources: Wanted | None = None
    ports: list[Port] | None = None


class Selector(msgspec.Struct, gc=False):
    """A node selector requirement."""

    key: str
    operator: str
    values: list[str] | None = None


class SelectorTerm(msgspec.Struct, gc=False, rename="camel"):
    """A node selector term."""

    match_expressions: list[Selector] | None = None
    match_fields: list[Selector] | None = None


class Required(msgspec.Struct, gc=False, rename="camel"):
    """A required node selector: its terms are ORed."""

    node_selector_terms: list[SelectorTerm] | None = None


class NodeAffinity(msgspec.Struct, gc=False):
    """The half of node affinity that binds."""

    required: Required | None = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=None)


class Affinity(msgspec.Struct, gc=False, rename="camel"):
    """Affinity: that between pods is not ours to judge."""

    node_affinity: NodeAffinity | None = None


class Tolerated(msgspec.Struct, gc=False):
    """A toleration."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None


class PodSpec(msgspec.Struct, rename="camel"):
    """What of a pod's spec decides where it fits."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: dict[str, Written] | None = None
    resources: Wanted | None = None
    host_network: bool = False
    node_selector: dict[str, str] | None = None
    affinity: Affinity | None = None
    tolerations: list[Tolerated] | None = None


class Actual(msgspec.Struct, gc=False, rename="camel"):
    """What kubelet says of one container's resources (in-place resize)."""

    name: str = ""
    resources: Wanted | None = None
    allocated_resources: dict[str, Written] | None = None


def requests_of(
    containers: Iterable[Container],
    init_containers: Iterable[Container] = (),
    overhead: Mapping[str, Written] | None = None,
    pod_level: Wanted | None = None,
    host_network: bool = False,
    actual: Mapping[str, Actual] | None = None,
    pod_actual: tuple[Wanted | None, Mapping[str, Written] | None] = (None, None),
    infeasible: bool = False,
) -> Resources:
    """A pod's effective requests, `pods` and host ports among them.

    `actual` is by container name what kubelet reports, `pod_actual` the same (resources, allocatedResources) of the pod
    as a whole, `infeasible` that a pending resize cannot be had: then the wish in the spec does not count. Quantities
    that do not parse count as absent; `malformed` finds them.
    """
    containers, init_containers = list(containers), list(init_containers)
    wished = _aggregate(containers, init_containers, [_wish(c) for c in containers + init_containers])
    total = wished
    if actual:
        statuses = [actual.get(c.name) for c in containers + init_containers]
        spec = [{} if infeasible else _wish(c) for c in containers + init_containers]
        resized, allocated = pod_actual
        if allocated is not None and resized is not None and resized.requests is not None:
            held = _larger(amounts(allocated), amounts(resized.requests))
        else:
            granted = [_granted(s, wish) for s, wish in zip(statuses, spec, strict=True)]
            in_use = [_in_use(s, wish) for s, wish in zip(statuses, spec, strict=True)]
            held = _larger(
                _aggregate(containers, init_containers, granted), _aggregate(containers, init_containers, in_use)
            )
        total = held if infeasible else _larger(wished, held)
    if pod_level is not None:
        total = total | _pod_level(pod_level, wished, pod_actual, infeasible)
    if overhead:
        total = _sum(total, amounts(overhead))
    total = total | {"pods": 1} | _host_ports(containers, init_containers, host_network)
    return resources(total)


def template_requests(spec: PodSpec) -> Resources:
    """The requests of a pod made from this spec."""
    return requests_of(
        spec.containers or (), spec.init_containers or (), spec.overhead, spec.resources, spec.host_network
    )


class Asking(Protocol):
    """What of a pod's spec holds quantities."""

    containers: list[Container] | None
    init_containers: list[Container] | None
    overhead: dict[str, Written] | None
    resources: Wanted | None


def malformed(spec: Asking) -> tuple[str, Malformed] | None:
    """The first quantity of a spec that does not parse: its path below the spec, and what is wrong."""
    for kind, containers in (("containers", spec.containers), ("initContainers", spec.init_containers)):
        for index, container in enumerate(containers or ()):
            if found := _malformed(container.resources, f"{kind}[{index}].resources"):
                return found
    if found := _malformed(spec.resources, "resources"):
        return found
    return _malformed_in(spec.overhead, "overhead")


def filter_of(spec: PodSpec | Mapping[str, Any]) -> Filter:
    """Which nodes a pod of this spec may use. A mapping must have the shape of a PodSpec (msgspec.ValidationError)."""
    if not isinstance(spec, PodSpec):
        spec = msgspec.convert(dict(spec), PodSpec)
    affinity: tuple[tuple[Term, ...], ...] = ()
    if (terms := node_terms(spec.affinity)) is not None:
        affinity = (tuple(term_of(term) for term in terms),)
    return Filter(
        selector=tuple(sorted((spec.node_selector or {}).items())),
        affinity=affinity,
        tolerations=tuple(
            Toleration(t.key or "", t.operator or "Equal", t.value or "", t.effect or "")
            for t in spec.tolerations or ()
        ),
    )


def node_terms(affinity: Affinity | None) -> list[SelectorTerm] | None:
    """The terms of a required node affinity, None if there is no such affinity."""
    if affinity is None or affinity.node_affinity is None or affinity.node_affinity.required is None:
        return None
    return affinity.node_affinity.required.node_selector_terms or []


def pinned_to(affinity: Affinity | None) -> str | None:
    """The one node that every term names by its field metadata.name, as the DaemonSet controller and muster pin."""
    names: set[str] = set()
    for term in node_terms(affinity) or ():
        pins = {
            f.values[0]
            for f in term.match_fields or ()
            if f.key == "metadata.name" and f.operator == "In" and f.values is not None and len(f.values) == 1
        }
        if len(pins) != 1:
            return None
        names |= pins
    return names.pop() if len(names) == 1 else None


def taint(key: str, value: str | None, effect: str, added: str | None = None) -> Taint:
    """A taint of the core; `added` is its timeAdded."""
    return Taint(key, value or "", effect, millis(added))


def term_of(term: SelectorTerm) -> Term:
    """A node selector term in the core's words."""
    return tuple(
        Requirement(s.key, s.operator, tuple(s.values or ()))
        for s in (*(term.match_expressions or ()), *(term.match_fields or ()))
    )


def _wish(container: Container) -> Amounts:
    """The spec's requests; as the server defaults them, a limit without a request is one."""
    wanted = container.resources
    if wanted is None:
        return {}
    if not wanted.limits:
        return amounts(wanted.requests) if wanted.requests else {}
    return amounts(wanted.limits | (wanted.requests or {}))


def _granted(status: Actual | None, wish: Amounts) -> Amounts:
    if status is not None and status.allocated_resources is not None:
        return amounts(status.allocated_resources)
    return wish


def _in_use(status: Actual | None, wish: Amounts) -> Amounts:
    if status is not None and status.resources is not None and status.resources.requests is not None:
        return amounts(status.resources.requests)
    return _granted(status, wish)


def _aggregate(containers: list[Container], init_containers: list[Container], each: list[Amounts]) -> Amounts:
    """The sum over containers and sidecars, or what the init containers need on the way, whichever is larger.

    While init container i starts, the sidecars before it run: it needs their sum and its own (KEP-753).
    """
    total: Amounts = {}
    for wanted in each[: len(containers)]:
        total = _sum(total, wanted)
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container, wanted in zip(init_containers, each[len(containers) :], strict=True):
        if container.restart_policy == "Always":
            total = _sum(total, wanted)
            sidecars = _sum(sidecars, wanted)
            starting = _larger(starting, sidecars)
        else:
            starting = _larger(starting, _sum(sidecars, wanted))
    return _larger(total, starting)


def _pod_level(
    wanted: Wanted, aggregate: Amounts, actual: tuple[Wanted | None, Mapping[str, Written] | None], infeasible: bool
) -> Amounts:
    """Pod-level requests, which override the containers' sum (KEP-2837).

    Defaulted as the server does: where there are pod-level limits, what the containers ask for becomes the pod's
    request (so it stays as it is), and a limit nobody made a request for becomes one.
    """
    requests = {name: value for name, value in amounts(wanted.requests or {}).items() if _pod_wide(name)}
    for name, value in amounts(wanted.limits or {}).items():
        # Huge pages cannot be overcommitted: there the containers' sum does not stand in for the limit.
        if _pod_wide(name) and name not in requests and (name not in aggregate or name.startswith("hugepages-")):
            requests[name] = value
    resized, allocated = actual
    if resized is None or not requests:
        return requests
    held = _larger(amounts(resized.requests or {}), amounts(allocated or {}))
    held = {name: value for name, value in held.items() if _pod_wide(name)}
    return held if infeasible else _larger(requests, held)


def _pod_wide(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def _host_ports(containers: list[Container], init_containers: list[Container], host_network: bool) -> Amounts:
    """The ports held on the host; of init containers only sidecars' (kube-scheduler's GetHostPorts). The address is not
    looked at: two pods that bind one port at two addresses of a node are kept apart."""
    held: Amounts = {}
    for container in (*containers, *(c for c in init_containers if c.restart_policy == "Always")):
        for port in container.ports or ():
            number = port.host_port or (port.container_port if host_network else 0)
            if number > 0:
                held[f"hostport/{port.protocol or 'TCP'}/{number}"] = 1
    return held


def _sum(left: Amounts, right: Amounts) -> Amounts:
    if not left:
        return right
    total = dict(left)
    for name, value in right.items():
        total[name] = total.get(name, 0) + value
    return total


def _larger(left: Amounts, right: Amounts) -> Amounts:
    if not left:
        return right
    larger = dict(left)
    for name, value in right.items():
        if value > larger.get(name, 0):
            larger[name] = value
    return larger


def _malformed(wanted: Wanted | None, path: str) -> tuple[str, Malformed] | None:
    if wanted is None:
        return None
    return _malformed_in(wanted.requests, f"{path}.requests") or _malformed_in(wanted.limits, f"{path}.limits")


def _malformed_in(values: Mapping[str, Written] | None, path: str) -> tuple[str, Malformed] | None:
    for name, value in (values or {}).items():
        if isinstance(answer := amount_of(name, value), Malformed):
            return f"{path}[{name}]", answer
    return None
