"""A world for questions: from a dump of a cluster, or read once from a live one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from muster.cli.output import Failed
from muster.core.model import Job, PriorityClass, Rejected, TopologySpec, Upsert
from muster.core.world import World

WANTED = {
    "Node": "nodes",
    "Pod": "pods",
    "ClusterTopology": "clustertopologies",
    "TrainingJob": "trainingjobs",
    "PriorityClass": "priorityclasses",
    "ResourceQuota": "resourcequotas",
    "RuntimeClass": "runtimeclasses",
    "LimitRange": "limitranges",
    "PersistentVolumeClaim": "pvc",
    "PersistentVolume": "pv",
}
"""Kinds that a full dump holds, by what `kubectl get` calls them."""
NOT_APPLIED = ("RuntimeClass", "LimitRange", "PersistentVolumeClaim", "PersistentVolume")
"""Kinds that an admitted pod may be changed by, which are not applied here yet."""


class Known:
    """The world, and what it lacks."""

    def __init__(self) -> None:
        self.world = World()
        self.warnings: list[str] = []
        self.assume_classes = False
        """No PriorityClass is known at all: those named by jobs are taken to exist and not to preempt."""

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


def documents(path: Path) -> list[Any]:
    """The documents of a JSON or YAML file, `-` for standard input, null ones left out. Raises Failed."""
    import sys

    import yaml

    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Failed(f"{path} cannot be read: {reason}.") from None
    try:
        return [json.loads(text)]
    except ValueError:
        pass
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return [document for document in yaml.load_all(text, Loader=loader) if document is not None]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}" if place is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise Failed(f"{path}{where} is neither JSON nor YAML: {problem}.") from None


def from_dump(path: Path) -> Known:
    """Read what `kubectl get ... -A -o json` printed. Raises Failed."""
    from muster.kube import parse

    known = Known()
    kinds: set[str] = set()
    unreadable = 0
    for obj in _objects(documents(path), path):
        kinds.add(str(obj.get("kind")))
        try:
            record = parse.record_from(obj)
        except ValueError:
            unreadable += 1
            continue
        if record is not None and (not isinstance(record, TopologySpec) or record.name == "default"):
            known.world.apply(Upsert(record, 0))
    if "Node" not in kinds:
        raise Failed(f"{path} holds no nodes. Make it with: kubectl get {','.join(WANTED.values())} -A -o json")
    absent = [plural for kind, plural in WANTED.items() if kind not in kinds]
    if absent:
        known.warnings.append(f"not in the dump, taken as none: {', '.join(absent)}")
    if unreadable:
        known.warnings.append(f"{unreadable} objects of the dump could not be read and are left out")
    there = [kind for kind in NOT_APPLIED if kind in kinds]
    if there:
        known.warnings.append(f"pods are judged as written: {', '.join(there)} are not applied to them")
    known.assume_classes = "PriorityClass" not in kinds
    return known


def _objects(found: list[Any], path: Path) -> Iterator[Mapping[str, Any]]:
    for document in found:
        items = document.get("items") if isinstance(document, Mapping) else None
        for obj in items if isinstance(items, list) else [document]:
            if not isinstance(obj, Mapping) or "kind" not in obj:
                raise Failed(f"{path} is no list of Kubernetes objects. `kubectl get ... -o json` prints one.")
            yield obj


def from_live(kubeconfig: str, context: str) -> Known:
    """Read the cluster once. Raises Failed."""
    import asyncio

    return asyncio.run(_live(kubeconfig, context))


async def _live(kubeconfig: str, context: str) -> Known:
    from muster.feeds import SOURCES, Door, Lists
    from muster.kube.client import Client
    from muster.kube.credentials import ConfigurationError, KubeCredentials
    from muster.kube.errors import ApiError
    from muster.kube.transport import HttpTransport

    known = Known()
    transport = HttpTransport(KubeCredentials(kubeconfig=kubeconfig or None, context=context or None))
    lists = Lists(Client(transport, attempts=2), SOURCES, Door(known.world.apply, lambda: 0))
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
    except ConfigurationError as error:
        raise Failed(str(error)) from None
    finally:
        await transport.close()
    known.warnings.append("pods are judged as written: LimitRange, RuntimeClass and volumes are not applied to them")
    return known
