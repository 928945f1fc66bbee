"""`muster run`: every setting is a flag."""

from __future__ import annotations

import inspect
from typing import Any

import typer

from muster import settings
from muster.cli.output import Failed


def command(**flags: Any) -> None:
    """Run the operator until it is asked to stop (SIGTERM), or loses its lease (then exit code 1).

    Every flag is also an environment variable: --pods-qps is MUSTER_PODS_QPS. Flags win.

    Example: muster run --log-format console --no-leader-elect
    """
    try:
        chosen = settings.load(**flags)
    except settings.SettingsError as error:
        raise Failed(str(error)) from None

    import asyncio

    from muster import logs
    from muster.app import App, ports
    from muster.kube.credentials import ConfigurationError

    logs.configure(chosen.log_level, chosen.log_format)
    log = logs.get("run")
    for name in settings.unknown_variables():
        log.warning(f"{name} is set, but there is no such setting; `muster settings` lists them")

    async def run() -> int:
        app = App(chosen, await ports(chosen))
        app.handle_signals()
        return await app.run()

    try:
        raise typer.Exit(asyncio.run(run()))
    except ConfigurationError as error:
        raise Failed(str(error)) from None
    except OSError as error:
        raise Failed(
            f"cannot listen: {error}. Choose other ports with --metrics-bind-port and --probe-bind-port; 0 is off."
        ) from None


def _flags() -> inspect.Signature:
    parameters = []
    for name, variable, default, _, meaning in settings.rows():
        switch = settings.Settings.model_fields[name].annotation is bool
        flag = f"--{name.replace('_', '-')}"
        option = typer.Option(
            None,
            f"{flag}/--no-{flag[2:]}" if switch else flag,
            help=f"{meaning} [{variable}, default {default}]",
            metavar=None if switch else "VALUE",
        )
        # Values stay text: the model that reads the environment judges flags too, in the same words.
        annotation = bool | None if switch else str | None
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation)
        )
    return inspect.Signature(parameters)


command.__signature__ = _flags()  # type: ignore[attr-defined]
