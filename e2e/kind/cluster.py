"""A kind cluster: made, reached, filled with images, taken away."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from e2e.client import Client, core, wait_for
from e2e.kind import docker
from e2e.kind.commands import output, run
from e2e.kind.node.parts import KUBERNETES
from e2e.kind.stages import KindError, stage
from e2e.nodes import CLIQUE, GPU, LEAF, SPINE, ZONE
from e2e.tools import build as tools

NAME = "muster-e2e"
CONFIG = Path(__file__).with_name("cluster.yaml")
WORKERS = {f"{NAME}-worker": "rack-a", f"{NAME}-worker2": "rack-a", f"{NAME}-worker3": "rack-b"}
"""Each worker and its NVLink domain."""
GPUS = 4


@dataclass(frozen=True, slots=True)
class KindCluster:
    """One control plane and WORKERS, running; `programs` has kind, helm and kubectl."""

    kubeconfig: Path
    client: Client

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator."""
        program = KUBERNETES.cache_directory() / "kubectl"
        return run([program, f"--kubeconfig={self.kubeconfig}", *words], stdin=stdin, check=check)

    def helm(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run helm as the administrator."""
        program = tools.PROGRAMS.cache_directory() / "helm"
        return run([program, f"--kubeconfig={self.kubeconfig}", *words], check=check)

    def load(self, image: str) -> None:
        """Copy an image from Docker to every node."""
        kind("load", "docker-image", image, "--name", NAME)

    def equip(self, worker: str) -> None:
        """Make a worker look like a tray of a GB300 rack: labels, and GPUs in its status, which the kubelet keeps."""
        labels = {ZONE: "zone-1", SPINE: "spine-1", LEAF: "leaf-1", CLIQUE: WORKERS[worker]}
        labels |= {"nvidia.com/gpu.present": "true", "nvidia.com/gpu.product": "NVIDIA-GB300"}
        self.client.patch(core("nodes", name=worker), {"metadata": {"labels": labels}})
        # Allocatable too: left to the kubelet it follows some seconds later.
        amounts = {GPU: str(GPUS)}
        status = {"status": {"capacity": amounts, "allocatable": amounts}}
        self.client.patch(core("nodes", name=worker, sub="status"), status)


def prepare() -> None:
    """Build the programs that are needed, where the cache lacks them."""
    KUBERNETES.build(["kubectl"])
    tools.PROGRAMS.build(["kind", "helm"])


def exists() -> bool:
    """Whether a cluster of our name is there."""
    return NAME in output([_program(), "get", "clusters"]).split()


def create(image: str, kubeconfig: Path) -> KindCluster:
    """Create the cluster and wait until its nodes are ready and its DNS answers.

    image -- the node image; empty: kind's default.
    """
    chosen = ["--image", image] if image else []
    with stage("kind create cluster"):
        kind("create", "cluster", "--name", NAME, "--config", str(CONFIG), "--wait", "180s", *chosen)
    made = reach(kubeconfig)
    with stage("nodes ready, DNS up"):
        made.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s")
        made.kubectl("--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=180s")
        for worker in WORKERS:
            made.equip(worker)
    return made


def reach(kubeconfig: Path) -> KindCluster:
    """Return the cluster that is there; writes its kubeconfig."""
    text = kind("get", "kubeconfig", "--name", NAME)
    kubeconfig.write_text(text)
    kubeconfig.chmod(0o600)
    config = yaml.safe_load(text)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    pem = {
        "ca": cluster["certificate-authority-data"],
        "certificate": user["client-certificate-data"],
        "key": user["client-key-data"],
    }
    files = {name: kubeconfig.with_name(f"{kubeconfig.name}.{name}.pem") for name in pem}
    for name, path in files.items():
        path.write_bytes(base64.b64decode(pem[name]))
        path.chmod(0o600)
    client = Client(cluster["server"], None, files["ca"], certificate=(files["certificate"], files["key"]))
    wait_for(lambda: client.send("GET", "/readyz").status == 200, 60, "the API server of the kind cluster is ready")
    return KindCluster(kubeconfig, client)


def delete() -> None:
    """Take the cluster away; nothing where there is none. A paused node is let go first: Docker cannot stop it."""
    with stage("kind delete cluster"):
        for node in output([_program(), "get", "nodes", "--name", NAME]).split():
            if docker.inspect(node)["State"]["Paused"]:
                run(["docker", "unpause", node])
        kind("delete", "cluster", "--name", NAME)


def export_logs(where: Path) -> None:
    """Write the logs of all nodes and pods to a directory; what cannot be had is left out."""
    run([_program(), "export", "logs", where, "--name", NAME], check=False, timeout=300)


def kind(*words: str) -> str:
    """Run kind and return what it wrote to stdout."""
    return output([_program(), "--quiet", *words], timeout=900)


def _program() -> Path:
    program = tools.PROGRAMS.cache_directory() / "kind"
    if not program.exists():
        raise KindError(f"{program} is not built: python -m e2e.tools.build kind")
    return program
