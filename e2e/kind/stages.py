"""Says what is being done and how long it took: these lines are the record of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class KindError(Exception):
    """Something that is needed cannot be had; the message says what, and how to mend it."""


def say(text: str) -> None:
    """Write one line of progress to stderr."""
    print(f"kind: {text}", file=sys.stderr, flush=True)


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Time a step, and say so when it is through."""
    began = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - began:.1f} s")
