"""What a node image is made of, gathered where there is a network: Debian, Kubernetes' programs, kind's own files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from e2e.controlplane import build as controlplane
from e2e.gobuild import STRIPPED, Programs
from e2e.kind import cache, debian
from e2e.kind.commands import output
from e2e.kind.stages import stage
from e2e.tools import build as tools

SUITE = "bookworm"
"""systemd 252: later ones refuse to start on a host of cgroup v1."""
PACKAGES = (
    *("systemd", "systemd-sysv", "bash", "ca-certificates", "curl", "jq", "procps", "util-linux", "mount", "kmod"),
    *("conntrack", "iptables", "nftables", "iproute2", "ethtool", "e2fsprogs", "libseccomp2", "pigz"),
    *("containerd", "runc", "containernetworking-plugins"),
)
HERE = Path(__file__).parent
ON_NODES = ("kubelet", "kubeadm", "kubectl")
STATIC = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
"""Programs whose image is nothing but the program."""
KUBERNETES = replace(
    controlplane.PROGRAMS,
    packages={
        **controlplane.PROGRAMS.packages,
        **{name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kubelet", "kubeadm", "kube-proxy")},
    },
)
"""The control plane's own module, and its place in the cache: what is there is not built again."""
OTHERS = Programs(
    name="kind-programs",
    module=HERE.parent / "programs",
    packages={"coredns": "./coredns", "pause": "./pause"},
    leading="github.com/coredns/coredns",
    flags=lambda version: f"{STRIPPED} -X github.com/coredns/coredns/coremain.CoreVersion={version.removeprefix('v')}",
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Where everything is; `recipe` stands for all of it."""

    rootfs: Path
    programs: Mapping[str, Path]
    kind_files: Path
    version: str
    recipe: str

    def image_names(self) -> dict[str, str]:
        """The names by which kubeadm asks for the components' images, by component."""
        listed = output([self.programs["kubeadm"], "config", "images", "list", "--kubernetes-version", self.version])
        return {name.rsplit("/", 1)[-1].partition(":")[0]: name for name in listed.split()}


def gather() -> Parts:
    """Make or find all parts. Needs root, a Debian mirror and Go modules where the cache lacks something."""
    with stage("Kubernetes, CoreDNS and kind from Go modules"):
        kubernetes, others = KUBERNETES.build(), OTHERS.build()
        tools.PROGRAMS.build(["kind"])
    rootfs = debian.tarball("node", SUITE, PACKAGES)
    programs = {name: kubernetes / name for name in KUBERNETES.packages} | {n: others / n for n in OTHERS.packages}
    kind = kind_module()
    own = cache.files(HERE.parent, "node", "programs")
    recipe = cache.digest([rootfs.stem, kubernetes.name, others.name, kind.name, *own])
    return Parts(rootfs, programs, kind / "images/base/files", KUBERNETES.version(), recipe)


def kind_module() -> Path:
    """The directory of kind's Go module, at the version that its binary is built from."""
    module = tools.PROGRAMS.module
    if shutil.which("go") is None:
        raise FileNotFoundError("go")
    told = json.loads(output(["go", "mod", "download", "-json", "sigs.k8s.io/kind"], cwd=module))
    return Path(told["Dir"])
