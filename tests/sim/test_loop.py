"""Time that jumps, order that holds, processes that freeze and die."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from muster.sim.loop import Process, Refused, Stalled, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.close()


def test_time_jumps_to_the_next_timer(loop: VirtualLoop) -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, loop.time()))

    async def main() -> None:
        await asyncio.gather(sleeper("day", 86_400), sleeper("second", 1), sleeper("hour", 3_600))

    loop.run(main())
    assert seen == [("second", 1.0), ("hour", 3_600.0), ("day", 86_400.0)]


def test_timers_of_one_moment_keep_the_order_in_which_they_were_set(loop: VirtualLoop) -> None:
    seen: list[int] = []

    async def main() -> None:
        for number in range(20):
            loop.call_at(5.0, seen.append, number)
        await asyncio.sleep(6.0)

    loop.run(main())
    assert seen == list(range(20))


def test_a_cancelled_timer_does_not_move_time(loop: VirtualLoop) -> None:
    async def main() -> float:
        loop.call_later(100.0, lambda: None).cancel()
        async with asyncio.timeout(50.0):
            await asyncio.sleep(1.0)
        await asyncio.sleep(0.5)
        return loop.time()

    assert loop.run(main()) == 1.5


def test_waiting_for_what_can_never_happen_is_told(loop: VirtualLoop) -> None:
    async def main() -> None:
        await asyncio.sleep(3.0)
        await asyncio.Event().wait()

    with pytest.raises(Stalled, match=r"nothing is due any more at 3\.000 s"):
        loop.run(main())


@pytest.mark.parametrize(
    ("what", "call"),
    [
        pytest.param("threads", lambda: asyncio.to_thread(print), id="thread"),
        pytest.param("sockets", lambda: asyncio.open_connection("127.0.0.1", 1), id="socket"),
        pytest.param("processes", lambda: asyncio.create_subprocess_exec("true"), id="subprocess"),
    ],
)
def test_what_leads_out_is_refused(loop: VirtualLoop, what: str, call: object) -> None:
    async def main() -> None:
        with pytest.raises(Refused, match=what):
            await call()  # type: ignore[operator]

    loop.run(main())


class Ticker:
    """A process that notes each second, and what is done on its way out."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.process = Process("ticker")
        self.seen: list[float] = []
        self.last_will: list[float] = []
        loop.create_task(self._run(), context=self.process.context())

    async def _run(self) -> None:
        await asyncio.gather(self._tick(), asyncio.create_task(self._hold()))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.seen.append(self.loop.time())

    async def _hold(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.last_will.append(self.loop.time())


def test_a_frozen_process_does_nothing_and_then_catches_up(loop: VirtualLoop) -> None:
    async def main() -> None:
        ticker = Ticker(loop)
        await asyncio.sleep(2.5)
        loop.freeze(ticker.process)
        await asyncio.sleep(10.0)
        assert ticker.seen == [1.0, 2.0]
        loop.thaw(ticker.process)
        await asyncio.sleep(0.6)
        assert ticker.seen == [1.0, 2.0, 12.5]  # the timer that ran out meanwhile fires at once
        loop.kill(ticker.process)

    loop.run(main())


@pytest.mark.parametrize("frozen", [False, True])
def test_a_killed_process_ends_with_all_its_tasks_in_no_time(loop: VirtualLoop, frozen: bool) -> None:
    async def main() -> None:
        ticker = Ticker(loop)
        await asyncio.sleep(2.5)
        if frozen:
            loop.freeze(ticker.process)
            await asyncio.sleep(5.0)
        at = loop.time()
        loop.kill(ticker.process)
        await asyncio.sleep(30.0)
        assert ticker.seen == [1.0, 2.0]
        assert ticker.last_will in ([], [at])
        assert ticker.process.ended
        assert not ticker.process.tasks
        assert loop.problems == []

    loop.run(main())
