"""A child process with a log file, ended by pid and bound to the life of this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

GUARD = Path(__file__).resolve().parent / "guard.py"
TAIL = 4_000
"""Characters of a log that an error message carries."""


class ProcessError(Exception):
    """A child ended or did not become ready; the message carries the end of its log."""


class Process:
    """One running command in a process group of its own.

    Start it from a thread that lives as long as it should: see `e2e.guard`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.env = dict(os.environ if env is None else env)
        self.cwd = cwd
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        """Start the command; output is appended to the log. Returns itself."""
        if self.running:
            raise ProcessError(f"{self.name} runs already")
        # -S -E: the guard needs no packages, and skipping them makes it start in 10 ms.
        guarded = [sys.executable, "-S", "-E", str(GUARD), str(os.getpid()), *self.command]
        with self.log.open("ab") as out:
            self._child = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        if self._child is None:
            raise ProcessError(f"{self.name} was never started")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal), or None while it runs or was never started."""
        return None if self._child is None else self._child.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group; silently nothing if it has ended."""
        if self.running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def stop(self, grace: float = 10.0) -> int | None:
        """End it: SIGTERM, after `grace` seconds SIGKILL. Returns the exit code. Idempotent."""
        if self._child is None:
            return None
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self._child.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
        # The group may hold children of the child, even when it has itself ended.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._child.returncode

    def kill(self) -> None:
        """Kill -9 and reap."""
        self.signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait(10)

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and does nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def output(self) -> str:
        """Everything it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_until(self, ready: Callable[[], bool], timeout: float, what: str = "ready") -> None:
        """Poll until `ready()`; raise ProcessError if the process ends first or time is up."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                raise ProcessError(f"{self.name} ended with {self.exit_code} before it was {what}:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} was not {what} within {timeout:.0f} s:\n{self._tail()}")
            time.sleep(0.02)

    def _tail(self) -> str:
        return self.output()[-TAIL:]
