from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import job as a_job
from tests.support.builders import placement, role
from tests.support.cluster import pod, racks, topology

from muster.core.model import (
    Avoided,
    Committed,
    Gone,
    Job,
    Kind,
    LastFailure,
    LastRepair,
    Leading,
    Node,
    NodePast,
    Phase,
    Remembered,
    Reservation,
    StartFailures,
    Upsert,
)
from muster.core.world import World
from muster.telemetry import Telemetry, accelerators, nodes_bucket


@pytest.mark.parametrize(
    ("pods", "bucket"), [(1, "1"), (2, "2-4"), (4, "2-4"), (5, "5-16"), (1024, "257-1024"), (1025, "1025+")]
)
def test_buckets(pods: int, bucket: str) -> None:
    assert nodes_bucket(pods) == bucket


def said(telemetry: Telemetry, line: str) -> bool:
    return any(found.startswith(line) for found in telemetry.render().decode().splitlines())


def states(telemetry: Telemetry, job: Job) -> None:
    pending = Committed(phase=Phase.PENDING, phase_since=1000)
    running = Committed(phase=Phase.RUNNING, phase_since=9000, restarts=1, start_failures=StartFailures(count=2))
    telemetry.change(Upsert(replace(job, status=pending), 0))
    telemetry.change(Upsert(replace(job, status=Committed(phase=Phase.PLACED, phase_since=8000)), 0))
    telemetry.change(Upsert(replace(job, status=running), 0))


def test_the_leader_counts_the_difference() -> None:
    telemetry = Telemetry()
    telemetry.change(Leading("1"))
    states(telemetry, a_job())
    assert said(telemetry, 'muster_restarts_total{cause="failure"} 1.0')
    assert said(telemetry, 'muster_restarts_total{cause="start"} 2.0')
    assert "muster_queue_wait_seconds_sum" in telemetry.render().decode()
    assert said(telemetry, "muster_leader 1.0")


def test_a_follower_counts_nothing() -> None:
    telemetry = Telemetry()
    states(telemetry, a_job())
    telemetry.change(Gone(Kind.JOB, a_job().id, 0))
    assert not said(telemetry, "muster_restarts_total{")


def test_jobs_that_others_serve_are_not_counted() -> None:
    world = World(served=frozenset({"ours"}))
    telemetry = Telemetry(world.serves)
    telemetry.watch_world(world)
    telemetry.change(Leading("1"))
    for namespace in ("ours", "theirs"):
        job = a_job(namespace, role(count=1, gpus=4), namespace=namespace)
        states(telemetry, job)
        world.apply(Upsert(replace(job, status=Committed(phase=Phase.RUNNING, live=True)), 0))
    assert said(telemetry, 'muster_restarts_total{cause="failure"} 1.0')
    assert said(telemetry, 'muster_jobs{phase="Running"} 1.0')
    assert accelerators(world)["running"] == 4


def test_nothing_that_a_user_writes_is_in_a_metric() -> None:
    """Neither as a label, which anybody could make a million of, nor otherwise."""
    telemetry, world = Telemetry(), World()
    telemetry.watch_world(world)
    telemetry.change(Leading("1"))
    named = role("mallory-role", count=1, gpus=4)
    job = a_job("mallory-job", named, namespace="mallory-space", priority_class="mallory-class")
    states(telemetry, job)
    failed = Committed(phase=Phase.FAILED, last_failure=LastFailure(0, "mallory-reason", "mallory-words", ()))
    telemetry.change(Upsert(replace(job, status=failed), 0))
    world.apply(Upsert(job, 0))
    telemetry.measure(world, 1000)
    assert "mallory" not in telemetry.render().decode()


def test_idle_accelerators_add_up() -> None:
    telemetry, world = Telemetry(), World()
    world.apply(Upsert(Node("n", "u", 1, {}, (("nvidia.com/gpu", 4),)), 0))
    telemetry.change(Leading("1"))
    telemetry.watch_world(world)
    telemetry.measure(world, 1000)
    telemetry.measure(world, 3000)
    assert said(telemetry, 'muster_gpu_seconds_total{state="idle"} 8.0')
    assert said(telemetry, 'muster_jobs{phase="Pending"} 0.0')


def test_nodes_that_get_no_new_pods_by_why() -> None:
    telemetry, world = Telemetry(), World()
    ill = (("GPUMissing", "True", 5),)
    world.apply(Upsert(Node("a", "u-a", 1, {}, (), conditions=ill), 0))
    world.apply(Upsert(Node("b", "u-b", 1, {}, (), conditions=ill, cordoned=True), 0))
    for name in ("c", "d"):
        world.apply(Upsert(Node(name, f"u-{name}", 1, {}, ()), 0))
        world.apply(Remembered(NodePast(name, avoided=Avoided(name, 3, 0))))
    telemetry.watch_world(world)
    assert said(telemetry, 'muster_nodes_blamed{cause="condition GPUMissing=True"} 1.0')
    assert said(telemetry, 'muster_nodes_blamed{cause="blamed by several jobs"} 2.0')
    assert said(telemetry, 'muster_nodes_blamed{cause="held back after flapping"} 0.0')
    assert not said(telemetry, 'muster_nodes_blamed{cause="cordoned"}')


FIRST = LastRepair(2, "node", "domain", 3, 5, 8, failed=1000, detected=1250, decided=1500)


def tell(telemetry: Telemetry, **status: object) -> None:
    telemetry.change(Upsert(replace(a_job(), status=replace(Committed(), **status)), 0))  # type: ignore[arg-type]


