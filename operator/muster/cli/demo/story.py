"""What the demo plays: chapters of steps, each told from what the API then shows."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muster.cli.demo.api import GROUP, MERGE, Api, Recorder, RefusedError
from muster.cli.demo.beside import Beside
from muster.cli.demo.children import Child
from muster.cli.demo.gangs import NAMESPACE, SEGMENT, SMALL, Object, Sizes, manifest
from muster.cli.demo.mends import Mended, ended, mended, rack, where
from muster.cli.demo.screen import Screen
from muster.cli.demo.summary import Told, domains

JOBS = f"{GROUP}/namespaces/{NAMESPACE}/trainingjobs"
PATIENCE = 90.0
"""Seconds for one step, on a machine that is busy."""
PAUSE_SECONDS = 2.5
QUIET_SECONDS = 2.0
FINISHED = ("Succeeded", "Failed")
ROOM = ("Fragmented", "InsufficientCapacity")


class BrokenOffError(Exception):
    """A step did not come about; the text says which, and what was there instead."""


@dataclass(slots=True)
class Story:
    """Plays on a cluster of so many racks. `speed` divides the times that the story itself takes."""

    api: Api
    recorder: Recorder
    screen: Screen
    racks: int
    speed: float
    chance: random.Random
    directory: Path
    """With the file `kubeconfig`; outputs of commands go there."""
    told: dict[str, Told] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    """What was worth a line: why a job waits, what was refused."""
    mends: list[Mended] = field(default_factory=list)
    beside: Beside = field(init=False)
    _since: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.beside = Beside(self.recorder.now["Node"].values())

    async def play(self) -> None:
        """All chapters. Raises BrokenOffError, RefusedError."""
        sizes = Sizes(self.racks)
        await self._fill(sizes)
        await self._odd(sizes)
        await self._waits(sizes)
        await self._invalid()
        await self._starts_at_last()
        await self._suspended(sizes)
        await self._node_lost()
        await self._rank_fails()
        await self._ends()

    # --- chapters ---

    async def _fill(self, sizes: Sizes) -> None:
        pods = sizes.pretrain * SEGMENT
        self.screen.chapter(f"{pods} nodes in segments of {SEGMENT}: every segment inside one NVLink domain")
        await self._submit("pretrain", sizes.pretrain)
        await self._started("pretrain")
        await self._pause()
        self.screen.chapter("More gangs fill the racks; small ones take the nodes that these leave over")
        await self._submit("sweep", sizes.sweep, seconds=20)
        for name in SMALL:
            await self._submit(name, 0, nodes=2, seconds=20, aloud=False)
        self.screen.line(f"{SMALL[0]} to {SMALL[-1]}: 2 nodes each")
        await self._started("sweep")
        for name in SMALL:
            await self._started(name, aloud=False)
        longest = max(self.told[name].waited or 0.0 for name in SMALL)
        used = self._racks_of("pretrain") | self._racks_of("sweep")
        inside = sum(self._racks_of(name) <= used for name in SMALL)
        self.screen.line(
            f"the {len(SMALL)} small ones ran after {longest:.1f} s at most, "
            f"{inside} of them in racks that the large ones had opened"
        )
        await self._pause()

    async def _odd(self, sizes: Sizes) -> None:
        self.screen.chapter("A gang without segments goes where it touches the fewest racks")
        await self._submit("eval", 0, nodes=sizes.odd, segment=0, seconds=20)
        await self._started("eval")
        self.beside.follow(self.recorder.history.events)
        self.screen.line(f"greedy best-fit {self.beside.pairs['eval'].text()}")
        await self._pause()

    async def _waits(self, sizes: Sizes) -> None:
        self.screen.chapter("A job that does not fit says why it waits, in numbers")
        await self._submit("second", sizes.second)
        await self._until("second", lambda s: _why(s) in ROOM, "says why it waits")
        self.said["waiting"] = str(self._status("second")["waiting"]["message"])
        self.screen.line(f"second waits: {self.said['waiting']}")
        await self._pause()

    async def _starts_at_last(self) -> None:
        self.screen.chapter("It starts as soon as there is room")
        await self._until("sweep", lambda s: s["phase"] == "Succeeded", "ends by itself")
        self.screen.line("sweep has ended")
        await self._started("second")
        await self._pause()

    async def _suspended(self, sizes: Sizes) -> None:
        self.screen.chapter("A suspended job holds nothing until it is resumed")
        await self._submit("night", sizes.night, suspend=True)
        await self._until("night", lambda s: s["phase"] == "Suspended", "is Suspended")
        self.screen.line(f"night is Suspended; it has {len(self._pods('night'))} pods")
        await self.api.call("PATCH", f"{JOBS}/night", {"spec": {"suspend": False}}, MERGE)
        self._since["night"] = time.time()
        self.screen.line("night is resumed")
        await self._started("night")
        await self._pause()

    async def _invalid(self) -> None:
        self.screen.chapter("What cannot be is refused when it is applied")
        wrong = manifest("wrong", 40)
        wrong["spec"]["roles"][0]["topology"] = {"segments": [{"level": "nvlink", "sizes": [SEGMENT, SEGMENT]}]}
        try:
            await self.api.call("POST", f"{JOBS}?fieldValidation=Strict", wrong)
        except RefusedError as refused:
            self.said["refused"] = str(refused)
            self.screen.line(f"refused ({refused.status}): {refused}")
            await self._pause()
        else:
            raise BrokenOffError("40 pods in segments of 16 and 16 were accepted")

    async def _node_lost(self) -> None:
        self.screen.chapter("A node dies: its rank gets another of the same rack, all others keep theirs")
        before = where(self._status("pretrain"))
        taken = Counter(rack(pod["spec"].get("nodeName", "")) for pod in self.recorder.now["Pod"].values())
        there = Counter(rack(node["metadata"]["name"]) for node in self.recorder.now["Node"].values())
        spare = [node for node in before.values() if taken[rack(node)] < there[rack(node)]]
        lost = self.chance.choice(sorted(spare or before.values()))
        rank = next(rank for rank, node in before.items() if node == lost)
        await self.api.call("DELETE", f"/api/v1/nodes/{lost}")
        self.screen.line(f"node {lost} with rank {rank} of pretrain is deleted")
        await self._mended("pretrain", 2, before)

    async def _rank_fails(self) -> None:
        self.screen.chapter("A rank fails by itself: all start again where they are, and what it said is kept")
        before = where(self._status("pretrain"))
        rank = self.chance.choice(sorted(before))
        named = {"muster.dev/rank": str(rank), "muster.dev/attempt": "2"}
        pod = next(pod for pod in self._pods("pretrain") if named.items() <= pod["metadata"]["labels"].items())
        await self.api.call("PATCH", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}", ended(), MERGE)
        await self._mended("pretrain", 3, before)
        await self._last_words("pretrain", rank, 2)

    async def _ends(self) -> None:
        for name in (*SMALL, "eval"):
            await self._until(name, lambda s: s["phase"] == "Succeeded", "ends by itself")
        self.screen.chapter("All is told; what was started runs on")

    async def settle(self) -> None:
        """Wait until nothing is in motion, and say so in the history. Raises BrokenOffError."""

        def still() -> bool:
            jobs = self.recorder.now["TrainingJob"].values()
            pods = self.recorder.now["Pod"].values()
            claims = any(j.get("status", {}).get("phase") in FINISHED and j["status"].get("live") for j in jobs)
            return not claims and not any("deletionTimestamp" in pod["metadata"] for pod in pods)

        while True:
            if not await self.recorder.until(still, PATIENCE):
                raise BrokenOffError("claims or terminating pods are left over")
            before = len(self.recorder.history.events)
            await asyncio.sleep(QUIET_SECONDS)
            if len(self.recorder.history.events) == before or still():
                break
        await self.recorder.catch_up()
        self.recorder.quiet()
        self.beside.follow(self.recorder.history.events)
        for name, told in self.told.items():
            status = self._status(name)
            told.beside = self.beside.pairs.get(name)
            told.phase, told.attempts = status.get("phase", "deleted"), status.get("attempt", 0)

    # --- steps ---

    async def _submit(
        self,
        name: str,
        racks: int,
        *,
        nodes: int = 0,
        segment: int | None = None,
        seconds: float | None = None,
        suspend: bool = False,
        aloud: bool = True,
    ) -> None:
        pods = nodes or racks * SEGMENT
        if segment is None:
            segment = SEGMENT if racks else pods
        job = manifest(name, pods, segment, None if seconds is None else seconds / self.speed)
        if suspend:
            job["spec"]["suspend"] = True
        self.told[name] = Told(name, pods)
        self._since[name] = time.time()
        await self.api.call("POST", f"{JOBS}?fieldValidation=Strict", job)
        note = ", suspended" if suspend else ""
        if aloud:
            self.screen.line(f"{name}: {pods} nodes{f' in segments of {segment}' if segment else ''}{note}")

    async def _started(self, name: str, attempt: int = 1, *, aloud: bool = True) -> None:
        def runs(status: Object) -> bool:
            return status["phase"] in ("Running", "Succeeded") and status.get("attempt", 0) >= attempt

        await self._until(name, runs, "runs")
        status, told = self._status(name), self.told[name]
        seconds = self._ran_at(name, attempt) - self._since[name]
        if told.waited is None:
            told.waited = seconds
        told.domains = domains(status)
        if not aloud:
            return
        where = ", ".join(f"{used}/{least} {level}" for level, (used, least) in told.domains.items())
        again = f", attempt {status['attempt']}," if attempt > 1 else ""
        self.screen.line(f"{name}{again} ran on all its {told.pods} nodes after {seconds:.1f} s; domains: {where}")

    async def _mended(self, name: str, attempt: int, before: Mapping[int, str]) -> None:
        """Wait until it runs again in this attempt, without having been in the queue. Raises BrokenOffError."""

        def again(status: Object) -> bool:
            return status["phase"] == "Running" and int(status.get("attempt", 0)) >= attempt

        await self._until(name, again, f"is mended in attempt {attempt}")
        made = mended(name, self._status(name), before)
        if made is None or made.attempt != attempt:
            raise BrokenOffError(f"{name} was not mended in place: {self._status(name).get('lastFailure')}")
        self.mends.append(made)
        self.told[name].domains = domains(self._status(name))
        self.screen.line(made.why)
        self.screen.line(f"attempt {attempt}: {made.moves()}")
        self.screen.line(f"seconds from the failure: {made.stages()}")

    async def _last_words(self, name: str, rank: int, attempt: int) -> None:
        """What `muster logs` prints of a rank of an attempt that is over. Raises ChildError."""
        words = ["logs", name, "--rank", str(rank), "--attempt", str(attempt), "--tail", "5"]
        env = {"KUBECONFIG": str(self.directory / "kubeconfig")}
        child = Child("muster logs", "muster", *words, log=self.directory / "logs.txt", env=env)
        self.said["lastWords"] = (await child.over(PATIENCE)).rstrip()
        self.screen.line(f"$ muster {' '.join(words)}")
        self.screen.plain("\n".join(f"{'':9}{line}" for line in self.said["lastWords"].splitlines()))

    async def _until(self, name: str, holds: Any, what: str) -> None:
        def reached() -> bool:
            status = self._status(name)
            return bool(status) and holds(status)

        if not await self.recorder.until(reached, PATIENCE):
            raise BrokenOffError(f"{name}: not within {PATIENCE:.0f} s: {what}. Its status: {self._status(name)}")

    async def _pause(self) -> None:
        """Leave time to read."""
        await asyncio.sleep(PAUSE_SECONDS / self.speed)

    # --- what the API shows ---

    def _status(self, name: str) -> Object:
        for job in self.recorder.now["TrainingJob"].values():
            if job["metadata"]["name"] == name:
                status: Object = job.get("status") or {}
                return status if "phase" in status else {}
        return {}

    def _ran_at(self, name: str, attempt: int) -> float:
        """When it was first seen to run in this attempt or a later one, in seconds since 1970."""
        for event in self.recorder.history.events:
            if event.kind == "TrainingJob" and event.name == name:
                status = event.object.get("status") or {}
                if status.get("phase") in ("Running", "Succeeded") and status.get("attempt", 0) >= attempt:
                    return event.at
        raise BrokenOffError(f"{name} never ran")

    def _pods(self, name: str) -> list[Object]:
        def ours(pod: Object) -> bool:
            return bool((pod["metadata"].get("labels") or {}).get("muster.dev/job-name") == name)

        return [pod for pod in self.recorder.now["Pod"].values() if ours(pod)]

    def _racks_of(self, name: str) -> set[str]:
        return {pod["spec"]["nodeName"].partition("-")[0] for pod in self._pods(name) if pod["spec"].get("nodeName")}


def _why(status: Mapping[str, Any]) -> str:
    return str((status.get("waiting") or {}).get("reason", ""))
