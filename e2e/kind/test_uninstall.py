"""The release goes; what people run stays."""

from __future__ import annotations

from datetime import datetime

from e2e.client import core, muster, wait_for
from e2e.kind.release import NAMESPACE, Release
from e2e.kind.space import Space
from e2e.kind.stages import say

MEMORY = "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes"
"""Where a container sees its own cgroup: version 2, version 1."""


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


def test_uninstall_leaves_jobs_their_pods_and_the_kinds(space: Space, release: Release) -> None:
    space.submit("stays", 1, seconds=600)
    space.reaches("stays", "Running")
    [before] = space.pods("stays")
    release.run("uninstall", "--wait")
    wait_for(lambda: not release.pods(), 120, "no replica is left")
    [after] = space.pods("stays")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["phase"] == "Running"
    assert space.status("stays")["phase"] == "Running"
    assert space.client.find(muster("clustertopologies", name="default")) is not None
    left = [p for p in space.client.list(core("pods", NAMESPACE)) if "deletionTimestamp" not in p["metadata"]]
    assert not left, left
    # And a second installation takes them over.
    release.install()
    release.settled()
    [again] = space.pods("stays")
    assert again["metadata"]["uid"] == before["metadata"]["uid"]
    space.delete_job("stays")
