"""An asyncio event loop whose time is virtual: it jumps to the next timer when nothing is ready.

What runs on it is told apart by `Process`: everything that a task of one process starts belongs to that process. A
process can be frozen, as by SIGSTOP: what is due to it waits, in order, until it is thawed; and killed, as by SIGKILL:
its tasks are ended, and nothing of it runs again. The order of callbacks is that in which they were asked for, of
timers that of their times, so a run is a function of what the callbacks do.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, NoReturn, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
LAST_ROUNDS = 100
"""How often a killed task is cancelled anew before it is given up."""


class Refused(RuntimeError):  # noqa: N818  (a rule, not a fault)
    """Something was asked for that simulated time does not have: a socket, a thread, a process."""


class Stalled(RuntimeError):  # noqa: N818
    """Nothing is ready and no timer runs: what is waited for can never happen."""


class Process:
    """What runs as one simulated process; `name` is for people."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen = False
        self.ended = False
        self.tasks: dict[asyncio.Task[Any], None] = {}
        """Those that have not ended, in the order in which they began."""
        self.held: deque[_Handle] = deque()
        """What is due while it is frozen."""

    def context(self) -> Context:
        """A context in which everything belongs to this process."""
        context = copy_context()
        context.run(_PROCESS.set, self)
        return context


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


NOBODY = Context()
"""A context in which nothing belongs to any process."""


class _Handle(asyncio.TimerHandle):
    """A callback that is due, and whose it is."""

    __slots__ = ("process",)

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.process = _PROCESS.get() if context is None else context.get(_PROCESS)


def _refuse(what: str) -> Any:
    def refused(*_: Any, **__: Any) -> NoReturn:
        raise Refused(f"simulated time has no {what}")

    return refused


_SOCKETS = _refuse("sockets: put a transport in their place, and turn ports off")
_THREADS = _refuse("threads")
_PROCESSES = _refuse("processes but the simulated")
_SIGNALS = _refuse("signals: call what they would call")


class _Inside(asyncio.AbstractEventLoop):
    """Refuses all that leads out of the process."""

    run_in_executor = set_default_executor = shutdown_default_executor = _THREADS
    subprocess_exec = subprocess_shell = _PROCESSES
    add_signal_handler = remove_signal_handler = _SIGNALS
    add_reader = remove_reader = add_writer = remove_writer = connect_read_pipe = connect_write_pipe = _SOCKETS
    create_connection = create_server = create_unix_connection = create_unix_server = start_tls = _SOCKETS
    create_datagram_endpoint = connect_accepted_socket = getaddrinfo = getnameinfo = sendfile = _SOCKETS
    sock_recv = sock_recv_into = sock_recvfrom = sock_recvfrom_into = sock_sendall = sock_sendto = _SOCKETS
    sock_connect = sock_accept = sock_sendfile = _SOCKETS

    def set_task_factory(self, factory: object) -> None:
        """Refuse: tasks are counted here."""
        raise Refused("simulated time makes its own tasks")

    def get_task_factory(self) -> None:
        """There is none."""

    def set_exception_handler(self, handler: object) -> None:
        """Refuse: errors are noted here."""
        raise Refused("simulated time notes errors by itself")


class VirtualLoop(_Inside):
    """See the module. `time` begins at 0, in seconds. Used by one thread; `run` in place of `asyncio.run`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        """A heap; the number keeps timers of the same time in order."""
        self._timers_made = 0
        self._stopping = False
        self._running = False
        self._closed = False
        self.problems: list[str] = []
        """What the loop was told of errors that nobody caught."""

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until `main` has ended; its result. Raises Stalled."""
        return self.run_until_complete(main)

    def run_until_complete(self, future: Coroutine[Any, Any, T]) -> T:  # type: ignore[override]
        """See `run`."""
        task = self.create_task(future)
        task.add_done_callback(lambda _: self.stop())
        self.run_forever()
        if not task.done():
            raise RuntimeError("the loop was stopped before what it ran had ended")
        return task.result()

    def run_forever(self) -> None:
        """Run until stopped."""
        if self._running or self._closed:
            raise RuntimeError("the loop runs already, or is closed")
        self._running, self._stopping = True, False
        asyncio._set_running_loop(self)
        try:
            while not self._stopping:
                self._turn()
        finally:
            asyncio._set_running_loop(None)
            self._running = False

    def _turn(self) -> None:
        """Run what is ready now; if nothing is, go on to the next timer."""
        ready, timers = self._ready, self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not ready:
            if not timers:
                raise Stalled(f"nothing is due any more at {self._now:.3f} s")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            process = handle.process
            if process is None:
                handle._run()
            elif process.ended:
                continue
            elif process.frozen:
                process.held.append(handle)
            else:
                handle._run()

    def stop(self) -> None:
        """Return from `run_forever` after this turn."""
        self._stopping = True

    def is_running(self) -> bool:
        """Whether it runs."""
        return self._running

    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Forget everything."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    async def shutdown_asyncgens(self) -> None:
        """Nothing is kept of them."""

    # --- processes --------------------------------------------------------------------------------------------------

    def freeze(self, process: Process) -> None:
        """Deliver nothing to a process any more, until it is thawed."""
        process.frozen = True

    def thaw(self, process: Process) -> None:
        """Deliver what has waited, in order, and go on."""
        process.frozen = False
        self._ready.extend(process.held)
        process.held.clear()

    def kill(self, process: Process) -> None:
        """End a process: its tasks are cancelled until they have ended, which takes no time, and nothing of it runs
        afterwards. What its tasks do on their way out is for whoever owns its connections to keep from the world."""
        self.thaw(process)
        self._reap(process, LAST_ROUNDS)

    def _reap(self, process: Process, rounds: int) -> None:
        for task in list(process.tasks):
            task.cancel()
        if process.tasks and rounds:
            # Not in the process' own context, which may be where the kill was asked for.
            self.call_soon(self._reap, process, rounds - 1, context=NOBODY)
            return
        if process.tasks:
            self.problems.append(f"{process.name}: tasks that do not end: {[t.get_name() for t in process.tasks]}")
        process.ended = True

    # --- what asyncio asks of a loop --------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        """Run a callback next."""
        handle = _Handle(self._now, callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """There are no other threads: the same as `call_soon`."""
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback after `delay` seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time of this loop."""
        handle = _Handle(when, callback, args, self, context)
        self._timers_made += 1
        heapq.heappush(self._timers, (when, self._timers_made, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is skipped when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: object = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """A task, of the process whose task makes it."""
        task = asyncio.Task(coro, loop=self, name=str(name) if name is not None else None, context=context)
        process = _PROCESS.get() if context is None else context.get(_PROCESS)
        if process is not None:
            process.tasks[task] = None
            task.add_done_callback(lambda done: process.tasks.pop(done, None), context=NOBODY)
        return task

    def get_debug(self) -> bool:
        """Never."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """It has no debug mode."""

    def get_exception_handler(self) -> None:
        """There is none."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """See `call_exception_handler`."""
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note an error that nobody caught."""
        error = context.get("exception")
        self.problems.append(f"{context.get('message')}: {error!r}")
        log.error("%s", context.get("message"), exc_info=error)
