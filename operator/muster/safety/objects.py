"""What the watcher reads from raw objects: pods of a gang, placements, nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from muster.safety.hostlist import MalformedError, hosts, runs

GATE = "muster.dev/gang"
Object = Mapping[str, Any]
ACTIVE = ("Placed", "Starting", "Running", "Repairing")
FINISHED = ("Succeeded", "Failed")


class Rank(NamedTuple):
    """One rank of one job, over all attempts."""

    job: str
    role: str
    rank: int

    def __str__(self) -> str:
        return f"{self.role}/{self.rank}"


def labels(thing: Object) -> dict[str, str]:
    """Return the labels of an object."""
    return dict(thing["metadata"].get("labels") or {})


def is_gang_pod(pod: Object) -> bool:
    """Return whether muster made it, by its labels."""
    return {"muster.dev/job-uid", "muster.dev/role", "muster.dev/rank", "muster.dev/attempt"} <= labels(pod).keys()


def rank_of(pod: Object) -> Rank:
    """Return the rank of a gang pod."""
    own = labels(pod)
    return Rank(own["muster.dev/job-uid"], own["muster.dev/role"], int(own["muster.dev/rank"]))


def born_of(pod: Object) -> int:
    """Return the attempt in which the pod was made."""
    return int(labels(pod)["muster.dev/attempt"])


def is_gated(pod: Object) -> bool:
    """Return whether muster's gate is still on."""
    return any(gate["name"] == GATE for gate in pod["spec"].get("schedulingGates") or ())


def bound_to(pod: Object) -> str | None:
    """Return the node that a pod is bound to."""
    name = pod["spec"].get("nodeName")
    return str(name) if name else None


def pinned_to(pod: Object) -> str | None:
    """Return the node that a pod is bound to, or may only be bound to by its affinity to metadata.name."""
    if bound_to(pod) is not None:
        return bound_to(pod)
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
    names = set()
    for term in terms:
        fields = [each for each in term.get("matchFields") or () if each["key"] == "metadata.name"]
        names.add(fields[0]["values"][0] if fields and len(fields[0]["values"]) == 1 else None)
    return names.pop() if len(names) == 1 else None


def is_terminal(pod: Object) -> bool:
    """Return whether a pod has ended."""
    return pod.get("status", {}).get("phase") in FINISHED


def has_stopped(pod: Object) -> bool:
    """Return whether its last record shows that nothing of it runs: terminal, no container still shown as running."""
    status = pod.get("status", {})
    every = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return is_terminal(pod) and not any("running" in each.get("state", {}) for each in every)


def is_owned(pod: Object) -> bool:
    """Return whether it still names a TrainingJob as its controller; orphaned on purpose, it does not."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(each["kind"] == "TrainingJob" for each in owners)


@dataclass(frozen=True, slots=True)
class Placement:
    """A committed placement: per role the nodes and the births of its ranks, in rank order."""

    attempt: int
    nodes: dict[str, tuple[str, ...]]
    born: dict[str, tuple[int, ...]]
    gang_attempt: int
    """The attempt in which the whole gang was last made anew: what all its processes meet by."""

    def ranks(self, job: str) -> list[tuple[Rank, str, int]]:
        """Return (rank, node, born) of all ranks."""
        return [
            (Rank(job, role, number), node, self.born[role][number])
            for role, names in self.nodes.items()
            for number, node in enumerate(names)
        ]


def placement_of(job: Object) -> Placement | None:
    """Return the placement in a job's status; None where there is none. Raises MalformedError."""
    given = (job.get("status") or {}).get("placement")
    if not given or not given.get("roles"):
        return None
    attempt = int(given["attempt"])
    nodes = {each["name"]: hosts(each["nodes"]) for each in given["roles"]}
    born = {}
    for each in given["roles"]:
        own = runs(each["born"]) if each.get("born") else (attempt,) * len(nodes[each["name"]])
        if len(own) != len(nodes[each["name"]]):
            raise MalformedError(f"role {each['name']}: {len(own)} births of {len(nodes[each['name']])} nodes")
        born[each["name"]] = own
    return Placement(attempt, nodes, born, int(given.get("gangAttempt") or attempt))


def phase_of(job: Object) -> str:
    """Return the phase of a job."""
    return str((job.get("status") or {}).get("phase", "Pending"))


def title(job: Object) -> str:
    """Return namespace and name."""
    meta = job["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def is_ready(node: Object) -> bool:
    """Return whether a node is Ready."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def is_silent(node: Object | None) -> bool:
    """Return whether a machine is neither answering nor known to be off; None: its Node object is gone."""
    return node is not None and not is_ready(node) and not is_out_of_service(node)


def is_out_of_service(node: Object) -> bool:
    """Return whether a node carries the out-of-service taint."""
    taints = (node.get("spec") or {}).get("taints") or ()
    return any(each["key"] == "node.kubernetes.io/out-of-service" for each in taints)
