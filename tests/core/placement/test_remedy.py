"""What is said to start a waiting gang does, and nothing smaller does."""

from __future__ import annotations

import pytest
from tests.core.placement import changes

from muster.core.placement import Solver

KEPT = Solver()


@pytest.mark.parametrize("block", range(6))
def test_the_smallest_change_starts_the_gang_and_no_smaller_one_does(block: int) -> None:
    kinds = {changes.check(changes.case(seed), KEPT) for seed in range(block * 20, block * 20 + 20)}
    assert "whole" in kinds
