"""`muster settings`."""

from __future__ import annotations

from typing import Annotated

import typer

from muster.cli.output import Failed, Form, print_json, table


def command(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/settings.md.")] = False,
    form: Annotated[Form, typer.Option("-o", help="text or json.")] = Form.TEXT,
) -> None:
    """List every setting with its default and its value in this environment.

    Example: MUSTER_PODS_QPS=200 muster settings
    """
    from muster import settings

    if markdown:
        print(settings.markdown(), end="")
        return
    try:
        rows = settings.rows(settings.load())
    except settings.SettingsError as error:
        raise Failed(str(error)) from None
    if form is Form.JSON:
        names = ("name", "variable", "default", "value", "meaning")
        print_json({"settings": [dict(zip(names, row, strict=True)) for row in rows]})
    else:
        print(table(("VARIABLE", "DEFAULT", "VALUE", "MEANING"), (row[1:] for row in rows)))
