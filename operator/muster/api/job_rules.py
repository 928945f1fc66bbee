"""Rules of a TrainingJob between fields and on changes, and the fields that are reserved for later."""

import re
from collections.abc import Mapping
from typing import Any

from muster.api.rules import Rule, refuse
from muster.api.template_rules import DEFAULT_SCHEDULER, template_rules
from muster.api.trainingjob import MAX_PODS

MAX_NAME = 40
# 63 characters of a pod's name, less 21 for rank, uid, attempt and hyphens.
MAX_NAME_WITH_ROLE = 42
# A Service's name, which begins with the job's, starts with a letter.
NAME = "^[a-z]([-a-z0-9]*[a-z0-9])?$"

# (where, field) -> what happens instead; printed after "<field> is not supported yet: ".
RESERVED = {
    ("spec", "queue"): "jobs wait in one line, by priority and age. Remove it.",
    ("spec", "failurePolicy"): "an attempt that fails goes back to the queue as a whole. Remove it.",
    ("spec", "managedBy"): "the operator of this cluster runs every job. Remove it.",
    ("spec", "checkpoint"): "pods get SIGTERM and the template's terminationGracePeriodSeconds. Remove it.",
    ("spec", "elastic"): "a job runs with exactly its replicas. Remove it.",
    ("spec.topology", "exclusive"): "other jobs may use the same domains. Remove it.",
    ("spec.roles[*]", "onFailure"): "a failure of any role ends the attempt. Remove it.",
    ("spec.roles[*]", "computeDomain"): "no IMEX channel is made for the pods. Remove it.",
    ("spec.roles[*].topology", "spares"): "no node is kept free. Remove it.",
}

IMMUTABLE = ("roles", "topology", "launcher", "priorityClassName")
ENV_OF_TORCHRUN = ("PET_NNODES", "PET_NODE_RANK")


def _reserved(path: str, field: str, instead: str) -> Rule:
    return refuse(path, field, f"{path.replace('[*]', '[]')}.{field} is not supported yet: {instead}")


def _pods(spec: Mapping[str, Any]) -> int:
    return sum(int(role["replicas"]) for role in spec["roles"])


def _names_fit(job: Mapping[str, Any]) -> bool:
    name = job["metadata"]["name"]
    return all(len(name) + len(role["name"]) <= MAX_NAME_WITH_ROLE for role in job["spec"]["roles"])


def _known_roles(spec: Mapping[str, Any]) -> bool:
    names = {role["name"] for role in spec["roles"]}
    return names.issuperset(spec["successPolicy"].get("roles", ()))


def _same_priority(spec: Mapping[str, Any]) -> bool:
    wanted = spec["priorityClassName"]
    return all(role["template"]["spec"].get("priorityClassName", wanted) == wanted for role in spec["roles"])


def _no_torchrun_env(kind: str, spec: Mapping[str, Any]) -> bool:
    if spec["launcher"] != "torchrun":
        return True
    containers = [item for role in spec["roles"] for item in role["template"]["spec"].get(kind, ())]
    return not any(entry["name"] in ENV_OF_TORCHRUN for item in containers for entry in item.get("env", ()))


def _sizes_add_up(role: Mapping[str, Any]) -> bool:
    segments = role.get("topology", {}).get("segments", ())
    return all(sum(segment["sizes"]) == role["replicas"] for segment in segments if "sizes" in segment)


_TORCHRUN_CEL = (
    "self.launcher != 'torchrun' || self.roles.all(r, {guard}r.template.spec.{kind}.all(c, !has(c.env) || "
    "c.env.all(e, e.name != 'PET_NNODES' && e.name != 'PET_NODE_RANK')))"
)

