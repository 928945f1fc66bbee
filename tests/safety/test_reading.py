"""The watcher's own reading of host lists, run lengths, quantities and pod requests."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from muster.safety.amounts import pod_requests, quantity
from muster.safety.hostlist import MalformedError, hosts, runs


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("a", "a", id="one"),
        pytest.param("b,a", "b a", id="order as written"),
        pytest.param("a[0-3,07]", "a0 a1 a2 a3 a07", id="zeros as written"),
        pytest.param("a[08-11]", "a08 a09 a10 a11", id="width"),
        pytest.param("r[0-1]-n[00-02]", "r0-n00 r0-n01 r0-n02 r1-n00 r1-n01 r1-n02", id="the last runs fastest"),
        pytest.param("x[1]y,z", "x1y z", id="tail"),
    ],
)
def test_host_lists(text: str, names: str) -> None:
    assert hosts(text) == tuple(names.split())


@pytest.mark.parametrize("text", ["a[", "a]", "a[x]", "a[[1]]", "a[1-]", "a,,b"])
def test_malformed_host_lists(text: str) -> None:
    with pytest.raises(MalformedError):
        hosts(text)


def test_run_lengths() -> None:
    assert runs("1x3,2x1") == (1, 1, 1, 2)
    with pytest.raises(MalformedError):
        runs("1,2")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("100m", Fraction(1, 10)),
        ("1Ki", 1024),
        ("1.5Gi", 3 << 29),
        ("2e3", 2000),
        ("1E", 10**18),
        ("5n", Fraction(5, 10**9)),
    ],
)
def test_quantities(text: str, value: Fraction) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "x", "1Q", "--1"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|Invalid"):
        quantity(text)


def container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        pytest.param({"containers": [container("1"), container("2")]}, 3, id="sum"),
        pytest.param({"containers": [container("1")], "initContainers": [container("5")]}, 5, id="init is larger"),
        pytest.param(
            {"containers": [container("1")], "initContainers": [container("2", restartPolicy="Always")]},
            3,
            id="sidecar",
        ),
        pytest.param(
            {
                "containers": [container("1")],
                "initContainers": [container("2", restartPolicy="Always"), container("4")],
            },
            6,
            id="init beside a sidecar",
        ),
        pytest.param({"containers": [container("1")], "overhead": {"cpu": "500m"}}, Fraction(3, 2), id="overhead"),
        pytest.param(
            {"containers": [container("1")], "resources": {"requests": {"cpu": "9"}}}, 9, id="pod-level resources"
        ),
        pytest.param({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}, 2, id="limit alone"),
    ],
)
def test_pod_requests(spec: dict[str, Any], cpu: Fraction) -> None:
    assert pod_requests(spec)["cpu"] == cpu
    assert pod_requests(spec)["pods"] == 1
