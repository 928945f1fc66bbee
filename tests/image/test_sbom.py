"""The image's bill of materials."""

from __future__ import annotations

import importlib.util
import json
from importlib.metadata import PathDistribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "image" / "sbom.py"


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    """The script, which is no package."""
    spec = importlib.util.spec_from_file_location("sbom", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def install(tmp_path: Path) -> Any:
    """A factory of installed distributions: name, version, further lines of METADATA."""

    def made(name: str, version: str, *lines: str) -> PathDistribution:
        directory = tmp_path / f"{name}-{version}.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(
            "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *lines])
        )
        return PathDistribution(directory)

    return made


def test_every_distribution_is_a_component_and_needs_are_told_by_reference(sbom: ModuleType, install: Any) -> None:
    app = install(
        "app", "1.0", "License-Expression: Apache-2.0", "Requires-Dist: Some.Thing>=2", "Requires-Dist: absent"
    )
    thing = install("some_thing", "2.1", "Summary: What it does", 'Requires-Dist: other; extra == "more"')
    other = install("other", "3")
    document = sbom.bill("App", [other, thing, app])
    assert document["metadata"]["component"]["purl"] == "pkg:pypi/app@1.0"
    assert document["metadata"]["component"]["type"] == "application"
    assert [each["bom-ref"] for each in document["components"]] == ["pkg:pypi/other@3", "pkg:pypi/some-thing@2.1"]
    assert document["components"][1]["description"] == "What it does"
    assert document["dependencies"] == [
        {"ref": "pkg:pypi/app@1.0", "dependsOn": ["pkg:pypi/some-thing@2.1"]},
        {"ref": "pkg:pypi/other@3", "dependsOn": []},
        {"ref": "pkg:pypi/some-thing@2.1", "dependsOn": []},
    ]
    assert json.dumps(document) == json.dumps(sbom.bill("app", [app, other, thing])), "the order of finding is not told"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        pytest.param(["License-Expression: MIT OR BSD-3-Clause"], [{"expression": "MIT OR BSD-3-Clause"}], id="SPDX"),
        pytest.param(
            ["License: whatever", "Classifier: License :: OSI Approved :: MIT License", "Classifier: Topic :: System"],
            [{"license": {"name": "MIT License"}}], id="classifier",
        ),
        pytest.param(["License: BSD"], [{"license": {"name": "BSD"}}], id="its own word"),
        pytest.param(["Classifier: License :: OSI Approved"], [], id="a classifier that names none"),
        pytest.param([], [], id="nothing"),
    ],
)  # fmt: skip
def test_licences(sbom: ModuleType, install: Any, lines: list[str], found: list[Any]) -> None:
    assert sbom.licences(install("x", "1", *lines)) == found


def test_a_licence_text_names_nothing(sbom: ModuleType, install: Any) -> None:
    assert sbom.licences(install("x", "1", "License: The long text", "        of a licence")) == []


def test_a_subject_that_is_not_installed_is_told(sbom: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert sbom.main("no-such-distribution") == 1
    assert "no-such-distribution is not installed" in capsys.readouterr().err
