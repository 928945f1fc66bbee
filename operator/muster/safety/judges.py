"""The checks S1 to S7 of the architecture, one class each; here S1, S3 and S7."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from muster.safety.judge_claims import Claims
from muster.safety.judge_constraints import Constraints
from muster.safety.judge_rest import NothingLeaks, NothingLost
from muster.safety.objects import (
    ACTIVE,
    FINISHED,
    Object,
    Placement,
    Rank,
    born_of,
    bound_to,
    has_stopped,
    is_gang_pod,
    is_gated,
    is_out_of_service,
    is_ready,
    is_silent,
    phase_of,
    placement_of,
    rank_of,
    title,
)
from muster.safety.record import QUIET, Event
from muster.safety.world import SLACK_SECONDS, Check, World

Found = Iterator[tuple[str, tuple[str, ...]]]
UNREACHABLE_SECONDS = 60
STRAY_SECONDS = 60
"""A machine that answers again has ended what the API does not show after so long."""


def all_checks() -> list[Check]:
    """Return fresh checks of all invariants."""
    return [AllOrNothing(), Claims(), OneAtATime(), Constraints(), NothingLost(), NothingLeaks(), Final()]


class AllOrNothing:
    """S1: no pod of an attempt leaves its gate before all n exist and Starting has been written."""

    invariant = "S1"

    def __init__(self) -> None:
        self._made: set[tuple[Rank, int]] = set()
        self._started: set[tuple[str, int]] = set()
        self._opened: set[tuple[str, int]] = set()

    def see(self, event: Event, before: Object | None, world: World) -> Found:
        """See `replay.Check`."""
        if event.type in (QUIET, "DELETED"):
            return
        if event.kind == "TrainingJob" and phase_of(event.object) in ("Starting", "Running"):
            self._started.add((event.uid, int(event.object["status"].get("attempt", 0))))
        if event.kind != "Pod" or not is_gang_pod(event.object):
            return
        pod = event.object
        self._made.add((rank_of(pod), born_of(pod)))
        opened = not is_gated(pod) and (before is None or is_gated(before))
        if not opened or event.listed or world.blind("Pod", event.rv) or world.blind("TrainingJob", event.rv):
            return
        if before is None:
            yield f"pod {event.name} was created without its gate", (event.name, rank_of(pod).job)
            return
        yield from self._at_opening(pod, event, world)

    def _at_opening(self, pod: Object, event: Event, world: World) -> Found:
        rank, born = rank_of(pod), born_of(pod)
        about = (event.name, rank.job)
        placement = _placement_with(world, rank, born)
        if placement is None:
            yield f"pod {event.name} left its gate, and no committed placement names {rank} born {born}", about
            return
        opening = (rank.job, placement.attempt)
        if opening not in self._started:
            yield f"pod {event.name} left its gate before Starting of attempt {placement.attempt} was written", about
        if opening in self._opened:
            return
        self._opened.add(opening)
        wanted = placement.ranks(rank.job)
        missing = [str(each) for each, _, own in wanted if (each, own) not in self._made]
        if missing:
            yield (
                (
                    f"pod {event.name} left its gate when {len(missing)} of the {len(wanted)} pods of attempt "
                    f"{placement.attempt} had never been made: {', '.join(missing[:5])}"
                ),
                about,
            )


def _placement_with(world: World, rank: Rank, born: int) -> Placement | None:
    """Return the latest committed placement in which this pod has its place."""
    for _, placement in sorted(world.placements.get(rank.job, {}).items(), reverse=True):
        births = placement.born.get(rank.role, ())
        if rank.rank < len(births) and births[rank.rank] == born:
            return placement
    return None


@dataclass(frozen=True, slots=True)
class _Ghost:
    """A pod that was taken out of the API on a silent node, made in this attempt."""

    node: str
    born: int
    given_up: bool
    """By the policy of that moment the machine had been silent for long enough."""


class OneAtATime:
    """S3: one pod a rank that may run; a pod taken out of the API on a silent node may still run."""

    invariant = "S3"

    def __init__(self) -> None:
        self._live: dict[Rank, dict[str, str]] = {}
        self._ghosts: dict[Rank, dict[str, _Ghost]] = {}
        self._silent_since: dict[str, float] = {}
        self._heard_since: dict[str, float] = {}

    def see(self, event: Event, before: Object | None, world: World) -> Found:
        """See `replay.Check`."""
        if event.type == QUIET:
            return
        if event.kind == "Node":
            self._hear(event)
        if event.kind != "Pod" or not is_gang_pod(event.object):
            return
        pod = event.object
        rank = rank_of(pod)
        live = self._live.setdefault(rank, {})
        node = bound_to(pod)
        if event.type == "DELETED" or node is None or has_stopped(pod):
            live.pop(event.uid, None)
            # The DELETED event carries the last record: if that had stopped, nothing is left to run.
            if (
                event.type == "DELETED"
                and node is not None
                and not has_stopped(pod)
                and is_silent(world.nodes.get(node))
            ):
                given_up = self._waited(rank, node, event.at, world)
                self._ghosts.setdefault(rank, {})[event.name] = _Ghost(node, born_of(pod), given_up)
            return
        new = event.uid not in live
        live[event.uid] = event.name
        if not new:
            return
        if len(live) > 1:
            yield (
                f"{rank} has {len(live)} pods that may run: {', '.join(sorted(live.values()))}",
                (
                    *live.values(),
                    rank.job,
                ),
            )
        yield from self._beside_ghosts(rank, event, world)

    def _waited(self, rank: Rank, node: str, at: float, world: World) -> bool:
        """The machine has been silent for as long as the job's policy asks for."""
        policy = _unreachable(world.jobs.get(rank.job))
        after = float(policy.get("afterSeconds", UNREACHABLE_SECONDS))
        silent = at - self._silent_since.get(node, at)
        return policy.get("action") != "Wait" and silent >= after - SLACK_SECONDS

    def _hear(self, event: Event) -> None:
        node = event.name
        if is_out_of_service(event.object):
            self._forget(node)
        if event.type != "DELETED" and not is_ready(event.object):
            self._silent_since.setdefault(node, event.at)
            if event.at - self._heard_since.pop(node, event.at) >= STRAY_SECONDS:
                self._forget(node)
            return
        self._silent_since.pop(node, None)
        if event.type == "DELETED":
            self._heard_since.pop(node, None)
            self._forget(node)
        else:
            self._heard_since.setdefault(node, event.at)

    def _forget(self, node: str) -> None:
        for ghosts in self._ghosts.values():
            for name in [name for name, ghost in ghosts.items() if ghost.node == node]:
                del ghosts[name]

    def _beside_ghosts(self, rank: Rank, event: Event, world: World) -> Found:
        ghosts = self._ghosts.get(rank, {})
        for name, ghost in list(ghosts.items()):
            node = ghost.node
            if not is_silent(world.nodes.get(node)):
                # Its kubelet ends what the API does not show; if it falls silent before it can have, we ask again.
                if event.at - self._heard_since.get(node, event.at) >= STRAY_SECONDS:
                    del ghosts[name]
                continue
            about = (event.name, name, node, rank.job)
            if not ghost.given_up and not self._waited(rank, node, event.at, world):
                silent = event.at - self._silent_since.get(node, event.at)
                yield (
                    f"{rank}: {event.name} is bound while {name} may still run on {node}, silent for {silent:.0f} s",
                    about,
                )
                continue
            # A process that was given up may come back: nobody may wait for it under its old name.
            placement = _placement_with(world, rank, born_of(event.object))
            if placement is not None and placement.gang_attempt <= ghost.born:
                gang = f"the gang of attempt {placement.gang_attempt}"
                yield f"{rank}: {event.name} meets {gang}, which {name} on the silent {node} may still join", about


