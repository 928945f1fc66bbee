"""The rendered chart under GitOps: applied again it is neither a write nor drift, while its operator runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
import yaml

from e2e.client import Object, core, muster, wait_for
from e2e.controlplane.cluster import ControlPlane
from e2e.gangs import leads, sound
from e2e.harness import ROOT, Cluster, Operators
from e2e.jobs import job, role
from e2e.locked import ACCOUNT, NAMESPACE, RELEASE
from e2e.manifests import path_of
from e2e.nodes import Racks
from e2e.process import Process
from e2e.tools.build import PROGRAMS

pytestmark = pytest.mark.real("server-side apply and all kinds of a chart")
APIS = "muster.dev/v1alpha1/ClusterTopology"
"""What Argo CD and Flux tell Helm of a cluster with the CRDs: then it renders the ClusterTopology as what it is."""


@pytest.fixture
def controlplane() -> Iterator[ControlPlane]:
    """One of its own: the chart's policies are of the whole cluster."""
    with ControlPlane.start() as plane:
        plane.client.post(core("namespaces"), {"metadata": {"name": NAMESPACE}})
        yield plane


def rendered() -> list[Object]:
    """What `helm template` prints, the hook of `helm test` left out."""
    values = {"metrics": {"dashboard": {"create": True}}, "clusterTopology": {"preset": "GB300"}}
    helm = str(PROGRAMS.build(["helm"]) / "helm")
    command = [helm, "template", RELEASE, str(ROOT / "helm/muster"), "--namespace", NAMESPACE, "--no-hooks"]
    given = yaml.safe_dump(values)
    done = subprocess.run(
        [*command, "--api-versions", APIS, "--values", "-"], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def test_the_whole_chart_is_applied_again_without_a_write(
    controlplane: ControlPlane, cluster: Cluster, kubelet: Process, operator: Operators
) -> None:
    chart = rendered()
    kinds = {document["kind"] for document in chart}
    assert {"Deployment", "CustomResourceDefinition", "ClusterTopology", "ValidatingAdmissionPolicy"} <= kinds
    text = yaml.safe_dump_all(sorted(chart, key=lambda each: each["kind"] != "CustomResourceDefinition"))
    where = ("--namespace", NAMESPACE, "-f", "-")

    def versions() -> dict[str, str]:
        paths = [path_of(cluster.client, document, NAMESPACE) for document in chart]
        return {path: str(cluster.client.get(path)["metadata"]["resourceVersion"]) for path in paths}

    def settled() -> dict[str, str]:
        seen: list[dict[str, str]] = []

        def quiet() -> bool:
            seen.append(versions())
            return len(seen) > 3 and seen[-1] == seen[-2] == seen[-3] == seen[-4]

        wait_for(quiet, 60, "nothing of the chart is written any more", pause=0.7)
        return seen[-1]

    def applied(*how: str) -> str:
        return controlplane.kubectl("apply", *how, *where, stdin=text).stdout

    crds = yaml.safe_dump_all([each for each in chart if each["kind"] == "CustomResourceDefinition"])
    controlplane.kubectl("apply", *where, stdin=crds)
    served = [muster(plural) for plural in ("trainingjobs", "clustertopologies")]
    wait_for(lambda: all(cluster.client.send("GET", path).status == 200 for path in served), 30, "the kinds are served")
    applied()
    env = {"MUSTER_LEASE_NAMESPACE": NAMESPACE, "MUSTER_TOPOLOGY_STATUS_SECONDS": "1"}
    [process] = operator(user=ACCOUNT, env=env)
    process.wait_until(lambda: leads(process), 60, "leading")
    cluster.add_nodes(Racks(1, 4))
    cluster.submit(job("gang", [role(replicas=4)]))
    cluster.wait_phase("gang", "Running")

    for how in ((), ("--server-side", "--force-conflicts")):
        applied(*how)
        before = settled()
        said = applied(*how)
        assert versions() == before
        if not how:
            sent = [line for line in said.splitlines() if not line.endswith(" unchanged")]
            # Its selector goes with every three-way patch (patchStrategy replace), equal or not.
            assert sent == [f"poddisruptionbudget.policy/{RELEASE} configured"]
        drift = controlplane.kubectl("diff", *how, *where, stdin=text, check=False)
        assert (drift.returncode, drift.stdout) == (0, ""), drift.stderr
        assert settled() == before
    assert cluster.job("gang")["status"]["attempt"] == 1
    sound(process)
