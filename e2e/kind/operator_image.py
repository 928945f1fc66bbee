"""The operator's image from the repository's Dockerfile, as `make image` builds it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from e2e.harness import ROOT
from e2e.kind import docker, python_base
from e2e.kind.commands import run
from e2e.kind.stages import stage

NAME = "muster:e2e"
"""No `latest`: Kubernetes would want to pull that."""


def build(bases: python_base.Bases | None, tag: str = NAME) -> str:
    """Build the image and return its tag.

    bases -- what to build on where the Dockerfile's default cannot be pulled.
    """
    with stage("operator image"):
        arguments = {"VERSION": version(), "REVISION": revision()}
        if bases is not None:
            bases.load()
            arguments |= {"BASE": python_base.BASE, "BUILDER": python_base.BUILDER}
        docker.build(ROOT, tag, arguments, classic=bases is not None)
    return tag


def build_platforms(platforms: str, tag: str, tar: Path) -> None:
    """Build for several platforms with buildx, into one archive in OCI layout (skopeo and crane read it).

    platforms -- as in "linux/amd64,linux/arm64"; raises KindError where there is no buildx.
    """
    tar.parent.mkdir(exist_ok=True)
    with stage(f"operator image for {platforms}"):
        command = ["docker", "buildx", "build", "--platform", platforms, "--tag", tag]
        command += ["--build-arg", f"VERSION={version()}", "--build-arg", f"REVISION={revision()}"]
        run([*command, "--output", f"type=oci,dest={tar}", ROOT], timeout=3600)


def default_base() -> str:
    """The image that the Dockerfile builds on by default."""
    found = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    if found is None:
        raise LookupError("the Dockerfile has no `ARG BASE=`")
    return found[1]


def version() -> str:
    """The project's version."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def revision() -> str:
    """The commit that the tree is at; `-dirty` behind it where files differ."""
    done = run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], check=False)
    return done.stdout.strip() or "unknown"
