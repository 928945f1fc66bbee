"""core -> wire: pods, the Service, and the bodies of the writes that start and end them.

A pod is rendered from the job's own object (`Job.manifest`), the committed placement and the ClusterTopology, and from
nothing else, so that a crash changes no pod. Names are made of the job's name, the role's name, numbers and the uid
alone, all of which the parser has checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import msgspec

from muster.core.model import Job, Placement, TopologySpec
from muster.kube.launchers import Seat, accelerators_of, padded, service_name
from muster.kube.parse_meta import GROUP, JOB_KIND
from muster.kube.parse_pod import GATE, LABEL_ATTEMPT, LABEL_RANK, LABEL_ROLE
from muster.kube.render_pod import containers_of, fill_containers, merge_defaults, pin, tolerate_absence

API_VERSION = f"{GROUP}/v1alpha1"
MANAGED_BY = {"app.kubernetes.io/managed-by": "muster"}
LABEL_JOB = "muster.dev/job-name"
LABEL_UID = "muster.dev/job-uid"
LABEL_SEGMENT = "muster.dev/segment"
SCHEDULER = "default-scheduler"

_UNGATE = {"$patch": "delete", "name": GATE}
_NOT_OURS_TO_TAKE = ("nodeName", "schedulingGates", "hostname", "subdomain", "ephemeralContainers", "priority")
"""Fields of a template that the API refuses and that would undo a placement: dropped, should an object have them."""


def encode(body: Any) -> bytes:
    """A body as the API takes it."""
    return msgspec.json.encode(body)


def pod_name(job: Job, role: int, rank: int, born: int) -> str:
    """`{job}-{role}-{rank, zero-padded}-{uid8}-{born}`."""
    spec = job.roles[role]
    return f"{job.name}-{spec.name}-{padded(rank, spec.count)}-{job.id[:8]}-{born}"


def pod(
    job: Job,
    placement: Placement,
    role: int,
    rank: int,
    topology: TopologySpec,
    domains: Mapping[str, str],
    scheduler: str = SCHEDULER,
) -> dict[str, Any]:
    """The gated, pinned pod of a rank. `domains` are the names, by level, of the domains its node lies in."""
    node, born = placement.nodes[role][rank], placement.born[role][rank]
    body = _pod(job, role, rank, born, placement.gang_attempt, topology, domains, scheduler)
    pin(body["spec"], node)
    return body


def dry_run_pod(job: Job, role: int, topology: TopologySpec, scheduler: str = SCHEDULER) -> dict[str, Any]:
    """The pod by whose dry run admission is asked: rank 0 of attempt 0, which never exists, and not pinned."""
    return _pod(job, role, 0, 0, 0, topology, {}, scheduler)


def service(job: Job) -> dict[str, Any]:
    """The headless Service that gives every pod its DNS name from the moment it has an address."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service_name(job.name, job.id),
            "namespace": job.namespace,
            "labels": MANAGED_BY | {LABEL_JOB: job.name, LABEL_UID: job.id},
            "ownerReferences": [_owner(job)],
        },
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {LABEL_UID: job.id}},
    }


def ungate(uid: str) -> bytes:
    """Strategic merge patch of a pod that takes our gate away and no other's, and touches no pod but this."""
    return encode({"metadata": {"uid": uid}, "spec": {"schedulingGates": [_UNGATE]}})


def nominate(uid: str, node: str) -> bytes:
    """Merge patch of a pod's status subresource that nominates it to a node."""
    return encode({"metadata": {"uid": uid}, "status": {"nominatedNodeName": node}})


def warnings(job: Job, topology: TopologySpec) -> tuple[str, ...]:
    """What a user probably did not mean, though it is allowed."""
    if job.manifest["spec"].get("launcher") != "env":
        return ()
    said: list[str] = []
    for index, role in enumerate(job.roles):
        held = sum(accelerators_of(c, topology.accelerators) for c in _template(job, index)["spec"]["containers"])
        if held > 1:
            said.append(
                f"Role {role.name} holds {held} accelerators a pod, but launcher env starts one process a pod: "
                "use launcher torchrun, or one accelerator a pod."
            )
    return tuple(said)


def _pod(
    job: Job,
    role: int,
    rank: int,
    born: int,
    attempt: int,
    topology: TopologySpec,
    domains: Mapping[str, str],
    scheduler: str,
) -> dict[str, Any]:
    spec, roles = job.roles[role], job.roles
    seat = Seat(job.name, job.id, job.namespace, spec, roles, rank, attempt, domains)
    template = deepcopy(dict(_template(job, role)))
    body = dict(template["spec"])
    for field in _NOT_OURS_TO_TAKE:
        body.pop(field, None)
    merge_defaults(body, topology)
    fill_containers(body, seat, job.manifest["spec"].get("launcher") or "none", topology, job.policy.start_timeout)
    policy = job.policy
    tolerate_absence(body, policy.unreachable_after if policy.replaces_unreachable else None)
    body |= {
        "schedulingGates": [{"name": GATE}],
        "schedulerName": scheduler,
        "priorityClassName": job.priority_class,
        "preemptionPolicy": "Never",
        "hostname": seat.hostname(),
        "subdomain": seat.service,
    }
    body["restartPolicy"] = body.get("restartPolicy") or "Never"
    if body.get("enableServiceLinks") is None:
        # Links to a namespace's Services grow the environment past what exec takes.
        body["enableServiceLinks"] = False
    if body.get("hostNetwork") and not body.get("dnsPolicy"):
        body["dnsPolicy"] = "ClusterFirstWithHostNet"
    for container in containers_of(body):
        if not container.get("terminationMessagePolicy"):
            container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    written = template.get("metadata") or {}
    labels = MANAGED_BY | {
        LABEL_JOB: job.name,
        LABEL_UID: job.id,
        LABEL_ROLE: spec.name,
        LABEL_RANK: str(rank),
        LABEL_SEGMENT: str(seat.segment[0]),
        LABEL_ATTEMPT: str(born),
    }
    metadata: dict[str, Any] = {
        "name": pod_name(job, role, rank, born),
        "namespace": job.namespace,
        "labels": {**(written.get("labels") or {}), **labels},
        "ownerReferences": [_owner(job)],
    }
    if written.get("annotations"):
        metadata["annotations"] = dict(written["annotations"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body}


def _template(job: Job, role: int) -> Mapping[str, Any]:
    template: Mapping[str, Any] = job.manifest["spec"]["roles"][role]["template"]
    return template


def _owner(job: Job) -> dict[str, Any]:
    """blockOwnerDeletion: under foreground deletion the job stays visible, and with it its claim, until its pods have
    gone. Where OwnerReferencesPermissionEnforcement is on (OpenShift) it needs `update` on trainingjobs/finalizers."""
    return {
        "apiVersion": API_VERSION,
        "kind": JOB_KIND,
        "name": job.name,
        "uid": job.id,
        "controller": True,
        "blockOwnerDeletion": True,
    }
