"""Counters and histograms of what happens, and the registry of everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest

from muster.core.model import Change, Gone, Job, Kind, LastRepair, Leading, Phase, Plan, Upsert
from muster.core.world import World
from muster.telemetry.gauges import WorldGauges, accelerators, nodes_bucket

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600)
_RECOVERIES = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 90, 120, 300, 600, 1800, 3600)
_STAGES = ("detected", "decided", "deleted", "created", "running")

# A second series for each counter and histogram, which nobody asked for.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Telemetry:
    """All metrics of a process. Methods are called on the event loop. `serves` says of a namespace whether its jobs are
    served; the others are counted by whoever serves them."""

    def __init__(self, serves: Callable[[str], bool] = lambda _namespace: True) -> None:
        self._serves = serves
        self.registry = registry = CollectorRegistry()
        self._leading = False
        self._jobs: dict[str, _Seen] = {}
        self._measured_at: int | None = None
        self.queue_wait = Histogram(
            "muster_queue_wait_seconds",
            "From a job's entry into the queue to the commit of its placement",
            ["nodes_bucket"],
            buckets=_WAITS,
            registry=registry,
        )
        self.restarts = Counter(
            "muster_restarts",
            "Attempts that ended before success, by cause (failure | disruption | start; rule: not counted, by a rule)",
            ["cause"],
            registry=registry,
        )
        self.recovery = Histogram(
            "muster_recovery_seconds",
            "From a failure's own time to each stage of the repair or restart in place (detected | decided | deleted | "
            "created | running), by cause (node | disruption | failure)",
            ["stage", "cause"],
            buckets=_RECOVERIES,
            registry=registry,
        )
        self.moved = Counter(
            "muster_ranks_moved", "Ranks that changed their node in repairs in place", registry=registry
        )
        self.gpu_seconds = Counter(
            "muster_gpu_seconds", "Accelerator time, by what it was used for", ["state"], registry=registry
        )
        self.plan_seconds = Histogram(
            "muster_plan_seconds", "One pass of the planner", buckets=_SECONDS, registry=registry
        )
        self.transitions = Counter(
            "muster_transitions", "Decisions, by the row of the table", ["cause"], registry=registry
        )
        self.commit_seconds = Histogram(
            "muster_commit_seconds", "From a decision to its outcome", ["outcome"], buckets=_SECONDS, registry=registry
        )
        self.api_seconds = Histogram(
            "muster_api_seconds",
            "One request to the API server",
            ["verb", "kind", "outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.writes = Counter(
            "muster_writes", "Writes to the API server", ["kind", "verb", "outcome"], registry=registry
        )
        self.relists = Counter("muster_relists", "Full lists", ["kind", "outcome"], registry=registry)
        self.kopf_starts = Counter("muster_kopf_starts", "How often kopf was started", registry=registry)
        self.defects = Counter("muster_defects", "Programming errors that were contained", ["where"], registry=registry)
        self.leader = Gauge("muster_leader", "1 while this replica leads", registry=registry)
        self.inbox_lag = Histogram(
            "muster_inbox_lag_seconds", "How long news waited for the loop", buckets=_SECONDS, registry=registry
        )

    def watch_world(self, world: World, lag: Callable[[], Mapping[str, float]] = dict) -> None:
        """Have the gauges computed from this world at each scrape; `lag` gives the seconds since each kind's watch was
        last heard."""
        self.registry.register(WorldGauges(world, lag))

    # --- what happens -----------------------------------------------------------------------------------------------

    def api(self, verb: str, kind: str, seconds: float, outcome: str) -> None:
        """One request was answered (or not); the signature of kube.client.Observe."""
        self.api_seconds.labels(verb, kind, outcome).observe(seconds)
        if verb not in ("get", "list", "watch"):
            self.writes.labels(kind, verb, outcome).inc()

    def applied(self, _changes: int, lag: float) -> None:
        """A batch went into the world, its oldest change after waiting for `lag` seconds."""
        self.inbox_lag.observe(lag)

    def planned(self, seconds: float, plan: Plan) -> None:
        """The planner ran."""
        self.plan_seconds.observe(seconds)
        for transition in plan.transitions:
            self.transitions.labels(transition.cause).inc()

    def settled(self, outcome: str, seconds: float) -> None:
        """A decision was committed, lost or refused, so long after it was made."""
        self.commit_seconds.labels(outcome).observe(seconds)

    def defect(self, where: str) -> None:
        """A programming error was contained."""
        self.defects.labels(where).inc()

    def listed(self, kind: Kind, ok: bool) -> None:
        """A full list was read."""
        self.relists.labels(kind.value, "ok" if ok else "failed").inc()

    def change(self, change: Change) -> None:
        """What passed the door: counts from the difference of each job's status."""
        match change:
            case Upsert(Job() as job) if self._serves(job.namespace):
                seen = _Seen.of(job)
                before, self._jobs[job.id] = self._jobs.get(job.id), seen
                if before is not None and self._leading:
                    self._count(before, seen, job)
            case Gone(Kind.JOB, id_):
                self._jobs.pop(id_, None)
            case Leading(term):
                self._leading = term is not None
                self.leader.set(1 if self._leading else 0)
            case _:
                pass

    def _count(self, before: _Seen, after: _Seen, job: Job) -> None:
        for cause in ("failure", "disruption", "start"):
            more = getattr(after, cause) - getattr(before, cause)
            if more > 0:
                self.restarts.labels(cause).inc(more)
        self._count_repair(before, after)
        if before.phase is Phase.PENDING and after.phase is Phase.PLACED and after.since is not None:
            since = before.since if before.since is not None else job.created
            self.queue_wait.labels(nodes_bucket(after.pods)).observe(max(0, after.since - since) / 1000)

    def _count_repair(self, before: _Seen, after: _Seen) -> None:
        """The stages that a repair has come to, each counted when it is told."""
        repair, known = after.repair, before.repair
        if repair is None or repair == known:
            return
        if known is None or known.attempt != repair.attempt:
            known = None
            self.moved.inc(repair.moved)
            if repair.cause == "failure" and after.failure == before.failure:
                self.restarts.labels("rule").inc()
        for stage in _STAGES:
            at: int | None = getattr(repair, stage)
            if at is not None and (known is None or getattr(known, stage) is None):
                self.recovery.labels(stage, repair.cause).observe(max(0, at - repair.failed) / 1000)

    def measure(self, world: World, now: int) -> None:
        """Add up accelerator time since the last call (ms, monotonic); call it every few seconds while leading."""
        before, self._measured_at = self._measured_at, now
        if before is None or not self._leading:
            return
        for state, amount in accelerators(world).items():
            self.gpu_seconds.labels(state).inc(amount * (now - before) / 1000)

    def render(self) -> bytes:
        """The exposition of everything."""
        return generate_latest(self.registry)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is remembered of a job to count the next difference."""

    phase: Phase
    since: int | None
    failure: int
    disruption: int
    start: int
    pods: int
    repair: LastRepair | None

    @classmethod
    def of(cls, job: Job) -> _Seen:
        s = job.status
        pods = sum(role.count for role in job.roles)
        return cls(s.phase, s.phase_since, s.restarts, s.disruptions, s.start_failures.count, pods, s.last_repair)
