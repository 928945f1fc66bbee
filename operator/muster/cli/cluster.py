"""A world for questions: from a dump of a cluster, or read once from a live one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from muster.cli import dump
from muster.cli.output import Failed
from muster.core.model import Job, Phase, Pod, PriorityClass, Record, Rejected, Upsert
from muster.core.world import World
from muster.kube.parse_dump import Head

if TYPE_CHECKING:
    from muster.cli.dryrun import DryRun
    from muster.kube.client import Client

SCHEDULER = "default-scheduler"


class Known:
    """The world, and what it lacks.

    `rules` are the objects by which the API server judges a new pod; `scheduler` is the one that pods may name.
    """

    def __init__(self, scheduler: str = SCHEDULER) -> None:
        self.world = World()
        self.warnings: list[str] = []
        self.assume_classes = False
        """No PriorityClass is known at all: those named by jobs are taken to exist and not to preempt."""
        self.scheduler = scheduler
        self.rules: list[tuple[Head, bytes]] = []
        self.pods: dict[str, list[Pod]] = {}
        """What is bound to, pinned to or nominated for each node, the ended apart."""
        self._dry_run: DryRun | None = None

    def take(self, records: Iterable[Record]) -> None:
        """Take in what is known of the cluster."""
        for record in records:
            self.world.apply(Upsert(record, 0))
            if isinstance(record, Pod) and not record.terminal:
                for name in dict.fromkeys((record.node or record.pinned, record.nominated)):
                    if name is not None:
                        self.pods.setdefault(name, []).append(record)

    @property
    def dry_run(self) -> DryRun:
        """Answers what the API server's dry run would; made when it is first asked, at the cost of half a second."""
        if self._dry_run is None:
            from muster.cli.dryrun import DryRun

            self._dry_run = DryRun(self.world, self.rules, self.scheduler, self.warnings.append)
            for job in list(self.world.jobs()):
                # What such a job holds is what it has still to create, so it is asked about like a new one.
                if isinstance(job, Job) and job.status.live and job.status.phase is Phase.PLACED:
                    self._dry_run.admit(job)
        return self._dry_run

    def admit(self, job: Job) -> None:
        """Tell the world what the job's pods would be once the API server had admitted them."""
        self.class_for(job)
        self.dry_run.admit(job)

    def class_for(self, job: Job) -> None:
        """See `assume_classes`."""
        if self.assume_classes and job.priority_class not in self.world.priority_classes:
            self.world.apply(Upsert(PriorityClass(job.priority_class, 1, 0, False), 0))

    def find(self, name: str, namespace: str | None) -> Job | Rejected:
        """The one job of this name. Raises Failed."""
        found = [j for j in self.world.jobs() if j.name == name and namespace in (None, j.namespace)]
        if len(found) == 1:
            return found[0]
        where = f" in namespace {namespace}" if namespace else ""
        if not found:
            raise Failed(f"there is no TrainingJob {name}{where}. `kubectl get trainingjobs -A` lists them.")
        raise Failed(f"TrainingJob {name} exists in {', '.join(sorted(j.namespace for j in found))}: add -n NAMESPACE.")


def from_dump(path: Path, scheduler: str = SCHEDULER) -> Known:
    """Read what `kubectl get ... -A -o json` printed. Raises Failed."""
    read = dump.load(path)
    known = Known(scheduler)
    known.warnings += read.warnings
    known.take(read.records)
    known.rules = read.rules
    known.assume_classes = "PriorityClass" not in read.kinds
    return known


def from_live(kubeconfig: str, context: str, scheduler: str = SCHEDULER) -> Known:
    """Read the cluster once. Raises Failed."""
    import asyncio

    return asyncio.run(_live(kubeconfig, context, Known(scheduler)))


async def _live(kubeconfig: str, context: str, known: Known) -> Known:
    from muster.core.model import Change
    from muster.feeds import SOURCES, Door, Lists
    from muster.kube.client import Client
    from muster.kube.credentials import ConfigurationError, KubeCredentials
    from muster.kube.errors import ApiError
    from muster.kube.transport import HttpTransport

    def put(change: Change) -> None:
        if isinstance(change, Upsert):
            known.take([change.record])

    transport = HttpTransport(KubeCredentials(kubeconfig=kubeconfig or None, context=context or None))
    client = Client(transport, attempts=2)
    lists = Lists(client, SOURCES, Door(put, lambda: 0))
    try:
        for kind, source in SOURCES.items():
            try:
                await lists.read(kind)
            except ApiError as error:
                if not error.code:
                    raise Failed(f"the API server does not answer: {error.message}. Check --kubeconfig.") from None
                if error.absent_kind:
                    known.warnings.append(
                        f"the cluster does not serve {kind.value}; `muster crds` prints what to apply"
                    )
                elif kind.value in ("nodes", "pods"):
                    raise Failed(f"cannot list {source.path}: {error.message or error}.") from None
                else:
                    known.warnings.append(f"cannot list {kind.value}, taken as none: {error.message or error}")
        await _rules(client, known)
    except ConfigurationError as error:
        raise Failed(str(error)) from None
    finally:
        await transport.close()
    return known


async def _rules(client: Client, known: Known) -> None:
    """List what the API server judges new pods by."""
    from muster.kube import parse_dump, paths
    from muster.kube.errors import ApiError

    for kind, path in (
        ("LimitRange", paths.limit_ranges()),
        ("ResourceQuota", paths.resource_quotas()),
        ("RuntimeClass", paths.runtime_classes()),
        ("PersistentVolumeClaim", paths.volume_claims()),
        ("PersistentVolume", paths.volumes()),
    ):
        try:
            async for page in client.list_pages(path):
                known.rules += ((parse_dump.head(raw, kind), bytes(raw)) for raw in parse_dump.items(page))
        except ApiError as error:
            known.warnings.append(f"cannot list {dump.WANTED[kind]}, taken as none: {error.message or error}")
        except ValueError as error:
            known.warnings.append(f"cannot read {dump.WANTED[kind]}, taken as none: {error}")
