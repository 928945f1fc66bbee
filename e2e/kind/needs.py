"""What the host must have for a node image and a Docker daemon of our own; installed where that is possible."""

from __future__ import annotations

import os
import shutil

from e2e.kind.commands import run
from e2e.kind.stages import KindError, stage

PROGRAMS = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "docker-init": "docker.io",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "unshare": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
}
"""Each program and the Debian package that has it."""


def ensure() -> None:
    """Install what is missing with apt; raises KindError where that cannot be."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        raise KindError(
            "no Docker daemon answers here that can pull images, and one of our own needs root. Start Docker with "
            "access to an image registry, or run this as root"
        )
    if not missing:
        return
    packages = sorted({PROGRAMS[name] for name in missing})
    if shutil.which("apt-get") is None:
        raise KindError(f"{', '.join(missing)} is missing, and there is no apt-get: install {' '.join(packages)}")
    with stage(f"apt-get install {' '.join(packages)}"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        # A daemon that the package would start is not ours to put away afterwards.
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        if run(install, env=quiet, check=False, timeout=900).returncode != 0:
            run(["apt-get", "update", "-qq"], env=quiet, timeout=900)
            run(install, env=quiet, timeout=900)