def _unreachable(job: Object | None) -> dict[str, Any]:
    policy = ((job or {}).get("spec") or {}).get("failurePolicy") or {}
    return dict(policy.get("unreachable") or {})


class Final:
    """S7: finished is final; attempt and counters only grow; restarts in a row stay within their limit. An attempt
    begins with Placed or Repairing, one at a time, and is all that changes a placement."""

    invariant = "S7"
    counters = ("attempt", "restarts", "disruptions", "runningSeconds")

    def see(self, event: Event, before: Object | None, world: World) -> Found:
        """See `replay.Check`."""
        if event.kind != "TrainingJob" or event.type in (QUIET, "DELETED"):
            return
        name = title(event.object)
        about = (event.name, event.uid)
        now = event.object.get("status") or {}
        limit = ((event.object["spec"].get("failurePolicy")) or {}).get("maxRestarts", 10)
        if now.get("restartsInRow", 0) > limit:
            yield f"{name} has {now['restartsInRow']} restarts in a row, the limit is {limit}", about
        if before is None:
            return
        was = before.get("status") or {}
        if phase_of(before) in FINISHED and phase_of(event.object) != phase_of(before):
            yield f"{name} was {phase_of(before)} and became {phase_of(event.object)}", about
        for counter in self.counters:
            if now.get(counter, 0) < was.get(counter, 0):
                yield f"{name}: {counter} went from {was[counter]} to {now.get(counter, 0)}", about
        if not event.listed and not world.blind("TrainingJob", event.rv):
            yield from self._attempts(event, before)
        if (
            phase_of(before) in FINISHED
            and now.get("attempt", 0) != was.get("attempt", 0)
            and phase_of(event.object) in FINISHED
        ):
            yield f"{name} had finished and got attempt {now.get('attempt')}", about

    @staticmethod
    def _attempts(event: Event, before: Object) -> Found:
        """How one write may change the attempt."""
        name, about = title(event.object), (event.name, event.uid)
        was, now = (int((job.get("status") or {}).get("attempt", 0)) for job in (before, event.object))
        phase = phase_of(event.object)
        old, new = placement_of(before), placement_of(event.object)
        if now > was + 1:
            yield f"{name}: attempt went from {was} to {now} at once", about
        if now > was and phase not in ("Placed", "Repairing"):
            yield f"{name}: attempt {now} began as {phase}", about
        if phase in ("Placed", "Repairing") and phase != phase_of(before) and now == was:
            yield f"{name} became {phase} without a new attempt", about
        if phase == "Repairing" and phase_of(before) not in ("Starting", "Running", "Repairing"):
            yield f"{name} became Repairing from {phase_of(before)}", about
        if new is not None and old is not None and now == was and new != old:
            yield f"{name}: the placement of attempt {now} was changed", about
        if new is not None and new.attempt != now and phase in ACTIVE:
            yield f"{name} is in attempt {now} with the placement of attempt {new.attempt}", about
        if phase == "Repairing" and now > was and new is not None and old is not None:
            yield from _births(name, about, old, new)


def _births(name: str, about: tuple[str, ...], old: Placement, new: Placement) -> Found:
    """A repair makes anew whoever moves, and leaves every other pod its birth or makes it anew."""
    for role, nodes in new.nodes.items():
        for number, node in enumerate(nodes):
            born, was = new.born[role][number], old.born.get(role, ())[number : number + 1]
            if born != new.attempt and (was != (born,) or old.nodes[role][number] != node):
                yield f"{name}: {role}/{number} on {node} was not made in attempt {born}", about
                return
    if new.gang_attempt not in (old.gang_attempt, new.attempt):
        yield f"{name}: attempt {new.attempt} names {new.gang_attempt} as that of its gang", about
    everyone = {born for births in new.born.values() for born in births}
    if new.gang_attempt == new.attempt and everyone != {new.attempt}:
        yield f"{name}: attempt {new.attempt} gives a gang of its own to pods of attempt {min(everyone)}", about
