"""What `muster what-if` says of a dump is what the operator does on the cluster that the dump was taken of.

One cluster with something of every kind (`e2e.everything`). Gangs that have to wait are put to it together, since what
waits holds nothing; gangs that fit one after the other, each against a dump of its own, so that the claims of those
before it, in whatever phase they are, are part of the question.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from e2e import dump, everything
from e2e.client import Object, muster, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.everything import AMD, NODE_RESOURCES
from e2e.harness import ROOT, Cluster, Operators
from e2e.jobs import job, role
from e2e.nodes import GPU
from muster.cli.main import main
from muster.kube.hostlist import expand

FAST = {"MUSTER_PODS_QPS": "0"}
Names = Mapping[str, str]
Waits = tuple[str, Object]
"""The reason to wait, and the manifest."""


def gang(name: str, *roles: Object, namespace: str, **spec: Any) -> Object:
    """A manifest in a namespace."""
    made = job(name, roles, **spec)
    made["metadata"]["namespace"] = namespace
    return made


def worker(replicas: int, name: str = "worker", gpus: int = 4, **more: Any) -> Object:
    """A role whose pods ask for cpu as well."""
    return role(name, replicas, gpus=gpus, requests=NODE_RESOURCES, **more)


def segments(*entries: tuple[str, int | list[int]]) -> Object:
    """A role's topology."""
    return {"segments": [{"level": at, "size" if isinstance(size, int) else "sizes": size} for at, size in entries]}


def waiting_gangs(space: str, names: Names) -> dict[str, Waits]:
    """Gangs that are not placed on this cluster: by name, the reason and the manifest."""
    quota, limits = names["quota"], names["limits"]
    selector = {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-GB300"}}

    def of(
        reason: str, name: str, *roles: Object, namespace: str = space, **spec: Any
    ) -> tuple[str, tuple[str, Object]]:
        return name, (reason, gang(name, *roles, namespace=namespace, **spec))

    return dict(
        [
            of("InsufficientCapacity", "many", worker(58, pod=selector)),
            of("Unsatisfiable", "overhead-many", worker(13, gpus=1, pod={"runtimeClassName": names["runtime"]})),
            of("InsufficientCapacity", "parts-many", worker(260, gpus=1)),
            of("Fragmented", "whole-racks", worker(50, topology=segments(("nvlink", 5)))),
            of("Fragmented", "one-leaf", worker(12, topology={"required": {"level": "leaf"}})),
            of(
                "Fragmented",
                "uneven",
                worker(41, topology=segments(("nvlink", [5] * 3 + [1] + [5] * 5))),
                worker(2, "b"),
            ),
            of("Unsatisfiable", "over-fill", worker(12, topology=segments(("nvlink", 6)))),
            of("Unsatisfiable", "one-volume", worker(24, pod=_claim(names["claim"]))),
            of("Unsatisfiable", "no-such-node", worker(2, pod={"nodeSelector": {"example.com/none": "x"}})),
            of("Invalid", "no-such-level", worker(2, topology={"required": {"level": "hall"}})),
            of("PriorityClassMissing", "classless", worker(2), priorityClassName="e2e-none"),
            of("PriorityClassPreempts", "preempting", worker(2), priorityClassName=names["preempts"]),
            of("NamespaceQuota", "over-quota", worker(4), namespace=quota),
            of("PolicyRefused", "over-limit", role(replicas=2, requests={"cpu": "120"}), namespace=limits),
            of("PolicyRefused", "no-runtime", worker(2, pod={"runtimeClassName": "e2e-none"})),
        ]
    )


def fitting_gangs(space: str, names: Names) -> list[Object]:
    """Gangs that fit, in this order."""
    hopper = {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}}
    head = role("head", 1, gpus=0, requests={"cpu": "4"})
    amd = role("worker", 2, gpus=0, requests={AMD: "8"}, topology={"required": {"level": "leaf"}})
    tolerant = {"tolerations": [{"key": "example.com/maintenance", "operator": "Exists"}]}
    port = {"hostNetwork": True, "containers": [_container(ports=[{"containerPort": 8080}])]}

    def of(name: str, *roles: Object, namespace: str = space, **spec: Any) -> Object:
        return gang(name, *roles, namespace=namespace, **spec)

    return [
        of("hopper", role("worker", 3, gpus=8, pod=hopper)),
        of("amd", amd),
        of("under-limits", role("worker", 4, gpus=1), namespace=names["limits"]),
        of("overhead", worker(2, pod={"runtimeClassName": names["runtime"]})),
        # The embedded scheduler binds no volumes: there its pods stay as they are.
        of("volume", worker(3, pod=_claim(names["claim"])), bindTimeoutSeconds=600),
        of("under-quota", worker(2), namespace=names["quota"]),
        of("segmented", worker(6, topology=segments(("nvlink", 3)))),
        of("short-last", worker(3, topology=segments(("nvlink", 2)))),
        of("parts", worker(7, gpus=1)),
        of("nested", worker(5, topology=segments(("leaf", 4), ("nvlink", 2)))),
        of("roles", worker(3), head, topology={"required": {"level": "zone"}}),
        of("sizes", worker(4, topology=segments(("nvlink", [2, 1, 1])))),
        of("near", worker(3, topology={"preferred": {"level": "leaf"}})),
        of("listening", worker(2, pod=port)),
        of("tolerant", worker(2, pod=tolerant)),
    ]


