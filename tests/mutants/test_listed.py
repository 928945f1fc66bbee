"""The list of defects fits the code as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mutants.listed import MUTANTS, Mutant

PACKAGE = Path(__file__).parents[2] / "operator" / "muster"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.breaks.replace(" ", "_"))
def test_what_a_mutant_replaces_stands_once(mutant: Mutant) -> None:
    assert (PACKAGE / mutant.file).read_text().count(mutant.old) == 1
