"""The image by itself: who it runs as, what it needs, what is in it."""

from __future__ import annotations

import json

import pytest

from e2e.harness import ROOT
from e2e.kind import docker
from e2e.kind.commands import output, run
from e2e.kind.operator_image import version
from e2e.kind.stages import say

LOCKED = ("--rm", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")
SBOM = "/opt/muster/share/sbom/muster.cdx.json"


@pytest.fixture(scope="session")
def bill(image: str) -> dict[str, str]:
    """Name and version of each component of the image's bill of materials."""
    listing = ["-c", f"print(open({SBOM!r}).read())"]
    document = json.loads(output(["docker", "run", *LOCKED, "--entrypoint", "/opt/muster/bin/python", image, *listing]))
    assert document["metadata"]["component"]["name"] == "muster"
    return {each["name"]: each["version"] for each in document["components"]}


def test_it_runs_as_nobody_on_a_file_system_it_cannot_write(image: str) -> None:
    found = docker.inspect(image)
    size = found["Size"]
    say(f"image size: {size / 1e6:.0f} MB")
    assert found["Config"]["User"] == "65532:65532"
    assert output(["docker", "run", *LOCKED, image, "version"]) == f"muster {version()}"
    assert "kind: CustomResourceDefinition" in output(["docker", "run", *LOCKED, image, "crds"])


def test_it_starts_without_a_shell(image: str) -> None:
    assert docker.inspect(image)["Config"]["Entrypoint"] == ["muster"]
    hidden = [f"--tmpfs={place}" for place in ("/usr/local/sbin",)]
    shells = [word for shell in ("sh", "dash", "bash") for word in ("--volume", f"/dev/null:/usr/bin/{shell}:ro")]
    assert "muster" in output(["docker", "run", *LOCKED, *hidden, *shells, image, "version"])


def test_its_labels_name_version_and_revision(image: str) -> None:
    labels = docker.inspect(image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == version()
    assert len(labels["org.opencontainers.image.revision"].partition("-")[0]) == 40
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_its_bill_of_materials_lists_what_is_installed_at_the_pinned_versions(image: str, bill: dict[str, str]) -> None:
    listing = "import json; from importlib.metadata import distributions as all"
    listing += "; print(json.dumps({each.name: each.version for each in all()}))"
    told = output(["docker", "run", *LOCKED, "--entrypoint", "/opt/muster/bin/python", image, "-c", listing])
    installed = json.loads(told)
    assert installed.pop("muster") == version()
    assert bill == installed
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    pinned = {_plain(name): pin for name, pin in pins.items()}
    assert {_plain(name): found for name, found in bill.items()}.items() <= pinned.items()


def test_it_has_nothing_that_only_developers_need(image: str, bill: dict[str, str]) -> None:
    assert not {"pip", "setuptools", "pytest", "mypy", "ruff", "hypothesis", "ortools"} & set(bill)
    asked = run(["docker", "run", *LOCKED, "--entrypoint", "python3", image, "-m", "pip", "--version"], check=False)
    assert "No module named pip" in asked.stderr


def test_a_wrong_setting_is_told_in_one_line(image: str) -> None:
    done = run(["docker", "run", *LOCKED, "--env", "MUSTER_PODS_QPS=-1", image], check=False)
    assert done.returncode != 0
    assert "MUSTER_PODS_QPS='-1'" in done.stderr
    assert "Traceback" not in done.stderr


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
