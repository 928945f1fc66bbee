import asyncio
from contextlib import asynccontextmanager

import msgspec
from tests.support.faketransport import FakeTransport, missing, now, ok, status, virtual

from muster.kube.client import Client
from muster.kube.events import EventWriter, Subject
from muster.kube.limits import Bucket, Limits

JOB = Subject("muster.dev/v1alpha1", "TrainingJob", "a", "llm", "u-1")
EVENTS = "/api/v1/namespaces/a/events"


@asynccontextmanager
async def writing(transport, **more):
    limits = more.pop("limits", Limits(clock=now))
    client = Client(transport, limits, clock=now, may_write=more.pop("may_write", None))
    writer = EventWriter(client, now=lambda: 1_700_000_000_000 + int(now() * 1000), clock=now, **more)
    task = asyncio.ensure_future(writer.run())
    try:
        yield writer, task
    finally:
        task.cancel()
        await asyncio.wait([task])


def bodies(transport, method):
    return [msgspec.json.decode(r.body) for r in transport.sent(method)]


@virtual
async def test_as_kubectl_describe_wants_it():
    transport = FakeTransport(fallback=lambda _: ok())
    async with writing(transport, instance="pod-1") as (writer, _):
        writer.publish(JOB, 1, "Placed", "8 nodes", type="Normal")
        await asyncio.sleep(1)
    (body,) = bodies(transport, "POST")
    assert transport.requests[0].path == EVENTS
    name = body["metadata"].pop("name")
    assert name.startswith("llm.")
    assert body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "a"},
        "involvedObject": {
            "apiVersion": "muster.dev/v1alpha1",
            "kind": "TrainingJob",
            "namespace": "a",
            "name": "llm",
            "uid": "u-1",
        },
        "type": "Normal",
        "reason": "Placed",
        "message": "8 nodes",
        "count": 1,
        "firstTimestamp": "2023-11-14T22:13:20Z",
        "lastTimestamp": "2023-11-14T22:13:20Z",
        "source": {"component": "muster"},
        "reportingComponent": "muster.dev/operator",
        "reportingInstance": "pod-1",
    }


@virtual
async def test_repetitions_are_counted_and_written_once_in_a_window():
    transport = FakeTransport(fallback=lambda _: ok())
    async with writing(transport) as (writer, _):
        for _ in range(600):
            writer.publish(JOB, 1, "Waiting", f"at {now():.0f}")
            await asyncio.sleep(0.5)
    assert len(transport.sent("POST")) == 1
    patches = bodies(transport, "PATCH")
    assert 3 <= len(patches) <= 5
    assert patches[-1]["count"] > 400
    assert {r.path for r in transport.sent("PATCH")} == {f"{EVENTS}/{bodies(transport, 'POST')[0]['metadata']['name']}"}


@virtual
async def test_another_attempt_or_reason_is_another_event():
    transport = FakeTransport(fallback=lambda _: ok())
    async with writing(transport) as (writer, _):
        writer.publish(JOB, 1, "Placed", "")
        writer.publish(JOB, 2, "Placed", "")
        writer.publish(JOB, 2, "Running", "")
        await asyncio.sleep(5)
    assert len({b["metadata"]["name"] for b in bodies(transport, "POST")}) == 3


@virtual
async def test_an_event_the_server_forgot_is_made_again():
    def answer(request):
        return ok() if request.method == "POST" else missing(request.path.rsplit("/", 1)[1], "events")

    transport = FakeTransport(fallback=answer)
    async with writing(transport) as (writer, _):
        writer.publish(JOB, 1, "Waiting", "")
        await asyncio.sleep(100)
        writer.publish(JOB, 1, "Waiting", "")
        await asyncio.sleep(1)
        assert [b["count"] for b in bodies(transport, "POST")] == [1, 2]
        assert writer.dropped == 0


@virtual
async def test_long_messages_are_cut():
    transport = FakeTransport(fallback=lambda _: ok())
    async with writing(transport) as (writer, _):
        writer.publish(JOB, 1, "Failed", "ä" * 2000)
        await asyncio.sleep(1)
    message = bodies(transport, "POST")[0]["message"]
    assert 1000 < len(message.encode()) <= 1024
    assert message.endswith("ä…")


@virtual
async def test_cluster_scoped_objects_have_theirs_in_default():
    transport = FakeTransport(fallback=lambda _: ok())
    async with writing(transport) as (writer, _):
        writer.publish(Subject("muster.dev/v1alpha1", "ClusterTopology", "", "default", "t"), 0, "Invalid", "")
        await asyncio.sleep(1)
    assert transport.requests[0].path == "/api/v1/namespaces/default/events"
    assert "namespace" not in bodies(transport, "POST")[0]["involvedObject"]


@virtual
async def test_never_blocks_or_raises_and_is_bounded():
    transport = FakeTransport(fallback=lambda _: status(403, "Forbidden", "no"))
    async with writing(transport, queue=10) as (writer, task):
        for n in range(50):
            writer.publish(JOB, n, "Placed", "")
        assert writer.dropped == 40
        await asyncio.sleep(60)
        assert writer.dropped == 50
        assert not task.done()


@virtual
async def test_a_follower_writes_none():
    transport = FakeTransport(fallback=lambda _: ok())
    async with writing(transport, may_write=lambda: False) as (writer, task):
        writer.publish(JOB, 1, "Placed", "")
        await asyncio.sleep(60)
        assert transport.requests == []
        assert not task.done()


@virtual
async def test_keeps_to_its_own_rate():
    transport = FakeTransport(fallback=lambda _: ok())
    async with writing(transport, limits=Limits({Bucket.EVENTS: (1, 5)}, clock=now)) as (writer, _):
        for n in range(20):
            writer.publish(JOB, n, "Placed", "")
        await asyncio.sleep(10.5)
        assert len(transport.requests) == 15


@virtual
async def test_close_flushes_and_ends():
    transport = FakeTransport(fallback=lambda _: ok())
    async with writing(transport) as (writer, task):
        for n in range(10):
            writer.publish(JOB, n, "Placed", "")
        await writer.close(5)
        assert len(transport.requests) == 10
        await task
        writer.publish(JOB, 99, "Placed", "")
        assert writer.dropped == 1


@virtual
async def test_close_does_not_wait_for_ever():
    transport = FakeTransport(fallback=lambda _: ok())
    async with writing(transport, limits=Limits({Bucket.EVENTS: (0.1, 1)}, clock=now)) as (writer, _):
        for n in range(10):
            writer.publish(JOB, n, "Placed", "")
        await writer.close(5)
        assert now() == 5
        assert writer.dropped == 8
