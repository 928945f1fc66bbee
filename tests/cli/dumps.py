"""Small dumps for the tests of `what-if`, and a way to ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from muster.cli.main import main

Object = dict[str, Any]
CLIQUE = "nvidia.com/gpu.clique"
LEAF = "fabric.topograph.run/tier-0"


def named(kind: str, name: str, namespace: str = "", version: str = "v1", **rest: Any) -> Object:
    """An object with the metadata that a server gives it."""
    where = {"namespace": namespace} if namespace else {}
    meta = {"name": name, "uid": f"{kind}-{namespace}-{name}", "resourceVersion": "5", **where}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **rest}


def node(name: str, rack: str, *, leaf: str = "l0", gpus: int = 4, **spec: Any) -> Object:
    """A GPU node of a rack."""
    made = named("Node", name, spec=spec)
    made["metadata"]["labels"] = {CLIQUE: rack, LEAF: leaf, "kubernetes.io/hostname": name}
    made["status"] = {
        "allocatable": {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": str(gpus)},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return made


def pod(name: str, where: str | None, namespace: str = "x", owner: Object | None = None, **asks: str) -> Object:
    """A running pod that asks for so many `gpu` or `cpu`."""
    amounts = {{"gpu": "nvidia.com/gpu"}.get(key, key): value for key, value in asks.items()}
    container = {"name": "c", "resources": {"requests": amounts}}
    made = named("Pod", name, namespace, spec={"containers": [container], "nodeName": where})
    made["status"] = {"phase": "Running"}
    if owner is not None:
        made["metadata"]["ownerReferences"] = [{"controller": True, **owner}]
    return made


def job(name: str = "train", replicas: int = 2, namespace: str = "research", **spec: Any) -> Object:
    """A manifest: pods of 4 GPUs. `topology` is the role's, `pod` goes into the template's spec."""
    container = {"name": "main", "image": "i", "resources": {"limits": spec.pop("limits", {"nvidia.com/gpu": 4})}}
    template = {"containers": [container], **spec.pop("pod", {})}
    role: Object = {"name": "worker", "replicas": replicas, "template": {"spec": template}}
    if "topology" in spec:
        role["topology"] = spec.pop("topology")
    meta = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": meta,
        "spec": {"roles": [role], **spec},
    }


def running(name: str, *nodes: str, namespace: str = "research") -> Object:
    """A TrainingJob that holds these nodes."""
    made = job(name, len(nodes), namespace)
    made["metadata"] |= {"uid": f"job-{name}", "resourceVersion": "7", "generation": 1}
    placement = {
        "attempt": 1,
        "gangAttempt": 1,
        "term": "1",
        "generation": 1,
        "rolesHash": "x+y",
        "objective": {"preferred": 0, "cost": 0, "nodes": len(nodes), "intactOpened": {}, "leftover": 0},
        "provenOptimal": True,
        "domains": {},
        "least": {},
        "roles": [{"name": "worker", "nodes": ",".join(nodes), "born": f"1x{len(nodes)}"}],
    }
    made["status"] = {"phase": "Running", "live": True, "attempt": 1, "observedGeneration": 1, "placement": placement}
    return made


def racks(count: int = 2, size: int = 2, per_leaf: int = 2) -> list[Object]:
    """r0-n0, r0-n1, r1-n0, ..."""
    return [node(f"r{r}-n{n}", f"c.{r}", leaf=f"l{r // per_leaf}") for r in range(count) for n in range(size)]


class Bench:
    """A dump in the making and the command on it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.objects = racks()
        self._capsys = capsys

    def dump(self) -> str:
        """The path of the dump as it is now."""
        return self.file("dump.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": self.objects}))

    def file(self, name: str, content: str | bytes) -> str:
        """A file of this content."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def ask(self, *manifests: Any, more: tuple[str, ...] = (), cluster: str = "") -> tuple[int, Any]:
        """Exit code and JSON of what-if."""
        jobs = self.file("jobs.json", json.dumps({"kind": "List", "items": list(manifests)}))
        code = main(["what-if", "-f", jobs, "--cluster", cluster or self.dump(), "-o", "json", *more])
        out, err = self._capsys.readouterr()
        return code, json.loads(out) if out else err

    def fails(self, cluster: str) -> str:
        """What is said of a dump that cannot be used."""
        code, said = self.ask(job(), cluster=cluster)
        assert code == 1
        assert isinstance(said, str)
        assert len(said.strip().splitlines()) == 1, said
        assert "internal error" not in said
        return said
