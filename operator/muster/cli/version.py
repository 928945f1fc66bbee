"""`muster version`."""

from __future__ import annotations

from typing import Annotated

import typer

from muster.cli.output import Form, print_json


def command(form: Annotated[Form, typer.Option("-o", help="text or json.")] = Form.TEXT) -> None:
    """Print the version of this muster.

    Example: muster version -o json
    """
    from importlib import metadata

    try:
        version = metadata.version("muster")
    except metadata.PackageNotFoundError:
        version = "unknown"
    if form is Form.JSON:
        print_json({"version": version})
    else:
        print(f"muster {version}")
