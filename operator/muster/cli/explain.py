"""`muster explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from muster.cli.output import Form, print_json, table


def command(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Name of a TrainingJob.")],
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="Its namespace.")] = None,
    cluster: Annotated[Path | None, typer.Option("--cluster", help="A dump instead of the live cluster.")] = None,
    kubeconfig: Annotated[str, typer.Option(envvar="MUSTER_KUBECONFIG", help="Which cluster.")] = "",
    context: Annotated[str, typer.Option(envvar="MUSTER_CONTEXT", help="Context of the kubeconfig.")] = "",
    form: Annotated[Form, typer.Option("-o", help="text or json.")] = Form.TEXT,
) -> None:
    """Say where a job is placed, or why it waits.

    Exit codes: 0 placed; 2 waits; 3 never fits or is refused; 1 error.

    Example: muster explain llama-405b -n research
    """
    from muster.cli import judge
    from muster.cli.cluster import from_dump, from_live

    known = from_dump(cluster) if cluster is not None else from_live(kubeconfig, context)
    found = known.find(job, namespace)
    placement = found.status.placement
    if placement is not None and found.status.live:
        element = judge.placed(known.world, found, placement)
    else:
        # The operator has said nothing yet: judged here, as it would be.
        element = judge.present(known, found) or judge.judge(known, found)
    if form is Form.JSON:
        print_json(element)
    else:
        print(f"{element['job']}: {element['message']}")
        if element["ranks"]:
            rows = [
                (r["role"], r["rank"], r["node"], ", ".join(f"{k}={v}" for k, v in r["domains"].items()))
                for r in element["ranks"]
            ]
            print(table(("ROLE", "RANK", "NODE", "DOMAINS"), rows))
        for heads, rows in _tables(element):
            print(f"\n{table(heads, rows)}")
        for warning in known.warnings:
            typer.echo(f"warning: {warning}", err=True)
    raise typer.Exit(judge.code_of(element))


def _tables(element: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
    """What would start a job that waits, what would fit instead, and what keeps nodes from it: heads and rows."""
    from muster.kube.hostlist import compress

    change, details = element["change"], element["details"]
    if change is not None and change["actions"]:
        rows = [
            (a["kind"], "-" if a["target"] in a["nodes"] else a["target"], compress(a["nodes"]), _where(a))
            for a in change["actions"]
        ]
        yield ("TO START IT", "JOB", "NODES", "WHERE"), rows
    if change is not None and change["relaxations"]:
        rows = [(r["constraint"], r["level"] or "-", r["before"], r["after"] or "-") for r in change["relaxations"]]
        yield ("OR CHANGE", "LEVEL", "FROM", "TO"), rows
    if details.get("largestByLevel"):
        yield ("LARGEST GANG NOW IN ONE", "PODS"), list(reversed(details["largestByLevel"].items()))
    if details.get("exclusions"):
        yield ("WITHOUT ROOM", "NODES"), list(details["exclusions"].items())


def _where(action: Mapping[str, Any]) -> str:
    return f"{action['level']} {action['domain']}".strip() or "-"
