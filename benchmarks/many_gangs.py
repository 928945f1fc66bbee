"""Pods a second: 60 gangs of 16 nodes at once on 4,608 nodes, beside kube-scheduler alone."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

from e2e.client import Object, concurrently
from e2e.nodes import GPU, Racks

from benchmarks.bound import Bound
from benchmarks.report import facts, say, spread, write
from benchmarks.stage import CREATE_WORKERS, NAMESPACE, Stage, gang

GOAL = 0.5
GANGS, SIZE = 60, 16
SETTINGS = {"nominate": "false", "pods_qps": "0"}


def run(quick: bool, profile: Path | None) -> None:
    """Measure and write the page."""
    rounds = 2 if quick else 4
    stage = Stage(Racks(racks=256, nodes=18), profile)
    try:
        stage.prepare()
        _measure(stage, rounds)
    finally:
        stage.close()


def _measure(stage: Stage, rounds: int) -> None:
    count = GANGS * SIZE
    ours: list[float] = []
    alone: list[float] = []
    for number in range(rounds):
        with stage.operator(**SETTINGS):
            ours.append(count / _gangs(stage))
            say(f"round {number + 1}: operator: {ours[-1]:.0f} pods/s")
        times = stage.floor([_plain(i) for i in range(count)], gated=False)
        alone.append(count / (times["bound"] - times["began"]))
        say(f"round {number + 1}: kube-scheduler alone: {alone[-1]:.0f} pods/s")
    rows = [
        ["kube-scheduler alone, ordinary pods", spread(alone, "pods/s"), "1.00"],
        ["operator, nomination off, no client limit", spread(ours, "pods/s"), f"{median(ours) / median(alone):.2f}"],
    ]
    nodes, version = len(stage.racks.names()), stage.client.get("/version")["gitVersion"]
    text = f"""\
{GANGS} TrainingJobs of {SIZE} pods (4 GPUs each, one NVLink domain) applied at once on {nodes} nodes: pods a second
from the first apply to the last pod bound; median (least-most) of {rounds} rounds in turn. Beside it kube-scheduler
alone with {count} ordinary, ungated pods of the same size, created 32 at a time. Goal: at least {GOAL} of that."""
    write(
        "many-gangs",
        f"{GANGS} gangs of {SIZE} nodes at once",
        [text, "", *facts(version)],
        ["", "bound", "ratio"],
        rows,
    )


def _gangs(stage: Stage) -> float:
    bound = Bound(stage.client, NAMESPACE).start()
    jobs = [gang(f"gang-{i:02}", SIZE) for i in range(GANGS)]
    began = time.time()
    concurrently(stage.submit, jobs, workers=CREATE_WORKERS)
    seconds = bound.wait(GANGS * SIZE, 300) - began
    bound.stop()
    return seconds


def _plain(number: int) -> Object:
    amounts = {GPU: "4"}
    container = {"name": "main", "image": "trainer", "resources": {"requests": amounts, "limits": amounts}}
    meta = {"name": f"plain-{number:04}"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}
