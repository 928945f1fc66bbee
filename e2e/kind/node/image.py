"""Puts a node image together, and the components' images into its containerd."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.kind import debian, docker
from e2e.kind.commands import output, run
from e2e.kind.node.parts import HERE, ON_NODES, STATIC, Parts
from e2e.kind.stages import KindError, stage

RECIPE = "dev.muster.recipe"
PODNET = "muster.local/podnet:1"
"""As default-cni.yaml names it."""
CONTAINERD_SECONDS = 30.0


def ensure(parts: Parts) -> str:
    """Return the name of a node image made of these parts, building it where the daemon has none."""
    name = f"muster-kind/node:{parts.version}"
    if docker.label(name, RECIPE) != parts.recipe:
        with stage("node image"), debian.scratch("image") as work:
            _build(parts, name, work)
            docker.prune()  # the one before, of a gigabyte
    return name


def _build(parts: Parts, name: str, work: Path) -> None:
    root, tools = "muster-kind/debian:node", "muster-kind/network:tools"
    docker.import_tar(parts.rootfs, root)
    images = parts.image_names()
    tars = work / "images"
    tars.mkdir()
    context = work / "network"
    context.mkdir()
    shutil.copy(HERE / "gather.sh", context)
    docker.build(context, tools, {"DEBIAN": root}, HERE / "network.Dockerfile", classic=True)
    for program in STATIC:
        _component(images[program], "scratch", {f"/usr/local/bin/{program}": parts.programs[program]}, program, tars)
    _component(images["coredns"], "scratch", {"/coredns": parts.programs["coredns"]}, "/coredns", tars)
    _component(images["pause"], "scratch", {"/pause": parts.programs["pause"]}, "/pause", tars)
    proxy = {"/usr/local/bin/kube-proxy": parts.programs["kube-proxy"]}
    _component(images["kube-proxy"], tools, proxy, "kube-proxy", tars)
    network = {"/usr/local/bin/kubectl": parts.programs["kubectl"], "/usr/local/bin/podnet.sh": HERE / "podnet.sh"}
    _component(PODNET, tools, network, "sh", tars)
    bare = "muster-kind/node:bare"
    context = _node_context(parts, work / "node")
    arguments = {"DEBIAN": root, "KUBERNETES": parts.version, "PAUSE": images["pause"]}
    docker.build(context, bare, arguments, HERE / "Dockerfile", classic=True)
    _preload(bare, tars)
    context = work / "last"
    context.mkdir()
    # What `docker commit --change` does not know: the signal that ends systemd.
    (context / "Dockerfile").write_text(
        f"FROM {bare}\nLABEL {RECIPE}={parts.recipe}\nSTOPSIGNAL SIGRTMIN+3\n"
        'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]\nCMD []\n'
    )
    docker.build(context, name, classic=True)


def _component(image: str, base: str, content: dict[str, Path], entrypoint: str, tars: Path) -> None:
    """Make the image of one component, and save it to a tar."""
    with debian.scratch("component") as context:
        lines = [f"FROM {base}"]
        for place, path in content.items():
            shutil.copy(path, context / path.name)
            lines.append(f"COPY {path.name} {place}")
        if base == "scratch":
            lines.append("ENV PATH=/usr/local/bin:/usr/bin:/bin")
        (context / "Dockerfile").write_text("\n".join([*lines, f'ENTRYPOINT ["{entrypoint}"]', ""]))
        docker.build(context, image, classic=True)
    docker.save(image, tars / f"{image.rsplit('/', 1)[-1].partition(':')[0]}.tar")
    docker.forget(image)


def _node_context(parts: Parts, context: Path) -> Path:
    """Lay out what the node's Dockerfile copies, with the modes that Go modules do not keep."""
    shutil.copytree(parts.kind_files, context / "kind-files", copy_function=shutil.copyfile)
    for path in (context / "kind-files").rglob("*"):
        relative = path.relative_to(context / "kind-files")
        runs = relative.parts[:3] == ("usr", "local", "bin") or relative.parts[:2] == ("kind", "bin")
        path.chmod(0o755 if path.is_dir() or runs else 0o644)
    (context / "kind-files").chmod(0o755)
    (context / "bin").mkdir()
    for program in ON_NODES:
        shutil.copy(parts.programs[program], context / "bin")
    for name in ("crictl", "default-cni.yaml", "default-storage.yaml"):
        shutil.copy(HERE / name, context)
    (context / "crictl").chmod(0o755)
    return context


def _preload(image: str, tars: Path) -> None:
    """Import the components' images into the containerd of a node image, which is changed in place."""
    with _container(image, tars) as name:
        run(["docker", "exec", "--detach", name, "containerd"])
        deadline = time.monotonic() + CONTAINERD_SECONDS
        while docker.exec_in(name, "ctr", "version", check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise KindError(f"containerd did not start in {image} within {CONTAINERD_SECONDS:.0f} s")
            time.sleep(0.2)
        for tar in sorted(tars.glob("*.tar")):
            # Pinned: the kubelet never removes it to make room. Unpacked when first used, which keeps the image small.
            docker.exec_in(
                name, "ctr", "--namespace=k8s.io", "images", "import", "--label=io.cri-containerd.pinned=pinned",
                "--all-platforms", "--no-unpack", "--digests", f"/images/{tar.name}",
            )  # fmt: skip
        docker.exec_in(name, "pkill", "containerd")
        deadline = time.monotonic() + CONTAINERD_SECONDS
        while docker.exec_in(name, "pgrep", "containerd", check=False).returncode == 0:
            if time.monotonic() > deadline:
                raise KindError(f"containerd did not end in {image} within {CONTAINERD_SECONDS:.0f} s")
            time.sleep(0.2)
        run(["docker", "commit", name, image])


@contextmanager
def _container(image: str, tars: Path) -> Iterator[str]:
    begin = ["docker", "run", "--detach", "--network", "none", "--security-opt", "seccomp=unconfined"]
    name = output([*begin, "--volume", f"{tars}:/images:ro", "--entrypoint", "sleep", image, "infinity"])
    try:
        yield name
    finally:
        run(["docker", "rm", "--force", "--volumes", name])
