"""When the n-th pod was bound: a watch that counts and reads nothing, so that it costs both sides alike and little."""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress

from e2e.client import Client, core
from urllib3.exceptions import HTTPError

ADDED = b'{"type":"ADDED"'
VERSION = re.compile(rb'"resourceVersion":"(\d+)"')
"""The first in a line is that of the object itself: its metadata comes before everything that could hold another."""


class Bound:
    """Notes the time at which each pod of a namespace is bound, from `start` on."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.times: list[float] = []
        self._client = client
        self._path = core("pods", namespace)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bound", daemon=True)

    def start(self) -> Bound:
        """Begin with what happens from now on."""
        self._version = str(self._client.get(self._path, limit=1)["metadata"]["resourceVersion"])
        self._thread.start()
        return self

    def stop(self) -> None:
        """End at the next event or time-out of the watch."""
        self._stop.set()

    def wait(self, count: int, timeout: float) -> float:
        """Return when the `count`-th pod was bound (wall clock); raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while len(self.times) < count:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TimeoutError(f"{len(self.times)} of {count} pods were seen to be bound")
            time.sleep(0.01)
        return self.times[count - 1]

    def _run(self) -> None:
        while not self._stop.is_set():
            # The API server ends a watch that it finds slow, as happens on a busy machine: it goes on where it was.
            with suppress(HTTPError):
                self._watch()

    def _watch(self) -> None:
        # Under this selector a pod appears, as ADDED, when it is bound.
        query = {"watch": "true", "fieldSelector": "spec.nodeName!=", "resourceVersion": self._version}
        with self._client.stream(self._path, 60.0, **query, timeoutSeconds=50) as reply:
            rest = b""
            for chunk in reply.stream(1 << 20):
                *lines, rest = (rest + chunk).split(b"\n")
                if not lines:
                    continue
                self.times.extend([time.time()] * sum(line.startswith(ADDED) for line in lines))
                found = VERSION.search(lines[-1])
                if found is None:
                    raise RuntimeError(f"the watch says {lines[-1][:500]!r}")
                self._version = found[1].decode()
                if self._stop.is_set():
                    return
