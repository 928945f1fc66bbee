"""Finds the command and runs it; only the module of the command that is called is imported."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from muster.cli.output import Failed

COMMANDS = {
    "run": "Run the operator.",
    "demo": "Play a story of a minute on a cluster of 4,608 GPUs that is this machine alone.",
    "what-if": "Judge jobs against a cluster or a dump of one, without touching anything.",
    "top": "Draw the racks of a cluster, live or once.",
    "ranks": "List a job's ranks: pod, node, segment and domains.",
    "logs": "Print the log of a rank, of past attempts too.",
    "exec": "Run a command in the container of a rank.",
    "explain": "Say where a job is placed, or why it waits.",
    "check": "Say whether muster works on a cluster.",
    "crds": "Print the custom resource definitions.",
    "settings": "List the operator's settings.",
    "version": "Print the version.",
}


def build(called: str | None) -> typer.Typer:
    """The application with the command `called` in full and all others by name alone."""
    app = typer.Typer(
        name="muster",
        help="A Kubernetes gang scheduler for GPU racks: all or nothing, and it says why a job waits.\n\n"
        "Example: muster what-if -f job.yaml --cluster dump.json",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )

    @app.callback()
    def group() -> None:
        """Keep the commands' names even if there is but one."""

    group.__doc__ = None
    for name, line in COMMANDS.items():
        if name == called:
            module = importlib.import_module(f"muster.cli.{name.replace('-', '_')}")
            app.command(name, short_help=line)(module.command)
        else:
            app.command(name, help=line)(_stub)
    return app


def _stub() -> None:
    """Stands for a command that was not called."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    called = next((arg for arg in args if not arg.startswith("-")), None)
    try:
        answer = build(called)(args, standalone_mode=False, prog_name="muster")
        sys.stdout.flush()
        return answer if isinstance(answer, int) else 0
    except typer.Exit as ending:
        return int(ending.exit_code)
    except Failed as failed:
        print(f"muster: {failed}", file=sys.stderr)
    except TyperException as wrong:
        helped = f"muster {called} --help" if called in COMMANDS else "muster --help"
        print(f"muster: {wrong.format_message()} See: {helped}", file=sys.stderr)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (KeyboardInterrupt, typer.Abort):
        print("muster: interrupted", file=sys.stderr)
    except Exception as defect:
        if os.environ.get("MUSTER_LOG_LEVEL") == "debug":
            raise
        name = type(defect).__name__
        print(
            f"muster: internal error, {name}: {defect}. MUSTER_LOG_LEVEL=debug shows where; please report it.",
            file=sys.stderr,
        )
    return 1
