"""`muster demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from muster.cli.output import Failed, Form, print_json


def command(
    racks: Annotated[int, typer.Option(min=8, max=1024, help="Racks of 18 nodes with 4 GPUs each.")] = 64,
    speed: Annotated[float, typer.Option(min=0.1, max=10, help="Play so many times as fast.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of uids, names, and of the node that is lost.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running until Ctrl-C, for kubectl.")] = False,
    form: Annotated[Form, typer.Option("-o", help="text, or json, and the story to standard error.")] = Form.TEXT,
) -> None:
    """Play a story of a minute on a cluster of 4,608 GPUs that is this machine alone.

    An API server, a scheduler and kubelets in one process, the operator in another, and nothing that outlives this one.
    Whatever is told is read from the API, beside it the racks that a greedy scheduler would have used for the same
    gangs, and in the end a checker that shares no code with the operator judges its history: exit code 0 means that the
    story came to its end and nothing unsafe was seen.

    Example: muster demo --keep
    """
    import asyncio

    from rich.console import Console

    from muster.cli.demo.children import ChildError
    from muster.cli.demo.play import Options, play
    from muster.cli.demo.screen import Screen

    screen = Screen(Console(stderr=form is Form.JSON))
    try:
        result = asyncio.run(play(Options(racks, speed, seed, keep), screen))
    except asyncio.CancelledError:
        # SIGTERM; all has been taken down.
        raise typer.Exit(143) from None
    except ChildError as error:
        raise Failed(str(error)) from None
    except OSError as error:
        raise Failed(f"cannot start: {error}") from None
    if form is Form.JSON:
        print_json(result.as_json())
    raise typer.Exit(0 if result.well else 1)
