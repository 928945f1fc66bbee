"""The World: what it holds after which changes, what it assumes, and what it asks to be looked at again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import (
    GPU,
    START,
    admissions,
    asks,
    changes,
    committed,
    gang,
    job,
    node,
    pod,
    priority_class,
    role,
    taint,
    topology,
)

from muster.core.model import (
    Admission,
    Change,
    Child,
    Gone,
    Job,
    Kind,
    Leading,
    Lost,
    Phase,
    Pod,
    Quota,
    Readmit,
    Record,
    Refused,
    Stage,
    Synced,
    Transition,
    Upsert,
    Viewed,
)
from muster.core.plan import plan
from muster.core.world import World

LLM = job("llm", role(count=2, gpus=4))
PLACED = committed(LLM, Phase.PLACED, [("a", "b")])
NODES = [node("a"), node("b"), node("c")]


def world_of(*records: Record) -> World:
    world = World()
    for change in changes(*NODES, *records):
        world.apply(change)
    return world


def free(world: World, name: str) -> int:
    return dict(world.inventory.free_on(name)).get(GPU, 0)


def placing(of: Job = LLM, base: int = 1) -> Transition:
    return Transition(of.id, base, "Placed", PLACED.status)


# --- Assumptions ------------------------------------------------------------------------------------------------------


def test_an_assumption_counts_at_once_and_is_not_acknowledged() -> None:
    world = world_of(LLM)
    world.assume(placing())
    seen, known = world.job(LLM.id), world.acknowledged(LLM.id)
    assert seen is not None
    assert known is not None
    assert (seen.status.phase, known.status.phase) == (Phase.PLACED, Phase.PENDING)
    assert (free(world, "a"), free(world, "b"), free(world, "c")) == (0, 0, 4)


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        pytest.param(Lost(LLM.id, 1), False, id="lost"),
        pytest.param(Lost(LLM.id, 9), True, id="another decision lost"),
        pytest.param(Refused(LLM.id, 0, "rbac", "no", START, commit=True), False, id="refused"),
        pytest.param(Refused(LLM.id, 0, "quota", "no", START), True, id="a duty refused"),
        pytest.param(Upsert(replace(LLM, rv=1, suspend=True), START), True, id="the same resourceVersion again"),
        pytest.param(Upsert(replace(LLM, rv=2), START), False, id="somebody else wrote"),
    ],
)
def test_an_assumption_ends_when_its_outcome_is_known(outcome: Change, kept: bool) -> None:
    world = world_of(LLM)
    world.assume(placing())
    world.apply(outcome)
    assert (world.assumed(LLM.id) is not None) is kept
    assert (free(world, "a") == 0) is kept


def test_what_a_decision_gives_up_counts_until_it_is_acknowledged() -> None:
    running = committed(LLM, Phase.STOPPING, [("a", "b")])
    world = world_of(running)
    given_up = replace(running.status, phase=Phase.PENDING, live=False, placement=None)
    world.assume(Transition(LLM.id, 1, "Requeued", given_up))
    assert free(world, "a") == 0
    world.apply(Upsert(replace(running, rv=2, status=given_up), START))
    assert free(world, "a") == 4


# --- Claims -----------------------------------------------------------------------------------------------------------


def test_a_pod_adds_only_what_it_holds_beyond_its_claim() -> None:
    world = world_of(PLACED, *gang(PLACED, Stage.GATED))
    assert (free(world, "a"), free(world, "b")) == (0, 0)
    assert world.inventory.overlaps(LLM.id) == ()


def test_pods_of_a_job_that_is_gone_count_by_themselves_until_they_end() -> None:
    first, second = gang(PLACED)
    world = world_of(PLACED, first, second)
    world.apply(Gone(Kind.JOB, LLM.id, START))
    assert (free(world, "a"), free(world, "b")) == (0, 0)
    world.apply(Gone(Kind.POD, first.id, START))
    world.apply(Upsert(replace(second, rv=2, stage=Stage.FAILED), START))
    assert (free(world, "a"), free(world, "b")) == (4, 4)
    assert [seen.pod.id for seen in world.pods_without_job()] == [second.id]


def test_a_claim_follows_what_admission_says_the_pods_request() -> None:
    small = job("llm", role(count=2, gpus=2))
    on = committed(small, Phase.PLACED, [("a", "b")])
    world = world_of(on)
    assert free(world, "a") == 2
    (written,) = admissions(small)
    world.apply(Upsert(replace(written, requests=asks(3)), START))
    assert free(world, "a") == 1
    world.apply(Readmit("elsewhere"))
    assert free(world, "a") == 1


def test_a_volume_claim_that_changed_outdates_only_the_dry_runs_of_pods_that_mount_it() -> None:
    (written,) = admissions(LLM)
    world = settled(LLM, replace(written, claims=("data",)))
    for claim in ("other", "data"):
        assert world.admission("default", written.template) is not None
        world.apply(Readmit("default", claim))
    assert world.admission("default", written.template) is None
    assert LLM.id in world.take_touched()


def test_a_pod_orphaned_on_purpose_is_a_strangers_from_then_on() -> None:
    mine = pod(PLACED, 0, Stage.RUNNING, "a")
    world = world_of(PLACED, mine)
    world.apply(Upsert(replace(mine, rv=2, job=None), START))
    assert world.pods_of(LLM.id) == []
    assert world.inventory.overlaps(LLM.id) == ("a",)


# --- Time in a stage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "restarts"),
    [
        ({"nominated": "a"}, False),
        ({"unschedulable": "no room"}, False),
        ({"our_gate": False}, True),
        ({"stage": Stage.UNBOUND}, True),
        ({"trouble": ("ImagePullBackOff", "no such tag")}, True),
    ],
)
def test_the_time_in_a_stage_restarts_with_the_stage_the_gate_or_the_trouble(
    edit: dict[str, object], restarts: bool
) -> None:
    gated = pod(PLACED, 0, Stage.GATED, "a")
    world = world_of(PLACED, gated)
    world.apply(Upsert(replace(gated, rv=2, **edit), START + 5))  # type: ignore[arg-type]
    (seen,) = world.seen_pods_of(LLM.id)
    assert seen.since == (START + 5 if restarts else START)


def test_the_time_of_a_status_is_that_of_its_last_change() -> None:
    world = world_of(LLM)
    world.apply(Upsert(replace(LLM, rv=2, suspend=True), START + 5))
    assert world.written_at(LLM.id) == START
    world.apply(Upsert(replace(PLACED, rv=3), START + 9))
    assert world.written_at(LLM.id) == START + 9


# --- Views and leaders ------------------------------------------------------------------------------------------------


def test_a_view_counts_for_the_claims_it_contained_and_this_leader_alone() -> None:
    world = world_of(PLACED)
    assert not world.viewed(LLM.id, 1)
    world.apply(Viewed(frozenset({(LLM.id, 1), ("nobody", 1)})))
    assert world.viewed(LLM.id, 1)
    assert not world.viewed(LLM.id, 2)
    assert not world.viewed("nobody", 1)
    world.apply(Leading("2"))
    assert not world.viewed(LLM.id, 1)


def test_nothing_is_decided_before_every_kind_is_synced_and_this_process_leads() -> None:
    given = changes(*NODES, LLM, *admissions(LLM))
    for missing in (*(Synced(kind) for kind in Kind), Leading("1")):
        world = World()
        for change in given:
            if change != missing:
                world.apply(change)
        assert plan(world, START).transitions == (), missing
        world.apply(missing)
        assert [t.cause for t in plan(world, START).transitions] == ["Placed"], missing
    world.apply(Leading(None))
    assert plan(world, START).transitions == ()


# --- What is looked at again ------------------------------------------------------------------------------------------


def settled(*records: Record) -> World:
    world = world_of(*records)
    world.settle(plan(world, START))
    world.take_touched()
    return world


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Upsert(replace(NODES[0], rv=2, cordoned=True), START), id="its node is cordoned"),
        pytest.param(Upsert(replace(NODES[1], rv=2, taints=(taint("x"),)), START), id="its node is tainted"),
        pytest.param(Gone(Kind.NODE, "node-a", START), id="its node is gone"),
        pytest.param(Upsert(pod(None, 0, Stage.RUNNING, "a"), START), id="a stranger on its node"),
        pytest.param(Upsert(pod(PLACED, 0, Stage.GATED, "a"), START), id="a pod of its own"),
        pytest.param(Upsert(Child("s", "default", "llm", 1, LLM.id), START), id="its service"),
        pytest.param(Upsert(topology(pod_defaults="other", rv=9), START), id="the pod defaults"),
        pytest.param(Refused(LLM.id, 1, "quota", "no", START), id="a refusal"),
        pytest.param(Viewed(frozenset({(LLM.id, 1)})), id="a view"),
        pytest.param(Readmit("default"), id="what admission depends on"),
    ],
)
def test_what_concerns_a_placed_gang_puts_it_on_the_agenda(change: Change) -> None:
    world = settled(PLACED, *admissions(LLM))
    assert LLM.id not in world.agenda.due(START)
    world.apply(change)
    assert LLM.id in world.agenda.due(START)
    assert LLM.id in world.take_touched()


def test_a_stranger_that_grows_in_place_puts_a_placed_gang_on_the_agenda() -> None:
    small = committed(job("llm", role(count=2, gpus=2)), Phase.PLACED, [("a", "b")])
    stranger = pod(None, 0, Stage.RUNNING, "a", requests=asks(2))
    world = settled(small, *admissions(small), stranger)
    world.apply(Upsert(replace(stranger, rv=2, requests=asks(3)), START))
    assert [t.cause for t in plan(world, START).transitions] == ["ClaimVoid"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Upsert(replace(NODES[0], rv=2), START), id="its node's heartbeat"),
        pytest.param(Upsert(replace(NODES[2], rv=2, cordoned=True), START), id="another node"),
        pytest.param(Upsert(pod(None, 0, Stage.RUNNING, "c"), START), id="a stranger elsewhere"),
    ],
)
def test_what_does_not_concern_it_leaves_it_off_the_agenda(change: Change) -> None:
    world = settled(PLACED, *admissions(LLM))
    world.apply(change)
    assert world.agenda.due(START) == set()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Upsert(node("d"), START), id="a new node"),
        pytest.param(Gone(Kind.POD, "stranger", START), id="a stranger leaves"),
        pytest.param(Upsert(priority_class("muster-default", 5), START), id="its priority class"),
        pytest.param(Gone(Kind.PRIORITY_CLASS, "muster-default", START), id="its priority class goes"),
        pytest.param(Upsert(Quota("default", "q", "q", 1, (("pods", 1),), (("pods", 0),)), START), id="a quota"),
        pytest.param(Upsert(Admission("default", "other"), START), id="an admission"),
    ],
)
def test_what_can_matter_to_the_waiting_makes_them_be_looked_at(change: Change) -> None:
    big = job("big", role(count=3, gpus=4))
    world = world_of(big, *admissions(big), pod(None, 0, Stage.RUNNING, "a", id="stranger"))
    for transition in plan(world, START).transitions:
        told = replace(big, rv=2, status=transition.status)
        world.apply(Upsert(told, START))
    world.settle(plan(world, START))
    assert not world.waiting_stale
    world.apply(change)
    assert world.waiting_stale


# --- The laws on one large example ------------------------------------------------------------------------------------


def test_a_world_built_from_its_records_is_the_same() -> None:
    waiting, orphan = job("other", role(count=9)), pod(job("gone"), 0, Stage.RUNNING, "c")
    world = world_of(topology(), LLM, waiting, orphan, *admissions(LLM), Child("s", "default", "llm", 1, LLM.id))
    world.assume(placing())
    world.apply(Refused(waiting.id, 0, "quota", "no", START))
    again = World.of(world.records(), world.assumptions())
    again.settle(plan(again, START))
    world.settle(plan(world, START))
    again.take_touched()
    world.take_touched()
    assert again.fingerprint() == world.fingerprint()


def test_the_pods_of_a_world_are_those_of_their_owners() -> None:
    mine: list[Pod] = gang(PLACED)
    world = world_of(PLACED, *mine, pod(None, 0, Stage.RUNNING, "c"))
    assert sorted(p.id for p in world.pods_of(LLM.id)) == sorted(p.id for p in mine)
    assert list(world.pods_without_job()) == []
