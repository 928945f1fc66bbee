"""MUSTER_WATCH_NAMESPACES: jobs elsewhere are left alone, whatever happens to them; what they hold counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.elsewhere import Elsewhere, lead, left_alone, started_by_all
from e2e.gangs import sound
from e2e.harness import Cluster, Operators

pytestmark = pytest.mark.usefixtures("kubelet")


@pytest.fixture
def elsewhere(cluster: Cluster) -> Iterator[Elsewhere]:
    """A namespace that is not served, gone after the test."""
    made = Elsewhere(cluster)
    yield made
    made.remove()


def test_jobs_of_other_namespaces_are_left_alone(cluster: Cluster, elsewhere: Elsewhere, operator: Operators) -> None:
    begin = started_by_all(cluster, elsewhere, operator, {}, "e2e-admin")
    process = lead(cluster, operator, {}, "e2e-admin")
    left_alone(cluster, elsewhere, begin)
    sound(process)
