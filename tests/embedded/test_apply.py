"""Server-side apply and the managers of plain writes; the conformance suite has what clients see of them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.embedded.shapes import CRD, shape

from muster.embedded.kinds import Kind, Kinds, custom
from muster.embedded.patching.apply import LAST_APPLIED, apply, manage
from muster.embedded.patching.fieldsets import decode, encode, shown
from muster.embedded.wire import StatusError

Object = dict[str, Any]
NOW = 1_767_225_600_000
TIME = "2026-01-01T00:00:00Z"
SHAPES = custom(CRD)


def put(live: Object | None, manager: str = "one", force: bool = False, kind: Kind = SHAPES, **spec: Any) -> Object:
    return apply(kind, live, shape(**spec), manager=manager, force=force, now=NOW)


def owned(value: Object, manager: str) -> Object:
    return next(e["fieldsV1"] for e in value["metadata"]["managedFields"] if e["manager"] == manager)


def test_fields_there_and_back() -> None:
    fields = {"f:a": {".": {}, 'k:{"name":"x"}': {".": {}, "f:b": {}}}, "f:c": {'v:"y"': {}}}
    assert encode(decode(fields)) == fields
    assert shown(("f:a", 'k:{"name":"x","port":1}', "f:b")) == '.a[name="x",port=1].b'
    assert shown(("f:c", 'v:"y"')) == '.c[="y"]'


def test_lists_by_their_type() -> None:
    live = put(None, parts=[{"name": "a", "size": 1}], names=["x"], plain=[1], labels={"k": "1"})
    assert owned(live, "one")["f:spec"] == {
        "f:labels": {"f:k": {}},
        "f:names": {'v:"x"': {}},
        "f:parts": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:size": {}}},
        "f:plain": {},
    }
    made = put(live, "two", parts=[{"name": "b"}], names=["y"], labels={"l": "2"})
    assert made["spec"]["parts"] == [{"name": "a", "size": 1}, {"name": "b"}]
    assert made["spec"]["names"] == ["x", "y"]
    assert made["spec"]["labels"] == {"k": "1", "l": "2"}
    with pytest.raises(StatusError, match=r'conflict with "one": \.spec\.plain$'):
        put(live, "two", plain=[2])
    gone = put(made, "one", names=["x"])
    assert gone["spec"] == {"parts": [{"name": "b"}], "names": ["x", "y"], "labels": {"l": "2"}}


def test_several_keys_and_their_defaults() -> None:
    live = put(None, ports=[{"port": 1, "to": 5}])
    assert list(owned(live, "one")["f:spec"]["f:ports"]) == ['k:{"port":1,"protocol":"TCP"}']
    made = put(live, "two", ports=[{"port": 1, "protocol": "UDP"}])
    assert len(made["spec"]["ports"]) == 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"nope": 1}, r"\.spec\.nope: field not declared in schema"),
        ({"parts": [{"size": 1}]}, r'\.spec\.parts: element 0: .* omits key field "name"'),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, r'\.spec\.parts: duplicate entries for key \[name="a"\]'),
        ({"parts": ["a"]}, r"\.spec\.parts: element 0: .*non-map"),
    ],
)
def test_what_has_no_such_type_is_refused(spec: Object, message: str) -> None:
    with pytest.raises(StatusError, match=message) as caught:
        put(None, **spec)
    assert caught.value.code == 500


def test_several_conflicts_are_listed() -> None:
    live = put(None, small=1, text="ab")
    with pytest.raises(StatusError) as caught:
        put(live, "two", small=2, text="cd")
    assert caught.value.code == 409
    assert caught.value.message == ('Apply failed with 2 conflicts: conflicts with "one":\n- .spec.small\n- .spec.text')
    forced = put(live, "two", force=True, small=2, text="cd")
    assert [e["manager"] for e in forced["metadata"]["managedFields"]] == ["two"]


def test_the_time_is_that_of_a_change() -> None:
    live = put(None, small=1)
    assert live["metadata"]["managedFields"][0]["time"] == TIME
    same = apply(SHAPES, live, shape(small=1), manager="two", force=False, now=NOW + 5000)
    assert [(e["manager"], e.get("time")) for e in same["metadata"]["managedFields"]] == [("two", None), ("one", TIME)]


def test_nothing_given_is_changed() -> None:
    live, patch = put(None, parts=[{"name": "a"}]), shape(parts=[{"name": "b"}])
    before = copy.deepcopy((live, patch))
    apply(SHAPES, live, patch, manager="one", force=False, now=NOW)
    assert (live, patch) == before


def test_plain_writes_take_fields_over() -> None:
    live = put(None, small=1, text="ab")
    new = copy.deepcopy(live)
    new["spec"] |= {"small": 2, "flag": True}
    manage(SHAPES, new, live, manager="hand", now=NOW)
    assert owned(new, "hand") == {"f:spec": {"f:flag": {}, "f:small": {}}}
    assert owned(new, "one") == {"f:spec": {"f:text": {}}}
    gone = copy.deepcopy(new)
    del gone["spec"]["small"], gone["spec"]["flag"]
    manage(SHAPES, gone, new, manager="other", now=NOW)
    assert [e["manager"] for e in gone["metadata"]["managedFields"]] == ["one"]


def test_the_status_is_managed_at_its_own_path() -> None:
    live = put(None, small=1)
    new = copy.deepcopy(live) | {"status": {"phase": "Done"}}
    manage(SHAPES, new, live, manager="op", subresource="status", now=NOW)
    entry = next(e for e in new["metadata"]["managedFields"] if e["manager"] == "op")
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {".": {}, "f:phase": {}}})


def test_managers_can_be_forgotten_and_come_back_with_an_apply() -> None:
    live = put(None, small=1)
    new = copy.deepcopy(live)
    new["metadata"]["managedFields"] = [{}]
    manage(SHAPES, new, live, manager="hand", now=NOW)
    assert "managedFields" not in new["metadata"]
    with pytest.raises(StatusError, match=r'conflict with "before-first-apply" using example\.com/v1'):
        put(new, "two", small=2)
    made = put(new, "two", small=2, force=True)
    assert owned(made, "two") == {"f:spec": {"f:small": {}}}


def test_what_is_written_in_bulk_is_noted_only_once_it_is_applied() -> None:
    pods = next(kind for kind in Kinds() if kind.plural == "pods")
    pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}}
    manage(pods, pod, None, manager="hand", now=NOW)
    assert "managedFields" not in pod["metadata"]
    patch = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}}
    made = apply(pods, pod, patch, manager="one", force=False, now=NOW)
    assert owned(made, "one") == {"f:metadata": {"f:labels": {"f:a": {}}}}


def test_kubectl_comes_over_from_client_side_apply() -> None:
    live = shape(small=1)
    live["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(shape(small=1))}
    manage(SHAPES, live, None, manager="kubectl-client-side-apply", now=NOW)
    with pytest.raises(StatusError, match="kubectl-client-side-apply"):
        put(live, "one", small=2)
    made = put(live, "kubectl", small=2)
    assert made["spec"]["small"] == 2
    assert json.loads(made["metadata"]["annotations"][LAST_APPLIED])["spec"] == {"small": 2}
