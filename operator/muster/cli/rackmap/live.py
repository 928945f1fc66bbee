"""The rack map on a terminal, drawn again as the cluster changes, until a key or a signal ends it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.live import Live

from muster.cli.rackmap import draw
from muster.cli.rackmap.draw import Fold
from muster.cli.rackmap.feed import Feed
from muster.cli.rackmap.glyphs import View, glyphs_for
from muster.cli.rackmap.legend import Line
from muster.cli.rackmap.model import Marks, Picture
from muster.cli.rackmap.world import Painter
from muster.cli.session import session

AT_MOST = 0.5
"""Seconds between two drawings, at least."""
SHARE = 4
"""So many times as long as a drawing took is left to the watches: 82,800 nodes take most of a second."""
KEYS = "j job  h health  f free  space fold  q quit"


class Screen:
    """What is shown, and how. `lines` is pure in the picture and the size of the terminal."""

    def __init__(self, view: View, fold: Fold, encoding: str = "utf-8") -> None:
        self.view = view
        self.fold = fold
        self.over = False
        self._marks = Marks()
        self._glyphs = glyphs_for(encoding)

    def press(self, key: str) -> bool:
        """Take a key; whether it means anything."""
        views = {"j": View.JOB, "h": View.HEALTH, "f": View.FREE}
        folds = list(Fold)
        if key in views:
            self.view = views[key]
        elif key == " ":
            self.fold = folds[(folds.index(self.fold) + 1) % len(folds)]
        elif key in ("q", "\x1b", "\x04"):
            self.over = True
        else:
            return False
        return True

    def lines(self, picture: Picture, width: int, height: int) -> list[Line]:
        """At most `height` lines: the map; then, as far as there is room, warnings and what the keys do."""
        marks = self._marks.assign(job.key for job in picture.jobs if job.nodes)
        drawn = draw.draw(
            picture, view=self.view, fold=self.fold, marks=marks, width=width, height=height, glyphs=self._glyphs
        )
        foot: list[Line] = [((f"warning: {warning}"[:width], "title"),) for warning in picture.warnings]
        foot.append(((f"by {self.view.value}, fold {self.fold.value}:  {KEYS}"[:width], "label"),))
        spare = max(height - len(drawn), 0)
        return [*drawn[:height], *foot[len(foot) - min(spare, len(foot)) :]]


async def follow(kubeconfig: str, context: str, view: View, fold: Fold) -> None:
    """Draw until a key ends it. Raises Failed."""
    console = Console(highlight=False)
    screen = Screen(view, fold, console.encoding)
    async with session(kubeconfig, context) as api, Feed(api.client) as feed:
        await feed.ready()
        painter = Painter(feed.world)
        keyed = asyncio.Event()

        def pressed(key: str) -> None:
            if screen.press(key):
                keyed.set()
                feed.news.set()

        with _keys(pressed), Live(console=console, screen=True, auto_refresh=False) as live:
            size = console.size
            while not screen.over:
                feed.news.clear()
                keyed.clear()
                began = time.monotonic()
                feed.check()
                picture = painter.picture(feed.warnings)
                live.update(draw.rich_text(screen.lines(picture, console.width, console.height)), refresh=True)
                # A key is answered at once, the cluster when it is its turn. asyncio.wait_for of Python 3.11 can lose a
                # cancellation, that is a Ctrl-C.
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(AT_MOST, SHARE * (time.monotonic() - began))):
                        await keyed.wait()
                while not feed.news.is_set() and console.size == size:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(AT_MOST):
                            await feed.news.wait()
                size = console.size


@contextmanager
def _keys(pressed: Callable[[str], None]) -> Iterator[None]:
    """Hear single keys of the terminal, unechoed; Ctrl-C stays a signal."""
    import os
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    loop = asyncio.get_running_loop()

    def read() -> None:
        data = os.read(fd, 64)
        if not data:
            loop.remove_reader(fd)
            pressed("q")
        for key in data.decode("ascii", "ignore") if not data.startswith(b"\x1b[") else "":
            pressed(key)

    tty.setcbreak(fd)
    loop.add_reader(fd, read)
    try:
        yield
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
