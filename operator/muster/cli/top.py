"""`muster top`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from muster.cli.output import Form, print_json
from muster.cli.rackmap.draw import Fold
from muster.cli.rackmap.glyphs import View

if TYPE_CHECKING:
    from muster.cli.rackmap.model import Picture


def command(
    by: Annotated[View, typer.Option("--by", help="What to draw: whose each node is, its health, or free slots.")] = (
        View.JOB
    ),
    fold: Annotated[Fold, typer.Option("--fold", help="What a character stands for; auto: as fine as fits.")] = (
        Fold.AUTO
    ),
    once: Annotated[bool, typer.Option("--once", help="Print the map and end; so it does without a terminal.")] = False,
    cluster: Annotated[Path | None, typer.Option("--cluster", help="A dump instead of the live cluster.")] = None,
    kubeconfig: Annotated[str, typer.Option(envvar="MUSTER_KUBECONFIG", help="Which cluster.")] = "",
    context: Annotated[str, typer.Option(envvar="MUSTER_CONTEXT", help="Context of the kubeconfig.")] = "",
    form: Annotated[Form, typer.Option("-o", help="text, or json (once).")] = Form.TEXT,
) -> None:
    """Draw the racks of a cluster, live: one character a node, or a rack where there are many.

    Keys: j by job, h by health, f by free slots, space folds, q ends. Ctrl-C ends too, with exit code 0.

    Example: muster top --once --by free
    """
    import asyncio
    from contextlib import suppress

    if cluster is not None:
        from muster.cli.cluster import from_dump
        from muster.cli.rackmap.world import picture

        known = from_dump(cluster)
        _show(picture(known.world, known.warnings), by, fold, form)
    elif once or form is Form.JSON or not _can_follow():
        _show(asyncio.run(_read(kubeconfig, context)), by, fold, form)
    else:
        from muster.cli.rackmap.live import follow

        with suppress(KeyboardInterrupt):
            asyncio.run(follow(kubeconfig, context, by, fold))


def _can_follow() -> bool:
    """There is a terminal to draw on and to hear keys from."""
    import os
    import sys

    return sys.stdout.isatty() and sys.stdin.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")


async def _read(kubeconfig: str, context: str) -> Picture:
    from muster.cli.rackmap.feed import Feed
    from muster.cli.rackmap.world import picture
    from muster.cli.session import session

    async with session(kubeconfig, context) as api, Feed(api.client) as feed:
        await feed.ready()
        return picture(feed.world, feed.warnings)


def _show(picture: Picture, by: View, fold: Fold, form: Form) -> None:
    from rich.console import Console

    from muster.cli.rackmap import draw as rackmap
    from muster.cli.rackmap.glyphs import glyphs_for

    if form is Form.JSON:
        print_json(document(picture))
        return
    console = Console(highlight=False)
    lines = rackmap.draw(picture, view=by, fold=fold, width=console.width, glyphs=glyphs_for(console.encoding))
    if console.is_terminal:
        console.print(rackmap.rich_text(lines))
    else:
        print(rackmap.plain(lines))
    for warning in picture.warnings:
        typer.echo(f"warning: {warning}", err=True)


def document(picture: Picture) -> dict[str, Any]:
    """The map for machines; docs/commands.md describes it."""
    from muster.cli.rackmap.model import Marks

    cells = list(picture.cells())
    letters = Marks().assign(job.key for job in picture.jobs if job.nodes)
    return {
        "levels": {"rack": picture.rack_level, "group": picture.group_level or None},
        "unit": picture.unit,
        "totals": {
            "racks": sum(1 for _ in picture.racks()),
            "nodes": len(cells),
            "held": sum(cell.held for cell in cells),
            "usable": sum(cell.health.usable for cell in cells),
            "slots": sum(cell.slots for cell in cells),
            "free": sum(cell.open for cell in cells),
        },
        "jobs": [
            {
                "job": job.key,
                "mark": letters.get(job.key),
                "phase": job.phase,
                "nodes": job.nodes,
                "racks": job.racks,
                "groups": job.groups,
                "note": job.note,
            }
            for job in picture.jobs
        ],
        "groups": [
            {
                "name": group.name,
                "parent": group.parent,
                "racks": [
                    {
                        "name": rack.name,
                        "domain": rack.domain,
                        "nodes": [
                            {
                                "node": cell.node,
                                "health": cell.health.value,
                                "slots": cell.slots,
                                "free": cell.open,
                                "jobs": list(cell.jobs),
                                "running": cell.running,
                                "others": cell.others,
                            }
                            for cell in rack.cells
                        ],
                    }
                    for rack in group.racks
                ],
            }
            for group in picture.groups
        ],
        "warnings": list(picture.warnings),
    }
