"""What the operator's Dockerfile builds on where no image registry is in reach: BASE and BUILDER from Debian packages.

Both have the same Python. The builder also has venv and, in /wheels, every distribution that installing the operator
asks for, at the version of constraints.txt, so that the Dockerfile's `pip install` needs no network.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from e2e.harness import ROOT
from e2e.kind import cache, debian, docker
from e2e.kind.commands import output, run
from e2e.kind.stages import stage

SUITE = "trixie"
RUNTIME = ("python3-minimal", "libpython3-stdlib", "ca-certificates", "tzdata")
BASE = "muster-base/python:3.13"
BUILDER = "muster-base/python-builder:3.13"
WHEELS = "/wheels"
PASSED_ON = ("INDEX_URL", "EXTRA_INDEX_URL", "TRUSTED_HOST", "DEFAULT_TIMEOUT")
"""Settings of pip that also hold for the download."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Bases:
    """Tars of the two root file systems."""

    base: Path
    builder: Path

    def load(self) -> None:
        """Make them images of the daemon, where they are not yet."""
        for tar, tag, changes in (
            (self.base, BASE, ()),
            (self.builder, BUILDER, ("ENV PIP_NO_INDEX=1", f"ENV PIP_FIND_LINKS={WHEELS}")),
        ):
            if docker.label(tag, "dev.muster.tar") != tar.stem:
                docker.import_tar(tar, tag, f"LABEL dev.muster.tar={tar.stem}", *changes)


def prepare() -> Bases:
    """Make both from Debian packages and the package index; quick where the cache has them."""
    full = debian.tarball("python", SUITE, (*RUNTIME, "python3-venv"))
    base = debian.derive(full, full.with_name(f"run{full.name}"), _without_venv)
    wanted = requirements(ROOT / "pyproject.toml")
    name = cache.digest([full.stem, *wanted, (ROOT / "constraints.txt").read_bytes()])
    made = cache.directory("wheels") / f"wheels-{name}.tar"
    if not made.exists():
        with stage("wheels of what the operator needs"):
            debian.derive(full, made, lambda tree: _download(tree, wanted))
        cache.forget_others(made, "wheels-*.tar")
    return Bases(base, made)


def requirements(pyproject: Path) -> list[str]:
    """What `pip install .` installs beside the project: what builds it, and what it depends on."""
    project = tomllib.loads(pyproject.read_text())
    return [*project["build-system"]["requires"], *project["project"]["dependencies"]]


def _without_venv(tree: Path) -> None:
    """Take away what only an installation needs: venv and the pip inside it."""
    names = output(["chroot", tree, "dpkg-query", "-W", "-f", "${Package} ", "python3*-venv", "python3-*-whl"])
    run(["chroot", tree, "dpkg", "--purge", *names.split()])


def _download(tree: Path, wanted: list[str]) -> None:
    """Fill /wheels of the builder's tree by its own Python, so that versions and markers are those of the image."""
    borrowed = [tree / "etc/resolv.conf", tree / "tmp/constraints.txt", tree / "tmp/certificates.pem"]
    shutil.copyfile("/etc/resolv.conf", borrowed[0])
    shutil.copyfile(ROOT / "constraints.txt", borrowed[1])
    shutil.copyfile(os.environ.get("PIP_CERT") or CERTIFICATES, borrowed[2])
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "PIP_CERT": "/tmp/certificates.pem"}
    env |= {f"PIP_{name}": os.environ[f"PIP_{name}"] for name in PASSED_ON if f"PIP_{name}" in os.environ}
    env |= {name: os.environ[name] for name in PROXIES if name in os.environ}
    run(["chroot", tree, "python3", "-m", "venv", "/tmp/pip"], env=env)
    fetch = ["/tmp/pip/bin/pip", "download", "--quiet", "--only-binary=:all:", "--constraint", "/tmp/constraints.txt"]
    run(["chroot", tree, *fetch, "--dest", WHEELS, *wanted], env=env, timeout=1800)
    shutil.rmtree(tree / "tmp/pip")
    for path in borrowed:
        path.unlink()
