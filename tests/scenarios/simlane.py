"""The lane `sim`: a scenario with the whole operator on the embedded cluster, in simulated time.

`SimApi` shows the cluster as `tests.support.corecluster` shows its own, so that the words of `runner.CoreLane` about
what is expected hold here too: jobs by name, pods by uid, a history of records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from tests.scenarios.runner import QUIET, CoreLane, Scenario, build_job, ms
from tests.support import builders
from tests.support.builders import GPU

from muster import safety
from muster.core.lifecycle import placed
from muster.core.model import Found, Job, Objective, Pod, Record, TopologySpec
from muster.core.world import World as Knows
from muster.embedded.nodes.podlife import PREFIX, Delays
from muster.embedded.storage.store import ADDED, MODIFIED, Event, Table
from muster.kube import parse, status
from muster.kube.hostlist import expand
from muster.kube.paths import split
from muster.kube.quantity import Malformed
from muster.kube.transport import Request, Response
from muster.sim.deeds import TOPOLOGIES, Deeds, Object
from muster.sim.faulty import channel_of, refusal
from muster.sim.loop import NOBODY
from muster.sim.plan import Fault
from muster.sim.world import Site, World

OPERATOR = {"leader_elect": False}
"""A scenario's operator leads from its first moment, and again as soon as it was restarted."""
UNREADY_AT_ONCE = 0
WARM_UP = 3.0
"""Seconds until the caches are warm and the first status of the topology is written."""
TRAINER = "trainer"
"""The container that asks for the accelerators."""
SETTLING = 2.0
"""Seconds in which what is expected may still come about: counts in a status are written once a second."""
REPORTING = 0.1
"""Seconds until a node says what has become of its machine."""
LAST_WORDS = 45_000
"""ms, before a cluster counts as quiet: the status of the topology is written every half minute."""
OWN_LAWS = {"S1", "S2", "S3", "S4", "S5", "S6", "S7"}


@dataclass(frozen=True, slots=True)
class Entry:
    record: Record | None
    by: str


@dataclass(frozen=True, slots=True)
class Named:
    """A job of the scenario; here it is known by its name."""

    id: str
    roles: tuple[Any, ...]


class Hands:
    """What the scenario does to requests: those of stuck jobs, and those that admission refuses."""

    def __init__(self) -> None:
        self.stuck: set[str] = set()
        self.refusing: dict[str, tuple[str, str]] = {}

    def request(self, channel: str, number: int, request: Request) -> Fault | Response | None:
        if request.method != "POST" or split(request.path)[0] not in ("pods", "services"):
            return None
        made = msgspec.json.decode(request.body or b"{}")
        job = made["metadata"].get("labels", {}).get("muster.dev/job-name", "")
        if job in self.refusing:
            return refusal(
                403, request, f'pods "{made["metadata"].get("name", "")}" is forbidden: {self.refusing[job][1]}'
            )
        if job in self.stuck and channel_of(request) == "write":
            return refusal(503, request)
        return None

    def event(self, channel: str, number: int, line: bytes) -> Fault | None:
        return None


class Scheduler:
    """The scheduler of the embedded cluster, that takes its time."""

    def __init__(self, binder: Any, now: Callable[[], int]) -> None:
        self._binder = binder
        self._now = now
        self._not_before = 0
        self.delay = 0

    def ungated(self) -> None:
        self._not_before = self._now() + self.delay

    def step(self, now: int, most: int | None) -> int | None:
        if now < self._not_before:
            return self._not_before
        found: int | None = self._binder.step(now, most)
        return found


