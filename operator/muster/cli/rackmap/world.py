"""World -> Picture: which racks there are, who holds each node, what is free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from muster.cli.rackmap import names
from muster.cli.rackmap.model import Cell, Group, Health, JobLine, Picture, Rack
from muster.core.eligibility import untolerated
from muster.core.inventory import Epoch
from muster.core.model import FINISHED, Job, Node, Phase, Rejected, Stage, Toleration
from muster.core.topology import natural
from muster.core.world import World
from muster.kube.parse_topology import pod_defaults

UNLABELLED = "none"
"""The name of the rack that is made of the nodes without a label at the narrowest level."""

SHOWN = 2
"""Levels that a job's line speaks of: those that are drawn."""

_Frame = tuple[tuple[str, str, tuple[tuple[str, str, tuple[int, ...]], ...]], ...]
"""Groups as (name, parent, racks), racks as (name, domain, rows of the inventory)."""


@dataclass(slots=True)
class _Holder:
    """Who holds a node."""

    jobs: dict[str, None]
    running: bool = False


class Painter:
    """Makes Pictures of one World, which may change in between; the racks are found anew only when nodes, labels or
    topology have changed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._epoch: Epoch | None = None
        self._frame: _Frame = ()
        self._nodes: dict[int, Node] = {}
        self._tainted: frozenset[int] = frozenset()
        self._unit = "GPU"
        self._resources: tuple[str, ...] = ()
        self._left_out = 0

    def picture(self, warnings: Iterable[str] = ()) -> Picture:
        """The cluster as the World shows it now."""
        inventory = self._world.inventory
        if self._epoch is not inventory.epoch:
            self._find_racks()
            self._epoch = inventory.epoch
        self._nodes = dict(inventory.nodes())  # cordons and readiness change within an epoch
        room = [amounts for r in self._resources if (amounts := inventory.room(r)) is not None]
        free = sum((left for left, _ in room), start=inventory.intact() * (0 if room else 1)).tolist()
        slots = sum((has for _, has in room), start=inventory.intact() * 0 + (0 if room else 1)).tolist()
        holders, lines = self._jobs()
        nobody = _Holder({})

        def cell(row: int) -> Cell:
            node = self._nodes[row]
            holder = holders.get(node.name, nobody)
            others = not holder.jobs and free[row] < slots[row]
            health = self._health(row, node)
            return Cell(node.name, health, tuple(holder.jobs), holder.running, others, free[row], slots[row])

        groups = tuple(
            Group(name, tuple(Rack(rack, tuple(map(cell, rows)), domain) for rack, domain, rows in racks), parent)
            for name, parent, racks in self._frame
        )
        levels = inventory.levels.names
        notes = [*warnings]
        if self._left_out:
            notes.append(f"{self._left_out} nodes without accelerators are not drawn")
        return Picture(
            groups=groups,
            jobs=_counted(lines, groups),
            rack_level=levels[-1] if levels else "node",
            group_level=levels[-2] if len(levels) > 1 else "",
            unit=self._unit,
            warnings=tuple(notes),
        )

    # --- what stands where ------------------------------------------------------------------------------------------

    def _find_racks(self) -> None:
        inventory, topology = self._world.inventory, self._world.topology
        present = dict(inventory.nodes())
        offered = dict.fromkeys(topology.accelerators, 0)
        for node in present.values():
            for resource, amount in node.allocatable:
                if resource in offered:
                    offered[resource] += amount
        self._resources = tuple(r for r, amount in offered.items() if amount)
        self._unit = "GPU" if all(r.endswith("gpu") for r in self._resources) else "accelerator"
        if not self._resources:
            self._unit = "node"
        wanted = set(self._resources)
        drawn = {
            row: node
            for row, node in present.items()
            if not wanted or any(r in wanted and amount for r, amount in node.allocatable)
        }
        self._left_out = len(present) - len(drawn)
        tolerations = _tolerations(pod_defaults(topology.manifest)["tolerations"])
        self._tainted = frozenset(row for row, n in drawn.items() if untolerated(n, tolerations) is not None)
        self._frame = _frame(drawn, {row: inventory.levels.path(node.labels) for row, node in drawn.items()})

    def _health(self, row: int, node: Node) -> Health:
        if node.out_of_service:
            return Health.OUT_OF_SERVICE
        if node.unready_since is not None:
            return Health.NOT_READY
        if node.cordoned:
            return Health.CORDONED
        return Health.TAINTED if row in self._tainted else Health.OK

    # --- who is there -----------------------------------------------------------------------------------------------

    def _jobs(self) -> tuple[dict[str, _Holder], list[JobLine]]:
        """Per node its holder; and the jobs, those that hold nodes first, each kind oldest first."""
        holders: dict[str, _Holder] = {}
        lines: list[tuple[tuple[bool, int, str], JobLine]] = []
        for job in self._world.jobs():
            held = self._hold(job, holders)
            if held or job.status.phase not in FINISHED:
                since = job.status.started or 0 if held else job.created if isinstance(job, Job) else 0
                lines.append(((not held, since, job.key), JobLine(job.key, job.status.phase.value, note=_note(job))))
        return holders, [line for _, line in sorted(lines, key=lambda item: item[0])]

    def _hold(self, job: Job | Rejected, holders: dict[str, _Holder]) -> bool:
        held = False
        placement = job.status.placement
        if job.status.live and placement is not None:
            for role in placement.nodes:
                for node in role:
                    holders.setdefault(node, _Holder({})).jobs[job.key] = None
                    held = True
        for pod in self._world.pods_of(job.id):
            where = pod.node or pod.pinned
            if where is not None and not pod.terminal:
                holder = holders.setdefault(where, _Holder({}))
                holder.jobs[job.key] = None
                holder.running = holder.running or pod.stage is Stage.RUNNING
                held = True
        return held


def picture(world: World, warnings: Iterable[str] = ()) -> Picture:
    """One Picture; see Painter for several of the same World."""
    return Painter(world).picture(warnings)


def _frame(nodes: Mapping[int, Node], paths: Mapping[int, tuple[str | None, ...]]) -> _Frame:
    racks: dict[tuple[str | None, ...], list[int]] = {}
    for row in sorted(nodes, key=lambda row: natural(nodes[row].name)):
        racks.setdefault(paths[row], []).append(row)
    shown = _rack_names(racks, nodes)
    groups: dict[tuple[str | None, ...], list[tuple[str, str, tuple[int, ...]]]] = {}
    for path, rows in racks.items():
        domain = (path[-1] or "") if path else ""
        groups.setdefault(path[:-1], []).append((shown[path], domain, tuple(rows)))
    order = sorted(groups, key=lambda path: [natural(value or "~") for value in path])
    return tuple(
        (
            (path[-1] or UNLABELLED) if path else "",
            (path[-2] or "") if len(path) > 1 else "",
            tuple(sorted(groups[path], key=lambda rack: (not rack[1], natural(rack[0])))),
        )
        for path in order
    )


def _rack_names(
    racks: Mapping[tuple[str | None, ...], list[int]], nodes: Mapping[int, Node]
) -> dict[tuple[str | None, ...], str]:
    """Racks by what their nodes' names share (`r07` of `r07-n00` to `r07-n17`), which people know better than a label's
    value; where that does not tell them apart, by the values."""
    labelled = [path for path in racks if path and path[-1] is not None]
    shared = [names.stem([nodes[row].name for row in racks[path]]) for path in labelled]
    if not all(shared) or len(set(shared)) < len(shared):
        shared = names.short([path[-1] or "" for path in labelled])
    return dict.fromkeys(racks, UNLABELLED) | dict(zip(labelled, shared, strict=True))


def _counted(lines: Iterable[JobLine], groups: Iterable[Group]) -> tuple[JobLine, ...]:
    """The lines with the nodes, racks and groups that each job touches."""
    counts: dict[str, list[int]] = {}
    for group in groups:
        here: set[str] = set()
        for rack in group.racks:
            inside = [key for cell in rack.cells for key in cell.jobs]
            for key in inside:
                counts.setdefault(key, [0, 0, 0])[0] += 1
            for key in set(inside):
                counts[key][1] += 1
            here.update(inside)
        for key in here:
            counts[key][2] += 1
    found = ((job, counts.get(job.key, [0, 0, 0])) for job in lines)
    return tuple(replace(job, nodes=nodes, racks=racks, groups=touched) for job, (nodes, racks, touched) in found)


def _note(job: Job | Rejected) -> str:
    """Where it is, as `kubectl get tj` says it, or why it waits."""
    if isinstance(job, Rejected):
        return f"Invalid: {job.path}: {job.message}"
    status = job.status
    if status.live and status.placement is not None:
        placement = status.placement
        floor = dict(placement.least)
        used = len({node for role in placement.nodes for node in role})
        parts = [f"{used} nodes", *(f"{n}/{floor.get(lv, n)} {lv}" for lv, n in placement.domains[: -1 - SHOWN : -1])]
        if status.phase is Phase.REPAIRING and status.last_repair is not None:
            parts.insert(0, f"{status.last_repair.moved} moved, {status.last_repair.kept} kept")
        return ", ".join(parts)
    if status.waiting is not None and status.phase is Phase.PENDING:
        return f"{status.waiting.verdict.reason.value}: {status.waiting.message}"
    return status.stopping.message if status.stopping is not None else ""


def _tolerations(written: Iterable[Mapping[str, str]]) -> tuple[Toleration, ...]:
    return tuple(
        Toleration(t.get("key") or "", t.get("operator") or "Equal", t.get("value") or "", t.get("effect") or "")
        for t in written
    )
