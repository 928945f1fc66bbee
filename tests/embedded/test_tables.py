"""Tables and ages, cell by cell; the conformance suite has the shape of the answers."""

from __future__ import annotations

from typing import Any

import pytest
from tests.embedded.shapes import CRD

from muster.embedded.ages import age, duration
from muster.embedded.answers.tables import table
from muster.embedded.jsonpath import Unsupported, parse
from muster.embedded.kinds import Kind, Kinds, custom
from muster.embedded.wire import StatusError

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
BORN = {"name": "x", "creationTimestamp": "2025-12-31T23:59:30Z"}


def kind(plural: str) -> Kind:
    return next(each for each in Kinds() if each.plural == plural)


def cells(plural: str, **parts: Any) -> list[Any]:
    return table(kind(plural), [{"metadata": BORN, **parts}], list_meta={}, include="None", now=NOW)["rows"][0]["cells"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"),
        (10_799, "179m"), (10_800, "3h"), (11_000, "3h3m"), (28_800, "8h"), (172_799, "47h"), (172_800, "2d"),
        (176_400, "2d1h"), (691_200, "8d"), (63_072_000, "2y"), (63_158_400, "2y1d"), (252_288_000, "8y"),
    ],
)  # fmt: skip
def test_duration(seconds: int, shown: str) -> None:
    assert duration(seconds * 1000) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "<unknown>"),
        ("nonsense", "<invalid>"),
        ("2025-12-31T23:59:00.123456789Z", "59s"),
        ("2025-12-31T23:59:00.025Z", "59s"),
        ("2026-01-01T01:59:00+02:00", "60s"),
    ],
)
def test_age(value: Any, shown: str) -> None:
    assert age(value, NOW) == shown


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (".a.b", 1),
        (".a['x.y/z']", 2),
        (".l[1]", 4),
        (".l[7]", None),
        ('.c[?(@.type=="Ready")].status', "True"),
        (".a.none.more", None),
    ],
)
def test_path(path: str, wanted: Any) -> None:
    value = {"a": {"b": 1, "x.y/z": 2}, "l": [3, 4], "c": [{"type": "Ready", "status": "True"}]}
    assert parse(path)(value) == wanted


@pytest.mark.parametrize("path", ["", "a", ".l[*]", "..a", ".l[1:2]", ".c[?(@.n>1)]"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(Unsupported):
        parse(path)


def container(**state: Any) -> dict[str, Any]:
    return {"name": "c", "restartCount": 0, **state}


ENDED = {"terminated": {"exitCode": 1, "reason": "Error"}}


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        ({"status": {"phase": "Pending"}}, ["0/1", "Pending", "0"]),
        (
            {"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}},
            ["0/1", "SchedulingGated", "0"],
        ),
        (
            {"status": {"phase": "Running", "containerStatuses": [container(ready=True, state={"running": {}})]}},
            ["1/1", "Running", "0"],
        ),
        (
            {"status": {"phase": "Failed", "containerStatuses": [container(state=ENDED)]}},
            ["0/1", "Error", "0"],
        ),
        (
            {"status": {"phase": "Failed", "containerStatuses": [container(state={"terminated": {"exitCode": 3}})]}},
            ["0/1", "ExitCode:3", "0"],
        ),
        (
            {"status": {"phase": "Pending", "containerStatuses": [container(state={"waiting": {"reason": "Pull"}})]}},
            ["0/1", "Pull", "0"],
        ),
        (
            {"status": {"phase": "Pending", "initContainerStatuses": [container(state={"running": {}})]},
             "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]}},
            ["0/1", "Init:0/1", "0"],
        ),
        (
            {"status": {"phase": "Running", "containerStatuses": [container(
                restartCount=2, ready=True, state={"running": {}},
                lastState={"terminated": {"finishedAt": "2025-12-31T23:58:00Z"}})]}},
            ["1/1", "Running", "2 (2m ago)"],
        ),
        ({"status": {"phase": "Failed", "reason": "Evicted"}}, ["0/1", "Evicted", "0"]),
        ({"metadata": BORN | {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}, ["0/1", "Terminating", "0"]),
    ],
)  # fmt: skip
def test_pod(parts: dict[str, Any], shown: list[str]) -> None:
    found = cells("pods", **({"spec": {"containers": [{"name": "c"}]}} | parts))
    assert found[0] == "x"
    assert found[1:4] == shown
    assert found[4:] == ["30s", "<none>", "<none>", "<none>", "<none>"]


def test_node() -> None:
    status = {"conditions": [{"type": "Ready", "status": "Unknown"}], "nodeInfo": {"kubeletVersion": "v1"}}
    shown = ["x", "NotReady,SchedulingDisabled", "<none>", "30s", "v1", "<none>", "<none>"] + ["<unknown>"] * 3
    assert cells("nodes", spec={"unschedulable": True}, status=status) == shown


def test_event() -> None:
    parts = {"type": "Normal", "reason": "R", "message": " m\n", "involvedObject": {"kind": "Pod", "name": "p"}}
    wanted = ["30s", "Normal", "R", "pod/p", "", "muster, a", "m", "30s", 1, "x"]
    more = {"eventTime": BORN["creationTimestamp"], "reportingComponent": "muster", "reportingInstance": "a"}
    assert cells("events", **parts, **more) == wanted


def test_custom_columns() -> None:
    shapes = custom(CRD)
    item = {"metadata": BORN, "spec": {"word": "a", "small": 2, "plain": [1, 2]}}
    made = table(shapes, [item], list_meta={"resourceVersion": "7"}, include="", now=NOW)
    assert [c["name"] for c in made["columnDefinitions"]] == ["Name", "Word", "Small", "Plain", "Age"]
    assert made["rows"][0]["cells"] == ["x", "a", 2, "[1,2]", "30s"]
    assert made["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert made["metadata"] == {"resourceVersion": "7"}


def test_what_is_included() -> None:
    item = {"metadata": BORN}
    for include, wanted in (("None", None), ("Object", item)):
        made = table(kind("leases"), [item], list_meta={}, include=include, now=NOW, headers=False)
        assert made["rows"][0]["object"] == wanted
        assert made["columnDefinitions"] == []
    with pytest.raises(StatusError):
        table(kind("leases"), [item], list_meta={}, include="Half", now=NOW)
