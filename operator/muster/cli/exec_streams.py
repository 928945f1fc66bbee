"""Between a command in a container and our own standard streams and terminal."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import typer

from muster.kube.remote import Channel, Command

CHUNK = 1 << 16


async def attach(command: Command, *, stdin: bool, tty: bool, kept: Mapping[Channel, bytearray] | None = None) -> int:
    """Pass bytes on until the command has ended; its exit code. Output goes to `kept` if given, else to ours. Raises
    remote.Refused."""
    with _terminal(command) if tty else _nothing():
        feeding = asyncio.create_task(_feed(command, warn=not tty)) if stdin else None
        try:
            async for channel, data in command.output():
                if kept is not None:
                    kept[channel].extend(data)
                    continue
                stream = sys.stderr.buffer if channel is Channel.STDERR else sys.stdout.buffer
                stream.write(data)
                stream.flush()
        finally:
            if feeding is not None:
                feeding.cancel()
                with suppress(asyncio.CancelledError):
                    await feeding
    assert command.code is not None  # else `output` had raised
    return command.code


async def _feed(command: Command, *, warn: bool) -> None:
    """Our input to the command. Read by a thread of its own: files and pipes cannot be polled alike, and a read that
    nobody ends must not keep the process alive."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue(maxsize=4)

    def read() -> None:
        while True:
            try:
                data = os.read(sys.stdin.fileno(), CHUNK)
            except (OSError, ValueError):
                data = b""
            try:
                asyncio.run_coroutine_threadsafe(pieces.put(data), loop).result()
            except (RuntimeError, asyncio.CancelledError):  # the command has ended
                return
            if not data:
                return

    threading.Thread(target=read, daemon=True, name="stdin").start()
    while data := await pieces.get():
        await command.write(data)
    if command.can_end_input:
        await command.end_input()
    elif warn:
        typer.echo("muster: this API server cannot tell the command that its input has ended", err=True)


@contextmanager
def _terminal(command: Command) -> Iterator[None]:
    """Our terminal handed over: every key goes there, Ctrl-C too; its size is passed on now and whenever it changes."""
    import termios
    import tty

    loop = asyncio.get_running_loop()
    sending: set[asyncio.Task[None]] = set()

    def resize() -> None:
        columns, rows = shutil.get_terminal_size()
        task = loop.create_task(command.resize(columns, rows))
        sending.add(task)
        task.add_done_callback(sending.discard)

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    loop.add_signal_handler(signal.SIGWINCH, resize)
    resize()
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
