"""The whole process against a tiny API server that only lists and watches."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from tests.support.tinyapi import OWN, TinyApi

from muster import settings
from muster.app import App, Ports
from muster.core.model import Kind
from muster.kube.transport import Access, FixedCredentials, HttpTransport

KINDS = OWN | {
    "nodes": ("v1", "Node", False),
    "pods": ("v1", "Pod", True),
    "services": ("v1", "Service", True),
    "resourcequotas": ("v1", "ResourceQuota", True),
    "limitranges": ("v1", "LimitRange", True),
    "priorityclasses": ("scheduling.k8s.io/v1", "PriorityClass", False),
    "runtimeclasses": ("node.k8s.io/v1", "RuntimeClass", False),
}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@asynccontextmanager
async def running(api: TinyApi, **flags: object) -> AsyncIterator[tuple[App, asyncio.Task[int]]]:
    access = FixedCredentials(Access(api.url))
    transports = [HttpTransport(access), HttpTransport(access)]

    async def close() -> None:
        for transport in transports:
            await transport.close()

    now = lambda: time.time_ns() // 1_000_000  # noqa: E731
    ports = Ports(transports[0], transports[1], lambda: FixedCredentials(Access(api.url)), now, time.monotonic, close)
    defaults = {"leader_elect": False, "metrics_bind_port": 0, "probe_bind_port": 0, "shutdown_seconds": 1}
    app = App(settings.load(**(defaults | flags)), ports)
    task = asyncio.create_task(app.run())
    try:
        yield app, task
    finally:
        if not task.done():
            app.stop()
        await api.cut()
        await asyncio.wait((task,), timeout=15)


async def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_it_warms_up_leads_answers_probes_and_stops() -> None:
    port = free_port()
    async with TinyApi(KINDS) as api:
        await api.put("nodes", "n1", status={"allocatable": {"cpu": "4", "pods": "10"}})
        async with running(api, metrics_bind_port=port, probe_bind_port=port) as (app, task):
            await until(lambda: app.world.leading)
            assert app.ready() == ""
            assert app.healthy() == ""
            assert list(app.world.nodes) == ["n1"]
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                for path, said in (("/healthz", "ok"), ("/readyz", "ok"), ("/metrics", "muster_leader 1.0")):
                    async with session.get(path) as response:
                        assert response.status == 200
                        assert said in await response.text()
            await until(lambda: "trainingjobs" in api.watches)  # kopf's
            app.stop()
            await api.cut()
            assert await asyncio.wait_for(task, 15) == 0
        assert api.writes == []


async def test_without_its_custom_resources_it_waits_and_goes_on_when_they_come() -> None:
    async with TinyApi(KINDS) as api:
        api.absent |= {"trainingjobs", "clustertopologies"}
        async with running(api) as (app, _):
            await until(lambda: bool(app.own.missing))
            assert "trainingjobs" in app.ready()
            assert not app.world.leading
            api.absent.clear()
            app.own.ask()
            await until(lambda: app.world.leading)
            assert app.ready() == ""


async def test_a_removed_kind_stops_decisions_and_drops_no_job() -> None:
    async with TinyApi(KINDS) as api:
        await api.put("trainingjobs", "a", spec={"roles": []})
        async with running(api) as (app, _):
            await until(lambda: app.world.leading and app.door.held(Kind.JOB) == 1)
            api.absent.add("trainingjobs")
            app.own.ask()
            await until(lambda: not app.world.leading)
            assert app.door.held(Kind.JOB) == 1
            assert app.ready() != ""


async def test_one_leads_the_other_follows_and_takes_over_at_once() -> None:
    async with TinyApi(KINDS) as api:
        flags = {"leader_elect": True, "lease_seconds": 6, "lease_namespace": "m"}
        async with running(api, identity="a", **flags) as (first, ending):
            await until(lambda: first.world.leading)
            async with running(api, identity="b", **flags) as (second, _):
                await until(lambda: second.ready() == "")
                assert not second.world.leading
                first.stop()
                await api.cut()
                assert await asyncio.wait_for(ending, 15) == 0
                assert "" in api.holders  # given back
                lists = api.lists.count("pods")
                await until(lambda: second.world.leading, 4)
                assert api.lists.count("pods") > lists  # consistently, before its first decision
        assert api.writes == []


async def test_a_lost_lease_ends_the_process_with_an_error() -> None:
    async with TinyApi(KINDS) as api:
        flags = {"leader_elect": True, "lease_seconds": 3, "lease_namespace": "m"}
        async with running(api, identity="a", **flags) as (app, task):
            await until(lambda: app.world.leading)
            assert api.lease is not None
            api.rv += 1
            api.lease["metadata"]["resourceVersion"] = str(api.rv)
            api.lease["spec"]["holderIdentity"] = "somebody else"
            await until(lambda: app._ended.is_set())
            await api.cut()
            assert await asyncio.wait_for(task, 15) == 1
            assert api.holders[-1] == "a"  # nothing was given back
