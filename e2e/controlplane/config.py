"""The files and command lines of the four processes: data in, text out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from e2e.controlplane.certs import Authority, Pair

LOOPBACK = "127.0.0.1"
SERVICE_RANGE = "10.96.0.0/16"
"""Only set because the API server wants one: no kube-proxy runs, so nothing routes to it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a test may change about the control plane; the defaults are for speed.

    node_lifecycle -- run the node lifecycle controller: nodes then need heartbeats
        (`e2e.kubelet --heartbeats`), lose Ready without them and get taints.
    node_monitor_grace_seconds, node_monitor_period_seconds -- its timing.
    apiserver, scheduler, controller_manager -- further flags, later ones win.
    feature_gates -- for all three.
    audit -- write an audit log (Metadata) to audit.log in the directory.
    controllers -- the `--controllers` list, before the node lifecycle one is taken out.
    """

    node_lifecycle: bool = False
    node_monitor_grace_seconds: int = 8
    node_monitor_period_seconds: int = 1
    apiserver: Sequence[str] = ()
    scheduler: Sequence[str] = ()
    controller_manager: Sequence[str] = ()
    feature_gates: Mapping[str, bool] = field(default_factory=dict)
    audit: bool = False
    controllers: Sequence[str] = ("*",)


@dataclass(frozen=True, slots=True)
class Ports:
    """The loopback ports, all chosen before anything starts."""

    etcd: int
    etcd_peer: int
    apiserver: int
    scheduler: int
    controller_manager: int


def kubeconfig(server: str, ca: Path | None, user: Mapping[str, str], namespace: str = "default") -> str:
    """Return a kubeconfig, as JSON (which is YAML): one cluster, one user, one context."""
    cluster = {"server": server} | ({"certificate-authority": str(ca)} if ca else {})
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": cluster}],
            "users": [{"name": "e2e", "user": dict(user)}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e", "namespace": namespace}}],
            "current-context": "e2e",
        },
        indent=1,
    )


def scheduler_configuration(kubeconfig_path: Path) -> str:
    """Return the scheduler's file; its client's limits exist only there, not as flags."""
    return json.dumps(
        {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(kubeconfig_path), "qps": 5000, "burst": 10000},
            "leaderElection": {"leaderElect": False},
        }
    )


def etcd_command(binary: Path, directory: Path, ports: Ports) -> list[str]:
    client, peer = f"http://{LOOPBACK}:{ports.etcd}", f"http://{LOOPBACK}:{ports.etcd_peer}"
    return [
        str(binary),
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        # The data lives as long as the test: a crash of the machine may lose it.
        "--unsafe-no-fsync",
        "--quota-backend-bytes=4294967296",
        "--log-level=warn",
    ]


def apiserver_command(
    binary: Path, directory: Path, ports: Ports, authority: Authority, serving: Pair, options: Options
) -> list[str]:
    command = [
        str(binary),
        f"--etcd-servers=http://{LOOPBACK}:{ports.etcd}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={ports.apiserver}",
        # Without this it refuses to publish a loopback address as an endpoint.
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--client-ca-file={authority.ca.certificate}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        f"--service-account-key-file={authority.service_accounts.certificate}",
        f"--service-account-signing-key-file={authority.service_accounts.key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--max-requests-inflight=3000",
        "--max-mutating-requests-inflight=1500",
        # Clearing a namespace after a test would otherwise go pod by pod, 70 a second.
        "--delete-collection-workers=16",
        "--v=1",
    ]
    if not options.node_lifecycle:
        # The plugin taints every new node not-ready, and the controller that lifts it is off.
        command.append("--disable-admission-plugins=TaintNodesByCondition")
    if options.audit:
        command += [
            f"--audit-log-path={directory / 'audit.log'}",
            f"--audit-policy-file={directory / 'audit-policy.json'}",
        ]
    return [*command, *_gates(options), *options.apiserver]


def scheduler_command(binary: Path, directory: Path, ports: Ports, serving: Pair, options: Options) -> list[str]:
    return [
        str(binary),
        f"--config={directory / 'scheduler.json'}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={ports.scheduler}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        "--v=1",
        *_gates(options),
        *options.scheduler,
    ]


def controller_manager_command(
    binary: Path, directory: Path, ports: Ports, authority: Authority, serving: Pair, options: Options
) -> list[str]:
    controllers = [*options.controllers, *([] if options.node_lifecycle else ["-node-lifecycle-controller"])]
    return [
        str(binary),
        f"--kubeconfig={directory / 'controller-manager.kubeconfig'}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={ports.controller_manager}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        "--leader-elect=false",
        # Without it the garbage collector, quota and namespace deletion fail silently under RBAC.
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={authority.service_accounts.key}",
        f"--root-ca-file={authority.ca.certificate}",
        f"--controllers={','.join(controllers)}",
        f"--node-monitor-grace-period={options.node_monitor_grace_seconds}s",
        f"--node-monitor-period={options.node_monitor_period_seconds}s",
        "--kube-api-qps=2000",
        "--kube-api-burst=4000",
        "--concurrent-gc-syncs=40",
        "--v=1",
        *_gates(options),
        *options.controller_manager,
    ]


def _gates(options: Options) -> list[str]:
    if not options.feature_gates:
        return []
    return ["--feature-gates=" + ",".join(f"{k}={str(v).lower()}" for k, v in options.feature_gates.items())]
