"""The release goes; what people run stays."""

from __future__ import annotations

from e2e.client import core, muster, wait_for
from e2e.kind.release import NAMESPACE, Release
from e2e.kind.space import Space


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
