"""Fixtures: one kind cluster and one release a session, a namespace a test.

`python -m e2e.kind test` provides the daemon and the images. With E2E_KIND_KEEP set, the cluster and the release stay,
and are used again: for working on a test inside `python -m e2e.kind run bash`.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Generator, Iterator

import pytest

from e2e.harness import ROOT
from e2e.kind import cluster as kind
from e2e.kind.__main__ import NODE_IMAGE, OPERATOR_IMAGE
from e2e.kind.release import Release
from e2e.kind.space import Space
from e2e.kind.stages import say, stage

ORDER = ("image", "gang", "policies", "operator", "nodes", "uninstall")
"""What costs a node, and at last the release, comes after what needs them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: ORDER.index(item.path.stem.removeprefix("test_")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.failed:
        item.session.stash[_FAILED] = True
    return report


_FAILED: pytest.StashKey[bool] = pytest.StashKey()


@pytest.fixture(scope="session")
def image() -> str:
    """The operator's image, which also has the Python that the trainers run on."""
    found = os.environ.get(OPERATOR_IMAGE)
    assert found, "these tests need a Docker daemon and images: run `python -m e2e.kind test`"
    return found


@pytest.fixture(scope="session")
def cluster(
    image: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[kind.KindCluster]:
    """The kind cluster, with the operator's image on every node."""
    kind.prepare()
    kubeconfig = tmp_path_factory.mktemp("kind") / "kubeconfig"
    keep = bool(os.environ.get("E2E_KIND_KEEP"))
    if keep and kind.exists():
        yield kind.reach(kubeconfig)
        return
    kind.delete()  # of a run that was killed
    made = kind.create(os.environ.get(NODE_IMAGE, ""), kubeconfig)
    try:
        with stage("kind load docker-image"):
            made.load(image)
        yield made
    finally:
        if request.session.stash.get(_FAILED, False):
            logs = ROOT / "build" / "kind-logs"
            kind.export_logs(logs)
            say(f"logs of the nodes: {logs}")
        if not keep:
            kind.delete()


@pytest.fixture(scope="session")
def release(cluster: kind.KindCluster, image: str) -> Release:
    """The chart, installed, two replicas ready."""
    made = Release(cluster, image)
    if "deployed" not in made.run("status", check=False):
        made.install()
    made.settled()
    return made


@pytest.fixture
def space(cluster: kind.KindCluster, release: Release, image: str, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A namespace for one test. Meanwhile no replica may end or lose its watch, but for those excused."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:30].strip("-")
    name = f"{words}-{uuid.uuid4().hex[:6]}"
    before = release.restarts()
    release.excused.clear()
    made = Space(cluster, name, image)
    try:
        yield made
    finally:
        made.close()
    after = release.restarts()
    fallen = {pod for pod, count in after.items() if count > before.get(pod, 0)} - release.excused
    assert not fallen, (before, after)
    for pod in after.keys() - release.excused:
        wrong = [line for line in release.log(pod).splitlines() if "kopf ended" in line or "Traceback" in line]
        assert not wrong, wrong[:3]
