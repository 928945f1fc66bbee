"""Why the operator has each of its rights: the code that makes the request. docs/security.md prints this.

`python -m e2e.needs` writes the table there anew. e2e/test_rights.py holds it equal to the chart's roles, and those to
what the operator was seen to ask for; tests/helm/test_needs.py holds that the code named here makes such a request.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e.audit import Right

PAGE = Path(__file__).resolve().parent.parent / "docs" / "security.md"
BEGIN, END = "<!-- written by python -m e2e.needs -->", "<!-- end of what is written -->"
WRITES = ("get", "create", "patch", "replace", "delete")
"""Methods of `kube.client.Client`, which requests are made with."""
METHODS = {"update": "replace"}
"""Those that are not called as the verb is."""
EVERYWHERE, SERVED, LEASE = "everywhere", "where jobs are served", "the Lease's namespace"


@dataclass(frozen=True, slots=True)
class Need:
    """Verbs on one resource. `code` is `module:name` below muster, as many as need it; `where` it is bound."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    code: tuple[str, ...]
    why: str
    where: str = SERVED

    def rights(self) -> Iterator[Right]:
        """One right a verb; where it is bound is not said."""
        for verb in self.verbs:
            yield Right(self.group, self.resource, verb)


READ = ("list", "watch")
FOLLOWED = ("feeds.sources:SOURCES",)
INPUT = ("app:App.__init__",)
NEEDS = (
    Need("", "nodes", READ, FOLLOWED, "where pods can go", EVERYWHERE),
    Need("", "pods", READ, (*FOLLOWED, "worker.api:Api.our_pods"), "what pods hold, strangers' too", EVERYWHERE),
    Need("", "services", READ, FOLLOWED, "whether a job has its Service", EVERYWHERE),
    Need("", "resourcequotas", READ, FOLLOWED, "what a gang may still create", EVERYWHERE),
    Need("", "limitranges", READ, INPUT, "when what admission makes of a pod may have changed", EVERYWHERE),
    Need("", "persistentvolumeclaims", READ, INPUT, "when a claim is bound to another volume", EVERYWHERE),
    Need(
        "", "persistentvolumes", ("get",), ("worker.api:Api._volume_terms",), "where a volume can be used", EVERYWHERE
    ),
    Need("scheduling.k8s.io", "priorityclasses", READ, FOLLOWED, "the order of the queue", EVERYWHERE),
    Need("node.k8s.io", "runtimeclasses", READ, INPUT, "as with limitranges", EVERYWHERE),
    Need(
        "muster.dev",
        "trainingjobs",
        READ,
        (*FOLLOWED, "worker.api:Api.live_jobs"),
        "the jobs, and all claims",
        EVERYWHERE,
    ),
    Need("muster.dev", "clustertopologies", READ, FOLLOWED, "the levels and rules", EVERYWHERE),
    Need(
        "muster.dev",
        "clustertopologies/status",
        ("patch",),
        ("worker.api:Api.write_topology_status",),
        "what was found, which nodes are avoided",
        EVERYWHERE,
    ),
    Need(
        "",
        "pods",
        ("get",),
        ("worker.api:Api.read_pod", "worker.api:Api.read_owned"),
        "whose a pod is whose name is taken, or that seems left behind",
    ),
    Need("", "pods", ("create",), ("worker.api:Api.create_pod", "worker.api:Api.admit"), "the gang; its dry run"),
    Need("", "pods", ("patch",), ("worker.api:Api.ungate",), "to take the gate away"),
    Need("", "pods", ("delete",), ("worker.api:Api.delete_pod",), "to end an attempt"),
    Need("", "pods/status", ("patch",), ("worker.api:Api.nominate",), "nominatedNodeName (settings.nominate)"),
    Need("", "services", ("get",), ("worker.api:Api.read_service", "worker.api:Api.read_owned"), "as with pods"),
    Need("", "services", ("create",), ("worker.api:Api.create_service",), "the names of the pods"),
    Need("", "services", ("delete",), ("worker.api:Api.delete_service",), "when the job has ended"),
    Need("", "persistentvolumeclaims", ("get",), ("worker.api:Api._volume_terms",), "the volume behind a claim"),
    Need("", "events", ("create", "patch"), ("kube.events:EventWriter._write",), "to tell; to tell again"),
    Need(
        "muster.dev",
        "trainingjobs",
        ("get",),
        ("worker.api:Api.read_job",),
        "a commit without an answer; the owner of what is left",
    ),
    Need("muster.dev", "trainingjobs", ("delete",), ("worker.api:Api.delete_job",), "ttlSecondsAfterFinished"),
    Need("muster.dev", "trainingjobs/status", ("patch",), ("worker.api:Api.write_status",), "every decision"),
    Need(
        "muster.dev",
        "trainingjobs/finalizers",
        ("update",),
        ("kube.render:_owner",),
        "blockOwnerDeletion, where OwnerReferencesPermissionEnforcement is on; no request",
    ),
    Need("coordination.k8s.io", "leases", ("get",), ("kube.lease:Election._read",), "who leads", LEASE),
    Need("coordination.k8s.io", "leases", ("create",), ("kube.lease:Election._create",), "the first time", LEASE),
    Need(
        "coordination.k8s.io",
        "leases",
        ("update",),
        ("kube.lease:Election._take", "kube.lease:Election._renew", "kube.lease:Election.release"),
        "to lead, to go on leading, to stop",
        LEASE,
    ),
)


def source(code: str) -> tuple[Path, str]:
    """The file, relative to the repository, and the text of what `module:name` names. Raises if there is none."""
    module_name, _, name = code.partition(":")
    module = importlib.import_module(f"muster.{module_name}")
    found: object = module
    for part in name.split("."):
        found = getattr(found, part)
    path = Path(inspect.getfile(module)).resolve().relative_to(PAGE.parent.parent)
    try:
        return path, inspect.getsource(found)  # type: ignore[arg-type]
    except TypeError:  # a value of the module
        return path, inspect.getsource(module)


def table() -> str:
    """The table of docs/security.md."""
    lines = ["| may | on | where | needed by | for |", "|---|---|---|---|---|"]
    for need in NEEDS:
        resource = f"{need.resource}.{need.group}" if need.group else need.resource
        code = ", ".join(f"[`{each.partition(':')[2]}`](../{source(each)[0]})" for each in need.code)
        lines.append(f"| {', '.join(need.verbs)} | {resource} | {need.where} | {code} | {need.why} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with the table of now in it. Raises ValueError if its marks are missing."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{PAGE.name} has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    sys.exit(0)
