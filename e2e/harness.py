"""What a test holds in its hands: a namespace with nodes, kubelets, jobs, and operator processes."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from e2e import kubelet, nodes
from e2e.client import Client, Object, core, muster, wait_for
from e2e.controlplane.cluster import free_ports
from e2e.nodes import Racks
from e2e.plane import Plane
from e2e.process import Process
from e2e.proxy import FaultProxy

ROOT = Path(__file__).resolve().parent.parent
"""The repository."""

FINISHED = ("Succeeded", "Failed")


class Cluster:
    """One cluster, one fresh namespace, and what a test adds; `close` takes it all away again.

    Nodes are of the whole cluster: one such object at a time.
    """

    def __init__(self, plane: Plane, namespace: str, logs: Path) -> None:
        self.plane = plane
        self.client: Client = plane.client
        self.namespace = namespace
        self.logs = logs
        self._kubelets: list[Process] = []
        self._proxies: list[FaultProxy] = []
        self.client.post(core("namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        account = core("serviceaccounts", namespace, "default")
        wait_for(lambda: self.client.find(account), 20, "the namespace has its service account")

    def add_nodes(self, racks: Racks) -> list[str]:
        """Create the nodes of some racks; return their names."""
        return nodes.create(self.client, racks)

    def start_kubelet(
        self, start_delay: float = 0.0, stop_delay: float = 0.0, heartbeats: float | None = None
    ) -> Process:
        """Start the kubelet stand-in for all nodes and wait until it has listed; see `e2e.kubelet`."""
        command = [sys.executable, "-m", "e2e.kubelet", "--kubeconfig", str(self._kubelet_config())]
        command += ["--start-delay", str(start_delay), "--stop-delay", str(stop_delay)]
        command += ["--heartbeats", str(heartbeats)] if heartbeats is not None else []
        log = self.logs / f"kubelet-{len(self._kubelets)}.log"
        process = Process("kubelet", command, log, cwd=ROOT).start()
        self._kubelets.append(process)
        process.wait_until(lambda: kubelet.SYNCED in process.output(), 30, "synced")
        return process

    def _kubelet_config(self) -> Path:
        return self.plane.kubeconfig_for("e2e-kubelet")

    def start_proxy(self) -> FaultProxy:
        """Start a fault proxy in front of the API server; give `proxy.url` to kubeconfig_for or operator()."""
        proxy = FaultProxy(self.plane.server, self.plane.ca).start()
        self._proxies.append(proxy)
        return proxy

    def submit(self, job: Object) -> Object:
        """Create a TrainingJob in the namespace, strictly validated."""
        body = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob"} | job
        return self.client.post(muster("trainingjobs", self.namespace), body, fieldValidation="Strict")

    def job(self, name: str) -> Object:
        return self.client.get(muster("trainingjobs", self.namespace, name))

    def change(self, name: str, spec: Object) -> Object:
        """Merge-patch a job's spec."""
        return self.client.patch(muster("trainingjobs", self.namespace, name), {"spec": spec})

    def delete_job(self, name: str, propagation: str | None = None) -> None:
        self.client.delete(muster("trainingjobs", self.namespace, name), propagation=propagation)

    def phase(self, name: str) -> str:
        return str(self.job(name).get("status", {}).get("phase", "Pending"))

    def wait_phase(self, name: str, *phases: str, timeout: float = 30.0) -> Object:
        """Wait until the job is in one of the phases; fails at once when it finished otherwise."""

        def reached() -> Object | None:
            job = self.job(name)
            phase = job.get("status", {}).get("phase")
            if phase in FINISHED and phase not in phases:
                raise AssertionError(f"{name} is {phase}, not {phases}: {job['status']}")
            return job if phase in phases else None

        found = wait_for(
            reached, timeout, f"{name} is {' or '.join(phases)}", seen=lambda: self.job(name).get("status")
        )
        assert found is not None
        return found

    def pods(self, job: str | None = None, **labels: object) -> list[Object]:
        """Return the namespace's pods, of one job or with further muster.dev labels (role="worker", rank=3)."""
        wanted = {"muster.dev/job-name": job} if job else {}
        wanted |= {f"muster.dev/{key.replace('_', '-')}": str(value) for key, value in labels.items()}
        selector = ",".join(f"{key}={value}" for key, value in wanted.items())
        return self.client.list(core("pods", self.namespace), labelSelector=selector or None)

    def annotate_pod(self, name: str, **wishes: str) -> None:
        """Tell the kubelet stand-in something about one pod, as in run_seconds="0", exit_code="3"."""
        annotations = {f"fake.muster.dev/{key.replace('_', '-')}": value for key, value in wishes.items()}
        self.client.patch(core("pods", self.namespace, name), {"metadata": {"annotations": annotations}})

    def close(self) -> None:
        """End the processes and remove jobs, pods, nodes and topologies. The operators must be gone by now."""
        for proxy in self._proxies:
            proxy.stop()
        if self.client.send("GET", muster("trainingjobs")).status == 200:
            self.client.send("DELETE", muster("trainingjobs", self.namespace))
            self.client.send("DELETE", muster("clustertopologies"))
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        self.client.send("DELETE", core("pods", self.namespace), options)
        # The collector takes half a minute to know a kind whose CRD is new; the next test must not find what is left.
        self.client.send("DELETE", core("services", self.namespace))
        for process in self._kubelets:
            process.stop(grace=2.0)
        nodes.remove_all(self.client)
        self.client.send("DELETE", core("namespaces", name=self.namespace))
        wait_for(lambda: not self.client.list(core("nodes")), 30, "all nodes are gone")


