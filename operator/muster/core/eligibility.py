"""Whether a pod may use a node: selectors, taints and the node's own state, as kube-scheduler judges them.

Source: Kubernetes documentation, "Assigning Pods to Nodes" and "Taints and Tolerations"; which texts count as numbers,
where that is silent: package nodeaffinity of k8s.io/component-helpers and Toleration.ToleratesTaint of k8s.io/api.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from muster.core.model import Filter, Node, Requirement, Taint, Term, Toleration

HARD = frozenset({"NoSchedule", "NoExecute"})
OWN_TAINTS = frozenset(
    {
        "node.kubernetes.io/unschedulable",
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/out-of-service",
    }
)
"""Taints that only repeat what `unusable` reads off the node itself."""

_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_PLAIN = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_LARGEST = 2**63


def _number(text: str, form: re.Pattern[str] = _WHOLE) -> int | None:
    """A whole number of 64 bits, None for every other text; Python itself would also take `1_000` and ` 7`."""
    if len(text) > 100 or not form.fullmatch(text):
        return None
    number = int(text)
    return number if -_LARGEST <= number < _LARGEST else None


def unusable(node: Node | None) -> str | None:
    """Why no new pod may be put on this node, whatever it asks for; None: it may."""
    if node is None:
        return "deleted"
    if node.out_of_service:
        return "out of service"
    if node.unready_since is not None:
        return "NotReady"
    if node.cordoned:
        return "cordoned"
    return None


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """One toleration against one taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if not toleration.key:
        return toleration.operator == "Exists"
    if toleration.key != taint.key:
        return False
    match toleration.operator:
        case "Exists":
            return True
        case "" | "Equal":
            return toleration.value == taint.value
        case "Lt" | "Gt":
            # Stricter than for labels: no sign but a minus, no leading zeros.
            ours, theirs = _number(toleration.value, _PLAIN), _number(taint.value, _PLAIN)
            if ours is None or theirs is None:
                return False
            return theirs < ours if toleration.operator == "Lt" else theirs > ours
        case _:
            return False


def tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """Some toleration covers the taint."""
    return any(tolerates(toleration, taint) for toleration in tolerations)


def untolerated(node: Node, tolerations: Iterable[Toleration]) -> Taint | None:
    """The first hard taint of the node, its own state's apart, that none of the tolerations covers."""
    listed = tuple(tolerations)
    for taint in node.taints:
        if taint.effect in HARD and taint.key not in OWN_TAINTS and not tolerated(taint, listed):
            return taint
    return None


def matches(requirement: Requirement, labels: Mapping[str, str], name: str) -> bool:
    """One requirement against a node's labels; `metadata.name` is the node's name."""
    value = name if requirement.key == "metadata.name" else labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            number = _number(value or "")
            bound = _number(requirement.values[0]) if len(requirement.values) == 1 else None
            if number is None or bound is None:
                return False
            return number > bound if requirement.operator == "Gt" else number < bound
        case _:
            return False


def term_matches(term: Term, labels: Mapping[str, str], name: str) -> bool:
    """All requirements of a term hold; an empty term matches nothing."""
    return bool(term) and all(matches(requirement, labels, name) for requirement in term)


def selected(node: Node, wanted: Filter) -> bool:
    """The node selector and every group of affinity terms admit the node."""
    if any(node.labels.get(key) != value for key, value in wanted.selector):
        return False
    return all(any(term_matches(term, node.labels, node.name) for term in group) for group in wanted.affinity)


def unfit(node: Node | None, wanted: Filter) -> str | None:
    """Why a new pod with this filter may not use the node, room apart; None: it may."""
    cause = unusable(node)
    if cause is not None or node is None:
        return cause
    taint = untolerated(node, wanted.tolerations)
    if taint is not None:
        return f"taint {describe(taint)}"
    return None if selected(node, wanted) else "does not match the node selector or affinity"


def describe(taint: Taint) -> str:
    """A taint as people write it: key=value:Effect."""
    return f"{taint.key}{'=' + taint.value if taint.value else ''}:{taint.effect}"
