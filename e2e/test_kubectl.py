"""The real kubectl puts the same questions to the embedded server and to the real one, and prints the same.

A story in order: each step is run against both. What differs from run to run (uids, versions, times) is made equal.
"""

from __future__ import annotations

import difflib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e.controlplane.cluster import ADMIN, ControlPlane
from e2e.embedded import EmbeddedPlane
from e2e.manifests import apply, documents

ROOT = Path(__file__).resolve().parent.parent
JOB = """
apiVersion: muster.dev/v1alpha1
kind: TrainingJob
metadata: {name: llm, namespace: default}
spec:
  roles:
  - name: worker
    replicas: 2
    template: {spec: {containers: [{name: trainer, image: example/trainer:1}]}}
"""
EVENT = """
apiVersion: v1
kind: Event
metadata: {name: placed, namespace: default}
involvedObject: {apiVersion: muster.dev/v1alpha1, kind: TrainingJob, name: llm, namespace: default}
reason: Placed
message: on two nodes
type: Normal
count: 3
firstTimestamp: "2026-01-01T00:00:00Z"
lastTimestamp: "2026-01-01T00:00:00Z"
source: {component: muster}
"""
MANAGED = ("get", "tj", "llm", "-o", "yaml", "--show-managed-fields")
OTHER = ("apply", "--server-side", "--field-manager=other", "-f", "-")
STATUS = ("patch", "tj", "llm", "--subresource=status", "--type=merge", "-p")
DONE = """{"status": {"phase": "Succeeded", "observedGeneration": 9, "conditions": [
  {"type": "Complete", "status": "True", "reason": "Done", "message": "all",
   "lastTransitionTime": "2026-01-01T00:00:00Z"}
]}}"""

