"""The kubelets: what pods become and when, and what a dead machine does not do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.embedded.world import World

from muster.embedded.nodes.podlife import Delays, Step, next_step, status_after


@pytest.fixture
def world() -> World:
    made = World(Delays(start=2.0, stop=1.0))
    made.racks()
    made.step()
    return made


def container(world: World, name: str) -> dict[str, object]:
    state: dict[str, object] = world.get(name)["status"]["containerStatuses"][0]["state"]
    return state


def test_a_pod_starts_after_the_common_delay_and_runs_on(world: World) -> None:
    world.pod("a")
    world.step(1.9)
    assert world.phase("a") == "Pending"
    world.step(0.2)
    assert world.phase("a") == "Running"
    assert world.get("a")["status"]["podIP"].startswith("240.")
    assert world.step(3600) is None
    assert world.phase("a") == "Running"


def test_its_end_and_its_exit_code(world: World) -> None:
    world.pod("good", wishes={"run-seconds": "10", "start-seconds": "0"})
    world.pod("bad", wishes={"run-seconds": "10", "start-seconds": "0", "exit-code": "3", "message": "why"})
    world.step(9.9)
    assert (world.phase("good"), world.phase("bad")) == ("Running", "Running")
    world.step(0.2)
    assert (world.phase("good"), world.phase("bad")) == ("Succeeded", "Failed")
    ended = container(world, "bad")["terminated"]
    assert isinstance(ended, dict)
    assert (ended["exitCode"], ended["message"]) == (3, "why")


@pytest.mark.parametrize(
    ("wishes", "phase"),
    [
        pytest.param({"never-start": "true"}, "Pending", id="never-start"),
        pytest.param({"image-pull-backoff": "true"}, "Pending", id="image-pull-backoff"),
        pytest.param({"refuse": "OutOfcpu"}, "Failed", id="refuse"),
        pytest.param({"never-start": "true", "only-rank": "1"}, "Running", id="another-rank"),
    ],
)
def test_what_does_not_start(world: World, wishes: dict[str, str], phase: str) -> None:
    world.pod("a", wishes=wishes, labels={"muster.dev/rank": "0"})
    world.step(10)
    assert world.phase("a") == phase


def test_image_pull_backoff_is_told(world: World) -> None:
    world.pod("a", wishes={"image-pull-backoff": "true"})
    world.step(3)
    waiting = container(world, "a")["waiting"]
    assert isinstance(waiting, dict)
    assert waiting["reason"] == "ImagePullBackOff"


def test_on_failure_restarts_the_container(world: World) -> None:
    world.pod("a", wishes={"run-seconds": "5", "exit-code": "1"}, restartPolicy="OnFailure")
    world.step(2 + 5 + 5 + 1)
    assert world.phase("a") == "Running"
    assert world.get("a")["status"]["containerStatuses"][0]["restartCount"] == 2


def test_deletion_has_its_grace(world: World) -> None:
    world.pod("a", wishes={"stop-seconds": "5"})
    world.step(3)
    world.delete("a", grace=30)
    world.step(4.9)
    assert world.phase("a") == "Running"
    world.step(0.2)
    assert world.find("a") is None


def test_what_never_started_goes_as_failed(world: World) -> None:
    world.pod("a", wishes={"never-start": "true"})
    world.step(3)
    told = dict(world.get("a"))
    told["metadata"] = told["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:30Z"}
    assert next_step(told, Delays()) == (Step.ABANDON, 0.0)
    status = status_after(told, Step.ABANDON, datetime(2026, 1, 1, tzinfo=UTC))
    assert status["phase"] == "Failed"
    assert all("terminated" in each["state"] for each in status["containerStatuses"])
    assert next_step(told | {"status": status}, Delays()) == (Step.DELETE, 0.0)
    world.delete("a")
    world.step()
    assert world.find("a") is None


def test_past_its_grace_it_is_killed(world: World) -> None:
    world.pod("a", wishes={"stop-seconds": "60"})
    world.step(3)
    world.delete("a", grace=10)
    world.step(9.9)
    assert world.phase("a") == "Running"
    world.step(0.2)
    assert world.find("a") is None


def test_a_wish_that_comes_late_is_heard(world: World) -> None:
    world.pod("a")
    world.step(10)
    annotations = {"fake.muster.dev/run-seconds": "0", "fake.muster.dev/exit-code": "7"}
    world.patch("/api/v1/namespaces/d/pods/a", {"metadata": {"annotations": annotations}})
    world.step()
    assert world.phase("a") == "Failed"


def test_a_dead_machine_does_nothing_until_it_is_back(world: World) -> None:
    world.pod("a", pin="r00-n00", wishes={"run-seconds": "5"})
    world.pod("b", pin="r00-n00")
    world.step(3)
    world.change_node("r00-n00", {"metadata": {"annotations": {"fake.muster.dev/off": "true"}}})
    world.step()
    world.delete("b")
    world.step(60)
    assert world.phase("a") == "Running"
    assert world.phase("b") == "Running"
    world.change_node("r00-n00", {"metadata": {"annotations": {"fake.muster.dev/off": None}}})
    world.step()
    assert world.phase("a") == "Succeeded"
    assert world.find("b") is None


def test_without_its_node_object_a_pod_does_not_end(world: World) -> None:
    world.pod("a", pin="r00-n00")
    world.step(3)
    world.must("DELETE", "/api/v1/nodes/r00-n00")
    world.delete("a")
    world.step(15)
    assert world.phase("a") == "Running"


def test_a_second_kubelet_goes_on_where_the_first_was(world: World) -> None:
    from muster.embedded.nodes.kubelet import Kubelet

    world.pod("a", wishes={"run-seconds": "10", "start-seconds": "0"})
    world.step(6)
    world.now += 4_500
    Kubelet(world.server).step(world.now)
    assert world.phase("a") == "Succeeded"
