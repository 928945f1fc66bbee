from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from muster import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(form: str, level: str = "info") -> io.StringIO:
    out = io.StringIO()
    logs.configure(level, form, out)  # type: ignore[arg-type]
    return out


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("text", ["a\nERROR forged", "a\r\x1b[2Jb", "a\u2028b", "a\x85b"])
def test_nobodys_text_begins_a_line_or_moves_the_cursor(form: str, text: str) -> None:
    out = written(form)
    logs.get("x").warning(text, job=text, other=text)
    logging.getLogger("kopf.objects").warning("said %s", text, extra={"job": text})
    said = out.getvalue()
    assert len(said.splitlines()) == 2
    assert not set(said) & {"\x1b", "\r", "\u2028", "\x85"}


def test_every_library_comes_through_the_same_door() -> None:
    out = written("json")
    logs.get("x", job="a/b", attempt=2).info("placed", node="n1")
    logging.getLogger("kopf.x").warning("hm", extra={"job": "a/b"})
    logging.getLogger("kopf.x").info("chatter")
    logging.getLogger("muster.kube.lease").info("leading as %s", "me")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["placed", "hm", "leading as me"]
    assert (lines[0]["job"], lines[0]["attempt"], lines[0]["node"], lines[1]["job"]) == ("a/b", 2, "n1", "a/b")


def test_a_traceback_is_set_off_on_the_console_and_one_field_in_json() -> None:
    for form, lines in (("console", 4), ("json", 1)):
        out = written(form)
        try:
            raise ValueError("user\ntext")
        except ValueError:
            logs.get("x").exception("defect")
        said = out.getvalue().splitlines()
        assert len(said) >= lines
        assert form == "json" or all(line.startswith("      | ") for line in said[1:])


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in logs.Console(colours=False)(None, "", {"level": "error", "event": "x"})
    assert "\x1b" in logs.Console(colours=True)(None, "", {"level": "error", "event": "x"})
