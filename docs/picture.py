"""Make docs/demo.svg, the README's picture, from a real run of the demo: `python docs/picture.py`.

It shows the racks at the moment when a job waits for room, and the table at the end.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from muster.cli.demo import summary
from muster.cli.demo.play import Options, play
from muster.cli.demo.screen import Screen
from muster.cli.rackmap.model import Picture

WIDTH = 92
TARGET = Path(__file__).parent / "demo.svg"
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"


class Camera(Screen):
    """A screen that prints the story and takes one picture of the racks."""

    def __init__(self) -> None:
        super().__init__(Console(width=WIDTH))
        self.taken: Text | None = None
        self._moment: Callable[[], Picture] | None = None

    def open(self, paint: Callable[[], Picture]) -> None:
        """Remember how the racks are painted."""
        super().open(paint)
        self._moment = paint

    def line(self, text: str) -> None:
        """Take the picture when the time has come."""
        super().line(text)
        if text.startswith("second waits") and self._moment is not None:
            self.taken = self.map(self._moment(), WIDTH, None)


def main() -> int:
    """Play, then draw."""
    camera = Camera()
    result = asyncio.run(play(Options(), camera))
    if not result.well or camera.taken is None:
        return 1
    paper = Console(width=WIDTH, record=True, force_terminal=True, color_system="truecolor", file=StringIO())
    paper.print("$ muster demo", style="bold")
    paper.print(camera.taken)
    paper.print(Text(f"second waits: {result.said['waiting']}\n"))
    paper.print(Text(summary.text(result.jobs)))
    paper.print(Text(f"\n{result.greedy.text()}"))
    paper.print(Text(f"\n{result.events} events of the API, no breach of S1-S7", style="green"))
    # The picture stands by itself: no fonts from elsewhere.
    svg = paper.export_svg(title="muster demo: 4,608 GPUs in one process", unique_id="muster")
    svg = re.sub(r"@font-face\s*{.*?}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL).replace("Fira Code", FONT)
    TARGET.write_text(svg, encoding="utf-8")
    print(f"{TARGET}: {len(svg)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
