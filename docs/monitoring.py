"""Writes the tables of monitoring.md from the operator's metrics and the alerts: `python docs/monitoring.py`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from muster.core.world import World
from muster.telemetry import Telemetry

PAGE = Path(__file__).parent / "monitoring.md"
ALERTS = Path(__file__).parent.parent / "helm" / "muster" / "files" / "alerts.yaml"
MARK = "<!-- written by python docs/monitoring.py -->\n"


def metrics() -> dict[str, tuple[str, list[str], str]]:
    """Name as it is exposed (histograms without suffix) -> its kind, labels and meaning."""
    telemetry = Telemetry()
    telemetry.watch_world(World())
    counted = {
        metric._name: metric._labelnames for metric in vars(telemetry).values() if hasattr(metric, "_labelnames")
    }
    found = {}
    for metric in telemetry.registry.collect():
        # What is computed at a scrape brings its labels along.
        labels = counted.get(metric.name) or getattr(metric, "_labelnames", ())
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        found[name] = (metric.type, list(labels), metric.documentation)
    return found


def alerts() -> list[dict[str, Any]]:
    """The alerts in the order of their file."""
    return [rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def tables() -> str:
    """Both tables."""
    lines = ["", "## Alerts", "", "| alert | severity | after | meaning |", "|---|---|---|---|"]
    for rule in alerts():
        notes = rule["annotations"]
        said = re.sub(r"{{[^}]*}}", "…", f"{notes['summary']} {notes['description']}")
        lines.append(f"| {rule['alert']} | {rule['labels']['severity']} | {rule.get('for', 'at once')} | {said} |")
    lines += ["", "## Metrics", "", "| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for name, (kind, labels, meaning) in sorted(metrics().items()):
        lines.append(f"| `{name}` | {kind} | {', '.join(labels) or '-'} | {meaning.replace('|', ',')} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with its tables as they are now."""
    return text.partition(MARK)[0] + MARK + tables()


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
