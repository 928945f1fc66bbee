"""A Docker daemon of our own for the time of one command, in namespaces of its own.

`enter` starts the command with a network that has only a loopback device, its own mounts and its own process numbers:
containers reach each other and nothing else, nothing that they or the daemon set in the firewall or mount is ever seen
outside, and when the first process ends, however that happens, the kernel ends all the others. What such a daemon keeps
between runs, its images, is in the cache.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2e.kind import cache, docker, host
from e2e.kind.commands import run
from e2e.kind.stages import KindError, say, stage
from e2e.process import GUARD

RUNC = Path(__file__).with_name("runc.py")
NOTE = Path("/run/muster-kind.json")
"""What the host was like. Here, since it holds until the machine starts again, whatever cache a run has."""
SYS_RESOURCE = 24
"""Number of CAP_SYS_RESOURCE."""
START_SECONDS = 60.0
WRITTEN = ("/etc", "/opt")
"""Where daemons leave files whatever they are told: what they write there goes to memory."""


def home() -> Path:
    """Where the daemon's images and its log are."""
    return cache.directory("docker")


def enter(command: Sequence[str]) -> int:
    """Run a command that will call `daemon`, in namespaces of its own; return its exit code. Call it `alone`."""
    with _only_one_on_this_machine():
        host.restore(NOTE)  # what a killed run left
        host.record(NOTE)
        try:
            return _isolated(command)
        finally:
            host.restore(NOTE)


def _isolated(command: Sequence[str]) -> int:
    isolated = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    # The kernel ends unshare with us, and all that is in the namespaces with unshare.
    guarded = [sys.executable, "-S", "-E", str(GUARD), str(os.getpid()), *isolated]
    return subprocess.run([*guarded, "docker-init", "--", *command], check=False).returncode


@contextmanager
def _only_one_on_this_machine() -> Iterator[None]:
    """Sysctls and cgroups are the machine's, whatever cache a run has. The name of a socket is given back by the kernel
    when its process ends."""
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind(f"\0{host.CGROUP}")
        except OSError:
            raise KindError(
                "another private Docker daemon of this kind runs on this machine: wait for its end"
            ) from None
        yield


@contextmanager
def alone() -> Iterator[None]:
    """Hold the cache and the private daemon; ends with the process. Raises KindError where another run has them."""
    path = home() / "lock"
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KindError(f"another run builds or tests here ({path} is locked): wait for its end") from None
        yield


@contextmanager
def daemon() -> Iterator[None]:
    """The daemon, at Docker's usual address; call it inside `enter`. It has no containers at its beginning."""
    _mounts()
    run(["ip", "link", "set", "lo", "up"])
    settings = home() / "daemon.json"
    settings.write_text(json.dumps(configuration(home(), _bounding_set())))
    log = home() / "dockerd.log"
    with log.open("wb") as out:
        child = subprocess.Popen(["dockerd", "--config-file", str(settings)], stdout=out, stderr=subprocess.STDOUT)
    try:
        with stage("Docker daemon of our own"):
            _wait(child, log)
        docker.empty()
        yield
    finally:
        child.terminate()
        try:
            child.wait(60)
        except subprocess.TimeoutExpired:
            say("the private Docker daemon did not end when asked to and is killed")
            child.kill()


def configuration(data: Path, bounding: int) -> dict[str, object]:
    """Return the daemon's configuration file.

    bounding -- the capabilities this process may ever have, as a bit mask.
    """
    made: dict[str, object] = {
        "data-root": str(data / "data"),
        "storage-driver": "overlay2",
        "cgroup-parent": f"/{host.CGROUP}",
    }
    if not bounding >> SYS_RESOURCE & 1:
        made["runtimes"] = {"runc-less": {"path": sys.executable, "runtimeArgs": ["-S", "-E", str(RUNC)]}}
        made["default-runtime"] = "runc-less"
    return made


def _bounding_set() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    raise KindError("/proc/self/status does not tell the capabilities of this process")


def _mounts() -> None:
    """Give /run and what daemons write elsewhere to memory; seen only in this namespace."""
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])
    for place in WRITTEN:
        top = Path("/run/over") / place.lstrip("/")
        for part in ("upper", "work"):
            (top / part).mkdir(parents=True)
        options = f"lowerdir={place},upperdir={top / 'upper'},workdir={top / 'work'}"
        run(["mount", "-t", "overlay", "-o", options, "overlay", place])


def _wait(child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not docker.answers():
        if child.poll() is not None or time.monotonic() > deadline:
            end = log.read_text(errors="replace")[-2000:]
            raise KindError(f"the private Docker daemon did not start within {START_SECONDS:.0f} s:\n{end}")
        time.sleep(0.1)