class SimApi:
    """The API of a world, in the words of the core cluster's."""

    def __init__(self, world: World, deeds: Deeds) -> None:
        self._world = world
        self._deeds = deeds
        self._read: list[Entry] = []

    @property
    def now(self) -> int:
        return self._world.wall()

    @property
    def jobs(self) -> dict[str, Job]:
        found = [parse.job(msgspec.json.encode(each)) for each in self._deeds.jobs()]
        assert all(isinstance(job, Job) for job in found), found
        return {job.name: replace(job, id=job.name) for job in found if isinstance(job, Job)}

    @property
    def pods(self) -> dict[str, Pod]:
        found = {}
        for each in self._deeds.pods():
            pod = parse.pod(msgspec.json.encode(each))
            labels = each["metadata"].get("labels", {})
            # An orphan is not a foreigner, though it names no job as its owner.
            name = labels.get("muster.dev/job-name")
            found[pod.id] = replace(pod, job=name) if name else replace(pod, id=f"foreign-{pod.id}", job=None)
        return found

    @property
    def topology(self) -> TopologySpec | None:
        body = self._deeds.find(f"{TOPOLOGIES}/default")
        return parse.topology(msgspec.json.encode(body)) if body is not None else None

    @property
    def history(self) -> list[Entry]:
        for each in self._world.record.written[len(self._read) :]:
            record = None
            if each.kind == "TrainingJob" and each.type != "DELETED":
                record = parse.job(each.data)
            self._read.append(Entry(record, each.by))
        return self._read


class SimCluster:
    """The world, moved as the core cluster is."""

    started = True

    def __init__(self, world: World) -> None:
        self._world = world

    def start(self) -> None:
        self._world.start()
        self._world.run(WARM_UP)

    def settle(self) -> None:
        """Nothing is instant here."""

    def run(self, until: Callable[[], bool] | None = None, within: int = 0) -> bool:
        if until is None:
            self._world.run(within / 1000)
            return True
        return self._world.until(until, within / 1000)


