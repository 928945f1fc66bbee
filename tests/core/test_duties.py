"""Duties: what is to be written, in tables of what is committed and observed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import START, admissions, changes, committed, gang, job, node, pod, role

from muster.core.duties import duties, orphans
from muster.core.model import (
    Admission,
    Admit,
    Child,
    CreatePod,
    DeleteJob,
    DeletePod,
    DropChild,
    Duty,
    EnsureChild,
    Failure,
    Job,
    Kind,
    Node,
    Nominate,
    Phase,
    Pod,
    ReadView,
    Record,
    Rejected,
    Stage,
    Stopping,
    Synced,
    Transition,
    Ungate,
    Upsert,
    Viewed,
)
from muster.core.world import World

NODES = [node("a"), node("b")]
ON = (("a", "b"),)
SERVICE = Child("service", "default", "llm", 1, "uid-llm")


def due(*records: Record, of: str = "uid-llm", now: int = START, nominate: bool = True) -> list[Duty]:
    world = World(nominate=nominate)
    for change in changes(*records):
        world.apply(change)
    return list(duties(world, of, now))


def around(of: Job, *pods: Pod, nodes: list[Node] = NODES, service: bool = True) -> list[Record]:
    return [*nodes, *admissions(of), of, *pods, *([SERVICE] if service else [])]


def deleted(found: list[Duty]) -> dict[str, DeletePod]:
    named = [duty for duty in found if isinstance(duty, DeletePod)]
    assert len({duty.pod for duty in named}) == len(named), "a pod is deleted twice"
    return {duty.pod: duty for duty in named}


LLM = job("llm", role(count=2, gpus=4))
KEY = admissions(LLM)[0].template


# --- The start --------------------------------------------------------------------------------------------------------


def test_a_waiting_job_asks_what_its_pods_will_be() -> None:
    assert due(*NODES, LLM) == [Admit(0, KEY)]


@pytest.mark.parametrize(("age", "again"), [(29_999, False), (30_000, True)], ids=["soon", "half a minute later"])
def test_a_refused_dry_run_is_asked_again_after_half_a_minute(age: int, again: bool) -> None:
    refused = Admission("default", KEY, refused="policy", message="no", at=START)
    assert bool(due(*NODES, LLM, refused, now=START + age)) is again


def test_a_placed_gang_gets_its_service_and_every_missing_pod() -> None:
    placed = committed(LLM, Phase.PLACED, ON)
    assert due(*around(placed, service=False)) == [EnsureChild(), CreatePod(0, 0, "a", 1), CreatePod(0, 1, "b", 1)]


def test_a_service_that_is_being_deleted_is_none() -> None:
    placed = committed(LLM, Phase.PLACED, ON)
    assert EnsureChild() in due(*around(placed, service=False), replace(SERVICE, terminating=True))


def test_what_was_made_is_nominated_once_for_its_node() -> None:
    placed = committed(LLM, Phase.PLACED, ON)
    first = pod(placed, 0, Stage.GATED, "a")
    assert due(*around(placed, first)) == [CreatePod(0, 1, "b", 1), Nominate(first.id, first.name, "a")]
    assert due(*around(placed, replace(first, nominated="a"))) == [CreatePod(0, 1, "b", 1)]
    assert due(*around(placed, first), nominate=False) == [CreatePod(0, 1, "b", 1)]


def test_the_view_is_read_once_all_pods_are_made() -> None:
    placed = committed(LLM, Phase.PLACED, ON)
    everyone = gang(placed, Stage.GATED)
    assert due(*around(placed, *everyone), nominate=False) == [ReadView(1)]
    world = World(nominate=False)
    for change in (*changes(*around(placed, *everyone)), Viewed(frozenset({(placed.id, 1)}))):
        world.apply(change)
    assert duties(world, placed.id, START) == ()


def test_only_a_starting_gang_leaves_its_gates() -> None:
    for phase in (Phase.PLACED, Phase.RUNNING, Phase.STOPPING):
        of = committed(LLM, phase, ON)
        assert not [d for d in due(*around(of, *gang(of, Stage.GATED))) if isinstance(d, Ungate)], phase
    starting = committed(LLM, Phase.STARTING, ON)
    left, gated = gang(starting, Stage.GATED)
    left = replace(left, stage=Stage.UNBOUND, our_gate=False)
    assert due(*around(starting, left, gated)) == [Ungate(gated.id, gated.name)]


def test_nothing_follows_from_a_decision_under_way_or_before_everything_is_synced() -> None:
    placed = committed(LLM, Phase.PLACED, ON)
    world = World()
    for change in changes(*around(LLM)):
        world.apply(change)
    world.assume(Transition(LLM.id, LLM.rv, "Placed", placed.status))
    assert duties(world, LLM.id, START) == ()
    early = World()
    for change in changes(*around(placed)):
        if change != Synced(Kind.POD):
            early.apply(change)
    assert duties(early, placed.id, START) == ()
    assert orphans(early, START) == ()


# --- The end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "grace"),
    [("Suspended", None), ("OwnFailure", 15), ("Disrupted", 15), ("StartFailed", 15)],
)
def test_survivors_of_a_broken_gang_get_a_short_grace_those_of_a_suspended_one_their_own(
    reason: str, grace: int | None
) -> None:
    stopping = committed(LLM, Phase.STOPPING, ON, stopping=Stopping(reason, ""))
    first, second = gang(stopping)
    ended = replace(second, stage=Stage.FAILED, failure=Failure(exit_code=1))
    assert deleted(due(*around(stopping, first, ended))) == {first.id: DeletePod(first.id, first.name, grace)}


@pytest.mark.parametrize(
    ("nodes", "later", "force"),
    [
        pytest.param([node("a")], 0, False, id="well"),
        pytest.param([], 0, True, id="deleted"),
        pytest.param([node("a", out_of_service=True)], 0, True, id="out of service"),
        pytest.param(
            [node("a", unready_since=START - 300_000)], 59_999, False, id="unreachable for less than the patience"
        ),
        pytest.param(
            [node("a", unready_since=START - 300_000)], 60_000, True, id="unreachable for as long as the patience"
        ),
        pytest.param([node("a", cordoned=True)], 0, False, id="cordoned"),
    ],
)
@pytest.mark.parametrize("terminating", [False, True])
def test_pods_are_forced_only_where_the_machine_is_off(
    nodes: list[Node], later: int, force: bool, terminating: bool
) -> None:
    stopping = committed(LLM, Phase.STOPPING, ON, stopping=Stopping("Disrupted", ""))
    mine = pod(stopping, 0, Stage.RUNNING, "a", terminating=terminating)
    found = deleted(due(*around(stopping, mine, nodes=nodes), now=START + later))
    if force:
        assert found == {mine.id: DeletePod(mine.id, mine.name, 0, force=True)}
    else:
        assert found == ({} if terminating else {mine.id: DeletePod(mine.id, mine.name, 15)})


@pytest.mark.parametrize("phase", [Phase.PLACED, Phase.STARTING, Phase.RUNNING, Phase.STOPPING, Phase.PENDING])
def test_a_job_that_is_deleted_makes_nothing_and_ends_its_pods(phase: Phase) -> None:
    of = replace(committed(LLM, phase, ON if phase is not Phase.PENDING else ()), deleting=True)
    mine = pod(of, 0, Stage.GATED, "a")
    assert due(*around(of, mine, service=False)) == [DeletePod(mine.id, mine.name)]
    assert due(*around(replace(of, orphaning=True), mine, service=False)) == []


@pytest.mark.parametrize("phase", [Phase.PLACED, Phase.STARTING, Phase.RUNNING, Phase.STOPPING])
def test_pods_of_an_earlier_attempt_go_those_of_a_later_one_are_left_alone(phase: Phase) -> None:
    of = committed(LLM, phase, ON, attempt=2, stopping=Stopping("Disrupted", "") if phase is Phase.STOPPING else None)
    old, later = pod(of, 0, Stage.GATED, "a", born=1), pod(of, 1, Stage.GATED, "b", born=3)
    found = deleted(due(*around(of, old, later)))
    assert old.id in found
    if phase is not Phase.STOPPING:  # its exit waits for every pod
        assert later.id not in found


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.SUSPENDED])
def test_a_waiting_job_keeps_no_pod_but_those_of_a_later_attempt(phase: Phase) -> None:
    of = replace(committed(LLM, phase, attempt=2), suspend=phase is Phase.SUSPENDED)
    mine = [pod(of, 0, Stage.GATED, "a", born=born) for born in (1, 2, 3)]
    assert set(deleted(due(*around(of, *mine)))) == {mine[0].id, mine[1].id}


def test_a_job_that_is_not_understood_keeps_what_it_has_until_it_is_deleted() -> None:
    of = committed(LLM, Phase.RUNNING, ON)
    rejected = Rejected(of.id, of.namespace, of.name, of.rv, of.generation, "spec", "bad", of.status)
    mine = pod(of, 0, Stage.RUNNING, "a")
    assert due(*NODES, rejected, mine) == []
    assert due(*NODES, replace(rejected, deleting=True), mine) == [DeletePod(mine.id, mine.name)]


# --- Finished jobs ----------------------------------------------------------------------------------------------------


def test_a_finished_job_ends_what_runs_and_then_drops_its_service() -> None:
    live = committed(LLM, Phase.SUCCEEDED, ON)
    done, other = pod(live, 0, Stage.SUCCEEDED, "a"), pod(live, 1, Stage.RUNNING, "b")
    assert due(*around(live, done, other)) == [DeletePod(other.id, other.name)]
    released = committed(LLM, Phase.SUCCEEDED, ON, live=False)
    assert due(*around(released, done)) == [DropChild("service", "llm")]


@pytest.mark.parametrize(
    ("later", "live", "gitops", "expected"),
    [
        pytest.param(59_999, False, False, [], id="not yet"),
        pytest.param(60_000, False, False, [DeleteJob(1)], id="expired"),
        pytest.param(60_000, True, False, [], id="expired while it holds a claim"),
        pytest.param(60_000, False, True, [DeletePod("done", "done")], id="expired under GitOps"),
    ],
)
def test_ttl(later: int, live: bool, gitops: bool, expected: list[Duty]) -> None:
    of = replace(job("llm", *LLM.roles, ttl=60_000), gitops=gitops)
    of = committed(of, Phase.SUCCEEDED, ON, live=live)
    done = pod(of, 0, Stage.SUCCEEDED, "a", id="done")
    assert due(*around(of, done, service=False), now=START + later) == expected


def test_retention_keeps_who_failed_first_then_rank_0_then_the_others() -> None:
    of = committed(job("llm", role(count=4), retain_attempts=1, retain_pods=2), Phase.PENDING, attempt=1)

    def ended(rank: int, failed_at: int | None = None, born: int = 1) -> Pod:
        stage = Stage.SUCCEEDED if failed_at is None else Stage.FAILED
        failure = None if failed_at is None else Failure(exit_code=1)
        return pod(of, rank, stage, "a", failure=failure, finished_at=failed_at, born=born)

    late, early, others = ended(3, START + 5), ended(2, START + 1), [ended(0), ended(1)]
    assert set(deleted(due(*around(of, late, early, *others)))) == {p.id for p in others}
    assert set(deleted(due(*around(of, early, *others)))) == {others[1].id}


def test_retention_counts_attempts_from_the_latest_and_never_the_one_under_way() -> None:
    of = committed(job("llm", role(count=2), retain_attempts=2, retain_pods=8), Phase.STARTING, ON, attempt=4)
    ended = {born: pod(of, 0, Stage.FAILED, "a", born=born, failure=Failure(exit_code=1)) for born in (1, 2, 3, 4)}
    assert set(deleted(due(*around(of, *ended.values())))) == {ended[1].id}


# --- Orphans ----------------------------------------------------------------------------------------------------------


def test_orphans_are_what_names_a_job_that_is_not_here() -> None:
    gone = job("gone")
    mine, going = pod(gone, 0, Stage.RUNNING, "a"), pod(gone, 1, Stage.RUNNING, "b", terminating=True)
    foreign = pod(None, 0, Stage.RUNNING, "a")
    service = Child("service-gone", "default", "gone", 1, gone.id)
    world = World()
    for change in (*changes(*around(LLM)), *(Upsert(r, START + 7) for r in (mine, going, foreign, service))):
        world.apply(change)
    assert [(o.kind, o.id, o.job, o.since) for o in orphans(world, START)] == [
        (Kind.POD, mine.id, gone.id, START + 7),
        (Kind.CHILD, service.id, gone.id, 0),
    ]


def test_nothing_is_an_orphan_before_every_kind_is_synced() -> None:
    of = job()
    left = pod(of, 0, Stage.RUNNING, "a")
    world = World()
    world.apply(Upsert(left, START))
    for kind in Kind:
        assert orphans(world, START) == (), "its job may only not have been listed yet"
        world.apply(Synced(kind))
    assert [each.id for each in orphans(world, START)] == [left.id]
