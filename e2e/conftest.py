"""Fixtures: one cluster a session, real or embedded (--server); a fresh namespace, watcher and processes a test."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import locked
from e2e.client import muster
from e2e.controlplane.cluster import ControlPlane
from e2e.embedded import EmbeddedPlane
from e2e.harness import ROOT, Cluster, Operators
from e2e.manifests import apply, documents
from e2e.plane import Plane
from e2e.process import Process
from e2e.watcher import Watcher

# These need a Docker daemon and images, which `python -m e2e.kind test` provides; named, they are collected anyway.
collect_ignore = ["kind"]


@pytest.fixture(scope="session")
def controlplane(request: pytest.FixtureRequest) -> Iterator[Plane]:
    """The cluster with muster's CRDs, node lifecycle controller off."""
    start = EmbeddedPlane.start if request.config.getoption("--server") == "embedded" else ControlPlane.start
    with start() as plane:
        apply(plane.client, documents(ROOT / "crds"))
        yield plane


@pytest.fixture(scope="session")
def locked_plane() -> Iterator[ControlPlane]:
    """A real control plane with the chart's rights and policies in force; see `e2e.locked`."""
    with locked.start() as plane:
        yield plane


@pytest.fixture
def cluster(controlplane: Plane, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """A fresh namespace; whatever the test adds through it is removed afterwards."""
    plain = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:30].strip("-")
    made = Cluster(controlplane, f"{plain}-{uuid.uuid4().hex[:6]}", tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def kubelet(cluster: Cluster) -> Process:
    """The kubelet stand-in with default delays; `cluster.start_kubelet` makes others."""
    return cluster.start_kubelet()


@pytest.fixture
def watcher(cluster: Cluster, tmp_path: Path) -> Iterator[Watcher]:
    """The safety watcher from the test's first moment; a violation fails the test at its end.

    A test that ends with a quiet cluster says so with `watcher.quiet()`, which checks S5 and S6 too.
    """
    assert cluster.client.send("GET", muster("trainingjobs")).status == 200, "crds/ is not applied: run `make crds`"
    made = Watcher(cluster.client).start()
    try:
        yield made
        found = made.violations()
    finally:
        made.stop()
        made.dump(tmp_path / "history.jsonl")
    assert not found, f"{made.report(found)}\nthe whole history: {tmp_path / 'history.jsonl'}"


@pytest.fixture
def operator(cluster: Cluster, tmp_path: Path) -> Iterator[Operators]:
    """A factory of operator processes: `operator(replicas=2, env={...})`."""
    made = Operators(cluster.plane, tmp_path, cluster.namespace)
    try:
        yield made
    finally:
        made.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests that passed have measured; they print it as lines that begin with FIGURE."""
    passed = terminalreporter.getreports("passed")
    figures = [line for report in passed for line in report.capstdout.splitlines() if line.startswith("FIGURE ")]
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.line(line.removeprefix("FIGURE "))
