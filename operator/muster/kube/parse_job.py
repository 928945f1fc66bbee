"""TrainingJob -> Job, or Rejected with a field and a sentence.

The API server has judged most of it already. What is judged here once more is what the core and the renderer rely on
(names that become parts of names, counts that add up, quantities), since an object may be older than the CRD's rules or
made by hand. Defaults are the API room's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from muster.api.trainingjob import MAX_PODS, TrainingJobSpec
from muster.core.model import (
    ACTIVE,
    Committed,
    FailureRule,
    Job,
    Policy,
    Rejected,
    RoleSpec,
    Segments,
)
from muster.kube.parse_meta import millis, version
from muster.kube.parse_status import committed_from
from muster.kube.parse_values import canonical_hash
from muster.kube.plain import plain
from muster.kube.raw_job import (
    RawBackoff,
    RawFailure,
    RawMetadata,
    RawRendered,
    RawRetention,
    RawRole,
    RawRule,
    RawSegment,
    RawSpec,
    RawSuccess,
    RawTopology,
    RawUnreachable,
)
from muster.kube.requests import filter_of, malformed, template_requests

_DEFAULT = {name: field.default for name, field in TrainingJobSpec.model_fields.items()}
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_PATH = re.compile(r"^(.*?)(?: - at `(?:key in )?\$\.?(.*)`)?$", re.DOTALL)
LONGEST_NAME = 40
LONGEST_ROLE = 16
LONGEST_NAME_AND_ROLE = 42
GITOPS = ("argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/")
GITOPS_LABEL = "app.kubernetes.io/instance"
"""Argo CD's tracking label by default before 3.0. Helm sets it too; keeping a finished job too long is the lesser evil,
since deleting one that is tracked makes the next sync run it again."""

IMAGE_PULL_AFTER = 300_000
"""A container that cannot start (image, config) fails the start after this long (ms)."""


class _RefusalError(Exception):
    """Carries path and sentence from where a fault is found to `job_from`; never leaves this module."""


def job_from(obj: Mapping[str, Any]) -> Job | Rejected:
    """The record of a TrainingJob. `manifest` holds the object without its managedFields."""
    manifest = dict(obj)
    raw = manifest.get("metadata")
    raw = {k: v for k, v in raw.items() if k != "managedFields"} if isinstance(raw, Mapping) else {}
    manifest["metadata"] = raw
    status = committed_from(manifest.get("status"))
    try:
        meta = _converted({k: v for k, v in raw.items() if v is not None}, RawMetadata, "metadata")
    except _RefusalError as fault:
        return _rejected(_readable(raw), manifest, status, fault)
    try:
        return _job(meta, manifest, status)
    except _RefusalError as fault:
        return _rejected(meta, manifest, status, fault)


def _job(meta: RawMetadata, manifest: dict[str, Any], status: Committed) -> Job:
    spec = _converted(_without_nulls(manifest.get("spec")), RawSpec, "spec")
    _check_names(meta, spec)
    raw = manifest["spec"]
    for i, role in enumerate(raw["roles"]):
        _converted(role["template"], RawRendered, f"spec.roles[{i}].template")
    try:
        templates = tuple(canonical_hash([r["template"], spec.launcher]) for r in raw["roles"])
        roles_hash = canonical_hash([raw["roles"], raw.get("topology"), spec.launcher, spec.priority_class_name])
    except (TypeError, ValueError, RecursionError):
        raise _RefusalError("spec", "holds something that is not JSON; apply the manifest again") from None
    if status.phase in ACTIVE and status.placement is None:
        raise _RefusalError(
            "status.placement", f"cannot be read, while the phase is {status.phase.value}; delete the job"
        )
    if status.placement is not None and status.live:
        _check_placement(status)
    topology = spec.topology or RawTopology()
    preferred = [t.preferred for t in (topology, *(r.topology for r in spec.roles)) if t is not None and t.preferred]
    marks = (*(meta.labels or {}), *(meta.annotations or {}))
    return Job(
        id=meta.uid,
        namespace=meta.namespace,
        name=meta.name,
        rv=version(meta.resource_version),
        generation=meta.generation,
        created=millis(meta.creation_timestamp) or 0,
        deleting=meta.deletion_timestamp is not None,
        orphaning="orphan" in (meta.finalizers or ()),
        suspend=spec.suspend,
        priority_class=plain(spec.priority_class_name),
        roles=tuple(_role(i, role, templates[i]) for i, role in enumerate(spec.roles)),
        required=topology.required.level if topology.required else None,
        preferred=topology.preferred.level if topology.preferred else None,
        policy=_policy(spec, max((p.wait_seconds for p in preferred), default=0)),
        roles_hash=roles_hash,
        status=status,
        gitops=any(m.startswith(GITOPS) for m in marks) or GITOPS_LABEL in (meta.labels or {}),
        manifest=manifest,
    )


def _check_names(meta: RawMetadata, spec: RawSpec) -> None:
    """Names become parts of the names of pods, hosts and the Service, whose 63 characters they must leave room in."""
    for path, value in (
        ("metadata.uid", meta.uid),
        ("metadata.name", meta.name),
        ("metadata.namespace", meta.namespace),
    ):
        if not value:
            raise _RefusalError(path, "is missing; objects of the API server have one")
    if not _LABEL.fullmatch(meta.name) or len(meta.name) > LONGEST_NAME:
        raise _RefusalError(
            "metadata.name", f"must be a DNS label of at most {LONGEST_NAME} characters; rename the job"
        )
    if not 1 <= len(spec.roles) <= LONGEST_ROLE:
        raise _RefusalError("spec.roles", "must be 1 to 16 roles")
    seen: set[str] = set()
    for i, role in enumerate(spec.roles):
        path = f"spec.roles[{i}].name"
        if not _LABEL.fullmatch(role.name) or len(role.name) > LONGEST_ROLE:
            raise _RefusalError(path, f"must be a DNS label of at most {LONGEST_ROLE} characters; rename the role")
        if len(meta.name) + len(role.name) > LONGEST_NAME_AND_ROLE:
            raise _RefusalError(
                path, f"and the job's name together have more than {LONGEST_NAME_AND_ROLE} characters; shorten either"
            )
        if role.name in seen:
            raise _RefusalError(path, f"{role.name} is the name of an earlier role too; names must be unique")
        seen.add(role.name)
    if (pods := sum(role.replicas for role in spec.roles)) > MAX_PODS:
        raise _RefusalError("spec.roles", f"ask for {pods} pods together; at most {MAX_PODS} are supported")
    for i, name in enumerate((spec.success_policy.roles if spec.success_policy else None) or ()):
        if name not in seen:
            raise _RefusalError(
                f"spec.successPolicy.roles[{i}]", f"names no role; write one of {', '.join(sorted(seen))}"
            )


def _check_placement(status: Committed) -> None:
    placement = status.placement
    assert placement is not None
    if [len(n) for n in placement.nodes] != [len(b) for b in placement.born]:
        raise _RefusalError(
            "status.placement.roles", "hold lists of unequal length; delete the job, its status was edited"
        )


def _role(index: int, role: RawRole, template: str) -> RoleSpec:
    path = f"spec.roles[{index}]"
    pod = role.template.spec
    if not pod.containers:
        raise _RefusalError(f"{path}.template.spec.containers", "is empty; a pod needs a container")
    if (found := malformed(pod)) is not None:
        where, what = found
        raise _RefusalError(f"{path}.template.spec.{where}", what.message)
    topology = role.topology or RawTopology()
    return RoleSpec(
        name=role.name,
        count=role.replicas,
        template=template,
        requests=template_requests(pod),
        filter=filter_of(pod),
        required=topology.required.level if topology.required else None,
        preferred=topology.preferred.level if topology.preferred else None,
        segments=tuple(
            _segments(f"{path}.topology.segments[{i}]", segment, role.replicas)
            for i, segment in enumerate(topology.segments or ())
        ),
        on_failure=role.on_failure,
    )


def _segments(path: str, segment: RawSegment, count: int) -> Segments:
    sizes = segment.sizes
    if segment.size is not None and sizes is None:
        return Segments(segment.level, segment.size)
    if not sizes or segment.size is not None:
        raise _RefusalError(path, "needs either size or sizes; remove one, or add one")
    if sum(sizes) != count:
        raise _RefusalError(f"{path}.sizes", f"add up to {sum(sizes)}, but replicas is {count}; make them equal")
    # Equal sizes, the last perhaps smaller, are equal segments: for those the solver proves the optimum.
    if all(size == sizes[0] for size in sizes[:-1]) and sizes[-1] <= sizes[0]:
        return Segments(segment.level, sizes[0])
    return Segments(segment.level, max(sizes), tuple(sizes))


def _policy(spec: RawSpec, prefer_wait: int) -> Policy:
    success = spec.success_policy or RawSuccess()
    backoff = spec.backoff or RawBackoff()
    retention = spec.pod_retention or RawRetention()
    failure = spec.failure_policy or RawFailure()
    unreachable = failure.unreachable or RawUnreachable()
    deadline, ttl = spec.active_deadline_seconds, spec.ttl_seconds_after_finished
    return Policy(
        success_roles=tuple(success.roles or ()),
        success_when=success.when,
        linger=success.linger_seconds * 1000,
        backoff_base=backoff.base_seconds * 1000,
        backoff_max=backoff.max_seconds * 1000,
        bind_timeout=spec.bind_timeout_seconds * 1000,
        start_timeout=spec.start_timeout_seconds * 1000,
        active_deadline=None if deadline is None else deadline * 1000,
        ttl=None if ttl is None else ttl * 1000,
        retain_attempts=retention.failed_attempts,
        retain_pods=retention.pods_per_attempt,
        prefer_wait=prefer_wait * 1000,
        max_restarts=failure.max_restarts,
        reset_after=failure.reset_after_seconds * 1000,
        max_disruptions=failure.max_disruptions,
        failure_grace=failure.failure_grace_seconds * 1000,
        unreachable_after=unreachable.after_seconds * 1000,
        image_pull_after=IMAGE_PULL_AFTER,
        restart=failure.restart,
        repairs=failure.node_failure == "Repair",
        wait_for_repair=failure.wait_for_repair_seconds * 1000,
        replaces_unreachable=unreachable.action == "Replace",
        quarantine=failure.quarantine_seconds * 1000,
        rules=tuple(_rule(rule) for rule in failure.rules or ()),
    )


def _rule(rule: RawRule) -> FailureRule:
    codes, message, conditions = rule.on_exit_codes, rule.on_termination_message, rule.on_pod_conditions
    container = (codes.container_name if codes else message.container_name if message else None) or ""
    return FailureRule(
        action=rule.action,
        counted=rule.counted,
        container=container,
        operator=codes.operator if codes else "",
        codes=tuple(codes.values) if codes else (),
        contains=message.contains if message else "",
        conditions=tuple((c.type, c.status) for c in conditions or ()),
    )


def _without_nulls(spec: Any) -> Any:
    """The fields with a value: null is how JSON writes an absent one."""
    return {k: v for k, v in spec.items() if v is not None} if isinstance(spec, Mapping) else spec


def _converted(value: Any, kind: type[Any], path: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        match = _PATH.match(str(error))
        what, below = (match[1], match[2] or "") if match else (str(error), "")
        separator = "." if below and not below.startswith("[") else ""
        raise _RefusalError(f"{path}{separator}{below}", f"{what}; correct the field") from None
    except (RecursionError, ValueError, TypeError, OverflowError):
        raise _RefusalError(path, "cannot be read; apply the manifest again") from None


def _readable(raw: Mapping[str, Any]) -> RawMetadata:
    """Of metadata that does not have its shape, what does."""
    fields = {k: raw[k] for k in ("name", "namespace", "uid", "resourceVersion") if isinstance(raw.get(k), str)}
    generation = raw.get("generation")
    meta: RawMetadata = msgspec.convert(fields, RawMetadata)
    meta.generation = generation if isinstance(generation, int) else 0
    meta.deletion_timestamp = str(raw["deletionTimestamp"])[:64] if raw.get("deletionTimestamp") is not None else None
    return meta


def _rejected(meta: RawMetadata, manifest: dict[str, Any], status: Committed, fault: _RefusalError) -> Rejected:
    path, message = fault.args
    return Rejected(
        id=meta.uid,
        namespace=meta.namespace,
        name=meta.name,
        rv=version(meta.resource_version),
        generation=meta.generation,
        path=plain(path),
        message=plain(message),
        status=status,
        deleting=meta.deletion_timestamp is not None,
        manifest=manifest,
    )
