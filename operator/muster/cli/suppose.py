"""What a question supposes of the cluster: nodes and jobs freed, nodes cordoned, racks added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from muster.cli.cluster import Known
from muster.cli.output import Failed
from muster.core.health import HEALTH_TAINTS
from muster.core.model import (
    Gone,
    Job,
    Kind,
    Level,
    Node,
    NodePast,
    Placement,
    Pod,
    Rejected,
    Remembered,
    Resources,
    Taint,
    Upsert,
)
from muster.core.topology import natural
from muster.kube.hostlist import compress, expand
from muster.kube.quantity import Malformed

HOSTNAME = "kubernetes.io/hostname"

Path = tuple[str, ...]
"""The names of a rack's domains, broadest first, its own last."""


def free(known: Known, target: str) -> str:
    """Free a node (or a host list of nodes) or a job; what was done, in words. Raises Failed.

    A job is gone with all its pods. On a node nothing is left but the pods of DaemonSets; it is Ready and not cordoned.
    Where a node and a job have one name, the node is meant.
    """
    world = known.world
    if "/" in target or (target not in world.nodes and any(job.name == target for job in world.jobs())):
        namespace, _, name = target.rpartition("/")
        job = known.find(name, namespace or None)
        return f"{job.key} has ended ({counted(_end(known, job), 'pod')})"
    names = nodes(known, "--free", target)
    pods = sum(_clear(known, name) for name in names)
    return f"{compress(names)} {'is' if len(names) == 1 else 'are'} free ({counted(pods, 'pod')}) and usable"


def cordon(known: Known, target: str) -> str:
    """Cordon a node or a host list of nodes; what was done, in words. Raises Failed."""
    names = nodes(known, "--cordon", target)
    for name in names:
        known.world.apply(Upsert(replace(known.world.nodes[name], cordoned=True), 0))
    return f"{compress(names)} {'is' if len(names) == 1 else 'are'} cordoned"


def nodes(known: Known, option: str, target: str) -> tuple[str, ...]:
    """The nodes that a host list names, each of which must be there. Raises Failed."""
    names = expand(target)
    if isinstance(names, Malformed):
        raise Failed(f"{option} {target}: {names.message}.")
    unknown = [name for name in names if name not in known.world.nodes]
    if unknown or not names:
        what = "node or job" if option == "--free" else "node"
        raise Failed(f"{option} {target}: there is no {what} {(unknown or [target])[0]} here.")
    return names


