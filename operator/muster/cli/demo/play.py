"""Sets the demo up, plays it, has it judged, and takes it down again."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muster import safety
from muster.api import crds
from muster.cli.demo import summary
from muster.cli.demo.api import Api, Recorder, RefusedError
from muster.cli.demo.beside import Sums
from muster.cli.demo.children import Child, ChildError
from muster.cli.demo.mends import Mended
from muster.cli.demo.picture import picture
from muster.cli.demo.screen import Screen
from muster.cli.demo.story import BrokenOffError, Story
from muster.cli.demo.summary import Told
from muster.cli.rackmap.model import Picture

NODES, GPUS = 18, 4
"""Of a rack."""
START_SECONDS = 60.0
FRAME_SECONDS = 0.25
START_DELAY, STOP_DELAY = 1.0, 0.5
"""Seconds that the pods take to start and to stop, at speed 1."""
OPERATOR = {
    "MUSTER_LOG_FORMAT": "json",
    "MUSTER_LEASE_NAMESPACE": "kube-system",
    "MUSTER_METRICS_BIND_PORT": "0",
    "MUSTER_PROBE_BIND_PORT": "0",
    # The default spares an API server that others use, too.
    "MUSTER_PODS_QPS": "0",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    racks: int = 64
    speed: float = 1.0
    seed: int = 0
    keep: bool = False


@dataclass(slots=True)
class Result:
    """What came of it. `broken`: why the story did not come to its end; None: it did."""

    options: Options
    seconds: float = 0.0
    jobs: list[Told] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    mends: list[Mended] = field(default_factory=list)
    greedy: Sums = field(default_factory=Sums)
    events: int = 0
    violations: list[safety.Violation] = field(default_factory=list)
    broken: str | None = None

    @property
    def well(self) -> bool:
        """The story was told, and nothing unsafe was seen."""
        return self.broken is None and not self.violations

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        nodes = self.options.racks * NODES
        return {
            "racks": self.options.racks,
            "nodes": nodes,
            "gpus": nodes * GPUS,
            "seed": self.options.seed,
            "seconds": round(self.seconds, 1),
            "jobs": summary.as_json(self.jobs),
            "waiting": self.said.get("waiting"),
            "refused": self.said.get("refused"),
            "repairs": [mended.as_json() for mended in self.mends],
            "lastWords": self.said.get("lastWords"),
            "greedy": self.greedy.as_json(),
            "safety": {"events": self.events, "violations": [str(each) for each in self.violations]},
            "brokenOff": self.broken,
        }


class Stage:
    """The processes and what is known of them. Use as an async context."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.directory = Path(tempfile.mkdtemp(prefix="muster-demo-"))
        self.kubeconfig = self.directory / "kubeconfig"
        self._stack = AsyncExitStack()
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.api: Api
        self.recorder: Recorder
        self.operator: Child
        self.server: Child

    async def __aenter__(self) -> Stage:
        try:
            await self._raise()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def picture(self) -> Picture:
        """The racks as they are now."""
        now = self.recorder.now
        return picture(now["Node"].values(), now["Pod"].values(), now["TrainingJob"].values())

    def start_operator(self) -> None:
        """Start `muster run`."""
        env = OPERATOR | {"KUBECONFIG": str(self.kubeconfig)}
        log = self.directory / "operator.log"
        self.operator = Child("the operator", "muster", "run", log=log, env=env)
        self._stack.callback(self.operator.stop)

    async def leading(self) -> None:
        """Wait until the operator decides. Raises ChildError."""
        await self.operator.ready(lambda: '"leading"' in self.operator.output(), START_SECONDS)

    async def _raise(self) -> None:
        options, definitions = self.options, self.directory / "crds"
        definitions.mkdir()
        for name, text in crds.render().items():
            (definitions / name).write_text(text, encoding="utf-8")
        self.server = Child(
            "the API server",
            "muster.embedded",
            *("--crds", str(definitions), "--kubeconfig", str(self.kubeconfig), "--seed", str(options.seed)),
            *("--racks", str(options.racks)),
            *("--start-delay", str(START_DELAY / options.speed), "--stop-delay", str(STOP_DELAY / options.speed)),
            log=self.directory / "server.log",
            env={"PYTHONUNBUFFERED": "1"},
            clean=self.directory,
        )
        self._stack.callback(self.server.stop)
        await self.server.ready(lambda: "http://" in self.server.output(), START_SECONDS)
        config = json.loads(self.kubeconfig.read_text())
        self.api = Api(self.server.output().split()[-1], config["users"][0]["user"]["token"])
        self._stack.push_async_callback(self.api.close)
        self.recorder = Recorder(self.api)
        following = asyncio.create_task(self.recorder.run())
        self._stack.push_async_callback(_cancelled, following)
        async with asyncio.timeout(START_SECONDS):
            await self.recorder.started()


