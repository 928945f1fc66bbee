"""What the demo shows while it runs: its story line by line, and below it the racks as they are now.

On a terminal the map is redrawn in place and the story scrolls above it; elsewhere there are only the lines.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from muster.cli.rackmap import draw as rackmap
from muster.cli.rackmap.model import Marks, Picture

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

ENDED = ("Succeeded", "Failed")
STORY_LINES = 6
"""Of the terminal's height, left for the story."""


class Screen:
    """One telling. Where the console is no terminal, there are only lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._paint: Callable[[], Picture] | None = None
        self._marks = Marks()
        self._began = time.monotonic()
        self._live: Live | None = None

    def begin(self) -> None:
        """The story's clock starts."""
        self._began = time.monotonic()

    def elapsed(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self._began

    def open(self, paint: Callable[[], Picture]) -> None:
        """Show the map from now on, as `paint` gives it at each moment."""
        from rich.live import Live

        self._paint = paint
        if self._console.is_terminal and self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
            self._live.start()

    def close(self) -> None:
        """Leave the last map standing; lines only from now on."""
        if self._live is not None:
            self.refresh()
            self._live.stop()
            self._live = None

    def refresh(self) -> None:
        """Draw the map anew."""
        if self._live is not None and self._paint is not None:
            console = self._console
            self._live.update(self.map(self._paint(), console.width, console.height - STORY_LINES), refresh=True)

    def map(self, picture: Picture, width: int, height: int | None) -> Text:
        """The map of a picture; a job keeps its letter from one to the next."""
        marks = self._marks.assign(job.key for job in picture.jobs)
        jobs = tuple(job for job in picture.jobs if job.nodes or job.phase not in ENDED)
        picture = replace(picture, jobs=jobs)
        return rackmap.rich_text(rackmap.draw(picture, marks=marks, width=width, height=height))

    def chapter(self, text: str) -> None:
        """A heading."""
        self._print(f"\n{text}", "bold")

    def line(self, text: str) -> None:
        """A line of the story, with the time since it began."""
        self._print(self._wrapped(f"{self.elapsed():5.1f} s  {text}", " " * 9), "")

    def prose(self, text: str) -> None:
        """Sentences."""
        self._print(self._wrapped(text, ""), "")

    def good(self, text: str) -> None:
        """It went well."""
        self._print(f"\n{text}", "green")

    def bad(self, text: str) -> None:
        """It did not."""
        self._print(f"\n{text}", "bold red")

    def plain(self, text: str) -> None:
        """Text as it is, such as a table."""
        self._print(text, "")

    def _wrapped(self, text: str, indent: str) -> str:
        """On a terminal broken between words; elsewhere one line, for grep."""
        if not self._console.is_terminal:
            return text
        return textwrap.fill(text, self._console.width, subsequent_indent=indent, break_on_hyphens=False)

    def _print(self, text: str, style: str) -> None:
        # No markup, and no colours for numbers: what the server says is shown as it said it.
        self._console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)
