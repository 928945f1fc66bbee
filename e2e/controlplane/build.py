"""Build the control plane's binaries once per version, into a cache outside the tree.

`python -m e2e.controlplane.build` prints the directory that holds them. With
KUBEBUILDER_ASSETS set nothing is built; that directory is checked and used.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODULE = Path(__file__).resolve().parent
"""Directory of the Go module whose `tool` lines name the programs."""

NEEDED = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
OPTIONAL = ("kubectl",)
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    **{name: f"k8s.io/kubernetes/cmd/{name}" for name in (*NEEDED[1:], *OPTIONAL)},
}
GIB = 1 << 30


class BuildError(Exception):
    """The binaries cannot be had; the message says what is missing and what to do."""


def kubernetes_version(go_mod: str) -> str:
    """Return the version of k8s.io/kubernetes that a go.mod text requires."""
    found = re.search(r"^\s*(?:require\s+)?k8s\.io/kubernetes (v1\.\d+\.\d+)", go_mod, re.MULTILINE)
    if found is None:
        raise BuildError("go.mod does not require k8s.io/kubernetes")
    return found[1]


def linker_flags(version: str) -> str:
    """Return the -ldflags: stripped, and with the version that the API server reports."""
    major, minor, _ = version.removeprefix("v").split(".")
    flags = ["-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        flags += [
            f"-X {package}.gitVersion={version}",
            f"-X {package}.gitMajor={major}",
            f"-X {package}.gitMinor={minor}",
        ]
    return " ".join(flags)


def cache_directory() -> Path:
    """Return the directory of this version's binaries; it need not exist yet."""
    go_mod = (MODULE / "go.mod").read_text()
    version = kubernetes_version(go_mod)
    recipe = "\0".join((go_mod, linker_flags(version), "trimpath", "CGO_ENABLED=0"))
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "muster" / "controlplane" / f"{version}-{digest}"


def binaries() -> Path:
    """Return a directory with all of NEEDED, building what is missing.

    Raises BuildError where KUBEBUILDER_ASSETS is incomplete or Go is missing or fails.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        return _checked_assets(Path(assets))
    target = cache_directory()
    missing = [name for name in PACKAGES if not (target / name).exists()]
    if missing:
        target.mkdir(parents=True, exist_ok=True)
        with _locked(target / ".lock"):
            for name in PACKAGES:
                if not (target / name).exists():
                    _build(name, target)
    return target


def _checked_assets(directory: Path) -> Path:
    missing = [name for name in NEEDED if not os.access(directory / name, os.X_OK)]
    if missing:
        raise BuildError(
            f"KUBEBUILDER_ASSETS={directory} lacks {', '.join(missing)}: "
            "put them there, or unset the variable and they are built from source"
        )
    return directory


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock; it ends with the process, so a killed build blocks nobody."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another process builds into {path.parent}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(name: str, target: Path) -> None:
    """Build one program beside its final place and move it there, so that it is whole or absent."""
    go = shutil.which("go")
    if go is None:
        raise BuildError(f"{name} has to be built, and there is no `go` on the PATH (or set KUBEBUILDER_ASSETS)")
    if shutil.disk_usage(target).free < GIB:
        raise BuildError(f"less than 1 GiB is free where {name} is to be built: {target}")
    flags = linker_flags(kubernetes_version((MODULE / "go.mod").read_text()))
    partial = target / f".{name}.{os.getpid()}"
    _say(f"building {name} (minutes when Go's cache is cold)")
    began = time.monotonic()
    command = [go, "build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", str(partial), PACKAGES[name]]
    done = subprocess.run(command, cwd=MODULE, env={**os.environ, "CGO_ENABLED": "0"}, check=False)
    if done.returncode != 0:
        partial.unlink(missing_ok=True)
        raise BuildError(f"go build of {name} ended with {done.returncode}; its words are above")
    partial.replace(target / name)
    _say(f"built {name} in {time.monotonic() - began:.0f} s")


def _say(text: str) -> None:
    print(f"controlplane: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Build if need be and print where the binaries are."""
    try:
        print(binaries())
    except BuildError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
