"""`python -m e2e.kind`: tests on kind, and the images for them.

test [ARGUMENTS]      build the images, run the tests here (arguments go to pytest), leave nothing but the cache
run COMMAND...        the same with another command: a shell, for one
image [PLATFORMS]     the operator's image; with platforms by buildx, to a tar; without a registry to a tar as well
node-image            a node image for kind, made without a registry, to a tar
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from e2e.gobuild import BuildError
from e2e.harness import ROOT
from e2e.kind import docker, needs, operator_image, private, python_base, way
from e2e.kind.node import image, parts
from e2e.kind.stages import KindError, say, stage

INSIDE = "E2E_KIND_INSIDE"
"""Set for the second call of this program: the one in the namespaces of the private daemon."""
NODE_IMAGE, OPERATOR_IMAGE = "E2E_KIND_NODE_IMAGE", "E2E_KIND_OPERATOR_IMAGE"
"""How the tests are told the images; an empty node image is kind's default."""
DIST = ROOT / "dist"


def main(words: Sequence[str]) -> int:
    """Do what the words say; return the exit code."""
    # Asked to end, we put the host right first: by default Python would not.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        match list(words):
            case ["test", *arguments]:
                # What was measured is told as it goes.
                return run([sys.executable, "-m", "pytest", "-s", "--durations=8", str(ROOT / "e2e/kind"), *arguments])
            case ["run", "--", *command] | ["run", *command] if command:
                return run(command)
            case ["image", *platforms] if len(platforms) <= 1:
                return operator(*platforms)
            case ["node-image"]:
                return node()
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (KindError, BuildError) as error:
        say(str(error))
        return 1


def run(command: Sequence[str]) -> int:
    """Run a command where a Docker daemon has the images; return its exit code."""
    if INSIDE in os.environ:
        materials: way.Materials | None = way.materials()
    else:
        with private.alone():
            materials = way.choose()
            if materials is not None:
                return _again("run", *command)
    with nullcontext() if materials is None else private.daemon():
        told = {
            NODE_IMAGE: "" if materials is None else image.ensure(materials.node),
            OPERATOR_IMAGE: operator_image.build(None if materials is None else materials.bases),
        }
        env = {name: value for name, value in os.environ.items() if name != INSIDE}
        return subprocess.run(command, env=env | told, cwd=ROOT, check=False).returncode


def operator(platforms: str = "") -> int:
    """Build the operator's image under its version."""
    name = f"muster:{operator_image.version()}"
    tar = DIST / f"muster-{operator_image.version()}.tar"
    if INSIDE in os.environ:
        with private.daemon():
            _save(operator_image.build(python_base.prepare(), name), tar)
        return 0
    if platforms:
        operator_image.build_platforms(platforms, name, tar)
        return 0
    if docker.answers() and docker.can_pull(operator_image.default_base()):
        say(f"this machine's Docker has {operator_image.build(None, name)}")
        return 0
    with private.alone():
        needs.ensure()
        python_base.prepare()
        return _again("image")


def node() -> int:
    """Build the node image and write it to dist/."""
    if INSIDE in os.environ:
        with private.daemon():
            made = parts.gather()
            _save(image.ensure(made), DIST / f"kind-node-{made.version}.tar")
        return 0
    with private.alone():
        needs.ensure()
        parts.gather()
        return _again("node-image")


def _again(*words: str) -> int:
    os.environ[INSIDE] = "1"
    return private.enter([sys.executable, "-m", "e2e.kind", *words])


def _save(name: str, tar: os.PathLike[str]) -> None:
    DIST.mkdir(exist_ok=True)
    with stage(f"{name} written to {os.path.relpath(tar)}"):
        docker.save(name, DIST / os.path.basename(tar))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
