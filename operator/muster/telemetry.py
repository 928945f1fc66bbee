"""Prometheus metrics in a registry of their own, and the small HTTP server for them and for the probes.

No label names a job (api.md, Metrics). What counts decisions is counted by the leader alone, or two replicas would add
up to twice of everything; gauges of the world are computed when they are scraped.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from muster.core.inventory import BLAMED, CAUSES, HELD
from muster.core.model import Change, Committed, Gone, Job, Kind, LastRepair, Leading, Phase, Plan, Upsert
from muster.core.world import World

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600)
_BUCKETS = (1, 4, 16, 64, 256, 1024)
_RECOVERIES = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 90, 120, 300, 600, 1800, 3600)
_STAGES = ("detected", "decided", "deleted", "created", "running")
_STATES = {
    Phase.RUNNING: "running",
    Phase.PLACED: "starting",
    Phase.STARTING: "starting",
    Phase.STOPPING: "starting",
    Phase.REPAIRING: "repairing",
}


# A second series for each counter and histogram, which nobody asked for.
disable_created_metrics()  # type: ignore[no-untyped-call]


def nodes_bucket(pods: int) -> str:
    """The size class of a gang, by pods (one a node, where gangs are large): `1`, `2-4`, `5-16`, ... `1025+`."""
    least = 1
    for most in _BUCKETS:
        if pods <= most:
            return str(most) if least == most else f"{least}-{most}"
        least = most + 1
    return f"{least}+"


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
        self.registry.register(_WorldGauges(world, lag))

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


def accelerators(world: World) -> dict[str, int]:
    """Accelerators by state: `running`, `starting` and `repairing` of live claims (the last until all pods run again),
    `reserved` for the nodes kept for gangs that wait for a replacement, `idle` for what no claim of ours holds on nodes
    that take part (so it contains what other people's pods use)."""
    names = set(world.topology.accelerators)
    held: Tally[str] = Tally({"running": 0, "starting": 0, "repairing": 0, "reserved": 0, "idle": 0})
    for job in world.jobs():
        if not isinstance(job, Job) or not world.serves(job.namespace):
            continue
        each = [sum(n for name, n in role.requests if name in names) for role in job.roles]
        if job.status.live:
            held[_state(job.status)] += sum(role.count * n for role, n in zip(job.roles, each, strict=True))
        elif (kept := job.status.reservation) is not None:
            # The spec may have got other roles meanwhile.
            ranks = [len(nodes) for nodes in kept.nodes]
            for role, _ in kept.lost:
                ranks[role] -= 1
            held["reserved"] += sum(count * n for count, n in zip(ranks, each, strict=False))
    total = sum(n for node in world.nodes.values() for name, n in node.allocatable if name in names)
    held["idle"] = max(0, total - held.total())
    return dict(held)


def _state(status: Committed) -> str:
    repair = status.last_repair
    if status.phase is Phase.STARTING and repair is not None and repair.attempt == status.attempt:
        return "repairing"
    return _STATES.get(status.phase, "starting")


class _WorldGauges(Collector):
    """What can be read off the world whenever somebody asks."""

    def __init__(self, world: World, lag: Callable[[], Mapping[str, float]]) -> None:
        self._world = world
        self._lag = lag

    def describe(self) -> Iterable[Metric]:
        """Nothing is collected at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One pass over the jobs that are served."""
        waiting: Tally[tuple[str, str]] = Tally()
        excess: Tally[str] = Tally()
        phases: Tally[str] = Tally({phase.value: 0 for phase in Phase})
        for job in self._world.jobs():
            if not self._world.serves(job.namespace):
                continue
            status = job.status
            phases[status.phase.value] += 1
            if status.phase is Phase.PENDING:
                reason = status.waiting.verdict.reason.value if status.waiting is not None else "Unjudged"
                pods = sum(role.count for role in job.roles) if isinstance(job, Job) else 1
                waiting[reason, nodes_bucket(pods)] += 1
            for level, n in _excess(status):
                excess[level] += n
        yield _family("muster_jobs", "TrainingJobs by phase", ["phase"], {(p,): n for p, n in phases.items()})
        yield _family("muster_waiting_jobs", "Jobs in the queue by why they wait", ["reason", "nodes_bucket"], waiting)
        yield _family(
            "muster_excess_domains",
            "Domains that live gangs touch beyond the least that the empty cluster would need",
            ["level"],
            {(level,): n for level, n in excess.items()},
        )
        inventory = self._world.inventory
        bad: Tally[str] = Tally(dict.fromkeys((CAUSES[BLAMED], CAUSES[HELD], *inventory.rulebook.causes), 0))
        for node in self._world.nodes:
            if (cause := inventory.cause(node)) in bad:
                bad[cause] += 1
        yield _family(
            "muster_nodes_blamed",
            "Nodes that get no new pods for their health rule, their flapping, or the blame of several jobs",
            ["cause"],
            {(cause,): n for cause, n in bad.items()},
        )
        lag = {(kind,): seconds for kind, seconds in self._lag().items()}
        yield _family("muster_cache_lag_seconds", "Since the watch of a kind was last heard", ["kind"], lag)


def _excess(status: Committed) -> Iterator[tuple[str, int]]:
    if not status.live or status.placement is None:
        return
    least = dict(status.placement.least)
    for level, touched in status.placement.domains:
        yield level, max(0, touched - least.get(level, touched))


def _family(name: str, text: str, labels: list[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for labelled, value in sorted(values.items()):
        family.add_metric(labelled, value)
    return family


# --- HTTP -----------------------------------------------------------------------------------------------------------


class Endpoints:
    """`/metrics` on one port, `/healthz` and `/readyz` on another (one server if they are the same); 0 is off.

    `healthy` and `ready` give "" when all is well, else what is wrong in one line.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        host: str | None,
        metrics_port: int,
        probe_port: int,
        healthy: Callable[[], str],
        ready: Callable[[], str],
    ) -> None:
        self._telemetry = telemetry
        self._host = host
        self._metrics_port = metrics_port
        self._probe_port = probe_port
        self._healthy = healthy
        self._ready = ready
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Listen. Raises OSError if a port is taken."""
        routes: dict[int, list[web.RouteDef]] = {}
        if self._metrics_port:
            routes.setdefault(self._metrics_port, []).append(web.get("/metrics", self._metrics))
        if self._probe_port:
            probes = [web.get("/healthz", self._probe(self._healthy)), web.get("/readyz", self._probe(self._ready))]
            routes.setdefault(self._probe_port, []).extend(probes)
        for port, handlers in routes.items():
            app = web.Application()
            app.add_routes(handlers)
            runner = web.AppRunner(app, access_log=None, handle_signals=False)
            await runner.setup()
            self._runners.append(runner)
            await web.TCPSite(runner, self._host, port).start()

    async def stop(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._telemetry.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @staticmethod
    def _probe(check: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_request: web.Request) -> web.StreamResponse:
            wrong = check()
            return web.Response(text=(wrong or "ok") + "\n", status=503 if wrong else 200)

        return answer