def recovered(telemetry: Telemetry, cause: str) -> dict[str, tuple[str, str]]:
    """By stage how often it was counted, and the sum of seconds."""
    found: dict[str, list[str]] = {}
    for part in ("count", "sum"):
        head = f"muster_recovery_seconds_{part}"
        for line in telemetry.render().decode().splitlines():
            if line.startswith(head) and f'cause="{cause}"' in line:
                found.setdefault(line.partition('stage="')[2].partition('"')[0], []).append(line.split()[-1])
    return {stage: (numbers[0], numbers[1]) for stage, numbers in found.items()}


def test_each_stage_of_a_repair_is_counted_once_when_it_is_told() -> None:
    telemetry = Telemetry()
    telemetry.change(Leading("1"))
    tell(telemetry, phase=Phase.RUNNING, attempt=1)
    repairing = {"phase": Phase.REPAIRING, "attempt": 2, "disruptions": 1}
    tell(telemetry, **repairing, last_repair=FIRST)
    assert recovered(telemetry, "node") == {"detected": ("1.0", "0.25"), "decided": ("1.0", "0.5")}
    tell(telemetry, **repairing, last_repair=FIRST)
    made = replace(FIRST, deleted=4000, created=5000)
    tell(telemetry, **repairing | {"phase": Phase.STARTING}, last_repair=made)
    tell(telemetry, **repairing | {"phase": Phase.RUNNING}, last_repair=replace(made, running=9000))
    assert recovered(telemetry, "node") == {
        "detected": ("1.0", "0.25"),
        "decided": ("1.0", "0.5"),
        "deleted": ("1.0", "3.0"),
        "created": ("1.0", "4.0"),
        "running": ("1.0", "8.0"),
    }
    assert said(telemetry, "muster_ranks_moved_total 3.0")
    assert said(telemetry, 'muster_restarts_total{cause="disruption"} 1.0')
    assert not said(telemetry, 'muster_restarts_total{cause="rule"}')


def test_the_next_repair_is_another_even_where_one_is_not_through() -> None:
    telemetry = Telemetry()
    telemetry.change(Leading("1"))
    tell(telemetry, attempt=2, last_repair=FIRST)
    tell(telemetry, attempt=3, restarts=1, last_repair=replace(FIRST, attempt=3, cause="failure", moved=0))
    tell(telemetry, attempt=4, restarts=1, last_repair=replace(FIRST, attempt=4, cause="failure", moved=2))
    assert recovered(telemetry, "failure") == {"detected": ("2.0", "0.5"), "decided": ("2.0", "1.0")}
    assert said(telemetry, "muster_ranks_moved_total 2.0")
    assert said(telemetry, 'muster_restarts_total{cause="failure"} 1.0')
    assert said(telemetry, 'muster_restarts_total{cause="rule"} 1.0')


def test_who_begins_to_lead_counts_only_what_comes_then() -> None:
    telemetry = Telemetry()
    tell(telemetry, attempt=2, last_repair=FIRST)
    telemetry.change(Leading("1"))
    tell(telemetry, attempt=2, last_repair=replace(FIRST, deleted=2000))
    assert recovered(telemetry, "node") == {"deleted": ("1.0", "1.0")}
    assert said(telemetry, "muster_ranks_moved_total 0.0")


@pytest.mark.parametrize(
    ("status", "states"),
    [
        pytest.param({"phase": Phase.RUNNING, "live": True}, {"running": 8}, id="running"),
        pytest.param({"phase": Phase.REPAIRING, "live": True, "last_repair": FIRST}, {"repairing": 8}, id="repairing"),
        pytest.param(
            {"phase": Phase.STARTING, "live": True, "attempt": 2, "last_repair": FIRST},
            {"repairing": 8},
            id="starting after a repair",
        ),
        pytest.param(
            {"phase": Phase.STARTING, "live": True, "attempt": 3, "last_repair": FIRST},
            {"starting": 8},
            id="starting from the queue",
        ),
        pytest.param(
            {"phase": Phase.PENDING, "reservation": Reservation((("a", "b"),), ((0, 1),), 9000)},
            {"reserved": 4},
            id="a node kept, one lost",
        ),
        pytest.param({"phase": Phase.PENDING}, {}, id="waiting"),
    ],
)
def test_accelerators_by_state(status: dict[str, object], states: dict[str, int]) -> None:
    world = World()
    four = (("nvidia.com/gpu", 4), ("pods", 100))
    for name in "abcd":
        world.apply(Upsert(Node(name, f"u-{name}", 1, {}, four, cordoned=name == "d"), 0))
    two = a_job("llm", role(count=2, gpus=4))
    if status.get("live"):
        status = status | {"placement": placement(two, [["a", "b"]])}
    world.apply(Upsert(replace(two, status=replace(Committed(), **status)), 0))  # type: ignore[arg-type]
    world.apply(Upsert(pod("theirs", "c", 1), 0))
    nothing = {"running": 0, "starting": 0, "repairing": 0, "reserved": 0}
    assert accelerators(world) == nothing | states | {"stranded": 4, "idle": 11 - sum(states.values())}


def test_room_for_gangs_of_whole_nodes() -> None:
    telemetry, world = Telemetry(), World()
    telemetry.watch_world(world)
    assert "muster_placeable_gang_nodes{" not in telemetry.render().decode()
    world.apply(Upsert(topology("leaf", "nvlink"), 0))
    for each in racks(3, 6, per_leaf=2):
        world.apply(Upsert(each, 0))
    assert said(telemetry, 'muster_placeable_gang_nodes{level="leaf",segment="1"} 12.0')
    assert said(telemetry, 'muster_placeable_gang_nodes{level="leaf",segment="4"} 8.0')
    assert said(telemetry, 'muster_placeable_gang_nodes{level="nvlink",segment="4"} 4.0')
    assert said(telemetry, 'muster_placeable_gang_nodes{level="nvlink",segment="8"} 0.0')
