"""`muster logs`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from muster.cli.output import Form

if TYPE_CHECKING:
    from muster.cli.gang_pods import RankPod


def command(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Name of a TrainingJob.")],
    rank: Annotated[int, typer.Option("--rank", help="Which rank of the role.")] = 0,
    role: Annotated[str | None, typer.Option("--role", help="Which role, if there are several.")] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", help="An earlier attempt; without it the newest that has a pod.")
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the container ends.")] = False,
    container: Annotated[str | None, typer.Option("-c", "--container", help="Which container of the pod.")] = None,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only so many lines from the end.")] = None,
    since: Annotated[int | None, typer.Option("--since", min=1, help="Only the last so many seconds.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Begin each line with its time.")] = False,
    previous: Annotated[
        bool, typer.Option("-p", "--previous", help="The container's run before its last restart in the same pod.")
    ] = False,
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="The job's namespace.")] = None,
    kubeconfig: Annotated[str, typer.Option(envvar="MUSTER_KUBECONFIG", help="Which cluster.")] = "",
    context: Annotated[str, typer.Option(envvar="MUSTER_CONTEXT", help="Context of the kubeconfig.")] = "",
    form: Annotated[Form, typer.Option("-o", help="text, or json: one object a line.")] = Form.TEXT,
) -> None:
    """Print the log of a rank, of this attempt or of one before it whose pod is still kept.

    Exit codes: 0 printed; 2 nothing to print yet, since the job waits or its container has not started; 1 error.

    Example: muster logs llama-405b --rank 3 --attempt 2
    """
    from muster.cli.session import run

    query = [("timestamps", "true")] if timestamps or form is Form.JSON else []
    query += [(name, "true") for name, on in (("follow", follow), ("previous", previous)) if on]
    query += [(name, str(n)) for name, n in (("tailLines", tail), ("sinceSeconds", since)) if n is not None]
    run(_print((kubeconfig, context), namespace, job, (role, rank, attempt), container, query, form))


async def _print(
    cluster: tuple[str, str],
    namespace: str | None,
    job: str,
    which: tuple[str | None, int, int | None],
    container: str | None,
    query: list[tuple[str, str]],
    form: Form,
) -> None:
    from muster.cli.gang import container_of, read
    from muster.cli.output import Failed
    from muster.cli.session import NotYet, refusal, session
    from muster.kube.errors import Answer, ApiError
    from muster.kube.remote import Remote

    async with session(*cluster) as api:
        place = await api.namespace(namespace)
        gang = await read(api, place, job)
        pod = gang.pod(*which)
        name = container_of(pod, container)
        if container is None and len(pod.containers) > 1:
            others = ", ".join(other for other in pod.containers if other != name)
            typer.echo(f"muster: container {name} of pod {pod.name}; -c chooses another: {others}", err=True)
        writer = Lines(pod, name) if form is Form.JSON else Plain()
        try:
            async with Remote(api.credentials) as remote:
                async for piece in remote.log(place, pod.name, [("container", name), *query]):
                    writer.write(piece)
        except ApiError as error:
            if error.answer is Answer.GONE:
                raise Failed(f"pod {pod.name} is gone. `muster ranks {job} -n {place}` lists what is there.") from None
            if error.code == 400 and not pod.terminal:  # not bound to a node yet, or its container not started
                raise NotYet(f"{pod.role} rank {pod.rank} has no log yet ({pod.state}): {error.message}") from None
            raise refusal(error, f"read the log of pod {pod.name}") from None
        finally:
            writer.end()


class Plain:
    """The log as it is, byte by byte."""

    def write(self, piece: bytes) -> None:
        """A piece of the log, cut anywhere."""
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    def end(self) -> None:
        """No more will come."""


class Lines(Plain):
    """One JSON object for each line of a log with timestamps."""

    def __init__(self, pod: RankPod, container: str) -> None:
        self._head = {
            "role": pod.role,
            "rank": pod.rank,
            "attempt": pod.attempt,
            "pod": pod.name,
            "container": container,
        }
        self._rest = b""

    def write(self, piece: bytes) -> None:
        """A piece of the log, cut anywhere."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._print(line)
        sys.stdout.flush()

    def end(self) -> None:
        """No more will come: a line without an end is one too."""
        if self._rest:
            self._print(self._rest)
            self._rest = b""

    def _print(self, line: bytes) -> None:
        time, _, text = line.decode("utf-8", "replace").partition(" ")
        print(json.dumps(self._head | {"time": time, "line": text}, ensure_ascii=False))
