"""Runs a scenario file (architecture.md, "A scenario file") in a lane: `core` is the pure core on a virtual clock.

What a step may do is a method `do_<word>` of the lane; what it may expect of a job is an entry of `FACTS`. Times are
written `90s`, `+60s` (after the step before), `2m`, `500ms`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from tests.support import builders
from tests.support.builders import GPU
from tests.support.checker import Checker
from tests.support.corecluster import Cluster

from muster.core.lifecycle import placed
from muster.core.model import (
    FINISHED,
    ContainerEnd,
    Failure,
    FailureAction,
    FailureRule,
    Found,
    HealthAction,
    HealthRule,
    Job,
    Kind,
    Objective,
    OnFailure,
    Phase,
    Pod,
    Quota,
    Restart,
    RoleSpec,
    Segments,
    Stage,
    SuccessWhen,
    Taint,
    Toleration,
)
from muster.core.world import World
from muster.kube.hostlist import Malformed, expand, run_lengths

LANES = ("core", "sim")
"""Those that are built."""
QUIET = 600_000
"""`writesWhileQuiet` counts for this long (ms)."""
KEYS = {"shows", "world", "jobs", "steps", "always", "finally", "runs"}
ALL_LAWS = ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "table")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A parsed file."""

    name: str
    shows: str
    world: Mapping[str, Any]
    jobs: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    always: tuple[str, ...]
    quiet: int | None
    runs: tuple[str, ...]


def load(path: Path) -> Scenario:
    """Read a scenario file; a word that is not known is an error."""
    raw = yaml.safe_load(path.read_text())
    unknown = set(raw) - KEYS
    assert not unknown, f"{path.name}: {sorted(unknown)}"
    return Scenario(
        path.stem,
        raw["shows"],
        raw["world"],
        raw["jobs"],
        tuple(raw["steps"]),
        tuple(raw.get("always", ALL_LAWS)),
        raw.get("finally", {}).get("writesWhileQuiet"),
        tuple(raw.get("runs", LANES)),
    )


def ms(text: str) -> int:
    """`90s`, `2m`, `500ms` in milliseconds."""
    found = re.fullmatch(r"\+?(\d+)(ms|s|m|h)", str(text))
    assert found, f"{text!r} is no time"
    return int(found[1]) * {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}[found[2]]


# --- Jobs -------------------------------------------------------------------------------------------------------------

SECONDS = {
    "bindTimeoutSeconds": "bind_timeout",
    "startTimeoutSeconds": "start_timeout",
    "activeDeadlineSeconds": "active_deadline",
    "ttlSecondsAfterFinished": "ttl",
    "resetAfterSeconds": "reset_after",
    "failureGraceSeconds": "failure_grace",
    "lingerSeconds": "linger",
    "baseSeconds": "backoff_base",
    "maxSeconds": "backoff_max",
    "waitSeconds": "prefer_wait",
    "waitForRepairSeconds": "wait_for_repair",
    "quarantineSeconds": "quarantine",
}
NUMBERS = {
    "maxRestarts": "max_restarts",
    "maxDisruptions": "max_disruptions",
    "failedAttempts": "retain_attempts",
    "podsPerAttempt": "retain_pods",
}
GROUPS = {"failurePolicy", "successPolicy", "backoff", "podRetention"}
ROLE = {"name", "replicas", "gpus", "segments", "required", "preferred", "selector", "tolerates", "onFailure"}
SIMULATED = {"lasts", "gates"}


def build_job(name: str, spec: Mapping[str, Any]) -> Job:
    """A job from its words in a scenario: the fields of the API, a lone role's written beside the job's."""
    fields: dict[str, Any] = {}
    lone = {key: value for key, value in spec.items() if key in ROLE and key != "name"}
    roles = [_role(r) for r in spec.get("roles", [{"name": "worker", **lone}])]
    for key, value in spec.items():
        if key in GROUPS:
            fields |= _policy(value)
        elif key == "jobRequired":
            fields["required"] = value
        elif key == "preferred" and isinstance(value, dict):
            fields |= _policy({"waitSeconds": value.get("waitSeconds", 0)})
        elif key == "priorityClassName":
            fields["priority_class"] = value
        elif key in ("suspend", "gitops", "namespace"):
            fields[key] = value
        elif key not in ROLE | SIMULATED | {"roles"}:
            fields |= _policy({key: value})
    fields["roles_hash"] = repr(roles)
    return builders.job(name, *roles, **fields)


