"""Writes into troubleshooting.md what the API server says when it refuses: `python docs/refusals.py`."""

from __future__ import annotations

from pathlib import Path

from muster.api.job_rules import job_rules
from muster.api.rules import Rule
from muster.api.topology_rules import TOPOLOGY_RULES

PAGE = Path(__file__).parent / "troubleshooting.md"
BEGIN, END = "<!-- written by python docs/refusals.py -->\n", "<!-- end of what is written -->\n"


def section() -> str:
    """The tables, one for each kind, in the order of the rules."""
    kinds = (("TrainingJob", job_rules()), ("ClusterTopology", TOPOLOGY_RULES))
    return "\n".join(f"| {kind}: where | message |\n|---|---|\n{_rows(rules)}" for kind, rules in kinds)


def _rows(rules: tuple[Rule, ...]) -> str:
    rows = dict.fromkeys(f"| {_where(rule)} | {rule.message} |\n" for rule in rules)
    return "".join(rows)


def _where(rule: Rule) -> str:
    """The path to the field, long ones from the template on."""
    at = ".".join(part for part in (rule.path.replace("[*]", "[]"), rule.field) if part)
    return f"`{at.replace('spec.roles[].template.', '...template.') or 'the object'}`"


def page(text: str) -> str:
    """The page with its section as it is now."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + section() + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
