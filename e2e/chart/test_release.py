"""A release from install to uninstall, on a real API server: what the users have is never touched.

The image is not run here (there is no kubelet); e2e/kind does that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.chart.helm import CHART, NAMESPACE, RELEASE, helm
from e2e.client import Client, Object, group, muster, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.jobs import job, role

pytestmark = pytest.mark.real("the chart is put to the API server that it is for")
TOPOLOGY = muster("clustertopologies", name="default")
JOB = muster("trainingjobs", "default", "kept")
Run = Callable[..., str]


@pytest.fixture(scope="module")
def run(bare: ControlPlane, home: Path) -> Run:
    """Runs helm against the cluster, in the release's namespace, and returns its output."""
    return lambda *words: helm(*words, "--namespace", NAMESPACE, home=home, kubeconfig=bare.kubeconfig).stdout


@pytest.fixture
def installed(bare: ControlPlane, run: Run, home: Path) -> Iterator[Client]:
    """A release in its first revision, with a job of a user's; all of it is taken away afterwards."""
    run("install", RELEASE, str(CHART), "--create-namespace")
    bare.client.post(muster("trainingjobs", "default"), job("kept", [role("worker", 2)]))
    yield bare.client
    helm("uninstall", RELEASE, "-n", NAMESPACE, home=home, kubeconfig=bare.kubeconfig, check=False)
    for name in ("trainingjobs.muster.dev", "clustertopologies.muster.dev"):
        path = group("apiextensions.k8s.io/v1", "customresourcedefinitions", name=name)
        if bare.client.find(path) is not None:
            bare.client.delete(path)
        wait_for(lambda path=path: bare.client.find(path) is None, 30, f"{name} is gone")


def topology(client: Client) -> tuple[str, str]:
    """The uid and the preset of the default ClusterTopology."""
    found = client.get(TOPOLOGY)
    return found["metadata"]["uid"], found["spec"]["preset"]


def frozen(each: Object) -> str:
    """What of an object must stay as it is: all of it."""
    return json.dumps(each, sort_keys=True)


def test_the_topology_outlives_every_change_of_the_release(installed: Client, run: Run) -> None:
    uid, preset = topology(installed)
    assert preset == "Auto"
    before = frozen(installed.get(JOB))
    run("upgrade", RELEASE, str(CHART), "--set", "clusterTopology.preset=GB300")
    assert topology(installed) == (uid, "GB300")
    run("upgrade", RELEASE, str(CHART), "--set", "clusterTopology.preset=AWS")
    assert topology(installed) == (uid, "AWS")
    run("rollback", RELEASE, "2")
    assert topology(installed) == (uid, "GB300")
    # The first revision made it by a hook, so that its manifest has none: it is left as it is.
    run("rollback", RELEASE, "1")
    assert topology(installed) == (uid, "GB300")
    run("upgrade", RELEASE, str(CHART), "--set", "clusterTopology.create=false")
    assert topology(installed) == (uid, "GB300")
    assert frozen(installed.get(JOB)) == before


def test_uninstall_leaves_jobs_and_an_install_finds_them(installed: Client, run: Run) -> None:
    uid, _ = topology(installed)
    before = frozen(installed.get(JOB))
    said = run("uninstall", RELEASE)
    assert "trainingjobs.muster.dev" in said
    assert installed.list(group("apps/v1", "deployments", NAMESPACE)) == []
    assert frozen(installed.get(JOB)) == before
    run("install", RELEASE, str(CHART), "--set", "clusterTopology.preset=OCI")
    assert topology(installed) == (uid, "OCI")
    assert frozen(installed.get(JOB)) == before


def test_nothing_is_left_where_that_is_wished(installed: Client, run: Run) -> None:
    run("upgrade", RELEASE, str(CHART), "--set", "crds.keep=false")
    run("uninstall", RELEASE)
    ours = group("apiextensions.k8s.io/v1", "customresourcedefinitions")
    wait_for(lambda: not installed.list(ours), 30, "the custom resources are gone, and the jobs with them")


def test_the_custom_resources_follow_the_release_both_ways(installed: Client, run: Run) -> None:
    path = group("apiextensions.k8s.io/v1", "customresourcedefinitions", name="trainingjobs.muster.dev")
    uid, first = installed.get(path)["metadata"]["uid"], frozen(installed.get(path)["spec"])
    before = frozen(installed.get(JOB))
    run("upgrade", RELEASE, str(CHART), "--set", "settings.schedulerName=bin-packer")
    assert "self.schedulerName == 'bin-packer'" in frozen(installed.get(path)["spec"])
    run("rollback", RELEASE, "1")
    assert frozen(installed.get(path)["spec"]) == first
    assert installed.get(path)["metadata"]["uid"] == uid
    assert frozen(installed.get(JOB)) == before


def test_an_upgrade_that_changes_nothing_writes_nothing(installed: Client, run: Run) -> None:
    run("upgrade", RELEASE, str(CHART), "--reuse-values")
    path = group("apps/v1", "deployments", NAMESPACE, RELEASE)
    definition = group("apiextensions.k8s.io/v1", "customresourcedefinitions", name="trainingjobs.muster.dev")
    before = [installed.get(each)["metadata"]["generation"] for each in (path, definition, TOPOLOGY)]
    run("upgrade", RELEASE, str(CHART), "--reuse-values")
    assert [installed.get(each)["metadata"]["generation"] for each in (path, definition, TOPOLOGY)] == before


def test_a_second_installation_is_refused(installed: Client, bare: ControlPlane, home: Path) -> None:
    words = ("install", "other", str(CHART), "--namespace", "elsewhere", "--create-namespace")
    done = helm(*words, home=home, kubeconfig=bare.kubeconfig, check=False)
    assert done.returncode != 0
    assert "invalid ownership metadata" in done.stderr
    assert f'"meta.helm.sh/release-name" must equal "other": current value is "{RELEASE}"' in done.stderr
