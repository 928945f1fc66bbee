"""The operator itself changes while gangs run: they must not notice."""

from __future__ import annotations

import time
from datetime import datetime

from e2e.client import Object, core, wait_for
from e2e.kind import docker
from e2e.kind.release import NAMESPACE, Release
from e2e.kind.space import Space
from e2e.kind.stages import say

MEMORY = "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes"
"""Where a container sees its own cgroup: version 2, version 1."""


def uids(space: Space, name: str) -> set[str]:
    """What tells a pod from another of the same name."""
    return {pod["metadata"]["uid"] for pod in space.pods(name)}


def variable(pod: Object, name: str) -> str | None:
    """A variable of the operator's container."""
    [container] = pod["spec"]["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}.get(name)


def test_memory_at_rest_and_time_to_ready(space: Space, release: Release) -> None:
    """Printed, with wide bounds: a leak or a start that hangs is what would fail here."""
    release.settled()
    for pod in release.pods():
        name = pod["metadata"]["name"]
        read = f"import os; print(next(open(p).read() for p in {MEMORY!r} if os.path.exists(p)))"
        words = ["exec", name, "--", "/opt/muster/bin/python", "-c", read]
        used = int(release.cluster.kubectl(f"--namespace={NAMESPACE}", *words).stdout)
        started = datetime.fromisoformat(pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"])
        [ready] = [c["lastTransitionTime"] for c in pod["status"]["conditions"] if c["type"] == "Ready"]
        seconds = (datetime.fromisoformat(ready) - started).total_seconds()
        role = "leads" if name == release.leader() else "follows"
        say(f"{name} {role}: memory {used / 1e6:.0f} MB; ready {seconds:.0f} s after its start")
        assert 20e6 < used < 1e9


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
    holder = release.holder()
    [pod] = [each for each in release.pods() if each["metadata"]["name"] == release.leader()]
    node = pod["spec"]["nodeName"]
    release.excuse(node)
    began = time.monotonic()
    # It has no time to give its lease back: the other has to wait for the end of it.
    docker.exec_in(node, "pkill", "-KILL", "-f", "muster run")
    wait_for(lambda: release.holder() not in ("", holder), 120, "another leads", 0.1, seen=release.holder)
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
