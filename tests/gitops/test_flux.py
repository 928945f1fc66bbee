"""The expressions of helm/gitops/flux on every state; e2e/test_gitops.py has the real API server's CEL run them too."""

from typing import Any

import cel
import pytest
from tests.gitops.flux import CHECKS, compute
from tests.gitops.kstatus import TERMINATING
from tests.gitops.states import JOBS, TOPOLOGIES, State

STATES = [*JOBS, *TOPOLOGIES]


def evaluate(expression: str, obj: dict[str, Any]) -> bool:
    """As Flux does: every top-level field is a variable."""
    answer = cel.compile(expression).execute(cel.Context(variables=dict(obj)))
    assert isinstance(answer, bool)
    return answer


@pytest.mark.parametrize("state", STATES, ids=lambda s: f"{s.object['kind']} {s.name}")
def test_the_expressions_say_what_the_conditions_say(state: State) -> None:
    if state.kstatus == TERMINATING:
        return  # Flux waits for what it deletes to be gone, by other means
    obj = state.object
    assert compute(CHECKS[obj["kind"]], obj, lambda expression: evaluate(expression, obj)) == state.kstatus


def test_the_fields_are_those_that_flux_knows() -> None:
    for check in CHECKS.values():
        assert check.keys() == {"apiVersion", "kind", "current", "inProgress", "failed"}
        assert check["apiVersion"] == "muster.dev/v1alpha1"
