"""From apply to all bound: one gang of 512 nodes on 1,152."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

from e2e.client import Object
from e2e.nodes import Racks

from benchmarks.bound import Bound
from benchmarks.client import GATE
from benchmarks.report import facts, say, spread, write
from benchmarks.stage import NAMESPACE, Stage, copies, gang

GOAL = 1.5
NODES = 512
VARIANTS = {
    "nomination off, no client limit": {"nominate": "false", "pods_qps": "0"},
    "nomination on, no client limit": {"nominate": "true", "pods_qps": "0"},
}


def run(quick: bool, profile: Path | None) -> None:
    """Measure and write the page."""
    rounds = 2 if quick else 5
    stage = Stage(Racks(racks=64, nodes=18), profile)
    try:
        stage.prepare()
        _measure(stage, rounds)
    finally:
        stage.close()


def _measure(stage: Stage, rounds: int) -> None:
    took: dict[str, list[float]] = {name: [] for name in VARIANTS}
    floor: list[float] = []
    pods: list[Object] = []
    for number in range(rounds):
        for name, settings in VARIANTS.items():
            with stage.operator(**settings):
                seconds = _gang(stage)
                took[name].append(seconds)
                say(f"round {number + 1}: {name}: {seconds:.2f} s")
                pods = pods or copies(stage.pods("big"), GATE)
            times = stage.floor(pods, gated=True)
            floor.append(times["bound"] - times["began"])
            created, ungated = times["created"] - times["began"], times["ungated"] - times["created"]
            say(f"round {number + 1}: floor: {floor[-1]:.2f} s (creates {created:.2f} s, ungating {ungated:.2f} s)")
    least = median(floor)
    rows = [["floor: a plain client, 32 in flight", spread(floor), "1.00"]]
    rows += [[f"operator, {name}", spread(values), f"{median(values) / least:.2f}"] for name, values in took.items()]
    nodes, version = len(stage.racks.names()), stage.client.get("/version")["gitVersion"]
    text = f"""\
One TrainingJob of {NODES} pods (4 GPUs each, segments of 16 in NVLink) on {nodes} nodes: seconds from its apply to the
last of its pods bound, as an independent watch sees it; median (least-most) of {rounds} rounds, operator and floor in
turn. The floor is the same {NODES} pods, gated and pinned, created, ungated and bound with no operator running. Goal:
at most {GOAL} times the floor with nomination off."""
    write(
        "one-gang", f"One gang of {NODES} nodes", [text, "", *facts(version)], ["", "apply to all bound", "ratio"], rows
    )


def _gang(stage: Stage) -> float:
    bound = Bound(stage.client, NAMESPACE).start()
    began = time.time()
    stage.submit(gang("big", NODES))
    seconds = bound.wait(NODES, 300) - began
    bound.stop()
    return seconds
