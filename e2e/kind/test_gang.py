"""Jobs whose containers really run: they find each other, stay in their domains, wait their turn."""

from __future__ import annotations

import yaml

from e2e.client import core, wait_for
from e2e.harness import ROOT
from e2e.kind.cluster import WORKERS
from e2e.kind.space import Space
from e2e.kind.stages import say

TOGETHER = {"required": {"level": "nvlink"}}


def test_a_gang_finds_its_ranks_reduces_a_number_and_succeeds(space: Space) -> None:
    space.submit("ring", 3, seconds=3)
    lines = space.lines("ring", 3)
    assert [line["sum"] for line in lines] == [6, 6, 6]
    assert [line["rank"] for line in lines] == [0, 1, 2]
    assert {line["domains"]["nvlink"] for line in lines} == {"rack-a", "rack-b"}
    status = space.reaches("ring", "Succeeded")
    assert status["attempt"] == 1
    assert status["restarts"] == 0
    say(f"three ranks of {space.image}: {lines}")


def test_the_example_for_kind_runs_as_it_is_written(space: Space) -> None:
    example = yaml.safe_load((ROOT / "examples" / "cpu-only.yaml").read_text())
    [role] = example["spec"]["roles"]
    # Only the image is another: its own would have to be pulled.
    role["template"]["spec"]["containers"][0]["image"] = space.image
    space.create(example)
    space.reaches("cpu-only", "Succeeded")
    logs = space.logs("cpu-only").values()
    assert len(logs) == 4
    assert all("of 4: the ranks add up to 6" in log for log in logs), logs


def test_a_hard_level_keeps_a_gang_in_one_domain_and_is_waited_for(space: Space) -> None:
    space.submit("first", 2, seconds=600, topology=TOGETHER)
    space.reaches("first", "Running")
    assert {line["domains"]["nvlink"] for line in space.lines("first", 2)} == {"rack-a"}
    assert {WORKERS[node] for node in space.nodes("first")} == {"rack-a"}
    space.submit("second", 2, seconds=3, topology=TOGETHER)
    waiting = space.waits("second", "InsufficientCapacity", "Fragmented")
    say(f"a second gang that must share rack-a: {waiting['reason']}: {waiting['message']}")
    space.delete_job("first")
    space.lines("second", 2)
    space.reaches("second", "Succeeded")


def test_a_level_that_no_domain_is_large_enough_for_is_told_as_such(space: Space) -> None:
    space.submit("wide", 3, topology=TOGETHER)
    waiting = space.waits("wide", "Unsatisfiable")
    assert "nvlink" in waiting["message"], waiting


def test_a_gang_too_large_waits_with_its_reason_and_starts_when_there_is_room(space: Space) -> None:
    space.submit("holder", 1, seconds=600)
    space.reaches("holder", "Running")
    space.submit("large", 3, seconds=3)
    waiting = space.waits("large", "InsufficientCapacity")
    assert not space.pods("large"), "a gang that does not fit has no pod"
    say(f"a gang of three while one node is taken: {waiting['reason']}: {waiting['message']}")
    space.delete_job("holder")
    assert [line["sum"] for line in space.lines("large", 3)] == [6, 6, 6]
    space.reaches("large", "Succeeded")


def test_a_program_that_fails_is_begun_again_and_its_exit_code_told(space: Space) -> None:
    role = space.trainer(2)
    [container] = role["template"]["spec"]["containers"]
    # The first attempt ends with 7, the next does its work.
    code = "import os, sys; sys.exit(7 if os.environ['MUSTER_ATTEMPT'] == '1' else 0)"
    container["command"] = ["/opt/muster/bin/python", "-c", code]
    space.create({
        "apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "stumbles"},
        "spec": {"roles": [role], "backoff": {"baseSeconds": 1, "maxSeconds": 2}},
    })  # fmt: skip
    status = space.reaches("stumbles", "Succeeded", attempt=2)
    assert status["lastFailure"]["failures"][0]["exitCode"] == 7, status["lastFailure"]


def test_a_deleted_job_leaves_no_pod_and_no_service(space: Space) -> None:
    space.submit("brief", 2, seconds=600)
    space.reaches("brief", "Running")
    [service] = space.client.list(core("services", space.name), labelSelector="muster.dev/job-name=brief")
    assert service["spec"]["clusterIP"] == "None"
    space.delete_job("brief")
    services = core("services", space.name)
    wait_for(
        lambda: not space.client.list(services, labelSelector="muster.dev/job-name=brief"), 60, "no Service is left"
    )
