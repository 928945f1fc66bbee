"""The carrying half of the Answers table, and how a batch is run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tests.support import builders as b
from tests.support.faketransport import now, virtual
from tests.worker import fake

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
    Gone,
    Nominate,
    Phase,
    Pod,
    ReadView,
    Refused,
    Stage,
    Ungate,
    Upsert,
    Viewed,
)  # fmt: skip
from muster.kube.errors import Answer
from muster.worker.carry import Carrier, Memory
from muster.worker.ledger import Ledger
from muster.worker.steps import Scene, Steps
from muster.worker.tools import Closed
from muster.worker.views import Views

JOB = b.committed(b.job("llm", b.role(count=40)), Phase.PLACED, [[f"n{i}" for i in range(40)]])
SCENE = Scene(JOB, b.topology(), {})
CREATE = CreatePod(0, 0, "n0", 1)


class Carry:
    def __init__(self, in_flight: int = 32) -> None:
        self.bench = fake.Bench(jobs={"llm": JOB})
        self.api = self.bench.api
        tools = self.bench.tools
        self.carrier = Carrier(Steps(self.api, Views(self.api, tools), tools), tools, in_flight=in_flight)
        self.memory = Memory(Ledger(lambda: 0.0))
        self.superseded: Callable[[], bool] = lambda: False

    async def __call__(self, *duties: Duty) -> None:
        await self.carrier.carry(JOB, SCENE, duties, self.memory, lambda: self.superseded())

    def due(self, duties: Sequence[Duty]) -> list[Duty]:
        return self.memory.ledger.due(duties, now())[0]


def creates(n: int) -> list[Duty]:
    return [CreatePod(0, rank, f"n{rank}", 1) for rank in range(n)]


@virtual
async def test_every_duty_tells_the_world_what_came_of_it() -> None:
    t = Carry()
    await t(CREATE, EnsureChild(), Admit(0, "t+"))
    pod = t.api.pods["llm-0-0-1"]
    await t(Nominate(pod.id, pod.name, "n0"))
    await t(Ungate(pod.id, pod.name))
    told = [c.record for c in t.bench.of(Upsert)]
    assert {type(r) for r in told} == {Pod, Child, Admission}
    assert t.api.pods[pod.name].nominated == "n0"
    assert not t.api.pods[pod.name].our_gate
    service = t.api.services["llm-svc"]
    await t(DropChild(service.id, service.name), DeletePod(pod.id, pod.name, 15), DeleteJob(JOB.rv))
    assert {g.id for g in t.bench.of(Gone)} == {service.id, pod.id, JOB.id}
    assert t.api.deleted == [(service.id, None), (pod.id, 15)]


@pytest.mark.parametrize(
    ("method", "duty"),
    [
        pytest.param("nominate", Nominate("old", "p", "n0"), id="nominate"),
        pytest.param("ungate", Ungate("old", "p"), id="ungate"),
        pytest.param("delete_pod", DeletePod("old", "p"), id="delete"),
    ],
)
@pytest.mark.parametrize("there", [False, True], ids=["gone", "replaced"])
def test_another_pod_of_the_name_means_done(method: str, duty: Duty, there: bool) -> None:
    @virtual
    async def run() -> None:
        t = Carry()
        if there:
            t.api.pods["p"] = t.api.made(SCENE, CREATE, id="new", name="p")
        await t(duty)
        assert [g.id for g in t.bench.of(Gone)] == ["old"]
        assert not t.bench.of(Refused)
        assert not t.api.deleted

    run()


@virtual
async def test_a_conflict_that_is_no_precondition_is_tried_again() -> None:
    t = Carry()
    t.api.script("ungate", fake.error(Answer.CONFLICT, code=409))
    await t(Ungate("u", "p"))
    assert not t.bench.told


@virtual
async def test_force_means_no_grace() -> None:
    t = Carry()
    t.api.pods["p"] = t.api.made(SCENE, CREATE, id="u", name="p", node="n0", stage=Stage.RUNNING)
    await t(DeletePod("u", "p", 15, force=True))
    assert t.api.deleted == [("u", 0)]


EXISTING: list[tuple[str, dict[str, object], str]] = [
    ("ours", {}, "done"),
    ("ours, bound already", {"node": "n0", "pinned": None, "stage": Stage.RUNNING}, "done"),
    ("ours, being deleted", {"terminating": True}, "again"),
    ("somebody else's, being deleted", {"terminating": True, "job": None}, "again"),
    ("of another attempt, being deleted", {"terminating": True, "born": 3}, "again"),
    ("of an older job of this name", {"job": "uid-older"}, "again"),
    ("somebody else's", {"job": None}, "refused"),
    ("another rank", {"rank": 7}, "refused"),
    ("another role", {"role": "other"}, "refused"),
    ("of another attempt", {"born": 3}, "refused"),
    ("pinned elsewhere", {"pinned": "n9"}, "refused"),
]


@pytest.mark.parametrize(("changes", "then"), [pytest.param(c, t, id=i) for i, c, t in EXISTING])
def test_a_pod_that_exists(changes: dict[str, object], then: str) -> None:
    @virtual
    async def run() -> None:
        t = Carry()
        t.api.pods["llm-0-0-1"] = t.api.made(SCENE, CREATE, **changes)
        await t(CREATE)
        refused = t.bench.of(Refused)
        if then == "refused":
            assert [(r.error, r.attempt) for r in refused] == [("invalid", 1)]
            assert "llm-0-0-1" in refused[0].message
        else:
            assert not refused
        if then == "done":
            assert t.bench.of(Upsert)
        assert (t.memory.silent_since is not None) == (then == "again"), "what is in the way counts as no answer"
        assert not t.due([CREATE]), "never as a hot loop"

    run()


@virtual
async def test_a_create_whose_answer_was_lost_is_found_to_exist() -> None:
    t = Carry()
    t.api.script("create_pod", fake.Lost())
    await t(CREATE)
    assert not t.bench.told
    await asyncio.sleep(1)
    assert t.due([CREATE])
    await t(CREATE)
    assert [m for m, _ in t.api.calls] == ["create_pod", "create_pod", "read_pod"]
    assert len(t.bench.of(Upsert)) == 1


@virtual
async def test_delays_grow_and_a_retry_after_is_kept() -> None:
    t = Carry()
    t.api.script("create_pod", *[fake.error(Answer.UNKNOWN)] * 3, fake.error(Answer.THROTTLED, retry_after=20.0))
    delays = []
    for _ in range(4):
        await t(CREATE)
        delay = t.memory.ledger.due([CREATE], now())[1]
        assert delay is not None
        delays.append(round(delay, 2))
        await asyncio.sleep(delay)
    assert delays == [0.25, 0.5, 1.0, 20.0]


@pytest.mark.parametrize(
    "answer",
    [Answer.QUOTA, Answer.POLICY, Answer.NAMESPACE_TERMINATING, Answer.INVALID, Answer.RBAC, Answer.TOO_LARGE],
)
def test_a_refusal_is_reported_once_and_stops_its_like(answer: Answer) -> None:
    @virtual
    async def run() -> None:
        t = Carry(in_flight=4)
        t.api.script("create_pod", *[fake.error(answer, message="no")] * 4)
        duties = creates(40)
        await t(*duties)
        assert t.bench.of(Refused) == [Refused(JOB.id, 1, answer.value, "no", t.bench.of(Refused)[0].at)]
        assert t.api.count("create_pod") == 4, "what was in flight, and no more"
        assert not t.due(duties)

    run()


@virtual
async def test_a_refused_dry_run_is_an_answer() -> None:
    t = Carry()
    t.api.script("admit", fake.error(Answer.POLICY, message="no"))
    await t(Admit(0, "t+"))
    assert [(c.record.template, c.record.refused, c.record.message) for c in t.bench.of(Upsert)] == [
        ("t+", "policy", "no")
    ]
    assert not t.bench.of(Refused)


@virtual
async def test_creates_without_any_answer_are_given_up_after_a_minute() -> None:
    t = Carry()
    t.api.script("create_pod", *[fake.error(Answer.UNKNOWN)] * 100)
    while not t.bench.of(Refused):
        await t(CREATE)
        await asyncio.sleep(5)
    assert 60 <= now() < 75
    assert [r.error for r in t.bench.of(Refused)] == ["unknown"]


@virtual
async def test_one_answer_ends_the_silence() -> None:
    t = Carry()
    t.api.script("create_pod", fake.error(Answer.UNKNOWN))
    await t(CREATE)
    await asyncio.sleep(59)
    await t(CreatePod(0, 1, "n1", 1))
    t.api.script("create_pod", fake.error(Answer.UNKNOWN))
    await asyncio.sleep(5)
    await t(CREATE)
    assert not t.bench.of(Refused)


@virtual
async def test_only_so_many_are_in_flight() -> None:
    t = Carry(in_flight=8)
    await t(*creates(40))
    assert t.api.most == 8
    assert len(t.api.pods) == 40


@virtual
async def test_what_is_superseded_is_not_sent_and_what_is_in_flight_is_awaited() -> None:
    t = Carry(in_flight=8)
    t.superseded = lambda: t.api.count("create_pod") >= 8
    await t(*creates(40))
    assert t.api.count("create_pod") == 8
    assert len(t.bench.of(Upsert)) == 8, "each of them was answered and told"


@virtual
async def test_a_stale_lease_stops_everything() -> None:
    t = Carry(in_flight=4)
    t.api.on_call = lambda _method: setattr(t.bench, "fresh", False)
    with pytest.raises(Closed):
        await t(*creates(40))
    assert t.api.count("create_pod") == 1
    assert len(t.bench.of(Upsert)) == 1
    assert t.bench.stale == 1


@virtual
async def test_a_defect_in_one_step_leaves_the_others_alone() -> None:
    t = Carry()
    t.api.script("create_pod", KeyError("defect"))
    await t(*creates(3))
    assert len(t.api.pods) == 2


# --- the view (S2) ---


@virtual
async def test_a_view_hands_over_everything_and_then_says_which_claims_it_holds() -> None:
    t = Carry()
    other = replace(JOB, id="uid-other", name="other", status=replace(JOB.status, attempt=4))
    t.api.jobs |= {"other": other, "idle": b.job("idle")}
    t.api.pods["p"] = t.api.made(SCENE, CREATE)
    await t(ReadView(1))
    assert [m for m, _ in t.api.calls] == ["live_jobs", "our_pods"]
    assert t.bench.told[-1] == Viewed(frozenset({("uid-llm", 1), ("uid-other", 4)}))
    assert len(t.bench.of(Upsert)) == 3


@virtual
async def test_who_asks_during_a_read_waits_for_the_next_which_serves_all() -> None:
    t = Carry()
    views = Views(t.api, t.bench.tools)
    t.api.hold = asyncio.Event()
    first = asyncio.create_task(views.read())
    await asyncio.sleep(0.5)
    t.api.edit("llm", status=replace(JOB.status, attempt=2))
    others = [asyncio.create_task(views.read()) for _ in range(5)]
    await asyncio.sleep(0.5)
    t.api.hold.set()
    assert t.api.count("live_jobs") == 1
    await asyncio.gather(first, *others)
    assert t.api.count("live_jobs") == 2
    assert ("uid-llm", 2) in t.bench.of(Viewed)[-1].claims


@virtual
async def test_a_view_that_hangs_holds_up_nothing_newer_and_is_read_to_its_end() -> None:
    t = Carry()
    t.api.hold = asyncio.Event()
    newer = False
    t.superseded = lambda: newer
    batch = asyncio.create_task(t(ReadView(1)))
    await asyncio.sleep(5)
    assert not batch.done()
    newer = True
    await asyncio.sleep(1)
    assert batch.done()
    t.api.hold.set()
    await asyncio.sleep(0.1)
    assert len(t.bench.of(Viewed)) == 1


@virtual
async def test_a_claim_that_is_not_in_the_list_is_not_viewed() -> None:
    t = Carry()
    t.api.on_call = lambda method: (
        t.api.edit("llm", status=replace(JOB.status, attempt=2)) if method == "our_pods" else None
    )
    await t(ReadView(2))
    assert t.bench.of(Viewed) == [Viewed(frozenset({("uid-llm", 1)}))]


@virtual
async def test_a_snapshot_that_expired_is_read_all_over_again() -> None:
    t = Carry()
    t.api.script("our_pods", fake.error(Answer.EXPIRED, code=410))
    await t(ReadView(1))
    assert t.api.count("live_jobs") == 2
    assert len(t.bench.of(Viewed)) == 1


@virtual
async def test_a_view_that_failed_says_nothing() -> None:
    t = Carry()
    t.api.script("our_pods", fake.error(Answer.UNKNOWN))
    await t(ReadView(1))
    assert not t.bench.of(Viewed)
    assert not t.due([ReadView(1)])
