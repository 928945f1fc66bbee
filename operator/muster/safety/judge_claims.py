"""S2: two live claims never overlap with a gate open, and none is released before its pods are gone.

What a gang holds with a gate open: all ranks of its placement from the write of Starting on
(but for those whose pod has ended), and every pod of it that has left its gate and has not
ended, in whatever phase the job is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from muster.safety.amounts import Amounts, add, amounts, pod_requests
from muster.safety.objects import (
    Object,
    Rank,
    born_of,
    bound_to,
    is_gang_pod,
    is_gated,
    is_owned,
    is_terminal,
    phase_of,
    pinned_to,
    placement_of,
    rank_of,
    title,
)
from muster.safety.record import QUIET, Event
from muster.safety.world import World

Found = Iterator[tuple[str, tuple[str, ...]]]
STATUS = "status"
"""The source of a claim that the job's status makes; other sources are pod uids."""


@dataclass(slots=True)
class Books:
    """Who holds what on which node, kept as the events come."""

    by_node: dict[str, dict[tuple[Rank, str], Amounts]] = field(default_factory=dict)
    place: dict[tuple[Rank, str], str] = field(default_factory=dict)
    of_job: dict[str, set[Rank]] = field(default_factory=dict)

    def put(self, rank: Rank, source: str, node: str, held: Amounts) -> None:
        """A rank holds an amount on a node, by its status or by a pod."""
        self.drop(rank, source)
        self.by_node.setdefault(node, {})[rank, source] = held
        self.place[rank, source] = node
        if source == STATUS:
            self.of_job.setdefault(rank.job, set()).add(rank)

    def drop(self, rank: Rank, source: str) -> None:
        """It holds it no longer."""
        node = self.place.pop((rank, source), None)
        if node is not None:
            del self.by_node[node][rank, source]
            if source == STATUS:
                self.of_job[rank.job].discard(rank)

    def totals(self, node: str) -> dict[str, Amounts]:
        """Return per job what it holds on a node; a rank counts once, by its larger source."""
        ranks: dict[Rank, Amounts] = {}
        for (rank, _), held in self.by_node.get(node, {}).items():
            mine = ranks.setdefault(rank, {})
            for name, value in held.items():
                mine[name] = max(mine.get(name, value), value)
        jobs: dict[str, Amounts] = {}
        for rank, held in ranks.items():
            add(jobs.setdefault(rank.job, {}), held)
        return jobs


