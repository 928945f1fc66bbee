"""Which way a run takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.kind import docker, needs, way
from e2e.kind.node import parts
from e2e.kind.stages import KindError

IMAGE = "kindest/node:v1.2.3@sha256:abc"


@pytest.fixture(autouse=True)
def kind_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for kind's source, and no way to make anything."""
    source = tmp_path / "pkg/apis/config/defaults/image.go"
    source.parent.mkdir(parents=True)
    source.write_text(f'package defaults\n\n// Image is the default\nconst Image = "{IMAGE}"\n')
    monkeypatch.setattr(parts, "kind_module", lambda: tmp_path)
    monkeypatch.setattr(way, "materials", lambda: pytest.fail("nothing is to be made"))


def test_a_daemon_that_can_pull_is_all_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(docker, "answers", lambda: True)
    monkeypatch.setattr(docker, "can_pull", lambda image: asked.append(image) or True)
    assert way.choose() is None
    assert asked == [IMAGE], "the image of this version of kind"


@pytest.mark.parametrize("answers", [pytest.param(True, id="cannot pull"), pytest.param(False, id="no daemon")])
def test_without_one_it_takes_root(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    monkeypatch.setattr(docker, "answers", lambda: answers)
    monkeypatch.setattr(docker, "can_pull", lambda image: False)
    monkeypatch.setattr(needs.os, "geteuid", lambda: 1000)
    with pytest.raises(KindError, match="Start Docker with access to an image registry, or run this as root"):
        way.choose()


def test_what_is_missing_is_told_where_there_is_no_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs.os, "geteuid", lambda: 0)
    monkeypatch.setattr(needs.shutil, "which", lambda name: None if name in ("dockerd", "apt-get") else name)
    with pytest.raises(KindError, match=r"dockerd is missing, and there is no apt-get: install docker\.io"):
        needs.ensure()
