"""Discovery and OpenAPI as kubectl asks for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.embedded.shapes import CRD

from muster.embedded.answers.discovery import AGGREGATED, discover
from muster.embedded.kinds import Kinds
from muster.embedded.wire import Response


@pytest.fixture
def kinds() -> Kinds:
    made = Kinds()
    made.add(CRD)
    return made


def ask(kinds: Kinds, path: str, accept: str = "application/json") -> Response:
    answer = discover(kinds, path, accept, "v1.37.1")
    assert answer is not None
    return answer


def body(kinds: Kinds, path: str, accept: str = "application/json") -> Any:
    return json.loads(ask(kinds, path, accept).body)


def test_version(kinds: Kinds) -> None:
    found = body(kinds, "/version")
    assert (found["major"], found["minor"], found["gitVersion"]) == ("1", "37", "v1.37.1")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/readyz/ping"])
def test_health(kinds: Kinds, path: str) -> None:
    assert ask(kinds, path).body == b"ok"


@pytest.mark.parametrize(
    "path", ["/api/v2", "/apis/none.dev", "/apis/example.com/v2", "/api/v1/pods", "/openapi/v3/apis/none.dev/v1", "/x"]
)
def test_other_paths_are_not_discovery(kinds: Kinds, path: str) -> None:
    assert discover(kinds, path, "", "v1.37.1") is None


def test_aggregated(kinds: Kinds) -> None:
    answer = ask(kinds, "/apis", f"{AGGREGATED},application/json")
    assert answer.content_type == AGGREGATED
    groups = {each["metadata"]["name"]: each for each in json.loads(answer.body)["items"]}
    (resource,) = groups["example.com"]["versions"][0]["resources"]
    assert resource["resource"] == "shapes"
    assert resource["responseKind"] == {"group": "example.com", "version": "v1", "kind": "Shape"}
    assert [each["subresource"] for each in resource["subresources"]] == ["status"]
    core = body(kinds, "/api", AGGREGATED)["items"][0]["versions"][0]["resources"]
    pods = next(each for each in core if each["resource"] == "pods")
    assert pods["shortNames"] == ["po"]
    eviction = next(each for each in pods["subresources"] if each["subresource"] == "eviction")
    assert eviction["responseKind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}


def test_a_document_a_group_and_version(kinds: Kinds) -> None:
    assert body(kinds, "/api")["versions"] == ["v1"]
    assert "example.com" in [each["name"] for each in body(kinds, "/apis")["groups"]]
    assert body(kinds, "/apis/example.com")["preferredVersion"]["groupVersion"] == "example.com/v1"
    names = [each["name"] for each in body(kinds, "/apis/example.com/v1")["resources"]]
    assert names == ["shapes", "shapes/status"]
    assert "/apis/example.com/v1" in body(kinds, "/")["paths"]


def test_what_is_defined_and_no_longer_defined(kinds: Kinds) -> None:
    assert ask(kinds, "/apis/example.com/v1").status == 200
    kinds.remove("example.com", "shapes")
    assert discover(kinds, "/apis/example.com/v1", "", "v1.37.1") is None


def test_openapi(kinds: Kinds) -> None:
    paths = body(kinds, "/openapi/v3")["paths"]
    assert set(paths) >= {"api/v1", "apis/example.com/v1"}
    found = body(kinds, "/openapi/v3/apis/example.com/v1")
    shape = found["components"]["schemas"]["com.example.v1.Shape"]
    assert shape["properties"]["spec"]["properties"]["text"]["maxLength"] == 5
    gvk = {"group": "example.com", "version": "v1", "kind": "Shape"}
    assert shape["x-kubernetes-group-version-kind"] == [gvk]
    change = found["paths"]["/apis/example.com/v1/namespaces/{namespace}/shapes/{name}"]["patch"]
    # kubectl looks for these two to know that the server validates.
    assert change["x-kubernetes-group-version-kind"] == gvk
    assert "fieldValidation" in [each["name"] for each in change["parameters"]]


def test_the_hash_changes_with_the_schema(kinds: Kinds) -> None:
    before = body(kinds, "/openapi/v3")["paths"]["apis/example.com/v1"]
    changed = json.loads(json.dumps(CRD))
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "other"
    kinds.add(changed)
    assert body(kinds, "/openapi/v3")["paths"]["apis/example.com/v1"] != before


def test_openapi_v2_is_refused(kinds: Kinds) -> None:
    assert ask(kinds, "/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf").status == 406
