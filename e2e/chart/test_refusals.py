"""Values that are wrong are refused, each with a message that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.chart.helm import CHART, NAMESPACE, RELEASE, helm

pytestmark = pytest.mark.real("helm is built with the control plane's tools")
WRONG = [
    ("replicas=0", "at '/replicas': minimum: got 0, want 1"),
    ("replicaCount=3", "additional properties 'replicaCount' not allowed"),
    ("settings.podQps=3", "at '/settings': additional properties 'podQps' not allowed"),
    ("settings.podsQps=-1", "at '/settings/podsQps': minimum: got -1, want 0"),
    ("settings.podsQps=fast", "at '/settings/podsQps': got string, want number"),
    ("settings.leaseSeconds=2", "at '/settings/leaseSeconds': minimum: got 2, want 3"),
    ("settings.logLevel=trace", "at '/settings/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"),
    ("settings.leaseName=Not_A_Name", "at '/settings/leaseName': 'Not_A_Name' does not match pattern"),
    ("settings.identity=me", "at '/settings': additional properties 'identity' not allowed"),
    ("image.pullPolicy=Sometimes", "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"),
    ("image.digest=sha256:12", "at '/image/digest': 'sha256:12' does not match pattern"),
    ("image.repository=Muster", "at '/image/repository': 'Muster' does not match pattern"),
    ("watchNamespaces={Research}", "at '/watchNamespaces/0': 'Research' does not match pattern"),
    ("clusterTopology.preset=Amazon", "at '/clusterTopology/preset': value must be one of 'Auto', 'GB300'"),
    ("clusterTopology.spec.level=x", "at '/clusterTopology/spec': additional properties 'level' not allowed"),
    ("policies.podTemplate.allowedCapabilities={CAP_SYS_ADMIN}", "at '/policies/podTemplate/allowedCapabilities/0'"),
    ("policies.podTemplate.privileged=true", "additional properties 'privileged' not allowed"),
    ("metrics.rules.disabled={MusterNobody}", "at '/metrics/rules/disabled/0': value must be one of 'MusterNoLeader'"),
    ("metrics.serviceMonitor.interval=30", "at '/metrics/serviceMonitor/interval': got number, want string"),
    ("networkPolicy.apiServer.ports={0}", "at '/networkPolicy/apiServer/ports/0': minimum: got 0, want 1"),
    ("networkPolicy.apiServer.cidrs={10.0.0.1}", "at '/networkPolicy/apiServer/cidrs/0': '10.0.0.1' does not match"),
    ("extraEnv[0].name=MUSTER_PODS_QPS", "at '/extraEnv/0/name': 'not' failed"),
    ("resources.limits.memory=2GB", "at '/resources/limits/memory'"),
    ("settings.leaderElect=false", "replicas is 2 while settings.leaderElect is false"),
    (
        "terminationGracePeriodSeconds=20",
        "terminationGracePeriodSeconds is 20, not more than settings.shutdownSeconds, 20",
    ),
    ("settings.planLatestMs=1", "settings.planLatestMs is 1, less than settings.planQuietMs, 5"),
    ("clusterTopology.preset=Custom", "clusterTopology.preset is Custom, and clusterTopology.spec.levels is empty"),
    ("settings.metricsBindPort=0,metrics.rules.create=true", "metrics.serviceMonitor and metrics.rules need metrics"),
]


@pytest.mark.parametrize(
    ("value", "message"), WRONG, ids=[value.split("=")[0] + f"-{i}" for i, (value, _) in enumerate(WRONG)]
)
def test_a_wrong_value_is_refused_with_its_name(value: str, message: str, home: Path) -> None:
    done = helm("template", RELEASE, str(CHART), "-n", NAMESPACE, "--set", value, home=home, check=False)
    assert done.returncode != 0
    assert message in done.stderr


def test_an_old_cluster_is_refused(home: Path) -> None:
    done = helm("template", RELEASE, str(CHART), "--kube-version", "1.31.9", home=home, check=False)
    assert "chart requires kubeVersion: >=1.32.0-0 which is incompatible with Kubernetes v1.31.9" in done.stderr
    helm("template", RELEASE, str(CHART), "--kube-version", "1.32.0-gke.100", home=home)
