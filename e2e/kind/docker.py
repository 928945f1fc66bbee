"""The few things we ask of a Docker daemon."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.kind.commands import output, run
from e2e.kind.stages import KindError

CLASSIC = os.environ | {"DOCKER_BUILDKIT": "0"}
"""For images made from images that no registry has: BuildKit may not be there, and would look for them abroad."""


def answers() -> bool:
    """Whether a daemon is there and lets us in."""
    try:
        return run(["docker", "info"], check=False, timeout=30).returncode == 0
    except KindError:
        return False


def can_pull(image: str) -> bool:
    """Whether the daemon has the image, or can have it from a registry; then it has it afterwards."""
    if run(["docker", "image", "inspect", image], check=False).returncode == 0:
        return True
    try:
        return run(["docker", "pull", "--quiet", image], check=False, timeout=900).returncode == 0
    except KindError:
        return False


def label(image: str, key: str) -> str | None:
    """A label of a local image; None without the image or the label."""
    found = run(["docker", "image", "inspect", image], check=False)
    if found.returncode != 0:
        return None
    labels: Mapping[str, str] = json.loads(found.stdout)[0]["Config"]["Labels"] or {}
    return labels.get(key)


def inspect(name: str) -> dict[str, Any]:
    """What the daemon knows of a container or image."""
    found: list[dict[str, Any]] = json.loads(output(["docker", "inspect", name]))
    return found[0]


def build(
    context: Path,
    tag: str,
    arguments: Mapping[str, str] | None = None,
    dockerfile: Path | None = None,
    classic: bool = False,
) -> None:
    """Build an image; `arguments` are those of the Dockerfile (ARG)."""
    command: list[str | Path] = ["docker", "build", "--tag", tag]
    command += ["--file", dockerfile] if dockerfile else []
    for name, value in (arguments or {}).items():
        command += ["--build-arg", f"{name}={value}"]
    run([*command, context], env=CLASSIC if classic else None, timeout=1800)


def import_tar(tar: Path, tag: str, *changes: str) -> None:
    """Make an image of one layer from a tar of a root file system; `changes` are lines of a Dockerfile."""
    command: list[str | Path] = ["docker", "import"]
    for change in changes:
        command += ["--change", change]
    run([*command, tar, tag])


def save(image: str, tar: Path) -> None:
    """Write an image to a file, whole or not at all."""
    partial = tar.with_suffix(".partial")
    run(["docker", "save", "--output", partial, image])
    partial.replace(tar)


def forget(image: str) -> None:
    """Remove an image."""
    run(["docker", "rmi", image])


def exec_in(container: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in a container."""
    return run(["docker", "exec", container, *command], check=check)


def empty() -> None:
    """Remove every container and volume of the daemon, and images that have been nobody's for a week (the others make
    the next build quick). Only for one of our own."""
    containers = output(["docker", "ps", "--all", "--quiet"]).split()
    if containers:
        run(["docker", "rm", "--force", "--volumes", *containers])
    volumes = output(["docker", "volume", "ls", "--quiet"]).split()
    if volumes:
        run(["docker", "volume", "rm", "--force", *volumes])
    prune("--filter", "until=168h")


def prune(*which: str) -> None:
    """Remove images that no name stands for, what earlier builds may be continued from among them."""
    run(["docker", "image", "prune", "--force", *which])
