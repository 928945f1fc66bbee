"""Fill a history from the API: one thread and one watch a kind."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from e2e.client import ApiError, Client, wait_for
from muster.safety.record import GAP, QUIET, Event, History, Object
from muster.safety.replay import Violation, judge, report

log = logging.getLogger(__name__)
PATHS = {
    "Node": "/api/v1/nodes",
    "ClusterTopology": "/apis/muster.dev/v1alpha1/clustertopologies",
    "TrainingJob": "/apis/muster.dev/v1alpha1/trainingjobs",
    "Pod": "/api/v1/pods",
    "Service": "/api/v1/services",
}
SYNC_SECONDS = 30.0


class Stream:
    """Lists and watches one kind for ever, into a history."""

    def __init__(self, kind: str, client: Client, history: History) -> None:
        self.kind = kind
        self.known: dict[str, tuple[int, Object]] = {}
        """By uid: the revision last seen, and the object."""
        self._path = PATHS[kind]
        self._client = client
        self._history = history
        self._version = 0
        self._ending = threading.Event()
        self._reply: urllib3.BaseHTTPResponse | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind}", daemon=True)

    def start(self) -> None:
        """List, then watch in a thread; the list has been taken in on return."""
        self._list()
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        reply = self._reply
        if reply is not None:
            # Closing alone does not wake a reader that waits in recv.
            reply.shutdown()
        self._thread.join(10)

    def behind(self) -> list[str]:
        """Return what a fresh list shows and this stream has not delivered yet (empty: it is up to date)."""
        listed = {item["metadata"]["uid"]: item for item in self._client.list(self._path)}
        known = dict(self.known)
        late = [
            item["metadata"]["name"]
            for uid, item in listed.items()
            if known.get(uid, (0, {}))[0] < int(item["metadata"]["resourceVersion"])
        ]
        return late + [known[uid][1]["metadata"]["name"] for uid in known.keys() - listed.keys()]

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._watch()
                continue
            except ApiError as error:
                log.info("watch of %s: %s", self.kind, error)
                expired = error.status == 410
            except (HTTPError, OSError, ValueError) as error:
                # From the revision last seen the watch misses nothing.
                log.info("watch of %s: %r", self.kind, error)
                expired = False
            self._ending.wait(0.05)
            while expired and not self._ending.is_set():
                try:
                    self._list(again=True)
                    break
                except (ApiError, HTTPError, OSError) as error:
                    log.info("list of %s: %r", self.kind, error)
                    self._ending.wait(0.1)

    def _watch(self) -> None:
        query = {"watch": "true", "resourceVersion": self._version, "allowWatchBookmarks": "true"}
        reply = self._client.stream(self._path, 3700, timeoutSeconds=3600, **query)
        self._reply = reply
        try:
            rest = b""
            while not self._ending.is_set():
                chunk = reply.read1()
                if not chunk:
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
        finally:
            self._reply = None
            reply.close()

    def _take(self, event: dict[str, Any]) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            raise ApiError("WATCH", self._path, int(item.get("code", 500)), json.dumps(item))
        version = int(item["metadata"]["resourceVersion"])
        if kind != "BOOKMARK":
            self._record(kind, item, version)
        self._version = max(self._version, version)

    def _record(self, kind: str, item: Object, version: int, listed: bool = False) -> None:
        self._history.add(Event(version, self.kind, kind, item, time.time(), listed))
        uid = item["metadata"]["uid"]
        if kind == "DELETED":
            self.known.pop(uid, None)
        else:
            self.known[uid] = (version, item)

    def _list(self, again: bool = False) -> None:
        answer = self._client.get(self._path)
        version = int(answer["metadata"]["resourceVersion"])
        if again:
            gap = {"from": self._version + 1}
            self._history.add(Event(version, self.kind, GAP, gap, time.time()))
        listed = {}
        for item in answer["items"]:
            # Items of a list do not say what they are.
            item |= {"kind": self.kind}
            listed[item["metadata"]["uid"]] = item
            own = int(item["metadata"]["resourceVersion"])
            if self.known.get(item["metadata"]["uid"], (0, {}))[0] < own:
                self._record("MODIFIED" if again else "ADDED", item, own, listed=True)
        for uid in self.known.keys() - listed.keys():
            self._record("DELETED", self.known[uid][1], version, listed=True)
        self._version = version


class Watcher:
    """Watches from `start` on; judges on request, as often as one likes."""

    def __init__(self, client: Client, kinds: Iterable[str] = tuple(PATHS)) -> None:
        self.history = History()
        self._client = client
        self._streams = [Stream(kind, client, self.history) for kind in kinds]

    def start(self) -> Watcher:
        """List every kind and watch it from there. Returns itself."""
        for stream in self._streams:
            stream.start()
        return self

    def stop(self) -> None:
        """End the watches; the history stays."""
        for stream in self._streams:
            stream.stop()

    def catch_up(self) -> None:
        """Wait until all that has happened so far is in the history."""
        for stream in self._streams:
            wait_for(lambda s=stream: not s.behind(), SYNC_SECONDS, f"the watch of {stream.kind} is up to date")  # type: ignore[misc]

    def quiet(self) -> None:
        """Note that nothing is in motion now: S5 and S6 are judged at this point."""
        self.catch_up()
        last = max((event.rv for event in self.history.events), default=0)
        self.history.add(Event(last, "TrainingJob", QUIET, {}, time.time()))

    def violations(self) -> list[Violation]:
        """Return the violations of everything that has happened so far."""
        self.catch_up()
        return judge(self.history)

    def report(self, found: Iterable[Violation]) -> str:
        return report(found, self.history)

    def dump(self, path: Path) -> None:
        """Write the history as JSON lines; `python -m muster.safety` judges them again."""
        self.history.dump(path)
