"""Figures as lines on the way and as a Markdown table at the end."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).resolve().parent / "results"


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, flush=True)


def spread(values: Sequence[float], unit: str = "s") -> str:
    """The median, and the least and the most."""
    return f"{median(values):.2f} {unit} ({min(values):.2f}-{max(values):.2f})"


def facts(server_version: str) -> list[str]:
    """The machine and the versions."""
    shared = "etcd, kube-apiserver, kube-scheduler, kube-controller-manager, the operator and what measures"
    return [
        f"- {os.cpu_count()} cores ({platform.machine()}), shared by {shared}",
        f"- Kubernetes {server_version}, GOGC=300, etcd without fsync; Python {platform.python_version()}",
        f"- load average at the end {os.getloadavg()[0]:.1f}; measured {datetime.now(UTC):%Y-%m-%d}",
    ]


def write(name: str, title: str, text: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the table and write the page."""
    table = [f"| {' | '.join(header)} |", "|" + "---|" * len(header), *(f"| {' | '.join(row)} |" for row in rows)]
    RESULTS.mkdir(exist_ok=True)
    page = [f"# {title}", "", *text, "", *table, ""]
    (RESULTS / f"{name}.md").write_text("\n".join(page))
    say("")
    for line in table:
        say(line)
