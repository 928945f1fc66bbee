"""`muster what-if`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from muster.cli.output import Failed, Form, print_json, table


def command(
    file: Annotated[Path, typer.Option("-f", "--file", help="TrainingJob manifests, JSON or YAML; - is stdin.")],
    cluster: Annotated[
        Path | None, typer.Option("--cluster", help="What `kubectl get nodes,pods,... -A -o json` printed.")
    ] = None,
    kubeconfig: Annotated[str, typer.Option(envvar="MUSTER_KUBECONFIG", help="Without --cluster: which cluster.")] = "",
    context: Annotated[str, typer.Option(envvar="MUSTER_CONTEXT", help="Context of the kubeconfig.")] = "",
    scheduler_name: Annotated[
        str, typer.Option(envvar="MUSTER_SCHEDULER_NAME", help="The one scheduler that a pod template may name.")
    ] = "default-scheduler",
    form: Annotated[Form, typer.Option("-o", help="text or json.")] = Form.TEXT,
) -> None:
    """Judge each job alone: would it be placed now, where, and if not, why. Nothing is touched.

    Exit codes: 0 all fit now; 2 one would wait; 3 one never fits or is refused; 1 error.

    Example: muster what-if -f job.yaml --cluster dump.json -o json
    """
    from muster.cli import judge
    from muster.cli.cluster import from_dump, from_live
    from muster.cli.files import documents

    manifests = documents(file)
    if not manifests:
        raise Failed(f"{file} holds no manifest.")
    known = from_dump(cluster) if cluster is not None else from_live(kubeconfig, context)
    answers: list[judge.Element] = []
    for i, manifest in enumerate(_flat(manifests)):
        answers.append(_answer(known, manifest, i, scheduler_name))
    if form is Form.JSON:
        print_json({"jobs": answers, "warnings": known.warnings})
    else:
        rows = [(a["job"], "yes" if a["placed"] else "no", a["reason"] or "-", a["message"]) for a in answers]
        print(table(("JOB", "FITS", "REASON", "MESSAGE"), rows))
        for warning in known.warnings:
            typer.echo(f"warning: {warning}", err=True)
    raise typer.Exit(judge.worst(map(judge.code_of, answers)))


def _flat(manifests: list[Any]) -> list[Any]:
    flat: list[Any] = []
    for manifest in manifests:
        items = manifest.get("items") if isinstance(manifest, Mapping) else None
        flat.extend(items if isinstance(items, list) else [manifest])
    return flat


def _answer(known: Any, manifest: Any, number: int, scheduler_name: str) -> dict[str, Any]:
    from muster.api import parse_job
    from muster.cli import judge
    from muster.core.model import Upsert
    from muster.kube import parse

    checked = parse_job(manifest, scheduler_name=scheduler_name)
    if isinstance(checked, list):
        meta = manifest.get("metadata") if isinstance(manifest, Mapping) else None
        meta = meta if isinstance(meta, Mapping) else {}
        key = f"{meta.get('namespace') or 'default'}/{meta.get('name') or f'document {number + 1}'}"
        return judge.refused(key, "", "; ".join(map(str, checked)))
    meta = {"namespace": "default", **manifest["metadata"]}
    meta |= {"uid": f"{number:08x}-0000-4000-8000-000000000000", "resourceVersion": "1", "generation": 1}
    meta.setdefault("name", f"{meta.get('generateName', '')}xxxxx")
    job = parse.job_from({**manifest, "metadata": meta, "status": {}})
    same = [j for j in known.world.jobs() if j.key == job.key and j.id != job.id]
    if same:
        phase = same[0].status.phase.value
        known.warnings.append(f"{job.key} is in the cluster already ({phase}); it is judged as one more job")
    known.world.apply(Upsert(job, 0))
    return judge.judge(known, job)
