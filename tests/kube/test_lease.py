import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.support.faketransport import missing, now, ok, status, virtual

from muster.kube import paths
from muster.kube.client import Client
from muster.kube.lease import Election, boottime, identity
from muster.kube.transport import Request, Response, TransportError

PATH = paths.lease("m", "muster")
COLLECTION = paths.leases("m")


class LeaseServer:
    """Keeps one Lease, with compare-and-set. `down` hangs every request; `lose` carries out, but does not answer."""

    def __init__(self, lease=None):
        self.lease = lease
        self.rv = 100
        self.down = False
        self.lose = False
        self.requests: list[Request] = []

    def put(self, body):
        self.rv += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.rv), "uid": "u"}}
        return ok(self.lease)

    @property
    def holder(self):
        return self.lease["spec"]["holderIdentity"]

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        await asyncio.sleep(0.01)
        if self.down:
            await asyncio.sleep(request.timeout or 30)
            raise TransportError("timed out", sent=True)
        answer = self.answer(request)
        if self.lose:
            raise TransportError("connection reset", sent=True)
        return answer

    def answer(self, request):
        if request.method == "GET":
            return missing("muster", "leases") if self.lease is None else ok(self.lease)
        body = msgspec.json.decode(request.body)
        if request.method == "POST":
            if self.lease is not None:
                return status(409, "AlreadyExists", "exists", name="muster", kind="leases")
            return self.put(body)
        if self.lease is None:
            return missing("muster", "leases")
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            return status(409, "Conflict", "the object has been modified", name="muster", kind="leases")
        return self.put(body)

    async def stream(self, request):
        raise AssertionError
        yield


class Candidate:
    def __init__(self, server, name, **more):
        self.name = name
        self.led: list[float] = []
        self.lost: list[float] = []
        self.skew = 0.0
        client = Client(server, clock=now, random=lambda: 0.5)
        self.election = Election(
            client,
            "m",
            "muster",
            name,
            on_leading=lambda term: self.led.append(now()),
            on_lost=lambda: self.lost.append(now()),
            wall=lambda: 1_700_000_000_000 + int(now() * 1000),
            clock=lambda: now() + self.skew,
            random=lambda: 0.5,
            **more,
        )


@asynccontextmanager
async def standing(*candidates):
    tasks = [asyncio.ensure_future(c.election.run()) for c in candidates]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@virtual
async def test_a_missing_lease_is_made():
    server = LeaseServer()
    a = Candidate(server, "a")
    async with standing(a):
        await asyncio.sleep(1)
        assert a.led
        assert a.election.fresh()
        assert a.election.term == "101"
        spec = server.lease["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 15, 0)
        assert spec["renewTime"] == spec["acquireTime"] == "2023-11-14T22:13:20.010000Z"


@virtual
async def test_one_of_two_leads_and_keeps_the_lead():
    server = LeaseServer()
    a, b = Candidate(server, "a"), Candidate(server, "b")
    async with standing(a, b):
        for _ in range(600):
            await asyncio.sleep(0.5)
            assert not (a.election.fresh() and b.election.fresh())
        assert (len(a.led), len(b.led)) == (1, 0)
        assert a.election.fresh()
        assert b.election.holder == "a"
        renewals = [r for r in server.requests if r.method == "PUT"]
        assert 55 <= len(renewals) <= 62


@virtual
async def test_a_renewal_counts_from_before_it_was_sent():
    server = LeaseServer()
    a = Candidate(server, "a")
    async with standing(a):
        await asyncio.sleep(1)
        server.down = True
        began = a.led[0] - 0.01  # the create took 10 ms
        await asyncio.sleep(began + 9.99 - now())
        assert a.election.fresh()
        await asyncio.sleep(0.02)
        assert not a.election.fresh()
        assert a.lost == [pytest.approx(began + 10, abs=0.01)]


@virtual
async def test_a_slow_renewal_counts_from_before_it_was_sent_too():
    server = LeaseServer()
    a = Candidate(server, "a")
    async with standing(a) as (task,):
        await asyncio.sleep(1)
        carry_out = server.answer

        def slow(request):
            server.answer = carry_out
            server.down = True  # from the next request on
            began.append(now() - 0.01)
            return carry_out(request)

        began: list[float] = []
        server.answer = slow
        await asyncio.wait([task])
        assert began[0] == pytest.approx(5.0, abs=0.02)
        assert a.lost == [pytest.approx(began[0] + 10, abs=0.001)]


@virtual
async def test_a_frozen_leader_is_stale_before_the_other_takes_over():
    server = LeaseServer()
    a, b = Candidate(server, "a"), Candidate(server, "b")
    async with standing(a) as (task,):
        await asyncio.sleep(1)
        async with standing(b):
            await asyncio.sleep(1)
            task.cancel()  # as a stopped process: nothing of it runs any more
            while not b.led:
                await asyncio.sleep(0.1)
                assert not (a.election.fresh() and b.election.fresh())
            assert not a.election.fresh()
            assert now() > 15
            assert server.lease["spec"]["leaseTransitions"] == 1


@virtual
async def test_a_suspended_leader_is_stale_when_it_wakes():
    server = LeaseServer()
    a = Candidate(server, "a")
    async with standing(a) as (task,):
        await asyncio.sleep(1)
        a.skew = 3600  # the machine slept; timers on the monotonic clock did not run
        assert not a.election.fresh()
        await asyncio.wait([task])
        assert len(a.lost) == 1
        assert now() < 7


@virtual
async def test_a_hung_transport_that_keeps_no_timeout_cannot_hold_the_lead():
    server = LeaseServer()
    a = Candidate(server, "a")
    async with standing(a) as (task,):
        await asyncio.sleep(1)

        async def hang(request):
            await asyncio.sleep(1e6)

        server.send = hang
        await asyncio.wait([task])
        assert a.lost == [pytest.approx(10, abs=0.1)]


@virtual
async def test_one_lost_answer_does_not_cost_the_lead():
    server = LeaseServer()
    a = Candidate(server, "a")
    async with standing(a):
        await asyncio.sleep(4)
        server.lose = True  # the renewal lands, its answer does not
        await asyncio.sleep(2)
        server.lose = False
        await asyncio.sleep(60)
        assert a.election.fresh()
        assert a.lost == []


@virtual
async def test_a_label_put_on_the_lease_does_not_cost_the_lead():
    server = LeaseServer()
    a = Candidate(server, "a")
    async with standing(a):
        await asyncio.sleep(2)
        server.put({**server.lease, "metadata": {**server.lease["metadata"], "labels": {"x": "y"}}})
        await asyncio.sleep(30)
        assert a.election.fresh()
        assert server.lease["metadata"]["labels"] == {"x": "y"}


@pytest.mark.parametrize("taken", ["other", "deleted"])
def test_a_lease_taken_or_deleted_is_lost(taken):
    @virtual
    async def run():
        server = LeaseServer()
        a = Candidate(server, "a")
        async with standing(a) as (task,):
            await asyncio.sleep(2)
            if taken == "other":
                server.put({**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "b"}})
            else:
                server.lease = None
            await asyncio.wait([task])
            assert len(a.lost) == 1
            assert now() < 7
            assert not a.election.fresh()

    run()


