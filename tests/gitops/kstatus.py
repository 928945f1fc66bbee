"""The published rules of kstatus (sigs.k8s.io/cli-utils/pkg/kstatus) for a kind that it has no rules of its own for.

By these rules Flux and `helm --wait` decide whether a custom resource is there yet.
"""

from collections.abc import Mapping
from typing import Any

IN_PROGRESS, CURRENT, FAILED, TERMINATING = "InProgress", "Current", "Failed", "Terminating"


def compute(obj: Mapping[str, Any]) -> tuple[str, str]:
    """The status of an object, and the message that goes with it."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return TERMINATING, "Resource scheduled for deletion"
    observed, generation = status.get("observedGeneration"), metadata.get("generation")
    if generation is not None and observed is not None and observed != generation:
        return IN_PROGRESS, f"generation is {generation}, but latest observed generation is {observed}"
    conditions = status.get("conditions") or []
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] == "Reconciling":
            return IN_PROGRESS, condition["message"]
        if condition["status"] == "True" and condition["type"] == "Stalled":
            return FAILED, condition["message"]
    for condition in conditions:
        if condition["type"] == "Ready":
            return (CURRENT if condition["status"] == "True" else IN_PROGRESS), condition["message"]
    return CURRENT, "Resource is current"
