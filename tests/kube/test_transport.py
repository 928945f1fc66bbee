import asyncio
import gzip
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import web

from muster.kube.transport import (
    Access,
    FixedCredentials,
    HttpTransport,
    Request,
    StreamRefused,
    TransportError,
    Withheld,
)


@asynccontextmanager
async def serving(handler, credentials=None, **more):
    server = web.Server(handler)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    make = credentials or (lambda url: FixedCredentials(Access(url, {"Authorization": "Bearer t"})))
    transport = HttpTransport(make(url), **more)
    try:
        yield transport
    finally:
        await transport.close()
        await runner.cleanup()


def streaming(*chunks, then=None):
    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0.01)
        if then is not None:
            await then(request)
        return response

    return handler


async def lines(transport, **more):
    async with aclosing(transport.stream(Request("GET", "/w", **more))) as stream:
        return [line async for line in stream]


async def test_a_request_as_it_is_sent():
    got = {}

    async def handler(request):
        got.update(method=request.method, path=request.raw_path, body=await request.read(), headers=request.headers)
        return web.Response(status=201, body=b"{}", headers={"X-Thing": "y"})

    async with serving(handler) as transport:
        query = (("labelSelector", "a in (b,c),d=e"), ("continue", "x+/="))
        response = await transport.send(Request("POST", "/api/v1/x%2Fy", query, b'{"a":1}', "application/json"))
    assert (response.status, response.headers["x-thing"], response.body) == (201, "y", b"{}")
    assert (got["method"], got["body"]) == ("POST", b'{"a":1}')
    assert got["path"] == "/api/v1/x%2Fy?labelSelector=a+in+%28b%2Cc%29%2Cd%3De&continue=x%2B%2F%3D"
    assert got["headers"]["Content-Type"] == "application/json"
    assert got["headers"]["Authorization"] == "Bearer t"
    assert got["headers"]["User-Agent"].startswith("muster/")


async def test_any_status_is_an_answer_and_redirects_are_not_followed():
    async def handler(request):
        return web.Response(status=int(request.path[1:]), headers={"Location": "/200"})

    async with serving(handler) as transport:
        for status in (200, 302, 404, 409, 500):
            assert (await transport.send(Request("GET", f"/{status}"))).status == status


async def test_a_compressed_page_of_several_megabytes():
    page = b'{"items": [' + b'"0123456789",' * 400_000 + b"0]}"

    async def handler(request):
        assert "gzip" in request.headers["Accept-Encoding"]
        return web.Response(body=gzip.compress(page), headers={"Content-Encoding": "gzip"})

    async with serving(handler) as transport:
        assert (await transport.send(Request("GET", "/"))).body == page


async def test_nobody_listens():
    transport = HttpTransport(FixedCredentials(Access("http://127.0.0.1:1")))
    with pytest.raises(TransportError) as error:
        await transport.send(Request("POST", "/", body=b"{}"))
    assert not error.value.sent
    with pytest.raises(TransportError) as error:
        await lines(transport)
    assert not error.value.sent
    await transport.close()


async def test_an_answer_that_does_not_come_in_time_may_have_been_sent():
    async def handler(request):
        await asyncio.sleep(5)

    async with serving(handler) as transport:
        with pytest.raises(TransportError) as error:
            await transport.send(Request("PUT", "/x", body=b"{}", timeout=0.1))
        assert error.value.sent
        assert "PUT /x" in str(error.value)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
async def test_a_write_is_never_repeated_by_the_library(method):
    seen = []

    async def handler(request):
        seen.append(request.method)
        if request.method == "GET":
            return web.Response(body=b"{}")
        request.transport.abort()
        return web.Response()

    async with serving(handler) as transport:
        await transport.send(Request("GET", "/"))  # so that a kept-alive connection is at hand
        with pytest.raises(TransportError) as error:
            await transport.send(Request(method, "/", body=b"{}"))
        assert error.value.sent
    assert seen == ["GET", method]


async def test_lines_whatever_the_chunks():
    async with serving(streaming(b'{"a"', b':1}\n{"b":2}\n', b'\n{"c":3}\n{"d', b'":4}', b"\n")) as transport:
        assert await lines(transport) == [b'{"a":1}', b'{"b":2}', b'{"c":3}', b'{"d":4}']


async def test_lines_of_any_length():
    long = b"x" * 3_000_000
    async with serving(streaming(b"a\n" + long + b"\nb\n")) as transport:
        assert await lines(transport) == [b"a", long, b"b"]


async def test_a_silent_stream_is_given_up():
    async def silence(request):
        await asyncio.sleep(5)

    async with serving(streaming(b"a\n", then=silence), read_timeout=0.15) as transport:
        stream = transport.stream(Request("GET", "/w"))
        assert await anext(stream) == b"a"
        with pytest.raises(TransportError) as error:
            await anext(stream)
        assert error.value.sent


async def test_a_talking_stream_outlives_every_timeout():
    async with serving(streaming(*[b"a\n"] * 30), read_timeout=0.2, timeout=0.1) as transport:
        assert len(await lines(transport)) == 30


async def test_a_broken_stream():
    async def cut(request):
        request.transport.abort()

    async with serving(streaming(b"a\n", then=cut)) as transport:
        with pytest.raises(TransportError):
            await lines(transport)


async def test_a_refused_stream():
    async def handler(request):
        return web.Response(status=410, body=b"gone")

    async with serving(handler) as transport:
        with pytest.raises(StreamRefused) as error:
            await lines(transport)
    assert (error.value.response.status, error.value.response.body) == (410, b"gone")


class Renewing:
    def __init__(self, url, useful=True):
        self.url, self.useful, self.refreshed = url, useful, 0
        self.access = Access(url, {"Authorization": "Bearer old"})

    async def current(self):
        return self.access

    async def refresh(self, stale):
        self.refreshed += 1
        if self.useful:
            self.access = Access(self.url, {"Authorization": "Bearer new"})
        return self.access


@pytest.mark.parametrize("useful", [True, False])
async def test_a_401_is_repeated_once_with_renewed_credentials(useful):
    seen = []

    async def handler(request):
        seen.append(request.headers["Authorization"])
        return web.Response(status=200 if seen[-1] == "Bearer new" else 401)

    async with serving(handler, lambda url: Renewing(url, useful)) as transport:
        assert (await transport.send(Request("GET", "/"))).status == (200 if useful else 401)
    assert seen == (["Bearer old", "Bearer new"] if useful else ["Bearer old"])


async def test_a_401_that_stays_is_the_answer():
    async def handler(request):
        return web.Response(status=401)

    async with serving(handler, Renewing) as transport:
        assert (await transport.send(Request("GET", "/"))).status == 401


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "pooled connection"])
async def test_a_write_that_may_not_leave_any_more_when_there_is_a_connection_is_withheld(warm):
    got = []

    async def handler(request):
        got.append(request.path)
        return web.Response(body=b"{}")

    async with serving(handler, connections=1) as transport:
        if warm:
            await transport.send(Request("GET", "/first"))
        asked = []
        with pytest.raises(Withheld):
            await transport.send(Request("POST", "/w", body=b"{}", may_leave=lambda: bool(asked.append(1))))
        assert len(asked) == 1
        assert (await transport.send(Request("GET", "/next", may_leave=lambda: True))).status == 200
        await transport.send(Request("GET", "/last"))
    assert got == (["/first"] if warm else []) + ["/next", "/last"]
