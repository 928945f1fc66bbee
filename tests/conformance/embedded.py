"""`muster.embedded` over HTTP in a thread of this process: server, scheduler and controllers, no kubelets."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from muster.embedded.__main__ import documents
from muster.embedded.cluster import EmbeddedCluster
from muster.embedded.http import HttpServer, wall_clock
from muster.embedded.server import Server

TOKEN = "conformance"
START_SECONDS = 30.0


class Thread:
    """One event loop in a thread, with a served cluster in it."""

    def __init__(self, crds: Path) -> None:
        self._crds = crds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="embedded", daemon=True)
        self._up = threading.Event()
        self._end = asyncio.Event()
        self._error: BaseException | None = None
        self._server: Server | None = None
        self.url = ""

    def start(self) -> Thread:
        self._thread.start()
        assert self._up.wait(START_SECONDS), "the embedded server is up"
        if self._error is not None:
            raise self._error
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(10)

    def call(self, work: Callable[[Server], None]) -> None:
        """Do something with the server, in its thread."""

        async def do() -> None:
            assert self._server is not None
            work(self._server)

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(10)

    def _driven(self, driver: asyncio.Task[None]) -> None:
        """Without its controllers a server is of no use: let every request fail."""
        if not driver.cancelled() and driver.exception() is not None:
            traceback.print_exception(driver.exception())
            self._end.set()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._error = error
            self._up.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = self._server = Server(wall_clock)
        server.install(documents([self._crds]))
        http = HttpServer(server, token=TOKEN, drive=False)
        self.url = await http.start()
        driver = asyncio.create_task(EmbeddedCluster(server, wall_clock, kubelets=False).run())
        driver.add_done_callback(self._driven)
        self._up.set()
        await self._end.wait()
        driver.cancel()
        with suppress(asyncio.CancelledError):
            await driver
        await http.stop()


@contextmanager
def serve(crds: Path) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """Serve; gives the URL, a token, and what expires the history."""
    thread = Thread(crds).start()
    try:
        yield thread.url, TOKEN, lambda: thread.call(Server.expire_history)
    finally:
        thread.stop()
