"""Go programs built once per version from the `tool` lines of a go.mod, into a cache outside the tree."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
STRIPPED = "-s -w"


class BuildError(Exception):
    """The binaries cannot be had; the message says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Programs:
    """What is built from one Go module.

    name -- of its directory in the cache, and what messages begin with.
    module -- the directory of go.mod and go.sum.
    packages -- file name of each program -> its Go package.
    leading -- the required module whose version the cache directory carries.
    flags -- the -ldflags for that version.
    """

    name: str
    module: Path
    packages: Mapping[str, str]
    leading: str
    flags: Callable[[str], str]

    def version(self) -> str:
        """The version of the leading module that go.mod requires."""
        found = re.search(
            rf"^\s*(?:require\s+)?{re.escape(self.leading)} (v\d+\.\d+\.\d+\S*)", self._go_mod(), re.MULTILINE
        )
        if found is None:
            raise BuildError(f"{self.module / 'go.mod'} does not require {self.leading}")
        return found[1]

    def cache_directory(self) -> Path:
        """The directory of the programs as go.mod and flags are now; it need not exist yet."""
        version = self.version()
        recipe = "\0".join((self._go_mod(), self.flags(version), "trimpath", "CGO_ENABLED=0"))
        digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return root / "muster" / self.name / f"{version}-{digest}"

    def build(self, names: Iterable[str] = ()) -> Path:
        """Return the directory with these programs (none named: all) in it, building what is missing.

        Raises BuildError where Go is missing or fails.
        """
        wanted = tuple(names) or tuple(self.packages)
        target = self.cache_directory()
        if any(not (target / name).exists() for name in wanted):
            target.mkdir(parents=True, exist_ok=True)
            with self._locked(target / ".lock"):
                missing = [name for name in wanted if not (target / name).exists()]
                if missing:
                    self._build(missing, target)
        return target

    def main(self, find: Callable[[], Path] | None = None) -> int:
        """Build if need be and print where the programs are (`find` where there is another way to have them)."""
        try:
            print((find or self.build)())
        except BuildError as error:
            self._say(str(error))
            return 1
        return 0

    def _go_mod(self) -> str:
        return (self.module / "go.mod").read_text()

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        """Hold an advisory lock; it ends with the process, so a killed build blocks nobody."""
        with path.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say(f"another process builds into {path.parent}; waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _build(self, names: Sequence[str], target: Path) -> None:
        """Build programs, all at once so that one is linked while the next is compiled, beside their final place and
        move them there, so that each is whole or absent."""
        listed = ", ".join(names)
        go = shutil.which("go")
        if go is None:
            raise BuildError(f"{listed}: to be built, and there is no `go` on the PATH")
        if shutil.disk_usage(target).free < GIB:
            raise BuildError(f"less than 1 GiB is free where {listed} is to be built: {target}")
        self._say(f"building {listed} (minutes when Go's cache is cold)")
        began = time.monotonic()
        packages = [self.packages[name] for name in names]
        for left in target.glob(".building-*"):  # by one that was killed: we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=target) as made:
            command = [go, "build", "-mod=readonly", "-trimpath", "-ldflags", self.flags(self.version())]
            command += ["-o", f"{made}{os.sep}", *packages]
            done = subprocess.run(command, cwd=self.module, env={**os.environ, "CGO_ENABLED": "0"}, check=False)
            if done.returncode != 0:
                raise BuildError(f"go build of {listed} ended with {done.returncode}; its words are above")
            for name, package in zip(names, packages, strict=True):
                (Path(made) / _called(package)).replace(target / name)
        self._say(f"built {listed} in {time.monotonic() - began:.0f} s")

    def _say(self, text: str) -> None:
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)


def _called(package: str) -> str:
    """The name that Go gives the program of a package: its last element that is no major version."""
    return re.sub(r"/v\d+$", "", package).rpartition("/")[2]
