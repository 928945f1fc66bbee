"""When the n-th pod was bound: a watch that counts and reads nothing, so that it costs both sides alike and little."""

from __future__ import annotations

import threading
import time

from e2e.client import Client, core

ADDED = b'{"type":"ADDED"'


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
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.times)} of {count} pods are bound after {timeout:.0f} s")
            time.sleep(0.01)
        return self.times[count - 1]

    def _run(self) -> None:
        # Under this selector a pod appears, as ADDED, when it is bound.
        query = {"watch": "true", "fieldSelector": "spec.nodeName!=", "resourceVersion": self._version}
        with self._client.stream(self._path, 300.0, **query, timeoutSeconds=300) as reply:
            begun = b""
            while not self._stop.is_set() and (chunk := reply.read1(1 << 20)):
                # Only whether a line begins with these bytes matters; they may be cut in two.
                text = begun + chunk
                now = time.time()
                self.times.extend([now] * text.count(ADDED))
                last = text[-(len(ADDED) - 1) :]
                begun = last
