"""The rack map's picture, from objects as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from muster.cli.rackmap.model import Cell, Group, Health, JobLine, Picture, Rack
from muster.embedded.nodes.racks import CLIQUE, GPU, LEAF, SPINE

Object = Mapping[str, Any]
_HOLDING = ("Pending", "Running")


def picture(nodes: Iterable[Object], pods: Iterable[Object], jobs: Iterable[Object]) -> Picture:
    """Racks by their NVLink domain, grouped by leaf; who holds a node is told by the pods bound to it."""
    held: dict[str, dict[str, bool]] = {}
    where: dict[str, set[str]] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and pod["status"].get("phase") in _HOLDING:
            meta = pod["metadata"]
            key = f"{meta['namespace']}/{(meta.get('labels') or {}).get('muster.dev/job-name', '')}"
            on_node = held.setdefault(node, {})
            on_node[key] = on_node.get(key, False) or pod["status"]["phase"] == "Running"
            where.setdefault(key, set()).add(node)
    groups, place = _groups(nodes, held)
    return Picture(groups, _lines(jobs, where, place), rack_level="nvlink", group_level="leaf")


def _groups(
    nodes: Iterable[Object], held: Mapping[str, Mapping[str, bool]]
) -> tuple[tuple[Group, ...], dict[str, tuple[str, str]]]:
    racks: dict[tuple[str, str], list[Cell]] = {}
    spines: dict[str, str] = {}
    place: dict[str, tuple[str, str]] = {}
    for node in sorted(nodes, key=lambda each: str(each["metadata"]["name"])):
        name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
        rack, leaf = labels.get(CLIQUE, ""), labels.get(LEAF, "")
        racks.setdefault((leaf, rack), []).append(_cell(node, held.get(name, {})))
        spines[leaf] = labels.get(SPINE, "")
        place[name] = (rack, leaf)
    made: dict[str, list[Rack]] = {}
    for (leaf, domain), cells in racks.items():
        made.setdefault(leaf, []).append(Rack(cells[0].node.partition("-")[0], tuple(cells), domain))
    return tuple(Group(leaf, tuple(found), spines[leaf]) for leaf, found in made.items()), place


def _cell(node: Object, jobs: Mapping[str, bool]) -> Cell:
    slots = int(node["status"].get("allocatable", {}).get(GPU, 0))
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions") or ())
    health = Health.NOT_READY if not ready else Health.OK
    if ready and node["spec"].get("unschedulable"):
        health = Health.CORDONED
    # Every pod of the demo takes all GPUs of its node.
    free = 0 if jobs else slots
    return Cell(node["metadata"]["name"], health, tuple(sorted(jobs)), any(jobs.values()), free=free, slots=slots)


def _lines(
    jobs: Iterable[Object], where: Mapping[str, set[str]], place: Mapping[str, tuple[str, str]]
) -> tuple[JobLine, ...]:
    lines = []
    for job in sorted(jobs, key=lambda each: str(each["metadata"]["creationTimestamp"])):
        meta, status = job["metadata"], job.get("status") or {}
        key = f"{meta['namespace']}/{meta['name']}"
        on = where.get(key, set())
        domains = [place[node] for node in on if node in place]
        note = (status.get("waiting") or {}).get("reason", "") or (status.get("summary") or {}).get("where", "")
        if status.get("phase") == "Repairing" and "lastRepair" in status:
            note = f"{status['lastRepair']['moved']} moved, {status['lastRepair']['kept']} kept"
        lines.append(
            JobLine(
                key,
                status.get("phase", "Pending"),
                nodes=len(on),
                racks=len({rack for rack, _ in domains}),
                groups=len({leaf for _, leaf in domains}),
                note=note if status.get("phase") not in ("Succeeded", "Failed") else "",
            )
        )
    return tuple(sorted(lines, key=lambda line: not line.nodes))
