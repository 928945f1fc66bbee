"""docs/troubleshooting.md names every reason that the code can write, and every refusal word for word."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from docs import refusals
from muster.core.lifecycle import WAITING_REASON, Row
from muster.core.model import Phase, Reason
from muster.core.observe import REFUSALS
from muster.kube.conditions import STALLED

ROOT = Path(__file__).resolve().parents[2]
PAGE = refusals.PAGE.read_text(encoding="utf-8")
WORD = re.compile(r"[A-Z][a-z]+(?:[A-Z]+[a-z0-9]*)*")
WRITERS = (
    "core/lifecycle.py", "core/observe.py", "core/breaks.py", "core/explain.py", "core/policy/queueing.py",
    "kube/status.py", "kube/conditions.py", "worker/topology.py", "worker/report.py",
)  # fmt: skip
"""Where reasons of conditions, failures and Events are spelt."""
NO_REASONS = {
    "Counted", "Exhausted", "Released", "Suspending", "Waiting",  # rows of which nobody is told
    "True", "False", "Normal", "Error", "Image", "NoExecute", "Node", "TrainingJob", "NotReady",
}  # fmt: skip


def spelt() -> set[str]:
    """Every word in CamelCase that stands as a text of its own where reasons are made."""
    found: set[str] = set()
    for name in WRITERS:
        tree = ast.parse((ROOT / "operator/muster" / name).read_text(encoding="utf-8"))
        texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        found |= {text for text in texts if isinstance(text, str) and WORD.fullmatch(text)}
    return found - NO_REASONS


@pytest.mark.parametrize(
    "reason",
    sorted(
        spelt()
        | {reason.value for reason in Reason}
        | {phase.value for phase in Phase}
        | {row.value for row in Row} - NO_REASONS
        | set(WAITING_REASON)
        | set(REFUSALS.values())
    ),
)
def test_every_reason_is_on_the_page(reason: str) -> None:
    assert f"`{reason}`" in PAGE, f"say in {refusals.PAGE.name} what {reason} means and how to mend it"


def test_the_reasons_why_a_job_waits_each_have_a_row_that_says_whether_it_is_stalled() -> None:
    table = PAGE[PAGE.index("## Why a job waits") : PAGE.index("## Why an attempt ended")]
    rows = dict(re.findall(r"^\| `(\w+)`( \(Stalled\))? \|", table, re.MULTILINE))
    assert rows == {reason.value: " (Stalled)" if reason in STALLED else "" for reason in Reason}


def test_every_refusal_at_apply_is_on_the_page_in_its_words() -> None:
    assert refusals.page(PAGE) == PAGE, "python docs/refusals.py writes it anew"


def test_what_the_policies_say_is_on_the_page() -> None:
    chart = (ROOT / "helm/muster/templates/policies.yaml").read_text(encoding="utf-8")
    table = PAGE[PAGE.index("### By the chart's policies") : PAGE.index("## The operator")]
    said = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert [words for words in said if words not in " ".join(chart.split())] == []
    # One fixed message a validation; those of the pod template are made by one definition.
    assert len(said) == len(re.findall(r"^ *message:", chart, re.MULTILINE))
