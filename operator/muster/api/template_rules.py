"""Rules on `roles[].template`: the allow-list of a pod's spec, each refused field by name and with the reason."""

from collections.abc import Mapping
from typing import Any

from muster.api.podtemplate import PREFERRED_NODE_AFFINITY, REFUSED, REFUSED_AFFINITY, REFUSED_METADATA
from muster.api.rules import Rule, refuse

DEFAULT_SCHEDULER = "default-scheduler"
TEMPLATE = "spec.roles[*].template"
SPEC = f"{TEMPLATE}.spec"
AFFINITY = f"{SPEC}.affinity"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OWN_PREFIX = "muster.dev/"


def _containers_never_restart(spec: Mapping[str, Any]) -> bool:
    return all(container.get("restartPolicy", "Never") == "Never" for container in spec["containers"])


def _no_restart_rules(containers: list[Mapping[str, Any]]) -> bool:
    return all("restartPolicyRules" not in container for container in containers)


def template_rules(scheduler_name: str = DEFAULT_SCHEDULER) -> tuple[Rule, ...]:
    """Return the rules on a role's template; `scheduler_name` is the one scheduler that may be named."""
    refused = [refuse(SPEC, name, f"{name} is refused: {reason}") for name, reason in REFUSED.items()]
    refused += [refuse(AFFINITY, name, f"{name} is refused: {reason}") for name, reason in REFUSED_AFFINITY.items()]
    refused += [
        refuse(f"{AFFINITY}.nodeAffinity", PREFERRED, f"preferred node affinity is refused: {PREFERRED_NODE_AFFINITY}"),
    ]
    refused += [
        refuse(
            f"{TEMPLATE}.metadata",
            name,
            f"metadata.{name} is refused: of a template's metadata muster takes labels and annotations; remove it.",
        )
        for name in REFUSED_METADATA
    ]
    return (
        *refused,
        Rule(
            path=f"{TEMPLATE}.metadata",
            cel=f"!has(self.labels) || !self.labels.exists(k, k.startsWith('{OWN_PREFIX}'))",
            message="labels under muster.dev/ are set by muster; remove them or choose another prefix.",
            check=lambda metadata: not any(key.startswith(OWN_PREFIX) for key in metadata.get("labels", ())),
            field="labels",
        ),
        Rule(
            path=f"{AFFINITY}.nodeAffinity.{REQUIRED}",
            cel="self.nodeSelectorTerms.all(t, !has(t.matchFields))",
            message="matchFields is refused: muster uses it to pin the pods; use matchExpressions, for one node on "
            "kubernetes.io/hostname.",
            check=lambda required: all("matchFields" not in term for term in required["nodeSelectorTerms"]),
            field="nodeSelectorTerms",
        ),
        Rule(
            path=SPEC,
            cel=f"!has(self.schedulerName) || self.schedulerName == '{scheduler_name}'",
            message=f"schedulerName must be {scheduler_name}, the scheduler that muster works with; remove it.",
            check=lambda spec: spec.get("schedulerName", scheduler_name) == scheduler_name,
            field="schedulerName",
        ),
        Rule(
            path=SPEC,
            cel="!has(self.restartPolicy) || self.restartPolicy in ['Never', 'OnFailure']",
            message="restartPolicy must be Never, or OnFailure with failurePolicy.restart FailedPods: correct it.",
            check=lambda spec: spec.get("restartPolicy", "Never") in ("Never", "OnFailure"),
            field="restartPolicy",
        ),
        Rule(
            path=SPEC,
            cel="self.containers.all(c, !has(c.restartPolicy) || c.restartPolicy == 'Never')",
            message="a container's restartPolicy must be Never: a gang starts again as a whole. Remove it, or make "
            "the container a sidecar under initContainers.",
            check=_containers_never_restart,
            field="containers",
        ),
        *(
            Rule(
                path=SPEC,
                cel=f"!has(self.{name}) || self.{name}.all(c, !has(c.restartPolicyRules))",
                message="restartPolicyRules is refused: a gang starts again as a whole; remove it.",
                check=lambda spec, name=name: _no_restart_rules(spec.get(name, [])),
                field=name,
            )
            for name in ("containers", "initContainers")
        ),
    )