def _claim(name: str) -> Object:
    return {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]}


def _container(**more: Any) -> Object:
    amounts = {GPU: "4"} | NODE_RESOURCES
    return {"name": "main", "image": "trainer", "resources": {"requests": amounts, "limits": amounts}} | more


@pytest.fixture
def admission(cluster: Cluster) -> Iterator[Names]:
    """See `everything.admission`."""
    with everything.admission(cluster) as names:
        yield names


@pytest.fixture
def varied(cluster: Cluster, operator: Operators, admission: Names) -> Names:
    """The cluster as `everything` makes it, and an operator that has begun to lead when all of it was there."""
    cluster.start_kubelet()
    everything.racks(cluster)
    (first,) = operator(env=FAST)
    everything.background(cluster)
    operator.terminate(first)
    everything.strangers(cluster)
    if isinstance(cluster.plane, ControlPlane):
        everything.daemons(cluster)
    (second,) = operator(env=FAST)
    second.wait_until(lambda: '"event": "leading"' in second.output(), 60, "leading")
    return admission


def what_if(dumped: Path, jobs: Sequence[Object], *more: str, started: bool = False) -> dict[str, dict[str, Any]]:
    """What the command says of these jobs, by job; `started`: as a process of its own, which takes its second."""
    manifests = dumped.with_name("jobs.json")
    manifests.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(jobs)}))
    arguments = ["what-if", "--cluster", str(dumped), "-f", str(manifests), "-o", "json", *more]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MUSTER_", "KUBE"))}
    if started:
        command = [sys.executable, "-m", "muster", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT, env=clean)
        code, said, printed = done.returncode, done.stderr, done.stdout
    else:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(arguments)
        said, printed = err.getvalue(), out.getvalue()
    assert code in (0, 2, 3), said
    answer = json.loads(printed)
    assert not answer["warnings"], answer["warnings"]
    return {element["job"]: foretold(element) for element in answer["jobs"]}


def submit(cluster: Cluster, manifest: Object) -> str:
    """Create the job; returns its key."""
    space, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    cluster.client.post(muster("trainingjobs", space), manifest, fieldValidation="Strict")
    return f"{space}/{name}"


