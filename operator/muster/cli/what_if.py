"""`muster what-if`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from muster.cli.output import Form, print_json, table


def command(
    file: Annotated[
        list[Path],
        typer.Option("-f", "--file", help="TrainingJob manifests, JSON or YAML; a directory of them; - is stdin."),
    ],
    cluster: Annotated[
        Path | None, typer.Option("--cluster", help="What `kubectl get nodes,pods,... -A -o json` printed.")
    ] = None,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="Namespace of the jobs that name none.")
    ] = "default",
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Each job keeps the room that those before it take.")
    ] = False,
    free: Annotated[
        list[str] | None,
        typer.Option(
            "--free",
            metavar="NODE|JOB",
            help="Suppose that a node (a host list such as r0-n[00-17] too) holds nothing but DaemonSet pods and is "
            "usable, or that a job (NAME or NAMESPACE/NAME) has ended with all its pods. Repeatable.",
        ),
    ] = None,
    cordon: Annotated[
        list[str] | None,
        typer.Option(
            "--cordon", metavar="NODE", help="Suppose that nodes are cordoned; host lists, repeated, as above."
        ),
    ] = None,
    add_racks: Annotated[
        int,
        typer.Option(
            "--add-racks",
            metavar="N",
            min=0,
            help="Suppose N more domains of the narrowest level, copies of the most usual one (labels, allocatable, "
            "taints, DaemonSet pods), empty, under new leaves and spines that are filled like those that are there, in "
            "the zone of the one that is copied.",
        ),
    ] = 0,
    kubeconfig: Annotated[str, typer.Option(envvar="MUSTER_KUBECONFIG", help="Without --cluster: which cluster.")] = "",
    context: Annotated[str, typer.Option(envvar="MUSTER_CONTEXT", help="Context of the kubeconfig.")] = "",
    scheduler_name: Annotated[
        str, typer.Option(envvar="MUSTER_SCHEDULER_NAME", help="The one scheduler that a pod template may name.")
    ] = "default-scheduler",
    form: Annotated[Form, typer.Option("-o", help="text or json.")] = Form.TEXT,
) -> None:
    """Judge each job alone: would it be placed now, where, and if not, why. Nothing is touched.

    Exit codes: 0 all fit now; 2 one would wait; 3 one never fits or is refused; 1 error.

    Example: muster what-if -f job.yaml --cluster dump.json --free r0-n[00-03] -o json
    """
    from muster.cli import judge, suppose
    from muster.cli.cluster import from_dump, from_live
    from muster.cli.manifests import Manifests, read
    from muster.cli.questions import Questions

    manifests: Manifests = read(file, namespace)
    known = from_dump(cluster, scheduler_name) if cluster else from_live(kubeconfig, context, scheduler_name)
    supposed = [suppose.free(known, target) for target in free or ()]
    supposed += [suppose.cordon(known, target) for target in cordon or ()]
    if add_racks:
        supposed.append(suppose.add_racks(known, add_racks))
    questions = Questions(known, sequential)
    answers = [questions.ask(manifest) for manifest in manifests]
    if form is Form.JSON:
        print_json({"jobs": answers, "warnings": known.warnings, "supposed": supposed})
    else:
        for said in supposed:
            print(f"supposing that {said}")
        rows = [(a["job"], "yes" if a["placed"] else "no", a["reason"] or "-", a["message"]) for a in answers]
        print(table(("JOB", "FITS", "REASON", "MESSAGE"), rows))
        for warning in known.warnings:
            typer.echo(f"warning: {warning}", err=True)
    raise typer.Exit(judge.worst(map(judge.code_of, answers)))
