"""`muster check`: whether an installation works; the pod of `helm test` runs it."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from muster.cli.output import Failed, Form, print_json, table

if TYPE_CHECKING:
    from muster.cli.session import Session
    from muster.settings import Settings

_PAUSE = 0.5


class Finding(NamedTuple):
    """One thing looked at; `wrong` is empty when it is well."""

    what: str
    well: str = ""
    wrong: str = ""


class _Held(NamedTuple):
    """A lease: its name, who holds it, and its version, which every renewal changes."""

    name: str
    holder: str
    version: str


def command(
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Look again for this many seconds until all is well.")
    ] = 0,
    kubeconfig: Annotated[str, typer.Option(envvar="MUSTER_KUBECONFIG", help="Which cluster.")] = "",
    context: Annotated[str, typer.Option(envvar="MUSTER_CONTEXT", help="Context of the kubeconfig.")] = "",
    form: Annotated[Form, typer.Option("-o", help="text or json.")] = Form.TEXT,
) -> None:
    """Say whether muster works on a cluster: its kinds are served, and a replica renews the lease.

    The lease is that of the settings (MUSTER_LEASE_NAMESPACE, MUSTER_LEASE_NAME). It is watched until it is renewed,
    for as long as it holds: no clock of another machine is trusted.

    Exit codes: 0 all is well; 1 something is not.

    Example: muster check --wait 60
    """
    from muster import settings
    from muster.cli.session import run

    try:
        chosen = settings.load()
    except settings.SettingsError as error:
        raise Failed(str(error)) from None
    findings = run(_findings(kubeconfig, context, chosen, wait))
    if form is Form.JSON:
        print_json({"well": not any(f.wrong for f in findings), "findings": [f._asdict() for f in findings]})
    else:
        rows = [(f.what, "wrong" if f.wrong else "ok", f.wrong or f.well) for f in findings]
        print(table(("CHECK", "RESULT", "MESSAGE"), rows))
    raise typer.Exit(1 if any(f.wrong for f in findings) else 0)


async def _findings(kubeconfig: str, context: str, chosen: Settings, wait: float) -> list[Finding]:
    import asyncio

    from muster.cli.session import session

    until = time.monotonic() + wait
    async with session(kubeconfig, context) as api:
        while True:
            found = [
                await _look("custom resources", "list them", _kinds(api)),
                await _look("leader", "read its lease", _leader(api, chosen)),
            ]
            if time.monotonic() >= until or not any(f.wrong for f in found):
                return found
            await asyncio.sleep(_PAUSE)


async def _look(what: str, deed: str, looking: Awaitable[str]) -> Finding:
    from muster.cli.session import refusal
    from muster.kube.errors import ApiError

    try:
        return Finding(what, well=await looking)
    except Failed as failed:
        return Finding(what, wrong=str(failed))
    except ApiError as error:
        return Finding(what, wrong=str(refusal(error, deed, ours=True)))


async def _kinds(api: Session) -> str:
    from muster.kube import paths

    for path in (paths.trainingjobs(), paths.clustertopologies()):
        await api.client.list_page(path, limit=1)
    return "trainingjobs and clustertopologies are served"


async def _leader(api: Session, chosen: Settings) -> str:
    """Who leads, shown by a renewal that happens while we look."""
    import asyncio

    if not chosen.leader_elect:
        return "leader election is off"
    until = time.monotonic() + chosen.lease_seconds
    first = await _held(api, chosen)
    while (now := await _held(api, chosen)).version == first.version:
        if time.monotonic() >= until:
            raise Failed(
                f"{now.holder} holds the lease {now.name}, but has not renewed it for {chosen.lease_seconds} s: "
                "it has ended or hangs"
            )
        await asyncio.sleep(_PAUSE)
    return f"{now.holder} renews the lease {now.name}"


async def _held(api: Session, chosen: Settings) -> _Held:
    """The lease as it is held now. Raises Failed if nobody holds it."""
    import msgspec

    from muster.kube import paths
    from muster.kube.errors import Answer, ApiError

    namespace, name = chosen.lease_namespace_or_default(), chosen.lease_name
    try:
        lease = msgspec.json.decode(await api.client.get(paths.lease(namespace, name)))
    except ApiError as error:
        if error.answer is not Answer.GONE:
            raise
        raise Failed(f"there is no lease {namespace}/{name}: no operator has run with these settings") from None
    holder = lease.get("spec", {}).get("holderIdentity")
    if not holder:
        raise Failed(f"nobody holds the lease {namespace}/{name}: no operator runs, or none is ready yet")
    return _Held(f"{namespace}/{name}", holder, lease["metadata"]["resourceVersion"])