class SimLane(CoreLane):
    """A scenario on muster.sim."""

    def __init__(self, scenario: Scenario) -> None:
        self.hands = Hands()
        site = Site(racks=None, delays=Delays(1.0, 1.0), options=OPERATOR, grace_ms=UNREADY_AT_ONCE)
        self.world = World(site, choosers={0: self.hands})
        self.world.seats[0].restart_after = 0.1
        self.deeds = Deeds(self.world)
        self.scheduler = Scheduler(self.world.cluster.binder, self.world.wall)
        self.world.cluster.binder = self.scheduler  # type: ignore[assignment]
        self.refusing_nodes: set[str] = set()
        self.trouble: dict[str, tuple[str, str]] = {}
        self._before = self.world.server.store.on_event
        self.world.server.store.on_event = self._wrote
        self.scenario = scenario
        self.cluster = SimCluster(self.world)  # type: ignore[assignment]
        self.api = SimApi(self.world, self.deeds)  # type: ignore[assignment]
        self.before, self.phases, self.read = {}, {}, 0
        built = {name: build_job(name, spec) for name, spec in scenario.jobs.items()}
        self.jobs = {name: Named(name, job.roles) for name, job in built.items()}  # type: ignore[misc]
        assert not any("gates" in spec for spec in scenario.jobs.values()), "no webhook here adds gates"
        self._build(scenario.world)

    def run(self) -> None:
        with self.world:
            super().run()

    # --- the world --------------------------------------------------------------------------------------------------

    def _build(self, world: Mapping[str, Any]) -> None:
        words = world.get("topology", {"levels": builders.LEVELS})
        levels = [
            {"name": name, "nodeLabel": builders.label(name)}
            | ({"boundary": True} if name in words.get("boundary", ()) else {})
            for name in words.get("levels", builders.LEVELS)
        ]
        spec: Object = {"preset": "Custom", "levels": levels}
        if "healthRules" in words:
            spec["healthRules"] = words["healthRules"]
        meta = {"name": "default"}
        body = {"apiVersion": "muster.dev/v1alpha1", "kind": "ClusterTopology", "metadata": meta, "spec": spec}
        self.deeds.call("POST", TOPOLOGIES, body)
        r = world.get("racks")
        nodes = builders.racks(r["count"], r["nodes"], per_leaf=r.get("perLeaf", 3), gpus=r.get("gpus", 4)) if r else []
        nodes += [
            builders.node(each["name"], gpus=each.get("gpus", 4), labels=each.get("labels", {}))
            for each in world.get("nodes", ())
        ]
        self.machines = {node.name: _machine(node) for node in nodes}  # type: ignore[misc]
        for machine in self.machines.values():
            self.deeds.add_node(machine)  # type: ignore[arg-type]
        for name, value in world.get("priorityClasses", {}).items():
            head = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
            body = head | {"value": value, "preemptionPolicy": "Never"}
            self.deeds.call("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body)
        for name, hard in world.get("quotas", {}).items():
            amounts = {f"requests.{GPU}" if key == "gpus" else key: str(n) for key, n in hard.items()}
            head = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}}
            self.deeds.call("POST", "/api/v1/namespaces/default/resourcequotas", head | {"spec": {"hard": amounts}})

    def _wrote(self, table: Table, event: Event) -> None:
        self._before(table, event)
        if table.kind.kind == "Pod" and event.type == ADDED:
            self.world.loop.call_soon(self._steer, event.entry.name, context=NOBODY)
        if table.kind.kind == "Pod" and event.type == MODIFIED and self.scheduler.delay:
            gated = b'"schedulingGates"'
            if event.old is not None and gated in event.old.data and gated not in event.entry.data:
                self.scheduler.ungated()

    def _steer(self, name: str) -> None:
        """Tell the kubelets what a new pod is to do."""
        pod = self.deeds.find(f"/api/v1/namespaces/default/pods/{name}")
        if pod is None:
            return
        job = pod["metadata"].get("labels", {}).get("muster.dev/job-name", "")
        wishes: dict[str, str] = {}
        if job in self.trouble:
            wishes |= {"image-pull-backoff": "true", "message": self.trouble[job][1]}
        if parse.pod(msgspec.json.encode(pod)).pinned in self.refusing_nodes:
            wishes["refuse"] = "UnexpectedAdmissionError"
        if wishes:
            annotations = {f"{PREFIX}{key}": value for key, value in wishes.items()}
            path = f"/api/v1/namespaces/default/pods/{name}"
            kind = "application/merge-patch+json"
            self.deeds.call("PATCH", path, {"metadata": {"annotations": annotations}}, kind)

    # --- judging ----------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        name = self.scenario.name
        if self.scenario.quiet is not None:
            self.cluster.run(within=LAST_WORDS)
            written = len(self.world.record.written)
            self.cluster.run(within=QUIET)
            mine = [each for each in self.world.record.since(written, "op") if each.kind not in ("Lease", "Event")]
            assert len(mine) == self.scenario.quiet, f"{name}: written while quiet: {mine}"
        history = self.world.record.history(quiet=True)
        found = [each for each in safety.judge(history) if each.invariant in {*self.scenario.always} & OWN_LAWS]
        assert not found, f"{name}: {safety.report(found, history)}"
        assert not self.world.journal.defects
        assert not self.world.loop.problems

    def _known(self) -> Knows:
        app = self.world.seats[0].app
        assert app is not None
        return app.world

    def _expect(self, name: str, facts: Mapping[str, Any], where: str) -> None:
        def holds() -> bool:
            try:
                super(SimLane, self)._expect(name, facts, where)
            except AssertionError:
                return False
            return True

        self.world.until(holds, SETTLING if name != "avoided" else LAST_WORDS / 1000)
        super()._expect(name, facts, where)

    # --- words ------------------------------------------------------------------------------------------------------

    def do_apply(self, names: str | list[str]) -> None:
        for name in [names] if isinstance(names, str) else names:
            if name != names and name != names[0]:
                self.world.run(1.0)  # the API tells no two ages apart that lie in one second
            self.deeds.apply(manifest(name, self.scenario.jobs[name]))

    def do_suspend(self, name: str) -> None:
        self.deeds.edit(name, {"suspend": True})

    def do_resume(self, name: str) -> None:
        self.deeds.edit(name, {"suspend": False})

    def do_edit(self, words: Mapping[str, Any]) -> None:
        ((name, changes),) = words.items()
        self.deeds.edit(name, manifest(name, {**self.scenario.jobs[name], **changes})["spec"])

    def do_delete(self, words: Mapping[str, Any]) -> None:
        if "node" in words:
            self.deeds.delete_node(words["node"])
        elif "pod" in words:
            self.deeds.delete_pod(self._pod(words["pod"]).name)
        elif "force" in words:
            self.deeds.delete_pod(self._pod(words["force"]).name, 0)
        elif "foreign" in words:
            self.deeds.delete_pod(words["foreign"], 0)
        else:
            self.deeds.delete_job(words["job"], words.get("propagation", "background").capitalize())

    def do_create(self, words: Mapping[str, Any]) -> None:
        self.deeds.add_node(self.machines[words["node"]])  # type: ignore[arg-type]

    def do_node(self, words: Mapping[str, Any]) -> None:
        name = words["name"]
        for key, value in words.items():
            match key:
                case "name":
                    pass
                case "cordoned":
                    self.deeds.cordon(name, value)
                case "unready":
                    self.deeds.power(name, not value)
                    self.world.run(REPORTING)
                case "outOfService":
                    self.deeds.taint(name, "node.kubernetes.io/out-of-service", "NoExecute" if value else None)
                case "labels":
                    full = {key if "/" in key else builders.label(key): text for key, text in value.items()}
                    self.deeds.relabel(name, full)
                case "conditions":
                    for condition, status_ in value.items():
                        self.deeds.condition(name, condition, status_)
                case "cleared":
                    self.deeds.clear_blame(name)
                case "taints":
                    for known in self.deeds.call("GET", f"/api/v1/nodes/{name}")["spec"].get("taints") or ():
                        self.deeds.taint(name, known["key"], None)
                    for taint, effect in value.items():
                        self.deeds.taint(name, taint, effect)
                case _:
                    raise AssertionError(f"a node has no {key}")

    def do_foreign(self, words: Mapping[str, Any]) -> None:
        self.deeds.foreign(words["name"], words["node"], words.get("gpus", 0), words.get("cpu", 0))

    def do_fail(self, words: Mapping[str, Any]) -> None:
        name = self._pod(words["pod"]).name
        for condition in words.get("conditions", ()):
            self.deeds.pod_condition(name, condition)
        self.deeds.end(
            name, words.get("exitCode", 1), words.get("message", ""), container=words.get("container", TRAINER)
        )

    def do_finish(self, words: Mapping[str, Any]) -> None:
        if "pod" in words:
            self.deeds.end(self._pod(words["pod"]).name)
            return
        for pod in self.deeds.pods(words["job"]):
            if pod["status"].get("phase") == "Running":
                self.deeds.end(pod["metadata"]["name"])

    def do_kubelet(self, words: Mapping[str, Any]) -> None:
        self.refusing_nodes = set(words["refuses"])

    def do_trouble(self, words: Mapping[str, Any]) -> None:
        for name, said in words.items():
            if said is None:
                self.trouble.pop(name)
            else:
                assert said[0] == "ImagePullBackOff", "the kubelets know no other trouble"
                self.trouble[name] = (said[0], said[1])

    def do_scheduler(self, words: Mapping[str, Any]) -> None:
        raise AssertionError("the embedded scheduler refuses nothing of its own accord")

    def do_admission(self, words: Mapping[str, Any]) -> None:
        self.hands.refusing = {name: (said[0], said[1]) for name, said in words["refuses"].items()}

    def do_delays(self, words: Mapping[str, Any]) -> None:
        seconds = {what: ms(text) / 1000 for what, text in words.items()}
        if "bind" in seconds:
            self.scheduler.delay = round(seconds["bind"] * 1000)
        if "run" in seconds or "stop" in seconds:
            self.deeds.kubelets(seconds.get("run", 1.0), seconds.get("stop", 1.0))

    def do_stuck(self, names: list[str]) -> None:
        self.hands.stuck = set(names)

    def do_podDefaults(self, text: str) -> None:  # noqa: N802
        spec = {"podDefaults": {"env": [{"name": "TEXT", "value": text}]}}
        self.deeds.call("PATCH", f"{TOPOLOGIES}/default", {"spec": spec}, "application/merge-patch+json")

    def do_restart(self, _: Any) -> None:
        self.hands.stuck = set()  # it was the process that was stuck
        self.world.seats[0].crash()

    def do_claims(self, words: Mapping[str, Any]) -> None:
        self.world.run(0.1)  # its world shows what was written last
        app = self.world.seats[0].app
        assert app is not None
        term = words.get("term", "0")
        for name, ranks in ((name, ranks) for name, ranks in words.items() if name != "term"):
            (job,) = [each for each in app.world.jobs() if isinstance(each, Job) and each.name == name]
            names = expand(ranks)
            assert not isinstance(names, Malformed)
            found = Found((names,), Objective(0, 1, 1, (), 0), True, (), (), 0)
            claimed = placed(job, found, term, app.world.roles_hash(job), self.world.wall())
            body = msgspec.json.decode(status.status_patch(job, claimed, self.world.wall(), ()))
            path = f"/apis/muster.dev/v1alpha1/namespaces/default/trainingjobs/{name}/status"
            self.deeds.call("PATCH", path, body, "application/merge-patch+json")


