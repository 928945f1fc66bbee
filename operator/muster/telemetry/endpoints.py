"""The HTTP server for metrics and probes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from muster.telemetry.metrics import Telemetry


class Endpoints:
    """`/metrics` on one port, `/healthz` and `/readyz` on another (one server if they are the same); 0 is off.

    `healthy` and `ready` give "" when all is well, else what is wrong in one line.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        host: str | None,
        metrics_port: int,
        probe_port: int,
        healthy: Callable[[], str],
        ready: Callable[[], str],
    ) -> None:
        self._telemetry = telemetry
        self._host = host
        self._metrics_port = metrics_port
        self._probe_port = probe_port
        self._healthy = healthy
        self._ready = ready
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Listen. Raises OSError if a port is taken."""
        routes: dict[int, list[web.RouteDef]] = {}
        if self._metrics_port:
            routes.setdefault(self._metrics_port, []).append(web.get("/metrics", self._metrics))
        if self._probe_port:
            probes = [web.get("/healthz", self._probe(self._healthy)), web.get("/readyz", self._probe(self._ready))]
            routes.setdefault(self._probe_port, []).extend(probes)
        for port, handlers in routes.items():
            app = web.Application()
            app.add_routes(handlers)
            runner = web.AppRunner(app, access_log=None, handle_signals=False)
            await runner.setup()
            self._runners.append(runner)
            await web.TCPSite(runner, self._host, port).start()

    async def stop(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._telemetry.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @staticmethod
    def _probe(check: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_request: web.Request) -> web.StreamResponse:
            wrong = check()
            return web.Response(text=(wrong or "ok") + "\n", status=503 if wrong else 200)

        return answer
