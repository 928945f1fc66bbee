from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import job as a_job

from muster.core.model import (
    Avoided,
    Committed,
    Gone,
    Job,
    Kind,
    Leading,
    Node,
    NodePast,
    Phase,
    Remembered,
    StartFailures,
    Upsert,
)
from muster.core.world import World
from muster.telemetry import Telemetry, nodes_bucket


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
