"""A plan is one line, both ways."""

from __future__ import annotations

import pytest

from muster.sim.plan import Fault, Plan, Unreadable

TEXT = "start@7 0/write:7=crash-after 1/pods:3=delay:2.5 0/nodes+:1=code:410"


def test_a_plan_is_read_as_it_is_written() -> None:
    plan = Plan.parse(TEXT)
    assert plan.run == "start"
    assert plan.seed == 7
    assert plan.faults[1] == Fault(1, "pods", 3, "delay", 2.5)
    assert str(plan) == TEXT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no run"),
        ("start", "write NAME@SEED"),
        ("start@0 write:7", "is no fault"),
        ("start@0 0/write:7=explode", "write knows"),
        ("start@0 0/pods:7=lost", "pods knows"),
        ("start@0 0/pods+:7=double", "pods\\+ knows"),
        ("start@0 0/write+:1=code:500", "knows"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        Plan.parse(text)
