"""Trees of Debian packages, made with debootstrap: what images are made from where no image registry is in reach."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2e.kind import cache
from e2e.kind.commands import run
from e2e.kind.stages import stage

NOT_NEEDED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/log")
ISOLATED = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
"""Before what mounts or starts things in a tree: they end with it, however that ends, and rmtree meets no mount."""
_ONE_LINE = re.compile(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+/debian)/?\s", re.MULTILINE)
_DEB822 = re.compile(r"^URIs:\s+(\S+/debian)/?\s*$", re.MULTILINE)


def mirror(etc: Path = Path("/etc/apt")) -> str | None:
    """The mirror that this machine's own apt uses; None where it is no Debian: then debootstrap knows one."""
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if path.is_file():
            text = path.read_text(errors="replace")
            found = _DEB822.search(text) or _ONE_LINE.search(text)
            if found:
                return found[1]
    return None


def tarball(name: str, suite: str, packages: Sequence[str]) -> Path:
    """Return a tar of a root file system with these packages, from the cache if it is there."""
    made = cache.directory("debian") / f"{name}-{suite}-{cache.digest([suite, *packages, *NOT_NEEDED])}.tar"
    if not made.exists():
        with stage(f"Debian {suite} for {name}"), scratch(name) as tree:
            source = mirror()
            include = f"--include={','.join(packages)}"
            where = [source] if source else []
            run([*ISOLATED, "debootstrap", "--variant=minbase", include, suite, tree, *where], timeout=1800)
            for path in NOT_NEEDED:
                for child in (tree / path).iterdir() if (tree / path).is_dir() else ():
                    shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
            # Names the mirror of this machine, which is nobody else's business.
            (tree / "etc/apt/sources.list").unlink(missing_ok=True)
            pack(tree, made)
        cache.forget_others(made, f"*{name}-*.tar")
    return made


def derive(origin: Path, made: Path, change: Callable[[Path], None]) -> Path:
    """Return the tar `made`: where it does not exist, `origin` unpacked, changed and packed again."""
    if not made.exists():
        with scratch(made.stem) as tree:
            run(["tar", "-C", tree, "-xf", origin])
            change(tree)
            pack(tree, made)
    return made


def pack(tree: Path, made: Path) -> None:
    """Write a tree to a tar, whole or not at all."""
    partial = made.with_suffix(".partial")
    run(["tar", "-C", tree, "--sort=name", "-cf", partial, "."])
    partial.replace(made)


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A directory in the cache for the time of a build; those of killed builds are removed first."""
    above = cache.directory("scratch")
    for old in above.glob(f"{name}.*"):
        shutil.rmtree(old, ignore_errors=True)
    tree = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=above))
    tree.chmod(0o755)
    try:
        yield tree
    finally:
        shutil.rmtree(tree)
