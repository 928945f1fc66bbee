"""The processes that the demo starts, and their end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess  # nosec B404  # of ourselves, see below
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

TAIL = 2_000
"""Characters of a log that an error carries."""
STOP_SECONDS = 5.0


class ChildError(Exception):
    """A child ended, or was not ready in time; the message carries the end of its log."""


class Child:
    """One module of Python as a process that ends when we end: see `leash`."""

    def __init__(
        self, name: str, module: str, *arguments: str, log: Path, env: Mapping[str, str], clean: Path | None = None
    ) -> None:
        """Start it. `env` is added to the environment; `clean` is a directory to remove should we be killed."""
        self.name = name
        self._log = log
        leash = [sys.executable, "-m", "muster.cli.demo.leash", str(clean or "-")]
        with log.open("ab") as out:
            self._process = subprocess.Popen(  # nosec B603  # this Python, modules that the demo names
                [*leash, module, *arguments],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=_environment() | dict(env),
                # Ctrl-C is for us: we stop them in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def output(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    async def ready(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until a condition holds. Raises ChildError if the child ends first, or in time it does not."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self.check()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise ChildError(f"{self.name} was not ready within {seconds:.0f} s:\n{self.output()[-TAIL:]}") from None

    @property
    def ended(self) -> bool:
        """Whether it runs no longer."""
        return self._process.poll() is not None

    async def over(self, seconds: float) -> str:
        """Wait until it has ended: all that it wrote. Raises ChildError if that takes longer."""
        try:
            await asyncio.to_thread(self._process.wait, seconds)
        except subprocess.TimeoutExpired:
            raise ChildError(f"{self.name} did not end within {seconds:.0f} s:\n{self.output()[-TAIL:]}") from None
        finally:
            self.stop()  # also when we are cancelled: a thread waits for it
        return self.output()

    def check(self) -> None:
        """Raise ChildError if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise ChildError(f"{self.name} ended with {code}:\n{self.output()[-TAIL:]}")

    def stop(self) -> None:
        """End it: politely, then not."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def _environment() -> dict[str, str]:
    """Ours, without what would steer the operator or point it at another cluster."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("MUSTER_", "KUBE"))}
