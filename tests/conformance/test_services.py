"""The headless Service of a gang."""

from __future__ import annotations

from e2e.client import Client, Object, core
from tests.conformance.kit import patch, refused, taken


def headless(name: str, **spec: object) -> Object:
    body = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"muster.dev/job-uid": "u"}} | spec
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


def test_a_headless_service_keeps_what_it_says(api: Client, ns: str, name: str) -> None:
    made = api.post(core("services", ns), headless(name), fieldValidation="Strict")
    spec = made["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["clusterIPs"] == ["None"]
    assert spec["publishNotReadyAddresses"] is True
    assert spec["selector"] == {"muster.dev/job-uid": "u"}
    assert spec["type"] == "ClusterIP"
    assert spec["sessionAffinity"] == "None"
    assert "ports" not in spec
    assert api.get(core("services", ns, name)) == made


def test_ports_get_their_defaults(api: Client, ns: str, name: str) -> None:
    made = api.post(core("services", ns), headless(name, ports=[{"port": 29500, "name": "rdzv"}]))
    assert made["spec"]["ports"] == [{"name": "rdzv", "protocol": "TCP", "port": 29500, "targetPort": 29500}]


def test_a_service_that_is_not_headless_needs_a_port(api: Client, ns: str, name: str) -> None:
    body = headless(name)
    del body["spec"]["clusterIP"]
    refused(api.send("POST", core("services", ns), body), 422, "Invalid", "spec.ports: Required value")


def test_a_service_stays_headless(api: Client, ns: str, name: str) -> None:
    api.post(core("services", ns), headless(name))
    answer = patch(api, core("services", ns, name), {"spec": {"clusterIP": "10.96.0.77", "clusterIPs": ["10.96.0.77"]}})
    refused(answer, 422, "Invalid", "spec.clusterIPs[0]: Invalid value")


def test_its_selector_can_change(api: Client, ns: str, name: str) -> None:
    api.post(core("services", ns), headless(name))
    changed = taken(
        patch(api, core("services", ns, name), {"spec": {"selector": {"a": "b", "muster.dev/job-uid": None}}})
    )
    assert changed["spec"]["selector"] == {"a": "b"}
