import asyncio
from contextlib import aclosing

import msgspec
import pytest
from tests.support.faketransport import FakeTransport, forever, missing, now, ok, plain, status, virtual

from muster.kube import paths
from muster.kube.backoff import retrying
from muster.kube.client import MERGE_PATCH, Client, LeaseStale
from muster.kube.errors import Answer, ApiError
from muster.kube.limits import Bucket, Limits
from muster.kube.transport import TransportError, Withheld

POD = "/api/v1/namespaces/a/pods/p"
PODS = "/api/v1/namespaces/a/pods"


def client(transport, **more):
    return Client(transport, clock=now, random=lambda: 0.5, **more)


def page(token=""):
    return ok({"kind": "PodList", "metadata": {"resourceVersion": "5", "continue": token}, "items": []})


@virtual
async def test_a_read_is_repeated_until_it_answers():
    seen = []
    transport = FakeTransport().answer(
        "GET", POD, TransportError("refused", sent=False), plain(503, ""), plain(429, "", retry_after="3"), ok({"a": 1})
    )
    body = await client(transport, observe=lambda *a: seen.append((a[0], a[1], a[3]))).get(POD)
    assert msgspec.json.decode(body) == {"a": 1}
    assert now() >= 3
    assert seen == [("get", "pods", o) for o in ("unsent", "unknown", "throttled", "ok")]


@virtual
async def test_a_read_is_repeated_a_bounded_number_of_times():
    transport = FakeTransport().answer("GET", POD, forever(plain(503, "")))
    with pytest.raises(ApiError) as error:
        await client(transport, attempts=4).get(POD)
    assert error.value.answer is Answer.UNKNOWN
    assert len(transport.requests) == 4


@pytest.mark.parametrize("answer", [missing("p"), plain(404, "404 page not found"), status(403, "Forbidden", "x")])
def test_a_definite_answer_is_not_asked_for_again(answer):
    @virtual
    async def run():
        transport = FakeTransport().answer("GET", POD, forever(answer))
        with pytest.raises(ApiError):
            await client(transport).get(POD)
        assert len(transport.requests) == 1

    run()


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda c: c.create(PODS, {}, bucket=Bucket.PODS), id="create"),
        pytest.param(lambda c: c.patch(POD, b"{}", bucket=Bucket.PODS), id="patch"),
        pytest.param(lambda c: c.replace(POD, {}, bucket=Bucket.COMMITS), id="replace"),
        pytest.param(lambda c: c.delete(POD, uid="u"), id="delete"),
    ],
)
def test_a_write_is_attempted_once(write):
    @virtual
    async def run():
        transport = FakeTransport(fallback=lambda _: plain(503, ""))
        with pytest.raises(ApiError) as error:
            await write(client(transport))
        assert error.value.answer is Answer.UNKNOWN
        assert len(transport.requests) == 1

    run()


@virtual
async def test_what_is_sent():
    transport = FakeTransport(fallback=lambda _: ok())
    c = client(transport)
    await c.create(PODS, {"x": 1}, bucket=Bucket.PODS, dry_run=True)
    await c.patch(POD, {"x": 1}, bucket=Bucket.PODS)
    await c.delete(POD, uid="u", resource_version="7", grace=0, propagation="Background")
    create, patch, delete = transport.requests
    assert create.query == (("dryRun", "All"), ("fieldValidation", "Strict"))
    assert (create.body, create.content_type) == (b'{"x":1}', "application/json")
    assert (patch.query, patch.content_type) == ((), MERGE_PATCH)
    assert msgspec.json.decode(delete.body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
    }


@virtual
async def test_the_lease_is_asked_after_the_wait_for_the_bucket():
    transport = FakeTransport(fallback=lambda _: ok())
    c = client(transport, limits=Limits({Bucket.PODS: (0.1, 1)}, clock=now), may_write=lambda: now() < 5)
    await c.create(PODS, {}, bucket=Bucket.PODS)
    with pytest.raises(LeaseStale):
        await c.create(PODS, {}, bucket=Bucket.PODS)
    assert len(transport.requests) == 1
    await c.get(POD)  # reads go on


@virtual
async def test_a_write_that_the_transport_withheld_was_not_sent():
    transport = FakeTransport().answer("POST", PODS, Withheld())
    with pytest.raises(LeaseStale):
        await client(transport, may_write=lambda: True).create(PODS, {}, bucket=Bucket.PODS)
    assert transport.requests[0].may_leave is not None


@virtual
async def test_throttling_pauses_only_its_own_bucket():
    transport = FakeTransport(fallback=lambda _: ok()).answer("POST", PODS, plain(429, "", retry_after="4"))
    c = client(transport)
    with pytest.raises(ApiError):
        await c.create(PODS, {}, bucket=Bucket.PODS)
    await c.delete(POD, uid="u")
    assert now() == 0
    await c.create(PODS, {}, bucket=Bucket.PODS)
    assert now() == 4


@virtual
async def test_pages_follow_the_token_and_are_consistent():
    transport = FakeTransport().answer("GET", PODS, page("t1"), page("t2"), page())
    pages = [p async for p in client(transport).list_pages(PODS, label_selector="a=b", field_selector="spec.x=1")]
    assert len(pages) == 3
    assert [dict(r.query) for r in transport.requests] == [
        {"limit": "500", "labelSelector": "a=b", "fieldSelector": "spec.x=1", **more}
        for more in ({}, {"continue": "t1"}, {"continue": "t2"})
    ]


@virtual
async def test_a_token_that_expired_is_reported():
    transport = FakeTransport().answer("GET", PODS, page("t1"), status(410, "Expired", "too old"))
    with pytest.raises(ApiError) as error:
        [p async for p in client(transport).list_pages(PODS)]
    assert error.value.answer is Answer.EXPIRED


@virtual
async def test_a_watch_that_is_left_is_closed():
    transport = FakeTransport().streaming(PODS, [b"a", b"b", b"c"])
    async with aclosing(client(transport).watch(PODS, ())) as lines:
        async for _ in lines:
            break
    assert transport.open == 0


@virtual
async def test_duties_are_repeated_but_other_errors_pass():
    calls = 0

    async def duty():
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ApiError(Answer.UNKNOWN)
        raise LeaseStale("x")

    with pytest.raises(LeaseStale):
        await retrying(duty, random=lambda: 0.5)
    assert calls == 3


@virtual
async def test_a_cancelled_request_ends():
    transport = FakeTransport()

    async def hang(request):
        await asyncio.sleep(1000)

    transport.send = hang
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await client(transport).get(POD)
    assert now() == 1


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (paths.pods(), ("pods", "")),
        (paths.pods("a"), ("pods", "")),
        (paths.pod("a", "p"), ("pods", "p")),
        (paths.pod_status("a", "p"), ("pods", "p")),
        (paths.nodes(), ("nodes", "")),
        (paths.trainingjobs(), ("trainingjobs", "")),
        (paths.trainingjob_status("a", "j"), ("trainingjobs", "j")),
        (paths.clustertopology("default"), ("clustertopologies", "default")),
        (paths.lease("a", "l"), ("leases", "l")),
        ("/api/v1/namespaces/a", ("namespaces", "a")),
        ("/api/v1/namespaces", ("namespaces", "")),
    ],
)
def test_paths_say_kind_and_name(path, parts):
    assert paths.split(path) == parts
