"""Label and field selectors; the words of refusals are in the conformance suite."""

from __future__ import annotations

import pytest

from muster.embedded.storage import selectors
from muster.embedded.wire import StatusError

HELD = {"app": "x", "n": "7", "example.com/zone": "z1"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ("app=x", True),
        ("app==x,n=7", True),
        ("app=y", False),
        ("app!=y", True),
        ("none!=y", True),
        ("app", True),
        ("!app", False),
        ("!none", True),
        ("app in (x, y)", True),
        ("app notin (x,y)", False),
        ("none notin (x)", True),
        ("none in (x)", False),
        ("n>6", True),
        ("n>7", False),
        ("n<10,n>0", True),
        ("app>1", False),
        ("example.com/zone in (z1),app", True),
        ("empty=", False),
    ],
)
def test_labels(text: str, holds: bool) -> None:
    assert selectors.match_labels(selectors.labels(text), HELD) is holds


@pytest.mark.parametrize(
    "text", ["a b", "a in", "a in x", "a in (x", "=x", "a=,,b", "a=b,", "-a", "a=b c", "n>x", "!", "a=(x)"]
)
def test_labels_that_do_not_parse(text: str) -> None:
    with pytest.raises(StatusError) as refusal:
        selectors.labels(text)
    assert refusal.value.code == 400


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("metadata.name=a", [("metadata.name", True, "a")]),
        ("metadata.name==a,status.phase!=b", [("metadata.name", True, "a"), ("status.phase", False, "b")]),
        ("spec.nodeName=", [("spec.nodeName", True, "")]),
        (r"metadata.name=a\,b\=c", [("metadata.name", True, "a,b=c")]),
    ],
)
def test_fields(text: str, terms: list[tuple[str, bool, str]]) -> None:
    found = selectors.fields(text, lambda _: True)
    assert [(term.path, term.equal, term.value) for term in found] == terms


def test_only_known_fields() -> None:
    with pytest.raises(StatusError, match="field label not supported"):
        selectors.fields("spec.x=1", lambda path: path == "metadata.name")
    with pytest.raises(StatusError, match="can't understand 'x'"):
        selectors.fields("x", lambda _: True)
