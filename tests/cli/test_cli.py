from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from muster.cli.main import COMMANDS, main

Object = dict[str, Any]


def node(name: str, rack: str, gpus: int = 4, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"u-{name}",
            "resourceVersion": "5",
            "labels": {"nvidia.com/gpu.clique": rack},
        },
        "spec": spec,
        "status": {
            "allocatable": {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": str(gpus)},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def job(name: str = "train", replicas: int = 2, gpus: int = 4, **spec: Any) -> Object:
    container = {"name": "main", "image": "i", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    role: Object = {"name": "worker", "replicas": replicas, "template": {"spec": {"containers": [container]}}}
    topology = spec.pop("topology", None)
    if topology is not None:
        role["topology"] = topology
    return {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": "research"},
        "spec": {"roles": [role], **spec},
    }


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = [node(f"r{r}-n{n}", f"c.{r}") for r in range(2) for n in range(2)]

    def dump(self) -> str:
        path = self.folder / "dump.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": self.objects}))
        return str(path)

    def jobs(self, *manifests: Any) -> str:
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump_all(manifests))
        return str(path)


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def what_if(bench: Bench, capsys: pytest.CaptureFixture[str], *manifests: Any) -> tuple[int, Object]:
    code = main(["what-if", "-f", bench.jobs(*manifests), "--cluster", bench.dump(), "-o", "json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_job_that_fits(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = what_if(bench, capsys, job(topology={"segments": [{"level": "nvlink", "size": 2}]}))
    (answer,) = said["jobs"]
    assert code == 0
    assert list(answer) == [
        "job", "placed", "provenOptimal", "objective", "domains", "ranks", "reason", "message", "details", "change",
        "bound"
    ]  # fmt: skip
    assert (answer["job"], answer["placed"], answer["provenOptimal"]) == ("research/train", True, True)
    assert answer["domains"] == {"nvlink": 1}
    assert list(answer["objective"]) == ["preferred", "cost", "nodes", "intactOpened", "leftover"]
    assert answer["ranks"][0] == {"role": "worker", "rank": 0, "node": "r0-n0", "domains": {"nvlink": "c.0"}}
    assert answer["change"] is None
    assert "pods, clustertopologies" in said["warnings"][0]


@pytest.mark.parametrize(
    ("manifest", "code", "reason"),
    [
        pytest.param(job(replicas=5), 3, "Unsatisfiable", id="never"),
        pytest.param(job(replicas=4), 2, "InsufficientCapacity", id="not now"),
        pytest.param(job(topology={"required": {"level": "nowhere"}}), 3, "Invalid", id="a level that is not there"),
        pytest.param(job(replicas=0), 3, "Invalid", id="out of bounds"),
        pytest.param({"kind": "Deployment"}, 3, "Invalid", id="another kind"),
        pytest.param("text", 3, "Invalid", id="no object"),
    ],
)
def test_a_job_that_does_not(
    bench: Bench, capsys: pytest.CaptureFixture[str], manifest: Any, code: int, reason: str
) -> None:
    bench.objects[0]["spec"]["unschedulable"] = True
    got, said = what_if(bench, capsys, manifest)
    assert (got, said["jobs"][0]["reason"]) == (code, reason)
    assert said["jobs"][0]["message"]


def test_several_jobs_are_each_judged_alone_and_the_worst_counts(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = what_if(bench, capsys, job("a", 4), job("b", 4), job("c", 9))
    assert [answer["placed"] for answer in said["jobs"]] == [True, True, False]
    assert code == 3


def test_a_live_claim_and_a_strangers_pod_take_their_room(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    running = {"metadata": {"name": "p", "namespace": "x", "uid": "p", "resourceVersion": "6"}, "kind": "Pod"}
    running["spec"] = {  # type: ignore[assignment]
        "nodeName": "r0-n0",
        "containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": "1"}}}],
    }
    bench.objects.append({"apiVersion": "v1", "status": {"phase": "Running"}, **running})
    code, said = what_if(bench, capsys, job(replicas=4))
    assert (code, said["jobs"][0]["details"]["missing"]) == (2, 1)


