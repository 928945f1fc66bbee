"""Each fault, on a transport that notes what reaches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from muster.kube.transport import Request, Response, StreamRefused, TransportError
from muster.sim.faulty import ByPlan, Counts, Faulty
from muster.sim.loop import NOBODY, Process, VirtualLoop
from muster.sim.plan import Plan

WRITE = Request("POST", "/api/v1/namespaces/d/pods", body=b"{}")
WATCH = Request("GET", "/api/v1/pods", (("watch", "1"),))
BOOKMARK = b'{"type":"BOOKMARK","object":{}}'


class Inner:
    """Answers everything after 0.1 s."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.arrived: list[tuple[float, str]] = []

    async def send(self, request: Request) -> Response:
        self.arrived.append((round(self.loop.time(), 3), request.method))
        await asyncio.sleep(0.1)
        return Response(200, {}, b"done")

    async def stream(self, request: Request) -> AsyncIterator[bytes]:
        for line in (b"one", BOOKMARK, b"two", b"three"):
            yield line


class Victim:
    """A process with one task."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.process = Process("victim")
        self.crashed = False

    def crash(self) -> None:
        self.crashed = True
        self.loop.kill(self.process)

    def freeze(self, seconds: float) -> None:
        self.loop.freeze(self.process)
        self.loop.call_later(seconds, self.loop.thaw, self.process, context=NOBODY)


class Bench:
    """What came of one request or stream under a plan."""

    def __init__(self, fault: str) -> None:
        self.loop = VirtualLoop()
        self.inner = Inner(self.loop)
        self.victim = Victim(self.loop)
        self.counts = Counts()
        chooser = ByPlan(Plan.parse(f"x@0 {fault}").faults)
        self.faulty = Faulty(self.inner, chooser, self.victim, self.counts)
        self.came: object = "nothing"
        self.at = -1.0

    def run(self, work: Callable[[], Awaitable[object]]) -> Bench:
        async def victim() -> None:
            try:
                self.came = await work()
            except (TransportError, StreamRefused) as error:
                self.came = error
            self.at = round(self.loop.time(), 3)

        async def main() -> None:
            self.loop.create_task(victim(), context=self.victim.process.context())
            await asyncio.sleep(100.0)

        self.loop.run(main())
        return self

    async def lines(self) -> list[bytes]:
        found: list[bytes] = []
        try:
            async for line in self.faulty.stream(WATCH):
                found.append(line)  # noqa: PERF401  (what came before it broke is kept)
        except TransportError:
            found.append(b"BROKEN")
        return found


def sent(fault: str) -> Bench:
    bench = Bench(fault)
    return bench.run(lambda: bench.faulty.send(WRITE))


@pytest.mark.parametrize(
    ("what", "arrived", "answered", "at"),
    [
        pytest.param("lost", [], None, 0.0, id="lost"),
        pytest.param("lost:40", [], None, 30.0, id="lost, and no word until the time-out"),
        pytest.param("lose-reply", [0.0], None, 0.1, id="carried out, and no word"),
        pytest.param("late:5", [5.0], None, 0.0, id="carried out after its sender has given up"),
        pytest.param("slow:5", [5.0], 200, 5.1, id="slow"),
        pytest.param("refuse", [], None, 0.0, id="no connection"),
        pytest.param("code:409", [], 409, 0.0, id="conflict"),
        pytest.param("code-after:504", [0.0], 504, 0.1, id="carried out, and told 504"),
        pytest.param("freeze-before:7", [7.0], 200, 7.1, id="frozen before"),
        pytest.param("freeze-after:7", [0.0], 200, 7.1, id="frozen after"),
        pytest.param("freeze-late:7", [7.0], None, 7.0, id="frozen with it on its way"),
    ],
)
def test_requests(what: str, arrived: list[float], answered: int | None, at: float) -> None:
    bench = sent(f"0/write:1={what}")
    assert [moment for moment, _ in bench.inner.arrived] == arrived
    assert (bench.came.status if isinstance(bench.came, Response) else None) == answered
    assert bench.at == at
    assert bench.counts.injected == [f"0/write:1={what}"]
    if isinstance(bench.came, TransportError):
        assert bench.came.sent == (what != "refuse")


@pytest.mark.parametrize(("what", "arrived"), [("crash-before", []), ("crash-after", [0.0]), ("crash-late:4", [4.0])])
def test_crashes(what: str, arrived: list[float]) -> None:
    bench = sent(f"0/write:1={what}")
    assert bench.victim.crashed
    assert bench.came == "nothing"
    assert [moment for moment, _ in bench.inner.arrived] == arrived


def test_the_dead_send_nothing() -> None:
    bench = Bench("")
    bench.faulty.cut = True
    bench.run(lambda: bench.faulty.send(WRITE))
    assert bench.inner.arrived == []
    assert bench.came == "nothing"


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        ("double", [b"one", BOOKMARK, b"two", b"two", b"three"]),
        ("delay:3", [b"one", BOOKMARK, b"two", b"three"]),
        ("cut-before", [b"one", BOOKMARK, b"BROKEN"]),
        ("cut-after", [b"one", BOOKMARK, b"two", b"BROKEN"]),
    ],
)
def test_events(what: str, lines: list[bytes]) -> None:
    bench = Bench(f"0/pods:2={what}")
    bench.run(bench.lines)
    assert bench.came == lines
    assert bench.at == (3.0 if what == "delay:3" else 0.0)


def test_an_expired_watch_is_told_so_and_ends() -> None:
    bench = Bench("0/pods:2=expire")
    bench.run(bench.lines)
    assert isinstance(bench.came, list)
    assert b'"type":"ERROR"' in bench.came[-1]
    assert b"410" in bench.came[-1]


def test_an_opening_is_refused() -> None:
    bench = Bench("0/pods+:1=code:410")
    bench.run(bench.lines)
    assert isinstance(bench.came, StreamRefused)
    assert bench.came.response.status == 410


def test_silent_watches_speak_when_the_time_is_over() -> None:
    bench = Bench("0/write:1=stale:5")

    async def both() -> list[bytes]:
        await bench.faulty.send(WRITE)
        return await bench.lines()

    bench.run(both)
    assert bench.at == 5.0


def test_nothing_happens_any_more_when_the_faults_have_stopped() -> None:
    bench = Bench("0/write:1=lost")
    bench.counts.stopped = True
    bench.run(lambda: bench.faulty.send(WRITE))
    assert isinstance(bench.came, Response)
