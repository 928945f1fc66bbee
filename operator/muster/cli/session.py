"""A connection to the cluster for the length of one command; whatever goes wrong with it becomes Failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import typer

from muster.cli.output import Failed
from muster.kube.client import Client
from muster.kube.credentials import ConfigurationError, KubeCredentials
from muster.kube.errors import Answer, ApiError
from muster.kube.transport import HttpTransport

T = TypeVar("T")


class NotYet(Failed):
    """Nothing is wrong, but what was asked for is not there yet: exit code 2."""


class Session:
    """The API server, and who we are there."""

    def __init__(self, client: Client, credentials: KubeCredentials) -> None:
        self.client = client
        self.credentials = credentials

    async def namespace(self, asked: str | None) -> str:
        """The namespace asked for, else the context's, else `default`."""
        return asked or await self.credentials.namespace() or "default"


@asynccontextmanager
async def session(kubeconfig: str, context: str) -> AsyncIterator[Session]:
    """Open a connection. Raises Failed for an ApiError that the body lets through, and if there is no way at all."""
    credentials = KubeCredentials(kubeconfig=kubeconfig or None, context=context or None)
    transport = HttpTransport(credentials)
    try:
        yield Session(Client(transport, attempts=2), credentials)
    except ApiError as error:
        raise refusal(error, "do this") from None
    except ConfigurationError as error:
        raise Failed(str(error)) from None
    finally:
        await transport.close()


def refusal(error: ApiError, what: str, *, ours: bool = False) -> Failed:
    """A sentence for an answer that is no success; `what` follows `cannot`. `ours`: of a kind that muster brings."""
    if not error.code:
        return Failed(f"the API server does not answer: {error.message}. Check --kubeconfig and --context.")
    words = (error.message or error.reason or error.answer.value).rstrip(".")
    if error.absent_kind and ours:
        return Failed(f"cannot {what}: the cluster does not serve it. `muster crds` prints what to apply.")
    if error.answer is Answer.RBAC:
        return Failed(f"cannot {what}: the API server refuses ({error.code}): {words}.")
    return Failed(f"cannot {what}: {words} ({error.code}).")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine. NotYet is told like any failure, but ends with exit code 2."""
    import asyncio

    try:
        return asyncio.run(work)
    except NotYet as early:
        typer.echo(f"muster: {early}", err=True)
        raise typer.Exit(2) from None
