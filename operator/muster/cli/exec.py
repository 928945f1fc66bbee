"""`muster exec`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from muster.cli.output import Failed, Form, print_json


def command(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Name of a TrainingJob.")],
    words: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="The command and its arguments.")],
    rank: Annotated[int, typer.Option("--rank", help="Which rank of the role.")] = 0,
    role: Annotated[str | None, typer.Option("--role", help="Which role, if there are several.")] = None,
    stdin: Annotated[bool, typer.Option("-i", "--stdin", help="Pass on the standard input.")] = False,
    tty: Annotated[bool, typer.Option("-t", "--tty", help="Give it a terminal; needs one here, and -i.")] = False,
    container: Annotated[str | None, typer.Option("-c", "--container", help="Which container of the pod.")] = None,
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="The job's namespace.")] = None,
    kubeconfig: Annotated[str, typer.Option(envvar="MUSTER_KUBECONFIG", help="Which cluster.")] = "",
    context: Annotated[str, typer.Option(envvar="MUSTER_CONTEXT", help="Context of the kubeconfig.")] = "",
    form: Annotated[Form, typer.Option("-o", help="text, or json: exit code and output at its end.")] = Form.TEXT,
) -> None:
    """Run a command in the container of a rank.

    The exit code is the command's. muster's own errors are 1 with a line on standard error that begins `muster:`.

    Example: muster exec llama-405b --rank 17 -- nvidia-smi -L
    """
    from muster.cli.session import run

    if tty and not (stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failed("-t needs -i and a terminal here. Leave -t out to run it without one.")
    if tty and form is Form.JSON:
        raise Failed("-o json takes the output apart, which a terminal mixes. Leave -t out.")
    choice = (role, rank, container)
    raise typer.Exit(run(_run((kubeconfig, context), namespace, job, choice, words, (stdin, tty), form)))


async def _run(
    cluster: tuple[str, str],
    namespace: str | None,
    job: str,
    which: tuple[str | None, int, str | None],
    words: list[str],
    streams: tuple[bool, bool],
    form: Form,
) -> int:
    from muster.cli.exec_streams import attach
    from muster.cli.gang import container_of, read
    from muster.cli.session import NotYet, refusal, session
    from muster.kube.errors import Answer, ApiError
    from muster.kube.remote import Channel, Refused, Remote

    role, rank, container = which
    stdin, tty = streams
    async with session(*cluster) as api:
        place = await api.namespace(namespace)
        gang = await read(api, place, job)
        try:
            pod = gang.pod(role, rank, None)
        except NotYet as early:  # 2 might be the command's own exit code
            raise Failed(str(early)) from None
        if pod.state not in ("Running", "Terminating"):
            why = f"{pod.state}{': ' if pod.reason else ''}{pod.reason}"
            raise Failed(f"{pod.role} rank {pod.rank} of {gang.key} does not run: its pod {pod.name} is {why}.")
        name = container_of(pod, container)
        kept: dict[Channel, bytearray] | None = None
        if form is Form.JSON:
            kept = {Channel.STDOUT: bytearray(), Channel.STDERR: bytearray()}
        try:
            async with (
                Remote(api.credentials) as remote,
                remote.run(place, pod.name, name, words, stdin=stdin, tty=tty) as command,
            ):
                code = await attach(command, stdin=stdin, tty=tty, kept=kept)
        except Refused as refused:
            raise Failed(f"cannot run {words[0]} in {name} of pod {pod.name}: {refused}.") from None
        except ApiError as error:
            if error.answer is Answer.GONE:
                raise Failed(f"pod {pod.name} is gone. `muster ranks {job} -n {place}` lists what is there.") from None
            raise refusal(error, f"run a command in pod {pod.name}") from None
    if kept is not None:
        texts = {key.name.lower(): bytes(data).decode("utf-8", "replace") for key, data in kept.items()}
        head = {"role": pod.role, "rank": pod.rank, "attempt": pod.attempt, "pod": pod.name, "container": name}
        print_json(head | {"exitCode": code} | texts)
    return code
