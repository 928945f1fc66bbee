"""What every benchmark stands on: a control plane with nodes, the operator as a process, the floor as another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from e2e.client import Client, Object, concurrently, core, muster, wait_for
from e2e.controlplane.cluster import ControlPlane, free_ports
from e2e.harness import ROOT
from e2e.jobs import job, role
from e2e.manifests import apply, documents
from e2e.nodes import Racks, create
from e2e.process import Process

from benchmarks.bound import Bound

NAMESPACE = "bench"
CREATE_WORKERS = 32


QUIET = 5.0
"""Seconds without a write to any node after which the stage is set;"""
QUIET_AT_MOST = 600.0
"""seconds after which it never will be."""


class Stage:
    """One control plane with `racks`; node lifecycle off and no kubelets, so a pod's story ends when it is bound."""

    def __init__(self, racks: Racks, profile: Path | None = None) -> None:
        self.racks = racks
        self._profile = profile
        self._directory = Path(tempfile.mkdtemp(prefix="muster-bench-"))
        self._operators = 0
        self.plane = ControlPlane.start()
        self.client: Client = self.plane.client

    def prepare(self) -> None:
        """CRDs, nodes, namespace."""
        apply(self.client, documents(ROOT / "crds"))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self.client.post(core("namespaces"), namespace)
        create(self.client, self.racks)
        account = core("serviceaccounts", NAMESPACE, "default")
        wait_for(lambda: self.client.find(account), 20, "the namespace has its service account")
        self._settle()

    def _settle(self) -> None:
        """Wait until nobody writes nodes any more: kube-controller-manager annotates each new one, which for thousands
        of nodes takes a minute and half a core, and would fall on whoever is measured first."""
        before: set[str] = set()
        deadline = time.monotonic() + QUIET_AT_MOST
        while time.monotonic() < deadline:
            time.sleep(QUIET)
            now = {node["metadata"]["resourceVersion"] for node in self.client.list(core("nodes"))}
            if now == before:
                return
            before = now
        raise TimeoutError(f"nodes were still written to after {QUIET_AT_MOST:.0f} s")

    def close(self) -> None:
        """End the control plane."""
        self.plane.stop()

    @contextmanager
    def operator(self, **settings: str) -> Iterator[Process]:
        """The operator, leading and warmed up by one small gang; MUSTER_* settings by their names in lower case."""
        self._operators += 1
        probe, metrics = free_ports(2)
        given = {
            "lease_namespace": NAMESPACE,
            "probe_bind_port": str(probe),
            "metrics_bind_port": str(metrics),
            "log_format": "json",
        } | settings
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("MUSTER_", "KUBE"))}
        environment = clean | {"KUBECONFIG": str(self.plane.kubeconfig_for("e2e-admin")), "PYTHONUNBUFFERED": "1"}
        environment |= {f"MUSTER_{key.upper()}": value for key, value in given.items()}
        name = f"operator-{self._operators}"
        command = [sys.executable, *self._profiled(name), "-m", "muster", "run"]
        process = Process(name, command, self._directory / f"{name}.log", env=environment, cwd=ROOT).start()
        try:
            process.wait_until(lambda: '"leading"' in process.output(), 60, "leading")
            self._warm_up()
            yield process
        finally:
            if self._profile is not None:
                with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as reply:
                    (self._profile / f"{name}.metrics").write_bytes(reply.read())
                (self._profile / f"{name}.log").write_text(process.output())
            process.stop(grace=30.0)
            self.clear()

    def _profiled(self, name: str) -> Sequence[str]:
        return () if self._profile is None else ("-m", "cProfile", "-o", str(self._profile / f"{name}.prof"))

    def _warm_up(self) -> None:
        bound = Bound(self.client, NAMESPACE).start()
        self.submit(gang("warm-up", 16))
        bound.wait(16, 60)
        bound.stop()

    def submit(self, manifest: Object) -> None:
        """Create a job."""
        self.client.post(muster("trainingjobs", NAMESPACE), manifest)

    def floor(self, pods: Sequence[Object], gated: bool) -> Mapping[str, float]:
        """Have the plain client create these pods; return its times and `bound`."""
        written = self._directory / "pods.json"
        written.write_text(json.dumps(list(pods)))
        bound = Bound(self.client, NAMESPACE).start()
        command = [sys.executable, "-m", "benchmarks.client", "--namespace", NAMESPACE, "--pods", str(written)]
        command += ["--kubeconfig", str(self.plane.kubeconfig_for("e2e-admin")), *(["--gated"] if gated else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)
        if done.returncode != 0:
            raise RuntimeError(f"the plain client ended with {done.returncode}: {done.stderr[-2000:]}")
        times: dict[str, float] = json.loads(done.stdout)
        times["bound"] = bound.wait(len(pods), 300)
        bound.stop()
        self.clear()
        return times

    def pods(self, name: str) -> list[Object]:
        """The pods of a job."""
        return self.client.list(core("pods", NAMESPACE), labelSelector=f"muster.dev/job-name={name}")

    def clear(self) -> None:
        """Remove jobs and pods, and wait until the scheduler has had time to see it."""
        self.client.send("DELETE", muster("trainingjobs", NAMESPACE))
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        self.client.send("DELETE", core("pods", NAMESPACE), options, timeout=120.0)
        left = [core("pods", NAMESPACE, pod["metadata"]["name"]) for pod in self.client.list(core("pods", NAMESPACE))]
        concurrently(lambda path: self.client.send("DELETE", path, options), left)
        wait_for(lambda: not self.client.list(core("pods", NAMESPACE), limit=1), 60, "the pods are gone")
        time.sleep(1.0)


def gang(name: str, nodes: int) -> Object:
    """A gang of so many pods of four GPUs, in segments of 16."""
    return job(name, [role("worker", nodes, segment=("nvlink", 16))])


def copies(pods: Sequence[Object], gate: str) -> list[Object]:
    """The same pods as the operator made, as they are sent for the first time: gated, and owned by nobody."""
    made = []
    for number, pod in enumerate(pods):
        spec = {key: value for key, value in pod["spec"].items() if key not in ("nodeName", "volumes", "priority")}
        token = [volume["name"] for volume in pod["spec"].get("volumes", []) if "projected" in volume]
        volumes = [volume for volume in pod["spec"].get("volumes", []) if volume["name"] not in token]
        containers = []
        for container in spec["containers"]:
            mounts = [mount for mount in container.get("volumeMounts", []) if mount["name"] not in token]
            containers.append(container | {"volumeMounts": mounts})
        meta = {key: pod["metadata"][key] for key in ("labels", "annotations") if key in pod["metadata"]}
        spec |= {"schedulingGates": [{"name": gate}], "volumes": volumes, "containers": containers}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta | {"name": f"floor-{number:05}"}, "spec": spec}
        made.append(body)
    return made
