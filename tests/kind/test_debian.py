"""The mirror that this machine's apt uses, from what is written in /etc/apt."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.kind.debian import mirror

DEB822 = "Types: deb\nURIs: http://c.example/debian\nSuites: trixie\n"
OPTIONS = "# deb http://no.example/debian x\ndeb [signed-by=/k] https://b.example/x/debian/ trixie main\n"


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        pytest.param("sources.list", "deb http://a.example/debian x main\n", "http://a.example/debian", id="one line"),
        pytest.param("sources.list", OPTIONS, "https://b.example/x/debian", id="with options and a slash"),
        pytest.param("sources.list.d/debian.sources", DEB822, "http://c.example/debian", id="deb822"),
        pytest.param("sources.list", "deb http://d.example/debian-security x main\n", None, id="not the security one"),
        pytest.param("sources.list", "deb http://e.example/ubuntu noble main\n", None, id="not Debian"),
        pytest.param("sources.list", "", None, id="nothing"),
    ],
)
def test_mirror(tmp_path: Path, name: str, text: str, found: str | None) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    assert mirror(tmp_path) == found
