"""The OCI runtime that asks for no more than the kernel grants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e.kind.runc import lessen, options, rewrite


@pytest.mark.parametrize(
    ("words", "command", "files"),
    [
        pytest.param("--root /r create --bundle /b --pid-file p id", "create", {"bundle": "/b"}, id="create"),
        pytest.param("create --bundle=/b id", "create", {"bundle": "/b"}, id="with equals"),
        pytest.param("run -b /b id", "run", {"bundle": "/b"}, id="short"),
        pytest.param("create id", "create", {"bundle": "."}, id="the directory it runs in"),
        pytest.param("exec --process /p --detach id", "exec", {"bundle": ".", "process": "/p"}, id="exec"),
        pytest.param("--bundle create state id", None, {"bundle": "create"}, id="a value that looks like a command"),
        pytest.param("delete --force id", None, {"bundle": "."}, id="nothing to rewrite"),
    ],
)
def test_command_and_files(words: str, command: str | None, files: dict[str, str]) -> None:
    assert options(words.split()) == (command, files)


def test_only_what_would_be_refused_is_taken_out() -> None:
    process = {
        "args": ["sh"],
        "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "ambient": None, "effective": ["CAP_KILL"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1, "soft": 1}],
        "oomScoreAdj": -999,
    }
    lessen(process, 0)
    assert process == {
        "args": ["sh"],
        "capabilities": {"bounding": ["CAP_CHOWN"], "ambient": [], "effective": ["CAP_KILL"]},
        "oomScoreAdj": 0,
    }


def test_a_score_above_ones_own_stays() -> None:
    process = {"oomScoreAdj": 500}
    lessen(process, -10)
    assert process == {"oomScoreAdj": 500}


@pytest.mark.parametrize("inside", ["process", None])
def test_a_file_is_rewritten_in_place(tmp_path: Path, inside: str | None) -> None:
    process = {"rlimits": [], "oomScoreAdj": 3}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({inside: process, "root": {}} if inside else process))
    rewrite(path, inside, 0)
    assert json.loads(path.read_text()) == ({inside: {"oomScoreAdj": 3}, "root": {}} if inside else {"oomScoreAdj": 3})
