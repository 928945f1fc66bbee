"""Alerts and dashboard ask for what the operator tells: every metric, label and label value used exists, and the other
way round, no metric is told that nobody looks at. PromQL is parsed by promql-parser; promtool is not at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import pytest

from docs import monitoring
from muster.core.lifecycle import Row
from muster.core.model import Kind, Phase, Reason
from muster.kube.errors import Answer
from muster.worker.commit import Outcome

CHART = Path(__file__).resolve().parent.parent.parent / "helm" / "muster"
ALERTS = monitoring.alerts()
DASHBOARD: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SCRAPED = {"job", "namespace", "instance", "pod"}
"""Labels that Prometheus adds."""
VALUES = {
    ("muster_waiting_jobs", "reason"): {reason.value for reason in Reason},
    ("muster_jobs", "phase"): {phase.value for phase in Phase},
    ("muster_restarts_total", "cause"): {"failure", "disruption", "start", "rule"},
    ("muster_recovery_seconds_bucket", "stage"): {"detected", "decided", "deleted", "created", "running"},
    ("muster_commit_seconds_count", "outcome"): {outcome.value for outcome in Outcome},
    ("muster_api_seconds_count", "outcome"): {answer.value for answer in Answer} | {"ok", "unsent"},
    ("muster_api_seconds_bucket", "verb"): {"get", "list", "watch", "create", "patch", "update", "delete"},
    ("muster_cache_lag_seconds", "kind"): {kind.value for kind in Kind},
}


class Asked(NamedTuple):
    """What a query asks of one metric."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    """Label, operator as text, value."""


def series() -> dict[str, set[str]]:
    """Name of each series that /metrics has -> its labels."""
    found: dict[str, set[str]] = {"up": set()}
    for name, (kind, labels, _) in monitoring.metrics().items():
        if kind == "histogram":
            found |= {f"{name}_bucket": {*labels, "le"}, f"{name}_count": set(labels), f"{name}_sum": set(labels)}
        else:
            found[name] = set(labels)
    return found


def parse(text: str) -> Any:
    """The query, Grafana's variables replaced. Raises ValueError if it is none."""
    return promql_parser.parse(text.replace("$__rate_interval", "5m"))


def asked(text: str) -> list[Asked]:
    """Every selector of a query."""
    found: list[Asked] = []

    def look(node: Any) -> None:
        selector = getattr(node, "vector_selector", node)
        if isinstance(selector, promql_parser.VectorSelector):
            matchers = tuple((m.name, str(m.op), m.value) for m in selector.matchers.matchers)
            found.append(Asked(selector.name, matchers))

    promql_parser.walk(parse(text), look)
    assert found, f"no selector was found in {text}"
    return found


def queries() -> Iterator[Any]:
    """Every query with where it stands."""
    for rule in ALERTS:
        yield pytest.param(rule["expr"], id=rule["alert"])
    for panel in PANELS:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=panel["title"].replace(" ", "-"))


@pytest.mark.parametrize("query", list(queries()))
def test_a_query_asks_for_what_is_told(query: str) -> None:
    known = series()
    for metric, matchers in asked(query):
        assert metric in known, f"{metric} is no metric of the operator"
        for label, operator, value in matchers:
            assert label in known[metric] | SCRAPED, f"{metric} has no label {label}"
            if label not in SCRAPED:
                values = VALUES[metric, label]
                said = set(value.split("|")) if "Re" in operator else {value}
                assert said <= values, f"{metric}: {label} is never {said - values}"
    grouped = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"by \(([^)]*)\)", query))))
    reach = SCRAPED.union(*(known[metric] for metric, _ in asked(query)))
    assert grouped <= reach, f"nothing has the labels {grouped - reach}"


def test_every_query_is_of_one_installation() -> None:
    for rule in ALERTS:
        assert all(("job", "MatchOp.Equal", "muster-metrics") in one.matchers for one in asked(rule["expr"])), rule[
            "alert"
        ]
    for panel in PANELS:
        for target in panel["targets"]:
            for one in asked(target["expr"]):
                assert {"job", "namespace"} <= {label for label, _, _ in one.matchers}, panel["title"]


def test_every_metric_is_shown() -> None:
    shown = {one.metric for panel in PANELS for target in panel["targets"] for one in asked(target["expr"])}
    told = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in series()} - {"up"}
    assert {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in shown} == told


def test_alerts_say_what_they_mean_and_what_to_do() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    schema = json.loads((CHART / "values.schema.json").read_text())
    rules = schema["properties"]["metrics"]["properties"]["rules"]["properties"]
    assert rules["disabled"]["items"]["enum"] == names
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        # A template's label must be left by the expression's aggregation.
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            kept = re.findall(r"by \(([^)]*)\)", rule["expr"])
            assert not kept or label in kept[0].split(", "), rule["alert"]
            assert kept or label in SCRAPED, rule["alert"]


def test_events_named_by_runbooks_exist() -> None:
    reasons = [re.findall(r"reason=(\w+)", rule["annotations"]["runbook"]) for rule in ALERTS]
    assert {reason for each in reasons for reason in each} <= {row.value for row in Row}


def test_the_dashboard_is_whole() -> None:
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    cells = [
        (x, y)
        for p in every
        for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
        for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "panels overlap"
    assert all(x < 24 for x, _ in cells)
    assert all(panel["description"] for panel in PANELS)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(DASHBOARD))) <= variables
    for panel in PANELS:
        for target in panel["targets"]:
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), panel["title"]


def test_the_page_has_every_alert_and_metric() -> None:
    text = monitoring.PAGE.read_text(encoding="utf-8")
    assert monitoring.page(text) == text, "run `python docs/monitoring.py`"