def _policy(words: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in words.items():
        if key in SECONDS:
            fields[SECONDS[key]] = value * 1000
        elif key in NUMBERS:
            fields[NUMBERS[key]] = value
        elif key == "restart":
            fields["restart"] = Restart(value)
        elif key == "nodeFailure":
            fields["repairs"] = value == "Repair"
        elif key == "unreachable":
            fields["replaces_unreachable"] = value.get("action", "Replace") == "Replace"
            fields["unreachable_after"] = value.get("afterSeconds", 60) * 1000
        elif key == "rules":
            fields["rules"] = tuple(_rule(rule) for rule in value)
        elif key == "when":
            fields["success_when"] = SuccessWhen(value)
        elif key == "roles":
            fields["success_roles"] = tuple(value)
        else:
            raise AssertionError(f"a job has no {key}")
    return fields


def _rule(words: Mapping[str, Any]) -> FailureRule:
    codes, said = words.get("onExitCodes", {}), words.get("onTerminationMessage", {})
    return FailureRule(
        action=FailureAction(words["action"]),
        counted=words.get("counted", True),
        container=codes.get("containerName", said.get("containerName", "")),
        operator=codes.get("operator", ""),
        codes=tuple(codes.get("values", ())),
        contains=said.get("contains", ""),
        conditions=tuple((c["type"], c.get("status", "True")) for c in words.get("onPodConditions", ())),
    )


def _health_rule(words: Mapping[str, Any]) -> HealthRule:
    (kind,) = {"condition", "label", "taint"} & set(words)
    after = words.get("afterSeconds", 0) * 1000
    return HealthRule(kind, words[kind], words.get("badWhen"), HealthAction(words["action"]), after)


def _role(words: Mapping[str, Any]) -> RoleSpec:
    unknown = set(words) - ROLE
    assert not unknown, f"a role has no {sorted(unknown)}"
    preferred = words.get("preferred")
    return builders.role(
        words["name"],
        words["replicas"],
        gpus=words.get("gpus", 1),
        segments=[Segments(s["level"], s.get("size", 0), tuple(s.get("sizes", ()))) for s in words.get("segments", ())],
        selector=words.get("selector"),
        tolerations=[Toleration(key, "Exists", "", "") for key in words.get("tolerates", ())],
        required=words.get("required"),
        preferred=preferred["level"] if isinstance(preferred, dict) else preferred,
        template=str(sorted(words.items(), key=str)),
        on_failure=OnFailure(words.get("onFailure", "RestartJob")),
    )


# --- What may be expected of a job ------------------------------------------------------------------------------------


def _ranks(job: Job) -> tuple[str, ...]:
    placement = job.status.placement
    return tuple(name for names in placement.nodes for name in names) if placement else ()


def _repair(job: Job) -> dict[str, Any]:
    """The last repair: what it did, and how many seconds (rounded) after the failure each stage was reached."""
    repair = job.status.last_repair
    if repair is None:
        return {}
    stages = {name: getattr(repair, name) for name in ("detected", "decided", "deleted", "created", "running")}
    took = {name: round((at - repair.failed) / 1000) for name, at in stages.items() if at is not None}
    return {"cause": repair.cause, "how": repair.how, "moved": repair.moved, "kept": repair.kept} | took


def _failures(job: Job) -> list[str]:
    last = job.status.last_failure
    return [f"{f.rank} {f.node} {f.exit_code}" for f in last.failures] if last is not None else []


FACTS: dict[str, Callable[[Job], Any]] = {
    "phase": lambda job: job.status.phase.value,
    "attempt": lambda job: job.status.attempt,
    "restarts": lambda job: job.status.restarts,
    "restartsInRow": lambda job: job.status.restarts_in_row,
    "disruptions": lambda job: job.status.disruptions,
    "startFailures": lambda job: job.status.start_failures.count,
    "live": lambda job: job.status.live,
    "relabelled": lambda job: bool(job.status.relabelled),
    "reason": lambda job: job.status.waiting.verdict.reason.value if job.status.waiting else None,
    "failure": lambda job: job.status.last_failure.reason if job.status.last_failure else None,
    "failures": _failures,
    "repair": _repair,
    "running": lambda job: sum(count.running for count in job.status.counts),
    "succeeded": lambda job: sum(count.succeeded for count in job.status.counts),
    "runningSeconds": lambda job: job.status.running_ms // 1000,
    "domains": lambda job: dict(job.status.placement.domains) if job.status.placement else {},
    "born": lambda job: run_lengths([b for role in job.status.placement.born for b in role]),
    "gangAttempt": lambda job: job.status.placement.gang_attempt if job.status.placement else None,
    "blamed": lambda job: {blame.node: blame.count for blame in job.status.blamed},
    "reserved": lambda job: job.status.reservation is not None,
    "observedGeneration": lambda job: job.status.observed_generation,
}


def _expanded(text: str) -> tuple[str, ...]:
    names = expand(text)
    assert not isinstance(names, Malformed), text
    return names


class CoreLane:
    """A scenario on tests.support.corecluster."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.cluster = Cluster()
        self.api = self.cluster.api
        self.before: dict[str, tuple[str, ...]] = {}
        self.phases: dict[str, list[str]] = {}
        self.read = 0
        self.jobs = {name: build_job(name, spec) for name, spec in scenario.jobs.items()}
        for name, spec in scenario.jobs.items():
            if "lasts" in spec:
                self.cluster.lasts[name] = ms(spec["lasts"])
            self.api.foreign_gates[name] = tuple(spec.get("gates", ()))
        self._build(scenario.world)

    def _build(self, world: Mapping[str, Any]) -> None:
        unknown = set(world) - {"topology", "racks", "nodes", "quotas", "priorityClasses", "served"}
        assert not unknown, sorted(unknown)
        self.cluster.operator.namespaces = frozenset(world.get("served", ()))
        levels = world.get("topology", {"levels": builders.LEVELS})
        rules = tuple(_health_rule(rule) for rule in levels["healthRules"]) if "healthRules" in levels else None
        names = levels.get("levels", builders.LEVELS)
        spec = builders.topology(names, boundary=levels.get("boundary", ()), health_rules=rules)
        self.api.put(Kind.TOPOLOGY, spec, "admin", "create")
        r = world.get("racks")
        nodes = builders.racks(r["count"], r["nodes"], per_leaf=r.get("perLeaf", 3), gpus=r.get("gpus", 4)) if r else []
        for words in world.get("nodes", ()):
            nodes.append(builders.node(words["name"], gpus=words.get("gpus", 4), labels=words.get("labels", {})))
        self.machines = {n.name: n for n in nodes}
        for node in nodes:
            self.api.put(Kind.NODE, node, "admin", "create")
        for name, value in world.get("priorityClasses", {}).items():
            self.api.put(Kind.PRIORITY_CLASS, builders.priority_class(name, value), "admin", "create")
        for name, hard in world.get("quotas", {}).items():
            amounts = builders.resources({GPU if key == "gpus" else key: n for key, n in hard.items()})
            quota = Quota("default", name, f"quota-{name}", 0, amounts, tuple((key, 0) for key, _ in amounts))
            self.api.put(Kind.QUOTA, quota, "admin", "create")

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """All steps, then the invariants over the whole history."""
        self.cluster.start()
        begun = self.api.now
        for number, step in enumerate(self.scenario.steps):
            where = f"{self.scenario.name}, step {number}: {dict(step)}"
            words = dict(step)
            at, until, expect = words.pop("at", None), words.pop("until", None), words.pop("expect", None)
            within = ms(words.pop("within", "60s"))
            if at is not None:
                target = (self.api.now if str(at).startswith("+") else begun) + ms(at)
                assert target >= self.api.now, f"{where}: that is in the past"
                self.cluster.run(within=target - self.api.now)
            self.before = {name: _ranks(job) for name, job in self._jobs()}
            for word, value in words.items():
                getattr(self, f"do_{word}")(value)
            if self.cluster.started:
                self.cluster.settle()
            if until is not None:
                held = self.cluster.run(until=lambda until=until: self._holds(until), within=within)
                assert held, f"{where}: not within {within} ms; {self._now_as()}"
            for name, facts in (expect or {}).items():
                self._expect(name, facts, where)
            self._note_phases(forget=True)
        self._judge()

    def _judge(self) -> None:
        if self.scenario.quiet is not None:
            written = len(self.api.history)
            self.cluster.run(within=QUIET)
            mine = [e for e in self.api.history[written:] if e.by.startswith("operator")]
            assert len(mine) == self.scenario.quiet, f"{self.scenario.name}: written while quiet: {mine}"
        broken = Checker(strict=True).feed(self.api.history).at_rest().violations
        told = [str(v) for v in broken if v.law in (*self.scenario.always, "table")]
        assert not told, f"{self.scenario.name}: " + "; ".join(told)

    def _jobs(self) -> Iterator[tuple[str, Job]]:
        for name, job in self.jobs.items():
            if job.id in self.api.jobs:
                yield name, self.api.jobs[job.id]

    def _now_as(self) -> str:
        return "; ".join(
            f"{name} is {job.status.phase.value}, {job.status.waiting or job.status.stopping or ''}"
            for name, job in self._jobs()
        )

    def _holds(self, wanted: Mapping[str, Any]) -> bool:
        return all(self._is(name, facts) for name, facts in wanted.items())

    def _is(self, name: str, facts: Any) -> bool:
        job = self.api.jobs.get(self.jobs[name].id)
        if facts == "gone":
            return job is None
        if isinstance(facts, str):
            facts = {"phase": facts}
        return job is not None and all(FACTS[key](job) == value for key, value in facts.items())

    def _note_phases(self, *, forget: bool = False) -> None:
        if forget:
            self.phases = {}
            self.read = len(self.api.history)
            return
        self.phases = {}
        for entry in self.api.history[: self.read]:
            if isinstance(entry.record, Job):
                self.phases[entry.record.name] = [entry.record.status.phase.value]
        for entry in self.api.history[self.read :]:
            if isinstance(entry.record, Job):
                seen = self.phases.setdefault(entry.record.name, [])
                if not seen or seen[-1] != entry.record.status.phase.value:
                    seen.append(entry.record.status.phase.value)

    def _known(self) -> World:
        """What the operator knows."""
        return self.cluster.operator.world

    def _expect(self, name: str, facts: Mapping[str, Any], where: str) -> None:
        if name == "pods":
            mine = [p for p in self.api.pods.values() if not p.id.startswith("foreign")]
            assert len(mine) == facts, f"{where}: {len(mine)} pods"
            return
        if name == "nodes":
            causes = {node: self._known().inventory.cause(node) for node in facts}
            assert causes == facts, f"{where}: {causes}"
            return
        if name == "avoided":
            assert self.api.topology is not None
            told = {one.node: one.jobs for one in self.api.topology.avoided}
            assert told == facts, f"{where}: {told}"
            return
        job = self.api.jobs.get(self.jobs[name].id)
        pods = [p for p in self.api.pods.values() if p.name.startswith(f"{name}-")]
        for key, value in facts.items():
            if key == "pods":
                found: Any = len(pods)
            elif key == "gates":
                found = sum(1 for p in pods if p.our_gate)
            elif job is None:
                raise AssertionError(f"{where}: {name} is gone")
            elif key == "ranks":
                found, value = _ranks(job), _expanded(value)
            elif key == "moved":
                was = self.before[name]
                found = {i: now for i, now in enumerate(_ranks(job)) if now != was[i]}
            elif key == "phases":
                self._note_phases()
                found = self.phases[name]
            elif key == "message":
                found = job.status.waiting.message if job.status.waiting else ""
                assert value in found, f"{where}: {name} says {found!r}"
                continue
            elif key == "told":
                found = job.status.last_failure.message if job.status.last_failure else ""
                assert value in found, f"{where}: {name} says {found!r}"
                continue
            else:
                found = FACTS[key](job)
            assert found == value, f"{where}: {key} of {name} is {found!r}"

    # --- words ------------------------------------------------------------------------------------------------------

    def _pod(self, text: str) -> Pod:
        """`llm/3`, or `llm/driver/0`: the newest pod of that rank."""
        name, *role, rank = text.split("/")
        wanted = role[0] if role else self.jobs[name].roles[0].name
        mine = [p for p in self.api.pods.values() if (p.job, p.role, p.rank) == (self.jobs[name].id, wanted, int(rank))]
        return max(mine, key=lambda p: p.born or 0)

    def do_apply(self, names: str | list[str]) -> None:
        for name in [names] if isinstance(names, str) else names:
            self.api.apply(self.jobs[name])

    def do_suspend(self, name: str) -> None:
        self.api.edit(self.jobs[name].id, suspend=True)

    def do_resume(self, name: str) -> None:
        self.api.edit(self.jobs[name].id, suspend=False)

    def do_edit(self, words: Mapping[str, Any]) -> None:
        ((name, changes),) = words.items()
        new = build_job(name, {**self.scenario.jobs[name], **changes})
        self.api.edit(new.id, roles=new.roles, roles_hash=new.roles_hash, policy=new.policy)

    def do_delete(self, words: Mapping[str, Any]) -> None:
        if "node" in words:
            self.api.drop(Kind.NODE, words["node"], "admin")
        elif "pod" in words:
            self.api.delete_pod(self._pod(words["pod"]).id, "user")
        elif "force" in words:
            self.api.drop(Kind.POD, self._pod(words["force"]).id, "user", force=True)
        elif "foreign" in words:
            (uid,) = [p.id for p in self.api.pods.values() if p.job is None and p.name == words["foreign"]]
            self.api.drop(Kind.POD, uid, "user")
        else:
            self.api.delete_job(self.jobs[words["job"]].id, words.get("propagation", "background"))

    def do_create(self, words: Mapping[str, Any]) -> None:
        machine = self.machines[words["node"]]
        self.api.put(Kind.NODE, replace(machine, uid=f"{machine.uid}-{self.api.rv}"), "admin", "create")

    def do_node(self, words: Mapping[str, Any]) -> None:
        known = self.api.nodes[words["name"]]
        changes: dict[str, Any] = {}
        for key, value in words.items():
            match key:
                case "name":
                    pass
                case "cordoned":
                    changes["cordoned"] = value
                case "unready":
                    changes["unready_since"] = self.api.now if value else None
                case "outOfService":
                    changes["out_of_service"] = value
                case "labels":
                    more = {key if "/" in key else builders.label(key): text for key, text in value.items()}
                    labels = {**known.labels, **more}
                    changes["labels"] = {key: text for key, text in labels.items() if text is not None}
                case "conditions":
                    changes["conditions"] = tuple((type_, status, self.api.now) for type_, status in value.items())
                case "cleared":
                    changes["cleared"] = self.api.now
                case "taints":
                    changes["taints"] = tuple(Taint(key, "", effect) for key, effect in value.items() if effect)
                case _:
                    raise AssertionError(f"a node has no {key}")
        self.api.set_node(words["name"], **changes)

    def do_foreign(self, words: Mapping[str, Any]) -> None:
        self.api.foreign(words["name"], words["node"], builders.asks(words.get("gpus", 0), words.get("cpu", 0)))

    def do_fail(self, words: Mapping[str, Any]) -> None:
        code = words.get("exitCode", 1)
        failure = Failure(
            exit_code=code,
            reason="Error",
            message=words.get("message", ""),
            finished_at=self.api.now,
            ends=(ContainerEnd(words.get("container", "trainer"), code, words.get("message", "")),),
            conditions=tuple((name, "True") for name in words.get("conditions", ())),
        )
        self.api.fail(self._pod(words["pod"]).id, failure)

    def do_finish(self, words: Mapping[str, Any]) -> None:
        if "pod" in words:
            self.api.finish(self._pod(words["pod"]).id)
            return
        for pod in list(self.api.pods.values()):
            if pod.job == self.jobs[words["job"]].id and pod.stage is Stage.RUNNING:
                self.api.finish(pod.id)

    def do_kubelet(self, words: Mapping[str, Any]) -> None:
        self.api.rejecting = set(words["refuses"])

    def do_trouble(self, words: Mapping[str, Any]) -> None:
        for name, said in words.items():
            if said is None:
                self.api.trouble.pop(name)
            else:
                self.api.trouble[name] = (said[0], said[1])

    def do_scheduler(self, words: Mapping[str, Any]) -> None:
        self.api.unbindable = dict(words["refuses"])

    def do_admission(self, words: Mapping[str, Any]) -> None:
        self.api.refusing = {name: (said[0], said[1]) for name, said in words["refuses"].items()}

    def do_delays(self, words: Mapping[str, Any]) -> None:
        self.cluster.delays |= {what: ms(text) for what, text in words.items()}

    def do_stuck(self, names: list[str]) -> None:
        """The workers of these jobs, and of no others, do not get through."""
        operator = self.cluster.operator
        operator.served |= operator.stuck
        operator.stuck = {self.jobs[name].id for name in names}

    def do_podDefaults(self, text: str) -> None:  # noqa: N802
        known = self.api.topology
        assert known is not None
        self.api.put(
            Kind.TOPOLOGY, replace(known, pod_defaults=text, generation=known.generation + 1), "admin", "patch"
        )

    def do_restart(self, _: Any) -> None:
        self.cluster.restart()

    def do_claims(self, words: Mapping[str, Any]) -> None:
        """Another leader, that knows of nothing, places jobs where it sees room: one of an earlier term, frozen until
        now, unless `term` says which."""
        term = words.get("term", "0")
        for name, ranks in ((name, ranks) for name, ranks in words.items() if name != "term"):
            job = self.api.jobs[self.jobs[name].id]
            assert job.status.phase not in FINISHED
            found = Found((_expanded(ranks),), Objective(0, 1, 1, (), 0), True, (), (), 0)
            world = self.cluster.operator.world
            status = placed(replace(job), found, term, world.roles_hash(job), self.api.now)
            assert status.phase is Phase.PLACED
            self.api.put(Kind.JOB, replace(job, status=status), "operator-0", "status", known=dict(self.api.nodes))
