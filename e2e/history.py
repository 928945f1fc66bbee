"""The CRDs and the operator as they were before the present CRDs, from the repository's own history."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from e2e.client import Object
from e2e.harness import ROOT
from e2e.manifests import documents

REVISION = "MUSTER_UPGRADE_FROM"
"""Environment variable: another revision to come from."""


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier muster: `crds` as documents, `package` the directory that holds its `muster`."""

    revision: str
    crds: list[Object]
    package: Path
    why: str = ""
    """Why it is not an earlier one, if so."""


def past(into: Path) -> Past:
    """The newest revision whose crds/ are not those of the working tree, unpacked below `into`.

    Where the history does not reach back so far (a shallow clone, no repository at all), the working tree itself.
    """
    revision = os.environ.get(REVISION) or _before()
    if not revision:
        why = "the history at hand knows no other crds/ (a shallow clone?): the present ones stand in for them"
        return Past("the working tree", documents(ROOT / "crds"), ROOT / "operator", why)
    archive = _git("archive", revision, "crds", "operator")
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(into, filter="data")
    return Past(revision[:12], documents(into / "crds"), into / "operator")


def _before() -> str:
    if not _git("rev-parse", "--is-inside-work-tree"):
        return ""
    present = {path.name: path.read_bytes() for path in (ROOT / "crds").glob("*.yaml")}
    for revision in ("HEAD", *_git("log", "--format=%H", "--", "crds").decode().split()):
        names = [Path(name).name for name in _git("ls-tree", "--name-only", revision, "crds/").decode().split()]
        if names and {name: _git("show", f"{revision}:crds/{name}") for name in names} != present:
            return revision
    return ""


def _git(*arguments: str) -> bytes:
    """What git prints; nothing where it fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        return b""
    return done.stdout if done.returncode == 0 else b""
