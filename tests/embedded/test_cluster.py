"""The cluster as a whole: node controllers, determinism, the driver, and what it costs."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.embedded.world import START, World, pod

from muster.embedded.nodes.podlife import Delays
from muster.embedded.wire import Request

OUT = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
TOLERATED_A_WHILE = {"key": "maintenance", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}
MAINTENANCE = {"key": "maintenance", "effect": "NoExecute"}


@pytest.fixture
def world() -> World:
    made = World()
    made.racks()
    made.step()
    return made


def taint(world: World, name: str, *taints: dict[str, str]) -> None:
    world.change_node(name, {"spec": {"taints": list(taints)}})
    world.step()


def test_every_namespace_has_its_service_account(world: World) -> None:
    assert world.must("GET", "/api/v1/namespaces/d/serviceaccounts/default")


def test_a_taint_evicts_who_does_not_tolerate_it(world: World) -> None:
    world.pod("a", pin="r00-n00")
    world.pod("b", pin="r00-n00", tolerations=[{"key": "maintenance", "operator": "Exists"}])
    world.pod("c", pin="r00-n00", tolerations=[TOLERATED_A_WHILE])
    world.step(1)
    taint(world, "r00-n00", MAINTENANCE)
    assert world.find("a") is None
    assert world.phase("b") == "Running"
    world.step(29.9)
    assert world.phase("c") == "Running"
    world.step(0.2)
    assert world.find("c") is None
    assert world.phase("b") == "Running"


def test_an_eviction_names_its_reason(world: World) -> None:
    world.pod("a", pin="r00-n00", wishes={"stop-seconds": "20"})
    world.step(1)
    taint(world, "r00-n00", MAINTENANCE)
    found = world.condition("a", "DisruptionTarget")
    assert (found["status"], found["reason"]) == ("True", "DeletionByTaintManager")


def test_a_taint_that_goes_in_time_evicts_nobody(world: World) -> None:
    world.pod("a", pin="r00-n00", tolerations=[TOLERATED_A_WHILE])
    world.step(1)
    taint(world, "r00-n00", MAINTENANCE)
    world.step(20)
    taint(world, "r00-n00")
    world.step(100)
    assert world.phase("a") == "Running"


def test_pods_of_a_node_that_is_gone_are_collected(world: World) -> None:
    world.pod("a", pin="r00-n00")
    world.pod("b", pin="r00-n01")
    world.step(1)
    world.must("DELETE", "/api/v1/nodes/r00-n00")
    world.step(39)
    assert world.phase("a") == "Running"
    world.step(22)
    assert world.find("a") is None
    assert world.phase("b") == "Running"


def test_a_terminating_pod_on_a_node_out_of_service_is_collected(world: World) -> None:
    world.pod("a", pin="r00-n00")
    world.step(1)
    world.change_node("r00-n00", {"metadata": {"annotations": {"fake.muster.dev/off": "true"}}})
    condition = {"type": "Ready", "status": "Unknown"}
    world.change_node("r00-n00", {"status": {"conditions": [condition]}}, "/status", "strategic")
    world.delete("a")
    world.step(60)
    assert world.phase("a") == "Running"
    taint(world, "r00-n00", OUT)
    world.step(21)
    assert world.find("a") is None


def test_a_lost_machine_is_found_out_and_comes_back() -> None:
    world = World(lost_machines=True, grace_ms=4_000)
    world.racks()
    world.pod("a", pin="r00-n00", tolerations=[{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}])
    world.step(1)
    world.change_node("r00-n00", {"metadata": {"annotations": {"fake.muster.dev/off": "true"}}})
    world.step(3.9)
    assert ready(world, "r00-n00") == "True"
    world.step(0.2)
    assert ready(world, "r00-n00") == "Unknown"
    assert {t["effect"] for t in world.node("r00-n00")["spec"]["taints"]} == {"NoSchedule", "NoExecute"}
    world.step(10.1)
    assert world.get("a")["metadata"].get("deletionTimestamp")
    assert ready(world, "r00-n01") == "True"
    world.change_node("r00-n00", {"metadata": {"annotations": {"fake.muster.dev/off": None}}})
    world.step(1)
    assert ready(world, "r00-n00") == "True"
    assert not world.node("r00-n00")["spec"].get("taints")
    assert world.find("a") is None


def test_what_a_container_would_have_written(world: World) -> None:
    env = [{"name": "MUSTER_RANK", "value": "3"}]
    containers = [{"name": "main", "image": "trainer", "env": env}]
    made = pod("a", 0, "r00-n00", wishes={"run-seconds": "3", "exit-code": "2", "log": "hello\nthere"})
    made["spec"]["containers"] = containers
    world.post("/api/v1/namespaces/d/pods", made)
    world.step(2)
    assert log(world, "a") == [
        "[stand-in] trainer on node r00-n00: nothing runs, this is told",
        "[stand-in] MUSTER_RANK=3",
        "hello",
        "there",
        "[stand-in] has run for 1 s",
        "[stand-in] has run for 2 s",
    ]
    world.step(5)
    assert log(world, "a", "2") == ["[stand-in] has run for 3 s", "[stand-in] ended with code 2"]


def log(world: World, name: str, tail: str = "") -> list[str]:
    query = (("tailLines", tail),) if tail else ()
    answer = world.server.handle(Request("GET", f"/api/v1/namespaces/d/pods/{name}/log", query))
    assert answer.status == 200
    return answer.body.decode().splitlines()


def ready(world: World, name: str) -> str:
    conditions = world.node(name)["status"]["conditions"]
    return str(next(each["status"] for each in conditions if each["type"] == "Ready"))


def history(seed: int) -> list[bytes]:
    world = World(Delays(start=1.5))
    watch = world.server.watch(_watch("/api/v1/pods"))
    world.racks(nodes=3, taints=(OUT | {"effect": "NoSchedule"},))
    for number in range(9):
        world.pod(f"p{number}", 2, wishes={"run-seconds": str(number % 3)}, tolerations=[{"operator": "Exists"}])
    world.step(30)
    return watch.take()  # type: ignore[union-attr]


def _watch(path: str) -> Request:
    return Request("GET", path, (("watch", "true"),))


def test_the_same_calls_give_the_same_history() -> None:
    first = history(1)
    assert len(first) > 9 * 3
    assert first == history(1)


def test_containers_that_end_at_once_and_are_restarted_do_not_hold_up_the_step() -> None:
    world = World()
    world.racks()
    wishes = {"run-seconds": "0", "exit-code": "1"}
    world.pod("a", wishes=wishes, restartPolicy="OnFailure")
    assert world.cluster.step(world.now) == world.now + 1


async def test_the_driver_follows_the_clock() -> None:
    world = World(Delays(start=0.05))
    world.racks()
    began = time.monotonic()
    driver = asyncio.create_task(world.cluster.run())
    ticking = asyncio.create_task(keep_time(world))
    for number in range(5):
        world.pod(f"p{number}", wishes={"run-seconds": "0.1"})
        await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        while any(world.phase(f"p{number}") != "Succeeded" for number in range(5)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    driver.cancel()
    ticking.cancel()
    assert time.monotonic() - began > 0.1


async def keep_time(world: World) -> None:
    began = time.monotonic()
    while True:
        world.now = START + round((time.monotonic() - began) * 1000)
        await asyncio.sleep(0.001)


def test_pinned_pods_cost_the_same_on_many_nodes() -> None:
    """One pinned pod is looked at on one node: the work does not grow with the cluster."""
    world = World()
    names = world.racks(racks=60, nodes=18)
    world.step()
    for number, name in enumerate(names):
        world.post("/api/v1/namespaces/d/pods", pod(f"p{number}", 4, name))
    looked = 0
    seats = world.cluster.binder._ledger.seats
    original = type(seats[names[0]]).reasons

    def counting(seat: object, *args: object) -> tuple[str, ...]:
        nonlocal looked
        looked += 1
        return original(seat, *args)  # type: ignore[arg-type]

    type(seats[names[0]]).reasons = counting  # type: ignore[method-assign,assignment]
    try:
        world.step()
    finally:
        type(seats[names[0]]).reasons = original  # type: ignore[method-assign]
    assert world.cluster.binder.bound == len(names)
    assert looked == len(names)