class Operators:
    """Starts `python -m muster run` as processes and ends them all."""

    def __init__(self, plane: Plane, logs: Path, namespace: str) -> None:
        self.plane = plane
        self.logs = logs
        self.settings = {
            # A Lease of its own for every test: one left by a killed leader would hold up the next.
            "MUSTER_LEASE_NAMESPACE": namespace,
            "MUSTER_METRICS_BIND_PORT": "{port}",
            "MUSTER_PROBE_BIND_PORT": "{port}",
        }
        """What every replica gets; `env` of a call goes over it."""
        self.replicas: list[Process] = []
        self._numbers = itertools.count()

    def __call__(
        self,
        replicas: int = 1,
        env: Mapping[str, str] | None = None,
        kubeconfig: Path | None = None,
        server: str | None = None,
        user: str = "e2e-admin",
    ) -> list[Process]:
        """Start replicas; return their processes (also in `self.replicas`). Does not wait for readiness.

        env -- settings, MUSTER_*; `{index}` becomes the replica's number, `{port}` a free port.
        kubeconfig -- which one; else one for `user`, at `server` (a fault proxy's url) if given.
        """
        started = []
        for _ in range(replicas):
            index = next(self._numbers)
            config = kubeconfig or self.plane.kubeconfig_for(user, server=server)
            # Nothing of the caller's own settings may reach the operator under test.
            clean = {key: value for key, value in os.environ.items() if not key.startswith(("MUSTER_", "KUBE"))}
            given = {
                key: value.replace("{index}", str(index)).replace("{port}", str(free_ports(1)[0]))
                for key, value in (self.settings | dict(env or {})).items()
            }
            environment = clean | {"KUBECONFIG": str(config), "PYTHONUNBUFFERED": "1"} | given
            log = self.logs / f"operator-{index}.log"
            command = [sys.executable, "-m", "muster", "run"]
            process = Process(f"operator-{index}", command, log, env=environment, cwd=ROOT)
            started.append(process.start())
        self.replicas += started
        return started

    def restart(self, process: Process) -> Process:
        """Start a replica that has ended again, with the settings it had; the log goes on."""
        return process.start()

    def terminate(self, process: Process) -> int | None:
        """SIGTERM and wait for the orderly end; returns the exit code."""
        process.signal(signal.SIGTERM)
        wait_for(lambda: not process.running, 30, f"{process.name} ends after SIGTERM")
        return process.exit_code

    def stop(self) -> None:
        """End all of them, frozen ones too."""
        for process in self.replicas:
            process.stop(grace=5.0)