@virtual
async def test_a_held_lease_that_is_deleted_is_not_taken_at_once():
    server = LeaseServer()
    a, b = Candidate(server, "a"), Candidate(server, "b")
    async with standing(a, b):
        await asyncio.sleep(5.5)
        server.lease = None
        for _ in range(600):
            await asyncio.sleep(0.1)
            assert not (a.election.fresh() and b.election.fresh())
        assert b.led


@virtual
async def test_the_holders_own_duration_counts():
    server = LeaseServer()
    a, b = Candidate(server, "a", lease_seconds=60, deadline=50, renew_seconds=20), Candidate(server, "b")
    async with standing(a, b):
        for _ in range(400):
            await asyncio.sleep(0.5)
            assert not b.led


@virtual
async def test_release_lets_the_other_lead_at_once():
    server = LeaseServer()
    a, b = Candidate(server, "a"), Candidate(server, "b")
    async with standing(a, b) as (task, _):
        await asyncio.sleep(6)
        assert len(a.led) == 1
        await a.election.release()
        assert not a.election.fresh()
        assert server.holder == ""
        released = now()
        await asyncio.wait([task])
        await asyncio.sleep(4)
        assert b.led[0] - released < 4
        assert a.lost == []


@virtual
async def test_release_by_a_follower_writes_nothing():
    server = LeaseServer()
    a, b = Candidate(server, "a"), Candidate(server, "b")
    async with standing(a, b):
        await asyncio.sleep(3)
        writes = len([r for r in server.requests if r.method != "GET"])
        await b.election.release()
        assert len([r for r in server.requests if r.method != "GET"]) == writes


@virtual
async def test_release_after_the_lead_is_lost_writes_nothing():
    server = LeaseServer()
    a = Candidate(server, "a")
    async with standing(a) as (task,):
        await asyncio.sleep(1)
        server.put({**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "b"}})
        await asyncio.wait([task])
        await a.election.release()
        assert server.holder == "b"


@virtual
async def test_the_lead_once_lost_does_not_come_back():
    server = LeaseServer()
    a = Candidate(server, "a")
    async with standing(a) as (task,):
        await asyncio.sleep(1)
        a.skew = 11
        assert not a.election.fresh()
        await asyncio.sleep(60)
        assert task.done()
        assert not a.election.fresh()


@virtual
async def test_an_acquisition_without_answer_is_taken_up():
    server = LeaseServer()
    a = Candidate(server, "a")
    server.lose = True
    async with standing(a):
        await asyncio.sleep(0.02)
        assert not a.election.fresh()
        server.lose = False
        await asyncio.sleep(5)
        assert a.election.fresh()
        assert server.lease["spec"]["leaseTransitions"] == 0


def test_unsafe_times_are_refused():
    with pytest.raises(ValueError, match="must hold"):
        Candidate(LeaseServer(), "a", lease_seconds=10, deadline=10)


def test_identities_differ():
    assert identity() != identity()
    assert boottime() <= boottime()
