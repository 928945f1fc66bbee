"""Every file under examples/: what muster, Argo CD and Flux make of it; e2e/test_gitops.py asks the real API server."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.dumps import node
from tests.gitops.flux import CHECKS

from muster.api import parse_job, parse_topology
from muster.api.structural import check
from muster.cli.main import main
from muster.embedded.nodes.racks import REGION, ZONE, Racks

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SCHEMAS: dict[str, Any] = json.loads((Path(__file__).parent / "schemas.json").read_text())
"""Names and types below `spec`, of the custom resources of Argo CD and Flux as released (versions under `_from`)."""
DOCUMENTS = [
    pytest.param(document, id=f"{path.relative_to(EXAMPLES)} {document.get('kind', '')}")
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
JOBS = [param for param in DOCUMENTS if param.values[0].get("kind") == "TrainingJob"]  # type: ignore[union-attr]
Manifest = dict[str, Any]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_is_what_its_kind_takes(document: Manifest) -> None:
    kind = f"{document.get('apiVersion')} {document.get('kind')}"
    if kind == "muster.dev/v1alpha1 TrainingJob":
        assert not isinstance(parse_job(document), list)
    elif kind == "muster.dev/v1alpha1 ClusterTopology":
        assert not isinstance(parse_topology(document), list)
    elif kind in SCHEMAS:
        assert [str(error) for error in check(SCHEMAS[kind], document["spec"], "spec")] == []
    else:  # Kustomize's own files are put to Kustomize
        assert document.get("kind", "Kustomization") == "Kustomization"


def test_the_list_of_examples_names_each() -> None:
    listed = re.findall(r"^\| \[[^]]+\]\(([^)]+)\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in EXAMPLES.iterdir() if path.name != "README.md")


@pytest.mark.parametrize("kind", [kind for kind in SCHEMAS if kind != "_from"])
def test_a_misspelt_field_would_be_found(kind: str) -> None:
    assert list(check(SCHEMAS[kind], {"intervall": "1m"}))


def fitting() -> list[Manifest]:
    """Four GB300 racks, four AMD nodes and one without GPUs."""
    racks = list(Racks(4).objects())
    amd = [node(f"amd-{i}", f"a{i}", gpus=0) for i in range(4)]
    for each in amd:
        each["metadata"]["labels"] |= {"kubernetes.io/arch": "amd64", ZONE: "z1", REGION: "g1"}
        each["status"]["allocatable"]["amd.com/gpu"] = "8"
    return [*racks, *amd, node("cpu", "none", gpus=0)]


@pytest.mark.parametrize("document", JOBS)
def test_fits_where_it_should(document: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = [{"metadata": {"name": "muster-default"}, "value": 0, "preemptionPolicy": "Never"}]
    listed = [{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", **each} for each in classes]
    dump, asked = tmp_path / "dump.json", tmp_path / "job.json"
    dump.write_text(json.dumps({"kind": "List", "items": [*fitting(), *listed]}))
    asked.write_text(json.dumps(document))
    assert main(["what-if", "-f", str(asked), "--cluster", str(dump), "-o", "json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["jobs"]
    assert answer["placed"]


def test_the_cpu_only_program_adds_up_the_ranks() -> None:
    document = yaml.safe_load((EXAMPLES / "cpu-only.yaml").read_text())
    (role,) = document["spec"]["roles"]
    program = role["template"]["spec"]["containers"][0]["args"][0]
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    ranks = []
    for rank in reversed(range(role["replicas"])):  # those that come before rank 0 wait for it
        given = {"RANK": str(rank), "WORLD_SIZE": str(role["replicas"])}
        given |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-c", program]
        ranks.append(subprocess.Popen(command, env=os.environ | given, stdout=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=60)[0].strip() for process in ranks]
    assert said == [f"rank {rank} of 4: the ranks add up to 6" for rank in (3, 2, 1, 0)]
    assert [process.returncode for process in ranks] == [0] * 4


@pytest.mark.parametrize(
    ("name", "kind", "of"), [("jobs", "Kustomization", "TrainingJob"), ("operator", "HelmRelease", "ClusterTopology")]
)
def test_the_expressions_in_the_examples_for_flux_are_the_tested_ones(name: str, kind: str, of: str) -> None:
    documents = yaml.safe_load_all((EXAMPLES / f"flux/{name}.yaml").read_text())
    (found,) = (each for each in documents if each["kind"] == kind)
    assert found["spec"]["healthCheckExprs"] == [CHECKS[of]]
