"""Committed -> status -> Committed, and the patch that gets there."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kube import objects

from muster.core.model import (
    Blame,
    Committed,
    Job,
    LastFailure,
    LastRepair,
    Objective,
    Phase,
    Placement,
    RankFailure,
    Reason,
    Rejected,
    Reservation,
    RoleCount,
    StartFailures,
    Stopping,
    Verdict,
    Waiting,
)  # fmt: skip
from muster.kube import parse
from muster.kube.parse_status import committed_from
from muster.kube.plain import plain
from muster.kube.status import status_of, status_patch

NOW = 1_772_366_400_000
COUNT = st.integers(0, 2**31 - 1)
TEXT = st.text(max_size=20).map(plain)
"""One line, as whatever others wrote is made when it is read."""
WORD = st.from_regex(r"[A-Z][a-z]{1,8}", fullmatch=True)
TIME = st.integers(0, 4_000_000_000).map(lambda s: s * 1000)
MAYBE = st.none() | TIME
NAME = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?(\.[a-z0-9]{1,3})?", fullmatch=True)
LEVELS = ("zone", "spine", "leaf", "nvlink", "node")


def by_level(levels: tuple[str, ...]) -> st.SearchStrategy[tuple[tuple[str, int], ...]]:
    return st.lists(st.sampled_from(levels), unique=True).flatmap(
        lambda some: st.tuples(*(st.tuples(st.just(lv), COUNT) for lv in levels if lv in some))
    )


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    roles = draw(st.lists(NAME, unique=True, max_size=3))
    nodes = tuple(tuple(draw(st.lists(NAME, max_size=5))) for _ in roles)
    born = tuple(tuple(draw(st.integers(1, 3)) for _ in ns) for ns in nodes)
    levels = tuple(draw(st.permutations(LEVELS)))
    objective = Objective(draw(COUNT), draw(COUNT), draw(COUNT), tuple((lv, draw(COUNT)) for lv in levels), draw(COUNT))
    return Placement(
        draw(COUNT), draw(COUNT), draw(TEXT), draw(COUNT), draw(TEXT), tuple(roles), nodes, born, objective,
        draw(st.booleans()), draw(by_level(levels)), draw(by_level(levels)),
    )  # fmt: skip


VERDICTS = st.builds(
    Verdict,
    st.sampled_from(Reason),
    st.lists(st.tuples(TEXT, st.integers(-(2**31), 2**31) | TEXT), max_size=3).map(tuple),
    st.lists(st.tuples(TEXT, COUNT), max_size=3).map(tuple),
)
FAILURES = st.builds(
    RankFailure,
    NAME,
    COUNT,
    NAME | st.just(""),
    st.none() | st.integers(0, 255),
    st.none() | st.integers(1, 64),
    MAYBE,
    TEXT,
)
BLAMED = st.builds(Blame, NAME, COUNT, TIME, MAYBE)
MOMENT = st.integers(0, 4_000_000_000_000)
"""The times of a repair are kept to the millisecond."""
REPAIRS = st.builds(
    LastRepair,
    COUNT,
    st.sampled_from(("node", "disruption", "failure")),
    st.sampled_from(("place", "domain", "segment", "gang")),
    COUNT,
    COUNT,
    COUNT,
    MOMENT,
    MOMENT,
    MOMENT,
    st.none() | MOMENT,
    st.none() | MOMENT,
    st.none() | MOMENT,
)


@st.composite
def reservations(draw: st.DrawFn) -> Reservation:
    nodes = tuple(tuple(draw(st.lists(NAME, max_size=5))) for _ in range(draw(st.integers(1, 3))))
    ranks = [(role, rank) for role, names in enumerate(nodes) for rank in range(len(names))]
    lost = draw(st.lists(st.sampled_from(ranks), unique=True)) if ranks else []
    return Reservation(nodes, tuple(sorted(lost)), draw(TIME))


COMMITTED = st.builds(
    Committed,
    phase=st.sampled_from(Phase),
    observed_generation=st.integers(-1, 99),
    live=st.booleans(),
    attempt=COUNT,
    restarts=COUNT,
    restarts_in_row=COUNT,
    disruptions=COUNT,
    start_failures=st.builds(StartFailures, COUNT, TEXT, COUNT, TEXT),
    running_ms=TIME,
    phase_since=MAYBE,
    running_since=MAYBE,
    placeable_since=MAYBE,
    placement=st.none() | placements(),
    stopping=st.none() | st.builds(Stopping, WORD, TEXT, TEXT),
    waiting=st.none() | st.builds(Waiting, VERDICTS, TEXT, TIME),
    not_before=MAYBE,
    last_failure=st.none() | st.builds(LastFailure, TIME, WORD, TEXT, st.lists(FAILURES, max_size=3).map(tuple)),
    counts=st.lists(st.builds(RoleCount, NAME, COUNT, COUNT, COUNT, COUNT), max_size=3).map(tuple),
    started=MAYBE,
    finished=MAYBE,
    blamed=st.lists(BLAMED, max_size=3, unique_by=lambda blame: blame.node).map(tuple),
    reservation=st.none() | reservations(),
    repairs=COUNT,
    opened=COUNT,
    leaving=st.sets(st.tuples(NAME, COUNT, NAME), max_size=5).map(sorted).map(tuple),
    last_repair=st.none() | REPAIRS,
)


def job(status: Any = None) -> Job:
    obj = objects.job()
    obj["status"] = status or obj["status"]
    parsed = parse.job_from(obj)
    assert isinstance(parsed, Job)
    return parsed


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, as it is written there; objects come back sorted, as from the API server."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merged(target.get(name), value)
    return dict(sorted(target.items()))


def stored(status: Any) -> Any:
    return json.loads(json.dumps(status, sort_keys=True))


@settings(deadline=None)
@given(COMMITTED)
def test_comes_back_as_it_was(committed: Committed) -> None:
    assert committed_from(stored(status_of(job(), committed, NOW))) == committed


@settings(deadline=None)
@given(COMMITTED, COMMITTED)
def test_a_patch_leads_from_any_status_to_any_other(old: Committed, new: Committed) -> None:
    before = stored(status_of(job(), old, NOW))
    base = objects.job()
    base["status"] = before
    # However the old status reads (an active phase without placement is refused), the patch must mend it.
    record = parse.job_from(base)
    patch = json.loads(status_patch(record, new, NOW + 60_000))
    assert patch["metadata"] == {"uid": objects.UID, "resourceVersion": "4711"}
    after = merged(before, patch.get("status", {}))
    assert committed_from(after) == new
    assert after == stored(status_of(record, new, NOW + 60_000))


def test_nothing_new_is_nothing_written() -> None:
    settled = job(stored(status_of(job(), Committed(observed_generation=2), NOW)))
    assert json.loads(status_patch(settled, Committed(observed_generation=2), NOW + 5000)).keys() == {"metadata"}


def conditions(committed: Committed, now: int = NOW, before: Any = None) -> dict[str, Any]:
    return {c["type"]: c for c in status_of(job(before), committed, now)["conditions"]}


def test_golden() -> None:
    placement = Placement(
        2, 1, "77", 2, "h+d", ("worker", "head"), (tuple(f"r{r}-n{n}" for r in (0, 1) for n in range(8)), ("cpu-1",)),
        ((1,) * 15 + (2,), (1,)), Objective(1, 4, 17, (("spine", 0), ("leaf", 1), ("nvlink", 2), ("node", 17)), 0), True,  # noqa: E501
        (("spine", 1), ("leaf", 2), ("nvlink", 2)), (("spine", 1), ("leaf", 1), ("nvlink", 2)),
    )  # fmt: skip
    status = status_of(
        job(),
        Committed(Phase.RUNNING, 2, True, 2, placement=placement, counts=(RoleCount("worker", 16, 16, 0, 0),)),
        NOW,
    )
    assert status["placement"] == {
        "attempt": 2, "gangAttempt": 1, "term": "77", "generation": 2, "rolesHash": "h+d", "provenOptimal": True,
        "levels": ["spine", "leaf", "nvlink", "node"],
        "domains": {"spine": 1, "leaf": 2, "nvlink": 2}, "least": {"spine": 1, "leaf": 1, "nvlink": 2},
        "objective": {"preferred": 1, "cost": 4, "nodes": 17, "leftover": 0,
                      "intactOpened": {"spine": 0, "leaf": 1, "nvlink": 2, "node": 17}},
        "roles": [{"name": "worker", "nodes": "r[0-1]-n[0-7]", "born": "1x15,2x1"},
                  {"name": "head", "nodes": "cpu-1", "born": "1x1"}],
    }  # fmt: skip
    assert status["summary"] == {"running": "16/17", "where": "2/2 nvlink, 2/1 leaf"}
    true = {c["type"] for c in status["conditions"] if c["status"] == "True"}
    assert true == {"Placed", "Running"}


def test_conditions_for_kstatus() -> None:
    assert conditions(Committed(observed_generation=1))["Reconciling"]["status"] == "True"
    for reason, stalled in ((Reason.FRAGMENTED, "False"), (Reason.UNSATISFIABLE, "True")):
        waiting = Waiting(Verdict(reason), "why", NOW)
        got = conditions(Committed(observed_generation=2, waiting=waiting))
        assert (got["Reconciling"]["status"], got["Stalled"]["status"]) == ("False", stalled)
        assert (got["Placed"]["reason"], got["Placed"]["message"]) == (reason.value, "why")
    failed = conditions(Committed(Phase.FAILED, 2, last_failure=LastFailure(NOW, "DeadlineExceeded", "too long")))
    assert (failed["Failed"]["reason"], failed["Stalled"]["status"]) == ("DeadlineExceeded", "True")


def test_a_repair_is_told_as_such() -> None:
    last = LastFailure(NOW, "Disrupted", "worker 1 lost its node b: the node was deleted")
    repair = LastRepair(4, "node", "domain", 1, 255, 256, NOW, NOW + 50, NOW + 1234)
    told = Committed(Phase.REPAIRING, 2, live=True, attempt=4, last_failure=last, last_repair=repair)
    got = conditions(told)
    assert (got["Running"]["status"], got["Running"]["reason"]) == ("False", "Repairing")
    assert got["Running"]["message"] == (
        "1 rank moved, 255 on their nodes, 256 pods made anew; worker 1 lost its node b: the node was deleted"
    )
    # For kstatus it is judged, and nothing that somebody has to mend.
    assert (got["Reconciling"]["status"], got["Stalled"]["status"], got["Failed"]["status"]) == ("False",) * 3
    assert status_of(job(), told, NOW)["lastRepair"] == {
        "attempt": 4,
        "cause": "node",
        "how": "domain",
        "moved": 1,
        "kept": 255,
        "renewed": 256,
        "failed": "2026-03-01T12:00:00.000Z",
        "detected": "2026-03-01T12:00:00.050Z",
        "decided": "2026-03-01T12:00:01.234Z",
    }
    assert conditions(Committed(Phase.RUNNING, 2, live=True, attempt=4, last_repair=repair))["Running"]["message"] == ""


def test_transition_times() -> None:
    first = stored(status_of(job(), Committed(observed_generation=2), NOW))
    later = conditions(Committed(Phase.SUSPENDED, 2), NOW + 60_000, first)
    assert later["Suspended"]["lastTransitionTime"] == "2026-03-01T12:01:00Z"
    assert later["Placed"]["lastTransitionTime"] == "2026-03-01T12:00:00Z"


def test_rejected_jobs_have_a_status_too() -> None:
    obj = objects.job(roles=[])
    record = parse.job_from(obj)
    assert isinstance(record, Rejected)
    waiting = Waiting(Verdict(Reason.INVALID), f"{record.path}: {record.message}", NOW)
    patch = json.loads(status_patch(record, Committed(observed_generation=2, waiting=waiting), NOW))
    assert patch["status"]["waiting"]["message"].startswith("spec.roles")