async def play(options: Options, screen: Screen) -> Result:
    """Play and judge. Ends early, in order, on SIGINT and SIGTERM (asyncio.CancelledError, KeyboardInterrupt)."""
    result = Result(options)
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    nodes = options.racks * NODES
    screen.chapter(f"A cluster of {options.racks} racks, each of {NODES} nodes with {GPUS} GPUs")
    async with Stage(options) as stage:
        screen.line(f"{nodes} nodes, {nodes * GPUS} GPUs: one process serves their API, binds and runs their pods")
        stage.start_operator()
        await stage.leading()
        screen.line("the operator leads")
        await _tell(stage, screen, result)
        if options.keep and result.broken is None:
            _keep(screen, stage)
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    return result


async def _tell(stage: Stage, screen: Screen, result: Result) -> None:
    options = stage.options
    story = Story(
        stage.api, stage.recorder, screen, options.racks, options.speed, random.Random(options.seed), stage.directory
    )
    screen.begin()
    screen.open(stage.picture)
    drawing = asyncio.create_task(_draw(screen))
    watching = asyncio.create_task(_alive(stage))
    playing = asyncio.create_task(_whole(story))
    try:
        await asyncio.wait({playing, watching}, return_when=asyncio.FIRST_COMPLETED)
        await (watching if watching.done() else playing)
    except (BrokenOffError, RefusedError, ChildError, TimeoutError) as error:
        result.broken = str(error)
    finally:
        for task in (playing, watching, drawing):
            await _cancelled(task)
        screen.close()
    result.seconds, result.jobs, result.said = screen.elapsed(), list(story.told.values()), story.said
    result.greedy, result.mends = story.beside.sums, story.mends
    if result.broken is not None:
        screen.bad(f"The story broke off: {result.broken}")
        screen.plain(stage.operator.output()[-3000:])
        return
    screen.plain(f"\n{summary.text(result.jobs)}\n")
    screen.prose(result.greedy.text())
    result.events = len(stage.recorder.history.events)
    result.violations = await asyncio.to_thread(safety.judge, stage.recorder.history)
    if result.violations:
        screen.bad("The checker found what must not be:")
        screen.plain(safety.report(result.violations, stage.recorder.history))
    else:
        screen.good(f"The checker went through {result.events} events of the API and found no breach of S1-S7.")


async def _whole(story: Story) -> None:
    await story.play()
    await story.settle()


async def _draw(screen: Screen) -> None:
    while True:
        screen.refresh()
        await asyncio.sleep(FRAME_SECONDS)


async def _alive(stage: Stage) -> None:
    while True:
        stage.server.check()
        stage.operator.check()
        await asyncio.sleep(0.5)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task


def _keep(screen: Screen, stage: Stage) -> None:
    program = Path(sys.argv[0]).name if Path(sys.argv[0]).name != "__main__.py" else "muster"
    screen.chapter("It runs on until Ctrl-C. In another terminal:")
    screen.plain(
        f"  export KUBECONFIG={stage.kubeconfig}\n"
        "  kubectl get trainingjobs -w\n"
        "  kubectl apply -f your-job.yaml     # see examples/; pods run until they are deleted, or as annotated:\n"
        '                                     #   fake.muster.dev/run-seconds: "30" on the pod template\n'
        "  kubectl delete node r03-n07        # and see what its gang does\n"
        f"  {program} top                         # the same racks, live"
    )
