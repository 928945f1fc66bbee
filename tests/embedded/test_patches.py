"""The three kinds of patch, by their documents."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.embedded.kinds import BUILT_IN
from muster.embedded.patching import patches
from muster.embedded.wire import StatusError

POD = next(kind for kind in BUILT_IN if kind.plural == "pods").merge_keys

# RFC 7386, appendix A.
MERGES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), MERGES)
def test_merge(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert patches.merge(target, patch) == result
    assert target == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, JSON)
def test_a_merge_again_changes_nothing(target: Any, patch: Any) -> None:
    once = patches.merge(target, patch)
    assert patches.merge(once, patch) == once


# RFC 6902, appendix A, and what Kubernetes makes of it.
JSON_PATCHES: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    (
        {"foo": ["bar", "baz"]},
        [{"op": "add", "path": "/foo/1", "value": "qux"}],
        {"foo": ["bar", "qux", "baz"]},
    ),
    ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
    (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    ({"foo": [1, 2, 3]}, [{"op": "move", "from": "/foo/0", "path": "/foo/2"}], {"foo": [2, 3, 1]}),
    ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
    ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ({"a/b": 1}, [{"op": "replace", "path": "/a~1b", "value": 2}], {"a/b": 2}),
]


@pytest.mark.parametrize(("target", "patch", "result"), JSON_PATCHES)
def test_json_patch(target: Any, patch: list[dict[str, Any]], result: Any) -> None:
    before = copy.deepcopy(target)
    assert patches.json_patch(target, patch) == result
    assert target == before


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "test", "path": "/a", "value": 2}],
        [{"op": "remove", "path": "/none"}],
        [{"op": "replace", "path": "/none", "value": 1}],
        [{"op": "add", "path": "/none/below", "value": 1}],
        [{"op": "add", "path": "/list/7", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/a"}],
        [{"op": "frob", "path": "/a"}],
        [{"op": "add", "path": "/b", "value": 1}, {"op": "test", "path": "/a", "value": 2}],
    ],
)
def test_json_patch_that_does_not_apply(patch: list[dict[str, Any]]) -> None:
    with pytest.raises(StatusError) as refusal:
        patches.json_patch({"a": 1, "list": [1]}, patch)
    assert refusal.value.code == 422


def gates(*names: str) -> dict[str, Any]:
    return {"spec": {"schedulingGates": [{"name": name} for name in names]}}


STRATEGIC: list[tuple[str, Any, Any, Any]] = [
    (
        "our gate goes, another's stays",
        gates("a", "b"),
        {"spec": {"schedulingGates": [{"$patch": "delete", "name": "a"}]}},
        gates("b"),
    ),
    (
        "what is gone may go again",
        gates("b"),
        {"spec": {"schedulingGates": [{"$patch": "delete", "name": "a"}]}},
        gates("b"),
    ),
    (
        "a container is found by its name",
        {"spec": {"containers": [{"name": "x", "image": "1"}, {"name": "y", "image": "1"}]}},
        {"spec": {"containers": [{"name": "y", "image": "2"}]}},
        {"spec": {"containers": [{"name": "x", "image": "1"}, {"name": "y", "image": "2"}]}},
    ),
    (
        "lists below containers, too",
        {"spec": {"containers": [{"name": "x", "env": [{"name": "A", "value": "1"}]}]}},
        {"spec": {"containers": [{"name": "x", "env": [{"name": "B", "value": "2"}]}]}},
        {"spec": {"containers": [{"name": "x", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]}]}},
    ),
    (
        "an order",
        gates("a", "b"),
        {
            "spec": {
                "$setElementOrder/schedulingGates": [{"name": "b"}, {"name": "a"}],
                "schedulingGates": [{"name": "a"}],
            }
        },
        gates("b", "a"),
    ),
    (
        "a list as a whole",
        gates("a", "b"),
        {"spec": {"schedulingGates": [{"$patch": "replace"}, {"name": "c"}]}},
        gates("c"),
    ),
    (
        "a list without a key",
        {"spec": {"tolerations": [{"key": "a"}]}},
        {"spec": {"tolerations": []}},
        {"spec": {"tolerations": []}},
    ),
    (
        "finalizers are a set",
        {"metadata": {"finalizers": ["a"]}},
        {"metadata": {"finalizers": ["b", "a"]}},
        {"metadata": {"finalizers": ["a", "b"]}},
    ),
    (
        "out of a set",
        {"metadata": {"finalizers": ["a", "b"]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
        {"metadata": {"finalizers": ["b"]}},
    ),
    ("keys retained", {"spec": {"a": 1, "b": 2}}, {"spec": {"$retainKeys": ["b"], "b": 3}}, {"spec": {"b": 3}}),
    ("a map replaced", {"spec": {"a": 1}}, {"spec": {"$patch": "replace", "b": 2}}, {"spec": {"b": 2}}),
    ("null removes", {"spec": {"a": 1, "b": 2}}, {"spec": {"a": None}}, {"spec": {"b": 2}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), [pytest.param(*rest, id=name) for name, *rest in STRATEGIC])
def test_strategic(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert patches.strategic(target, patch, POD) == result
    assert target == before


def test_strategic_needs_the_merge_key() -> None:
    with pytest.raises(StatusError, match="does not contain declared merge key: name"):
        patches.strategic(gates("a"), {"spec": {"schedulingGates": [{}]}}, POD)
