"""The server behind a socket: streams, tokens, the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml
from tests.embedded.talk import MAPS, configmap, owned

from muster.embedded.http import HttpServer, kubeconfig, wall_clock
from muster.embedded.server import Server


@pytest_asyncio.fixture
async def http() -> AsyncIterator[HttpServer]:
    made = HttpServer(Server(wall_clock), token="secret")
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def session(http: HttpServer) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": "Bearer secret", "User-Agent": "tests/1"}
    async with aiohttp.ClientSession(http.url, headers=headers) as made:
        yield made


async def test_only_who_has_the_token(http: HttpServer) -> None:
    async with aiohttp.ClientSession(http.url) as stranger:
        for headers in ({}, {"Authorization": "Bearer guess"}):
            async with stranger.get("/version", headers=headers) as answer:
                assert answer.status == 401
                assert (await answer.json())["reason"] == "Unauthorized"


async def test_the_token_may_be_in_the_address(http: HttpServer) -> None:
    async with aiohttp.ClientSession() as kubectl:
        async with kubectl.get(f"{http.url}/secret{MAPS}") as answer:
            assert answer.status == 200
        async with kubectl.get(f"{http.url}/guess{MAPS}") as answer:
            assert answer.status == 401


async def test_objects_go_in_and_out(session: aiohttp.ClientSession) -> None:
    async with session.post(MAPS, json=configmap("m", a="ä€")) as answer:
        assert answer.status == 201
        made = await answer.json()
    async with session.get(f"{MAPS}/m") as answer:
        assert await answer.json() == made
    async with session.get(MAPS, params={"labelSelector": "a in (b, c)", "limit": "5"}) as answer:
        assert (await answer.json())["items"] == []
    async with session.get("/nothing") as answer:
        assert (answer.status, answer.content_type) == (404, "text/plain")


async def lines(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    async for line in answer.content:
        event = json.loads(line)
        yield event["type"], event["object"]["metadata"].get("name", "")


async def test_a_watch_streams_and_ends_with_a_bookmark(session: aiohttp.ClientSession) -> None:
    asked = {"watch": "true", "resourceVersion": "0", "timeoutSeconds": "1", "allowWatchBookmarks": "true"}
    async with session.get(MAPS, params=asked) as answer:
        assert answer.status == 200
        stream = lines(answer)
        await session.post(MAPS, json=configmap("m"))
        assert await anext(stream) == ("ADDED", "m")
        await session.delete(f"{MAPS}/m")
        assert await anext(stream) == ("DELETED", "m")
        assert [each async for each in stream] == [("BOOKMARK", "")]


async def test_a_watch_of_many_large_objects(session: aiohttp.ClientSession) -> None:
    for number in range(30):
        await session.post(MAPS, json=configmap(f"m{number:02}", a="x" * 200_000))
    asked = {"watch": "true", "resourceVersion": "0", "timeoutSeconds": "1"}
    async with session.get(MAPS, params=asked, read_bufsize=2**20) as answer:
        seen = b"".join([chunk async for chunk in answer.content.iter_any()]).splitlines()
    assert [json.loads(line)["object"]["metadata"]["name"] for line in seen] == [f"m{n:02}" for n in range(30)]


async def test_controllers_inside_are_driven(session: aiohttp.ClientSession) -> None:
    async with session.post(MAPS, json=configmap("owner")) as answer:
        owner = await answer.json()
    await session.post(MAPS, json=owned(configmap("child"), owner))
    await session.delete(f"{MAPS}/owner")
    async with asyncio.timeout(5):
        while (await session.get(f"{MAPS}/child")).status != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_too_large_a_body(session: aiohttp.ClientSession) -> None:
    async with session.post(MAPS, data=b"x" * (4 << 20), headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 413
        assert (await answer.json())["reason"] == "RequestEntityTooLarge"


async def test_the_end_ends_watches_at_once(http: HttpServer, session: aiohttp.ClientSession) -> None:
    async with session.get(MAPS, params={"watch": "true", "resourceVersion": "0"}) as answer:
        async with asyncio.timeout(5):
            await http.stop()
            assert [each async for each in lines(answer)] == []


async def test_who_goes_leaves_nothing_behind(http: HttpServer, session: aiohttp.ClientSession) -> None:
    async with session.get(MAPS, params={"watch": "true", "resourceVersion": "0"}) as answer:
        assert answer.status == 200
        assert http.open_watches == 1
    await session.post(MAPS, json=configmap("m"))
    async with asyncio.timeout(5):
        while http.open_watches:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_kubeconfig(tmp_path: Path) -> None:
    config = yaml.safe_load(kubeconfig("http://127.0.0.1:1", "t"))
    assert config["clusters"][0]["cluster"] == {"server": "http://127.0.0.1:1/t"}
    assert config["users"][0]["user"] == {"token": "t"}


@pytest.mark.parametrize("path", ["%2e%2e/x", "a%2fb"])
async def test_odd_names_are_only_not_there(session: aiohttp.ClientSession, path: str) -> None:
    async with session.get(f"{MAPS}/{path}") as answer:
        assert answer.status == 404
