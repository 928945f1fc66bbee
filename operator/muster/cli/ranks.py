"""`muster ranks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from muster.cli.output import Failed, Form, print_json, table

if TYPE_CHECKING:
    from muster.cli.gang import Gang
    from muster.cli.gang_pods import RankPod


def command(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Name of a TrainingJob.")],
    role: Annotated[str | None, typer.Option("--role", help="Only the ranks of this role.")] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", help="The pods of an earlier attempt, as far as they are kept.")
    ] = None,
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="Its namespace.")] = None,
    kubeconfig: Annotated[str, typer.Option(envvar="MUSTER_KUBECONFIG", help="Which cluster.")] = "",
    context: Annotated[str, typer.Option(envvar="MUSTER_CONTEXT", help="Context of the kubeconfig.")] = "",
    form: Annotated[Form, typer.Option("-o", help="text or json.")] = Form.TEXT,
) -> None:
    """List a job's ranks: pod, node, segment and domains of each.

    Exit codes: 0 there are ranks; 2 none, since the job is not placed; 1 error.

    Example: muster ranks llama-405b -n research
    """
    from muster.cli.session import run

    gang = run(_read(kubeconfig, context, namespace, job))
    if role is not None:
        gang.role(role)
    rows = _past(gang, attempt) if attempt is not None else _present(gang)
    rows = [row for row in rows if role in (None, row["role"])]
    if form is Form.JSON:
        status = gang.job.status
        said = {"job": gang.key, "phase": status.phase.value, "attempt": attempt or status.attempt}
        print_json(said | {"message": "" if rows else _nothing(gang), "ranks": rows})
    elif rows:
        levels = _telling(rows)
        heads = ("ROLE", "RANK", "POD", "NODE", "SEGMENT", *(level.upper() for level in levels), "STATE")
        print(table(heads, [_cells(row, levels) for row in rows]))
    else:
        print(_nothing(gang))
    raise typer.Exit(0 if rows else 2)


async def _read(kubeconfig: str, context: str, namespace: str | None, job: str) -> Gang:
    from muster.cli.gang import read
    from muster.cli.session import session

    async with session(kubeconfig, context) as api:
        return await read(api, await api.namespace(namespace), job)


def _present(gang: Gang) -> list[dict[str, Any]]:
    """The ranks as placed, each with its pod if that is there."""
    placement = gang.placement
    if placement is None:
        return []
    pods = {(pod.role, pod.rank, pod.attempt): pod for pod in gang.pods}
    before = {(pod.role, pod.rank): pod for pod in gang.pods if not pod.terminal}
    rows = []
    for role, nodes, borns in zip(placement.roles, placement.nodes, placement.born, strict=True):
        for rank, (node, born) in enumerate(zip(nodes, borns, strict=True)):
            row = _row(gang, role, rank, node, born, pods.get((role, rank, born)))
            earlier = before.get((role, rank))
            if row["pod"] is None and earlier is not None and gang.job.status.phase.value == "Repairing":
                row["reason"] = f"{earlier.name} has to stop first"
            rows.append(row)
    return rows


def _past(gang: Gang, attempt: int) -> list[dict[str, Any]]:
    """The pods of one attempt that are still there."""
    made = gang.job.status.attempt
    if not 0 < attempt <= made:
        raise Failed(f"{gang.key} has made {made} attempt{'' if made == 1 else 's'}; there is no {attempt}.")
    if gang.placement is not None and gang.placement.attempt == attempt:
        return _present(gang)
    kept = [pod for pod in gang.pods if pod.attempt == attempt]
    if not kept:
        raise Failed(f"no pod of attempt {attempt} of {gang.key} is left: podRetention says how many are kept.")
    return [_row(gang, pod.role, pod.rank, pod.node, attempt, pod) for pod in kept]


def _row(gang: Gang, role: str, rank: int, node: str, attempt: int, pod: RankPod | None) -> dict[str, Any]:
    return {
        "role": role,
        "rank": rank,
        "pod": pod.name if pod is not None else None,
        "node": node,
        "segment": pod.segment if pod is not None else gang.segment(role, rank),
        "domains": dict(pod.domains) if pod is not None else {},
        "attempt": attempt,
        "state": pod.state if pod is not None else "NoPod",
        "reason": pod.reason if pod is not None else "",
    }


def _telling(rows: list[dict[str, Any]]) -> list[str]:
    """The levels to show: the two nearest, and those broader ones in which the ranks differ."""
    values: dict[str, set[str]] = {}
    for row in rows:
        for level, domain in row["domains"].items():
            values.setdefault(level, set()).add(domain)
    near = list(values)[-2:]
    return [level for level, domains in values.items() if level in near or len(domains) > 1]


def _cells(row: dict[str, Any], levels: list[str]) -> tuple[object, ...]:
    state = f"{row['state']}{': ' if row['reason'] else ''}{row['reason']}"
    domains = [row["domains"].get(level, "-") for level in levels]
    return (row["role"], row["rank"], row["pod"] or "-", row["node"] or "-", row["segment"], *domains, state)


def _nothing(gang: Gang) -> str:
    phase = gang.job.status.phase.value
    said = f"{gang.key} is not placed: {gang.why()}" if phase == "Pending" else f"{gang.key} is {phase}"
    kept = ", ".join(str(attempt) for attempt in sorted({pod.attempt for pod in gang.pods}))
    return f"{said.rstrip('.')}. Pods are kept of attempt {kept}: see --attempt." if kept else said
