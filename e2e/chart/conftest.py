"""Fixtures of the chart's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.controlplane.cluster import ControlPlane


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where helm keeps what it wants to keep."""
    return tmp_path_factory.mktemp("helm")


@pytest.fixture(scope="module")
def bare() -> Iterator[ControlPlane]:
    """A cluster on which nothing of muster was ever installed."""
    with ControlPlane.start() as plane:
        yield plane