SHAPE_RULES = (
    Rule(
        path="",
        cel=f"size(self.metadata.name) <= {MAX_NAME} && self.metadata.name.matches('{NAME}')",
        message="metadata.name must be a DNS label of at most 40 characters (a-z, 0-9 and -, first a letter, no dots): "
        "names of pods and of the Service are made from it.",
        check=lambda job: (
            len(job["metadata"]["name"]) <= MAX_NAME and re.fullmatch(NAME[1:-1], job["metadata"]["name"]) is not None
        ),
    ),
    Rule(
        path="",
        cel=f"self.spec.roles.all(r, size(self.metadata.name) + size(r.name) <= {MAX_NAME_WITH_ROLE})",
        message="metadata.name and the longest role name may have at most 42 characters together, so that pod names "
        "stay within 63: shorten one of them.",
        check=_names_fit,
        field="metadata.name",
    ),
    Rule(
        path="spec",
        cel=f"self.roles.map(r, r.replicas).sum() <= {MAX_PODS}",
        message="the replicas of all roles may add up to at most 10,000 pods: lower them or split the job.",
        check=lambda spec: _pods(spec) <= MAX_PODS,
        field="roles",
    ),
    Rule(
        path="spec",
        cel="!has(self.successPolicy.roles) || self.successPolicy.roles.all(n, self.roles.exists(r, r.name == n))",
        message="successPolicy.roles names a role that is not in spec.roles: correct the name.",
        check=_known_roles,
        field="successPolicy.roles",
    ),
    Rule(
        path="spec.backoff",
        cel="self.baseSeconds <= self.maxSeconds",
        message="baseSeconds must not be more than maxSeconds: lower the one or raise the other.",
        check=lambda backoff: backoff["baseSeconds"] <= backoff["maxSeconds"],
        field="baseSeconds",
    ),
    Rule(
        path="spec",
        cel="self.roles.all(r, !has(r.template.spec.priorityClassName) || "
        "r.template.spec.priorityClassName == self.priorityClassName)",
        message="a template's priorityClassName must be that of the job: remove it and set spec.priorityClassName.",
        check=_same_priority,
        field="roles",
    ),
    Rule(
        path="spec",
        cel=_TORCHRUN_CEL.format(guard="", kind="containers"),
        message="with launcher torchrun muster sets PET_NNODES and PET_NODE_RANK: remove them from env, or use "
        "launcher none.",
        check=lambda spec: _no_torchrun_env("containers", spec),
        field="roles",
    ),
    Rule(
        path="spec",
        cel=_TORCHRUN_CEL.format(guard="!has(r.template.spec.initContainers) || ", kind="initContainers"),
        message="with launcher torchrun muster sets PET_NNODES and PET_NODE_RANK: remove them from the env of "
        "initContainers, or use launcher none.",
        check=lambda spec: _no_torchrun_env("initContainers", spec),
        field="roles",
    ),
    Rule(
        path="spec.roles[*]",
        cel="!has(self.topology) || !has(self.topology.segments) || "
        "self.topology.segments.all(s, !has(s.sizes) || s.sizes.sum() == self.replicas)",
        message="the sizes of a segment must add up to replicas: correct sizes or replicas.",
        check=_sizes_add_up,
        field="topology.segments",
    ),
    Rule(
        path="spec.roles[*].topology.segments[*]",
        cel="has(self.size) != has(self.sizes)",
        message="give either size (equal segments) or sizes (one number a segment), not both and not neither.",
        check=lambda segment: ("size" in segment) != ("sizes" in segment),
    ),
)


def _phase(job: Mapping[str, Any]) -> str:
    return str(job.get("status", {}).get("phase", "Pending"))


def _kept(field: str, new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    return bool(new["spec"].get(field) == old["spec"].get(field))


def _kept_cel(field: str) -> str:
    if field == "topology":  # the only one of them without a default; optionals (`.?`) are refused for their cost
        return (
            "(has(self.spec.topology) ? has(oldSelf.spec.topology) && self.spec.topology == oldSelf.spec.topology "
            ": !has(oldSelf.spec.topology))"
        )
    return f"self.spec.{field} == oldSelf.spec.{field}"


def _in_flight(field: str) -> Rule:
    return Rule(
        path="",
        cel="!has(oldSelf.status) || oldSelf.status.phase in ['Pending', 'Suspended', 'Succeeded', 'Failed'] || "
        + _kept_cel(field),
        message=f"spec.{field} can change only while the job is Pending or Suspended: set spec.suspend to true, wait "
        "for status.phase Suspended, change it, and set spec.suspend to false.",
        check=lambda new, old: _phase(old) in ("Pending", "Suspended", "Succeeded", "Failed") or _kept(field, new, old),
        field=f"spec.{field}",
        transition=True,
    )


CHANGE_RULES = (
    *(_in_flight(field) for field in IMMUTABLE),
    Rule(
        path="",
        cel="!has(oldSelf.status) || !(oldSelf.status.phase in ['Succeeded', 'Failed']) || ("
        + " && ".join(_kept_cel(field) for field in IMMUTABLE)
        + ")",
        message="This run has finished. Give the next run a new name.",
        check=lambda new, old: (
            _phase(old) not in ("Succeeded", "Failed") or all(_kept(field, new, old) for field in IMMUTABLE)
        ),
        field="spec",
        transition=True,
    ),
)


def job_rules(scheduler_name: str = DEFAULT_SCHEDULER) -> tuple[Rule, ...]:
    """Return every rule of a TrainingJob; `scheduler_name` is the one that a template may name."""
    reserved = (_reserved(path, field, instead) for (path, field), instead in RESERVED.items())
    return (*reserved, *SHAPE_RULES, *template_rules(scheduler_name), *CHANGE_RULES)
