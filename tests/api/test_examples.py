"""The table of examples against the Python checks; e2e puts the same table to a real API server."""

from typing import Any

import pytest
from tests.api.examples import CHANGES, EXAMPLES

from muster.api import FieldError, check_job_update, parse_job, parse_topology
from muster.api.job_rules import job_rules
from muster.api.topology_rules import TOPOLOGY_RULES

Manifest = dict[str, Any]


def errors(manifest: Manifest) -> list[FieldError]:
    parsed = parse_job(manifest) if manifest["kind"] == "TrainingJob" else parse_topology(manifest)
    return parsed if isinstance(parsed, list) else []


@pytest.mark.parametrize(("manifest", "message"), [pytest.param(m, text, id=name) for name, m, text in EXAMPLES])
def test_example(manifest: Manifest, message: str | None) -> None:
    found = [str(error) for error in errors(manifest)]
    if message is None:
        assert found == []
    else:
        assert len(found) == 1
        assert message in found[0]


@pytest.mark.parametrize(
    ("manifest", "phase", "changed", "message"), [pytest.param(*rest, id=name) for name, *rest in CHANGES]
)
def test_change(manifest: Manifest, phase: str, changed: Manifest, message: str | None) -> None:
    old = {**manifest, "status": {"phase": phase}}
    assert errors(changed) == []
    found = [error.message for error in check_job_update(old, {**changed, "status": {"phase": phase}})]
    assert [text[: len(message or "")] for text in found] == ([] if message is None else [message])


@pytest.mark.parametrize("rule", [*job_rules(), *TOPOLOGY_RULES], ids=lambda rule: f"{rule.path}:{rule.cel[:40]}")
def test_every_rule_has_an_example_that_breaks_it(rule: Any) -> None:
    messages = [text for *_, text in (*EXAMPLES, *CHANGES) if text is not None]
    assert any(text in rule.message for text in messages)


def test_ids_are_unique() -> None:
    names = [name for name, *_ in (*EXAMPLES, *CHANGES)]
    assert len(names) == len(set(names))
