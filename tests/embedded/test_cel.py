"""CEL as Kubernetes has it: what the library does, what is added to it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from muster.embedded.schemas.cel import EvaluationError, Expression, Unsupported, Values, masked, needed


@pytest.mark.parametrize(
    ("text", "self", "wanted"),
    [
        ("!has(self.a)", {}, True),
        ("has(self.a) != has(self.b)", {"a": 1}, True),
        ("self.a.all(x, x > 0) && self.a.exists(x, x == 2) && self.a.exists_one(x, x == 3)", {"a": [1, 2, 3]}, True),
        ("self.a.map(x, x.n).sum() <= 3", {"a": [{"n": 1}, {"n": 2}]}, True),
        ("self.a.sum() == 0", {"a": []}, True),
        ("self.a in ['x', 'y']", {"a": "y"}, True),
        ("self.a.exists(k, k.startsWith('muster.dev/'))", {"a": {"muster.dev/x": "1"}}, True),
        ("self.a.matches('^[a-z]+$')", {"a": "abc\n"}, False),
        ("self.a == self.b", {"a": {"x": [1, {"y": True}]}, "b": {"x": [1, {"y": True}]}}, True),
        ("self.a == self.b", {"a": {"x": 1}, "b": {"y": 1}}, False),
        ("self.a == 1", {"a": True}, False),
        ("self.b == 1 || self.a == 'x'", {"b": 1}, True),
        ("self.a == 'x' || self.b == 1", {"b": 1}, True),
        ("size(self.a) == 2 && self.a.size() == 2", {"a": "日本"}, True),
        ("size(self.a) == 2", {"a": [1, 2]}, True),
        ("self.a + 'size(x)' == 'a size(x)'", {"a": "a "}, True),
        ("self.a.min() == 1 && self.a.max() == 3 && !self.a.isSorted()", {"a": [3, 1]}, True),
        ("self.a.indexOf(2) == 1 && self.a.lastIndexOf(2) == 2 && self.a.indexOf(5) == -1", {"a": [1, 2, 2]}, True),
        ("self.a.lowerAscii() == 'ab' && self.a.split('B')[0] == 'A'", {"a": "AB"}, True),
        ("self.a ? self.b == 1 : self.c == 1", {"a": False, "c": 1}, True),
    ],
)
def test_value(text: str, self: Any, wanted: Any) -> None:
    assert Values({"self": self}).evaluate(Expression(text)) is wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("self.a == 1", "no such key: a"),
        ("self.l[5] == 1", "5"),
        ("self.t + 1 == 2", "string"),
        ("[].max() == 1", "empty list"),
    ],
)
def test_an_expression_without_a_value_says_why(text: str, message: str) -> None:
    values = Values({"self": {"l": [1], "t": "x"}})
    with pytest.raises(EvaluationError, match=message):
        values.evaluate(Expression(text))


@pytest.mark.parametrize(
    "text", ["self.a ==", "self.?a", "url(self.a)", "self.all(k, v, true)", "duration('1s') < duration('2s')", "f(1)"]
)
def test_what_is_not_known_does_not_compile(text: str) -> None:
    with pytest.raises(Unsupported, match="compilation failed"):
        Expression(text)


def test_transition_rules_are_told() -> None:
    assert Expression("self == oldSelf").uses_old
    assert not Expression("self == 'oldSelf'").uses_old


def test_only_the_named_fields_are_handed_over() -> None:
    masks = needed(
        [
            "!has(oldSelf.status) || oldSelf.status.phase in ['self.x'] || self.spec.roles.map(r, r.n).sum() == 1",
            "size(self.metadata.name) < 3 && self.spec.roles[0].n == oldSelf.spec.roles[0].n",
        ]
    )
    assert masks == {
        "self": {"spec": {"roles": None}, "metadata": {"name": None}},
        "oldSelf": {"status": None, "spec": {"roles": None}},
    }
    value = {"spec": {"roles": [1], "other": 2}, "status": {"big": 1}}
    assert masked(value, masks["self"]) == {"spec": {"roles": [1]}}
    assert needed(["self == oldSelf.a"]) == {"self": None, "oldSelf": {"a": None}}
    assert masked(value, None) is value
