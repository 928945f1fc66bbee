"""The operator itself changes while gangs run: they must not notice."""

from __future__ import annotations

import time

from e2e.client import Object, core, wait_for
from e2e.kind.release import NAMESPACE, Release
from e2e.kind.space import Space
from e2e.kind.stages import say


def uids(space: Space, name: str) -> set[str]:
    """What tells a pod from another of the same name."""
    return {pod["metadata"]["uid"] for pod in space.pods(name)}


def variable(pod: Object, name: str) -> str | None:
    """A variable of the operator's container."""
    [container] = pod["spec"]["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}.get(name)


def test_another_replica_takes_over_when_the_leader_is_deleted(space: Space, release: Release) -> None:
    release.settled()
    space.submit("steady", 2, seconds=600)
    space.reaches("steady", "Running")
    before = uids(space, "steady")
    leader = release.leader()
    assert leader in [pod["metadata"]["name"] for pod in release.pods()]
    began = time.monotonic()
    release.client.delete(core("pods", NAMESPACE, leader))
    wait_for(lambda: release.leader() not in ("", leader), 120, "another replica leads", 0.1, seen=release.leader)
    say(f"leader deleted, another leads after {time.monotonic() - began:.1f} s")
    space.submit("after", 1, seconds=1)
    space.reaches("after", "Succeeded")
    assert uids(space, "steady") == before
    assert space.status("steady")["attempt"] == 1
    release.settled()


def test_another_replica_takes_over_when_the_leader_is_killed(space: Space, release: Release) -> None:
    release.settled()
    space.submit("steady", 2, seconds=600)
    space.reaches("steady", "Running")
    before = uids(space, "steady")
    leader = release.leader()
    began = time.monotonic()
    # Without grace: it has no time to give its lease back.
    release.client.delete(core("pods", NAMESPACE, leader), grace=0)
    wait_for(lambda: release.leader() not in ("", leader), 120, "another replica leads", 0.1, seen=release.leader)
    say(f"leader killed, another leads after {time.monotonic() - began:.1f} s")
    space.submit("after", 1, seconds=1)
    space.reaches("after", "Succeeded")
    assert uids(space, "steady") == before
    release.settled()


def test_upgrade_and_rollback_disturb_no_running_gang(space: Space, release: Release) -> None:
    release.settled()
    space.submit("steady", 2, seconds=900)
    space.reaches("steady", "Running")
    space.lines("steady", 2)
    before, replicas = uids(space, "steady"), {pod["metadata"]["name"] for pod in release.pods()}
    release.upgrade("settings.logLevel=debug")
    release.settled()
    assert not replicas & {pod["metadata"]["name"] for pod in release.pods()}, "the upgrade has changed the replicas"
    assert all(variable(pod, "MUSTER_LOG_LEVEL") == "debug" for pod in release.pods())
    assert uids(space, "steady") == before
    release.run("rollback", "--wait", "--timeout=5m")
    release.settled()
    assert all(variable(pod, "MUSTER_LOG_LEVEL") != "debug" for pod in release.pods())
    assert uids(space, "steady") == before
    status = space.status("steady")
    assert (status["phase"], status["attempt"], status["restarts"]) == ("Running", 1, 0)
    # What runs through it all is still served: it can be suspended.
    space.submit("after", 1, seconds=1)
    space.reaches("after", "Succeeded")
    assert uids(space, "steady") == before


def test_helm_test_says_that_it_works(release: Release) -> None:
    assert "Phase:          Succeeded" in release.run("test", "--timeout=3m")
