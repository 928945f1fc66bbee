"""The control plane's binaries, built from Go modules once per version.

`python -m e2e.controlplane.build` prints the directory that holds them. With
KUBEBUILDER_ASSETS set nothing is built; that directory is checked and used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from e2e.gobuild import STRIPPED, BuildError, Programs

NEEDED = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
OPTIONAL = ("kubectl",)


def linker_flags(version: str) -> str:
    """Return the -ldflags: stripped, and with the version that the API server reports."""
    major, minor, _ = version.removeprefix("v").split(".")
    flags = [STRIPPED]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        flags += [
            f"-X {package}.gitVersion={version}",
            f"-X {package}.gitMajor={major}",
            f"-X {package}.gitMinor={minor}",
        ]
    return " ".join(flags)


PROGRAMS = Programs(
    name="controlplane",
    module=Path(__file__).resolve().parent,
    packages={
        "etcd": "go.etcd.io/etcd/server/v3",
        **{name: f"k8s.io/kubernetes/cmd/{name}" for name in (*NEEDED[1:], *OPTIONAL)},
    },
    leading="k8s.io/kubernetes",
    flags=linker_flags,
)


def binaries() -> Path:
    """Return a directory with all of NEEDED, building what is missing.

    Raises BuildError where KUBEBUILDER_ASSETS is incomplete or Go is missing or fails.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return _checked_assets(Path(assets)) if assets else PROGRAMS.build()


def _checked_assets(directory: Path) -> Path:
    missing = [name for name in NEEDED if not os.access(directory / name, os.X_OK)]
    if missing:
        raise BuildError(
            f"KUBEBUILDER_ASSETS={directory} lacks {', '.join(missing)}: "
            "put them there, or unset the variable and they are built from source"
        )
    return directory


if __name__ == "__main__":
    sys.exit(PROGRAMS.main(binaries))