def decision(cluster: Cluster, key: str) -> dict[str, Any]:
    """Wait until the operator has decided on a job; what it says, in the words of `what-if`."""
    path = muster("trainingjobs", *key.split("/"))

    def decided() -> Object | None:
        found: Object = cluster.client.get(path).get("status") or {}
        return found if found.get("placement") or found.get("waiting") else None

    status = wait_for(decided, 20, f"there is a decision on {key}")
    assert status is not None
    placement, waiting = status.get("placement"), status.get("waiting")
    if placement is None:
        assert waiting is not None
        said = waiting.get("details") or {}
        details = {fact["name"]: fact["value"] for fact in said.get("numbers", ())}
        exclusions = {each["cause"]: each["nodes"] for each in said.get("exclusions", ())}
        details |= {"exclusions": exclusions} if exclusions else {}
        return unnamed({"reason": waiting["reason"], "message": waiting["message"], "details": details})
    ranks = []
    for each in placement["roles"]:
        names = expand(each["nodes"])
        assert isinstance(names, tuple)
        ranks += [(each["name"], rank, node) for rank, node in enumerate(names)]
    told = {name: placement[name] for name in ("provenOptimal", "objective", "domains")}
    return {"reason": "", "ranks": ranks} | told


def unnamed(said: dict[str, Any]) -> dict[str, Any]:
    """Without the uid in the name of the pod that the dry run asks for: a job that is only asked about has none."""
    made: dict[str, Any] = json.loads(_ASKED.sub(r"\1UID-0", json.dumps(said)))
    return made


_ASKED = re.compile(r"(-0-)[0-9a-f]{8}-0")


def foretold(element: Mapping[str, Any]) -> dict[str, Any]:
    """The same parts of an answer of `what-if`."""
    if not element["placed"]:
        return unnamed({name: element[name] for name in ("reason", "message", "details")})
    ranks = [(each["role"], each["rank"], each["node"]) for each in element["ranks"]]
    return {"reason": "", "ranks": ranks} | {name: element[name] for name in ("provenOptimal", "objective", "domains")}


def test_decisions_are_the_same_offline_and_on_the_cluster(cluster: Cluster, varied: Names, tmp_path: Path) -> None:
    waiting = waiting_gangs(cluster.namespace, varied)
    dumped = dump.write(cluster.client, tmp_path / "dump.json")
    manifests = [manifest for _, manifest in waiting.values()]
    expected = what_if(dumped, manifests, started=True)
    if isinstance(cluster.plane, ControlPlane):
        printed = tmp_path / "kubectl.json"
        printed.write_text(cluster.plane.kubectl("get", dump.ARGUMENT, "-A", "-o", "json").stdout)
        assert what_if(printed, manifests) == expected
    # One after the other: what would start them is looked for of a few a pass.
    seen = {key: decision(cluster, key) for key in (submit(cluster, manifest) for manifest in manifests)}
    assert_same(expected, seen)
    reasons = {name: expected[key]["reason"] for name, key in zip(waiting, seen, strict=True)}
    assert reasons == {name: reason for name, (reason, _) in waiting.items()}

    fitting = fitting_gangs(cluster.namespace, varied)
    dump.write(cluster.client, dumped)
    foreseen = what_if(dumped, fitting, "--sequential")
    for manifest in fitting:
        dump.write(cluster.client, dumped)
        expected = what_if(dumped, [manifest])
        key = submit(cluster, manifest)
        seen[key] = decision(cluster, key)
        assert not expected[key]["reason"], expected[key]
        assert_same(expected, {key: seen[key]})
    assert_same(foreseen, {key: seen[key] for key in foreseen})
    print(f"FIGURE decisions compared: {len(waiting)} that wait, {len(fitting)} that fit")


def assert_same(offline: Mapping[str, dict[str, Any]], live: Mapping[str, dict[str, Any]]) -> None:
    """Fail with the parts of the decisions in which they differ."""
    differing = {
        key: {part: (offline[key].get(part), said.get(part)) for part in {*offline[key], *said}}
        for key, said in live.items()
        if said != offline[key]
    }
    told = {key: {part: both for part, both in parts.items() if both[0] != both[1]} for key, parts in differing.items()}
    assert not told, "(offline, on the cluster): " + json.dumps(told, indent=1)