def _machine(node: Any) -> Object:
    amounts = {"cpu": "64", "memory": "960Gi", "pods": "110", GPU: str(dict(node.allocatable).get(GPU, 0))}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": "2027-01-01T00:00:00Z"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": dict(node.labels)},
        "spec": {},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]},
    }


ROLE = {"replicas", "gpus", "segments", "required", "preferred", "selector", "tolerates", "lasts", "onFailure"}
SHORT = {"jobRequired", "gitops", "lasts", "gates", "roles"}


def manifest(name: str, spec: Mapping[str, Any]) -> Object:
    """A TrainingJob from its words in a scenario."""
    lasts = spec.get("lasts")
    lone = {key: value for key, value in spec.items() if key in ROLE}
    beside = sorted(_named(spec.get("failurePolicy", {})) - {TRAINER})
    roles = [_role({"name": "worker", **each}, lasts, beside) for each in spec.get("roles", [lone])]
    made: Object = {key: value for key, value in spec.items() if key not in ROLE | SHORT}
    made["roles"] = roles
    if "jobRequired" in spec:
        made["topology"] = {"required": {"level": spec["jobRequired"]}}
    meta: Object = {"name": name}
    if spec.get("gitops"):
        meta["annotations"] = {"argocd.argoproj.io/tracking-id": f"x:muster.dev/TrainingJob:default/{name}"}
    return {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": meta, "spec": made}


def _named(policy: Mapping[str, Any]) -> set[str]:
    """The containers that the rules of a failurePolicy name: the pods must have them."""
    heads = [rule.get(kind, {}) for rule in policy.get("rules", ()) for kind in ("onExitCodes", "onTerminationMessage")]
    return {head["containerName"] for head in heads if "containerName" in head}


def _role(words: Mapping[str, Any], lasts: str | None, beside: Iterable[str] = ()) -> Object:
    amounts = {GPU: str(words.get("gpus", 1))}
    pod: Object = {
        "containers": [
            {"name": TRAINER, "image": "x", "resources": {"requests": amounts, "limits": amounts}},
            *({"name": name, "image": "x"} for name in beside),
        ]
    }
    if words.get("selector"):
        pod["nodeSelector"] = words["selector"]
    if words.get("tolerates"):
        pod["tolerations"] = [{"key": key, "operator": "Exists"} for key in words["tolerates"]]
    template: Object = {"spec": pod}
    if lasts is not None:
        template["metadata"] = {"annotations": {f"{PREFIX}run-seconds": str(ms(lasts) // 1000)}}
    topology: Object = {}
    if words.get("segments"):
        topology["segments"] = words["segments"]
    if words.get("required"):
        topology["required"] = {"level": words["required"]}
    preferred = words.get("preferred")
    if preferred:
        topology["preferred"] = preferred if isinstance(preferred, dict) else {"level": preferred}
    role: Object = {"name": words["name"], "replicas": words["replicas"], "template": template}
    if "onFailure" in words:
        role["onFailure"] = words["onFailure"]
    return role | ({"topology": topology} if topology else {})