Step = tuple[tuple[str, ...], str | None]
APPLY, SERVER = ("apply", "-f", "-"), ("apply", "--server-side", "-f", "-")
STORY: list[Step] = [
    (("get", "tj"), None),
    (("api-resources", "--api-group=muster.dev"), None),
    (("explain", "tj.spec.roles"), None),
    (("explain", "ctopo.spec", "--recursive"), None),
    ((*APPLY, "--dry-run=server"), JOB),
    (APPLY, JOB),
    (APPLY, JOB),
    (("diff", "-f", "-"), JOB),
    (APPLY, JOB.replace("replicas: 2", "replicas: 3")),
    (("get", "tj"), None),
    (("get", "tj", "-o", "wide"), None),
    (("get", "tj", "llm", "-o", "yaml"), None),
    (MANAGED, None),
    (APPLY, EVENT),
    (("get", "events", "-o", "wide"), None),
    (("describe", "tj", "llm"), None),
    # Refused, with the real server's sentences.
    (APPLY, JOB.replace("replicas: 2", "replicas: 0")),
    (APPLY, JOB.replace("replicas: 2", "replicas: many")),
    (APPLY, JOB.replace("name: llm", "name: l.m")),
    (APPLY, JOB.replace("name: llm", "name: new").replace("replicas: 2", "replicas: 2\n    replcas: 2")),
    ((*APPLY, "--validate=warn"), JOB.replace("  roles", "  lancher: x\n  roles")),
    (("create", "-f", "-"), JOB.replace("  roles", "  queue: research\n  roles").replace("name: llm", "name: new")),
    # From client-side to server-side apply, and two managers.
    (SERVER, JOB),
    (SERVER, JOB.replace("replicas: 2", "replicas: 4")),
    (MANAGED, None),
    (OTHER, JOB),
    ((*OTHER, "--force-conflicts"), JOB),
    (SERVER, JOB.replace("  roles", "  lancher: x\n  roles")),
    (MANAGED, None),
    # Patches, labels, selectors.
    (("patch", "tj", "llm", "--type=merge", "-p", '{"spec":{"suspend":true}}'), None),
    (("patch", "tj", "llm", "--type=json", "-p", '[{"op":"replace","path":"/spec/suspend","value":false}]'), None),
    (("patch", "tj", "llm", "-p", '{"spec":{"suspend":true}}'), None),
    (("label", "tj", "llm", "a=b"), None),
    (("annotate", "tj", "llm", "a=b"), None),
    (("get", "tj", "-l", "a=b", "--show-labels"), None),
    (("get", "tj", "--field-selector=status.phase=Pending"), None),
    (("get", "tj", "--field-selector=spec.suspend=true"), None),
    # Waiting.
    (("wait", "tj/llm", "--for=condition=Complete", "--timeout=1s"), None),
    ((*STATUS, DONE), None),
    (("wait", "tj/llm", "--for=condition=Complete", "--timeout=10s"), None),
    (("wait", "tj/llm", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=10s"), None),
    (("describe", "tj", "llm"), None),
    (APPLY, JOB.replace("replicas: 2", "replicas: 5")),
    ((*STATUS, '{"status":{"phase":"Lost"}}'), None),
    # Others.
    (APPLY, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: x}}"),
    (("get", "cm", "c", "-o", "yaml"), None),
    (("describe", "cm", "c"), None),
    (("get", "pc"), None),
    (("get", "crd"), None),
    (("describe", "pc", "muster-high"), None),
    (("get", "ns"), None),
    (("get", "nodes"), None),
    (("logs", "nopod"), None),
    (("get", "nosuch"), None),
    (("version",), None),
    # The end.
    (("delete", "cm", "c"), None),
    (("delete", "event", "placed"), None),
    (("delete", "tj", "llm"), None),
    (("delete", "tj", "llm"), None),
    (("get", "tj", "llm"), None),
]


class Side:
    """One of the two servers, and where kubectl keeps what it learns of it."""

    def __init__(self, kubectl: Path, kubeconfig: Path, cache: Path) -> None:
        self._command = [str(kubectl), f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}"]

    def run(self, arguments: tuple[str, ...], stdin: str | None) -> str:
        done = subprocess.run(
            [*self._command, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=60
        )
        return equal(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")


def equal(text: str) -> str:
    """Without what differs from run to run."""
    for pattern, word in (
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
        (r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME"),
        (r'(resourceVersion: |Resource Version:\s+|\\"resourceVersion\\":\\)"?\d+', "VERSION"),
        (r"\b\d+[smh](\d+[sm])?\b", "AGE"),
        (r"/tmp/\S+", "FILE"),
        (r" +", " "),
    ):
        text = re.sub(pattern, word, text)
    return text


@pytest.fixture(scope="module")
def sides(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    if request.config.getoption("--server") == "embedded":
        pytest.skip("compares with the real server")
    home = tmp_path_factory.mktemp("kubectl")
    # A server of its own: the story counts objects and generations from nothing.
    with ControlPlane.start() as real, EmbeddedPlane.start() as embedded:
        for plane in (real, embedded):
            apply(plane.client, documents(ROOT / "crds"))
        address = embedded.kubeconfig_for(ADMIN, server=f"{embedded.server}/{ADMIN}")
        kubectl = real.binaries / "kubectl"
        yield Side(kubectl, real.kubeconfig, home / "real"), Side(kubectl, address, home / "embedded")


def test_kubectl_prints_the_same(sides: tuple[Side, Side]) -> None:
    real, embedded = sides
    different = []
    for arguments, stdin in STORY:
        wanted, found = real.run(arguments, stdin), embedded.run(arguments, stdin)
        if found != wanted:
            lines = difflib.unified_diff(wanted.splitlines(), found.splitlines(), "real", "embedded", lineterm="", n=1)
            different.append(f"kubectl {' '.join(arguments)}\n" + "\n".join(lines))
    assert not different, "\n\n".join(different)


def test_the_story_is_of_valid_yaml() -> None:
    for _, stdin in STORY:
        assert stdin is None or yaml.safe_load(stdin)
