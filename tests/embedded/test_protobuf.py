"""Bodies in protobuf, written here by hand."""

from __future__ import annotations

import json

import pytest
from tests.embedded.talk import MAPS, PODS, Talk, pod

from muster.embedded import protobuf
from muster.embedded.wire import Request


def varint(number: int) -> bytes:
    out = b""
    number &= (1 << 64) - 1
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number: int, value: str | bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, version) + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


def pair(key: str, value: str | bytes) -> bytes:
    return field(1, key) + field(2, value)


CONFIGMAP = envelope(
    "v1",
    "ConfigMap",
    field(
        1,
        field(1, "m") + field(2, "") + field(8, b"") + field(11, pair("a", "b")) + field(14, "x.y/z") + field(99, "?"),
    )
    + field(2, pair("k", "ä"))
    + field(2, pair("empty", ""))
    + field(3, pair("b", b"\xff"))
    + field(4, 1),
)


def test_a_config_map() -> None:
    assert protobuf.read(CONFIGMAP) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "m", "labels": {"a": "b"}, "finalizers": ["x.y/z"]},
        "data": {"k": "ä", "empty": ""},
        "binaryData": {"b": "/w=="},
        "immutable": True,
    }


def test_negative_numbers() -> None:
    body = envelope("scheduling.k8s.io/v1", "PriorityClass", field(1, field(1, "p")) + field(2, -7))
    assert protobuf.read(body)["value"] == -7


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s\0\xff",
        b"k8s\0" + b"\xff" * 20,
        CONFIGMAP[:-3],
        envelope("v1", "ConfigMap", field(1, 7)),
        envelope("v1", "ConfigMap", field(4, "x")),
        envelope("v1", "Pod", b""),
    ],
)
def test_what_cannot_be_read(body: bytes) -> None:
    with pytest.raises(protobuf.UnreadableError):
        protobuf.read(body)


def test_the_server_takes_it_and_answers_in_json() -> None:
    talk = Talk()
    made = talk.server.handle(Request("POST", MAPS, body=CONFIGMAP, content_type=protobuf.MEDIA))
    assert made.status == 201
    assert json.loads(made.body)["data"]["k"] == "ä"
    talk.post(PODS, pod("p"))
    evict = envelope("policy/v1", "Eviction", field(1, field(1, "p") + field(3, "default")) + field(2, field(1, 0)))
    gone = talk.server.handle(Request("POST", f"{PODS}/p/eviction", body=evict, content_type=protobuf.MEDIA))
    assert gone.status == 201
    talk.refused(404, "GET", f"{PODS}/p")
    refused = talk.server.handle(Request("POST", PODS, body=envelope("v1", "Pod", b""), content_type=protobuf.MEDIA))
    assert refused.status == 415
    assert "reads a Pod of v1 as JSON or YAML only" in json.loads(refused.body)["message"]