class Claims:
    """S2, at each event."""

    invariant = "S2"

    def __init__(self) -> None:
        self._books = Books()
        self._foreign: dict[str, dict[str, tuple[float, Amounts]]] = {}
        self._foreign_node: dict[str, str] = {}
        self._stops_since: dict[str, float] = {}
        """When a job came to its present Stopping, by uid,"""
        self._came: dict[str, float] = {}
        """and when a gang's pod came."""

    def see(self, event: Event, before: Object | None, world: World) -> Found:
        """See `replay.Check`."""
        if event.type == QUIET:
            return
        if event.kind == "TrainingJob":
            yield from self._see_job(event, before, world)
        elif event.kind == "Pod" and is_gang_pod(event.object):
            yield from self._see_pod(event, world)
        elif event.kind == "Pod":
            self._see_foreign(event)

    def _see_job(self, event: Event, before: Object | None, world: World) -> Found:
        phase = "" if event.type == "DELETED" else phase_of(event.object)
        was = None if before is None else phase_of(before)
        if phase == "Stopping":
            self._stops_since.setdefault(event.uid, event.at)
        if phase in ("Pending", "Suspended") and was not in (None, "Pending", "Suspended"):
            yield from self._released_too_early(event, world)
        if phase != "Stopping":
            self._stops_since.pop(event.uid, None)
        now = placement_of(event.object)
        if phase == was and before is not None and now == placement_of(before):
            return
        for rank in list(self._books.of_job.get(event.uid, ())):
            self._books.drop(rank, STATUS)
        if phase not in ("Starting", "Running") or now is None:
            return
        ended = {(rank_of(pod), born_of(pod)) for pod in world.pods_of.get(event.uid, {}).values() if is_terminal(pod)}
        made = {(rank_of(pod), born_of(pod)): pod for pod in world.pods_of.get(event.uid, {}).values()}
        templates = {role["name"]: pod_requests(role["template"]["spec"]) for role in event.object["spec"]["roles"]}
        touched = set()
        for rank, node, born in now.ranks(event.uid):
            if (rank, born) in ended:
                continue
            pod = made.get((rank, born))
            held = pod_requests(pod["spec"]) if pod is not None else templates.get(rank.role, {})
            self._books.put(rank, STATUS, node, held)
            touched.add(node)
        for node in sorted(touched):
            yield from self._overlaps(node, world)
            if phase == "Starting" and was != "Starting":
                yield from self._beside_foreign(node, event, world)

    def _see_pod(self, event: Event, world: World) -> Found:
        pod = event.object
        rank, node = rank_of(pod), pinned_to(pod)
        self._came.setdefault(event.uid, event.at)
        if event.type == "DELETED" or is_terminal(pod):
            self._books.drop(rank, event.uid)
            placement = world.placements.get(rank.job, {})
            latest = placement[max(placement)] if placement else None
            births = latest.born.get(rank.role, ()) if latest is not None else ()
            if rank.rank < len(births) and births[rank.rank] == born_of(pod):
                self._books.drop(rank, STATUS)
        elif not is_gated(pod) and node is not None and (rank, event.uid) not in self._books.place:
            self._books.put(rank, event.uid, node, pod_requests(pod["spec"]))
            yield from self._overlaps(node, world)

    def _see_foreign(self, event: Event) -> None:
        node = bound_to(event.object)
        if event.type == "DELETED" or is_terminal(event.object):
            past = self._foreign_node.pop(event.uid, None)
            if past is not None:
                del self._foreign[past][event.uid]
        elif node is not None and event.uid not in self._foreign_node:
            self._foreign_node[event.uid] = node
            self._foreign.setdefault(node, {})[event.uid] = (event.at, pod_requests(event.object["spec"]))

    def _overlaps(self, node: str, world: World) -> Found:
        """Two gangs with a gate open want more of a node than it has."""
        jobs = self._books.totals(node)
        if len(jobs) < 2 or node not in world.nodes:
            return
        total: Amounts = {}
        for held in jobs.values():
            add(total, held)
        for name, have in self._allocatable(node, world).items():
            if total.get(name, 0) > have and sum(name in held for held in jobs.values()) > 1:
                names = [_name(world, job) for job in sorted(jobs)]
                sentence = f"{' and '.join(names)} overlap on {node}: {name} {total[name]} of {have}"
                yield sentence, (node, *jobs)
                return

    def _beside_foreign(self, node: str, event: Event, world: World) -> Found:
        """A gang is started where pods that are not muster's have long taken the room."""
        if node not in world.nodes:
            return
        own: Amounts = {}
        for held in self._books.totals(node).values():
            add(own, held)
        others: Amounts = {}
        for since, held in self._foreign.get(node, {}).values():
            # A stranger who came a moment ago may not have been seen yet: kube-scheduler is the judge then.
            if since <= event.at - world.slack:
                add(others, held)
        for name, have in self._allocatable(node, world).items():
            if others.get(name) and own.get(name) and own[name] + others[name] > have:
                yield (
                    (
                        f"{title(event.object)} is started on {node}, where other pods hold {name} {others[name]} "
                        f"of {have} and it needs {own[name]}"
                    ),
                    (node, event.name, event.uid),
                )
                return

    def _released_too_early(self, event: Event, world: World) -> Found:
        holding = [
            pod["metadata"]["name"]
            for pod in world.pods_of.get(event.uid, {}).values()
            if not is_terminal(pod) and is_owned(pod) and not self._strayed_in(pod, event, world)
        ]
        if holding and not world.blind("Pod", event.rv):
            who = f"{title(event.object)} became {phase_of(event.object)}"
            shown = ", ".join(sorted(holding)[:5])
            yield f"{who} while {len(holding)} of its pods still hold something: {shown}", (event.name, event.uid)

    def _strayed_in(self, pod: Object, event: Event, world: World) -> bool:
        """A gated pod that came after the attempt was given up: its creation was on its way, and so may the release
        have been. Nobody will open its gate."""
        came = self._came[pod["metadata"]["uid"]]
        given_up = self._stops_since.get(event.uid)
        return is_gated(pod) and given_up is not None and came > max(given_up, event.at - world.slack)

    @staticmethod
    def _allocatable(node: str, world: World) -> Amounts:
        return amounts((world.nodes[node].get("status") or {}).get("allocatable"))


def _name(world: World, job: str) -> str:
    return title(world.jobs[job]) if job in world.jobs else f"a job that is gone ({job})"
