"""Short builders of core records: every argument that a test does not name has a value that it need not care about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from muster.core.model import (
    Admission,
    Change,
    Committed,
    Filter,
    Job,
    Kind,
    Leading,
    Level,
    Node,
    Objective,
    Phase,
    Placement,
    Pod,
    Policy,
    PriorityClass,
    Record,
    Resources,
    RoleSpec,
    Segments,
    Stage,
    SuccessWhen,
    Synced,
    Taint,
    Toleration,
    TopologySpec,
    Upsert,
)
from muster.core.world import World

GPU = "nvidia.com/gpu"
SECOND = 1_000
START = 1_700_000_000_000
"""The virtual wall clock (ms) at which tests begin."""
LEVELS = ("leaf", "nvlink")


def label(level: str) -> str:
    """The node label of a level in tests."""
    return f"test/{level}"


def resources(amounts: Mapping[str, int]) -> Resources:
    """Amounts as the core keeps them: sorted, no zero entries."""
    return tuple(sorted((name, amount) for name, amount in amounts.items() if amount))


def asks(gpus: int = 1, cpu: int = 0, **others: int) -> Resources:
    """What a pod requests."""
    return resources({GPU: gpus, "cpu": cpu, "pods": 1, **others})


def node(name: str, *, gpus: int = 4, cpu: int = 64_000, labels: Mapping[str, str] | None = None, **state: Any) -> Node:
    """A node that is ready; `labels` by level name or by full key."""
    full = {key if "/" in key else label(key): value for key, value in (labels or {}).items()}
    return Node(
        name=name,
        uid=state.pop("uid", f"node-{name}"),
        rv=state.pop("rv", 1),
        labels=full,
        allocatable=resources({GPU: gpus, "cpu": cpu, "pods": 110}),
        **state,
    )


def racks(count: int = 3, nodes: int = 5, *, per_leaf: int = 3, gpus: int = 4) -> list[Node]:
    """Racks r0, r1, ... of nodes r0-n0, r0-n1, ...; each rack is one NVLink domain, `per_leaf` racks share a leaf."""
    return [
        node(f"r{rack}-n{i}", gpus=gpus, labels={"leaf": f"l{rack // per_leaf}", "nvlink": f"r{rack}"})
        for rack in range(count)
        for i in range(nodes)
    ]


def topology(levels: Sequence[str] = LEVELS, *, boundary: Sequence[str] = (), **fields: Any) -> TopologySpec:
    """A Custom ClusterTopology of these levels, broadest first."""
    return TopologySpec(
        name="default",
        uid=fields.pop("uid", "topology"),
        rv=fields.pop("rv", 1),
        generation=fields.pop("generation", 1),
        preset="Custom",
        levels=tuple(Level(name, (label(name),), boundary=name in boundary) for name in levels),
        **fields,
    )


def policy(**fields: Any) -> Policy:
    """The API's defaults, in ms."""
    values: dict[str, Any] = {
        "success_roles": (),
        "success_when": SuccessWhen.ALL_PODS,
        "linger": 300 * SECOND,
        "backoff_base": 5 * SECOND,
        "backoff_max": 300 * SECOND,
        "bind_timeout": 30 * SECOND,
        "start_timeout": 1800 * SECOND,
        "active_deadline": None,
        "ttl": None,
        "retain_attempts": 2,
        "retain_pods": 8,
        "max_restarts": 10,
        "reset_after": 3600 * SECOND,
        "max_disruptions": 1000,
        "failure_grace": 15 * SECOND,
        "unreachable_after": 60 * SECOND,
        "image_pull_after": 300 * SECOND,
        "prefer_wait": 0,
    }
    return Policy(**(values | fields))


def role(
    name: str = "worker",
    count: int = 2,
    *,
    gpus: int = 1,
    segments: Sequence[Segments] = (),
    selector: Mapping[str, str] | None = None,
    tolerations: Sequence[Toleration] = (),
    **fields: Any,
) -> RoleSpec:
    """One role of a job's spec."""
    return RoleSpec(
        name=name,
        count=count,
        template=fields.pop("template", f"template-{name}-{gpus}"),
        requests=fields.pop("requests", asks(gpus)),
        filter=Filter(selector=tuple(sorted((selector or {}).items())), tolerations=tuple(tolerations)),
        segments=tuple(segments),
        **fields,
    )


