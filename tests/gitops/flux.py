"""The rules by which Flux judges an object with healthCheckExprs (its RFC 9), with any evaluator of CEL."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from tests.gitops.kstatus import CURRENT, FAILED, IN_PROGRESS

FILE = Path(__file__).parents[2] / "helm/gitops/flux/health-checks.yaml"
CHECKS: dict[str, dict[str, str]] = {check["kind"]: check for check in yaml.safe_load(FILE.read_text())}
ORDER = {"inProgress": IN_PROGRESS, "failed": FAILED, "current": CURRENT}


def compute(checks: Mapping[str, str], obj: Mapping[str, Any], holds: Callable[[str], bool]) -> str:
    """The status of an object by its kind's expressions; `holds` evaluates one on it."""
    observed = (obj.get("status") or {}).get("observedGeneration")
    if observed is not None and observed != obj["metadata"]["generation"]:
        return IN_PROGRESS
    for name, status in ORDER.items():
        if name in checks and holds(checks[name]):
            return status
    return IN_PROGRESS
