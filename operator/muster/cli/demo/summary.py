"""What is left of the story at its end: one line a job, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from muster.cli.demo.beside import Pair
from muster.cli.output import table

LEVELS = ("nvlink", "leaf")


@dataclass(slots=True)
class Told:
    """One job. `domains`: by level what it used when it last started, and the fewest possible on an empty cluster."""

    name: str
    pods: int
    phase: str = "Pending"
    waited: float | None = None
    """Seconds from its creation (or its release) to all of its pods running; None: it never came to that."""
    attempts: int = 0
    domains: dict[str, tuple[int, int]] = field(default_factory=dict)
    beside: Pair | None = None
    """The racks that its last placement used, and those that a greedy scheduler would have used."""


def domains(status: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """By level, domains used and the fewest possible, of a placed job's status."""
    placement = status["placement"]
    used, least = placement["domains"], placement["least"]
    return {level: (int(used[level]), int(least[level])) for level in LEVELS if level in used and level in least}


def text(jobs: list[Told]) -> str:
    """The table, and what its columns mean."""
    heads = ("JOB", "PHASE", "WAITED", "PODS", "ATTEMPTS", *(level.upper() for level in LEVELS), "GREEDY")
    rows = []
    for job in jobs:
        waited = "-" if job.waited is None else f"{job.waited:.1f} s"
        counts = [
            f"{job.domains[level][0]}/{job.domains[level][1]}" if level in job.domains else "-" for level in LEVELS
        ]
        rows.append((job.name, job.phase, waited, job.pods, job.attempts, *counts, _greedy(job.beside)))
    levels = " and ".join(level.upper() for level in LEVELS)
    return (
        f"{table(heads, rows)}\n{levels}: domains used / the fewest possible on an empty cluster.\n"
        f"GREEDY: {LEVELS[0]} domains that greedy best-fit would have used."
    )


def _greedy(pair: Pair | None) -> str:
    if pair is None:
        return "-"
    return "no room" if pair.greedy is None else str(pair.greedy.used)


def as_json(jobs: list[Told]) -> list[dict[str, Any]]:
    """The same for machines."""
    return [
        {
            "job": job.name,
            "phase": job.phase,
            "waitedSeconds": None if job.waited is None else round(job.waited, 2),
            "pods": job.pods,
            "attempts": job.attempts,
            "domains": {level: {"used": used, "least": least} for level, (used, least) in job.domains.items()},
            "greedy": _greedy_json(job.beside),
        }
        for job in jobs
    ]


def _greedy_json(pair: Pair | None) -> dict[str, int] | None:
    return None if pair is None or pair.greedy is None else {"used": pair.greedy.used, "opened": pair.greedy.opened}
