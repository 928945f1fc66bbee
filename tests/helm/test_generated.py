"""What the chart has from elsewhere is as its source says: `make crds settings` writes it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from muster.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATE = runpy.run_path(str(ROOT / "helm" / "generate.py"))


@pytest.mark.parametrize("path", GENERATE["files"](), ids=lambda path: path.name)
def test_files_are_as_their_source(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == GENERATE["files"]()[path], "run `make crds settings`"


def test_every_setting_is_offered_or_has_its_reason() -> None:
    offered = set(GENERATE["offered"]())
    assert offered.isdisjoint(GENERATE["NOT_HERE"])
    assert offered | set(GENERATE["NOT_HERE"]) == set(Settings.model_fields)


def test_no_copy_is_left_over() -> None:
    copies = {path.name for path in (ROOT / "helm" / "muster" / "files" / "crds").iterdir()}
    assert copies == set(GENERATE["COPIED"])
