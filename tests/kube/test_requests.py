"""Effective requests, by the cases of the KEPs and of component-helpers' own tests."""

from typing import Any

import msgspec
import pytest

from muster.core.model import Filter, Requirement, Toleration
from muster.kube.requests import Actual, PodSpec, Wanted, filter_of, pinned_to, requests_of, template_requests


def c(name: str = "", cpu: str | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": {"cpu": cpu}} if cpu else {}, **more}


def asked(**spec: Any) -> dict[str, int]:
    return dict(template_requests(msgspec.convert(spec, PodSpec)))


SIDECAR = {"restartPolicy": "Always"}
LIMITS_ONLY = {"resources": {"limits": {"nvidia.com/gpu": "4", "cpu": 2}, "requests": {"cpu": "1"}}}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        pytest.param({"containers": [c()]}, None, id="nothing"),
        pytest.param({"containers": [c(cpu="1"), c(cpu="500m")]}, 1500, id="containers sum"),
        pytest.param({"containers": [c(cpu="1")], "initContainers": [c(cpu="3"), c(cpu="2")]}, 3000, id="init max"),
        pytest.param({"containers": [c(cpu="4")], "initContainers": [c(cpu="3")]}, 4000, id="init below sum"),
        pytest.param({"containers": [c(cpu="1")], "initContainers": [c(cpu="2", **SIDECAR)]}, 3000, id="sidecar adds"),
        pytest.param(
            {"containers": [c(cpu="1")], "initContainers": [c(cpu="2", **SIDECAR), c(cpu="5")]},
            7000,
            id="after sidecar",
        ),
        pytest.param(
            {"containers": [c(cpu="1")], "initContainers": [c(cpu="5"), c(cpu="2", **SIDECAR)]}, 5000, id="before it"
        ),
        pytest.param(
            {"containers": [c(cpu="1")], "initContainers": [c(cpu="2", **SIDECAR)] * 2 + [c(cpu="1")]}, 5000, id="two"
        ),
        pytest.param({"containers": [c(cpu="1")], "overhead": {"cpu": "250m"}}, 1250, id="overhead"),
        pytest.param({"containers": [c(cpu="1")], "resources": {"requests": {"cpu": "3"}}}, 3000, id="pod level"),
        pytest.param({"containers": [c(cpu="5")], "resources": {"requests": {"cpu": "3"}}}, 3000, id="pod level below"),
        pytest.param({"containers": [c(cpu="1")], "resources": {"limits": {"cpu": "3"}}}, 1000, id="pod limit only"),
        pytest.param({"containers": [c()], "resources": {"limits": {"cpu": "3"}}}, 3000, id="pod limit, nothing asked"),
        pytest.param(
            {"containers": [c()], "resources": {"requests": {"cpu": "3"}}, "overhead": {"cpu": 1}}, 4000, id="both"
        ),
    ],
)
def test_cpu(spec: dict[str, Any], cpu: int | None) -> None:
    assert asked(**spec).get("cpu") == cpu


def test_limits_become_requests() -> None:
    assert asked(containers=[LIMITS_ONLY]) == {"cpu": 1000, "nvidia.com/gpu": 4, "pods": 1}


def test_host_ports() -> None:
    ports = [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]
    init = [{"ports": [{"hostPort": 1}]}, {"ports": [{"hostPort": 2}], **SIDECAR}]
    assert asked(containers=[{"ports": ports}], initContainers=init) == {
        "hostport/TCP/2": 1, "hostport/TCP/8080": 1, "pods": 1}  # fmt: skip
    assert "hostport/UDP/53" in asked(containers=[{"ports": ports}], hostNetwork=True)


def resized(spec: str, allocated: str | None, used: str | None, infeasible: bool = False) -> int:
    pod = msgspec.convert({"containers": [c("a", spec), c("b", "1")]}, PodSpec)
    actual = Actual("a", Wanted({"cpu": used}) if used else None, {"cpu": allocated} if allocated else None)
    return dict(requests_of(pod.containers or [], actual={"a": actual}, infeasible=infeasible))["cpu"]


@pytest.mark.parametrize(
    ("arguments", "cpu"),
    [
        (("2", "1", "1"), 3000),
        (("1", "2", "2"), 3000),
        (("1", "1", "3"), 4000),
        (("4", "2", "1", True), 2000),
        (("4", None, None), 5000),
    ],
)
def test_in_place_resize(arguments: tuple[Any, ...], cpu: int) -> None:
    assert resized(*arguments) == cpu


def test_filter() -> None:
    spec = {
        "nodeSelector": {"b": "2", "a": "1"},
        "tolerations": [{"operator": "Exists"}, {"key": "k", "value": "v", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "x", "operator": "In", "values": ["1", "2"]}, {"key": "y", "operator": "Exists"}]},  # noqa: E501
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]},
        ]}}},
    }  # fmt: skip
    assert filter_of(spec) == Filter(
        selector=(("a", "1"), ("b", "2")),
        affinity=(
            (
                (Requirement("x", "In", ("1", "2")), Requirement("y", "Exists", ())),
                (Requirement("metadata.name", "In", ("n1",)),),
            ),
        ),
        tolerations=(Toleration("", "Exists", "", ""), Toleration("k", "Equal", "v", "NoSchedule")),
    )
    assert pinned_to(msgspec.convert(spec, PodSpec).affinity) is None
    assert filter_of({}) == Filter()
