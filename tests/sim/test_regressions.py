"""Plans and storms that failed once: each with what was wrong then."""

from __future__ import annotations

import pytest

from muster.sim import many

FAILED_ONCE = {
    "second@0 0/write:21=lose-reply:40": "a placement was written that had waited behind a request without an answer, "
    "though its node was gone meanwhile",
    "second@0 0/write:37=crash-before": "the embedded API server took a time whose fraction stands in its year too "
    "(2027-...:22.027Z) for none",
    "blame@0 0/read:22=crash-after 0/write:7=freeze-before:25": "as the one before, by the millisecond of another time",
    "forced@0 0/nodes:2=delay:1.5": "a pod vanished from a silent machine before the operator heard of the silence",
    "second@0 0/write:23=freeze-late:25": "the judge asked a write that was 25 s on its way to know what came later",
    "storm@1146 -1 -4 -6 -8 -9 -10 -11 -12 -14 -15 -17 -18 -19 -20 -21": "a machine answered for two seconds, and "
    "a pod that had been taken out of the API on it counted as ended",
    "storm@1336": "the judge held a pod that was given up against a policy that came later",
    "storm@1463": "the judge asked a release to have waited for gated pods whose creation came seconds late",
}


@pytest.mark.parametrize("plan", FAILED_ONCE, ids=lambda plan: plan.replace(" ", "_"))
def test_what_failed_once_goes_well(plan: str) -> None:
    verdict = many.judge(plan)
    assert verdict.came_to_pass
    assert not verdict.wrong, f"{FAILED_ONCE[plan]}: {verdict.wrong}"