def counted(number: int, what: str) -> str:
    """`1 pod`, `3 pods`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _end(known: Known, job: Job | Rejected) -> int:
    pods = known.world.pods_of(job.id)
    known.world.apply(Gone(Kind.JOB, job.id, 0))
    return _drop(known, pods)


def _clear(known: Known, name: str) -> int:
    """Take everything off a node but the pods of DaemonSets, and make it usable; how many pods that were."""
    world = known.world
    node = world.nodes[name]
    for job in list(world.jobs()):
        placement = job.status.placement
        if placement is not None and job.status.live and any(name in role for role in placement.nodes):
            status = replace(job.status, placement=_without(placement, name))
            world.apply(Upsert(replace(job, status=status), 0))
    world.apply(Upsert(world.inventory.rulebook.cured(node), 0))
    world.apply(Remembered(NodePast(name)))
    return _drop(known, [pod for pod in known.pods.get(name, ()) if not pod.daemon])


def _without(placement: Placement, name: str) -> Placement:
    """The placement without its ranks on one node."""
    kept = [[i for i, node in enumerate(role) if node != name] for role in placement.nodes]
    pick = zip(placement.nodes, placement.born, kept, strict=True)
    left = [(tuple(role[i] for i in at), tuple(born[i] for i in at)) for role, born, at in pick]
    return replace(placement, nodes=tuple(role for role, _ in left), born=tuple(born for _, born in left))


def _drop(known: Known, pods: Iterable[Pod]) -> int:
    dropped = 0
    for pod in pods:
        known.world.apply(Gone(Kind.POD, pod.id, 0))
        if not pod.terminal:
            dropped += 1
            known.dry_run.spend(pod.namespace, pod.requests, -1)
    return dropped


# --- racks ---


def add_racks(known: Known, count: int) -> str:
    """Add racks like the most usual one, under new domains; what was added, in words. Raises Failed.

    A rack is a domain of the narrowest level. Of the most usual kind (number of nodes, devices and taints of each) the
    first in natural order is copied, node by node, with labels, allocatable and the pods of DaemonSets. Domains above
    are opened anew and filled like most that are there; those that no gang spans stay that of the copied rack.
    """
    levels = known.world.inventory.levels
    if levels.invalid:
        raise Failed(f"--add-racks: the ClusterTopology cannot be used: {levels.invalid}.")
    racks: dict[Path, list[Node]] = {}
    for _, node in known.world.inventory.nodes():
        path = tuple(value for value in levels.path(node.labels) if value is not None)
        if len(path) == len(levels.levels) > 0:
            racks.setdefault(path, []).append(node)
    if not racks:
        raise Failed("--add-racks: no node carries the labels of all levels of the topology: there is no rack to copy.")
    usual = _most_usual(racks)
    model = sorted(racks[usual], key=lambda node: natural(node.name))
    fanout = _fanouts(racks, len(levels.levels))
    fresh = _Names(set(known.world.nodes), {value for path in racks for value in path})
    for number in range(count):
        above = _above(levels.levels, usual, number, fanout, fresh)
        for i, node in enumerate(model):
            _copy(known, node, fresh.node(f"added-{number + 1}-{i:02d}"), above)
    what = f"{levels.levels[-1].name} {'domain is' if count == 1 else 'domains are'}"
    return f"{count} {what} added, each like {usual[-1]} ({counted(len(model), 'node')})"


class _Names:
    """Names that nothing has yet."""

    def __init__(self, nodes: set[str], domains: set[str]) -> None:
        self._nodes, self._domains = nodes, domains

    def node(self, name: str) -> str:
        while name in self._nodes:
            name += "x"
        return name

    def domain(self, name: str) -> str:
        while name in self._domains:
            name += "x"
        return name


def _most_usual(racks: dict[Path, list[Node]]) -> Path:
    def shape(nodes: list[Node]) -> tuple[tuple[Resources, tuple[Taint, ...]], ...]:
        return tuple(sorted(((_extended(node.allocatable), _lasting(node)) for node in nodes), key=repr))

    shapes = {path: shape(nodes) for path, nodes in racks.items()}
    often = Counter(shapes.values())
    most = max(often.values())
    candidates = [path for path, found in shapes.items() if often[found] == most]
    return min(candidates, key=lambda path: (-len(racks[path]), [natural(name) for name in path]))


def _extended(amounts: Resources) -> Resources:
    """The devices. CPU and memory differ by a little from machine to machine of one kind."""
    return tuple((name, amount) for name, amount in amounts if "/" in name)


def _lasting(node: Node) -> tuple[Taint, ...]:
    return tuple(taint for taint in node.taints if not taint.key.startswith(HEALTH_TAINTS))


def _fanouts(racks: Iterable[Path], depth: int) -> Sequence[int]:
    """Per level but the narrowest: how many domains of the next one its domains usually have."""
    out: list[int] = []
    for level in range(depth - 1):
        below: dict[Path, set[Path]] = {}
        for path in racks:
            below.setdefault(path[: level + 1], set()).add(path[: level + 2])
        often = Counter(len(found) for found in below.values())
        out.append(max(often, key=lambda size: (often[size], size)))
    return out


def _above(levels: Sequence[Level], usual: Path, number: int, fanout: Sequence[int], fresh: _Names) -> dict[str, str]:
    """The labels of a new rack's domains, narrowest first, up to the first level that no gang spans."""
    labels: dict[str, str] = {}
    unit = number
    for i in reversed(range(len(levels))):
        if levels[i].boundary:
            break
        if i < len(fanout):
            unit //= fanout[i]
        labels[levels[i].labels[0]] = fresh.domain(f"added-{levels[i].name}-{unit + 1}")
    return labels


def _copy(known: Known, node: Node, name: str, domains: dict[str, str]) -> None:
    labels = {**node.labels, **domains}
    if HOSTNAME in labels:
        labels[HOSTNAME] = name
    copied = Node(name, f"added/{name}", 0, labels, node.allocatable, _lasting(node))
    daemons = [pod for pod in known.pods.get(node.name, ()) if pod.daemon and pod.node == node.name]
    known.take([copied, *(replace(pod, id=f"{pod.id}@{name}", node=name, nominated=None) for pod in daemons)])
