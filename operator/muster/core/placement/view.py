"""What a kind of pod finds on each node: may it run there, how often, and if not, why.

The rules of node affinity, selectors, taints and tolerations are those of the Kubernetes documentation ("Assigning Pods
to Nodes", "Taints and Tolerations").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muster.core.eligibility import HARD, describe, term_matches, tolerated
from muster.core.inventory import CAUSES, HEALTH_TAINTS, Inventory
from muster.core.model import Filter, Node, Resources
from muster.core.placement.tree import Ints, Tree

Mask = npt.NDArray[np.bool_]
NO_LIMIT = 1 << 40


@dataclass(frozen=True, slots=True)
class Eligible:
    """Which nodes a filter takes, by position, for one epoch; `why[code[i]]` is the first cause against a node, the
    empty text for none."""

    code: Ints
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """Slots per position for one kind of pod, and who is excluded for which cause (each node once, the first cause that
    applies), largest first."""

    slots: Ints
    exclusions: tuple[tuple[str, int], ...]


def eligible(tree: Tree, inventory: Inventory, filter_: Filter) -> Eligible:
    """Judge every node by selector, affinity and taints alone."""
    keys = sorted({k for k, _ in filter_.selector} | {r.key for g in filter_.affinity for t in g for r in t})
    by_name = "metadata.name" in keys
    seen: dict[object, int] = {}
    codes: dict[str, int] = {"": 0}
    out = np.zeros(tree.count, np.int64)
    for i, name in enumerate(tree.names):
        node = inventory.node(name)
        if node is None:
            raise ValueError(f"the tree is of another epoch: {name} is gone")
        mark = (node.taints, tuple([node.labels.get(k) for k in keys]), name if by_name else "")
        code = seen.get(mark)
        if code is None:
            why = unfit(node, filter_, inventory.healthy)
            code = seen[mark] = codes.setdefault(why, len(codes))
        out[i] = code
    return Eligible(out, tuple(codes))


def unfit(node: Node, filter_: Filter, healthy: bool = False) -> str:
    """Why the filter excludes a node (selector, affinity, or its first untolerated taint); empty if it does not.
    `healthy`: Kubernetes' own health taints do not count."""
    if any(node.labels.get(key) != value for key, value in filter_.selector):
        return "selector"
    if not all(any(term_matches(term, node.labels, node.name) for term in group) for group in filter_.affinity):
        return "affinity"
    for taint in node.taints:
        if taint.effect not in HARD or (healthy and taint.key.startswith(HEALTH_TAINTS)):
            continue
        if not tolerated(taint, filter_.tolerations):
            return f"taint {describe(taint)}"
    return ""


def view(tree: Tree, inventory: Inventory, fit: Eligible, requests: Resources, needed: tuple[int, ...] = ()) -> View:
    """Count slots now. `needed`: depths whose labels a node must carry."""
    rows = tree.rows
    cause = inventory.causes(rows)
    left = (cause == 0) & (fit.code == 0)
    counts: dict[str, int] = {}
    for code in np.unique(cause):
        if code:
            counts[CAUSES[code]] = int((cause == code).sum())
    for code in range(1, len(fit.why)):
        out = int(((fit.code == code) & (cause == 0)).sum())
        if out:
            counts[fit.why[code]] = out
    for depth in needed:
        if depth < tree.depths:
            lacks = left & ~tree.labelled[:, depth - 1]
            if lacks.any():
                counts[f"unlabelled {tree.level(depth)}"] = int(lacks.sum())
                left = left & ~lacks
    slots = np.where(left, NO_LIMIT, 0)
    # A shortage of devices is what people look for first, then names in order.
    for resource, amount in sorted(requests, key=lambda item: ("/" not in item[0], item[0])):
        if amount <= 0:
            continue
        room = inventory.room(resource)
        fits = np.zeros(tree.count, np.int64) if room is None else room[0][rows] // amount
        short = int(((fits == 0) & (slots > 0)).sum())
        if short:
            counts[resource] = short
        slots = np.minimum(slots, fits)
    return View(slots, tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))))
