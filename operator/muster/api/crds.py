"""The CustomResourceDefinitions and PriorityClasses, as documents and as the files under crds/.

`muster crds` prints them; a test holds crds/ equal to what is generated here.
"""

from collections.abc import Iterable
from typing import Any

import yaml
from pydantic import BaseModel

from muster.api.base import GROUP, VERSION, Schema
from muster.api.clustertopology import ClusterTopology
from muster.api.job_rules import job_rules
from muster.api.rules import Rule, attach
from muster.api.schema import structural
from muster.api.template_rules import DEFAULT_SCHEDULER
from muster.api.topology_rules import TOPOLOGY_RULES
from muster.api.trainingjob import TrainingJob

HEADER = "# Written by `muster crds`; edit operator/muster/api instead.\n"
AGE = ("Age", "date", ".metadata.creationTimestamp", 0)
JOB_COLUMNS = (
    ("Phase", "string", ".status.phase", 0),
    ("Running", "string", ".status.summary.running", 0),
    ("Where", "string", ".status.summary.where", 0),
    ("Why", "string", ".status.waiting.reason", 0),
    ("Restarts", "integer", ".status.restarts", 0),
    AGE,
    ("Attempt", "integer", ".status.attempt", 1),
    ("Queue", "string", ".spec.queue", 1),
    ("Message", "string", ".status.waiting.message", 1),
    ("Last Failure", "string", ".status.lastFailure.message", 1),
)
TOPOLOGY_COLUMNS = (
    ("Preset", "string", ".spec.preset", 0),
    ("Detected", "string", ".status.detectedPreset", 0),
    ("Nodes", "integer", ".status.nodes.total", 0),
    ("Eligible", "integer", ".status.nodes.eligible", 0),
    AGE,
)


def documents(scheduler_name: str = DEFAULT_SCHEDULER) -> dict[str, list[dict[str, Any]]]:
    """Return file name -> Kubernetes objects; `scheduler_name` is the one scheduler that a template may name."""
    job = _crd(TrainingJob, job_rules(scheduler_name), "trainingjobs", "tj", JOB_COLUMNS, "Namespaced")
    # One consistent LIST of the live jobs is the view that orders the claims.
    job["spec"]["versions"][0]["selectableFields"] = [{"jsonPath": ".status.live"}, {"jsonPath": ".status.phase"}]
    topology = _crd(ClusterTopology, TOPOLOGY_RULES, "clustertopologies", "ctopo", TOPOLOGY_COLUMNS, "Cluster")
    return {
        "trainingjobs.yaml": [job],
        "clustertopologies.yaml": [topology],
        "priorityclasses.yaml": [
            _priority("muster-default", 0, "Training jobs that name no other class. Never preempts pods."),
            _priority("muster-high", 1000, "Training jobs that go before others. Never preempts pods."),
        ],
    }


def render(scheduler_name: str = DEFAULT_SCHEDULER) -> dict[str, str]:
    """Return file name -> YAML text, the same bytes every time."""
    return {
        name: HEADER + yaml.dump_all(found, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        for name, found in documents(scheduler_name).items()
    }


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: an anchor hides what a reader looks for."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _crd(
    model: type[BaseModel],
    rules: Iterable[Rule],
    plural: str,
    short: str,
    columns: Iterable[tuple[str, str, str, int]],
    scope: str,
) -> dict[str, Any]:
    schema: Schema = structural(model)
    attach(schema, rules)
    kind = model.__name__
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            # The API server leaves a priority of 0 out; written, it would be drift to those who compare whole lists.
            {"name": name, "type": kind_of, "jsonPath": path} | ({"priority": priority} if priority else {})
            for name, kind_of, path, priority in columns
        ],
        "schema": {"openAPIV3Schema": schema},
    }
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short],
        "categories": ["all", "muster"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": scope, "versions": [version]},
    }


def _priority(name: str, value: int, description: str) -> dict[str, Any]:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        # Pinned pods with an ordinary class would make kube-scheduler evict other people's pods.
        "preemptionPolicy": "Never",
        "description": description,
    }


def main() -> None:
    """Write the files into crds/ of the working directory, which is the repository's root."""
    from pathlib import Path

    for name, text in render().items():
        Path("crds", name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