def job(name: str = "llm", *roles: RoleSpec, status: Committed | None = None, **fields: Any) -> Job:
    """A TrainingJob; fields of Policy may be given beside those of Job. Its uid is `uid-<name>`."""
    known = set(Policy.__dataclass_fields__)
    wishes = {key: fields.pop(key) for key in list(fields) if key in known}
    values: dict[str, Any] = {
        "id": f"uid-{name}",
        "namespace": "default",
        "name": name,
        "rv": 1,
        "generation": 1,
        "created": START,
        "deleting": False,
        "orphaning": False,
        "suspend": False,
        "priority_class": "muster-default",
        "roles": roles or (role(),),
        "required": None,
        "preferred": None,
        "policy": policy(**wishes),
        "roles_hash": "roles-1",
        "status": status or Committed(),
    }
    return Job(**(values | fields))


def placement(of: Job, nodes: Sequence[Sequence[str]], *, attempt: int = 1, **fields: Any) -> Placement:
    """A committed placement of a job's roles on these nodes (`nodes[role][rank]`)."""
    placed = tuple(tuple(names) for names in nodes)
    values: dict[str, Any] = {
        "attempt": attempt,
        "gang_attempt": attempt,
        "term": "1",
        "generation": of.generation,
        "roles_hash": f"{of.roles_hash}+",
        "roles": tuple(r.name for r in of.roles),
        "nodes": placed,
        "born": tuple((attempt,) * len(names) for names in placed),
        "objective": Objective(0, 1, len({n for names in placed for n in names}), (), 0),
        "proven": True,
        "domains": (),
        "least": (),
    }
    return Placement(**(values | fields))


def committed(of: Job, phase: Phase, nodes: Sequence[Sequence[str]] = (), *, attempt: int = 1, **fields: Any) -> Job:
    """The job with a status of this phase; with `nodes` it has a placement and is live."""
    values: dict[str, Any] = {
        "phase": phase,
        "observed_generation": of.generation,
        "attempt": attempt,
        "live": bool(nodes),
        "phase_since": START,
        "placement": placement(of, nodes, attempt=attempt) if nodes else None,
    }
    if phase not in (Phase.PENDING, Phase.PLACED, Phase.SUSPENDED):
        values |= {"opened": attempt - (phase is Phase.REPAIRING)}
    if phase is Phase.RUNNING:
        values |= {"running_since": START, "started": START}
    if phase in (Phase.SUCCEEDED, Phase.FAILED):
        values |= {"finished": START}
    return replace(of, status=Committed(**(values | fields)))


def pod(
    of: Job | None = None, rank: int = 0, stage: Stage = Stage.RUNNING, node: str | None = None, **fields: Any
) -> Pod:
    """A pod of the first role (or of `role`) of a job, or a foreign one; bound to `node`, or pinned to it before."""
    bound = stage not in (Stage.GATED, Stage.UNBOUND)
    role_name = fields.pop("role", of.roles[0].name if of else None)
    born = fields.pop("born", 1 if of else None)
    values: dict[str, Any] = {
        "id": f"pod-{of.name if of else 'foreign'}-{role_name}-{rank}-{born}",
        "namespace": of.namespace if of else "default",
        "rv": 1,
        "stage": stage,
        "requests": next((r.requests for r in of.roles if r.name == role_name), asks()) if of else asks(),
        "node": node if bound else None,
        "pinned": None if bound else node,
        "our_gate": stage is Stage.GATED,
        "job": of.id if of else None,
        "role": role_name,
        "rank": rank if of else None,
        "born": born,
    }
    values |= fields
    return Pod(name=values.pop("name", values["id"]), **values)


def gang(of: Job, stage: Stage = Stage.RUNNING, **fields: Any) -> list[Pod]:
    """A pod in this stage for every rank of the job's placement."""
    placed = of.status.placement
    assert placed is not None, "the job has no placement"
    return [
        pod(of, rank, stage, name, role=role_name, born=placed.born[i][rank], **fields)
        for i, role_name in enumerate(placed.roles)
        for rank, name in enumerate(placed.nodes[i])
    ]


def admissions(of: Job) -> list[Admission]:
    """The dry runs of a job's roles, answered with what the templates ask; without pod defaults."""
    key = World().template_key
    return [Admission(of.namespace, key(of, i), r.requests, r.filter) for i, r in enumerate(of.roles)]


def priority_class(name: str = "muster-default", value: int = 0, *, preempts: bool = False) -> PriorityClass:
    """A PriorityClass as muster wants it."""
    return PriorityClass(name, 1, value, preempts)


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> Taint:
    """A taint."""
    return Taint(key, value, effect)


def changes(*records: Record, at: int = START, term: str | None = "1") -> list[Change]:
    """What tells an empty World of these records, of a priority class, that all is synced and who leads."""
    return [
        Upsert(priority_class(), at),
        *(Upsert(record, at) for record in records),
        *(Synced(kind) for kind in Kind),
        Leading(term),
    ]
