"""Runs commands; one that fails is told with its last words."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.kind.stages import KindError

TAIL = 3_000
"""Characters of a command's output that an error carries."""


def run(
    command: Sequence[str | Path],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 600.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it wrote.

    timeout -- seconds. Raises KindError where it does not exist, fails (unless `check` is off) or does not end.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, cwd=cwd, env=env, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise KindError(f"there is no `{words[0]}` on this machine") from None
    except subprocess.TimeoutExpired as error:
        raise KindError(f"{' '.join(words)[:300]} has not ended after {timeout:.0f} s: {error.stderr!r}") from None
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout)[-TAIL:].strip()
        raise KindError(f"{' '.join(words)[:300]} ended with {done.returncode}: {said}")
    return done


def output(command: Sequence[str | Path], **more: object) -> str:
    """What the command wrote to stdout, without the blanks around it; further arguments as for `run`."""
    return run(command, **more).stdout.strip()  # type: ignore[arg-type]
