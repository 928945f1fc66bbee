"""What readers of kstatus see of every state."""

import pytest
from tests.gitops.kstatus import FAILED, compute
from tests.gitops.states import JOBS, TOPOLOGIES, State

from muster.core.model import Phase, Reason

STATES = [*JOBS, *TOPOLOGIES]


@pytest.mark.parametrize("state", STATES, ids=lambda s: f"{s.object['kind']} {s.name}")
def test_kstatus(state: State) -> None:
    seen, message = compute(state.object)
    assert seen == state.kstatus
    if seen == FAILED:
        assert message, "a failure says why"


def test_no_phase_and_no_reason_is_left_out() -> None:
    statuses = [state.object["status"] for state in JOBS]
    assert {status["phase"] for status in statuses} == {phase.value for phase in Phase}
    assert {status["waiting"]["reason"] for status in statuses if "waiting" in status} == {r.value for r in Reason}