def test_the_table_for_people(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["what-if", "-f", bench.jobs(job()), "--cluster", bench.dump()]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["JOB", "FITS", "REASON", "MESSAGE"]
    assert "2 pods on 2 nodes" in out
    assert err.startswith("warning: ")


def test_explain_says_why_a_job_of_the_cluster_waits(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = {"reason": "Fragmented", "message": "not in that shape", "since": "2026-01-01T00:00:00Z"}
    told = job("told") | {"status": {"phase": "Pending", "waiting": waiting}}
    untold = job("untold", 9)
    for i, manifest in enumerate((told, untold)):
        manifest["metadata"] |= {"uid": f"j{i}", "resourceVersion": "7"}
        bench.objects.append(manifest)
    assert main(["explain", "told", "--cluster", bench.dump(), "-o", "json"]) == 2
    assert json.loads(capsys.readouterr().out)["message"] == "not in that shape"
    assert main(["explain", "untold", "-n", "research", "--cluster", bench.dump()]) == 3
    assert "research/untold" in capsys.readouterr().out
    assert main(["explain", "other", "--cluster", bench.dump()]) == 1
    assert "there is no TrainingJob other" in capsys.readouterr().err


def test_explain_tells_the_smallest_change_that_would_start_a_job(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, name in enumerate(("r0-n1", "r1-n1", "r1-n0")):
        spec = {"nodeName": name, "containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]}
        meta = {"name": f"p{i}", "namespace": "x", "uid": f"p{i}", "resourceVersion": "6"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": {"phase": "Running"}}
        bench.objects.append(pod)
    manifest = job("llm", 2)
    manifest["metadata"] |= {"uid": "j", "resourceVersion": "7"}
    bench.objects.append(manifest)
    assert main(["explain", "llm", "--cluster", bench.dump(), "-o", "json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["details"]["largestByLevel"] == {"nvlink": 1}
    action = {"kind": "free", "target": "r0-n1", "level": "nvlink", "domain": "c.0", "nodes": ["r0-n1"], "pods": 1}
    assert said["change"] == {
        "nodes": 1,
        "names": ["r0-n1"],
        "level": "nvlink",
        "domain": "c.0",
        "proven": True,
        "actions": [action],
        "largest": 1,
        "addNodes": 0,
        "relaxations": [],
    }
    assert said["message"].endswith(
        "it would start if 1 node of nvlink c.0 were free: end or move 1 other pod on r0-n1; "
        "it would fit now with 1 pod"
    )
    assert main(["explain", "llm", "--cluster", bench.dump()]) == 2
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["free", "-", "r0-n1", "nvlink", "c.0"] in lines
    assert ["nvidia.com/gpu", "3"] in lines


@pytest.mark.parametrize(
    ("args", "says"),
    [
        pytest.param(["bogus"], "No such command", id="no such command"),
        pytest.param(["crds", "--nope"], "--nope", id="no such option"),
        pytest.param(["what-if"], "--file", id="what is missing"),
        pytest.param(["what-if", "-f", "/nowhere.yaml"], "/nowhere.yaml cannot be read", id="no such file"),
        pytest.param(["crds", "-o", "xml"], "xml", id="no such form"),
        pytest.param(["run", "--pods-qps", "many"], "--pods-qps='many'", id="a bad setting"),
        pytest.param(["run", "--kubeconfig", "/nowhere"], "/nowhere", id="no kubeconfig"),
        pytest.param(["explain", "a", "--kubeconfig", "/nowhere"], "/nowhere", id="no kubeconfig to read by"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(args: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 1
    out, err = capsys.readouterr()
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


@pytest.mark.parametrize("text", ["{", "a: [", "kind: List\nitems: [1]\n", "\t"])
def test_a_dump_that_is_none(bench: Bench, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (bench.folder / "bad").write_text(text)
    assert main(["what-if", "-f", bench.jobs(job()), "--cluster", str(bench.folder / "bad")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert "Example: " in said
    assert command == "run" or "-o " in said


def test_crds_are_the_files_and_the_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crds"]) == 0
    kinds = [document["kind"] for document in yaml.safe_load_all(capsys.readouterr().out)]
    assert kinds.count("CustomResourceDefinition") == 2
    assert main(["crds", "--output", str(tmp_path)]) == 0
    assert "trainingjobs.yaml" in {path.name for path in tmp_path.iterdir()}
    assert main(["crds", "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == len(kinds)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from muster.cli.main import main; main(['--help']);"
        "bad = {'kopf', 'kubernetes', 'numpy', 'aiohttp', 'pydantic'} & set(sys.modules); assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_settings_as_text_and_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PODS_QPS", "12")
    assert main(["settings", "-o", "json"]) == 0
    values = {row["variable"]: row["value"] for row in json.loads(capsys.readouterr().out)["settings"]}
    assert values["MUSTER_PODS_QPS"] == "12.0"
    assert main(["version"]) == 0
