"""`muster crds`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from muster.cli.output import Failed, Form, print_json


def command(
    output: Annotated[
        Path | None, typer.Option("--output", help="Write one file per kind into this directory.")
    ] = None,
    scheduler_name: Annotated[
        str, typer.Option(envvar="MUSTER_SCHEDULER_NAME", help="The one scheduler that a pod template may name.")
    ] = "default-scheduler",
    form: Annotated[Form, typer.Option("-o", help="text (YAML) or json (a List).")] = Form.TEXT,
) -> None:
    """Print the custom resource definitions, and the PriorityClasses that belong to them.

    Example: muster crds | kubectl apply --server-side -f -
    """
    from muster.api import crds

    if output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
            for name, text in crds.render(scheduler_name).items():
                (output / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise Failed(f"cannot write to {output}: {error.strerror}. Name another directory with --output.") from None
    elif form is Form.JSON:
        items = [document for documents in crds.documents(scheduler_name).values() for document in documents]
        print_json({"apiVersion": "v1", "kind": "List", "items": items})
    else:
        print("---\n".join(crds.render(scheduler_name).values()), end="")
